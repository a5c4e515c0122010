"""Programs compiled one way or another, and called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nets.backend.process.callable import Check, NativeFunction, Signature
from nets.compiler.compile import ENTRY, Compilation, CompileOptions, Executable
from nets.ir.core import Function
from nets.ir.types import TensorType
from nets.machine.machine import Machine
from nets.ops.collective.ranks import ranks_of
from nets.passes.simplify.effects import prints
from tests.machines import of_width, on_this_cpu

__all__ = ["Executable", "Way", "signature_of"]


@dataclass(frozen=True)
class Way:
    """One way to compile a program. The width may exceed that of this CPU: LLVM splits vectors."""

    pipeline: str = "default"
    threads: int = 1
    vector_bytes: int = 32
    optimize: str = "speed"

    @property
    def machine(self) -> Machine:
        return on_this_cpu(of_width(self.vector_bytes))

    def compilation(self, function: Function) -> Compilation:
        options = CompileOptions(
            threads=self.threads, pipeline=self.pipeline, cpu="", optimize=self.optimize
        )
        compilation = Compilation(function, options)
        compilation.machine = self.machine
        return compilation

    def compile(self, function: Function) -> NativeFunction:
        """The function as native code; the object cache takes no part."""
        compilation = self.compilation(function)
        code = compilation.object_code(ENTRY)
        return NativeFunction(code, ENTRY, signature_of(compilation))


def signature_of(compilation: Compilation) -> Signature:
    function = compilation.function
    return Signature(
        _types([argument.type for argument in function.arguments]),
        _types([value.type for value in function.returned]),
        compilation.workspace_bytes,
        compilation.options.threads,
        tuple(Check(*check) for check in compilation.loops.attributes["checks"]),
        prints=prints(function),
        ranks=ranks_of(function),
    )


def _types(types: Sequence[object]) -> tuple[TensorType, ...]:
    assert all(isinstance(type, TensorType) for type in types)
    return tuple(type for type in types if isinstance(type, TensorType))
