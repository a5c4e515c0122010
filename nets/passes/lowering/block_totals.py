"""Totals across the rows of a ROW group, kept for each block of rows while they pass.

A row is added to the totals of its block while it is in the cache, element by element; the blocks
are put together in the end. Blocks and order are those of a COLUMN group, and so are the bits: to
begin with the identity of the combiner is to begin with the first row.
"""

from __future__ import annotations

from functools import partial

from nets.ir.affine import Affine, linear
from nets.ir.core import Operation, Value
from nets.ir.types import BufferType
from nets.ops.definition.emitter import tensor_type
from nets.passes.lowering.combiners import ROWS, combiner_of, empty_result
from nets.passes.lowering.element_builder import ElementBuilder, Index
from nets.passes.lowering.map_loops import emit_loop_nest
from nets.passes.spaces.group import Group
from nets.passes.spaces.iteration import Space
from nets.passes.spaces.loop_nests import Extent, blocks_of


class BlockTotals:
    """The buffers of the totals, blocks × elements of a row, and the code that fills them."""

    def __init__(self, s: ElementBuilder, group: Group) -> None:
        self.s = s
        self.group = group
        self.space: Space = group.space
        self.blocks = blocks_of(self.space.count(self.space.outer), ROWS)
        self.sizes = self.space.sizes(self.space.reduced)
        shape = (self.blocks, self.space.count(self.space.reduced))
        self.totals = {op: s.alloc(BufferType(shape, op.result.type.dtype)) for op in group.across}

    def _home(self, block: Affine, inner: Index) -> Affine:
        return block * self.space.count(self.space.reduced) + linear(inner, self.sizes)

    def clear(self, block: Affine) -> None:
        """Let the totals of a block be those of no row."""
        inner = Extent(self.sizes)

        def emit() -> None:
            for op, buffer in self.totals.items():
                self.s.store(empty_result(self.s, op), buffer, self._home(block, inner.index))

        emit_loop_nest(self.s, inner, 0, emit)

    def add(self, block: Affine, inner: Extent, place: Index) -> None:
        """Add the elements at ``place``, which is ``inner`` in its row."""
        home = self._home(block, inner.index)
        elements = [self.s.read(op.operands[0], place) for op in self.totals]
        for (op, buffer), element in zip(self.totals.items(), elements, strict=True):
            total = self.s.binary(combiner_of(op), self.s.load(buffer, home), element)
            self.s.store(total, buffer, home)

    def finish(self) -> None:
        """Put the blocks together and store the results."""
        for op, buffer in self.totals.items():
            if self.blocks != 1:
                self.s.emit("tree_combine", buffer, combiner=combiner_of(op))
            self.s.keep(op.result, partial(self._combined, op, buffer))
        inner = Extent(self.sizes)
        emit_loop_nest(self.s, inner, 0, lambda: self._store_results(inner))

    def _combined(self, op: Operation, buffer: Value, index: Index) -> tuple[Value, Affine]:
        """Where a result is: in the first block."""
        return buffer, self.s.offset(index, tensor_type(op.result).shape)

    def _store_results(self, inner: Extent) -> None:
        long = [p for p, size in zip(inner.index, self.sizes, strict=True) if size != 1]
        for value, buffer in self.group.across_outputs:
            shape, positions = tensor_type(value).shape, iter(long)
            place = tuple(Affine() if size == 1 else next(positions) for size in shape)
            self.s.store(self.s.read(value, place), buffer, self.s.offset(place, shape))
