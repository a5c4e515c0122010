"""Along an axis that others lie behind: the lanes of vectors are neighbours there.

The states of a few vectors stay in registers. Of more, a chunk of each row is done after that of
the row before it, whose results are read again; what else is in a state lies in scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, index
from nets.ops.loop.lane_vectors import LaneVectors
from nets.ops.order.running_pass import Pass, power_below
from nets.ops.order.running_rules import State

IN_REGISTERS: Final = 4
"""Vectors whose states stay in registers."""

CHUNK: Final = 32
"""Vectors of a row at a time: they stay in the fastest cache."""

Begin = Callable[[Affine], Affine]
"""Where the vector of a number begins."""


class Across(Pass):
    """All vectors behind the axis."""

    def write(self) -> None:
        s, inner = self.s, self.layout.inner
        outer = s.parallel(0, self.layout.outer)
        with s.inside(outer) as body:
            row = Affine.of(body.arguments[0])
            if isinstance(inner, int):
                self._known(row, inner)
            else:
                self._open(row, inner)
            s.yield_()

    def _known(self, row: Affine, inner: int) -> None:
        """Vectors, the last of which ends with the axes."""
        s, v = self.s, self.lanes(power_below(inner, self.width))
        count, last = -(-inner // v.width), inner - v.width
        if count <= IN_REGISTERS:
            self._in_registers(v, row, [min(i * v.width, last) for i in range(count)])
        elif inner % v.width == 0:
            self._chunks(v, row, count, lambda number: number * v.width)
        else:
            self._chunks(
                v,
                row,
                count,
                lambda number: Affine.of(
                    s.binary("min", s.index(number * v.width), s.const(last, index))
                ),
            )

    def _open(self, row: Affine, inner: Dim) -> None:
        """Of a number that a call tells: vectors, and behind them single elements."""
        v, one = self.lanes(self.width), self.lanes(1)
        whole = inner // v.width
        self._chunks(v, row, whole, lambda number: number * v.width)
        if v.width > 1:
            behind = whole * v.width
            self._chunks(one, row, inner - behind, lambda number: number + behind)

    def _in_registers(self, v: LaneVectors, row: Affine, starts: list[int]) -> None:
        s, start = self.s, self.rule.start(v)
        loop = s.for_(0, self.layout.size, start * len(starts))
        with s.inside(loop) as body:
            number, *states = body.arguments
            step = Affine.of(number)
            now, found = self.step(v, step), []
            for i, column in enumerate(starts):
                place = self.layout.place(row, step, Affine.of(column))
                state = states[i * len(start) : (i + 1) * len(start)]
                state = self.rule.step(v, state, self.given(v, place), now)
                v.store(state[-1], self.out, place)
                found += state
            s.yield_(*found)

    def _chunks(self, v: LaneVectors, row: Affine, count: Dim, begin: Begin) -> None:
        s = self.s
        loop = s.parallel(0, (count + (CHUNK - 1)) // CHUNK)
        with s.inside(loop) as body:
            low = Affine.of(body.arguments[0]) * CHUNK
            rest = s.sub(s.const(count, index), s.index(low))
            _Chunk(self, v, row, low, s.binary("min", rest, s.const(CHUNK, index)), begin).write()
            s.yield_()


class _Chunk:
    """So many vectors from that of the number ``low`` on."""

    def __init__(
        self, own: Across, v: LaneVectors, row: Affine, low: Affine, count: Value, begin: Begin
    ) -> None:
        self.own, self.v, self.row = own, v, row
        self.low, self.count, self.begin = low, count, begin
        types = [BufferType((CHUNK * v.width,), dtype) for dtype in own.rule.dtypes[:-1]]
        self.memory = [own.s.scratch(type) for type in types]

    def write(self) -> None:
        s, own = self.own.s, self.own
        self._row(Affine.of(0), lambda number: own.rule.start(self.v))
        rows = s.for_(1, own.layout.size)
        with s.inside(rows) as body:
            step = Affine.of(body.arguments[0])
            self._row(step, lambda number: self._before(step, number))
            s.yield_()

    def _row(self, step: Affine, before: Callable[[Affine], State]) -> None:
        s, own, v = self.own.s, self.own, self.v
        now = own.step(v, step)
        loop = s.for_(0, self.count)
        with s.inside(loop) as body:
            number = Affine.of(body.arguments[0])
            place = self._place(step, number)
            state = own.rule.step(v, before(number), own.given(v, place), now)
            v.store(state[-1], own.out, place)
            for part, memory in zip(state, self.memory, strict=False):
                v.store(part, memory, number * v.width)
            s.yield_()

    def _before(self, step: Affine, number: Affine) -> State:
        """The state that the step before has left in memory."""
        v = self.v
        kept = [v.load(memory, number * v.width) for memory in self.memory]
        return [*kept, v.load(self.own.out, self._place(step - 1, number))]

    def _place(self, step: Affine, number: Affine) -> Affine:
        return self.own.layout.place(self.row, step, self.begin(self.low + number))
