"""Operands of kernels: which operations only tell a kernel where its operand's elements lie."""

from __future__ import annotations

from nets.ir.core import Operation, Trait
from nets.ops.definition.emitter import tensor_type
from nets.passes.spaces.access_maps import reads_of
from nets.passes.spaces.loop_nests import Extent


def is_for_kernels(op: Operation) -> bool:
    """Whether ``op`` swaps the last two axes of its operand and a kernel reads the result."""
    if not op.has(Trait.INDEXING) or op.has(Trait.ALIAS) or len(op.operands) != 1:
        return False
    shape = tensor_type(op.result).shape
    if len(shape) < 2 or not any(user.has(Trait.KERNEL) for user in op.result.users):
        return False
    if tensor_type(op.operands[0]).shape != (*shape[:-2], shape[-1], shape[-2]):
        return False  # a part of it, whose axes of one element read like swapped ones
    index = Extent(shape).index
    reads, _ = reads_of(op, index)
    return [place for _, place in reads] == [(*index[:-2], index[-1], index[-2])]
