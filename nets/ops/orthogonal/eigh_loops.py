"""Loops of eigh: symmetric matrices to tridiagonal form, then implicit QL steps with rotations.

The order of operations is that of ``eigh_reference``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import index
from nets.ops.linalg.shapes import batch_of, side
from nets.ops.loop.failures import NOT_DECOMPOSED
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal.eigh_reference import STEPS
from nets.ops.orthogonal.forms import (
    Form,
    Matrix,
    Number,
    Place,
    Stack,
    Table,
    affine,
    each_matrix,
    has_lanes,
    operand,
)
from nets.ops.orthogonal.reflections import (
    fill,
    is_negative,
    reflection_of,
    scale_of,
    sum_of_rows,
    turned,
)
from nets.ops.orthogonal.reflections_reference import EPS, NEGLIGIBLE

Numbers = tuple[Number, ...]


def lower(s: Lowering, x: Value, out: Value, *, vectors: bool) -> None:
    """Eigenvalues, and eigenvectors below them if they are wanted."""
    n, count = side("eigh", x), batch_of(x)
    if buffer_type(x).elements == 0:
        return

    def body(form: Form, number: Value, last: Value) -> None:
        source = operand(form, x, (n, n), number, last)
        target = Stack(form, out, (n + 1 if vectors else 1, n), last).at(number)
        prepared = prepare(form, source, n)
        found = reduce(form, prepared.table, n)
        z = product(form, found, n) if vectors else None
        failed = ImplicitQL(form, found, n, z).run()
        lost = form.either(failed, prepared.bad)
        s.note_unless(lambda: form.no(lost), NOT_DECOMPOSED)
        _store(form, found.diagonal, z, target, n, prepared.unscale, lost)

    each_matrix(s, x.type.dtype, count, lanes=has_lanes(x), body=body)


def _store(
    form: Form, d: Table, z: Table | None, target: Matrix, n: int, unscale: Number, lost: Value
) -> None:
    """Eigenvalues in ascending order as the first row, eigenvectors as columns below."""
    nan = form.const(math.nan)

    def one(i: Value) -> None:
        here = d.get(0, i)
        rank = _rank(form, d, i, here, n)
        target.set(0, rank, form.where(lost, nan, here * unscale))
        if z is None:
            return
        flips = is_negative(form, z, i, n)

        def element(r: Value) -> None:
            x = z.get(i, r)
            x = form.where(lost, nan, form.where(flips, -x, x))
            target.set(affine(r) + 1, rank, x)

        form.each(0, n, element)

    form.each(0, n, one)


def _rank(form: Form, d: Table, i: Value, here: Number, n: int) -> Value:
    """How many eigenvalues come before one."""
    one, zero = form.const(1), form.const(0)

    def count(predicate: str) -> Callable[[Value, Number], Number]:
        return lambda j, rank: rank + form.where(d.get(0, j).is_(predicate, here), one, zero)

    (rank,) = form.each(0, i, count("le"), zero)
    (rank,) = form.each(affine(i) + 1, n, count("lt"), rank)
    return form.s.cast(rank.value, index)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scaled matrix, what takes the scale away again, and whether it was not finite."""

    table: Table
    unscale: Number
    bad: Value


def prepare(form: Form, x: Matrix | Table, n: int) -> Prepared:
    """The symmetric matrix (x + xᵀ) / 2, scaled."""
    table = form.table(n, n)
    if not form.lanes:
        fill(form, table, n, n)

    def element(i: Value, j: Value, largest: Number) -> Number:
        number = x.get(i, j) * 0.5 + x.get(j, i) * 0.5
        table.set(i, j, number)
        table.set(j, i, number)
        return largest.max(number.abs())

    def row(i: Value, largest: Number) -> tuple[Number, ...]:
        return form.each(0, affine(i) + 1, lambda j, m: element(i, j, m), largest)

    (largest,) = form.each(0, n, row, form.const(0))
    bad = form.no(largest.is_("lt", float("inf")))
    scale = scale_of(form, form.where(bad, form.const(1), largest))
    everywhere, lost = form.piece(scale), form.wide(bad)

    def scaled(i: Value, j: Value) -> None:
        number = table.get_piece(i, j) * everywhere
        table.set_piece(i, j, form.where(lost, form.piece(form.const(0)), number))

    form.each(0, n, lambda i: form.pieces(0, n, lambda j: scaled(i, j)))
    return Prepared(table, form.const(1) / scale, bad)


