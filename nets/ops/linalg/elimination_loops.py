"""The loops of ``eliminate``: steps of ``lu`` with right sides beside the matrices, and
substitution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType
from nets.ops.linalg import lu_loops, lu_solve_loops
from nets.ops.linalg.lanes import Lanes, Vectors, in_registers
from nets.ops.linalg.lu_loops import Column, Steps, choose, divisor_of
from nets.ops.linalg.row_blocks import loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.linalg.substitution import InLanes, Triangle, note_each, note_zero, substitute
from nets.ops.linalg.triangular_loops import goes_in_lanes
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 5
"""Systems up to this size are solved in registers, if they have few right sides."""

MOST_STEPS = 16
"""So many steps of elimination are written out, each for the columns that it has left."""

MOST_COLUMNS = 2 * MOST_STEPS
"""Of such systems, right sides included."""


def lower(s: Lowering, a: Value, b: Value, out: Value, refuses: bool) -> None:
    """Fill ``out`` with the solutions; note singular matrices where it refuses them."""
    if buffer_type(b).elements == 0:
        return
    n, m = (known("eliminate", size) for size in buffer_type(b).shape[-2:])
    batch, dtype = batch_of(b), b.type.dtype
    in_lanes, width = goes_in_lanes(s, b, n, batch, m)
    if not in_lanes:
        packed = s.alloc(BufferType((*buffer_type(a).shape[:-2], n + 2, n), dtype))
        lu_loops.lower(s, a, packed)
        lu_solve_loops.lower(s, packed, b, out, transpose=False, refuses=refuses)
        return
    a, b, out = (flat(s, x) for x in (a, b, out))
    v = Lanes(s, dtype, width)
    if n <= UNROLLED and n * m <= 2 * UNROLLED:
        v = in_registers(s, dtype, width, batch)
        _in_registers(v, a, b, out, (n, m), batch, refuses)
    elif n <= MOST_STEPS and n + m <= MOST_COLUMNS:
        _Written(v, n, m).run_system(a, b, out, batch, refuses)
    else:
        _Augmented(v, n, m).run_system(a, b, out, batch, refuses)


def _triangle(n: int, stride: int) -> Triangle:
    return Triangle(n, stride, upper=True, transpose=False, unit=False)


def _in_registers(
    v: Lanes,
    a: Value,
    b: Value,
    out: Value,
    sizes: tuple[int, int],
    batch: Dim,
    refuses: bool,
) -> None:
    n, m = sizes
    with v.groups(batch) as numbers:
        matrix, right = v.read(a, numbers, n * n), v.read(b, numbers, n * m)
        rows = [[*matrix[i * n : (i + 1) * n], *right[i * m : (i + 1) * m]] for i in range(n)]
        for k in range(n):
            choose(v, rows, k, first=k)
            divisor = divisor_of(v, rows[k][k])
            for row in rows[k + 1 :]:
                factor = v.s.div(row[k], divisor)
                for j in range(k + 1, n + m):
                    row[j] = v.multiply_subtract(row[j], factor, rows[k][j])
        found = [row[n:] for row in rows]
        substitute(v, found[::-1], lambda i, k: rows[n - 1 - i][n - 1 - k], False)
        v.write([x for row in found for x in row], out, numbers)
        if refuses:
            note_zero(v.s, *(rows[k][k] for k in range(n)))


class _Augmented(Steps):
    """A group of matrices in scratch memory, with the right sides behind them."""

    def __init__(self, v: Lanes, n: int, m: int) -> None:
        super().__init__(v, n)
        self.m = m

    def run_system(self, a: Value, b: Value, out: Value, batch: Dim, refuses: bool) -> None:
        v, n, m = self.v, self.n, self.m
        with v.groups(batch) as numbers:
            self.memory, self.right = v.scratch(n * self.stride), v.scratch(n * m)
            self.number_rows()
            v.fill_rows(self.memory, a, numbers, (n, n))
            v.fill(self.right, b, numbers, n * m)
            self._steps()
            if refuses:
                note_each(v, self.memory, n, self.stride)
            InLanes(v, self.memory, self.right, m).solve(_triangle(n, self.stride))
            v.spill(out, self.right, numbers, n * m)

    def _steps(self) -> None:
        n, m = self.n, self.m
        with loop(self.s, 0, n) as k:
            chosen = self.pivot(k)
            self.divide(k, chosen)
            self.exchange_range(k, chosen, k + 1, Affine.of(n), is_done=False)
            self.exchange_range(
                k, chosen, Affine(), Affine.of(m), is_done=False, column=self._right_column
            )

    def _right_column(self, j: Affine) -> Column:
        return lambda i: (self.right, i * self.m + j)


class _Written(_Augmented):
    """The same for few columns: what a step leaves of them is known where it is written.

    So many columns of two rows are registers that the others are met once or twice.
    """

    def _steps(self) -> None:
        for k in range(self.n - 1):
            self._step(k)

    def _step(self, k: int) -> None:
        """Row k and that of the largest element of column k change places, and the rows below lose
        their multiple of row k."""
        first, *others = self._parts(k)
        chosen, found = self._search(k, first)
        self._take_off(k, chosen, first, found, pivot=found[0], is_last=not others)
        for columns in others:
            before = self._at(Affine.of(k), columns)
            found = self._chosen(Affine.of(k), chosen, columns, before)
            self._take_off(k, chosen, columns, found)

    def _parts(self, k: int) -> list[list[Column]]:
        """The columns from k on, as many at a time as there are registers for."""
        columns = [self._column(j) for j in range(k, self.n + self.m)]
        most = 9 if self.s.machine.has_many_registers else 4
        count = -(-len(columns) // most)
        ends = [len(columns) * part // count for part in range(count + 1)]
        return [columns[lo:hi] for lo, hi in pairwise(ends)]

    def _column(self, j: int) -> Column:
        return (
            self.column(Affine.of(j)) if j < self.n else self._right_column(Affine.of(j - self.n))
        )

    def _at(self, i: Affine, columns: Sequence[Column]) -> Vectors:
        return [self._get(column(i)) for column in columns]

    def _search(self, k: int, columns: Sequence[Column]) -> tuple[Value, Vectors]:
        """The number of the first row with the largest element of a column, and its elements."""
        s, row = self.s, Affine.of(k)
        before = self._at(row, columns)
        first = [s.unary("abs", before[0]), self._number(row), *before]
        search = s.for_(k + 1, self.n, first)
        with s.inside(search) as body:
            i, *best = body.arguments
            row = Affine.of(i)
            elements = self._at(row, columns)
            own = [s.unary("abs", elements[0]), self._number(row), *elements]
            is_larger = s.compare("gt", own[0], best[0])
            s.yield_(*(s.select(is_larger, x, y) for x, y in zip(own, best, strict=True)))
        _, chosen, *found = search.results
        return chosen, found

    def _take_off(
        self,
        k: int,
        chosen: Value,
        columns: Sequence[Column],
        found: Vectors,
        pivot: Value | None = None,
        is_last: bool = True,
    ) -> None:
        """Exchange the rows in these columns, and take their multiples off the rows below. With a
        pivot the first column is its own; it gets the factors if there are columns to follow."""
        s, v = self.s, self.v
        before = self._at(Affine.of(k), columns)
        divisor = None if pivot is None else divisor_of(v, pivot)
        with loop(s, k + 1, self.n) as i:
            is_it = s.compare("eq", chosen, self._number(i))
            rest = [
                s.select(is_it, x, y) for x, y in zip(before, self._at(i, columns), strict=True)
            ]
            if divisor is None:
                factor, start = self._get(self._column(k)(i)), 0
            else:
                factor, start = s.div(rest[0], divisor), 1
                if not is_last:
                    self._put(factor, columns[0](i))
            for column, x, y in zip(columns[start:], rest[start:], found[start:], strict=True):
                self._put(v.multiply_subtract(x, factor, y), column(i))
        for column, vector in zip(columns, found, strict=True):
            self._put(vector, column(Affine.of(k)))
