"""Loops of ROW groups: reductions over trailing axes with what feeds them and what follows.

All phases of a row run one after another while the row is in the cache. Rows are shared among
threads; where there are only a few long rows, the blocks of each row are instead.

The reduction tree (numerics.md, 4) depends on the length of the row and the dtype only: up to
``reduce_block`` elements are one ``loop.reduce``, longer rows are cut into such blocks, whose
results ``loop.tree_combine`` puts together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from nets.ir.affine import Affine, linear
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.estimates import about
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, index
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.ops.loop.reduction_tree import ARG_COMBINERS, reduce_block, reduce_lanes
from nets.passes.lowering.block_totals import BlockTotals
from nets.passes.lowering.combiners import (
    ROWS,
    combine_by_halving,
    combiner_of,
    empty_result,
    first_total,
)
from nets.passes.lowering.element_builder import ElementBuilder, Index
from nets.passes.lowering.map_loops import emit_loop_nest
from nets.passes.lowering.row_phases import Phase, levels_of, phases_of
from nets.passes.spaces.group import Group, arranged, is_reduced, positions_in, reduced_index
from nets.passes.spaces.loop_nests import (
    PARALLEL_TRIPS,
    Extent,
    add_counter,
    blocks_of,
    loop_over,
    parallel_over,
    reduce_over,
)

SHORT_ROW = 7
"""Elements of a row that a straight-line body may hold; longer rows fill vectors of their own."""

SHORT_ROW_CYCLES = 80
"""What such a body may take, for the sake of compile time."""


def lower_rows(s: ElementBuilder, group: Group) -> None:
    """Loops that store the outputs of a ROW group."""
    space = group.space
    rows = s.extent(space.sizes(space.outer)).count
    length = space.count(space.reduced)
    if rows == 0:
        return
    if group.across:
        _lower_row_blocks(s, group)
        return
    if _are_short(group, s.machine):
        emission = _Rows(s, group, splits_rows=False, is_private=True)
        with s.group():
            emit_loop_nest(s, emission.outer, about(length) * group.work(s.machine), emission.emit)
        return
    is_big = about(rows * length) * group.work(s.machine) >= s.machine.fork_cycles
    shares_rows = is_big and about(rows) >= PARALLEL_TRIPS
    emission = _Rows(s, group, splits_rows=is_big and not shares_rows, is_private=shares_rows)
    if rows == 1:
        with s.group():
            emission.emit()
        return
    with s.group(), s.body(Block()) as body:
        emission.emit()
        s.yield_()
    emission.outer.resolve(s, body, add_counter(body))
    if shares_rows:
        parallel_over(s, body, rows)
    else:
        loop_over(s, body, 0, rows)


def _lower_row_blocks(s: ElementBuilder, group: Group) -> None:
    """Loops over blocks of rows, and over the rows of each, which add to the totals of the block.

    The blocks are those of the reduction tree across rows, so its bits are those of a COLUMN group.
    """
    rows, elements = group.space.count(group.space.outer), math.prod(group.space.shape)
    is_big = about(elements) * group.work(s.machine) >= s.machine.fork_cycles
    emission = _Rows(s, group, splits_rows=False, is_private=is_big)
    with s.group():
        across = BlockTotals(s, group)
        with s.body(Block()) as blocks:
            number = add_counter(blocks)
            across.clear(number)
            with s.body(Block()) as body:
                emission.emit(partial(across.add, number))
                s.yield_()
            emission.outer.resolve(s, body, number * ROWS + add_counter(body))
            loop_over(s, body, 0, block_length(s, number, ROWS, rows))
            s.yield_()
        if is_big:
            parallel_over(s, blocks, blocks_of(rows, ROWS))
        else:
            loop_over(s, blocks, 0, blocks_of(rows, ROWS))
        across.finish()


def _are_short(group: Group, machine: Machine) -> bool:
    """Whether all elements of a row fit one straight-line body, which then runs on many rows.

    Rows that are stored do not: the stores to one buffer would keep that from being vectorized.
    """
    length = group.space.count(group.space.reduced)
    return (
        isinstance(length, int)
        and 1 < length <= SHORT_ROW
        and length * group.cycles(machine) <= SHORT_ROW_CYCLES
        and not group.full_outputs
        and all(combiner_of(op) not in ARG_COMBINERS for op in group.reductions)
    )


def block_length(s: ElementBuilder, number: Affine, size: int, length: Dim) -> int | Value:
    """How many of ``length`` elements are in the block of that number, of ``size`` each."""
    if isinstance(length, int) and length % size == 0:
        return size
    return s.binary("min", s.const(size, index), s.index(-(number * size) + length))


class _Rows:
    """Emits one row of a group.

    Buffers of a row are ``loop.scratch`` if rows run at the same time (``is_private``); else they
    are made before the loop over the rows, for all rows in turn.
    """

    def __init__(
        self, s: ElementBuilder, group: Group, *, splits_rows: bool, is_private: bool
    ) -> None:
        self.s = s
        self.group = group
        self.space = group.space
        self.length = self.space.count(self.space.reduced)
        self.outer = s.extent(self.space.sizes(self.space.outer))
        self.splits_rows = splits_rows
        self.is_private = is_private
        self.phases = phases_of(group)
        self.levels = levels_of(group)
        self.outputs = dict(group.outputs)
        self.memory: dict[object, Value] = {}
        if not is_private:
            self._make_buffers()

    # Memory of a row.
    def _make_buffers(self) -> None:
        make = self.s.scratch if self.is_private else self.s.alloc
        for phase in self.phases:
            for value in phase.stores:
                if value not in self.outputs:
                    type = BufferType(self.space.sizes(self.space.reduced), value.type.dtype)
                    self.memory[value] = make(type)
            for op in phase.reductions:
                if (blocks := self._blocks(op)) != 0:
                    self.memory[op] = make(BufferType((blocks, 1), op.result.type.dtype))

    def _blocks(self, op: Operation) -> Dim:
        """Blocks the row is cut into for this reduction; 0 if it is one ``loop.reduce``."""
        block = reduce_block(op.operands[0].type.dtype)
        is_short = isinstance(self.length, int) and self.length <= block
        if is_short or combiner_of(op) in ARG_COMBINERS:
            return 0
        return blocks_of(self.length, block)

    # Emission.
    def emit(self, add_across: Callable[[Extent, Index], None] | None = None) -> None:
        """One row; ``add_across`` adds its elements to the totals across rows, in their phase."""
        if self.is_private:
            self._make_buffers()
        for phase in self.phases:
            self._compute_row_scalars(phase)
            if not phase.reductions:
                self._emit_stores(phase.stores, add_across if phase.across else None)
            elif isinstance(self.length, int) and self.length <= 1:
                self._reduce_directly(phase)
            elif _are_short(self.group, self.s.machine):
                self._reduce_straight(phase.reductions)
            else:
                stores: Sequence[Value] = phase.stores
                for reductions in self._batches(phase.reductions):
                    self._reduce(reductions, stores)
                    stores = ()
        for value, buffer in self.group.reduced_outputs:
            place = self._row_index(value)
            self.s.store(self.s.read(value, place), *self.s.home(value, buffer, place))

    def _row_index(self, value: Value) -> Index:
        """The index of a value with one element per row."""
        return reduced_index(self.space, tensor_type(value).shape, self.outer.index)

    def _compute_row_scalars(self, phase: Phase) -> None:
        """Compute what depends on the row alone once, before the loop over its elements."""
        for op in self.group.ops:
            value = op.results[0]
            if op.has(Trait.ELEMENTWISE) and self.levels[value] <= phase.level:
                shape = tensor_type(value).shape
                if shape != self.space.shape and is_reduced(self.space, shape):
                    self.s.read(value, self._row_index(value))

    def _batches(self, reductions: Sequence[Operation]) -> list[list[Operation]]:
        """The reductions that can share a ``loop.reduce``: of one number of lanes and blocks."""
        batches: dict[tuple[int, Dim], list[Operation]] = {}
        for op in reductions:
            key = (reduce_lanes(op.operands[0].type.dtype), self._blocks(op))
            batches.setdefault(key, []).append(op)
        return list(batches.values())

    def _index(self, inner: Extent) -> Index:
        """The index of the elements that the loop body being emitted runs over."""
        space = self.space
        place = arranged(space, [(space.outer, self.outer.index), (space.reduced, inner.index)])
        self.s.accesses.places[self.s.accesses.body] = place
        return place

    def _inner(self) -> Extent:
        return Extent(self.space.sizes(self.space.reduced))

    def _reduce(self, reductions: list[Operation], stores: Sequence[Value]) -> None:
        if self._blocks(reductions[0]) != 0:
            self._reduce_blocks(reductions, stores)
        else:
            results = self._reduce_elements(reductions, stores, Affine(), self.length)
            self._define_results(reductions, results)
        self._keep(stores)

    def _define_results(self, reductions: list[Operation], results: Sequence[Value]) -> None:
        found = iter(results)
        for op in reductions:
            scalar = next(found)
            if combiner_of(op) in ARG_COMBINERS:
                scalar = self.s.cast(next(found), op.result.type.dtype)
            self.s.define(op.result, self.outer.index, scalar)

    def _reduce_elements(
        self, reductions: list[Operation], stores: Sequence[Value], start: Affine, hi: Dim | Value
    ) -> tuple[Value, ...]:
        """One ``loop.reduce`` over ``hi`` elements of the row from ``start`` on."""
        s, inner = self.s, self._inner()
        with s.body(Block()) as body:
            place = self._index(inner)
            scalars = [s.read(op.operands[0], place) for op in reductions]
            self._store(stores, place)
            s.yield_(*scalars)
        inner.resolve(s, body, start + add_counter(body))
        return reduce_over(s, body, hi, [combiner_of(op) for op in reductions])

    def _reduce_blocks(self, reductions: list[Operation], stores: Sequence[Value]) -> None:
        s = self.s
        size, blocks = (
            reduce_block(reductions[0].operands[0].type.dtype),
            self._blocks(reductions[0]),
        )
        with s.body(Block()) as body:
            number = add_counter(body)
            hi = block_length(s, number, size, self.length)
            results = self._reduce_elements(reductions, stores, number * size, hi)
            for op, result in zip(reductions, results, strict=True):
                s.store(result, self.memory[op], number)
            s.yield_()
        if self.splits_rows:
            parallel_over(s, body, blocks)
        else:
            loop_over(s, body, 0, blocks)
        for op in reductions:
            s.emit("tree_combine", self.memory[op], combiner=combiner_of(op))
            s.define(op.result, self.outer.index, s.load(self.memory[op], Affine()))

    def _reduce_directly(self, phase: Phase) -> None:
        """Rows of one element, or none."""
        s, place = self.s, self._index(self._inner())
        for op in phase.reductions:
            if self.length == 0:
                scalar = empty_result(s, op)
            else:
                scalar = first_total(s, op, s.read(op.operands[0], place))
            if combiner_of(op) in ARG_COMBINERS:
                scalar = s.const(0, op.result.type.dtype)
            s.define(op.result, self.outer.index, scalar)
        if self.length:
            self._store(phase.stores, place)

    def _reduce_straight(self, reductions: Sequence[Operation]) -> None:
        """Every element of the row one after the other, without a loop."""
        space = self.space
        indices = [
            arranged(space, [(space.outer, self.outer.index), (space.reduced, place)])
            for place in positions_in(space.sizes(space.reduced))
        ]
        for op in reductions:
            elements = [self.s.read(op.operands[0], index) for index in indices]
            total = combine_by_halving(self.s, op, elements)
            self.s.define(op.result, self.outer.index, total)

    def _emit_stores(
        self, stores: Sequence[Value], add_across: Callable[[Extent, Index], None] | None
    ) -> None:
        inner = self._inner()
        work = self.group.work(self.s.machine) if self.splits_rows else 0

        def emit() -> None:
            place = self._index(inner)
            if add_across is not None:
                # First, for it reads tensors whose places the stores may take.
                add_across(inner, place)
            self._store(stores, place)

        emit_loop_nest(self.s, inner, work, emit)

    def _store(self, stores: Sequence[Value], place: Index) -> None:
        scalars = [self.s.read(value, place) for value in stores]
        for value, scalar in zip(stores, scalars, strict=True):
            if value in self.outputs:
                self.s.store_element(scalar, value, self.outputs[value], place)
            else:
                self.s.store(scalar, *self._home(value, place))

    def _home(self, value: Value, place: Index) -> tuple[Value, Affine]:
        """Where the element of a full value at ``place`` is stored."""
        if value in self.outputs:
            return self.s.home(value, self.outputs[value], place)
        axes = self.space.reduced
        inner = tuple(place[axis] for axis in axes)
        return self.memory[value], linear(inner, self.space.sizes(axes))

    def _keep(self, stores: Sequence[Value]) -> None:
        for value in stores:
            self.s.keep(value, partial(self._home, value))
