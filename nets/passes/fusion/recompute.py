"""Recompute instead of store: groups compute cheap values again from what is in memory anyway.

A tensor that a group stores only for other groups costs one pass over memory to write it, and one
more for each group that reads it. Sometimes a few cheap operations make this tensor, from tensors
that the readers read as well, or from one other tensor that is stored in any case. Then these
operations move into the readers, and the tensor is not stored.

A reader may have to read one new tensor of that size for this. It no longer reads the old one, so
it reads no more than before, and one store is saved.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from nets.ir.builder import Builder
from nets.ir.core import Operation, Trait, Value
from nets.ir.estimates import bytes_about, elements_about
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.passes.fusion.fusion_groups import MAX_OPERATIONS, Groups, Node

MAX_CONE = 6
"""Operations that are done again for an element, each an arithmetic instruction or two."""

SMALL = 16
"""A tensor with that many times fewer elements costs nothing to store and read as well."""


@dataclass(frozen=True)
class _Cone:
    """The operations that make a value, in order, out of ``leaves``."""

    ops: Sequence[Operation]
    leaves: Sequence[Value]


def recompute(groups: Groups, nodes: Iterable[Node], machine: Machine) -> None:
    """Let readers compute values again where that moves fewer bytes."""
    # What is smaller stays in the first cache.
    least = machine.l1_bytes // 8
    found = {node.find() for node in nodes}
    for node in sorted(found, key=lambda node: node.slot):
        if node.space is None:
            continue
        for op in reversed(list(node.ops)):
            if op.has(Trait.ELEMENTWISE):
                _recompute(groups, node, op.result, least)


def _recompute(groups: Groups, node: Node, value: Value, least_bytes: int) -> None:
    type = tensor_type(value)
    size = bytes_about(type)
    if size < least_bytes:
        return
    readers = _readers(groups, node, value)
    cone = _cone_of(groups, node, value) if readers else None
    if not readers or cone is None:
        return
    cost = max(_new_bytes(groups, reader, cone, elements_about(type)) for reader in readers)
    has_room = all(len(reader.ops) + len(cone.ops) <= MAX_OPERATIONS for reader in readers)
    if has_room and cost <= size:
        for reader in readers:
            _copy_into(groups, reader, cone, value)
        _drop_unused(node, cone)


def _readers(groups: Groups, node: Node, value: Value) -> list[Node]:
    """The other groups that read the value element by element; none if anything else does too."""
    found: dict[Node, None] = {}
    shape = tensor_type(value).shape
    for user in value.users:
        reader = groups.node(user.results[0]) if user.results else None
        if reader is node:
            continue
        if reader is None or reader.space is None or reader.space.shape != shape:
            return []
        if not user.has(Trait.ELEMENTWISE | Trait.REDUCTION):
            return []
        found[reader] = None
    return list(found)


def _cone_of(groups: Groups, node: Node, value: Value) -> _Cone | None:
    """What makes the value from tensors in memory and small ones; None if that is too much."""
    ops: dict[Operation, None] = {}
    leaves: dict[Value, None] = {}
    pending = [value]
    while pending:
        at = pending.pop()
        op = at.operation
        if at is not value and (op not in node.ops or _is_leaf(groups, node, at, value)):
            leaves[at] = None
            continue
        assert op is not None
        if len(ops) == MAX_CONE or not _is_cheap(op, value):
            return None
        ops.pop(op, None)
        ops[op] = None
        pending += [v for operand in op.operands if (v := groups.root(operand)) is not None]
    if any(_is_moved(groups, operand, ops) for op in ops for operand in op.operands):
        return None
    return _Cone([op for op in node.ops if op in ops], list(leaves))


def _is_moved(groups: Groups, operand: Value, ops: Container[Operation | None]) -> bool:
    """Whether the operand is a result of the operations seen through an index change."""
    root = groups.root(operand)
    return operand in groups.moves and root is not None and root.operation in ops


def _is_leaf(groups: Groups, node: Node, value: Value, top: Value) -> bool:
    """Whether a value of the group is stored in any case, or is small."""
    is_small = elements_about(tensor_type(value)) * SMALL <= elements_about(tensor_type(top))
    return is_small or groups.is_used_outside(value, node)


def _is_cheap(op: Operation, top: Value) -> bool:
    is_plain = op.has(Trait.ELEMENTWISE) and not op.has(Trait.COSTLY | Trait.CHECKED)
    return is_plain and tensor_type(op.result).shape == tensor_type(top).shape


def _new_bytes(groups: Groups, reader: Node, cone: _Cone, size: int) -> int:
    """Bytes of the large leaves that the reader does not read yet."""
    known = {groups.root(operand) for op in reader.ops for operand in op.operands}
    types = [tensor_type(leaf) for leaf in cone.leaves if leaf not in known]
    return sum(bytes_about(type) for type in types if elements_about(type) * SMALL > size)


def _copy_into(groups: Groups, reader: Node, cone: _Cone, value: Value) -> None:
    """Put a copy of the cone before the operations of the reader, which use it from now on."""
    first, position = next(iter(reader.ops.items()))
    assert first.block is not None
    copies: dict[Value, Value] = {}
    made: dict[Operation, int] = {}
    for op in cone.ops:
        builder = Builder(first.block, first, op.location)
        operands = [copies.get(operand, operand) for operand in op.operands]
        copy = builder.create(op.definition, operands, op.attributes)
        copies[op.result] = copy.result
        made[copy] = position
    for op in reader.ops:
        if value in op.operands:
            new = copies[value]
            op.set_operands([new if operand is value else operand for operand in op.operands])
    groups.put_first(reader, made)


def _drop_unused(node: Node, cone: _Cone) -> None:
    for op in reversed(cone.ops):
        if not op.result.uses:
            del node.ops[op]
            node.values.discard(op.result)
            op.erase()
