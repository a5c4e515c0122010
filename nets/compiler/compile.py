"""Compilation: one traced function on its way to something that can be called.

This is where passes and backend meet. Every stage is made when first asked for and kept: traced →
optimized → loops → LLVM IR → object code. ``executable`` looks into the object cache before it does
any of that, and then needs neither the passes nor LLVM.
"""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from nets import config
from nets.backend.containment import refused_below_limit
from nets.backend.numpy.interpreter import evaluate
from nets.backend.process import cache
from nets.backend.process.obstacle import (
    backend_here,
    cpu_count,
    obstacle,
    refuse_obstacle,
)
from nets.communicator import busy
from nets.compiler.cost import cost
from nets.errors import REFUSALS, ArgumentError, CompileError
from nets.extension import is_installed
from nets.ieee import in_ieee_mode
from nets.ir.core import Function, Trait
from nets.ir.dims import ranges_of
from nets.ir.estimates import about
from nets.ir.location import user_location
from nets.ir.printer import print_function
from nets.ir.size_parser import parse as parse_size
from nets.ir.sizes import Dim, expression
from nets.locks import Crowd, imports, lock, made_alone
from nets.ops.definition.emitter import tensor_type
from nets.version import __version__

if TYPE_CHECKING:
    from nets.backend.llvm.constants import LargeData
    from nets.backend.process.callable import NativeFunction
    from nets.backend.process.open_callable import OpenFunction
    from nets.machine.machine import Machine

Array = npt.NDArray[Any]
Executable = Callable[..., list[Array]]
"""Takes the arrays of the arguments, gives those of the results. Of a function of sizes that a call
tells it takes them as well, by name, where the arrays may not tell them all."""

ENTRY: Final = "nets_entry"
"""The symbol of in-process code."""

_MOST_THREADS: Final = 1024
"""That of the runtime's pools; a larger wish counts as this."""

_FORMAT: Final = "3"
"""Changes when the meaning of a cache entry does."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What is chosen besides the program.

    ``backend``: "llvm", "numpy" (the reference), or empty for what can run here. ``threads``: 0 for
    NETS_NUM_THREADS, or one per CPU. ``cpu``: the empty name is this machine's. ``pipeline``:
    "default", "none" or passes. ``optimize``: "speed", or "size" for the smallest code.
    ``numerics``: the profile, "strict" or "strict-nofma" (docs/numerics.md). ``failures``: whether
    calls tell of matrices without a factor or solution by their status.
    """

    backend: str = field(default_factory=lambda: str(config.BACKEND.get()))
    threads: int = 0
    cpu: str = field(default_factory=lambda: str(config.CPU.get()))
    pipeline: str = "default"
    optimize: str = "speed"
    numerics: str = field(default_factory=lambda: str(config.NUMERICS.get()))
    failures: bool = False

    def thread_count(self) -> int:
        """Threads a call may use."""
        return min(self.threads or config.NUM_THREADS.get() or cpu_count(), _MOST_THREADS)


def numerics_option(numerics: object) -> str:
    """The profile a user chose; ArgumentError where it is none. What is asked to be fast is strict,
    which is as fast so far."""
    if numerics == "fast":
        return "strict"
    if numerics not in config.PROFILES:
        known = " or ".join(f'"{profile}"' for profile in config.PROFILES)
        raise ArgumentError(f"numerics is {known}, not {numerics!r}", user_location())
    return str(numerics)


def thread_option(threads: object) -> int:
    """The number of threads a user chose; ArgumentError where it is no positive integer."""
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ArgumentError(f"threads is a positive integer, not {threads!r}", user_location())
    return threads


@functools.cache
def _load_compiler() -> None:
    """Import the passes and the backend at once, so that a fork can wait for it."""
    with imports.inside():
        import nets.backend.llvm.emit
        import nets.backend.llvm.target
        import nets.passes.pipelines

        if is_installed("llvmlite"):
            nets.backend.llvm.target.llvm_version()


def _without_rules(function: Function) -> Function:
    """The function without rules of derivatives, which have done their work."""
    if not any(op.has(Trait.RULED) for op in function.walk()):
        return function
    from nets.passes.derivatives.custom_rules import without_rules

    return without_rules(function)