@dataclass(frozen=True, slots=True)
class Tridiagonal:
    """Diagonal and the diagonal below, each a row; reflections I − τ v vᵀ, vectors as rows."""

    diagonal: Table
    beside: Table
    vectors: Table
    factors: Table


def reduce(form: Form, a: Table, n: int) -> Tridiagonal:
    """Tridiagonal form; ``a`` is used up."""
    found = Tridiagonal(form.row(n), form.row(n), form.table(max(n - 2, 1), n), form.row(n))
    if n > 2:
        fill(form, found.vectors, n - 2, n)
    form.each(0, n - 2, lambda k: _column(form, a, n, k, found))
    for k in range(max(n - 2, 0), n):
        found.diagonal.set(0, k, a.get(k, k))
    if n > 1:
        found.beside.set(0, n - 2, a.get(n - 2, n - 1))
    found.beside.set(0, n - 1, form.const(0))
    return found


def _column(form: Form, a: Table, n: int, k: Value, found: Tridiagonal) -> None:
    """One reflection, from both sides."""
    below = affine(k) + 1
    v, tau = _reflection(form, a, n, k, found)
    p = sum_of_rows(form, v, k, a, (below, n), below, n)
    inner = _halved(form, v, p, tau, n, k)
    w = form.row(n)
    half = form.piece(inner)
    every = form.piece(tau)

    def rest(j: Value) -> None:
        w.set_piece(0, j, p.get_piece(0, j) * every - half * v.get_piece(k, j))

    form.pieces(below, n, rest)

    def row(i: Value) -> None:
        vi, wi = form.piece(v.get(k, i)), form.piece(w.get(0, i))

        def piece(j: Value) -> None:
            change = vi * w.get_piece(0, j) + wi * v.get_piece(k, j)
            a.set_piece(i, j, a.get_piece(i, j) - change)

        form.pieces(below, n, piece)

    form.each(below, n, row)


def _halved(form: Form, v: Table, p: Table, tau: Number, n: int, k: Value) -> Number:
    """τ/2 times the product of v with τ times p."""

    def term(j: Value, total: Number) -> Number:
        return total + (p.get(0, j) * tau) * v.get(k, j)

    (inner,) = form.each(affine(k) + 1, n, term, form.const(0))
    return (tau * 0.5) * inner


def _reflection(form: Form, a: Table, n: int, k: Value, found: Tridiagonal) -> tuple[Table, Number]:
    """The reflection that leaves one element of the row beside the diagonal."""
    below: Affine = affine(k) + 1
    found.diagonal.set(0, k, a.get(k, k))
    alpha = a.get(k, below)

    def square(j: Value, total: Number) -> Number:
        x = a.get(k, j)
        return total + x * x

    (rest,) = form.each(below + 1, n, square, form.const(0))
    beta, tau, inverse = reflection_of(form, alpha, rest)
    found.beside.set(0, k, beta)
    found.factors.set(0, k, tau)
    found.vectors.set(k, below, form.const(1))
    form.each(below + 1, n, lambda j: found.vectors.set(k, j, a.get(k, j) * inverse))
    return found.vectors, tau


def product(form: Form, found: Tridiagonal, n: int) -> Table:
    """The product of all reflections, transposed: its columns are the rows of the table."""
    q = form.table(n, n)
    fill(form, q, n, n)
    form.each(0, n, lambda i: q.set(i, i, form.const(1)))

    if n > 2:
        form.groups(0, n, lambda start, count: _columns(form, found, q, n, (start, count)))
    return q.turned() if form.lanes else turned(form, q, n, n)


def _columns(form: Form, found: Tridiagonal, q: Table, n: int, pieces: tuple[Place, int]) -> None:
    """All reflections of a few columns of the product, which stay in the cache: while one is made,
    the sums for the next are taken. Those of later rows have nothing to do with these columns."""
    s, (first, count) = form.s, pieces
    start, end = affine(first), affine(first) + count * form.step
    places = [start + k * form.step for k in range(count)]
    steps = s.binary("min", s.const(n - 2, index), s.index(end - 1))
    zero = form.piece(form.const(0))

    def with_row(k: Place, i: Place, rows: Sequence[Number], sums: Sequence[Number]) -> Numbers:
        weight = form.piece(found.vectors.get(k, i))
        return tuple(total + weight * x for total, x in zip(sums, rows, strict=True))

    def row_of(i: Place) -> list[Number]:
        return [q.get_piece(i, place) for place in places]

    def step(number: Value, *sums: Number) -> Numbers:
        k = affine(s.sub(s.sub(steps, s.const(1, index)), number))
        before = s.binary("max", s.index(k - 1), s.const(0, index))
        tau = found.factors.get(0, k)

        def row(i: Value, *following: Number) -> Numbers:
            factor = form.piece(tau * found.vectors.get(k, i))
            rest = [x - factor * total for x, total in zip(row_of(i), sums, strict=True)]
            for place, x in zip(places, rest, strict=True):
                q.set_piece(i, place, x)
            return with_row(before, i, rest, following)

        following = with_row(before, k, row_of(k), [zero] * count)
        return form.each(k + 1, n, row, *following)

    last = affine(s.sub(steps, s.const(1, index)))
    sums = form.each(
        affine(steps), n, lambda i, *sums: with_row(last, i, row_of(i), sums), *[zero] * count
    )
    form.each(0, steps, step, *sums)


