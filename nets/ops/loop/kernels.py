"""Kernels over buffers: their shapes, their work, and from when on threads share it."""

from __future__ import annotations

import math
from typing import Final

from nets.ir.core import Operation, Value
from nets.ir.types import BufferType
from nets.ops.loop.dialect import CONV_ROLES

_PARALLEL_FLOPS: Final = 3_000_000
"""Multiplications and additions from which a kernel is faster on several threads than on one.

Its operands come from the CPUs that wrote them, and its result goes to those that read it.
"""

_PARALLEL_FLOPS_ALONE: Final = 450_000
"""The same where nothing else in the program touches what the kernel does."""


def shapes_of(op: Operation) -> list[tuple[int, ...]]:
    """The shapes of the buffers of a kernel, in the order of its operands."""
    types = [operand.type for operand in op.operands]
    return [type.static_shape for type in types if isinstance(type, BufferType)]


def conv_shapes(op: Operation) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The shapes of x, w and y of a convolution, whichever of them it computes."""
    shapes = shapes_of(op)
    x, w, y = (shapes[place] for place in CONV_ROLES[op.attributes["role"]])
    return x, w, y


def kernel_flops(op: Operation) -> int:
    """Multiplications and additions of a kernel over buffers; 0 for any other operation."""
    if op.name == "loop.gemm":
        x, _, out = shapes_of(op)
        return 2 * math.prod(x) * out[2]
    if op.name == "loop.conv":
        _, w, y = conv_shapes(op)
        return 2 * math.prod(y) * math.prod(w[1:])
    return 0


def is_work_for_threads(op: Operation) -> bool:
    """Whether the operation is a kernel with enough work to share its panels among threads."""
    flops = kernel_flops(op)
    if flops < _PARALLEL_FLOPS_ALONE:
        return False
    buffers = [value for value in op.operands if isinstance(value.type, BufferType)]
    return flops >= _PARALLEL_FLOPS or all(_is_from_outside(buffer) for buffer in buffers)


def _is_from_outside(buffer: Value) -> bool:
    """Whether the buffer is one of the program's arguments, and has no other use."""
    while len(buffer.uses) == 1 and buffer.operation is not None and buffer.operation.operands:
        buffer = buffer.operation.operands[0]
    return len(buffer.uses) == 1 and buffer.operation is None
