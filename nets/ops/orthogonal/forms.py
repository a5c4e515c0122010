"""Forms: a matrix algorithm written once, for one matrix per lane or for one matrix in rows.

An algorithm speaks of *numbers*, one per matrix, and of *pieces* of a row. In the form ``lanes`` a
number is a vector with a lane for each of several matrices, and a piece is one such number. In the
form ``rows`` a number is a scalar, a piece is a vector of neighbouring elements of a row, and rows
are padded with zeros to whole pieces. Both do the same operations on each element in the same
order, so that they give the same bits, and those of the reference.

Nothing here is fused: products and sums are rounded by themselves, as NumPy rounds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Size
from nets.ir.types import BufferType, DType, ScalarType, VectorType, index
from nets.ops.linalg.lanes import Lanes
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal.reflections_reference import pieces_of

AT_ONCE: Final = 4
"""Pieces that go through a loop side by side, so that one does not wait for another."""

Place = Affine | Value | int
"""An index: a number, a counter, or an expression of counters."""


def padded(size: int, dtype: DType) -> int:
    """The size with zeros up to whole pieces."""
    width = pieces_of(dtype)
    return -(-size // width) * width


def affine(place: Place) -> Affine:
    """The index as an expression."""
    return place if isinstance(place, Affine) else Affine.of(place)


@dataclass(frozen=True, slots=True)
class Number:
    """A register of floats with operators: scalars, or vectors of one number of lanes."""

    value: Value
    form: Form

    def _with(self, name: str, other: Number | float, *, swapped: bool = False) -> Number:
        s, y = self.form.s, self.form.alike(other, self).value
        x, y = (y, self.value) if swapped else (self.value, y)
        return Number(s.binary(name, x, y), self.form)

    def __add__(self, other: Number | float) -> Number:
        return self._with("add", other)

    def __sub__(self, other: Number | float) -> Number:
        return self._with("sub", other)

    def __rsub__(self, other: float) -> Number:
        return self._with("sub", other, swapped=True)

    def __mul__(self, other: Number | float) -> Number:
        return self._with("mul", other)

    def __truediv__(self, other: Number | float) -> Number:
        return self._with("div", other)

    def __rtruediv__(self, other: float) -> Number:
        return self._with("div", other, swapped=True)

    def __neg__(self) -> Number:
        return Number(self.form.s.unary("neg", self.value), self.form)

    def abs(self) -> Number:
        return Number(self.form.s.unary("abs", self.value), self.form)

    def sqrt(self) -> Number:
        return Number(self.form.s.unary("sqrt", self.value), self.form)

    def max(self, other: Number | float) -> Number:
        """The larger one; NaN where this is NaN."""
        return self._with("max", other)

    def is_(self, predicate: str, other: Number | float) -> Value:
        """The mask of a comparison: lt, le, gt, ge, eq, ne, unordered."""
        return self.form.s.compare(predicate, self.value, self.form.alike(other, self).value)


class Form:
    """Emits numbers and pieces of one dtype; ``lanes``: of one matrix per lane."""

    def __init__(self, s: Lowering, dtype: DType, *, lanes: bool) -> None:
        self.s, self.dtype, self.lanes = s, dtype, lanes
        self.width = pieces_of(dtype)
        self.unit = self.width if lanes else 1
        """Elements of memory that a number takes, and lanes that it has."""
        self.step = 1 if lanes else self.width
        """Numbers in a piece."""

    # Registers.
    def const(self, value: float, lanes: int | None = None) -> Number:
        """A number, or a register of so many lanes."""
        scalar = self.s.const(float(value), self.dtype)
        return Number(self._spread(scalar, self.unit if lanes is None else lanes), self)

    def _spread(self, scalar: Value, lanes: int) -> Value:
        return scalar if lanes == 1 else self.s.emit("splat", scalar, lanes=lanes).result

    def alike(self, x: Number | float, like: Number) -> Number:
        """x with the lanes of another one."""
        if isinstance(x, Number):
            return x
        type = like.value.type
        return self.const(x, type.lanes if isinstance(type, VectorType) else 1)

    def piece(self, x: Number) -> Number:
        """The number in all elements of a piece."""
        return Number(self.wide(x.value), self)

    def wide(self, x: Value) -> Value:
        """A number or mask for the elements of a piece."""
        return x if self.lanes else self._spread(x, self.width)

    def counted(self, counter: Place) -> Number:
        """The counter of a loop as a number."""
        scalar = self.s.cast(self.s.index(affine(counter)), self.dtype)
        return Number(self._spread(scalar, self.unit), self)

    def where(self, mask: Value, x: Number, y: Number | float) -> Number:
        return Number(self.s.select(mask, x.value, self.alike(y, x).value), self)

    def both(self, x: Value, y: Value) -> Value:
        return self.s.binary("and", x, y)

    def either(self, x: Value, y: Value) -> Value:
        return self.s.binary("or", x, y)

    def no(self, x: Value) -> Value:
        return self.s.unary("not", x)

    def any(self, mask: Value) -> Value:
        """Whether the mask holds for any of the matrices."""
        if isinstance(mask.type, ScalarType):
            return mask
        return self.s.emit("lane_reduce", mask, combiner="or").result

    # Control.
    def each(
        self,
        lo: Place,
        hi: Place,
        body: Callable[..., object],
        *carried: Number,
        step: int = 1,
    ) -> tuple[Number, ...]:
        """A loop: ``body(counter, *carried)`` gives what is carried on, in order."""
        s = self.s
        bounds = [s.index(affine(bound)) for bound in (lo, hi)]
        loop = s.for_(bounds[0], bounds[1], [x.value for x in carried], step=step)
        with s.inside(loop) as block:
            counter, *values = block.arguments
            given = body(counter, *(Number(value, self) for value in values))
            kept = given if isinstance(given, tuple) else (given,) if carried else ()
            s.yield_(*(x.value for x in kept))
        return tuple(Number(value, self) for value in loop.results)

    def pieces(self, lo: Place, hi: int, body: Callable[[Value], object]) -> None:
        """A loop over the pieces of a row that have elements from ``lo`` up to ``hi``."""
        if not self.lanes:
            s = self.s
            floor = s.binary("and", s.index(affine(lo)), s.const(-self.width, index))
            lo, hi = floor, padded(hi, self.dtype)
        self.each(lo, hi, body, step=self.step)

    def groups(self, lo: Place, hi: int, body: Callable[[Place, int], object]) -> None:
        """A loop over groups of at most ``AT_ONCE`` neighbouring pieces: ``body(first, count)``."""
        hi = hi if self.lanes else padded(hi, self.dtype)
        if isinstance(lo, int):
            self._groups_of_known(lo // self.step * self.step, hi, body)
            return
        if not self.lanes:
            lo = self.s.binary("and", self.s.index(affine(lo)), self.s.const(-self.width, index))
        # From the end on. The first group may begin before ``lo``: nobody minds what is made there.
        s, span = self.s, AT_ONCE * self.step
        left = s.sub(s.const(hi, index), s.index(affine(lo)))
        whole = hi // span * span
        groups = s.binary("div", s.add(left, s.const(span - 1, index)), s.const(span, index))
        length = s.binary("min", s.mul(groups, s.const(span, index)), s.const(whole, index))
        start = s.sub(s.const(hi, index), length)
        if hi % span:
            self.each(lo, start, lambda j: body(j, 1), step=self.step)
        self.each(start, hi, lambda j: body(j, AT_ONCE), step=span)

    def _groups_of_known(self, lo: int, hi: int, body: Callable[[Place, int], object]) -> None:
        """As many groups as there must be, and none much smaller than the others."""
        count = (hi - lo) // self.step
        if not count:
            return
        number = -(-count // AT_ONCE)
        size, larger = divmod(count, number)
        middle = lo + larger * (size + 1) * self.step
        self.each(lo, middle, lambda j: body(j, size + 1), step=(size + 1) * self.step)
        self.each(middle, hi, lambda j: body(j, size), step=size * self.step)

    def turn(
        self, table: Table, rows: tuple[Place, Place], size: int, c: Number, s: Number, on: Value
    ) -> None:
        """Two rows x and y become c x + s y and c y − s x, where that is on.

        Nothing waits for that, so processors do it beside what comes next.
        """
        wide_c, wide_s, mask = self.piece(c), self.piece(s), self.wide(on)

        def some(start: Place, count: int) -> None:
            places = [affine(start) + k * self.step for k in range(count)]
            loaded = [[table.get_piece(i, j) for i in rows] for j in places]
            for j, (x, y) in zip(places, loaded, strict=True):
                first, second = wide_c * x + wide_s * y, wide_c * y - wide_s * x
                if self.lanes:
                    first, second = self.where(mask, first, x), self.where(mask, second, y)
                table.set_piece(rows[0], j, first)
                table.set_piece(rows[1], j, second)

        if self.lanes:
            self.groups(0, size, some)
            return
        with self.when(on):
            self.groups(0, size, some)

    def again(self, body: Callable[[], Value]) -> None:
        """The body again and again, until what it gives is false."""
        loop = self.s.repeat()
        with self.s.inside(loop):
            self.s.yield_(body())

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        branch = self.s.if_(condition)
        with self.s.inside(branch):
            yield
            self.s.yield_()

    # Memory.
    def table(self, rows: int, columns: int) -> Table:
        """A new table of numbers, whose rows are whole pieces."""
        # Odd numbers of cache lines, so that a column does not lie in a few sets of the cache.
        pieces = columns if self.lanes else padded(columns, self.dtype) // self.width
        stride = (pieces | 1) * self.step
        type = BufferType((max(1, rows * stride * self.unit),), self.dtype)
        return Table(self, self.s.scratch(type), stride, 1)

    def row(self, size: int) -> Table:
        """A new row of numbers: element i at (0, i)."""
        return self.table(1, size)


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers in memory; element (i, j) lies ``i · stride + j · step`` numbers from the first."""

    form: Form
    buffer: Value
    stride: int
    step: int

    def turned(self) -> Table:
        """The transposed table; of pieces only in the form ``lanes``."""
        return Table(self.form, self.buffer, self.step, self.stride)

    def _at(self, i: Place, j: Place) -> Affine:
        return (affine(i) * self.stride + affine(j) * self.step) * self.form.unit

    def _load(self, position: Affine, lanes: int) -> Number:
        s = self.form.s
        indices = [value for value, _ in position.terms]
        strides = tuple(c for _, c in position.terms)
        loaded = s.emit(
            "load",
            self.buffer,
            *indices,
            lanes=lanes,
            offset=position.constant,
            strides=strides,
        )
        return Number(loaded.result, self.form)

    def get(self, i: Place, j: Place) -> Number:
        return self._load(self._at(i, j), self.form.unit)

    def set(self, i: Place, j: Place, x: Number) -> None:
        """Store a number; i or j may be index vectors, another place for each matrix."""
        s, position = self.form.s, self._at(i, j)
        if any(isinstance(value.type, VectorType) for value, _ in position.terms):
            position += Affine.of(s.emit("lane_index", lanes=self.form.width).result)
        s.store(x.value, self.buffer, position)

    def get_piece(self, i: Place, j: Place) -> Number:
        return self._load(self._at(i, j), self.form.width)

    def set_piece(self, i: Place, j: Place, x: Number) -> None:
        self.form.s.store(x.value, self.buffer, self._at(i, j))


