"""Loops of max_pool, max_pool_pick and max_pool_put: over planes, rows and windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType, DType, TensorType, bool_, i32, index
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.tensor.conv_geometry import Phase, input_axis
from nets.ops.tensor.windows import Ints, Windows


def least(dtype: DType) -> float:
    """The least number of a dtype."""
    return -math.inf if dtype.is_float else int(np.iinfo(str(dtype.numpy)).min)


class Loops:
    """The loops over planes, rows and windows of x."""

    def __init__(self, s: Lowering, x: Value, out: Value, windows: Windows) -> None:
        self.s, self.windows = s, windows.over_two_axes()
        self.x = x
        shape = buffer_type(x).shape
        self.planes = math.prod(shape[:2])
        space = tuple(size for size in shape[2:] if isinstance(size, int))
        self.size = (1, *space)[-2:]
        pooled = windows.places(TensorType((1, 1, *space), x.type.dtype))
        self.places = (1, *pooled)[-2:]
        self.out = out

    def ranges(self) -> Iterator[tuple[int, int, bool]]:
        """Columns of windows from, to; and whether a tap of theirs may lie outside of x."""
        low, high = 0, self.places[1]
        for k in range(self.windows.shape[1]):
            first, step = self.windows.first((0, k))[1], self.windows.steps[1]
            low = max(low, -(first // step))
            high = min(high, -((first - self.size[1]) // step))
        if low >= high:
            yield 0, self.places[1], True
        else:
            yield 0, low, True
            yield low, high, False
            yield high, self.places[1], True

    def row(self, place: Affine, tap: int) -> tuple[Affine, Value | None]:
        """The row of x that a row of windows meets, and whether there is one (None: always)."""
        first, step = self.windows.first((tap, 0))[0], self.windows.steps[0]
        at = place * step + first
        if first >= 0 and (self.places[0] - 1) * step + first < self.size[0]:
            return at, None
        return self.clamped(at, self.size[0])

    @property
    def are_apart(self) -> bool:
        """Whether all windows lie inside of x and no two have an element in common."""
        w = self.windows
        axes = zip(w.shape, w.steps, w.dilation, w.low, self.places, self.size, strict=True)
        return all(
            low == 0 and step > d * (k - 1) and (count - 1) * step + d * (k - 1) < size
            for k, step, d, low, count, size in axes
        )

    @property
    def cover_all(self) -> bool:
        """Whether every element of x is in a window, where they are apart."""
        covered = map(math.prod, (self.places, self.windows.shape))
        return math.prod(covered) == math.prod(self.size)

    def clamped(self, at: Affine, size: int) -> tuple[Affine, Value]:
        s = self.s
        position, last = s.index(at), s.const(size - 1, index)
        inside = s.binary("max", s.binary("min", position, last), s.const(0, index))
        return Affine.of(inside), s.compare("eq", inside, position)

    def met(
        self, plane: Affine, row: Affine, column: Affine, checked: bool
    ) -> Iterator[tuple[int, Affine, Value | None]]:
        """Number of each tap of a window, where it is in x, and whether it is (None: surely)."""
        s = self.s
        for number, tap in self.windows.taps():
            at, valid = self.row(row, tap[0])
            across = column * self.windows.steps[1] + self.windows.first(tap)[1]
            if checked:
                across, inside = self.clamped(across, self.size[1])
                valid = inside if valid is None else s.binary("and", valid, inside)
            place = plane * (self.size[0] * self.size[1]) + at * self.size[1] + across
            yield number, place, valid

    def maximum(self, plane: Affine, row: Affine, column: Affine, checked: bool) -> Value:
        """The largest element of a window, the least number of none."""
        s, best = self.s, None
        for _, place, valid in self.met(plane, row, column, checked):
            value = s.load(self.x, place)
            if valid is not None:
                dtype = self.x.type.dtype
                value = s.select(valid, value, s.const(least(dtype), dtype))
            best = value if best is None else s.binary("max", value, best)
        assert best is not None
        return best

    def chosen(
        self, plane: Affine, row: Affine, column: Affine, checked: bool, carried: Value | None
    ) -> Value:
        """The number of the tap that has the largest element of a window, −1 of none; or with
        ``carried``, the element of that tensor in its place, 0 of none."""
        s, dtype = self.s, self.x.type.dtype
        best = s.const(-math.inf, dtype)
        found = s.const(-1, i32) if carried is None else s.const(0, dtype)
        any_yet: Value | None = s.const(False, bool_)
        for number, place, valid in self.met(plane, row, column, checked):
            value = s.load(self.x, place)
            other = s.const(number, i32) if carried is None else s.load(carried, place)
            if number == 0 and valid is None:
                best, found, any_yet = value, other, None
                continue
            beyond = s.compare("gt", value, best)
            beyond = s.binary("or", beyond, s.compare("unordered", value, value))
            if any_yet is not None:
                beyond = s.binary("or", beyond, s.unary("not", any_yet))
            if valid is not None:
                beyond = s.binary("and", beyond, valid)
            if any_yet is not None:
                any_yet = None if valid is None else s.binary("or", any_yet, valid)
            best = s.select(beyond, value, best)
            found = s.select(beyond, other, found)
        return found

    def each_window(self, body: Callable[[Affine, Affine, Affine, bool], None]) -> None:
        """Loops over all windows."""
        s = self.s
        planes = s.parallel(0, self.planes)
        with s.inside(planes) as outer:
            self.each_row(Affine.of(outer.arguments[0]), body)
            s.yield_()

    def each_row(self, plane: Affine, body: Callable[[Affine, Affine, Affine, bool], None]) -> None:
        s = self.s
        rows = s.for_(0, self.places[0])
        with s.inside(rows) as middle:
            self.row_of_windows(plane, Affine.of(middle.arguments[0]), body)
            s.yield_()

    def row_of_windows(
        self, plane: Affine, row: Affine, body: Callable[[Affine, Affine, Affine, bool], None]
    ) -> None:
        s = self.s
        for low, high, checked in self.ranges():
            if low < high:
                columns = s.for_(low, high)
                with s.inside(columns) as inner:
                    body(plane, row, Affine.of(inner.arguments[0]), checked)
                    s.yield_()

    def element(self, plane: Affine, row: Affine, column: Affine, tap: Ints) -> Affine:
        """Where in x a window of that column has a tap, in that row of x."""
        across = column * self.windows.steps[1] + self.windows.first(tap)[1]
        return (plane * self.size[0] + row) * self.size[1] + across

    def window(self, plane: Affine, row: Affine, column: Affine) -> Affine:
        return (plane * self.places[0] + row) * self.places[1] + column


def lower_largest(s: Lowering, x: Value, carried: Value | None, out: Value, w: Windows) -> None:
    loops = Loops(s, x, out, w)

    def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
        if carried is None:
            result = loops.maximum(plane, row, column, checked)
        else:
            result = loops.chosen(plane, row, column, checked, carried)
        s.store(result, out, loops.window(plane, row, column))

    if buffer_type(out).elements != 0:
        loops.each_window(body)


def lower_put(s: Lowering, x: Value, values: Value, out: Value, windows: Windows) -> None:
    """Each plane for itself: window by window, where no element is in two, or else element by
    element."""
    loops = Loops(s, x, out, windows)
    if buffer_type(out).elements == 0:
        return
    planes = s.parallel(0, loops.planes)
    with s.inside(planes) as outer:
        plane = Affine.of(outer.arguments[0])
        if loops.are_apart:
            _put_windows(loops, values, plane)
        else:
            _Sums(loops, plane).run(values)
        s.yield_()


def _put_windows(loops: Loops, values: Value, plane: Affine) -> None:
    """Store all elements of each window, of which none is in two; zeros before, if some are in
    none."""
    s, zero = loops.s, loops.s.const(0, loops.out.type.dtype)
    if not loops.cover_all:
        size = math.prod(loops.size)
        fill(s, loops.out, zero, plane * size, size)

    def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
        found = loops.chosen(plane, row, column, checked, None)
        value = s.add(zero, s.load(values, loops.window(plane, row, column)))
        for number, tap in loops.windows.taps():
            chosen = s.compare("eq", found, s.const(number, i32))
            place = loops.element(plane, loops.row(row, tap[0])[0], column, tap)
            s.store(s.select(chosen, value, zero), loops.out, place)

    loops.each_row(plane, body)


def fill(s: Lowering, buffer: Value, number: Value, start: Affine, count: int) -> None:
    loop = s.for_(0, count)
    with s.inside(loop) as body:
        s.store(number, buffer, start + Affine.of(body.arguments[0]))
        s.yield_()


class _Sums:
    """Sums, for each element of a plane, over the windows it is in.

    Numbers of taps and values of all windows are put to scratch memory, with a margin of windows
    that choose nothing. An element at position first + step · i along an axis is at tap k of the
    window i + offset, where the offset depends on ``first`` and k alone.
    """

    def __init__(self, loops: Loops, plane: Affine) -> None:
        self.s, self.loops, self.plane = loops.s, loops, plane
        w = loops.windows
        axes = zip(loops.size, w.shape, w.steps, w.low, w.dilation, strict=True)
        self.axes = [input_axis(*axis).phases for axis in axes]
        met = [[tap.offset for phase in axis for tap in phase.taps] for axis in self.axes]
        last = [
            max((phase.count - 1 + tap.offset for phase in axis for tap in phase.taps), default=0)
            for axis in self.axes
        ]
        self.margin = [max(0, -min(offsets, default=0)) for offsets in met]
        self.shape = [
            margin + max(places, end + 1)
            for margin, places, end in zip(self.margin, loops.places, last, strict=True)
        ]
        size = math.prod(self.shape)
        self.numbers = self.s.scratch(BufferType((size,), i32))
        self.values = self.s.scratch(BufferType((size,), loops.out.type.dtype))

    def run(self, values: Value) -> None:
        s, loops = self.s, self.loops
        zero = s.const(0, loops.out.type.dtype)
        fill(s, self.numbers, s.const(-1, i32), Affine(), math.prod(self.shape))
        fill(s, self.values, zero, Affine(), math.prod(self.shape))

        def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
            found = loops.chosen(plane, row, column, checked, None)
            place = self._place(row, column)
            s.store(found, self.numbers, place)
            s.store(s.load(values, loops.window(plane, row, column)), self.values, place)

        loops.each_row(self.plane, body)
        for phase in self.axes[0]:
            rows = s.for_(0, phase.count)
            with s.inside(rows) as middle:
                self._row(phase, Affine.of(middle.arguments[0]))
                s.yield_()

    def _place(self, row: Affine, column: Affine) -> Affine:
        """Where a window is in scratch memory."""
        return (row + self.margin[0]) * self.shape[1] + column + self.margin[1]

    def _row(self, down: Phase, row: Affine) -> None:
        """The elements of a row: of all phases together, then those that some have more."""
        s, whole = self.s, min(phase.count for phase in self.axes[1])
        longer = [phase for phase in self.axes[1] if phase.count > whole]
        most = max(phase.count for phase in self.axes[1])
        for low, high, phases in ((0, whole, self.axes[1]), (whole, most, longer)):
            if low < high:
                columns = s.for_(low, high)
                with s.inside(columns) as inner:
                    column = Affine.of(inner.arguments[0])
                    sums = [self._sum(down, across, row, column) for across in phases]
                    for across, total in zip(phases, sums, strict=True):
                        self._store(total, row * down.step + down.first, across, column)
                    s.yield_()

    def _store(self, total: Value, row: Affine, across: Phase, column: Affine) -> None:
        height, width = self.loops.size
        place = (self.plane * height + row) * width + column * across.step + across.first
        self.s.store(total, self.loops.out, place)

    def _sum(self, down: Phase, across: Phase, row: Affine, column: Affine) -> Value:
        """Over rows of windows in order, and over taps in order."""
        s, dtype = self.s, self.loops.out.type.dtype
        zero = total = s.const(0, dtype)
        for i, j in itertools.product(reversed(down.taps), across.taps):
            place = self._place(row + i.offset, column + j.offset)
            number = s.const(i.k * self.loops.windows.shape[1] + j.k, i32)
            chosen = s.compare("eq", s.load(self.numbers, place), number)
            total = s.add(total, s.select(chosen, s.load(self.values, place), zero))
        return total
