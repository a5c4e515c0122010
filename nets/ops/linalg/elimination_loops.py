"""The loops of ``eliminate``: steps of ``lu`` with right sides beside the matrices, and
substitution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, index
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

MOST_WRITTEN = 16
"""Systems of so many unknowns and right sides at most have their steps written out, each for the
columns that are left."""


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
    else:
        _Pairs(v, n, m).run_system(a, b, out, batch, refuses)


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


@dataclass(frozen=True, slots=True)
class _Lead:
    """What the columns of two pivots, k and k + 1, say of all others."""

    k: Affine
    first: Value
    """The number of the row that row k changes places with; and row k + 1 after that."""
    second: Value
    of_next: Value
    """The multiple of row k that row k + 1 loses, and that of the row ``second``."""
    of_second: Value
    left: Value
    """What row k leaves of row k + 1 in column k + 1, and the divisor of what is below."""
    divisor: Value


class _Pairs(Steps):
    """A group of matrices in scratch memory, with the right sides behind them.

    Two steps of elimination at once: what both leave of an element is computed while it is in a
    register, so that each pair meets memory once to look for rows and once to change them.
    """

    def __init__(self, v: Lanes, n: int, m: int) -> None:
        super().__init__(v, n)
        self.m = m
        self.most = 6 if self.s.machine.has_many_registers else 3

    def run_system(self, a: Value, b: Value, out: Value, batch: Dim, refuses: bool) -> None:
        v, n, m = self.v, self.n, self.m
        with v.groups(batch) as numbers:
            self.memory, self.right = v.scratch(n * self.stride), v.scratch(n * m)
            self.number_rows()
            v.fill_rows(self.memory, a, numbers, (n, n))
            v.fill(self.right, b, numbers, n * m)
            self._eliminate()
            if refuses:
                note_each(v, self.memory, n, self.stride)
            InLanes(v, self.memory, self.right, m).solve(_triangle(n, self.stride))
            v.spill(out, self.right, numbers, n * m)

    def _eliminate(self) -> None:
        n, m = self.n, self.m
        if n <= MOST_WRITTEN and m <= MOST_WRITTEN:
            for first in range(0, n - 1, 2):
                self._written_pair(first)
            return
        with loop(self.s, 0, n - 1, 2) as k:
            lead = self._lead(k)
            with loop(self.s, self.s.index(k + 2), n) as i:
                self._divide(lead, i)
            self._take_off_range(lead, k + 2, n, self.column)
            self._take_off_range(lead, Affine(), m, self._right_column)

    def _written_pair(self, k: int) -> None:
        """A pair whose columns are known where it is written: as many at a time as there are
        registers for."""
        columns = [self.column(Affine.of(j)) for j in range(k + 2, self.n)]
        columns += [self._right_column(Affine.of(j)) for j in range(self.m)]
        count = -(-len(columns) // self.most)
        ends = [len(columns) * part // count for part in range(count + 1)]
        lead = self._lead(Affine.of(k))
        for lo, hi in pairwise(ends):
            self._take_off(lead, columns[lo:hi], divides=lo == 0)

    def _take_off_range(
        self, lead: _Lead, lo: Affine, hi: int, column: Callable[[Affine], Column]
    ) -> None:
        """Columns, several at a time, and then those left over."""
        s, start = self.s, self.s.index(lo)
        for count in (self.most, 2, 1):
            span = s.binary("sub", s.const(hi, index), start)
            rest = s.binary("rem", span, s.const(count, index))
            end = s.binary("sub", s.const(hi, index), rest)
            with loop(s, start, end, count) as j:
                self._take_off(lead, [column(j + c) for c in range(count)])
            start = end

    def _right_column(self, j: Affine) -> Column:
        return lambda i: (self.right, i * self.m + j)

    def _at(self, i: Affine, columns: Sequence[Column]) -> Vectors:
        return [self._get(column(i)) for column in columns]

    def _is(self, chosen: Value, i: Affine) -> Value:
        return self.s.compare("eq", chosen, self._number(i))

    def _lead(self, k: Affine) -> _Lead:
        """Both steps in the columns of their pivots."""
        s, v, columns = self.s, self.v, [self.column(k), self.column(k + 1)]
        before = self._at(k, columns)
        first, (pivot, beside) = self._search(k, columns, before)
        divisor = divisor_of(v, pivot)

        def rest(i: Affine) -> tuple[Value, Value]:
            """The multiple of row k that a row loses, and what is left of it."""
            is_it = self._is(first, i)
            x, y = (
                s.select(is_it, *pair) for pair in zip(before, self._at(i, columns), strict=True)
            )
            factor = s.div(x, divisor)
            y = v.multiply_subtract(y, factor, beside)
            self._put(factor, columns[0](i))
            self._put(y, columns[1](i))
            return factor, y

        of_next, left = rest(k + 1)
        start = [s.unary("abs", left), self._number(k + 1), of_next, left]
        search = s.for_(s.index(k + 2), self.n, start)
        with s.inside(search) as body:
            i, *best = body.arguments
            factor, y = rest(Affine.of(i))
            own = [s.unary("abs", y), self._number(Affine.of(i)), factor, y]
            s.yield_(*self._larger(own, best))
        _, second, of_second, pivot_of_second = search.results
        for column, vector in zip(columns, (pivot, beside), strict=True):
            self._put(vector, column(k))
        divisor = divisor_of(v, pivot_of_second)
        self._put(pivot_of_second, columns[1](k + 1))
        return _Lead(k, first, second, of_next, of_second, left, divisor)

    def _larger(self, own: Vectors, best: Vectors) -> Vectors:
        is_larger = self.s.compare("gt", own[0], best[0])
        return [self.s.select(is_larger, x, y) for x, y in zip(own, best, strict=True)]

    def _search(
        self, k: Affine, columns: Sequence[Column], before: Vectors
    ) -> tuple[Value, Vectors]:
        """The number of the first row with the largest element of a column, and its elements."""
        s = self.s
        search = s.for_(
            s.index(k + 1), self.n, [s.unary("abs", before[0]), self._number(k), *before]
        )
        with s.inside(search) as body:
            i, *best = body.arguments
            elements = self._at(Affine.of(i), columns)
            own = [s.unary("abs", elements[0]), self._number(Affine.of(i)), *elements]
            s.yield_(*self._larger(own, best))
        _, chosen, *found = search.results
        return chosen, found

    def _divide(self, lead: _Lead, i: Affine) -> None:
        """The multiple of row k + 1 that a row loses."""
        s, place = self.s, self.column(lead.k + 1)(i)
        rest = s.select(self._is(lead.second, i), lead.left, self._get(place))
        self._put(s.div(rest, lead.divisor), place)

    def _take_off(self, lead: _Lead, columns: Sequence[Column], *, divides: bool = False) -> None:
        """Exchange the rows in other columns, and take the multiples of the two off those below;
        which the first who comes ``divides``, beside all else."""
        s, k = self.s, lead.k
        before, following = self._at(k, columns), self._at(k + 1, columns)
        is_next = self._is(lead.first, k + 1)
        upper = [s.select(is_next, x, y) for x, y in zip(following, before, strict=True)]
        upper, lower = self._both_rows(lead, columns, upper, following)
        is_same = s.compare("eq", lead.first, lead.second)
        lower = [s.select(is_same, x, y) for x, y in zip(before, lower, strict=True)]
        lower = self._less(lower, lead.of_second, upper)
        moved = [s.select(is_next, x, y) for x, y in zip(before, following, strict=True)]
        moved = self._less(moved, lead.of_next, upper)
        with loop(s, s.index(k + 2), self.n) as i:
            if divides:
                self._divide(lead, i)
            factors = [self._get(self.column(k + step)(i)) for step in range(2)]
            rest = self._at(i, columns)
            steps = (lead.first, before, upper), (lead.second, moved, lower)
            for factor, (chosen, old, row) in zip(factors, steps, strict=True):
                is_it = self._is(chosen, i)
                rest = [s.select(is_it, x, y) for x, y in zip(old, rest, strict=True)]
                rest = self._less(rest, factor, row)
            self._put_row(rest, columns, i)
        self._put_row(upper, columns, k)
        self._put_row(lower, columns, k + 1)

    def _both_rows(
        self, lead: _Lead, columns: Sequence[Column], upper: Vectors, lower: Vectors
    ) -> tuple[Vectors, Vectors]:
        """The rows of the two pivots as they are, so far as they are not before row k + 2."""
        s, count = self.s, len(columns)
        search = s.for_(s.index(lead.k + 2), self.n, [*upper, *lower])
        with s.inside(search) as body:
            i, *found = body.arguments
            row = Affine.of(i)
            own = self._at(row, columns)
            masks = [self._is(lead.first, row), self._is(lead.second, row)]
            s.yield_(*(s.select(masks[j // count], own[j % count], x) for j, x in enumerate(found)))
        return list(search.results[:count]), list(search.results[count:])

    def _less(self, rows: Vectors, factor: Value, others: Vectors) -> Vectors:
        pairs = zip(rows, others, strict=True)
        return [self.v.multiply_subtract(x, factor, y) for x, y in pairs]

    def _put_row(self, vectors: Vectors, columns: Sequence[Column], i: Affine) -> None:
        for column, vector in zip(columns, vectors, strict=True):
            self._put(vector, column(i))
