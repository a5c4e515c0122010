"""Maxima of windows, and the two maps that go with them: pick and put.

All tell for each window which of its elements is the largest, taps in row-major order: the first
of equals, and the last NaN if there is one. What lies outside of x is no element.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.types import BufferType, TensorType, bool_, i32, index
from nets.ops import samples as draw
from nets.ops.emitter import Emitter
from nets.ops.lowering import Lowering, buffer_type
from nets.ops.registry import Array, op, sample

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Windows of ``shape`` over the one or two last axes, as in ``nets.ops.convolution``."""

    shape: Ints
    steps: Ints
    low: Ints
    high: Ints
    dilation: Ints

    def places(self, x: TensorType) -> Ints:
        """Windows along each axis; ShapeError where they do not go over x."""
        lists = (self.shape, self.steps, self.low, self.high, self.dilation)
        rank = x.rank - 2
        if rank not in (1, 2) or any(len(list_) != rank for list_ in lists):
            raise ShapeError(f"windows go over one or two axes after two others, not over {x}")
        if min(*self.shape, *self.steps, *self.dilation) < 1 or min(*self.low, *self.high) < 0:
            raise ShapeError("windows, steps and dilation start at 1, margins at 0")
        found = []
        for size, (k, step, low, high, apart) in zip(
            x.shape[2:], zip(*lists, strict=True), strict=True
        ):
            if not isinstance(size, int):
                raise ShapeError(f"windows go over axes of known size, not over {x}")
            span = size + low + high - apart * (k - 1) - 1
            if span < 0:
                raise ShapeError(f"a window of {self.shape} does not fit into {x}")
            found.append(span // step + 1)
        return tuple(found)

    def pooled(self, x: TensorType) -> TensorType:
        return x.with_shape((*x.shape[:2], *self.places(x)))

    def taps(self) -> Iterator[tuple[int, Ints]]:
        return enumerate(itertools.product(*map(range, self.shape)))

    def first(self, tap: Ints) -> Ints:
        """Where the tap of the first window lies."""
        return tuple(k * d - low for k, d, low in zip(tap, self.dilation, self.low, strict=True))

    def over_two_axes(self) -> Windows:
        """The same with an axis of size 1 in front of a lone one."""
        if len(self.shape) == 2:
            return self
        low = (0, *self.low), (0, *self.high)
        return Windows((1, *self.shape), (1, *self.steps), *low, (1, *self.dilation))


# ------------------------------------------------------------------------------ reference


def _met(x: Array, windows: Windows, tap: Ints, places: Ints) -> tuple[Array, Array]:
    """What each window meets at a tap, and whether that is an element of x."""
    inside: Array = np.array(True)
    for axis, (first, step, count) in enumerate(
        zip(windows.first(tap), windows.steps, places, strict=True), 2
    ):
        at = np.arange(count) * step + first
        valid = (at >= 0) & (at < x.shape[axis])
        x = np.take(x, np.where(valid, at, 0), axis=axis)
        inside = np.logical_and.outer(inside, valid)
    return x, inside


def _largest(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest element of each window, and the number of its tap (−1: no element)."""
    places = windows.places(TensorType(x.shape, _DTYPES[x.dtype.itemsize]))
    best = np.full((*x.shape[:2], *places), -np.inf, x.dtype)
    number = np.full(best.shape, -1)
    for tap, at in windows.taps():
        if x.size:
            value, inside = _met(x, windows, at, places)
            taken = inside & ((value > best) | np.isnan(value) | (number < 0))
            best, number = np.where(taken, value, best), np.where(taken, tap, number)
    return best, number


_DTYPES: Final = {4: draw.FLOATS[0], 8: draw.FLOATS[1]}


# ------------------------------------------------------------------------------- lowering


class _Loops:
    """The loops over planes, rows and windows of x."""

    def __init__(self, s: Lowering, x: Value, out: Value, windows: Windows) -> None:
        self.s, self.windows = s, windows.over_two_axes()
        self.x = x
        shape = buffer_type(x).static_shape
        self.planes = math.prod(shape[:2])
        self.size = (1, *shape[2:])[-2:]
        pooled = windows.places(TensorType(shape, x.type.dtype))
        self.places = (1, *pooled)[-2:]
        self.out = out

    def ranges(self, tap: int | None = None) -> Iterator[tuple[int, int, bool]]:
        """Columns of windows from, to; and whether a tap of theirs may lie outside of x."""
        columns = range(self.windows.shape[1]) if tap is None else (tap,)
        low, high = 0, self.places[1]
        for k in columns:
            first, step = self.windows.first((0, k))[1], self.windows.steps[1]
            low = max(low, -(first // step))
            high = min(high, -((first - self.size[1]) // step))
        if tap is not None:
            yield low, high, False
        elif low >= high:
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

    def largest(
        self, plane: Affine, row: Affine, column: Affine, checked: bool, carried: Value | None
    ) -> tuple[Value, Value]:
        """The largest element of a window, and the number of its tap; or with ``carried``, the
        element of that tensor in its place."""
        s, dtype = self.s, self.x.type.dtype
        best, found = s.const(-math.inf, dtype), s.const(-1, i32)
        any_yet: Value | None = s.const(False, bool_)
        if carried is not None:
            found = s.const(0, dtype)
        for number, tap in self.windows.taps():
            at, valid = self.row(row, tap[0])
            across = column * self.windows.steps[1] + self.windows.first(tap)[1]
            if checked:
                across, inside = self.clamped(across, self.size[1])
                valid = inside if valid is None else s.binary("and", valid, inside)
            place = plane * (self.size[0] * self.size[1]) + at * self.size[1] + across
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
        return best, found

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


def _lower_largest(s: Lowering, x: Value, carried: Value | None, out: Value, w: Windows) -> None:
    loops = _Loops(s, x, out, w)

    def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
        best, found = loops.largest(plane, row, column, checked, carried)
        s.store(best if carried is None else found, out, loops.window(plane, row, column))

    if buffer_type(out).size:
        loops.each_window(body)


def _lower_put(s: Lowering, x: Value, values: Value, out: Value, windows: Windows) -> None:
    """Zeros, to which each row of windows adds its values, tap by tap; or just stores, where no
    element is in two windows."""
    loops = _Loops(s, x, out, windows)
    if not buffer_type(out).size:
        return
    height, width = loops.size
    planes = s.parallel(0, loops.planes)
    with s.inside(planes) as outer:
        plane = Affine.of(outer.arguments[0])
        if not (loops.are_apart and loops.cover_all):
            clear = s.for_(0, height * width)
            with s.inside(clear) as inner:
                place = plane * (height * width) + Affine.of(inner.arguments[0])
                s.store(s.const(0, out.type.dtype), out, place)
                s.yield_()
        put = _put_windows if loops.are_apart else _put_rows
        put(loops, values, plane)
        s.yield_()


def _put_windows(loops: _Loops, values: Value, plane: Affine) -> None:
    """Store all elements of each window, of which none is in two."""
    s, zero = loops.s, loops.s.const(0, loops.out.type.dtype)

    def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
        found = loops.largest(plane, row, column, checked, None)[1]
        value = s.add(zero, s.load(values, loops.window(plane, row, column)))
        for number, tap in loops.windows.taps():
            chosen = s.compare("eq", found, s.const(number, i32))
            place = loops.element(plane, loops.row(row, tap[0])[0], column, tap)
            s.store(s.select(chosen, value, zero), loops.out, place)

    loops.each_row(plane, body)


def _put_rows(loops: _Loops, values: Value, plane: Affine) -> None:
    """Add the values of one row of windows after the other, tap by tap."""
    s = loops.s
    numbers = s.scratch(BufferType((loops.places[1],), i32))
    rows = s.for_(0, loops.places[0])
    with s.inside(rows) as middle:
        row = Affine.of(middle.arguments[0])

        def body(plane: Affine, row: Affine, column: Affine, checked: bool) -> None:
            s.store(loops.largest(plane, row, column, checked, None)[1], numbers, column)

        loops.row_of_windows(plane, row, body)
        for number, tap in loops.windows.taps():
            _put_tap(loops, numbers, values, (plane, row), number, tap)
        s.yield_()


def _put_tap(
    loops: _Loops, numbers: Value, values: Value, at: tuple[Affine, Affine], number: int, tap: Ints
) -> None:
    """Add the values of a row of windows whose largest element is at a tap."""
    s, (plane, row) = loops.s, at
    zero = s.const(0, loops.out.type.dtype)
    here, valid = loops.row(row, tap[0])
    (low, high, _), *_ = loops.ranges(tap[1])
    if low >= high:
        return
    columns = s.for_(low, high)
    with s.inside(columns) as inner:
        column = Affine.of(inner.arguments[0])
        place = loops.element(plane, here, column, tap)
        chosen = s.compare("eq", s.load(numbers, column), s.const(number, i32))
        if valid is not None:
            chosen = s.binary("and", chosen, valid)
        value = s.select(chosen, s.load(values, loops.window(plane, row, column)), zero)
        s.store(s.add(s.load(loops.out, place), value), loops.out, place)
        s.yield_()


# ------------------------------------------------------------------------------- the ops


_ATTRIBUTES = ("shape", "steps", "low", "high", "dilation")
_TRAITS = Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY
_TWO: dict[str, Any] = dict(zip(_ATTRIBUTES, ((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), strict=True))
_OVER: dict[str, Any] = dict(
    zip(_ATTRIBUTES, ((3, 2), (2, 1), (1, 0), (1, 1), (1, 3)), strict=True)
)
_LINE: dict[str, Any] = dict(zip(_ATTRIBUTES, ((3,), (2,), (1,), (1,), (1,)), strict=True))


def _pair(name: str, x: TensorType, other: TensorType, expected: TensorType) -> None:
    if x.dtype != other.dtype:
        raise DTypeError(f"{name} needs one dtype, not {x} and {other}")
    if other.shape != expected.shape:
        raise ShapeError(f"{name} of {x} goes with {expected}, not {other}")


@op("max_pool", _TRAITS, attributes=_ATTRIBUTES)
class MaxPool:
    """The largest element of each window over the axes after the first two; −inf of none."""

    operands = ("x",)
    samples = [
        sample(draw.f32(2, 3, 6, 8), **_TWO),
        sample(draw.f64(2, 2, 5, 6), **_OVER),
        sample(draw.f64(1, 3, 9), **_LINE),
        sample(draw.f32(0, 2, 4, 4), **_TWO),
    ]

    def infer(x: TensorType, **windows: Ints) -> TensorType:
        return Windows(**windows).pooled(x)

    def evaluate(x: Array, **windows: Ints) -> Array:
        return _largest(x, Windows(**windows))[0]

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[Callable[[], Value]]:
        (x,), (ct,) = operands, cts
        return (lambda: b.emit("max_pool_put", b.cast(x, ct.type.dtype), ct, **windows),)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        _lower_largest(s, operands[0], None, results[0], Windows(**windows))


@op("max_pool_pick", _TRAITS, attributes=_ATTRIBUTES)
class MaxPoolPick:
    """For each window, the element of y at the place of the largest element of x; 0 of none."""

    operands = ("x", "y")
    samples = [
        sample(draw.f32(2, 3, 6, 8), draw.f32(2, 3, 6, 8), **_TWO),
        sample(draw.f64(2, 2, 5, 6), draw.f64(2, 2, 5, 6), **_OVER),
        sample(draw.f64(1, 3, 9), draw.f64(1, 3, 9), **_LINE),
    ]

    def infer(x: TensorType, y: TensorType, **windows: Ints) -> TensorType:
        _pair("max_pool_pick", x, y, x)
        return Windows(**windows).pooled(x)

    def evaluate(x: Array, y: Array, **windows: Ints) -> Array:
        w = Windows(**windows)
        _, number = _largest(x, w)
        result = np.zeros(number.shape, y.dtype)
        for tap, at in w.taps():
            if y.size:
                result = np.where(number == tap, _met(y, w, at, number.shape[2:])[0], result)
        return result

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[None, Callable[[], Value]]:
        (x, _), (ct,) = operands, cts
        return None, lambda: b.emit("max_pool_put", b.cast(x, ct.type.dtype), ct, **windows)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        _lower_largest(s, operands[0], operands[1], results[0], Windows(**windows))


@op("max_pool_put", _TRAITS, attributes=_ATTRIBUTES)
class MaxPoolPut:
    """Zeros like x, with each element of y (one per window) added at the place of the largest
    element of x in its window: rows of windows in order, in a row tap by tap."""

    operands = ("x", "y")
    samples = [
        sample(draw.f32(2, 3, 6, 8), draw.f32(2, 3, 3, 4), **_TWO),
        sample(draw.f64(2, 2, 5, 6), draw.f64(2, 2, 3, 4), **_OVER),
        sample(draw.f64(1, 3, 9), draw.f64(1, 3, 5), **_LINE),
    ]

    def infer(x: TensorType, y: TensorType, **windows: Ints) -> TensorType:
        _pair("max_pool_put", x, y, Windows(**windows).pooled(x))
        return x

    def evaluate(x: Array, y: Array, **windows: Ints) -> Array:
        w = Windows(**windows).over_two_axes()
        wide = x if x.ndim == 4 else x[:, :, None]
        _, number = _largest(wide, w)
        values = y.reshape(number.shape)
        result = np.zeros_like(wide)
        for row, (tap, at) in itertools.product(range(number.shape[2]), list(w.taps())):
            line = row * w.steps[0] + w.first(at)[0]
            columns = np.arange(number.shape[3]) * w.steps[1] + w.first(at)[1]
            inside = (columns >= 0) & (columns < wide.shape[3])
            if 0 <= line < wide.shape[2]:
                chosen = np.where(number[:, :, row] == tap, values[:, :, row], 0)
                result[:, :, line, columns[inside]] += chosen[:, :, inside]
        return result.reshape(x.shape)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[None, Callable[[], Value]]:
        (x, _), (ct,) = operands, cts
        return None, lambda: b.emit("max_pool_pick", b.cast(x, ct.type.dtype), ct, **windows)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        _lower_put(s, operands[0], operands[1], results[0], Windows(**windows))
