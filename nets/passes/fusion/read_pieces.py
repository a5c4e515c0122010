"""Lets groups read a tensor where it stands in another one, as a piece of a pad or concatenation.

The group that computes the piece then stores it there and nowhere else (``lower_to_loops``), for
nobody asks for it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nets.ir.builder import Builder
from nets.ir.core import Operation, Value
from nets.ir.types import Shape
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.fusion.fusion_groups import Groups, Node
from nets.passes.spaces.pieces import has_pieces, pieces_of


def read_pieces(groups: Groups, nodes: Iterable[Node]) -> None:
    """Let the readers of pieces that groups compute read slices of the whole, where they can."""
    for node in nodes:
        (op, *others) = node.ops
        if node.space is None and not others and has_pieces(op):
            for number, start in pieces_of(op)[0]:
                _read_piece(groups, node, op, op.operands[number], start)


def _read_piece(groups: Groups, node: Node, op: Operation, piece: Value, start: Shape) -> None:
    maker = groups.node(piece)
    if maker is None or maker.space is None or piece in groups.moves:
        return
    if tensor_type(piece).shape != maker.space.shape or op.operands.count(piece) > 1:
        return
    users = [user for user in piece.users if user is not op and user not in maker.ops]
    readers = _nodes_reading(groups, users)
    if not users or readers is None:
        return
    if any(reader.slot <= node.slot or reader.find() is maker for reader in readers):
        return
    cut = _slice_of(op, piece, start)
    part = cut.result
    groups.moves[part] = cut
    for user in users:
        user.set_operands([part if operand is piece else operand for operand in user.operands])
    groups.connect(readers, node)


def _nodes_reading(groups: Groups, users: Sequence[Operation]) -> list[Node] | None:
    """The groups that read through the users; None if something else does too."""
    found: dict[Node, None] = {}
    pending = list(users)
    while pending:
        user = pending.pop()
        if user.results and user.results[0] in groups.moves:
            pending += user.results[0].users
            continue
        node = groups.node(user.results[0]) if user.results else None
        if node is None or node.space is None:
            return None
        found[node] = None
    return list(found)


def _slice_of(op: Operation, piece: Value, start: Shape) -> Operation:
    """The place of the piece in the result, as a slice right after the operation."""
    assert op.block is not None
    sizes = tensor_type(piece).shape
    attributes = {
        "starts": tuple(start),
        "stops": tuple(first + size for first, size in zip(start, sizes, strict=True)),
        "steps": (1,) * len(sizes),
    }
    builder = Builder(op.block, op.next, op.location)
    return builder.create(lookup("slice"), [op.result], attributes)
