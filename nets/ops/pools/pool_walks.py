"""Loops of the maxima of large windows: over the taps of a window, too.

The taps are the outer loops of a row of windows, columns the inner one, so that it runs on vectors
whatever the window; what has been found so far is kept in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Operation, Value
from nets.ir.types import BufferType, i32, index
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.pools.pool_loops import Loops, fill, least
from nets.ops.tensor.windows import Windows

Tap = tuple[Affine, Affine]

UNROLLED: Final = 3
"""Size and step of windows up to which every tap has its own code."""


_AT_ONCE: Final = range(5, 9)
"""Taps of a row of a window that are met together: how far apart such groups begin."""


def is_walked(windows: Windows, *, by_step: bool = False) -> bool:
    """Whether there are loops over taps; with ``by_step``, also where windows are far apart."""
    return max(windows.shape + (windows.steps if by_step else ())) > UNROLLED


def walk_largest(s: Lowering, x: Value, carried: Value | None, out: Value, w: Windows) -> None:
    """As ``lower_largest``."""
    if buffer_type(out).elements == 0:
        return
    walk = _Walk(Loops(s, x, out, w))
    planes, rows = s.parallel(0, walk.loops.planes), walk.loops.places[0]
    with walk.each(planes) as plane, walk.each(s.for_(0, rows)) as row:
        if carried is None:
            walk.maxima(plane, row)
        else:
            walk.find(plane, row, carried)


def walk_put(s: Lowering, x: Value, values: Value, out: Value, w: Windows) -> None:
    """As ``lower_put``."""
    if buffer_type(out).elements == 0:
        return
    loops = Loops(s, x, out, w)
    walk, size = _Walk(loops), math.prod(loops.size)
    with walk.each(s.parallel(0, loops.planes)) as plane:
        fill(s, out, s.const(0, out.type.dtype), plane * size, size)
        with walk.each(s.for_(0, loops.places[0])) as row:
            walk.put(plane, row, values)


class _Walk:
    """Loops over the taps of a row of windows, and over its columns for some taps at once.

    Groups of taps in a row of a window may overlap: what is the largest, and the first of equals
    or last NaN, is the same if some taps are met again in their order.
    """

    def __init__(self, loops: Loops) -> None:
        self.s, self.loops = loops.s, loops
        w = loops.windows
        last = (loops.places[0] - 1) * w.steps[0] + (w.shape[0] - 1) * w.dilation[0] - w.low[0]
        self.has_all_rows = w.low[0] == 0 and last < loops.size[0]
        taps = w.shape[1]
        self.apart = min((n for n in _AT_ONCE if n <= taps), key=taps.__mod__, default=taps)
        self.at_once = self.apart + taps % self.apart

    @contextmanager
    def each(self, loop: Operation) -> Iterator[Affine]:
        """Inside of a loop: its counter."""
        with self.s.inside(loop) as block:
            yield Affine.of(block.arguments[0])
            self.s.yield_()

    def maxima(self, plane: Affine, row: Affine) -> None:
        """The largest element of each window of a row, the least number of none."""
        s, out = self.s, self.loops.out
        first = self.loops.window(plane, row, Affine())
        lowest = s.const(least(out.type.dtype), out.type.dtype)
        fill(s, out, lowest, first, self.loops.places[1])
        for column, taps in self._columns(row):
            best = s.load(out, first + column)
            for i, j, checked in taps:
                place, valid = self._place(plane, row, (i, j), column, checked)
                value = s.load(self.loops.x, place)
                if valid is not None:
                    value = s.select(valid, value, lowest)
                best = s.binary("max", value, best)
            s.store(best, out, first + column)

    def find(self, plane: Affine, row: Affine, carried: Value | None) -> Value:
        """The numbers of the taps with the largest elements of a row of windows, −1 of none; what
        ``carried`` has in their places goes to the result, 0 of none."""
        s, loops = self.s, self.loops
        count, first = loops.places[1], loops.window(plane, row, Affine())
        best = s.scratch(BufferType((count,), loops.x.type.dtype))
        numbers = s.scratch(BufferType((count,), i32))
        fill(s, best, s.const(-math.inf, loops.x.type.dtype), Affine(), count)
        fill(s, numbers, s.const(-1, i32), Affine(), count)
        if carried is not None:
            fill(s, loops.out, s.const(0, loops.out.type.dtype), first, count)
        for column, taps in self._columns(row):
            now, found = s.load(best, column), s.load(numbers, column)
            kept = None if carried is None else s.load(loops.out, first + column)
            for i, j, checked in taps:
                place, valid = self._place(plane, row, (i, j), column, checked)
                value = s.load(loops.x, place)
                beyond = self._is_beyond(value, now, found, valid)
                now, found = (
                    s.select(beyond, value, now),
                    s.select(beyond, self._number((i, j)), found),
                )
                if carried is not None and kept is not None:
                    kept = s.select(beyond, s.load(carried, place), kept)
            s.store(now, best, column)
            s.store(found, numbers, column)
            if kept is not None:
                s.store(kept, loops.out, first + column)
        return numbers

    def _is_beyond(self, value: Value, best: Value, found: Value, valid: Value | None) -> Value:
        """Whether an element is larger than what has been found, NaN, or the first."""
        s = self.s
        beyond = s.compare("gt", value, best)
        beyond = s.binary("or", beyond, s.compare("unordered", value, value))
        beyond = s.binary("or", beyond, s.compare("lt", found, s.const(0, i32)))
        return beyond if valid is None else s.binary("and", beyond, valid)

    def put(self, plane: Affine, row: Affine, values: Value) -> None:
        """Add the values of a row of windows to the elements that these choose.

        Of the windows that choose one element the last comes first, for there the tap is smaller.
        """
        s, loops, w = self.s, self.loops, self.loops.windows
        numbers = self.find(plane, row, None)
        across = s.const(w.shape[1], i32)
        with self.each(s.for_(0, loops.places[1])) as back:
            column = -back + (loops.places[1] - 1)
            number = s.load(numbers, column)
            is_there = s.compare("ge", number, s.const(0, i32))
            with s.inside(s.if_(is_there)):
                i, j = (
                    Affine.of(s.cast(s.binary(name, number, across), index))
                    for name in ("div", "rem")
                )
                place = self._met(plane, row, (i, j), column)
                value = s.load(values, loops.window(plane, row, column))
                s.store(s.add(s.load(loops.out, place), value), loops.out, place)
                s.yield_()

    def _number(self, tap: Tap) -> Value:
        return self.s.cast(self.s.index(tap[0] * self.loops.windows.shape[1] + tap[1]), i32)

    def _columns(self, row: Affine) -> Iterator[tuple[Affine, list[tuple[Affine, Affine, bool]]]]:
        """Inside of the loops over groups of taps and columns: the column, and for each tap its
        place in the window and whether it may lie outside of x."""
        s, shape = self.s, self.loops.windows.shape
        groups = shape[1] // self.apart
        with self.each(s.for_(0, shape[0])) as i, self.each(s.for_(0, groups)) as group:
            for low, high, checked in self.loops.ranges():
                if low < high:
                    with self.each(s.for_(low, high)) as column:
                        taps = [group * self.apart + j for j in range(self.at_once)]
                        yield column, [(i, j, checked) for j in taps]

    def _met(self, plane: Affine, row: Affine, tap: Tap, column: Affine) -> Affine:
        """Where in x a window has a tap that lies there."""
        loops, w = self.loops, self.loops.windows
        line = row * w.steps[0] + tap[0] * w.dilation[0] - w.low[0]
        across = column * w.steps[1] + tap[1] * w.dilation[1] - w.low[1]
        return (plane * loops.size[0] + line) * loops.size[1] + across

    def _place(
        self, plane: Affine, row: Affine, tap: Tap, column: Affine, checked: bool
    ) -> tuple[Affine, Value | None]:
        """Where in x a window has a tap, and whether it is there (None: surely); else a place
        nearby."""
        loops, w = self.loops, self.loops.windows
        valid = None
        line = row * w.steps[0] + tap[0] * w.dilation[0] - w.low[0]
        across = column * w.steps[1] + tap[1] * w.dilation[1] - w.low[1]
        if not self.has_all_rows:
            line, valid = loops.clamped(line, loops.size[0])
        if checked:
            across, inside = loops.clamped(across, loops.size[1])
            valid = inside if valid is None else self.s.binary("and", valid, inside)
        return (plane * loops.size[0] + line) * loops.size[1] + across, valid
