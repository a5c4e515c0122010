"""Loops of results that are put together from whole operands (pad, concatenate).

Each operand is copied to its place by loops of its own, without a test per element.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Operation, Value
from nets.ops.emitter import tensor_type
from nets.ops.registry import OpDef
from nets.passes.element_builder import ElementBuilder
from nets.passes.loop_nests import Extent
from nets.passes.map_loops import emit_nest

COPY_WORK = 2
"""Work per element: a load and a store."""


def has_pieces(op: Operation) -> bool:
    """Whether the operation has a ``pieces`` rule, which tells the place of each operand."""
    return isinstance(op.definition, OpDef) and "pieces" in op.definition.rules


def lower_pieces(s: ElementBuilder, op: Operation, buffer: Value) -> None:
    """Loops that fill the buffer of the result."""
    assert isinstance(op.definition, OpDef)
    types = [operand.type for operand in op.operands]
    pieces, filling = op.definition.rules["pieces"](*types, **op.attributes)
    shape = tensor_type(op.result).static_shape
    if filling is not None and any(tensor_type(op.operands[i]).shape != shape for i, _ in pieces):
        _store_all(s, op.operands[filling], shape, (0,) * len(shape), buffer, shape)
    for number, start in pieces:
        operand = op.operands[number]
        _store_all(s, operand, tensor_type(operand).static_shape, start, buffer, shape)


def _store_all(
    s: ElementBuilder,
    source: Value,
    extents: Sequence[int],
    start: Sequence[int],
    buffer: Value,
    shape: tuple[int, ...],
) -> None:
    """Store the elements of ``source``, or the one it has, from the index ``start`` on."""
    extent = Extent(extents)
    place = extent.index if tensor_type(source).shape else ()
    target = tuple(at + first for at, first in zip(extent.index, start, strict=True))
    with s.group():
        emit_nest(
            s,
            extent,
            COPY_WORK,
            lambda: s.store(s.read(source, place), buffer, s.offset(target, shape)),
        )
