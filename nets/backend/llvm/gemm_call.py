"""loop.gemm: the kernel that computes it, and whether threads share its panels."""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.gemm import GemmPlan, plan
from nets.backend.llvm.target import Target
from nets.ir.core import Operation
from nets.ir.types import BufferType

_PARALLEL_FLOPS: Final = 450_000
"""Multiplications and additions from which several threads are faster than one."""


def gemm_plan(op: Operation, target: Target) -> GemmPlan:
    """The plan of a loop.gemm."""
    x, _, out = (operand.type for operand in op.operands)
    assert isinstance(x, BufferType)
    assert isinstance(out, BufferType)
    batch, m, n = _sizes(out)
    transpose_x, transpose_y = op.attributes["transpose_x"], op.attributes["transpose_y"]
    k = _sizes(x)[1 if transpose_x else 2]
    return plan(x.dtype, batch, m, n, k, transpose_x, transpose_y, target)


def is_worth_a_fork(op: Operation, plan: GemmPlan) -> bool:
    """Whether to share the panels among threads."""
    x, _, out = (operand.type for operand in op.operands)
    assert isinstance(x, BufferType)
    assert isinstance(out, BufferType)
    _, _, n = _sizes(out)
    return plan.panels > 1 and 2 * x.size * n >= _PARALLEL_FLOPS


def _sizes(type: BufferType) -> tuple[int, ...]:
    assert all(isinstance(dim, int) for dim in type.shape)
    return tuple(dim for dim in type.shape if isinstance(dim, int))
