"""Loops of eigh, second half: implicit QL steps on tridiagonal matrices, and their rotations.

The order of operations is that of ``eigh_reference``.
"""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ops.orthogonal.eigh_reference import STEPS
from nets.ops.orthogonal.forms import Form, Number, Table, affine
from nets.ops.orthogonal.reflections_reference import EPS, NEGLIGIBLE
from nets.ops.orthogonal.tridiagonal import Tridiagonal


class ImplicitQL:
    """QL steps until every matrix is diagonal, and ``z``, whose rows go along."""

    def __init__(self, form: Form, found: Tridiagonal, n: int, z: Table | None) -> None:
        self.form, self.n, self.z = form, n, z
        self.d, self.e = found.diagonal, found.beside
        self.state = form.row(3)
        """Steps for this eigenvalue, whether any had too many, and what counts as zero."""

    def run(self) -> Value:
        """Eigenvalues on the diagonal; the mask of the matrices that have failed."""
        form = self.form
        self.state.set(0, 1, form.const(0))
        self.state.set(0, 2, self._limit())
        form.each(0, self.n - 1, self._eigenvalue)
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

        carried = one, one, form.const(0), g, mask
        _, _, p, g, alive = form.each(0, count, chase, *carried)
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
    ) -> tuple[Number, ...]:
        """One rotation of a step."""
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
        if self.z is not None:
            form.turn(self.z, (i + 1, i), self.n, cosine, sine, on)
        return (
            where(on, sine, s),
            where(on, cosine, c),
            where(on, u, p),
            where(on, cosine * t - b, g),
            Number(form.both(alive.value, form.no(stops)), form),
        )
