"""Loops of COLUMN groups: reductions over leading axes with what feeds them and what follows.

The rows are streamed once. The reduction tree (numerics.md, 4): blocks of ``ROWS`` rows are added
up in order, element by element, and ``loop.tree_combine`` puts the blocks together. A loop along a
row handles several rows at a time, as many as the work per element allows, so that the running
results stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nets.ir.affine import Affine, linear
from nets.ir.core import Block, Operation, Value
from nets.ir.estimates import about
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, index
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.passes.lowering.combiners import ROWS, combiner_of, empty_result, first_total
from nets.passes.lowering.element_builder import ElementBuilder, Index
from nets.passes.lowering.map_loops import emit_loop_nest, store_elements
from nets.passes.spaces.group import Group, arranged, positions_in, reduced_index
from nets.passes.spaces.loop_nests import (
    PARALLEL_TRIPS,
    Extent,
    add_counter,
    blocks_of,
    loop_over,
    parallel_over,
)

BODY_CYCLES = 60
"""What a loop body may take; it bounds how many rows one body handles."""


def lower_columns(s: ElementBuilder, group: Group) -> None:
    """Loops that store the outputs of a COLUMN group."""
    space = group.space
    if space.count(space.kept) == 0:
        return
    rows = space.count(space.reduced)
    if isinstance(rows, int) and rows <= _rows_at_once(group, ROWS, s.machine):
        _lower_few_rows(s, group)
        return
    batch, work = s.extent(space.sizes(space.outer)).count, group.work(s.machine)
    is_big = about(batch * rows * space.count(space.columns)) * work >= s.machine.fork_cycles
    shares_batch = is_big and about(batch) >= PARALLEL_TRIPS
    emission = _Columns(s, group, work=work if is_big and not shares_batch else 0)
    if not shares_batch:
        emission.make_partials(s.alloc)
    if batch == 1:
        with s.group():
            emission.emit()
        return
    with s.group(), s.body(Block()) as body:
        if shares_batch:
            emission.make_partials(s.scratch)
        emission.emit()
        s.yield_()
    emission.outer.resolve(s, body, add_counter(body))
    if shares_batch:
        parallel_over(s, body, batch)
    else:
        loop_over(s, body, 0, batch)


def _rows_at_once(group: Group, most: int, machine: Machine) -> int:
    """A power of two of rows that fit a loop body, ``most`` where the work is light.

    Rows are often a multiple of a page apart, so that the same columns of all of them compete for
    one set of the first cache.

    Just one where rows are also stored: several stores to one buffer would keep the body from
    being vectorized.
    """
    rows, cycles = 1 if group.full_outputs else most, group.cycles(machine)
    while rows > 1 and rows * cycles > BODY_CYCLES:
        rows //= 2
    return rows


def _combine(s: ElementBuilder, op: Operation, total: Value | None, element: Value) -> Value:
    if total is None:
        return first_total(s, op, element)
    return s.binary(combiner_of(op), total, element)


def _lower_few_rows(s: ElementBuilder, group: Group) -> None:
    """All rows in one loop body: no partial results, and what follows is in the same body."""
    space = group.space
    kept = s.extent(space.sizes(space.kept))
    work = group.work(s.machine) * about(space.count(space.reduced))
    with s.group():
        emit_loop_nest(s, kept, work, lambda: _emit_few_rows(s, group, kept.index))


def _emit_few_rows(s: ElementBuilder, group: Group, kept: Index) -> None:
    space = group.space
    totals: dict[Operation, Value] = {}
    for place in positions_in(space.sizes(space.reduced)):
        index = arranged(space, [(space.kept, kept), (space.reduced, place)])
        for op in group.reductions:
            totals[op] = _combine(s, op, totals.get(op), s.read(op.operands[0], index))
        store_elements(s, group.full_outputs, index)
    for op in group.reductions:
        s.define(op.result, kept, totals[op] if op in totals else empty_result(s, op))
    _store_reduced(s, group, kept)


def _store_reduced(s: ElementBuilder, group: Group, kept: Index) -> None:
    """Store the outputs with one element per result, at the positions along the kept axes."""
    for value, buffer in group.reduced_outputs:
        place = reduced_index(group.space, tensor_type(value).shape, kept)
        s.store(s.read(value, place), *s.home(value, buffer, place))


class _Columns:
    """Emits one batch element of a group with more rows than one loop body handles.

    ``work`` is the work per element if loops inside may be split among threads, else 0.
    """

    def __init__(self, s: ElementBuilder, group: Group, work: float) -> None:
        self.s = s
        self.group = group
        self.space = group.space
        self.work = work
        self.rows = self.space.count(self.space.reduced)
        self.blocks = blocks_of(self.rows, ROWS)
        self.at_once = _rows_at_once(group, s.machine.l1_ways, s.machine)
        self.outer = s.extent(self.space.sizes(self.space.outer))
        self.partials: dict[Operation, Value] = {}

    def make_partials(self, make: Callable[[BufferType], Value]) -> None:
        """Buffers for the results of the blocks; private ones where batches run in parallel."""
        width = self.space.count(self.space.columns)
        for op in self.group.reductions:
            self.partials[op] = make(BufferType((self.blocks, width), op.result.type.dtype))

    def emit(self) -> None:
        whole, rest = self.rows // ROWS, self.rows % ROWS
        shares_blocks = self.work > 0 and about(whole) >= PARALLEL_TRIPS // 2
        inner_work = 0 if shares_blocks else self.work
        if whole != 0:
            with self.s.body(Block()) as body:
                self._emit_block(add_counter(body), ROWS, inner_work)
                self.s.yield_()
            if shares_blocks:
                parallel_over(self.s, body, whole)
            else:
                loop_over(self.s, body, 0, whole)
        if isinstance(rest, Size):
            self._emit_last_block(whole, rest, inner_work)
        elif rest:
            self._emit_block(Affine.of(whole), rest, inner_work)
        self._combine_blocks()
        self._emit_results()

    def _emit_block(self, block: Affine, rows: int, work: float) -> None:
        first = min(self.at_once, rows)
        start = block * ROWS
        self._emit_rows(block, [start + i for i in range(first)], work, is_first=True)
        passes, rest = divmod(rows - first, self.at_once)
        if passes:
            with self.s.body(Block()) as body:
                at = start + first + add_counter(body) * self.at_once
                self._emit_rows(block, [at + i for i in range(self.at_once)], work)
                self.s.yield_()
            loop_over(self.s, body, 0, passes)
        if rest:
            at = start + (rows - rest)
            self._emit_rows(block, [at + i for i in range(rest)], work)

    def _emit_last_block(self, whole: Dim, rest: Size, work: float) -> None:
        """The rows behind the whole blocks, of which a call tells how many there are."""
        s, block, start = self.s, Affine.of(whole), Affine.of(whole * ROWS)
        is_some = s.compare("gt", s.const(rest, index), s.const(0, index))
        with s.body(s.if_(is_some).regions[0].block):
            self._emit_rows(block, [start], work, is_first=True)
            s.yield_()
        with s.body(Block()) as body:
            self._emit_rows(block, [start + add_counter(body)], work)
            s.yield_()
        loop_over(s, body, 1, rest)
        is_none = s.compare("eq", s.const(self.rows, index), s.const(0, index))
        with s.body(s.if_(is_none).regions[0].block):
            self._clear()
            s.yield_()

    def _clear(self) -> None:
        """Let the results be those of no row."""
        s, columns = self.s, Extent(self.space.sizes(self.space.columns))
        home = linear(columns.index, columns.sizes)

        def emit() -> None:
            for op, partials in self.partials.items():
                s.store(empty_result(s, op), partials, home)

        emit_loop_nest(s, columns, 0, emit)

    def _emit_rows(
        self, block: Affine, rows: Sequence[Affine], work: float, is_first: bool = False
    ) -> None:
        """A loop along these rows that combines them into the partial results of the block."""
        s, space = self.s, self.space
        columns = Extent(space.sizes(space.columns))
        home = block * columns.count + linear(columns.index, columns.sizes)

        def emit() -> None:
            totals: dict[Operation, Value] = {}
            if not is_first:
                totals = {op: s.load(self.partials[op], home) for op in self.group.reductions}
            for row in rows:
                extent = Extent(space.sizes(space.reduced))
                self._add_row(columns.index, extent.index, totals)
                extent.resolve(s, s.builder.block, row)
            for op, total in totals.items():
                s.store(total, self.partials[op], home)

        emit_loop_nest(s, columns, work * len(rows), emit)

    def _add_row(self, columns: Index, row: Index, totals: dict[Operation, Value]) -> None:
        s, space = self.s, self.space
        parts = [(space.outer, self.outer.index), (space.reduced, row), (space.columns, columns)]
        index = arranged(space, parts)
        for op in self.group.reductions:
            totals[op] = _combine(s, op, totals.get(op), s.read(op.operands[0], index))
        store_elements(s, self.group.full_outputs, index)

    def _combine_blocks(self) -> None:
        for op, partials in self.partials.items():
            if self.blocks != 1:
                self.s.emit("tree_combine", partials, combiner=combiner_of(op))
            self.s.keep(op.result, partial(self._home, partials))

    def _home(self, partials: Value, index: Index) -> tuple[Value, Affine]:
        """Where a combined result is: in the first row of the partial results."""
        space = self.space
        return partials, linear(index[len(space.outer) :], space.sizes(space.columns))

    def _emit_results(self) -> None:
        """Store what has an element per column, from the combined results."""
        if not self.group.reduced_outputs:
            return
        s, columns = self.s, Extent(self.space.sizes(self.space.columns))
        place = (*self.outer.index, *columns.index)
        emit_loop_nest(s, columns, self.work, lambda: _store_reduced(s, self.group, place))