class Compilation:
    """The stages of one function of the tensor dialect; the function itself is left alone."""

    def __init__(self, function: Function, options: CompileOptions | None = None) -> None:
        self.function = _without_rules(function)
        self.options = options or CompileOptions()
        self._seconds: dict[str, float] = {}
        self._lock = lock()

    @made_alone
    def threads(self) -> int:
        """Threads a call may use; asked for once, since the CPUs of a process may change."""
        return self.options.thread_count()

    # --------------------------------------------------------------------- stages

    @made_alone
    def optimized(self) -> Function:
        """Tensor IR after the pipeline: fused, unless the pipeline leaves that out."""
        _load_compiler()
        from nets.passes.manager import dump
        from nets.passes.pipelines import pipeline_of

        if config.DUMP_DIR.get():
            dump(f"{self.function.name}-traced.nets", print_function(self.function))
        found = self._run(self.function, pipeline_of(self.options.pipeline))
        self._narrate("fuse", f"{_size(self.function)} operations became {_size(found)}")
        return found

    @made_alone
    def loops(self) -> Function:
        """Loop IR, vectorized and with every buffer placed."""
        from nets.passes.pipelines import LOOPS, SMALL_LOOPS

        passes = SMALL_LOOPS if self.options.optimize == "size" else LOOPS
        return self._run(self.optimized, passes, verified=True)

    @made_alone
    def machine(self) -> Machine:
        """The CPU to compile for; where no code can run, one to look at stages of."""
        _load_compiler()
        from nets.backend.llvm.target import machine_of
        from nets.machine.table import V3

        try:
            return machine_of(self.options.cpu)
        except CompileError:
            if self.options.cpu or obstacle() is None:
                raise
            return V3

    @in_ieee_mode
    def module(self, symbol: str, first_site: int = 0, large: LargeData | None = None) -> str:
        """The LLVM IR with an entry point of that name; prints are numbered from there on.

        Large constants get stand-ins in ``large``, where that is given.
        """
        from nets.backend.llvm.emit import emit_module

        numerics = self.options.numerics
        return emit_module(self.loops, symbol, self.machine, first_site, large, numerics)

    def object_code(self, symbol: str) -> bytes:
        """The object file with an entry point of that name."""
        from nets.backend.llvm.target import object_code
        from nets.passes.manager import dump

        _ = self.loops  # not part of what is timed
        start = time.perf_counter()
        text = self.module(symbol)
        emitted = time.perf_counter()
        code = object_code(text, self.machine)
        compiled = time.perf_counter()
        self._seconds |= {"emit": emitted - start, "llvm": compiled - emitted}
        self._narrate(
            "llvm",
            f"{len(text):,} characters of LLVM IR in {1e3 * (emitted - start):.1f} ms, "
            f"{len(code):,} bytes of code in {1e3 * (compiled - emitted):.1f} ms",
        )
        dump(f"{self.function.name}.ll", text)
        if config.DUMP_DIR.get():
            dump(f"{self.function.name}.s", self.asm())
        return code

    @made_alone
    def workspace_bytes(self) -> Dim:
        """Size of the workspace of a call."""
        from nets.backend.llvm.emit import workspace_bytes

        return workspace_bytes(self.loops, self.machine, self.threads)

    # ----------------------------------------------------------------- to look at

    def ir(self, stage: str = "optimized") -> str:
        """The text of "traced", "optimized" or "loops"."""
        stages = {"traced": "function", "optimized": "optimized", "loops": "loops"}
        if stage not in stages:
            raise CompileError(
                f"a stage is one of {', '.join(stages)}, not {stage!r}", user_location()
            )
        return print_function(getattr(self, stages[stage]))

    def llvm(self) -> str:
        """The LLVM IR of the native code."""
        return self.module(ENTRY)

    def asm(self) -> str:
        """The assembly of the native code."""
        from nets.backend.llvm.target import assembly

        return assembly(self.llvm(), self.machine)

    def stats(self) -> dict[str, float]:
        """Milliseconds of each pass, of emitting LLVM IR ("emit") and of LLVM ("llvm")."""
        if "llvm" not in self._seconds:
            self.object_code(ENTRY)
        return {name: 1e3 * seconds for name, seconds in self._seconds.items()}

    def cost(self) -> dict[str, int]:
        """Scalar arithmetic operations, bytes moved, and peak bytes of a call."""
        return cost(self.function, self.optimized, about(self.workspace_bytes))

    # ------------------------------------------------------------------- to call

    @made_alone
    def backend(self) -> str:
        """The backend of the options, or the one that can run here."""
        return self.options.backend or backend_here()

    @made_alone
    def executable(self) -> Executable:
        """The function as a callable, compiled or from the object cache."""
        check = config.CHECK.get()
        if check == "nan":
            from nets.compiler.nan_check import checked_for_nan

            return checked_for_nan(self.function, self._chosen)
        if check and self.backend != "numpy" and not ranges_of(self.function):
            from nets.compiler.check import checked

            return checked(self.function, self.options)
        return self._chosen

    @made_alone
    def _chosen(self) -> Executable:
        """The function on the backend that the options name."""
        if self.backend == "numpy":
            return lambda arrays, sizes=None: evaluate(self.function, arrays, sizes=sizes)
        return self.native

    @made_alone
    def native(self) -> Executable:
        """The function as native code, whatever the options say of the backend.

        CompileError where none can run here.
        """
        refuse_obstacle()
        with _garbage.waits.inside(), busy("compiling"):
            # Whoever wants to see the stages wants them to happen.
            is_watched = config.PRINT_AFTER.get() or config.DUMP_DIR.get()
            return (None if is_watched else self._from_cache()) or self._compile()

    def _from_cache(self) -> NativeFunction | OpenFunction | None:
        """The cached object, if there is one that this machine can run."""
        from nets.backend.process.callable import cpu_level

        entry = cache.load(self.key) if cache.is_on() else None
        if entry is None:
            return None
        manifest, code = entry
        try:
            if not _is_manifest(manifest, ranges_of(self.function)):
                raise CompileError("its manifest is of another version")
            if manifest["level"] > cpu_level():
                raise CompileError("it is code for another CPU")
            return self._load(manifest, code)
        except CompileError as error:
            cache.refuse(self.key, str(error))
            return None

    def _compile(self) -> NativeFunction | OpenFunction:
        """The function compiled now, and kept in the cache."""
        with refused_below_limit():
            return self._compile_here()

    def _compile_here(self) -> NativeFunction | OpenFunction:
        from nets.backend.process.callable import cpu_level

        if self.machine.level > cpu_level():
            raise CompileError(
                f"this machine cannot run code for the CPU {self.machine.cpu}; export it instead"
            )
        code = self.object_code(ENTRY)
        manifest = {
            "level": self.machine.level,
            "workspace_bytes": _size_in_json(self.workspace_bytes),
            "checks": [list(check) for check in self.loops.attributes["checks"]],
        }
        if cache.is_on():
            cache.store(self.key, manifest, code)
        return self._load(manifest, code)

    def _load(self, manifest: dict[str, Any], code: bytes) -> NativeFunction | OpenFunction:
        """The code in memory. CompileError where it cannot be loaded."""
        from nets.backend.process.callable import Check, NativeFunction, Signature, load_object
        from nets.backend.process.open_callable import OpenFunction

        workspace_bytes = _size_of_json(manifest["workspace_bytes"])
        signature = Signature(
            tuple(tensor_type(value) for value in self.function.arguments),
            tuple(tensor_type(value) for value in self.function.returned),
            about(workspace_bytes),
            self.threads,
            tuple(Check(*check) for check in manifest["checks"]),
            self.function.attributes.get("in_place", ()),
            self.function.has_effects,
        )
        if not ranges_of(self.function):
            return NativeFunction(code, ENTRY, signature)
        return OpenFunction(load_object(code, ENTRY), self.function, workspace_bytes, signature)

    @made_alone
    def key(self) -> str:
        """The key of the object cache: all that decides the code, and the lines checks name."""
        from nets.backend.process.callable import cpu_identity

        return cache.key_of(
            _FORMAT,
            __version__,
            cache.compiler_version(),
            self.options.cpu or cpu_identity(),
            self.options.pipeline,
            self.options.optimize,
            self.options.numerics,
            str(self.threads),
            str(self.options.failures),
            print_function(self.function),
            *(str(op.location) for op in self.function.walk() if op.has(Trait.CHECKED)),
        )

    @in_ieee_mode
    def _run(
        self, function: Function, passes: Sequence[str], *, verified: bool = False
    ) -> Function:
        from nets.passes.manager import Options, run_pipeline

        options = Options(self.machine, self.threads, self.options.failures)
        return run_pipeline(function, passes, options, self._seconds, verified=verified)

    def _narrate(self, topic: str, text: str) -> None:
        if topic in config.LOG.get():
            print(f"nets {topic}: {self.function.name}: {text}", file=sys.stderr)


