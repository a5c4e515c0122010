"""Homes: results that loops store straight into a larger one, which is put together from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import Shape, TensorType
from nets.ops.definition.emitter import tensor_type
from nets.passes.lowering.element_builder import Place
from nets.passes.lowering.in_place import behind_views
from nets.passes.simplify.patterns import repeated_number
from nets.passes.spaces.group import Group
from nets.passes.spaces.kernel_operands import is_for_kernels
from nets.passes.spaces.pieces import has_pieces, pieces_of


class Home(NamedTuple):
    """The operation whose result a value is stored in, and where."""

    whole: Operation
    place: Place


class BlockHome(NamedTuple):
    """The same of a value that lies there in one piece, from this element of the memory on."""

    whole: Operation
    offset: Dim


def homes_in(block: Block) -> dict[Value, Home]:
    """The values whose loops store each element where it ends, for nothing else reads them."""
    return {value: home for op in block for value, home in _homes_of(op)}


def _homes_of(op: Operation) -> Iterator[tuple[Value, Home]]:
    if not has_pieces(op):
        return
    shape = tensor_type(op.result).shape
    for number, start in pieces_of(op)[0]:
        value, axes = op.operands[number], tuple(range(len(shape)))
        if value.operation is not None and value.operation.has(Trait.ALIAS):
            if len(value.uses) != 1:
                continue
            (inner,) = value.operation.operands
            kept = _kept_axes(tensor_type(inner).shape, tensor_type(value).shape)
            if kept is None:
                continue
            value, axes = inner, kept
        if _is_made_for_it(value):
            yield value, Home(op, Place(start, shape, axes))


def _kept_axes(shape: Shape, longer: Shape) -> tuple[int, ...] | None:
    """The axes of a longer shape that are those of a shape, where the others have size 1."""
    kept = [axis for axis, dim in enumerate(longer) if dim != 1]
    return tuple(kept) if tuple(longer[axis] for axis in kept) == shape else None


def _is_made_for_it(value: Value) -> bool:
    """Whether a group computes the value, with an element per element of its loops, for one use."""
    op = value.operation
    if (
        op is None
        or op.has(Trait.BY_ENTRY | Trait.CONTROL)
        or len(value.uses) != 1
        or tensor_type(value).elements == 0
    ):
        return False
    if not op.regions:
        is_map = op.has(Trait.ELEMENTWISE | Trait.INDEXING) and repeated_number(value) is None
        return is_map and not op.has(Trait.ALIAS | Trait.CONSTANT) and not has_pieces(op)
    *ops, end = op.regions[0].block
    inside = end.operands[op.results.index(value)]
    group = Group(ops, [(inside, inside)])
    return end.operands.count(inside) == 1 and tensor_type(inside).shape == group.space.shape


def block_homes_in(block: Block) -> dict[Value, BlockHome]:
    """What is computed straight into one piece of a result's memory, for nothing else reads it: the
    memory is that of the result alone, which something may be stored over when it is not needed."""
    found: dict[Value, BlockHome] = {}
    for op in filter(has_pieces, block):
        for number, start in pieces_of(op)[0]:
            piece = op.operands[number]
            offset = _offset(tensor_type(piece), start, tensor_type(op.result))
            root = behind_views(piece)
            if offset is not None and _is_read_once(piece) and _has_own_loops(root, block):
                found[root] = BlockHome(op, offset)
    return found


def _is_read_once(value: Value) -> bool:
    """Whether a value, and the values it is a view of, have one use each."""
    while len(value.uses) == 1:
        op = value.operation
        if op is None or not op.has(Trait.ALIAS):
            return True
        (value,) = op.operands
    return False


def _has_own_loops(value: Value, block: Block) -> bool:
    """Whether loops of the block make the value, and may store it anywhere."""
    op = value.operation
    if op is None or op.block is not block or is_for_kernels(op):
        return False
    if repeated_number(value) is not None:
        return False
    return not op.has(Trait.CONTROL | Trait.BY_ENTRY | Trait.CONSTANT | Trait.KERNEL)


def _offset(piece: TensorType, start: Shape, whole: TensorType) -> Dim | None:
    """The offset of a piece's first element where its elements lie side by side in the whole."""
    first = next((axis for axis, dim in enumerate(piece.shape) if dim != 1), piece.rank)
    if piece.elements == 0 or piece.shape[first + 1 :] != whole.shape[first + 1 :]:
        return None
    offset: Dim = 0
    for at, size in zip(start, whole.shape, strict=True):
        offset = offset * size + at
    return offset
