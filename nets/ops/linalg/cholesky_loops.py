"""The loops of ``cholesky``: small matrices side by side in lanes, large ones by blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, index
from nets.ops.linalg.lanes import Lanes, Vectors, fits_lanes, in_registers, stride_of, width_for
from nets.ops.linalg.row_blocks import ROWS, Rows, each, loop
from nets.ops.linalg.shapes import batch_of, flat, side
from nets.ops.loop.failures import NOT_POSITIVE_DEFINITE
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 5
"""Matrices up to this size are computed in registers, without loops."""

SCALAR = 8
"""Matrices up to this size that stand alone are computed one number at a time."""


def lower(s: Lowering, x: Value, out: Value, upper: bool) -> None:
    """Fill ``out`` with the factors of the matrices in x."""
    n, batch, dtype = side("cholesky", x), batch_of(x), x.type.dtype
    if buffer_type(x).elements == 0:
        return
    x, out = flat(s, x), flat(s, out)
    width = width_for(s, dtype, n * n)
    is_alone = not fits_lanes(batch, width, n)
    if is_alone and n > SCALAR:
        with each(s, batch) as number:
            _by_blocks(Rows(s, dtype, n, n), x, out, number, upper)
        return
    width = 1 if is_alone else width
    if n <= UNROLLED:
        _in_registers(in_registers(s, dtype, width, batch), x, out, n, batch, upper)
    else:
        _Tiled(Lanes(s, dtype, width), n, upper).run(x, out, batch)


# --------------------------------------------------------------------------- in registers


def _in_registers(v: Lanes, x: Value, out: Value, n: int, batch: Dim, upper: bool) -> None:
    with v.groups(batch) as numbers:
        given = v.read(x, numbers, n * n)
        half = v.const(0.5)
        rows: list[Vectors] = []
        inverses: Vectors = []
        for i in range(n):
            row: Vectors = []
            for j in range(i + 1):
                total = v.s.add(given[i * n + j], given[j * n + i])
                total = v.s.mul(total, half)
                for k in range(j):
                    total = v.multiply_subtract(total, row[k], rows[j][k] if j < i else row[k])
                if j < i:
                    row.append(v.s.mul(total, inverses[j]))
            root, inverse = _pivot(v, total)
            row.append(root)
            inverses.append(inverse)
            rows.append(row)
        last, zero = rows[-1][-1], v.const(0)
        _note_failed(v, last)
        found = [zero] * (n * n)
        failed, nan = v.s.compare("unordered", last, last), v.const(math.nan)
        for i, row in enumerate(rows):
            for j, element in enumerate(row):
                place = j * n + i if upper else i * n + j
                found[place] = v.s.select(failed, nan, element)
        v.write(found, out, numbers)


def _pivot(v: Lanes, square: Value) -> tuple[Value, Value]:
    """The root, NaN unless the square is positive, and its inverse."""
    s = v.s
    is_positive = s.compare("gt", square, v.const(0))
    root = s.unary("sqrt", s.select(is_positive, square, v.const(math.nan)))
    return root, s.div(v.const(1), root)


def _note_failed(v: Lanes, last: Value) -> None:
    """Note the matrices whose last root is NaN."""
    v.s.note_unless(lambda: v.s.compare("eq", last, last), NOT_POSITIVE_DEFINITE)


# ------------------------------------------------------------------------- lanes, in tiles


class _Tiled:
    """Square tiles of the triangle one after the other, left-looking: the sums of a tile stay in
    registers. The first tile takes what is left over, so that all others are whole."""

    def __init__(self, v: Lanes, n: int, upper: bool) -> None:
        self.v, self.s, self.n, self.upper = v, v.s, n, upper
        self.stride = stride_of(n)
        self.tile = 4 if v.s.machine.has_many_registers else 3
        self.first = n % self.tile or self.tile

    def run(self, x: Value, out: Value, batch: Dim) -> None:
        s, v, n, tile = self.s, self.v, self.n, self.tile
        with v.groups(batch) as numbers:
            self.memory, self.inverses = v.scratch(n * self.stride), v.scratch(n)
            v.fill_rows(self.memory, x, numbers, (n, n))
            self._diagonal(Affine(), self.first, None)
            with loop(s, self.first, n, tile) as i:
                self._below(i, Affine(), self.first, None)
            with loop(s, self.first, n, tile) as j:
                self._diagonal(j, tile, s.index(j))
                with loop(s, s.index(j + tile), n, tile) as i:
                    self._below(i, j, tile, s.index(j))
            self._finish()
            v.spill_rows(out, self.memory, numbers, (n, n))

    def _get(self, i: Affine, j: Affine) -> Value:
        """An element of the triangle that is there."""
        return self.v.get(self.memory, self._place(i, j))

    def _place(self, i: Affine, j: Affine) -> Affine:
        return j * self.stride + i if self.upper else i * self.stride + j

    def _put(self, vector: Value, i: Affine, j: Affine) -> None:
        self.v.put(vector, self.memory, self._place(i, j))

    def _given(self, i: Affine, j: Affine) -> Value:
        pair = [
            self.v.get(self.memory, one * self.stride + other) for one, other in ((i, j), (j, i))
        ]
        return self.s.mul(self.s.add(*pair), self.v.const(0.5))

    def _diagonal(self, start: Affine, size: int, count: Value | None) -> None:
        """Factor the tile on the diagonal, less the products of ``count`` columns."""
        v, s = self.v, self.s
        places = [(i, j) for i in range(size) for j in range(i + 1)]
        sums = [self._given(start + i, start + j) for i, j in places]
        if count is not None:
            terms = s.for_(0, count, sums)
            with s.inside(terms) as body:
                k, *totals = body.arguments
                column = [self._get(start + i, Affine.of(k)) for i in range(size)]
                s.yield_(
                    *(
                        v.multiply_subtract(total, column[i], column[j])
                        for (i, j), total in zip(places, totals, strict=True)
                    )
                )
            sums = list(terms.results)
        rest = dict(zip(places, sums, strict=True))
        for c in range(size):
            rest[c, c], inverse = _pivot(v, rest[c, c])
            v.put(inverse, self.inverses, start + c)
            for r in range(c + 1, size):
                rest[r, c] = s.mul(rest[r, c], inverse)
            for r, later in places:
                if later > c:
                    rest[r, later] = v.multiply_subtract(rest[r, later], rest[r, c], rest[later, c])
        self._put_tile(rest, start, start)

    def _below(self, i: Affine, j: Affine, size: int, count: Value | None) -> None:
        """A tile below the diagonal, of ``size`` columns from j on."""
        v, s, tile = self.v, self.s, self.tile
        places = [(r, c) for r in range(tile) for c in range(size)]
        sums = [self._given(i + r, j + c) for r, c in places]
        if count is not None:
            terms = s.for_(0, count, sums)
            with s.inside(terms) as body:
                k, *totals = body.arguments
                left = [self._get(i + r, Affine.of(k)) for r in range(tile)]
                right = [self._get(j + c, Affine.of(k)) for c in range(size)]
                s.yield_(
                    *(
                        v.multiply_subtract(total, left[r], right[c])
                        for (r, c), total in zip(places, totals, strict=True)
                    )
                )
            sums = list(terms.results)
        rest = dict(zip(places, sums, strict=True))
        for c in range(size):
            inverse = v.get(self.inverses, j + c)
            for r in range(tile):
                rest[r, c] = s.mul(rest[r, c], inverse)
            for later in range(c + 1, size):
                factor = self._get(j + later, j + c)
                for r in range(tile):
                    rest[r, later] = v.multiply_subtract(rest[r, later], rest[r, c], factor)
        self._put_tile(rest, i, j)

    def _put_tile(self, tile: Mapping[tuple[int, int], Value], i: Affine, j: Affine) -> None:
        """Store a tile, and zeros on the other side of the diagonal."""
        zero = self.v.const(0)
        for (r, c), vector in tile.items():
            self._put(vector, i + r, j + c)
            if i is not j or r != c:
                self._put(zero, j + c, i + r)

    def _finish(self) -> None:
        """NaN in the triangle where the matrix was not positive definite."""
        v, s, n = self.v, self.s, self.n
        last = self._get(Affine.of(n - 1), Affine.of(n - 1))
        _note_failed(v, last)
        failed, nan = s.compare("unordered", last, last), v.const(math.nan)
        total = v.total(last)
        with s.inside(s.if_(s.compare("unordered", total, total))):
            with loop(s, 0, n) as i, loop(s, 0, s.index(i + 1)) as j:
                self._put(s.select(failed, nan, self._get(i, j)), i, j)
            s.yield_()


# ------------------------------------------------------------------------- its cotangent


def lower_cotangent(s: Lowering, factor: Value, ct: Value, out: Value, upper: bool) -> None:
    """Fill ``out`` with the cotangents of matrices whose factors have the cotangents ``ct``."""
    n, batch, dtype = side("cholesky_cotangent", factor), batch_of(factor), factor.type.dtype
    if buffer_type(factor).elements == 0:
        return
    factor, ct, out = (flat(s, x) for x in (factor, ct, out))
    width = width_for(s, dtype, n * n)
    v = Lanes(s, dtype, width if fits_lanes(batch, width, n) else 1)
    _Cotangent(v, n, upper).run(factor, ct, out, batch)


class _Cotangent:
    """Square tiles of the triangle, from the last columns to the first, and of these from the
    diagonal on last: the sums of a tile stay in registers. The first columns are what is left over.

    What is found takes the place of what is given, on both sides of the diagonal.
    """

    def __init__(self, v: Lanes, n: int, upper: bool) -> None:
        self.v, self.s, self.n, self.upper = v, v.s, n, upper
        self.stride = stride_of(n)
        self.tile = 4 if v.s.machine.has_many_registers else 3
        self.first = n % self.tile or self.tile

    def run(self, factor: Value, ct: Value, out: Value, batch: Dim) -> None:
        s, v, n, tile, first = self.s, self.v, self.n, self.tile, self.first
        with v.groups(batch) as numbers:
            self.factor, self.found = (v.scratch(n * self.stride) for _ in range(2))
            self.inverses = v.scratch(n)
            v.fill_rows(self.factor, factor, numbers, (n, n))
            v.fill_rows(self.found, ct, numbers, (n, n))
            with loop(s, 0, n) as j:
                v.put(
                    s.div(v.const(1), v.get(self.factor, j * (self.stride + 1))), self.inverses, j
                )
            with loop(s, 0, (n - first) // tile) as step:
                self._columns(step * -tile + (n - tile), tile)
            self._columns(Affine(), first)
            v.spill_rows(out, self.found, numbers, (n, n))

    def _columns(self, j: Affine, size: int) -> None:
        with loop(self.s, self.s.index(j + size), self.n, self.tile) as i:
            self._tile(i, j, self.tile, size)
        self._tile(j, j, size, size)

    def _given(self, i: Affine, j: Affine) -> Value:
        half = self.v.const(0.5)
        return self.s.mul(self.v.get(self.found, self._place(i, j)), half)

    def _place(self, i: Affine, j: Affine) -> Affine:
        return j * self.stride + i if self.upper else i * self.stride + j

    def _tile(self, i: Affine, j: Affine, rows: int, size: int) -> None:
        """Rows from i on, of ``size`` columns from j on; these are below the diagonal, or on it."""
        v, s, is_diagonal = self.v, self.s, i is j
        places = [(r, c) for r in range(rows) for c in range(size) if r >= c or not is_diagonal]
        sums = [self._given(i + r, j + c) for r, c in places]
        terms = s.for_(0, s.index(-j + (self.n - size)), sums)
        with s.inside(terms) as body:
            step, *totals = body.arguments
            k = Affine.of(step) * -1 + (self.n - 1)
            left = [v.get(self.found, k * self.stride + i + r) for r in range(rows)]
            right = [v.get(self.factor, self._place(k, j + c)) for c in range(size)]
            s.yield_(
                *(
                    v.multiply_subtract(total, left[r], right[c])
                    for (r, c), total in zip(places, totals, strict=True)
                )
            )
        rest = dict(zip(places, terms.results, strict=True))
        for c in reversed(range(size)):
            self._finish(rest, i, j, c, rows, size)
        for (r, c), vector in rest.items():
            v.put(vector, self.found, (i + r) * self.stride + j + c)
            if not is_diagonal or r != c:
                v.put(vector, self.found, (j + c) * self.stride + i + r)

    def _finish(
        self, rest: dict[tuple[int, int], Value], i: Affine, j: Affine, c: int, rows: int, size: int
    ) -> None:
        """A column of a tile, less the products with those of the tile behind it."""
        v, is_diagonal = self.v, i is j
        inverse = v.get(self.inverses, j + c)
        # On the diagonal the pivot comes last: its products are with what else is in the column.
        for r in reversed(range(c if is_diagonal else 0, rows)):
            for k in reversed(range(c + 1, size)):
                other = (max(r, k), min(r, k)) if is_diagonal else (r, k)
                factor = v.get(self.factor, self._place(j + k, j + c))
                rest[r, c] = v.multiply_subtract(rest[r, c], rest[other], factor)
            rest[r, c] = self.s.mul(rest[r, c], inverse)


# ------------------------------------------------------------------------ blocks of rows


def _by_blocks(u: Rows, x: Value, out: Value, number: Affine, upper: bool) -> None:
    """The upper triangle of a working copy, whose rows are consecutive; then where it is wanted."""
    s, n = u.s, u.columns
    first = number * (n * n)
    half = s.const(0.5, u.dtype)
    with loop(s, 0, n) as i, loop(s, s.index(i), n) as j:
        pair = (s.load(x, first + i * n + j), s.load(x, first + j * n + i))
        s.store(s.mul(s.add(*pair), half), u.memory, u.at(i, j))
    u.clear_padding()
    block = max(ROWS, u.width)
    with loop(s, 0, u.height, ROWS) as row:
        start = row
        if u.width > ROWS:
            start = Affine.of(s.binary("and", s.index(row), s.const(-u.width, index)))
        _block_row(u, row, start, block)
    nan, zero = s.const(math.nan, u.dtype), s.const(0, u.dtype)
    last = u.scalar(Affine.of(n - 1), Affine.of(n - 1))
    _note_failed(u, last)
    failed = s.compare("unordered", last, last)
    with loop(s, 0, n) as i:
        lo, hi = (s.index(i), n) if upper else (0, s.index(i + 1))
        with loop(s, lo, hi) as j:
            element = u.scalar(i, j) if upper else u.scalar(j, i)
            s.store(s.select(failed, nan, element), out, first + i * n + j)
        lo, hi = (0, s.index(i)) if upper else (s.index(i + 1), n)
        with loop(s, lo, hi) as j:
            s.store(zero, out, first + i * n + j)


def _block_row(u: Rows, row: Affine, start: Affine, block: int) -> None:
    """Eight rows of the triangle, from the column ``start`` on: the block on the diagonal first."""
    s = u.s

    def less_rows_above(column: Affine) -> Vectors:
        return u.less_products(
            u.block(row, column), s.index(row), lambda r, k: u.scalar(k, row + r), column
        )

    with loop(s, s.index(start), s.index(start + block), u.width) as column:
        u.set_block(less_rows_above(column), row, column)
    inverses = _factor_diagonal(u, row, start, block)
    with loop(s, s.index(start + block), u.end, u.width) as column:
        rest = less_rows_above(column)
        for r in range(ROWS):
            rest[r] = s.mul(rest[r], u.splat(s.load(inverses, Affine.of(r))))
            for below in range(r + 1, ROWS):
                factor = u.splat(u.scalar(row + r, row + below))
                rest[below] = u.multiply_subtract(rest[below], factor, rest[r])
        u.set_block(rest, row, column)


def _factor_diagonal(u: Rows, row: Affine, start: Affine, block: int) -> Value:
    """Factor the block on the diagonal, in the vectors that meet it; gives the inverse pivots."""
    s = u.s
    roots, inverses = (s.scratch(BufferType((ROWS,), u.dtype)) for _ in range(2))
    columns = s.index(start), s.index(start + block), u.width
    with loop(s, 0, ROWS) as r:
        square = u.scalar(row + r, row + r)
        is_positive = s.compare("gt", square, s.const(0, u.dtype))
        root = s.unary("sqrt", s.select(is_positive, square, s.const(math.nan, u.dtype)))
        inverse = s.div(s.const(1, u.dtype), root)
        s.store(root, roots, r)
        s.store(inverse, inverses, r)
        with loop(s, *columns) as column:
            u.set(s.mul(u.vector(row + r, column), u.splat(inverse)), row + r, column)
        with loop(s, s.index(r + 1), ROWS) as below:
            factor = u.splat(u.scalar(row + r, row + below))
            with loop(s, *columns) as column:
                pivots = u.vector(row + r, column)
                rest = u.multiply_subtract(u.vector(row + below, column), factor, pivots)
                u.set(rest, row + below, column)
    with loop(s, 0, ROWS) as r:
        s.store(s.load(roots, r), u.memory, u.at(row + r, row + r))
    return inverses
