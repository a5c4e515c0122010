"""Entries: which operations compute an entry of their results from the same entry of operands.

An entry is what a tensor has at one position along its leading axes: of a batch × heads × length ×
width tensor, the matrix of one head. Matrix products of stacks go entry by entry, and so do
fusions that neither reduce nor move the leading axes.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.types import Shape
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.fusion.fusion_groups import Groups, space_of
from nets.passes.spaces.access_maps import is_index_change
from nets.passes.spaces.group import Group, is_reduced, reduced_index
from nets.passes.spaces.loop_nests import Extent

Sizes = Shape


def goes_by_entry(op: Operation, sizes: Sizes, inside: set[Value]) -> bool:
    """Whether ``op`` may run for one entry of the leading axes, of those sizes, at a time.

    Of the values ``inside`` it must read the entry it computes; of others it may read anything.
    """
    if not has_entries(op, sizes):
        return False
    if op.has(Trait.ALIAS):
        return _leading(op.operands[0], sizes) == sizes
    if op.has(Trait.KERNEL):
        sized = all(tensor_type(value).elements != 0 for value in (*op.operands, *op.results))
        return sized and kernel_axes(op) >= len(sizes)
    if op.regions:
        *ops, end = op.regions[0].block
        outer = dict(zip(op.regions[0].block.arguments, op.operands, strict=True))
        return _group_goes_by_entry(ops, end.operands, outer, sizes, inside)
    if space_of(op) is None:
        return False
    outer = {value: value for value in op.operands}
    return _group_goes_by_entry([op], op.results, outer, sizes, inside)


def has_entries(op: Operation, sizes: Sizes) -> bool:
    """Whether all results of ``op``, of which there are some, have leading axes of those sizes."""
    return bool(op.results) and all(_leading(value, sizes) == sizes for value in op.results)


def are_entries(block: Block, axes: int) -> bool:
    """Whether the operations of a region can run entry by entry over that many axes."""
    *ops, end = block
    yielded = end.operands
    if not ops or not yielded or len(set(yielded)) < len(yielded):
        return False
    sizes, inside = tensor_type(yielded[0]).shape[:axes], set[Value]()
    for op in ops:
        if op.has(Trait.BY_ENTRY) or not goes_by_entry(op, sizes, inside):
            return False
        inside.update(op.results)
    return all(v in inside and not _is_view(v) for v in yielded) and 0 not in sizes


def kernel_axes(op: Operation) -> int:
    """Leading axes along which each entry of a kernel's result comes from that of each operand."""
    rule = definition_of(op).rules.leading
    return rule(*(operand.type for operand in op.operands)) if rule is not None else 0


def _is_view(value: Value) -> bool:
    return value.operation is not None and value.operation.has(Trait.ALIAS)


def _leading(value: Value, sizes: Sizes) -> Sizes:
    return tensor_type(value).shape[: len(sizes)]


def _group_goes_by_entry(
    ops: Sequence[Operation],
    stored: Sequence[Value],
    outer: dict[Value, Value],
    sizes: Sizes,
    inside: set[Value],
) -> bool:
    """Whether operations that share loops go by entry; ``outer`` says what they read."""
    group = Group(ops, [(value, value) for value in stored])
    space = group.space
    axes = tuple(range(len(sizes)))
    if group.across or space.shape[: len(sizes)] != sizes or space.outer[: len(sizes)] != axes:
        return False
    moves = {} if len(ops) == 1 else {op.result: op for op in ops if _is_move(op)}
    groups = Groups(moves)
    full = Extent(space.shape).index
    kept = tuple(full[axis] for axis in space.kept)

    def reads_entry(value: Value, is_full: bool) -> bool:
        """Whether what a value comes from is read at the entry, if it comes from inside."""
        root = groups.root(value)
        if root is None or outer.get(root) not in inside:
            return True
        shape = tensor_type(value).shape
        found = groups.read(value, full if is_full else reduced_index(space, shape, kept))
        if found is None:
            return True
        root, index = found
        return _leading(root, sizes) == sizes and index[: len(sizes)] == full[: len(sizes)]

    for op in ops:
        if op.results[0] in moves:
            continue
        leading = op.operands[0] if op.has(Trait.REDUCTION) else op.results[0]
        is_full = tensor_type(leading).shape == space.shape
        if not is_full and not is_reduced(space, tensor_type(leading).shape):
            return False
        for operand in op.operands:
            if op.has(Trait.ELEMENTWISE | Trait.REDUCTION):
                if not reads_entry(operand, is_full):
                    return False
            elif not _moves_entry(op, groups, outer, sizes, inside):
                return False
    return all(
        value not in moves or reads_entry(value, tensor_type(value).shape == space.shape)
        for value in stored
    )


def _moves_entry(
    op: Operation, groups: Groups, outer: dict[Value, Value], sizes: Sizes, inside: set[Value]
) -> bool:
    """Whether an indexing operation reads nothing from inside but at the entry it computes."""
    if not is_index_change(op):
        return all(
            outer.get(groups.root(operand) or operand) not in inside for operand in op.operands
        )
    index = Extent(tensor_type(op.result).shape).index
    found = Groups({op.result: op}).read(op.result, index)
    if found is None or outer.get(found[0]) not in inside:
        return True
    root, place = found
    return _leading(root, sizes) == sizes and place[: len(sizes)] == index[: len(sizes)]


def _is_move(op: Operation) -> bool:
    if op.has(Trait.CONSTANT):
        return tensor_type(op.result).shape == ()
    return is_index_change(op)
