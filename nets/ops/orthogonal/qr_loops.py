"""Loops of qr. The order of operations is that of ``qr_reference``."""

from __future__ import annotations

from dataclasses import dataclass

from nets.ir.core import Value
from nets.ops.linalg.shapes import batch_of
from nets.ops.loop.lowering import Lowering, buffer_type
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
from nets.ops.orthogonal.reflections import fill, reflection_of, scale_of, sum_of_rows


@dataclass(frozen=True, slots=True)
class Reflections:
    """Reflections I − τ v vᵀ of m × n matrices; vectors are rows."""

    vectors: Table
    factors: Table


def reduce(form: Form, a: Table, m: int, n: int) -> Reflections:
    """Leaves R in the upper triangle of ``a``."""
    found = Reflections(form.table(n, m), form.row(n))
    fill(form, found.vectors, n, m)
    form.each(0, n, lambda k: column(form, a, k, (m, n), found))
    return found


def column(form: Form, a: Table, k: Value, shape: tuple[int, int], found: Reflections) -> None:
    """Reflect a column, and those behind it."""
    m, n = shape
    v = found.vectors
    below = affine(k) + 1

    def square(i: Value, total: Number) -> Number:
        x = a.get(i, k)
        return total + x * x

    (rest,) = form.each(below, m, square, form.const(0))
    beta, tau, inverse = reflection_of(form, a.get(k, k), rest)
    found.factors.set(0, k, tau)
    v.set(k, k, form.const(1))
    form.each(below, m, lambda i: v.set(k, i, a.get(i, k) * inverse))
    # In the form of rows this changes columns up to k, too, which nobody reads but for the
    # diagonal: that is stored behind it.
    _reflect(form, a, found, k, below, (m, n))
    a.set(k, k, beta)


def _reflect(
    form: Form, a: Table, found: Reflections, k: Place, column: Place, shape: tuple[int, int]
) -> None:
    """Reflect the columns from one on; rows above k stay as they are."""
    m, n = shape
    v = found.vectors
    total = sum_of_rows(form, v, k, a, (k, m), column, n)
    tau = found.factors.get(0, k)

    def row(i: Value) -> None:
        factor = form.piece(tau * v.get(k, i))

        def piece(j: Value) -> None:
            a.set_piece(i, j, a.get_piece(i, j) - factor * total.get_piece(0, j))

        form.pieces(column, n, piece)

    form.each(k, m, row)


def product(form: Form, found: Reflections, m: int, n: int) -> Table:
    """The first n columns of the product of all reflections."""
    q = form.table(m, n)
    fill(form, q, m, n)
    form.each(0, n, lambda i: q.set(i, i, form.const(1)))

    def step(number: Value) -> None:
        k = affine(number) * -1 + (n - 1)
        _reflect(form, q, found, k, k, (m, n))

    form.each(0, n, step)
    return q


def lower(s: Lowering, x: Value, out: Value) -> None:
    """Q, and R below it."""
    m, n = (size for size in buffer_type(x).shape[-2:] if isinstance(size, int))

    def body(form: Form, number: Value, last: Value) -> None:
        source = operand(form, x, (m, n), number, last)
        target = Stack(form, out, (m + n, n), last).at(number)
        a, unscale, _ = scaled(form, source, m, n, keeps=True)
        found = reduce(form, a, m, n)
        _store_triangle(form, a, target, m, n, unscale)
        q = product(form, found, m, n)
        form.each(0, m, lambda i: form.each(0, n, lambda j: target.set(i, j, q.get(i, j))))

    each_matrix(s, x.type.dtype, batch_of(x), lanes=has_lanes(x), body=body)


def scaled(
    form: Form, x: Matrix | Table, m: int, n: int, *, keeps: bool = False
) -> tuple[Table, Number, Value]:
    """A matrix times a power of two, what takes that away again, and whether an element was not
    finite: then the matrix is 0, unless it ``keeps`` it."""
    table = form.table(m, n)
    if not form.lanes:
        fill(form, table, m, n)

    def element(i: Value, j: Value, largest: Number) -> Number:
        number = x.get(i, j)
        table.set(i, j, number)
        return largest.max(number.abs())

    (largest,) = form.each(
        0, m, lambda i, top: form.each(0, n, lambda j, t: element(i, j, t), top), form.const(0)
    )
    finite = largest.is_("lt", float("inf"))
    scale = scale_of(form, form.where(finite, largest, 1.0))
    everywhere, kept = form.piece(scale), form.wide(finite)

    def times(i: Value, j: Value) -> None:
        number = table.get_piece(i, j) * everywhere
        table.set_piece(i, j, number if keeps else form.where(kept, number, 0.0))

    form.each(0, m, lambda i: form.pieces(0, n, lambda j: times(i, j)))
    return table, form.const(1) / scale, form.no(finite)


def _store_triangle(form: Form, a: Table, target: Matrix, m: int, n: int, unscale: Number) -> None:
    zero = form.const(0)

    def row(i: Value) -> None:
        at = affine(i) + m
        form.each(0, i, lambda j: target.set(at, j, zero * unscale))
        form.each(i, n, lambda j: target.set(at, j, a.get(i, j) * unscale))

    form.each(0, n, row)
