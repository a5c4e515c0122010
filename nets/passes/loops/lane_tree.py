"""Lowering of ``loop.reduce`` onto vectors: the lane tree of numerics.md, 4.

The tree has ``reduce_lanes(dtype)`` lanes, several vectors' worth. Each vector of running results
takes every so-many-th vector of elements. Light bodies keep all running results in registers and
handle a whole row of the tree per iteration. Heavy bodies, and bodies that cannot be widened,
keep them in scratch memory and handle one vector or two, or one element, per iteration. In the end
the vectors combine by halving, and so do the lanes of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.builder import Builder
from nets.ir.clone import clone_into
from nets.ir.core import Operation, Value
from nets.ir.types import BufferType, index
from nets.machine.machine import Machine
from nets.ops.loop.index_values import constant_of, distance
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.totals import Slot, Total, make_total
from nets.passes.loops.widen import Body, Copy, Widener, is_better_in_pairs

_REGISTER_CYCLES = 64
"""What a row of the tree, or all that there is, may take so that the results stay in registers."""


def lower_reduce(op: Operation, machine: Machine) -> None:
    """Replace a ``loop.reduce`` by loops over vectors."""
    assert op.block is not None
    s = LoopBuilder(Builder(op.block, op, op.location))
    body = Body(op.regions[0].block, machine)
    dtypes = [value.type.dtype for value in body.yielded]
    sizes = [dtype.itemsize for dtype in dtypes]
    lanes = max(1, min(body.lanes, machine.vector_bytes // max(sizes)))
    totals = [
        make_total(s, combiner, dtype, lanes)
        for combiner, dtype in zip(op.attributes["combiners"], dtypes, strict=True)
    ]
    hi = op.operands[0]
    if lanes == 1 or not body.can_widen():
        slots = _ScalarSteps(s, op, body, totals).run(hi)
    elif _suits_registers(body, lanes, totals, hi):
        slots = _Registers(s, body, lanes, totals).run(hi)
    else:
        at_once = 2 if is_better_in_pairs(body) else 1
        slots = _VectorSteps(s, body, lanes, totals, at_once).run(hi)
    results: list[Value] = []
    for total, vectors in zip(totals, slots, strict=True):
        results += total.finish(vectors)
    op.replace_with(results)


def _suits_registers(body: Body, lanes: int, totals: Sequence[Total], hi: Value) -> bool:
    count = constant_of(hi)
    elements = _row(totals) if count is None else min(_row(totals), count)
    if body.cycles * -(-elements // lanes) > _REGISTER_CYCLES:
        return False
    # Whole vectors of the last row may have no element left, and then repeat the last one.
    return count is not None or body.is_maskable() or body.may_repeat()


def _row(totals: Sequence[Total]) -> int:
    """Elements of a row of the tree; of the widest, if dtypes differ."""
    return max(total.row for total in totals)


Slots = list[list[Slot]]
"""The vectors of running results of each total; fewer where the others took no element."""


class _Registers:
    """Rows of the tree one by one, with all running results carried along in registers."""

    def __init__(self, s: LoopBuilder, body: Body, lanes: int, totals: Sequence[Total]) -> None:
        self.s = s
        self.body = body
        self.lanes = lanes
        self.totals = totals
        self.row = _row(totals)

    def run(self, hi: Value) -> Slots:
        count = constant_of(hi)
        if count is None:
            return self._dynamic(hi)
        span = count // self.row * self.row
        if not span:
            return self._first_row(count)
        slots = self._rows(self.s.const(0, index), self.s.const(span, index), self._initial())
        return self._rest(slots, span, count)

    def _initial(self) -> Slots:
        return [[total.initial()] * total.vectors for total in self.totals]

    def _first_row(self, count: int) -> Slots:
        """Fewer elements than a row: only the vectors that take one."""
        needed = max(1, -(-count // self.lanes))
        slots = [vectors[:needed] for vectors in self._initial()]
        return self._rest(slots, 0, count)

    def _rest(self, slots: Slots, done: int, count: int) -> Slots:
        """The elements behind the last whole row."""
        widener = Widener(self.s, self.body, self.lanes)
        start = self.s.const(done, index)
        for shift in range(0, count - done, self.lanes):
            left = count - done - shift
            if left >= self.lanes:
                self._take(widener, slots, Copy(start, shift))
            else:
                end = self.s.const(count, index)
                self._take_some(widener, slots, start, shift, end, self.s.const(left, index))
        return slots

    def _dynamic(self, hi: Value) -> Slots:
        s = self.s
        span = s.binary("and", hi, s.const(-self.row, index))
        slots = self._rows(s.const(0, index), span, self._initial())
        return self._carry(span, hi, slots, masked=True)

    def _rows(self, lo: Value, hi: Value, slots: Slots) -> Slots:
        return self._carry(lo, hi, slots, masked=False)

    def _carry(self, lo: Value, hi: Value, slots: Slots, *, masked: bool) -> Slots:
        """A loop over rows that carries the running results."""
        s = self.s
        loop = s.for_(lo, hi, [part for slot in _flat(slots) for part in slot], step=self.row)
        with s.inside(loop) as block:
            start, *carried = block.arguments
            inner = _shaped_like(slots, carried)
            widener = Widener(s, self.body, self.lanes)
            shifts = range(0, self.row, self.lanes)
            if masked:
                for shift in shifts:
                    left = s.sub(hi, s.add(start, s.const(shift, index)))
                    self._take_some(widener, inner, start, shift, hi, left)
            else:
                for shift in shifts:
                    self._take(widener, inner, Copy(start, shift))
            s.yield_(*(part for slot in _flat(inner) for part in slot))
        return _shaped_like(slots, loop.results)

    def _take(self, widener: Widener, slots: Slots, copy: Copy) -> None:
        widener.emit([copy])
        _add_elements(widener, self.totals, slots, copy, None)

    def _take_some(
        self, widener: Widener, slots: Slots, start: Value, shift: int, end: Value, left: Value
    ) -> None:
        """A vector of which ``left`` lanes have an element."""
        mask = self.s.emit("tail_mask", left, lanes=self.lanes).result
        copy = Copy(start, shift, end, mask if self.body.is_maskable() else None)
        widener.emit([copy])
        _add_elements(widener, self.totals, slots, copy, mask)


def _add_elements(
    widener: Widener, totals: Sequence[Total], slots: Slots, copy: Copy, mask: Value | None
) -> None:
    """Let the running results take the vector of elements that ``copy`` has computed."""
    number = copy.shift // widener.lanes
    for total, vectors, value in zip(totals, slots, widener.body.yielded, strict=True):
        element = widener.vector(value, copy)
        place = number % total.vectors
        row = copy.shift // total.row * total.row
        start = widener.s.add(copy.start, widener.s.const(row, index)) if row else copy.start
        vectors[place] = total.take(vectors[place], element, start, mask)


def _flat(slots: Slots) -> list[Slot]:
    return [slot for vectors in slots for slot in vectors]


def _shaped_like(slots: Slots, values: Sequence[Value]) -> Slots:
    parts = iter(values)
    return [[tuple(next(parts) for _ in slot) for slot in vectors] for vectors in slots]


class _VectorSteps:
    """A vector or two of elements per iteration; the running results stay in scratch memory."""

    def __init__(
        self, s: LoopBuilder, body: Body, lanes: int, totals: Sequence[Total], vectors: int = 1
    ) -> None:
        self.s = s
        self.body = body
        self.lanes = lanes
        self.totals = totals
        self.vectors = vectors
        self.memory = [
            [s.scratch(BufferType((total.row,), dtype)) for dtype in total.dtypes]
            for total in totals
        ]

    def run(self, hi: Value) -> Slots:
        self._store_initial()
        count, done = constant_of(hi), self.s.const(0, index)
        for vectors in dict.fromkeys((self.vectors, 1)):
            width = vectors * self.lanes
            if count is None:
                span = self.s.binary("and", hi, self.s.const(-width, index))
            else:
                span = self.s.const(count // width * width, index)
            if distance(done, span) != 0:
                self._loop(done, span, vectors)
            done = span
        if self.lanes > 1 and (count is None or count % self.lanes):
            self._loop(done, hi, 1, hi)
        return self._load_all()

    def _store_initial(self) -> None:
        for total, buffers in zip(self.totals, self.memory, strict=True):
            for part, buffer in zip(total.initial(), buffers, strict=True):
                for place in range(0, total.row, total.lanes):
                    self._store(part, buffer, None, place)

    def _load_all(self) -> Slots:
        return [
            [
                tuple(self._load(b, None, number * total.lanes, total.lanes) for b in buffers)
                for number in range(total.vectors)
            ]
            for total, buffers in zip(self.totals, self.memory, strict=True)
        ]

    def _load(self, buffer: Value, place: Value | None, offset: int, lanes: int) -> Value:
        indices, strides = ([], ()) if place is None else ([place], (1,))
        op = self.s.emit("load", buffer, *indices, lanes=lanes, offset=offset, strides=strides)
        return op.result

    def _store(self, value: Value, buffer: Value, place: Value | None, offset: int) -> None:
        indices, strides = ([], ()) if place is None else ([place], (1,))
        self.s.emit("store", value, buffer, *indices, offset=offset, strides=strides)

    def _loop(self, lo: Value, hi: Value, vectors: int, end: Value | None = None) -> None:
        s = self.s
        loop = s.for_(lo, hi, step=vectors * self.lanes)
        with s.inside(loop) as block:
            self._step(block.arguments[0], vectors, end)
            s.yield_()

    def _step(self, start: Value, vectors: int, end: Value | None) -> None:
        """Take the elements from ``start`` on; up to ``end``, if the vector goes past it."""
        s, mask = self.s, None
        if end is not None:
            mask = s.emit("tail_mask", s.sub(end, start), lanes=self.lanes).result
        lane_mask = mask if self.body.is_maskable() else None
        copies = [Copy(start, number * self.lanes, end, lane_mask) for number in range(vectors)]
        widener = Widener(s, self.body, self.lanes)
        widener.emit(copies)
        for copy in copies:
            elements = [widener.vector(value, copy) for value in self.body.yielded]
            self._add(start, copy.shift, elements, mask)

    def _add(self, start: Value, shift: int, elements: Sequence[Value], mask: Value | None) -> None:
        """Let the lanes from ``start + shift`` on, modulo the row, take the elements.

        Both are in the same row of the tree.
        """
        s = self.s
        for total, buffers, element in zip(self.totals, self.memory, elements, strict=True):
            place = s.binary("and", start, s.const(total.row - 1, index))
            slot = tuple(self._load(buffer, place, shift, self.lanes) for buffer in buffers)
            taken = total.take(slot, element, start, mask)
            for part, buffer in zip(taken, buffers, strict=True):
                self._store(part, buffer, place, shift)


class _ScalarSteps(_VectorSteps):
    """One element per iteration, for bodies whose iterations must run one after the other."""

    def __init__(self, s: LoopBuilder, op: Operation, body: Body, totals: Sequence[Total]) -> None:
        super().__init__(s, body, 1, totals)
        self.operations = body.operations

    def _step(self, start: Value, vectors: int, end: Value | None) -> None:
        mapping = {self.body.counter: start}
        clone_into(self.s.builder, self.operations, mapping)
        elements = [mapping.get(value, value) for value in self.body.yielded]
        self._add(start, 0, elements, None)
