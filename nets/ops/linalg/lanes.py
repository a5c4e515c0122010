"""Lanes: many small matrices side by side, the same element of each in one vector.

A *group* is as many matrices as a vector has lanes. Its elements are read as rows of the matrices,
as many elements as lanes at a time, and turned around by shuffles: element e of all is then one
vector. These stay registers (``read``, ``write``), or lie one behind the other in scratch memory
(``fill``, ``spill``), where element e begins at ``e * width``.

Where a batch is no multiple of the width, the last lanes repeat the last matrix: they compute and
store the same elements again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, DType, index
from nets.ops.loop.lane_vectors import LaneVectors
from nets.ops.loop.lowering import Lowering

Vectors = list[Value]

MOST_IN_LANES = 32
"""Larger matrices are worked on one by one: a group of them would leave the caches."""


class Lanes(LaneVectors):
    """Groups of matrices of one dtype, in vectors of ``width`` lanes; scalars where that is 1.

    A vector may have twice as many lanes as there are in a register: it is two of these then, and
    the operations on one fill the gaps of those on the other.
    """

    def multiply_subtract(self, total: Value, x: Value, y: Value) -> Value:
        """total − x · y, both rounded."""
        return self.s.sub(total, self.s.mul(x, y))

    def total(self, vector: Value) -> Value:
        """The sum of the lanes, which is NaN if one of them is."""
        if self.width == 1:
            return vector
        return self.s.emit("lane_reduce", vector, combiner="add").result

    # Groups in scratch memory.
    def scratch(self, elements: int) -> Value:
        """Room for so many elements of each matrix of a group; asked for inside of ``groups``, so
        that each thread has its own."""
        return self.s.scratch(BufferType((elements * self.width,), self.dtype))

    def get(self, scratch: Value, element: Affine) -> Value:
        return self.load(scratch, element * self.width)

    def put(self, vector: Value, scratch: Value, element: Affine) -> None:
        self.store(vector, scratch, element * self.width)

    # From memory and back.
    @contextmanager
    def groups(self, batch: Dim) -> Iterator[list[Value]]:
        """A parallel loop over the groups of a batch; gives the numbers of the matrices of one."""
        s, width = self.s, self.width
        loop = s.parallel(0, (batch + (width - 1)) // width)
        with s.inside(loop) as body:
            first = Affine.of(body.arguments[0]) * width
            numbers = [s.index(first + lane) for lane in range(width)]
            if not isinstance(batch, int) or batch % width:
                last = s.const(batch - 1, index)
                numbers = [s.binary("min", number, last) for number in numbers]
            yield numbers
            s.yield_()

    def read(self, buffer: Value, numbers: Sequence[Value], size: int) -> Vectors:
        """The elements of a group of matrices of ``size`` elements."""
        found: dict[int, Value] = {}
        for start in self._starts(size):
            found |= dict(
                enumerate(self._turned_in(buffer, numbers, size, Affine.of(start), size), start)
            )
        return [found[element] for element in range(size)]

    def write(self, vectors: Vectors, buffer: Value, numbers: Sequence[Value]) -> None:
        """Store the elements of a group."""
        size = len(vectors)
        for start in self._starts(size):
            part = vectors[start : start + self._square(size)]
            self._turned_out(part, buffer, numbers, size, Affine.of(start))

    def fill(self, scratch: Value, buffer: Value, numbers: Sequence[Value], size: int) -> None:
        """Read the elements of a group into scratch memory."""

        def part(start: Affine) -> None:
            vectors = self._turned_in(buffer, numbers, size, start, size)
            for offset, vector in enumerate(vectors):
                self.put(vector, scratch, start + offset)

        self._each_start(size, part)

    def spill(self, buffer: Value, scratch: Value, numbers: Sequence[Value], size: int) -> None:
        """Store the elements of a group that lie in scratch memory."""
        square = range(self._square(size))

        def part(start: Affine) -> None:
            vectors = [self.get(scratch, start + offset) for offset in square]
            self._turned_out(vectors, buffer, numbers, size, start)

        self._each_start(size, part)

    def fill_rows(
        self, scratch: Value, buffer: Value, numbers: Sequence[Value], shape: tuple[int, int]
    ) -> None:
        """``fill`` with matrices of ``shape`` whose rows begin ``stride_of`` elements apart."""
        rows, columns = shape
        if stride_of(columns) == columns:
            self.fill(scratch, buffer, numbers, rows * columns)
            return

        def part(row: Affine, start: Affine) -> None:
            place = row * columns + start
            vectors = self._turned_in(buffer, numbers, rows * columns, place, columns)
            for offset, vector in enumerate(vectors):
                self.put(vector, scratch, row * stride_of(columns) + start + offset)

        self._each_row(shape, part)

    def spill_rows(
        self, buffer: Value, scratch: Value, numbers: Sequence[Value], shape: tuple[int, int]
    ) -> None:
        """``spill`` of such."""
        rows, columns = shape
        if stride_of(columns) == columns:
            self.spill(buffer, scratch, numbers, rows * columns)
            return

        def part(row: Affine, start: Affine) -> None:
            first = row * stride_of(columns) + start
            vectors = [self.get(scratch, first + offset) for offset in range(self._square(columns))]
            place = row * columns + start
            self._turned_out(vectors, buffer, numbers, rows * columns, place)

        self._each_row(shape, part)

    def _each_row(self, shape: tuple[int, int], part: Callable[[Affine, Affine], None]) -> None:
        rows, columns = shape
        loop = self.s.for_(0, rows)
        with self.s.inside(loop) as body:
            row = Affine.of(body.arguments[0])
            self._each_start(columns, lambda start: part(row, start))
            self.s.yield_()

    def _square(self, size: int) -> int:
        """How many of so many elements, of as many matrices, are turned around at once."""
        square = min(self.width, self.s.machine.lanes(self.dtype))
        while square > size:
            square //= 2
        return square

    def _starts(self, size: int) -> list[int]:
        """Where to begin so that squares meet all elements: the last may overlap the one before."""
        square = self._square(size)
        whole = list(range(0, size - square + 1, square))
        return whole if size % square == 0 else [*whole, size - square]

    def _each_start(self, size: int, part: Callable[[Affine], None]) -> None:
        s, square = self.s, self._square(size)
        loop = s.for_(0, size // square)
        with s.inside(loop) as body:
            part(Affine.of(body.arguments[0]) * square)
            s.yield_()
        if size % square:
            part(Affine.of(size - square))

    def _turned_in(
        self, buffer: Value, numbers: Sequence[Value], size: int, start: Affine, run: int
    ) -> Vectors:
        """A square of elements of each matrix, out of a run of elements."""
        square = self._square(run)
        parts = []
        for first in range(0, self.width, square):
            places = [Affine.of(x) * size + start for x in numbers[first : first + square]]
            parts.append(self.turned([self.load(buffer, place, square) for place in places]))
        while len(parts) > 1:
            lanes = range(2 * self.width // len(parts))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [
                [self.shuffled(x, y, lanes) for x, y in zip(*pair, strict=True)] for pair in pairs
            ]
        return parts[0]

    def _turned_out(
        self, part: Vectors, buffer: Value, numbers: Sequence[Value], size: int, start: Affine
    ) -> None:
        square = len(part)
        for first in range(0, self.width, square):
            lanes = range(first, first + square)
            rows = part if square == self.width else [self.shuffled(x, x, lanes) for x in part]
            for lane, row in zip(lanes, self.turned(rows), strict=True):
                self.store(row, buffer, Affine.of(numbers[lane]) * size + start)


def stride_of(columns: int) -> int:
    """From row to row in scratch memory: rows of many lines, but not such that all of a column
    meets the same few sets of the cache."""
    return columns + 1 if columns > 16 and columns % 16 == 0 else columns


def width_for(s: Lowering, dtype: DType, elements: int) -> int:
    """Lanes for groups of matrices of which the smallest operand has so many elements."""
    return s.machine.lanes(dtype) if elements > 1 else 1


def in_registers(s: Lowering, dtype: DType, width: int, batch: Dim) -> Lanes:
    """Lanes for matrices that are few registers: twice as many where there are registers for them,
    and matrices."""
    is_wide = s.machine.has_many_registers and 1 < width == s.machine.lanes(dtype)
    is_many = isinstance(batch, int) and batch >= 2 * width
    return Lanes(s, dtype, 2 * width if is_wide and is_many else width)


def fits_lanes(batch: Dim, width: int, n: int) -> bool:
    """Whether a batch of n × n matrices goes side by side, and not one after the other."""
    is_small = n <= MOST_IN_LANES and width > 1
    return is_small and (not isinstance(batch, int) or 2 * batch > width)
