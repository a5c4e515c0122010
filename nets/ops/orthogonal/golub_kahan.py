"""Loops of svd for larger matrices: bidiagonal form, then implicit QR steps, in the form of rows.

The order of operations is that of ``golub_kahan_reference``.
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.ir.core import Value
from nets.ir.types import bool_, index
from nets.ops.orthogonal import qr_loops
from nets.ops.orthogonal.forms import Form, Number, Place, Table, affine
from nets.ops.orthogonal.golub_kahan_reference import STEPS
from nets.ops.orthogonal.qr_loops import Reflections
from nets.ops.orthogonal.reflections import fill, reflection_of, sum_of_products
from nets.ops.orthogonal.reflections_reference import EPS, NEGLIGIBLE


@dataclass(frozen=True, slots=True)
class Bidiagonal:
    """Diagonal, the diagonal above with a first 0, and the reflections from both sides."""

    diagonal: Table
    above: Table
    left: Reflections
    right: Reflections


def reduce(form: Form, a: Table, m: int, n: int) -> Bidiagonal:
    """Bidiagonal form; ``a`` is used up."""
    left = Reflections(form.table(n, m), form.row(n))
    right = Reflections(form.table(n, n), form.row(n))
    fill(form, left.vectors, n, m)
    fill(form, right.vectors, n, n)
    found = Bidiagonal(form.row(n), form.row(n), left, right)
    found.above.set(0, 0, form.const(0))
    right.factors.set(0, 0, form.const(0))
    right.vectors.set(0, 0, form.const(1))

    def step(k: Value) -> None:
        qr_loops.column(form, a, k, (m, n), left)
        found.diagonal.set(0, k, a.get(k, k))
        some = form.s.compare("lt", k, form.s.index(n - 1))
        with form.when(some):
            _row(form, a, k, (m, n), found)

    form.each(0, n, step)
    return found


def _row(form: Form, a: Table, k: Value, shape: tuple[int, int], found: Bidiagonal) -> None:
    """Reflect a row, and those below it."""
    m, n = shape
    v, behind = found.right.vectors, affine(k) + 1

    def square(j: Value, total: Number) -> Number:
        x = a.get(k, j)
        return total + x * x

    (rest,) = form.each(behind + 1, n, square, form.const(0))
    beta, tau, inverse = reflection_of(form, a.get(k, behind), rest)
    found.above.set(0, behind, beta)
    found.right.factors.set(0, behind, tau)
    v.set(behind, behind, form.const(1))
    form.each(behind + 1, n, lambda j: v.set(behind, j, a.get(k, j) * inverse))

    def row(i: Value) -> None:
        (total,) = sum_of_products(form, [((a, i), (v, behind))], n)
        factor = form.piece(tau * total)

        def piece(j: Value) -> None:
            a.set_piece(i, j, a.get_piece(i, j) - factor * v.get_piece(behind, j))

        form.pieces(behind, n, piece)

    form.each(behind, m, row)


_COUNT, _FAILED, _LIMIT = range(3)


class Steps:
    """The steps of a matrix; u and v hold vectors as rows, if they are wanted, of m and n
    elements."""

    def __init__(
        self,
        form: Form,
        found: Bidiagonal,
        shape: tuple[int, int],
        u: Table | None,
        v: Table | None,
    ) -> None:
        self.form, (self.m, self.n), self.u, self.v = form, shape, u, v
        self.d, self.e = found.diagonal, found.above
        self.state = form.row(3)
        self.least = NEGLIGIBLE[form.dtype.itemsize]

    def run(self) -> Value:
        """Singular values on the diagonal; whether that failed."""
        form = self.form
        self.state.set(0, _FAILED, form.const(0))
        self.state.set(0, _LIMIT, self._limit())
        form.each(0, self.n, lambda number: self._settle(affine(number) * -1 + (self.n - 1)))
        return self.state.get(0, _FAILED).is_("gt", 0.0)

    def _limit(self) -> Number:
        def larger(i: Value, largest: Number) -> Number:
            return largest.max(self.d.get(0, i).abs() + self.e.get(0, i).abs())

        (largest,) = self.form.each(0, self.n, larger, self.form.const(0))
        return (self.form.const(EPS[self.form.dtype.itemsize]) * largest).max(self.least)

    def _settle(self, place: Place) -> None:
        form, state, s = self.form, self.state, self.form.s
        last = s.index(affine(place))
        state.set(0, _COUNT, form.const(0))

        def attempt() -> Value:
            first, has_zero = self._block(last)
            with form.when(has_zero):
                self._cancel(first, last)
            done = s.compare("eq", first, last)
            with form.when(done):
                self._make_positive(last)
            count = state.get(0, _COUNT)
            state.set(0, _COUNT, count + 1.0)
            too_many = count.is_("ge", float(STEPS))
            fails = form.both(form.no(done), too_many)
            state.set(0, _FAILED, form.where(fails, form.const(1), state.get(0, _FAILED)))
            going = form.both(form.no(done), form.no(too_many))
            with form.when(going):
                self._step(first, last)
            return going

        form.again(attempt)

    def _block(self, last: Value) -> tuple[Value, Value]:
        """Where the block that ends there begins, and whether that is because of a zero on the
        diagonal before."""
        form, s, limit = self.form, self.form.s, self.state.get(0, _LIMIT)
        zero, no = s.const(0, index), s.const(False, bool_)

        def look(
            number: Value, found: Number, first: Number, has_zero: Number
        ) -> tuple[Number, ...]:
            at = s.sub(last, number)
            before = s.binary("max", s.sub(at, s.const(1, index)), zero)
            ends = self.e.get(0, at).abs().is_("le", limit)
            stops = form.both(form.no(ends), self.d.get(0, before).abs().is_("le", limit))
            is_new = form.both(form.no(found.value), form.either(ends, stops))
            return (
                Number(form.either(found.value, is_new), form),
                Number(s.select(is_new, at, first.value), form),
                Number(form.either(has_zero.value, form.both(is_new, stops)), form),
            )

        start = [Number(value, form) for value in (no, zero, no)]
        _, first, has_zero = form.each(0, affine(last) + 1, look, *start)
        return first.value, has_zero.value

    def _cancel(self, first: Value, last: Value) -> None:
        """Take out the element beside a zero of the diagonal."""
        form, d, e, limit = self.form, self.d, self.e, self.state.get(0, _LIMIT)
        before = form.s.sub(first, form.s.const(1, index))
        yes = Number(form.s.const(True, bool_), form)

        def chase(i: Value, c: Number, s: Number, alive: Number) -> tuple[Number, ...]:
            beside, on = e.get(0, i), alive.value
            f = s * beside
            e.set(0, i, form.where(on, c * beside, beside))
            on = form.both(on, f.abs().is_("gt", limit))
            g = d.get(0, i)
            h = (f * f + g * g).sqrt()
            d.set(0, i, form.where(on, h, g))
            c, s = g / h, -f / h
            if self.u is not None:
                form.turn(self.u, (before, i), self.m, c, s, on)
            return c, s, Number(on, form)

        form.each(first, affine(last) + 1, chase, form.const(0), form.const(1), yes)

    def _make_positive(self, last: Value) -> None:
        form, d, v = self.form, self.d, self.v
        with form.when(d.get(0, last).is_("lt", 0.0)):
            d.set(0, last, -d.get(0, last))
            if v is not None:
                form.pieces(0, self.n, lambda j: v.set_piece(last, j, -v.get_piece(last, j)))

    def _step(self, first: Value, last: Value) -> None:
        """An implicit QR step from the begin of a block to its end."""
        form, d, e = self.form, self.d, self.e
        one = form.const(1)
        start = one, one, self._shifted(first, last), d.get(0, first)
        _, _, f, x = form.each(first, last, self._chase, *start)
        e.set(0, first, form.const(0))
        e.set(0, last, f)
        d.set(0, last, x)

    def _chase(self, j: Value, c: Number, s: Number, f: Number, x: Number) -> tuple[Number, ...]:
        d, e, i = self.d, self.e, affine(j) + 1
        g, y = e.get(0, i), d.get(0, i)
        h, g = s * g, c * g
        z, c, s = self._turn(f, h, self.v, self.n, j)
        e.set(0, j, z)
        f, g = x * c + g * s, g * c - x * s
        h, y = y * s, y * c
        z, c, s = self._turn(f, h, self.u, self.m, j)
        d.set(0, j, z)
        return c, s, c * g + s * y, c * y - s * g

    def _turn(
        self, f: Number, h: Number, rows: Table | None, size: int, j: Value
    ) -> tuple[Number, Number, Number]:
        """The length of (f, h), and the cosine and sine that turn it, and two rows with it."""
        form = self.form
        z = (f * f + h * h).sqrt()
        small = f.abs().max(h.abs()).is_("lt", self.least)
        length = form.where(small, form.const(0), z)
        c, s = form.where(small, form.const(1), f / z), form.where(small, form.const(0), h / z)
        if rows is not None:
            form.turn(rows, (j, affine(j) + 1), size, c, s, form.s.const(True, bool_))
        return length, c, s

    def _shifted(self, first: Value, last: Value) -> Number:
        """The first element that a step turns, with the shift that the end of the block tells."""
        form, d, e, before = self.form, self.d, self.e, affine(last) - 1
        x, y, z = d.get(0, first), d.get(0, before), d.get(0, last)
        g, h = e.get(0, before), e.get(0, last)
        f = ((y - z) * (y + z) + (g - h) * (g + h)) / ((h + h) * y)
        r = (f * f + 1.0).sqrt()
        f = y / form.where(f.is_("ge", 0.0), f + r, f - r) - h
        return ((x - z) * (x + z) + h * f) / x
