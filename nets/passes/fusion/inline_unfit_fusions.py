"""Dissolves fusions that no loops fit, so that their operations are lowered one by one.

``fuse`` makes none of these. But a pass that ran after it may have changed what a fusion holds, and
IR may be written by hand.
"""

from __future__ import annotations

from typing import Final

from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.dissolve import dissolve
from nets.ops.definition.emitter import tensor_type
from nets.passes.forms import TENSOR, Form
from nets.passes.fusion.entries import are_entries
from nets.passes.fusion.fusion_groups import Groups
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.access_maps import is_index_change
from nets.passes.spaces.group import is_reduced
from nets.passes.spaces.iteration import Kind, Space, common_space, map_space, reduction_space


def _fits(op: Operation) -> bool:
    return not is_fusion(op) or has_loops(op.regions[0].block)


FITTING: Final = Form("FITTING", "fusions whose operations share loops", _fits)


@register_pass("inline_unfit_fusions", requires=(TENSOR,), ensures=(FITTING,))
def inline_unfit_fusions(function: Function, options: Options) -> Function:
    """Put the operations of fusions that have no common loops into the block around them.

    So are those of ``entries`` that do not go by entry.

    Requires: the tensor dialect with static shapes.
    Ensures: the operations of each fusion have common loops.
    """
    for op in [op for block in function.programs() for op in block if op.has(Trait.BY_ENTRY)]:
        if not _has_entries(op):
            dissolve(op)
    for block in function.programs():
        for op in block:
            if not _fits(op):
                dissolve(op)
    return function


def is_fusion(op: Operation) -> bool:
    """Whether the region of the operation is one set of loops."""
    return op.has(Trait.ISOLATED) and not op.has(Trait.CONTROL | Trait.BY_ENTRY)


def _has_entries(entries: Operation) -> bool:
    """Whether all that is inside of ``entries`` can run entry by entry."""
    block = entries.regions[0].block
    fusions = (op for op in block if op.regions)
    return all(is_fusion(op) and has_loops(op.regions[0].block) for op in fusions) and are_entries(
        block, entries.attributes["axes"]
    )


def has_loops(block: Block) -> bool:
    """Whether the operations of a fusion's region share an iteration space."""
    *ops, end = block
    space = _space(ops, end.operands)
    if space is None:
        return False
    moves = {op.result: op for op in ops if _is_move(op)}
    groups, inside = Groups(moves), set[Value]()
    for op in ops:
        if op.results[0] not in moves:
            if not op.has(Trait.ELEMENTWISE | Trait.REDUCTION | Trait.INDEXING):
                return False
            if not groups.fits(op, space, inside):
                return False
            inside.update(op.results)
    across = {op.result for op in ops if op.has(Trait.REDUCTION) and reduction_space(op) != space}
    return all(value in across or _is_stored(value, space) for value in end.operands)


def _is_move(op: Operation) -> bool:
    if op.has(Trait.CONSTANT):
        return tensor_type(op.result).shape == ()
    return is_index_change(op)


def _space(ops: list[Operation], yielded: tuple[Value, ...]) -> Space | None:
    """The common space of the reductions, or that of the first result; None if there is none."""
    if not yielded:
        return None
    space: Space | None = None
    for op in ops:
        if op.has(Trait.REDUCTION):
            found = reduction_space(op)
            if found is None:
                return None
            space = found if space is None else common_space(space, found)
            if space is None:
                return None
    return space if space is not None else map_space(tensor_type(yielded[0]).shape)


def _is_stored(value: Value, space: Space) -> bool:
    shape = tensor_type(value).shape
    return shape == space.shape or (space.kind is not Kind.MAP and is_reduced(space, shape))
