"""One pass along an axis: what its loops have in common, and a row that is alone.

Such a row goes element by element, unless its operation is associative to the bit: then vectors of
it are scanned by log2(lanes) shifts (W. D. Hillis and G. L. Steele, "Data parallel algorithms",
CACM 29, 1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, bool_, i64, index
from nets.ops.loop.lane_vectors import LaneVectors
from nets.ops.loop.lowering import Lowering
from nets.ops.order.running_rules import Extreme, Rule, State, Step

LONG: Final = 16
"""Vectors of a row from which on a new extreme is seldom."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the axis lies in memory, and whether it is gone along from its end."""

    outer: Dim
    size: Dim
    inner: Dim
    reverse: bool

    def at(self, step: Affine) -> Affine:
        """The position on the axis of a step."""
        return -step + (self.size - 1) if self.reverse else step

    def place(self, row: Affine, step: Affine, column: Affine) -> Affine:
        return row * (self.size * self.inner) + self.at(step) * self.inner + column

    @property
    def elements(self) -> Dim:
        return self.outer * self.size * self.inner


class Pass:
    """The loops of one pass over buffers."""

    def __init__(
        self, s: Lowering, rule: Rule, sources: Sequence[Value], out: Value, layout: Layout
    ) -> None:
        self.s, self.rule, self.layout = s, rule, layout
        shape = (layout.elements,)
        self.sources = [s.view(x, BufferType(shape, x.type.dtype)) for x in sources]
        self.out = s.view(out, BufferType(shape, out.type.dtype))
        widest = max((*rule.dtypes, out.type.dtype), key=lambda dtype: dtype.itemsize)
        self.width = s.machine.lanes(widest)

    def lanes(self, width: int) -> LaneVectors:
        return LaneVectors(self.s, self.rule.dtype, width)

    def given(self, v: LaneVectors, place: Affine) -> list[Value]:
        return [v.load(source, place) for source in self.sources]

    def step(self, v: LaneVectors, step: Affine) -> Step:
        s = self.s
        position = v.splat(s.cast(s.index(self.layout.at(step)), i64))
        if step.is_constant:
            return Step(position, s.const(True, bool_) if step.constant == 0 else None)
        return Step(position, s.compare("eq", s.index(step), s.const(0, index)))

    def starts(self, number: Value, first: int, width: int) -> Affine:
        """Where a part of the axis begins: behind ``first`` steps of the one at its start, which is
        taken whole, so that the last one ends with the axis."""
        if first == width:
            return Affine.of(number) * width
        s = self.s
        start = s.index(Affine.of(number) * width - (width - first))
        return Affine.of(s.binary("max", start, s.const(0, index)))

    def ends(self, number: Value, short: State, whole: State) -> State:
        """The state behind a part: at the start that behind its first steps."""
        s = self.s
        is_first = s.compare("eq", number, s.const(0, index))
        return [
            s.select(self.lanes(getattr(y.type, "lanes", 1)).splat(is_first), x, y)
            for x, y in zip(short, whole, strict=True)
        ]


class Alone(Pass):
    """Rows whose elements lie one behind the other, each by itself."""

    def write(self) -> None:
        """Element by element."""
        s, v = self.s, self.lanes(1)
        rows = s.parallel(0, self.layout.outer)
        with s.inside(rows) as body:
            row = Affine.of(body.arguments[0])
            loop = s.for_(0, self.layout.size, self.rule.start(v))
            with s.inside(loop) as inner:
                number, *state = inner.arguments
                step = Affine.of(number)
                place = self.layout.place(row, step, Affine())
                state = self.rule.step(v, state, self.given(v, place), self.step(v, step))
                v.store(state[-1], self.out, place)
                s.yield_(*state)
            s.yield_()


