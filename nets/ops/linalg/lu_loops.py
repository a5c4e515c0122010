"""The loops of ``lu``: small matrices side by side, each lane with pivots of its own; large ones by
blocks of columns and rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, index
from nets.ops.linalg.lanes import Lanes, Vectors, fits_lanes, in_registers, stride_of, width_for
from nets.ops.linalg.row_blocks import ROWS, Rows, each, loop
from nets.ops.linalg.shapes import batch_of, flat, side
from nets.ops.linalg.substitution import substitute
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 4
"""Matrices up to this size are computed in registers, without loops."""

COLUMNS = 4
"""So many change rows at a time, in lanes."""

SCALAR = 8
"""Matrices up to this size that stand alone are computed one number at a time."""


def lower(s: Lowering, x: Value, out: Value) -> None:
    """Fill ``out`` with the packed factors of the matrices in x."""
    n, batch, dtype = side("lu", x), batch_of(x), x.type.dtype
    if buffer_type(x).elements == 0:
        return
    x, out = flat(s, x), flat(s, out)
    width = width_for(s, dtype, n * n)
    is_alone = not fits_lanes(batch, width, n)
    if is_alone and n > SCALAR:
        with each(s, batch) as number:
            _ByBlocks(s, x, n).run(x, out, number)
        return
    width = 1 if is_alone else width
    if n <= UNROLLED:
        _in_registers(in_registers(s, dtype, width, batch), x, out, n, batch)
    else:
        _InLanes(Lanes(s, dtype, width), n).run(x, out, batch)


def divisor_of(v: Lanes, pivot: Value) -> Value:
    """The pivot, 1 where it is 0."""
    return v.s.select(v.s.compare("eq", pivot, v.const(0)), v.const(1), pivot)


# --------------------------------------------------------------------------- in registers


def _in_registers(v: Lanes, x: Value, out: Value, n: int, batch: Dim) -> None:
    with v.groups(batch) as numbers:
        given = v.read(x, numbers, n * n)
        rows = [[*given[i * n : (i + 1) * n], v.const(i)] for i in range(n)]
        turns = []
        for k in range(n):
            turns.append(choose(v, rows, k))
            divisor = divisor_of(v, rows[k][k])
            for row in rows[k + 1 :]:
                row[k] = v.s.div(row[k], divisor)
                for j in range(k + 1, n):
                    row[j] = v.multiply_subtract(row[j], row[k], rows[k][j])
        order = [row[n] for row in rows]
        v.write([*(x for row in rows for x in row[:n]), *order, *turns], out, numbers)


def choose(v: Lanes, rows: list[Vectors], k: int, first: int = 0) -> Value:
    """Let the row of the largest element of a column be row k, and that the other one, from the
    column ``first`` on; gives its number."""
    s = v.s
    best, chosen = s.unary("abs", rows[k][k]), v.const(k)
    for i in range(k + 1, len(rows)):
        size = s.unary("abs", rows[i][k])
        is_larger = s.compare("gt", size, best)
        best = s.select(is_larger, size, best)
        chosen = s.select(is_larger, v.const(i), chosen)
    before, found = rows[k][first:], rows[k][first:]
    for i in range(k + 1, len(rows)):
        is_it = s.compare("eq", chosen, v.const(i))
        own = rows[i][first:]
        rows[i][first:] = [s.select(is_it, x, y) for x, y in zip(before, own, strict=True)]
        found = [s.select(is_it, x, y) for x, y in zip(own, found, strict=True)]
    rows[k][first:] = found
    return chosen


# --------------------------------------------------------------------------------- lanes


Column = Callable[[Affine], tuple[Value, Affine]]
"""In which scratch memory, and where, the element of a row is."""


class Steps:
    """The steps of elimination on a group of matrices in scratch memory.

    In a step each lane has a pivot of its own, so rows change places under masks: a few columns at
    a time, whose elements in the two rows stay in registers while all rows go by.
    """

    memory: Value
    numbers: Value
    """Of rows, in all lanes."""

    def __init__(self, v: Lanes, n: int) -> None:
        self.v, self.s, self.n, self.stride = v, v.s, n, stride_of(n)

    def number_rows(self) -> None:
        s, v = self.s, self.v
        self.numbers = v.scratch(self.n)
        with loop(s, 0, self.n) as i:
            v.put(v.splat(s.cast(s.index(i), v.dtype)), self.numbers, i)

    def _number(self, i: Affine) -> Value:
        return self.v.get(self.numbers, i)

    def _get(self, place: tuple[Value, Affine]) -> Value:
        return self.v.get(*place)

    def _put(self, vector: Value, place: tuple[Value, Affine]) -> None:
        self.v.put(vector, *place)

    def column(self, j: Affine) -> Column:
        return lambda i: (self.memory, i * self.stride + j)

    def pivot(self, k: Affine) -> Value:
        """The number of the first row with the largest element of a column."""
        s, column = self.s, self.column(k)
        first = s.unary("abs", self._get(column(k)))
        search = s.for_(s.index(k + 1), self.n, [first, self._number(k)])
        with s.inside(search) as body:
            i, best, chosen = body.arguments
            row = Affine.of(i)
            size = s.unary("abs", self._get(column(row)))
            is_larger = s.compare("gt", size, best)
            s.yield_(
                s.select(is_larger, size, best),
                s.select(is_larger, self._number(row), chosen),
            )
        return search.results[1]

    def exchange_range(
        self,
        k: Affine,
        chosen: Value,
        lo: Affine,
        hi: Affine,
        *,
        is_done: bool,
        column: Callable[[Affine], Column] | None = None,
    ) -> None:
        """The same for the columns from lo below hi: several at a time, then those left over."""
        s, of = self.s, column or self.column
        span = s.sub(s.index(hi), s.index(lo))
        whole = s.add(s.index(lo), s.binary("and", span, s.const(-COLUMNS, index)))
        with loop(s, s.index(lo), whole, COLUMNS) as j:
            self.exchange(k, chosen, [of(j + c) for c in range(COLUMNS)], is_done=is_done)
        with loop(s, whole, s.index(hi)) as j:
            self.exchange(k, chosen, [of(j)], is_done=is_done)

    def exchange(
        self, k: Affine, chosen: Value, columns: Sequence[Column], *, is_done: bool
    ) -> None:
        """Row k and the chosen one change places, in a few columns; unless these are done, the rows
        below lose their multiple of row k."""
        s, v = self.s, self.v
        before = [self._get(column(k)) for column in columns]
        found = self._chosen(k, chosen, columns, before)
        with loop(s, s.index(k + 1), self.n) as i:
            is_it = s.compare("eq", chosen, self._number(i))
            rest = [
                s.select(is_it, old, self._get(column(i)))
                for column, old in zip(columns, before, strict=True)
            ]
            if not is_done:
                factor = self._get(self.column(k)(i))
                rest = [v.multiply_subtract(x, factor, y) for x, y in zip(rest, found, strict=True)]
            for column, vector in zip(columns, rest, strict=True):
                self._put(vector, column(i))
        for column, vector in zip(columns, found, strict=True):
            self._put(vector, column(k))

    def _chosen(
        self, k: Affine, chosen: Value, columns: Sequence[Column], before: Vectors
    ) -> Vectors:
        """The elements of the chosen row."""
        s = self.s
        search = s.for_(s.index(k + 1), self.n, before)
        with s.inside(search) as body:
            row, *found = body.arguments
            i = Affine.of(row)
            is_it = s.compare("eq", chosen, self._number(i))
            pairs = zip(columns, found, strict=True)
            s.yield_(*(s.select(is_it, self._get(column(i)), x) for column, x in pairs))
        return list(search.results)

    def divide(self, k: Affine, chosen: Value) -> None:
        """The column of the pivot."""
        s, v, column = self.s, self.v, self.column(k)
        before = self._get(column(k))
        (pivot,) = self._chosen(k, chosen, [column], [before])
        divisor = divisor_of(v, pivot)
        with loop(s, s.index(k + 1), self.n) as i:
            is_it = s.compare("eq", chosen, self._number(i))
            rest = s.select(is_it, before, self._get(column(i)))
            self._put(s.div(rest, divisor), column(i))
        self._put(pivot, column(k))


class _InLanes(Steps):
    """Packed factors in scratch memory."""

    def run(self, x: Value, out: Value, batch: Dim) -> None:
        s, v, n = self.s, self.v, self.n
        with v.groups(batch) as numbers:
            self.memory = v.scratch((n + 2) * self.stride)
            self.number_rows()
            v.fill_rows(self.memory, x, numbers, (n, n))
            with loop(s, 0, n) as i:
                v.put(self._number(i), self.memory, i + n * self.stride)
            with loop(s, 0, n) as k:
                self._step(k)
            v.spill_rows(out, self.memory, numbers, (n + 2, n))

    def _step(self, k: Affine) -> None:
        chosen, end = self.pivot(k), self.n * self.stride
        self.v.put(chosen, self.memory, k + end + self.stride)
        self.exchange(k, chosen, [lambda i: (self.memory, i + end)], is_done=True)
        self.exchange_range(k, chosen, Affine(), k, is_done=True)
        self.divide(k, chosen)
        self.exchange_range(k, chosen, k + 1, Affine.of(self.n), is_done=False)


# ------------------------------------------------------------------------ blocks of rows


class _ByBlocks:
    """Panels of columns, each less its products with all columns before; then the rows of their
    pivots, so too (Crout's order). So sums stay in registers for as many terms as there are.

    A panel is factored in a copy whose columns are consecutive.
    """

    def __init__(self, s: Lowering, x: Value, n: int) -> None:
        self.s, self.n, self.dtype = s, n, x.type.dtype
        self.a = Rows(s, self.dtype, n, n)
        self.block = max(ROWS, self.a.width)
        self.length = self.a.stride
        self.panel = s.scratch(BufferType((self.block * self.length,), self.dtype))
        self.numbers = s.scratch(BufferType((self.a.height,), self.dtype))
        self.order, self.turns = (s.scratch(BufferType((n,), self.dtype)) for _ in range(2))

    def run(self, x: Value, out: Value, number: Affine) -> None:
        s, a, n = self.s, self.a, self.n
        first, end = number * (n * n), number * (n * n + 2 * n)
        # Rows that are not there have a number that compares as false.
        with loop(s, n, a.height) as i:
            s.store(s.const(math.nan, self.dtype), self.numbers, i)
        with loop(s, 0, n) as i:
            own = s.cast(s.index(i), self.dtype)
            s.store(own, self.numbers, i)
            s.store(own, self.order, i)
            with loop(s, 0, n) as j:
                s.store(s.load(x, first + i * n + j), a.memory, a.at(i, j))
        a.clear_padding()
        with loop(s, 0, n, self.block) as start:
            self._update_panel(start)
            self._factor_panel(start)
            with loop(s, s.index(start), s.index(start + self.block), ROWS) as row:
                self._finish_rows(row, start + self.block)
        with loop(s, 0, n) as i:
            with loop(s, 0, n) as j:
                s.store(a.scalar(i, j), out, end + i * n + j)
            s.store(s.load(self.order, i), out, end + n * n + i)
            s.store(s.load(self.turns, i), out, end + (n + 1) * n + i)

    def _less_before(self, row: Affine, count: Affine, column: Affine) -> Vectors:
        a = self.a
        return a.less_products(
            a.block(row, column), self.s.index(count), lambda r, k: a.scalar(row + r, k), column
        )

    def _update_panel(self, start: Affine) -> None:
        """The columns of a panel, from its first row on, less the products before it."""
        s, a = self.s, self.a
        columns = s.index(start), s.index(start + self.block), a.width
        with loop(s, s.index(start), a.height, ROWS) as row, loop(s, *columns) as column:
            a.set_block(self._less_before(row, start, column), row, column)

    def _finish_rows(self, row: Affine, behind: Affine) -> None:
        """Eight rows of U behind the panel, less the products with the rows above."""
        s, a = self.s, self.a
        with loop(s, s.index(behind), a.end, a.width) as column:
            rest = [[vector] for vector in self._less_before(row, row, column)]
            substitute(a, rest, lambda r, k: a.splat(a.scalar(row + r, row + k)), unit=True)
            a.set_block([vector for (vector,) in rest], row, column)

    # The panel, whose element in row i and column c is at c * length + i.
    def _at(self, c: Affine, i: Affine) -> Affine:
        return c * self.length + i

    def _factor_panel(self, start: Affine) -> None:
        s, a = self.s, self.a
        width = s.binary("min", s.const(self.block, index), s.index(-start + self.n))
        rows = s.index(start), a.height, a.width
        parts = 0, self.block, a.width
        with loop(s, *rows) as i, loop(s, *parts) as c:
            square = a.turned([a.vector(i + r, start + c) for r in range(a.width)])
            for r, column in enumerate(square):
                a.store(column, self.panel, self._at(c + r, i))
        with loop(s, 0, width) as c:
            self._eliminate(c, start + c, width)
        with loop(s, *rows) as i, loop(s, *parts) as c:
            square = [a.load(self.panel, self._at(c + r, i)) for r in range(a.width)]
            for r, row in enumerate(a.turned(square)):
                a.set(row, i + r, start + c)

    def _eliminate(self, c: Affine, k: Affine, width: Value) -> None:
        """The step of column c of the panel, which is column k of the matrix."""
        s, a = self.s, self.a
        chosen = self._pivot(c, k)
        s.store(s.cast(chosen, self.dtype), self.turns, k)
        self._exchange(k, chosen, width)
        pivot = s.load(self.panel, self._at(c, k))
        is_zero = s.compare("eq", pivot, s.const(0, self.dtype))
        divisor = a.splat(s.select(is_zero, s.const(1, self.dtype), pivot))
        number = a.splat(s.cast(s.index(k), self.dtype))
        with loop(s, self._first(k), a.height, a.width) as i:
            is_below = s.compare("gt", a.load(self.numbers, i), number)
            column = a.load(self.panel, self._at(c, i))
            multiples = s.select(is_below, s.div(column, divisor), column)
            a.store(multiples, self.panel, self._at(c, i))
            with loop(s, s.index(c + 1), width) as later:
                factor = a.splat(s.load(self.panel, self._at(later, k)))
                before = a.load(self.panel, self._at(later, i))
                rest = a.multiply_subtract(before, multiples, factor)
                a.store(s.select(is_below, rest, before), self.panel, self._at(later, i))

    def _first(self, k: Affine) -> Value:
        """Where the vector begins that meets row k."""
        s = self.s
        return s.binary("and", s.index(k), s.const(-self.a.width, index))

    def _pivot(self, c: Affine, k: Affine) -> Value:
        """The first row with the largest element of the column; NaN is none, but in row k."""
        s, a, dtype = self.s, self.a, self.dtype
        number = s.cast(s.index(k), dtype)
        own = a.splat(number)
        search = s.for_(self._first(k), a.height, [a.const(-1), own], step=a.width)
        with s.inside(search) as body:
            i, best, found = body.arguments
            numbers = a.load(self.numbers, Affine.of(i))
            size = s.unary("abs", a.load(self.panel, self._at(c, Affine.of(i))))
            is_larger = s.compare("gt", size, best)
            is_larger = s.binary("and", is_larger, s.compare("ge", numbers, own))
            s.yield_(s.select(is_larger, size, best), s.select(is_larger, numbers, found))
        chosen = self._first_of_largest(*search.results)
        first = s.load(self.panel, self._at(c, k))
        chosen = s.select(s.compare("unordered", first, first), number, chosen)
        return s.cast(chosen, index)

    def _first_of_largest(self, sizes: Value, numbers: Value) -> Value:
        """The least of the numbers in the lanes with the largest size."""
        s, a = self.s, self.a
        if a.width == 1:
            return numbers
        largest = s.emit("lane_reduce", sizes, combiner="max").result
        is_largest = s.compare("eq", sizes, a.splat(largest))
        # A lane that has met no row has size −1 and the number of the first row.
        candidates = s.select(is_largest, numbers, a.const(math.inf))
        return s.emit("lane_reduce", candidates, combiner="min").result

    def _exchange(self, k: Affine, pivot: Value, width: Value) -> None:
        """Two rows change places, in the panel and in the matrix."""
        s, a, other = self.s, self.a, Affine.of(pivot)
        with s.inside(s.if_(s.compare("ne", s.index(k), pivot))):
            with loop(s, 0, width) as c:
                self._swap(self.panel, self._at(c, k), self._at(c, other))
            self._swap(self.order, k, other)
            with loop(s, 0, a.end, a.width) as column:
                pair = a.vector(k, column), a.vector(other, column)
                a.set(pair[1], k, column)
                a.set(pair[0], other, column)
            s.yield_()

    def _swap(self, buffer: Value, x: Affine, y: Affine) -> None:
        pair = self.s.load(buffer, x), self.s.load(buffer, y)
        self.s.store(pair[1], buffer, x)
        self.s.store(pair[0], buffer, y)
