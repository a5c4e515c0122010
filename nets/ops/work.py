"""How much work the operations of the loop dialect are, and from when on threads share it."""

from __future__ import annotations

import math
from typing import Final

from nets.ir.core import Operation
from nets.ir.types import BufferType
from nets.ops.loop import CONV_ROLES

PARALLEL_FLOPS: Final = 450_000
"""Multiplications and additions from which a kernel is faster on several threads than on one."""

FLOPS_PER_INSTRUCTION: Final = 16
"""Of kernels, which work on vectors."""


def kernel_flops(op: Operation) -> int:
    """Multiplications and additions of a kernel over buffers; 0 for any other operation."""
    shapes = [
        operand.type.static_shape for operand in op.operands if isinstance(operand.type, BufferType)
    ]
    if op.name == "loop.gemm":
        x, _, out = shapes[:3]
        return 2 * math.prod(x) * out[2]
    if op.name == "loop.conv":
        _, w, y = (shapes[place] for place in CONV_ROLES[op.attributes["role"]])
        return 2 * math.prod(y) * math.prod(w[1:])
    return 0