class Scanned(Pass):
    """Rows of a known size, each by vectors of it."""

    @property
    def lanes_of_row(self) -> int:
        """Of the vectors; 1 where there are none."""
        size = self.layout.size
        return power_below(size, self.width) if isinstance(size, int) else 1

    @property
    def is_better(self) -> bool:
        """Than rows side by side: of long rows, where most vectors hold no new extreme, if a vector
        has many elements."""
        size, lanes = self.layout.size, self.lanes_of_row
        if not isinstance(self.rule, Extreme) or not isinstance(size, int):
            return False
        return self.rule.dtype.itemsize <= 4 and 1 < lanes <= size // LONG

    def write(self) -> None:
        s, v = self.s, self.lanes(self.lanes_of_row)
        rows = s.parallel(0, self.layout.outer)
        with s.inside(rows) as body:
            row = Affine.of(body.arguments[0]) * self.layout.size
            if isinstance(self.rule, Extreme):
                self._seldom(v, self.rule, row)
            else:
                self._always(v, row)
            s.yield_()

    @property
    def _first(self) -> int:
        """Elements in front of the second vector of a row."""
        size, width = self.layout.size, self.lanes_of_row
        assert isinstance(size, int)
        return size % width or width

    def _vectors(self) -> Dim:
        return (self.layout.size + (self.lanes_of_row - 1)) // self.lanes_of_row

    def _low(self, number: Value) -> Affine:
        """The least position on the axis of the elements of a vector."""
        start = self.starts(number, self._first, self.lanes_of_row)
        return self.layout.at(start + (self.lanes_of_row - 1) if self.layout.reverse else start)

    def _always(self, v: LaneVectors, row: Affine) -> None:
        s = self.s
        loop = s.for_(0, self._vectors(), self.rule.start(v))
        with s.inside(loop) as body:
            number, *state = body.arguments
            s.yield_(*self._vector(v, number, row, state))

    def _seldom(self, v: LaneVectors, rule: Extreme, row: Affine) -> None:
        """An extreme is seldom a new one: where none of a vector is, the vector is full of the one
        before, which lies in memory."""
        s, initial = self.s, rule.start(v)
        memory = [s.scratch(BufferType((v.width,), dtype)) for dtype in rule.dtypes]
        self._put(v, initial, memory)
        loop = s.for_(0, self._vectors())
        with s.inside(loop) as body:
            number = body.arguments[0]
            place = row + self._low(number)
            state = [v.load(part, Affine()) for part in memory]
            v.store(state[-1], self.out, place)
            is_new = rule.wins(v, state, self.given(v, place))
            branch = s.if_(s.emit("lane_reduce", is_new, combiner="or").result)
            with s.inside(branch):
                self._put(v, self._vector(v, number, row, state), memory)
                s.yield_()
            s.yield_()

    def _put(self, v: LaneVectors, state: State, memory: list[Value]) -> None:
        for x, place in zip(state, memory, strict=True):
            v.store(x, place, Affine())

    def _vector(self, v: LaneVectors, number: Value, row: Affine, state: State) -> State:
        """Writes the results at the elements of a vector; gives the state for the next one."""
        low, first = self._low(number), self._first
        found = self._scanned(v, row, low)
        v.store(self.rule.joined(v, state, found)[-1], self.out, row + low)
        whole = [self._everywhere(v, part, v.width - 1) for part in found]
        if first < v.width:
            short = [self._everywhere(v, part, first - 1) for part in found]
            whole = self.ends(number, short, whole)
        # What the next vector waits for is this one operation.
        return self.rule.joined(v, state, whole)

    def _scanned(self, v: LaneVectors, row: Affine, low: Affine) -> State:
        """The states at the elements of a vector, of those in it."""
        s, width = self.s, v.width
        numbers = s.emit("lane_index", lanes=width).result
        position = s.cast(s.add(numbers, v.splat(s.index(low))), i64)
        found = self.rule.lifted(v, self.given(v, row + low), position)
        start, distance = self.rule.start(v), 1
        while distance < width:
            order = self._shift(width, distance)
            before = [v.shuffled(x, y, order) for x, y in zip(found, start, strict=True)]
            found = self.rule.joined(v, before, found)
            distance *= 2
        return found

    def _shift(self, width: int, distance: int) -> list[int]:
        """For each lane that a distance before it, in the order of steps, or one of the start."""
        towards = distance if self.layout.reverse else -distance
        sources = [lane + towards for lane in range(width)]
        return [lane if 0 <= lane < width else width for lane in sources]

    def _everywhere(self, v: LaneVectors, x: Value, step: int) -> Value:
        """The lane of a step in every lane."""
        lane = v.width - 1 - step if self.layout.reverse else step
        return v.shuffled(x, x, [lane] * v.width)


def power_below(most: int, width: int) -> int:
    """The width, halved until it is no more than ``most``."""
    while width > most:
        width //= 2
    return width
