"""Loops of results that are put together from whole operands (pad, concatenate).

Each operand is copied to its place by loops of its own, without a test per element.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from nets.ir.core import Operation, Value
from nets.ir.sizes import Dim, Size
from nets.ir.types import Shape
from nets.machine import costs
from nets.ops.definition.emitter import tensor_type
from nets.passes.lowering.element_builder import ElementBuilder
from nets.passes.lowering.map_loops import emit_loop_nest
from nets.passes.spaces.loop_nests import Extent
from nets.passes.spaces.pieces import pieces_of


def lower_pieces(
    s: ElementBuilder, op: Operation, buffer: Value, placed: Container[Value] = ()
) -> None:
    """Loops that fill the buffer of the result; the operands ``placed`` stand there already."""
    pieces, filling = pieces_of(op)
    shape = tensor_type(op.result).shape
    if filling is not None:
        ((number, start),) = pieces
        inner = tensor_type(op.operands[number]).shape
        for sizes, first in _margins(shape, start, inner):
            _store_all(s, op.operands[filling], sizes, first, buffer, shape)
    for number, start in pieces:
        operand = op.operands[number]
        if operand not in placed:
            _store_all(s, operand, tensor_type(operand).shape, start, buffer, shape)


def _margins(shape: Shape, start: Shape, inner: Shape) -> Iterator[tuple[Shape, Shape]]:
    """The boxes, as sizes and first index, that lie around the inner one and cover the rest."""
    if 0 in inner:
        yield tuple(shape), (0,) * len(shape)
        return
    sizes: list[Dim] = list(shape)
    first: list[Dim] = [0] * len(shape)
    for axis, (size, low, width) in enumerate(zip(shape, start, inner, strict=True)):
        for begin, end in ((0, low), (low + width, size)):
            margin = end - begin
            if isinstance(margin, Size) or margin > 0:
                sizes[axis], first[axis] = margin, begin
                yield tuple(sizes), tuple(first)
        sizes[axis], first[axis] = width, low


def _store_all(
    s: ElementBuilder,
    source: Value,
    extents: Shape,
    start: Shape,
    buffer: Value,
    shape: Shape,
) -> None:
    """Store the elements of ``source``, or the one it has, from the index ``start`` on."""
    extent = Extent(extents)
    place = extent.index if tensor_type(source).shape else ()
    target = tuple(at + first for at, first in zip(extent.index, start, strict=True))
    with s.group():
        emit_loop_nest(
            s,
            extent,
            costs.copy_work(s.machine, tensor_type(source).dtype),
            lambda: s.store(s.read(source, place), buffer, s.offset(target, shape)),
        )