ROOM: Final = 16
"""QL steps whose rotations wait to be made together."""


class _Rotations:
    """Rotations of the rows of one large matrix, of several steps together: so that a few of its
    columns at a time stay in the cache, where all of them would be met again in each step."""

    def __init__(self, form: Form, z: Table, n: int) -> None:
        self.form, self.z, self.n = form, z, n
        self.cosines, self.sines = form.table(ROOM, n), form.table(ROOM, n)
        self.lows, self.highs, self.count = form.row(ROOM), form.row(ROOM), form.row(1)
        """The rows that a step has met, and how many steps there are."""
        self.count.set(0, 0, form.const(0))

    def _index(self, x: Number) -> Value:
        return self.form.s.cast(x.value, index)

    def add(self, i: Affine, cosine: Number, sine: Number) -> None:
        """That of rows i + 1 and i, in the step that is under way."""
        step = self._index(self.count.get(0, 0))
        self.cosines.set(step, i, cosine)
        self.sines.set(step, i, sine)

    def end(self, low: Number, high: Number) -> None:
        """The step has begun at a row, and gone down to another."""
        form, count = self.form, self.count.get(0, 0)
        step = self._index(count)
        self.lows.set(0, step, low)
        self.highs.set(0, step, high)
        self.count.set(0, 0, count + 1.0)
        with form.when(self.count.get(0, 0).is_("ge", float(ROOM))):
            self.make()

    def make(self) -> None:
        """All that wait, a few columns at a time."""
        form, count = self.form, self._index(self.count.get(0, 0))

        def columns(start: Place, pieces: int) -> None:
            places = [affine(start) + k * form.step for k in range(pieces)]
            form.each(0, count, lambda step: self._step(step, places))

        form.groups(0, self.n, columns)
        self.count.set(0, 0, form.const(0))

    def _step(self, step: Value, places: Sequence[Affine]) -> None:
        """Row x and the one above, y, become c x + s y and c y − s x; that is the next x."""
        form, z = self.form, self.z
        low, high = (self._index(ends.get(0, step)) for ends in (self.lows, self.highs))

        def turn(number: Value, *rows: Number) -> tuple[Number, ...]:
            i = affine(high) - affine(number) - 1
            c, s = (form.piece(x.get(step, i)) for x in (self.cosines, self.sines))
            above = [z.get_piece(i, place) for place in places]
            for place, x, y in zip(places, rows, above, strict=True):
                z.set_piece(i + 1, place, c * x + s * y)
            return tuple(c * y - s * x for x, y in zip(rows, above, strict=True))

        start = [z.get_piece(high, place) for place in places]
        rows = form.each(0, affine(high) - affine(low), turn, *start)
        for place, x in zip(places, rows, strict=True):
            z.set_piece(low, place, x)


