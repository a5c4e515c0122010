"""Loops of eigh, first half: symmetric matrices to tridiagonal form.

The order of operations is that of ``eigh_reference``.
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ops.orthogonal.forms import Form, Matrix, Number, Table, affine
from nets.ops.orthogonal.reflections import (
    fill,
    reflection_of,
    scale_of,
    sum_of_rows,
    turned,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scaled matrix, what takes the scale away again, and whether it was not finite."""

    table: Table
    unscale: Number
    bad: Value


def prepare(form: Form, x: Matrix, n: int) -> Prepared:
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

    def step(number: Value) -> None:
        k = affine(number) * -1 + (n - 3)
        below = k + 1
        total = sum_of_rows(form, found.vectors, k, q, (below, n), below, n)
        tau = found.factors.get(0, k)

        def row(i: Value) -> None:
            factor = form.piece(tau * found.vectors.get(k, i))

            def piece(j: Value) -> None:
                q.set_piece(i, j, q.get_piece(i, j) - factor * total.get_piece(0, j))

            form.pieces(below, n, piece)

        form.each(below, n, row)

    form.each(0, n - 2, step)
    return q.turned() if form.lanes else turned(form, q, n, n)
