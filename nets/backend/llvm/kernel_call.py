"""Kernels over buffers: the code that computes one, and whether threads share its panels.

What writes the kernels is imported when a program has one: most of the small programs have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nets.backend.llvm.kernel_code import KernelCode
from nets.ir.core import Operation
from nets.ir.estimates import about
from nets.ir.sizes import Size
from nets.ir.types import Shape
from nets.locks import imports
from nets.machine.machine import Machine
from nets.ops.loop.kernels import conv_shapes, is_work_for_threads, shapes_of
from nets.ops.tensor.conv_geometry import Geometry


def kernel_code(op: Operation, machine: Machine) -> KernelCode:
    """The code of a kernel."""
    return KERNELS[op.name](op, machine)


def is_worth_a_fork(op: Operation, kernel: KernelCode, machine: Machine) -> bool:
    """Whether to share the panels among threads."""
    return about(kernel.panels) > 1 and is_work_for_threads(op, machine)


def _gemm_code(op: Operation, machine: Machine) -> KernelCode:
    with imports.inside():
        from nets.backend.llvm import gemm

    x, _, (batch, m, n) = shapes_of(op)
    transpose_x, transpose_y = op.attributes["transpose_x"], op.attributes["transpose_y"]
    k = x[1 if transpose_x else 2]
    dtype = op.operands[0].type.dtype
    return gemm.product_code(dtype, batch, m, n, k, transpose_x, transpose_y, machine)


def _conv_code(op: Operation, machine: Machine) -> KernelCode:
    with imports.inside():
        from nets.backend.llvm import conv

    images, (x, w, y) = conv_shapes(op)[0][0], map(_usual, conv_shapes(op))
    attributes = dict(op.attributes)
    role = attributes.pop("role")
    return conv.convolution_code(
        role, op.operands[0].type.dtype, images, x, w, y, Geometry(**attributes), machine
    )


def _sort_code(op: Operation, machine: Machine) -> KernelCode:
    with imports.inside():
        from nets.backend.llvm import sort

    rows, n = shapes_of(op)[0]
    return sort.sort_code(op.operands[0].type.dtype, rows, n, machine=machine, **op.attributes)


def _usual(shape: Shape) -> tuple[int, ...]:
    """The sizes, as they usually are where a call tells them."""
    return tuple(max(about(size), 1) if isinstance(size, Size) else size for size in shape)


KERNELS: Final[dict[str, Callable[[Operation, Machine], KernelCode]]] = {
    "loop.gemm": _gemm_code,
    "loop.conv": _conv_code,
    "loop.sort": _sort_code,
}
"""The ops of the loop dialect that are calls of a kernel."""
