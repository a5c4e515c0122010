"""Substitution: systems with a triangle, solved row by row.

In the order of the rows, x_i = (b_i − t_i0 x_0 − t_i1 x_1 − …) / t_ii, the terms in the order in
which the x are found; so in lanes, in tiles and by blocks of rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import VectorType, index
from nets.ops.linalg.lanes import Lanes, Vectors
from nets.ops.linalg.row_blocks import ROWS, Rows, each, loop
from nets.ops.loop.failures import SINGULAR
from nets.ops.loop.lowering import Lowering


@dataclass(frozen=True, slots=True)
class Triangle:
    """A triangle of a square in memory, and which system it is of.

    Rows and columns have numbers in the order in which the unknowns are found.
    """

    n: int
    stride: int
    """Elements from a row to the next."""
    upper: bool
    transpose: bool
    """Whether it is the transpose of what is in memory that is meant."""
    unit: bool
    """Whether the diagonal is 1 whatever is in memory."""

    @property
    def is_backward(self) -> bool:
        """Whether the last unknown is found first."""
        return self.upper != self.transpose

    def place(self, i: Affine, k: Affine) -> Affine:
        """Where the factor of the unknown k in the equation i is."""
        row, column = self.row(i), self.row(k)
        if self.transpose:
            row, column = column, row
        return row * self.stride + column

    def row(self, i: Affine) -> Affine:
        """The row that the unknown i stands in."""
        return -i + (self.n - 1) if self.is_backward else i


class InLanes:
    """A group of systems: triangles and right sides, n × m, in scratch memory."""

    def __init__(self, v: Lanes, matrices: Value, right: Value, m: int) -> None:
        self.v, self.s, self.matrices, self.right, self.m = v, v.s, matrices, right, m
        self.tile = 4 if v.s.machine.has_many_registers else 3

    def solve(self, t: Triangle) -> None:
        """Put the unknowns in the place of the right sides."""
        s, first = self.s, t.n % self.tile or self.tile
        self._rows(t, Affine(), first, None)
        with loop(s, first, t.n, self.tile) as i:
            self._rows(t, i, self.tile, s.index(i))

    def _rows(self, t: Triangle, i: Affine, rows: int, count: Value | None) -> None:
        """A few rows, of all columns in tiles; the first takes what is left over."""
        first = self.m % self.tile or self.tile
        self._block(t, i, rows, Affine(), first, count)
        with loop(self.s, first, self.m, self.tile) as j:
            self._block(t, i, rows, j, self.tile, count)

    def _block(
        self, t: Triangle, i: Affine, rows: int, j: Affine, columns: int, count: Value | None
    ) -> None:
        v, s = self.v, self.s
        places = [(r, c) for r in range(rows) for c in range(columns)]
        sums = [v.get(self.right, self._at(t, i + r, j + c)) for r, c in places]
        if count is not None:
            terms = s.for_(0, count, sums)
            with s.inside(terms) as body:
                k, *totals = body.arguments
                left = [self._factor(t, i + r, Affine.of(k)) for r in range(rows)]
                found = [
                    v.get(self.right, self._at(t, Affine.of(k), j + c)) for c in range(columns)
                ]
                s.yield_(
                    *(
                        v.multiply_subtract(total, left[r], found[c])
                        for (r, c), total in zip(places, totals, strict=True)
                    )
                )
            sums = list(terms.results)
        block = [sums[r * columns : (r + 1) * columns] for r in range(rows)]
        substitute(v, block, lambda r, k: self._factor(t, i + r, i + k), t.unit)
        for r, c in places:
            v.put(block[r][c], self.right, self._at(t, i + r, j + c))

    def _factor(self, t: Triangle, i: Affine, k: Affine) -> Value:
        return self.v.get(self.matrices, t.place(i, k))

    def _at(self, t: Triangle, i: Affine, j: Affine) -> Affine:
        return t.row(i) * self.m + j


def note_singular(s: Lowering, buffer: Value, n: int, size: int, batch: Dim) -> None:
    """Note the matrices with a 0 on the diagonal, which begin ``size`` elements apart."""
    if s.failures:
        with each(s, batch) as number, loop(s, 0, n) as i:
            note_zero(s, s.load(buffer, number * size + i * (n + 1)))


def note_each(v: Lanes, matrices: Value, n: int, stride: int) -> None:
    """Note matrices in lanes with a 0 on the diagonal."""
    if v.s.failures:
        with loop(v.s, 0, n) as i:
            note_zero(v.s, v.get(matrices, i * (stride + 1)))


def note_zero(s: Lowering, *pivots: Value) -> None:
    """Note the matrices, of one lane or more, whose pivots these are, where one is 0."""

    def are_not_zero() -> Value:
        zero = s.like(pivots[0], 0)
        if isinstance(pivots[0].type, VectorType):
            zero = s.emit("splat", zero, lanes=pivots[0].type.lanes).result
        return functools.reduce(
            functools.partial(s.binary, "and"), [s.compare("ne", x, zero) for x in pivots]
        )

    s.note_unless(are_not_zero, SINGULAR)


def substitute(
    v: Lanes, rows: list[Vectors], factor: Callable[[int, int], Value], unit: bool
) -> None:
    """Solve a few rows in registers, in place."""
    for r, row in enumerate(rows):
        if not unit:
            pivot = factor(r, r)
            row[:] = [v.s.div(x, pivot) for x in row]
        for below in range(r + 1, len(rows)):
            coefficient = factor(below, r)
            rows[below][:] = [
                v.multiply_subtract(total, coefficient, x)
                for total, x in zip(rows[below], row, strict=True)
            ]


class ByBlocks:
    """One system whose triangle is in memory from an element on, eight rows at a time; the right
    sides are a working copy in the order of the unknowns."""

    def __init__(self, x: Rows, memory: Value, first: Affine) -> None:
        self.x, self.s, self.memory, self.first = x, x.s, memory, first

    def take(self, t: Triangle, right: Callable[[Affine, Affine], Value]) -> None:
        """Copy right sides into the working copy."""
        s, x = self.s, self.x
        with loop(s, 0, x.rows) as i, loop(s, 0, x.columns) as j:
            s.store(right(t.row(i), j), x.memory, x.at(i, j))
        x.clear_padding()

    def turn(self, before: Triangle, after: Triangle) -> None:
        """From the order of the unknowns of one system to that of another."""
        s, x = self.s, self.x
        if before.is_backward == after.is_backward:
            return
        with loop(s, 0, x.rows // 2) as i:
            other = -i + (x.rows - 1)
            with loop(s, 0, x.columns) as j:
                pair = x.scalar(i, j), x.scalar(other, j)
                s.store(pair[1], x.memory, x.at(i, j))
                s.store(pair[0], x.memory, x.at(other, j))

    def solve(self, t: Triangle) -> None:
        s, x = self.s, self.x
        with loop(s, 0, x.height, ROWS) as row:
            rows = self._numbers(t, row)

            def factor(r: int, k: Affine, rows: list[Affine] = rows) -> Value:
                return s.load(self.memory, self.first + t.place(rows[r], k))

            with loop(s, 0, x.end, x.width) as column:
                block = x.less_products(x.block(row, column), s.index(row), factor, column)
                lists = [[vector] for vector in block]
                substitute(x, lists, lambda r, k: x.splat(factor(r, rows[k])), t.unit)
                x.set_block([vector for (vector,) in lists], row, column)

    def _numbers(self, t: Triangle, row: Affine) -> list[Affine]:
        """The rows of a block; behind the last one it stands in for those that are not there."""
        s = self.s
        if t.n % ROWS == 0:
            return [row + r for r in range(ROWS)]
        last = s.const(t.n - 1, index)
        return [Affine.of(s.binary("min", s.index(row + r), last)) for r in range(ROWS)]
