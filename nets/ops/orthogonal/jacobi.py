"""Loops of svd, first half: rotations of pairs of columns until all are orthogonal.

The order of operations is that of ``svd_reference``. Columns are rows of tables here.
"""

from __future__ import annotations

from nets.ir.core import Value
from nets.ir.types import index
from nets.ops.orthogonal.forms import Form, Number, Place, Table, affine
from nets.ops.orthogonal.reflections import sum_of_products
from nets.ops.orthogonal.svd_reference import NOTHING, SWEEPS, tolerance_of

Pair = tuple[Value, Value]


class Jacobi:
    """Sweeps over the n rows of ``w``, of m elements each; ``v`` goes along."""

    def __init__(self, form: Form, w: Table, m: int, n: int, v: Table | None) -> None:
        self.form, self.w, self.m, self.n, self.v = form, w, m, n, v
        self.state = form.row(2)
        """Whether this sweep has turned any pair, and the number of sweeps."""

    def run(self) -> Value:
        """The mask of the matrices that have failed."""
        form, state = self.form, self.state
        state.set(0, 1, form.const(0))

        def sweep() -> Value:
            state.set(0, 0, form.const(0))
            form.each(0, self.n - 1 + self.n % 2, self._round)
            count = state.get(0, 1) + 1.0
            state.set(0, 1, count)
            more = form.both(state.get(0, 0).is_("gt", 0.0), count.is_("lt", float(SWEEPS)))
            return form.any(more)

        form.again(sweep)
        return state.get(0, 0).is_("gt", 0.0)

    def _round(self, turn: Value) -> None:
        half = (self.n + self.n % 2) // 2
        self.form.each(self.n % 2, half, lambda k: self._meet(self._pair(turn, k)))

    def _pair(self, turn: Value, k: Value) -> Pair:
        """The k-th pair of a round: the last one stays, the others go around."""
        s, around = self.form.s, self.n - 1 + self.n % 2
        modulus = s.const(around, index)
        is_first = s.compare("eq", k, s.const(0, index))
        up = s.binary("rem", s.add(turn, k), modulus)
        down = s.binary("rem", s.add(s.sub(turn, k), modulus), modulus)
        first = s.select(is_first, modulus, up)
        second = s.select(is_first, turn, down)
        return s.binary("min", first, second), s.binary("max", first, second)

    def _meet(self, pair: Pair) -> None:
        form, w = self.form, self.w
        p, q = pair
        x, y = (w, p), (w, q)
        a, b, g = sum_of_products(form, [(x, x), (y, y), (x, y)], self.m)
        on = self._is_worth_it(a, b, g)
        with form.when(form.any(on)):
            s, h = self._turn(a, b, g)
            form_on, s, h = form.wide(on), form.piece(s), form.piece(h)
            self._rotate(w, pair, self.m, form_on, s, h)
            if self.v is not None:
                self._rotate(self.v, pair, self.n, form_on, s, h)
            self.state.set(0, 0, form.where(on, form.const(1), self.state.get(0, 0)))

    def _is_worth_it(self, a: Number, b: Number, g: Number) -> Value:
        """Where a pair is not orthogonal, and neither of it nothing."""
        form = self.form
        limit = (a * b).sqrt() * tolerance_of(form.dtype.itemsize, self.m)
        nothing = NOTHING[form.dtype.itemsize]
        some = form.both(a.is_("gt", nothing), b.is_("gt", nothing))
        return form.both(g.abs().is_("gt", limit), some)

    def _turn(self, a: Number, b: Number, g: Number) -> tuple[Number, Number]:
        """Sine, and the tangent of half the angle."""
        form, one = self.form, self.form.const(1)
        zeta = (b - a) / (g * 2.0)
        root = zeta.abs() + (zeta * zeta + 1.0).sqrt()
        t = form.where(zeta.is_("ge", 0.0), one, -1.0) / root
        c = one / (t * t + 1.0).sqrt()
        s = c * t
        return s, s / (c + 1.0)

    def _rotate(self, rows: Table, pair: Pair, size: int, on: Value, s: Number, h: Number) -> None:
        form = self.form
        p, q = pair

        def some(start: Place, count: int) -> None:
            places = [affine(start) + k * form.step for k in range(count)]
            loaded = [(rows.get_piece(p, j), rows.get_piece(q, j)) for j in places]
            for j, (x, y) in zip(places, loaded, strict=True):
                rows.set_piece(p, j, form.where(on, x - s * (y + h * x), x))
                rows.set_piece(q, j, form.where(on, y + s * (x - h * y), y))

        form.groups(0, size, some)