class _Garbage:
    """Collections of cyclic garbage, which wait while something is compiled.

    A compilation makes so many small objects that collections would fall into it, each of which
    walks the heap of the whole process: with large libraries loaded they take longer than all else.
    """

    def __init__(self) -> None:
        self.was_on = False
        self.waits = Crowd(self._stop, self._go_on)

    def _stop(self) -> None:
        self.was_on = gc.isenabled()
        gc.disable()

    def _go_on(self) -> None:
        if self.was_on:
            gc.enable()


_garbage: Final = _Garbage()


def _size(function: Function) -> int:
    """How many operations stand in the body, terminator aside."""
    return sum(1 for _ in function.body) - 1


def _is_manifest(data: Any, dims: Collection[str]) -> bool:
    """Is this what ``_compile`` stores of a function with these dimensions?"""
    match data:
        case {"level": int(), "workspace_bytes": int() | str() as size, "checks": list(checks)}:
            return _is_size(size, dims) and all(map(_is_check, checks))
        case _:
            return False


def _is_check(data: Any) -> bool:
    match data:
        case [int(), str(), str(), str(error)]:
            return error in REFUSALS
        case _:
            return False


def _size_in_json(size: Dim) -> int | str:
    return size if isinstance(size, int) else expression(size)


def _size_of_json(data: int | str) -> Dim:
    return data if isinstance(data, int) else parse_size(data)


def _is_size(data: int | str, dims: Collection[str]) -> bool:
    try:
        size = _size_of_json(data)
    except ValueError:
        return False
    return size >= 0 if isinstance(size, int) else set(size.names) <= set(dims)
