"""Compiles text of the math library and of matrix products, and calls it on arrays."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from nets.backend.llvm import math
from nets.backend.llvm.kernel_code import KernelCode
from nets.backend.llvm.math.fused import with_functions
from nets.backend.llvm.target import host, object_code
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.machine.table import V3
from nets.ops.definition.registry import Array
from tests.backend.wide_forms import emulated

_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_int64


def compiled(text: str, symbol: str, *arguments: Any, libc: bool = False) -> Any:
    """The function of a module as a Python callable.

    Linking fails where the code refers to anything outside; with ``libc`` it finds memcpy and the
    like.
    """
    code = object_code(text, host())
    jit = llvm.create_lljit_compiler()
    builder = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(symbol)
    if libc:
        builder.add_current_process()
    library = builder.link(jit, symbol)
    function = ctypes.CFUNCTYPE(None, *arguments)(library[symbol])
    function.keep = (library, jit)
    return function


def math_text(function: str, dtype: DType, lanes: int, machine: Machine = V3) -> str:
    """All definitions of a math function."""
    wanted, texts = [(function, dtype, lanes)], {}
    while wanted:
        found = math.definition(*wanted.pop(), machine.instruction_set)
        texts[found.symbol] = found.text
        wanted.extend(found.requires)
    return "\n\n".join(texts.values())


class MathKernel:
    """A math function over whole arrays, so many lanes at a time (sizes are multiples).

    The forms of every machine run on every other, with instructions that it lacks emulated.
    """

    def __init__(
        self,
        function: str,
        dtype: DType,
        lanes: int,
        machine: Machine = V3,
        numerics: str = "strict",
    ) -> None:
        scalar = "float" if dtype.itemsize == 4 else "double"
        type = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
        names = ("x", "y")[: math.FUNCTIONS[function]]
        loads = "".join(
            f"  %{name}p = getelementptr {scalar}, ptr %{name}s, i64 %i\n"
            f"  %{name} = load {type}, ptr %{name}p, align {dtype.itemsize}\n"
            for name in names
        )
        arguments = ", ".join(f"{type} %{name}" for name in names)
        self.lanes = lanes
        functions = math_text(function, dtype, lanes, machine)
        functions = with_functions(functions, machine, numerics)
        if machine.instruction_set == "avx512" != host().instruction_set:
            functions = emulated(functions)
        self._run = compiled(
            functions
            + f"""
define void @run(ptr %xs, ptr %ys, ptr %out, i64 %n) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %end
body:
{loads}  %r = call {type} @nets_{function}_{dtype}x{lanes}({arguments})
  %at = getelementptr {scalar}, ptr %out, i64 %i
  store {type} %r, ptr %at, align {dtype.itemsize}
  %next = add i64 %i, {lanes}
  br label %head
end:
  ret void
}}
""",
            "run",
            _POINTER,
            _POINTER,
            _POINTER,
            _COUNT,
        )

    def run(self, x: int, y: int, out: int, count: int) -> None:
        """The function of the numbers at these addresses (y is not read by functions of one)."""
        self._run(x, y, out, count)

    def __call__(self, x: Array, y: Array | None = None) -> Array:
        assert x.size % self.lanes == 0
        out = np.empty_like(x)
        second = x if y is None else y
        self.run(x.ctypes.data, second.ctypes.data, out.ctypes.data, x.size)
        return out


class GemmKernel:
    """A matrix product by its code, with the functions that the machine needs."""

    def __init__(self, code: KernelCode, machine: Machine = V3, numerics: str = "strict") -> None:
        self.code = code
        parameters = "ptr %x, ptr %y, ptr %out, ptr %workspace, i64 %begin, i64 %end"
        self._run = compiled(
            with_functions(code.text, machine, numerics)
            + f"""
define void @run({parameters}) {{
  call void @{code.symbol}({parameters})
  ret void
}}
""",
            "run",
            *(_POINTER,) * 4,
            _COUNT,
            _COUNT,
            libc=True,
        )
        self._memory = np.empty(code.workspace_bytes + 64, np.uint8)
        self.workspace = -(-self._memory.ctypes.data // 64) * 64

    def run(self, x: int, y: int, out: int, begin: int, end: int) -> None:
        """Compute some panels of the product of the matrices at these addresses."""
        self._run(x, y, out, self.workspace, begin, end)

    def __call__(self, x: Array, y: Array, out: Array) -> Array:
        self.run(x.ctypes.data, y.ctypes.data, out.ctypes.data, 0, self.code.panels)
        return out
