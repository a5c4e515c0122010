"""Rows whose elements lie one behind the other, side by side in the lanes of vectors.

Squares of as many rows as lanes are transposed on their way in and out, so that vectors hold one
element of each row. Behind the last row of a group that is not full, it stands again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType, index
from nets.ops.loop.lane_vectors import LaneVectors
from nets.ops.order.running_pass import Pass, power_below
from nets.ops.order.running_rules import State

SQUARE: Final = 8
"""Rows side by side at most: larger squares take more shuffles per element."""

SHORT: Final = 4096
"""Bytes of a row below which the rows of a group are copied before they are read side by side: the
CPU fetches one long run ahead of time, but not as many short ones as there are lanes."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that go side by side, and where each begins: in what is read, and in the result."""

    v: LaneVectors
    sources: list[tuple[Value, list[Affine]]]
    rows: list[Affine]


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
            self._go_along(v, start, [Affine.of(row) for row in rows])
            s.yield_()

    def _go_along(self, v: LaneVectors, start: Affine, rows: list[Affine]) -> None:
        size = self.layout.size
        starts = [row * size for row in rows]
        if not isinstance(size, int):
            sources = [(source, starts) for source in self.sources]
            self._squares_and_columns(_Group(v, sources, starts))
            return
        near = [(row - start) * size for row in rows]
        sources = [
            (self._copied(v, source, start, size), near)
            if size * source.type.dtype.itemsize < SHORT
            else (source, starts)
            for source in self.sources
        ]
        self._squares(_Group(v, sources, starts), size)

    def _copied(self, v: LaneVectors, source: Value, start: Affine, size: int) -> Value:
        """The rows of a group in scratch memory; behind the last row there is what was there."""
        s, elements = self.s, v.width * size
        memory = s.scratch(BufferType((elements,), source.type.dtype))
        rest = s.index(-start * size + self.layout.elements)
        last = s.sub(s.binary("min", s.const(elements, index), rest), s.const(v.width, index))
        loop = s.for_(0, size)
        with s.inside(loop) as body:
            place = Affine.of(body.arguments[0]) * v.width
            at = Affine.of(s.binary("min", s.index(place), last))
            v.store(v.load(source, start * size + at), memory, at)
            s.yield_()
        return memory

    def _squares(self, group: _Group, size: int) -> None:
        s, width = self.s, group.v.width
        first = size % width or width
        loop = s.for_(0, -(-size // width), self.rule.start(group.v))
        with s.inside(loop) as body:
            number, *state = body.arguments
            states = self._square(group, self.starts(number, first, width), state)
            whole = states[-1]
            s.yield_(*(self.ends(number, states[first - 1], whole) if first < width else whole))

    def _squares_and_columns(self, group: _Group) -> None:
        """Rows of a size that a call tells: squares, and behind them one column after the other."""
        s, size, width = self.s, self.layout.size, group.v.width
        squares = s.for_(0, size // width, self.rule.start(group.v))
        with s.inside(squares) as body:
            number, *state = body.arguments
            s.yield_(*self._square(group, Affine.of(number) * width, state)[-1])
        rest = s.for_(size // width * width, size, squares.results)
        with s.inside(rest) as body:
            number, *state = body.arguments
            s.yield_(*self._column(group, Affine.of(number), state))

    def _square(self, group: _Group, start: Affine, state: State) -> list[State]:
        """Reads so many columns, goes along and writes them; gives the state behind each."""
        layout, v = self.layout, group.v
        low = layout.at(start + (v.width - 1) if layout.reverse else start)
        columns = [
            self._in_order(v.turned([v.load(source, row + low) for row in rows]))
            for source, rows in group.sources
        ]
        states = []
        for number, given in enumerate(zip(*columns, strict=True)):
            state = self.rule.step(v, state, list(given), self.step(v, start + number))
            states.append(state)
        found = v.turned(self._in_order([each[-1] for each in states]))
        for vector, row in zip(found, group.rows, strict=True):
            v.store(vector, self.out, row + low)
        return states

    def _in_order(self, columns: list[Value]) -> list[Value]:
        """Columns as they lie in memory in the order of steps, or back."""
        return columns[::-1] if self.layout.reverse else columns

    def _column(self, group: _Group, step: Affine, state: State) -> State:
        """One element of each row, by way of scratch memory."""
        v, one, at = group.v, self.lanes(1), self.layout.at(step)
        given = []
        for source, rows in group.sources:
            memory = self.s.scratch(BufferType((v.width,), source.type.dtype))
            for lane, row in enumerate(rows):
                one.store(one.load(source, row + at), memory, Affine.of(lane))
            given.append(v.load(memory, Affine()))
        state = self.rule.step(v, state, given, self.step(v, step))
        memory = self.s.scratch(BufferType((v.width,), self.out.type.dtype))
        v.store(state[-1], memory, Affine())
        for lane, row in enumerate(group.rows):
            one.store(one.load(memory, Affine.of(lane)), self.out, row + at)
        return state