class ImplicitQL:
    """QL steps until every matrix is diagonal, and ``z``, whose rows go along."""

    def __init__(self, form: Form, found: Tridiagonal, n: int, z: Table | None) -> None:
        self.form, self.n, self.z = form, n, z
        self.d, self.e = found.diagonal, found.beside
        self.rotations = None if z is None or form.lanes else _Rotations(form, z, n)
        self.state = form.row(3)
        """Steps for this eigenvalue, whether any had too many, and what counts as zero."""

    def run(self) -> Value:
        """Eigenvalues on the diagonal; the mask of the matrices that have failed."""
        form = self.form
        self.state.set(0, 1, form.const(0))
        self.state.set(0, 2, self._limit())
        form.each(0, self.n - 1, self._eigenvalue)
        if self.rotations is not None:
            self.rotations.make()
        return self.state.get(0, 1).is_("gt", 0.0)

    def _limit(self) -> Number:
        form, eps = self.form, EPS[self.form.dtype.itemsize]

        def larger(i: Value, largest: Number) -> Number:
            size = self.d.get(0, i).abs() + self.e.get(0, i).abs()
            return largest.max(size)

        (largest,) = form.each(0, self.n, larger, form.const(0))
        least = NEGLIGIBLE[form.dtype.itemsize]
        return (form.const(eps) * largest).max(least)

    def _eigenvalue(self, first: Value) -> None:
        form, state = self.form, self.state
        state.set(0, 0, form.const(0))
        start = form.counted(first)

        def attempt() -> Value:
            last, corner = self._block(first)
            busy = last.is_("gt", start)
            count = state.get(0, 0)
            too_many = count.is_("ge", float(STEPS))
            fails = form.both(busy, too_many)
            state.set(0, 1, form.where(fails, form.const(1), state.get(0, 1)))
            state.set(0, 0, count + 1.0)
            busy = form.both(busy, form.no(too_many))
            going = form.any(busy)
            with form.when(going):
                self._step(first, last, corner, busy)
            return going

        form.again(attempt)

    def _down(self, number: Value) -> Affine:
        """The place of a loop that goes from the last but one place down."""
        return affine(number) * -1 + (self.n - 2)

    def _block(self, first: Value) -> tuple[Number, Number]:
        """The end of the block that begins there, and the diagonal at that place."""
        form, limit = self.form, self.state.get(0, 2)

        def look(number: Value, last: Number, corner: Number) -> tuple[Number, Number]:
            i = self._down(number)
            small = self.e.get(0, i).abs().is_("le", limit)
            return (
                form.where(small, form.counted(i), last),
                form.where(small, self.d.get(0, i), corner),
            )

        count = affine(first) * -1 + (self.n - 1)
        start = form.const(self.n - 1), self.d.get(0, self.n - 1)
        last, corner = form.each(0, count, look, *start)
        return last, corner

    def _step(self, first: Value, last: Number, corner: Number, busy: Value) -> None:
        """One QL step of the blocks that are busy."""
        form, d, e = self.form, self.d, self.e
        d0, e0 = d.get(0, first), e.get(0, first)
        g = (d.get(0, affine(first) + 1) - d0) / (e0 + e0)
        r = (g * g + 1.0).sqrt()
        g = corner - d0 + e0 / (g + form.where(g.is_("ge", 0.0), r, -r))
        one, mask = form.const(1), Number(busy, form)
        count = affine(first) * -1 + (self.n - 1)

        def chase(number: Value, *state: Number) -> tuple[Number, ...]:
            return self._chase(self._down(number), last, *state)

        carried = one, one, form.const(0), g, mask, form.counted(first)
        _, _, p, g, alive, low = form.each(0, count, chase, *carried)
        if self.rotations is not None:
            self.rotations.end(low, last)
        d0 = d.get(0, first)
        d.set(0, first, form.where(alive.value, d0 - p, d0))
        e.set(0, first, form.where(alive.value, g, e.get(0, first)))

    def _chase(
        self,
        i: Affine,
        last: Number,
        s: Number,
        c: Number,
        p: Number,
        g: Number,
        alive: Number,
        low: Number,
    ) -> tuple[Number, ...]:
        """One rotation of a step; ``low`` is the row that the last one meets."""
        form, d, e, where = self.form, self.d, self.e, self.form.where
        here = form.counted(i)
        on = form.both(alive.value, last.is_("gt", here))
        ei, e1, d1 = e.get(0, i), e.get(0, i + 1), d.get(0, i + 1)
        f, b = s * ei, c * ei
        small = f.abs().max(g.abs()).is_("lt", NEGLIGIBLE[form.dtype.itemsize])
        stops = form.both(on, small)
        on = form.both(on, form.no(small))
        r = (f * f + g * g).sqrt()
        sine, cosine = f / r, g / r
        gap = d1 - p
        t = (d.get(0, i) - gap) * sine + (cosine + cosine) * b
        u = sine * t
        inside = form.both(on, last.is_("gt", here + 1.0))
        e.set(0, i + 1, where(inside, r, where(form.either(on, stops), form.const(0), e1)))
        d.set(0, i + 1, where(on, gap + u, where(stops, gap, d1)))
        if self.rotations is not None:
            self.rotations.add(i, cosine, sine)
        elif self.z is not None:
            form.turn(self.z, (i + 1, i), self.n, cosine, sine, on)
        return (
            where(on, sine, s),
            where(on, cosine, c),
            where(on, u, p),
            where(on, cosine * t - b, g),
            Number(form.both(alive.value, form.no(stops)), form),
            where(stops, here + 1.0, low),
        )
