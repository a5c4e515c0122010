"""Loops of svd for larger matrices, first half: bidiagonal form, in the form of rows.

The order of operations is that of ``golub_kahan_reference``.
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.ir.core import Value
from nets.ops.orthogonal import qr_loops
from nets.ops.orthogonal.forms import Form, Number, Table, affine
from nets.ops.orthogonal.qr_loops import Reflections
from nets.ops.orthogonal.reflections import fill, reflection_of
from nets.ops.orthogonal.sums import sum_of_products


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
