"""Rows whose elements lie one behind the other, side by side in the lanes of vectors.

Squares of as many rows as lanes are transposed on their way in and out, so that vectors hold one
element of each row. Behind the last row of a group that is not full, it stands again.
"""

from __future__ import annotations

from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType, index
from nets.ops.loop.lane_vectors import LaneVectors
from nets.ops.order.running_pass import Pass, power_below
from nets.ops.order.running_rules import State

SQUARE: Final = 8
"""Rows side by side at most: larger squares take more shuffles per element."""


class Rows(Pass):
    """All rows, by groups."""

    @property
    def group(self) -> int:
        """How many rows go side by side."""
        outer, size = self.layout.outer, self.layout.size
        width = min(self.width, SQUARE)
        if isinstance(outer, int):
            width = power_below(2 * outer - 1, width)
        return power_below(size, width) if isinstance(size, int) else width

    def write(self) -> None:
        s, outer, v = self.s, self.layout.outer, self.lanes(self.group)
        groups = s.parallel(0, (outer + (v.width - 1)) // v.width)
        with s.inside(groups) as body:
            start = Affine.of(body.arguments[0]) * v.width
            rows = [s.index(start + lane) for lane in range(v.width)]
            if not isinstance(outer, int) or outer % v.width:
                last = s.const(outer - 1, index)
                rows = [s.binary("min", row, last) for row in rows]
            if isinstance(self.layout.size, int):
                self._squares(v, rows, self.layout.size)
            else:
                self._squares_and_columns(v, rows)
            s.yield_()

    def _squares(self, v: LaneVectors, rows: list[Value], size: int) -> None:
        s, width = self.s, v.width
        first = size % width or width
        loop = s.for_(0, -(-size // width), self.rule.start(v))
        with s.inside(loop) as body:
            number, *state = body.arguments
            states = self._square(v, rows, self.starts(number, first, width), state)
            whole = states[-1]
            s.yield_(*(self.ends(number, states[first - 1], whole) if first < width else whole))

    def _squares_and_columns(self, v: LaneVectors, rows: list[Value]) -> None:
        """Rows of a size that a call tells: squares, and behind them one column after the other."""
        s, size, width = self.s, self.layout.size, v.width
        squares = s.for_(0, size // width, self.rule.start(v))
        with s.inside(squares) as body:
            number, *state = body.arguments
            s.yield_(*self._square(v, rows, Affine.of(number) * width, state)[-1])
        rest = s.for_(size // width * width, size, squares.results)
        with s.inside(rest) as body:
            number, *state = body.arguments
            s.yield_(*self._column(v, rows, Affine.of(number), state))

    def _square(
        self, v: LaneVectors, rows: list[Value], start: Affine, state: State
    ) -> list[State]:
        """Reads so many columns, goes along and writes them; gives the state behind each."""
        layout = self.layout
        low = start + (v.width - 1) if layout.reverse else start
        places = [layout.place(Affine.of(row), low, Affine()) for row in rows]
        columns = [
            self._in_order(v.turned([v.load(source, place) for place in places]))
            for source in self.sources
        ]
        states = []
        for number, given in enumerate(zip(*columns, strict=True)):
            state = self.rule.step(v, state, list(given), self.step(v, start + number))
            states.append(state)
        found = v.turned(self._in_order([each[-1] for each in states]))
        for row, place in zip(found, places, strict=True):
            v.store(row, self.out, place)
        return states

    def _in_order(self, columns: list[Value]) -> list[Value]:
        """Columns as they lie in memory in the order of steps, or back."""
        return columns[::-1] if self.layout.reverse else columns

    def _column(self, v: LaneVectors, rows: list[Value], step: Affine, state: State) -> State:
        """One element of each row, by way of scratch memory."""
        one = self.lanes(1)
        places = [self.layout.place(Affine.of(row), step, Affine()) for row in rows]
        given = [self._gathered(v, source, places) for source in self.sources]
        state = self.rule.step(v, state, given, self.step(v, step))
        memory = self.s.scratch(BufferType((v.width,), self.out.type.dtype))
        v.store(state[-1], memory, Affine())
        for lane, place in enumerate(places):
            one.store(one.load(memory, Affine.of(lane)), self.out, place)
        return state

    def _gathered(self, v: LaneVectors, source: Value, places: list[Affine]) -> Value:
        one = self.lanes(1)
        memory = self.s.scratch(BufferType((v.width,), source.type.dtype))
        for lane, place in enumerate(places):
            one.store(one.load(source, place), memory, Affine.of(lane))
        return v.load(memory, Affine())