class Stack:
    """The matrices of a buffer: ``one(number)`` of them, or those of the lanes from there on.

    Lanes behind the last matrix stand for the last one again.
    """

    def __init__(self, form: Form, buffer: Value, shape: tuple[int, int], last: Value) -> None:
        self.form, self.buffer, self.shape, self.last = form, buffer, shape, last
        self.size = shape[0] * shape[1]

    def at(self, number: Value) -> Matrix:
        s, form = self.form.s, self.form
        if form.lanes:
            first = s.emit("splat", number, lanes=form.width).result
            numbers = s.add(first, s.emit("lane_index", lanes=form.width).result)
            last = s.emit("splat", self.last, lanes=form.width).result
            number = s.binary("min", numbers, last)
        return Matrix(form, self.buffer, self.shape[1], number, self.size)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of an operand or a result, or those of all lanes: element (i, j) is a number."""

    form: Form
    buffer: Value
    columns: int
    number: Value
    size: int

    def _access(
        self, i: Place | Value, j: Place | Value
    ) -> tuple[list[Value], tuple[int, ...], int]:
        position = affine(i) * self.columns + affine(j) + affine(self.number) * self.size
        indices = [value for value, _ in position.terms]
        strides = tuple(c for _, c in position.terms if isinstance(c, int))
        assert isinstance(position.constant, int)
        return indices, strides, position.constant

    def get(self, i: Place, j: Place) -> Number:
        indices, strides, offset = self._access(i, j)
        loaded = self.form.s.emit(
            "load", self.buffer, *indices, lanes=self.form.unit, offset=offset, strides=strides
        )
        return Number(loaded.result, self.form)

    def set(self, i: Place, j: Place, x: Number) -> None:
        """Store a number; i and j may be index vectors with a lane per matrix."""
        indices, strides, offset = self._access(i, j)
        self.form.s.emit("store", x.value, self.buffer, *indices, offset=offset, strides=strides)


def each_matrix(
    s: Lowering,
    dtype: DType,
    count: int | Size,
    *,
    lanes: bool,
    body: Callable[[Form, Value, Value], None],
) -> None:
    """A parallel loop over matrices, ``body(form, number, last)``: one at a time, or as many as
    there are lanes."""
    form = Form(s, dtype, lanes=lanes)
    groups = (count + (form.width - 1)) // form.width if lanes else count
    loop = s.parallel(0, groups)
    with s.inside(loop) as block:
        number = block.arguments[0]
        if lanes:
            number = s.mul(number, s.const(form.width, index))
        body(form, number, s.const(count - 1, index))
        s.yield_()


LARGEST_OF_LANES: Final = 1024
"""Elements of a matrix up to which matrices go one per lane."""


def has_lanes(x: Value) -> bool:
    """Whether matrices of a buffer go one per lane, for there are several and they are small."""
    shape = buffer_type(x).shape
    count, size = math.prod(shape[:-2]), math.prod(shape[-2:])
    assert isinstance(size, int)
    return size <= LARGEST_OF_LANES and not (isinstance(count, int) and count < 2)


def operand(
    form: Form, buffer: Value, shape: tuple[int, int], number: Value, last: Value
) -> Matrix | Table:
    """A matrix to be read; those of all lanes are first put side by side."""
    rows, columns = shape
    size, width, s = rows * columns, form.width, form.s
    if not form.lanes or size < width:
        return Stack(form, buffer, shape, last).at(number)
    places = [s.index(Affine.of(number) + lane) for lane in range(width)]
    numbers = [s.binary("min", place, last) for place in places]
    memory = s.scratch(BufferType((size * width,), form.dtype))
    Lanes(s, form.dtype, width).fill(memory, buffer, numbers, size)
    return Table(form, memory, columns, 1)
