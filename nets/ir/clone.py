"""Copies of operations and functions, with the values they use replaced by a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Region, Trait, Value

Mapping = dict[Value, Value]
"""Old value → new value. A value that is not in it stands for itself."""


def clone_into(builder: Builder, operations: Iterable[Operation], mapping: Mapping) -> None:
    """Insert a copy of each operation, in order, where the builder stands.

    Operands are looked up in ``mapping``, which grows by the results. Regions are copied with
    their operation; the walk keeps a list of blocks to fill instead of recursing into them.
    """
    unfilled: list[tuple[Block, Block]] = []
    for op in operations:
        builder.block.insert(_copy(op, mapping, unfilled), builder.before)
    while unfilled:
        source, target = unfilled.pop()
        for op in source:
            target.append(_copy(op, mapping, unfilled))


def _copy(op: Operation, mapping: Mapping, unfilled: list[tuple[Block, Block]]) -> Operation:
    """The operation with its operands mapped; its regions' blocks are empty, and noted."""
    regions = []
    for region in op.regions:
        source = region.block
        target = Block([a.type for a in source.arguments], [a.hint for a in source.arguments])
        mapping.update(zip(source.arguments, target.arguments, strict=True))
        unfilled.append((source, target))
        regions.append(Region(target))
    copy = Operation(
        op.definition,
        [mapping.get(operand, operand) for operand in op.operands],
        [result.type for result in op.results],
        op.attributes,
        regions,
        op.location,
    )
    for old, new in zip(op.results, copy.results, strict=True):
        new.hint = old.hint
        mapping[old] = new
    return copy


def body_without_terminator(function: Function) -> Iterable[Operation]:
    """The operations of the function in order, but for the one that returns."""
    return (op for op in function.body if not op.has(Trait.TERMINATOR))


def clone_function(function: Function, name: str | None = None) -> Function:
    """A function of its own with equal operations; attributes are shared, never the values."""
    copy = Function(
        function.name if name is None else name,
        [argument.type for argument in function.arguments],
        [argument.hint for argument in function.arguments],
        function.attributes,
    )
    mapping: Mapping = dict(zip(function.arguments, copy.arguments, strict=True))
    clone_into(Builder(copy.body), function.body, mapping)
    return copy


def inline(builder: Builder, function: Function, arguments: Sequence[Value]) -> list[Value]:
    """Insert the function's body, called with ``arguments``; the values it would return."""
    mapping: Mapping = dict(zip(function.arguments, arguments, strict=True))
    clone_into(builder, body_without_terminator(function), mapping)
    return [mapping.get(value, value) for value in function.returned]
