"""Loops that factorisations have in common: scales, sums, reflections, and signs of vectors.

The order is that of ``reflections_reference``.
"""

from __future__ import annotations

from nets.ir.core import Value
from nets.ir.types import index
from nets.ops.orthogonal.forms import Form, Number, Place, Table, affine, padded
from nets.ops.orthogonal.reflections_reference import NEGLIGIBLE, SCALES, WEIGHT_STEP, WEIGHTS


def scale_of(form: Form, largest: Number) -> Number:
    """The power of two that brings a number near to one."""
    scale = form.const(1)
    for exponent in SCALES[form.dtype.itemsize]:
        down, up = form.const(2.0**-exponent), form.const(2.0**exponent)
        small = form.where(largest.is_("le", down), up, 1.0)
        factor = form.where(largest.is_("ge", up), down, small)
        largest, scale = largest * factor, scale * factor
    return scale


def fill(form: Form, table: Table, rows: int, columns: int, value: float = 0.0) -> None:
    """The same number everywhere, behind the ends of rows too."""
    number = form.piece(form.const(value))
    form.each(0, rows, lambda i: form.pieces(0, columns, lambda j: table.set_piece(i, j, number)))


def sum_of_rows(
    form: Form,
    weights: Table,
    row: Place,
    table: Table,
    rows: tuple[Place, int],
    columns: Place,
    n: int,
) -> Table:
    """Σᵢ wᵢ · row i of a table, in the order of i, for the columns from one on; piece by piece."""
    total = form.row(n)
    zero = form.piece(form.const(0))

    def some(start: Place, count: int) -> None:
        places = [affine(start) + k * form.step for k in range(count)]

        def term(i: Value, *sums: Number) -> tuple[Number, ...]:
            weight = form.piece(weights.get(row, i))
            return tuple(
                s + weight * table.get_piece(i, place)
                for s, place in zip(sums, places, strict=True)
            )

        sums = form.each(rows[0], rows[1], term, *[zero] * count)
        for place, s in zip(places, sums, strict=True):
            total.set_piece(0, place, s)

    form.groups(columns, n, some)
    return total


def reflection_of(form: Form, alpha: Number, rest: Number) -> tuple[Number, Number, Number]:
    """What a reflection makes of a vector that begins with alpha, where the squares of the others
    have the sum ``rest``; its factor, and what the others are multiplied by."""
    zero = form.const(0)
    is_done = rest.is_("le", NEGLIGIBLE[form.dtype.itemsize] ** 2)
    length = (alpha * alpha + rest).sqrt()
    beta = form.where(alpha.is_("ge", 0.0), -length, length)
    tau = form.where(is_done, zero, (beta - alpha) / beta)
    inverse = form.where(is_done, zero, form.const(1) / (alpha - beta))
    return form.where(is_done, alpha, beta), tau, inverse


def turned(form: Form, table: Table, rows: int, columns: int) -> Table:
    """The table transposed: a copy, so that what were columns lie in one piece."""
    found = form.table(columns, rows)
    fill(form, found, columns, rows)
    form.each(0, rows, lambda i: form.each(0, columns, lambda j: found.set(j, i, table.get(i, j))))
    return found


Row = tuple[Table, Place]


def sum_of_products(form: Form, pairs: list[tuple[Row, Row]], m: int) -> list[Number]:
    """Sums of the products of two rows, in the order of pieces and halves."""
    return [_of_lanes(form, *pair, m) for pair in pairs] if form.lanes else _of_rows(form, pairs, m)


def _of_rows(form: Form, pairs: list[tuple[Row, Row]], m: int) -> list[Number]:
    def piece(j: Value, *totals: Number) -> tuple[Number, ...]:
        return tuple(
            total + x[0].get_piece(x[1], j) * y[0].get_piece(y[1], j)
            for total, (x, y) in zip(totals, pairs, strict=True)
        )

    start = [form.piece(form.const(0))] * len(pairs)
    totals = form.each(0, padded(m, form.dtype), piece, *start, step=form.width)
    s = form.s
    return [
        Number(s.emit("lane_reduce", total.value, combiner="add").result, form) for total in totals
    ]


def _of_lanes(form: Form, x: Row, y: Row, m: int) -> Number:
    width = form.width

    def term(j: Place) -> Number:
        return x[0].get(x[1], j) * y[0].get(y[1], j)

    whole = m // width * width
    totals: list[Number | None] = [None] * width
    if whole:

        def piece(j: Value, *sums: Number) -> tuple[Number, ...]:
            return tuple(total + term(affine(j) + k) for k, total in enumerate(sums))

        start = [term(k) for k in range(width)]
        totals = list(form.each(width, whole, piece, *start, step=width))
    for k in range(m - whole):
        total = totals[k]
        totals[k] = term(whole + k) if total is None else total + term(whole + k)
    while width > 1:
        width //= 2
        totals = [_sum(low, high) for low, high in zip(totals[:width], totals[width:], strict=True)]
    return totals[0] or form.const(0)


def _sum(x: Number | None, y: Number | None) -> Number | None:
    return x if y is None else y if x is None else x + y


def is_negative(form: Form, table: Table, row: Place, n: int) -> Value:
    """Whether the product of a row with the vector of weights is negative."""
    s = form.s

    def term(j: Value, total: Number) -> Number:
        part = s.binary("and", s.mul(j, s.const(WEIGHT_STEP, index)), s.const(WEIGHTS - 1, index))
        weight = form.counted(part) * (1 / WEIGHTS) + 1.0
        return total + table.get(row, j) * weight

    (total,) = form.each(0, n, term, form.const(0))
    return total.is_("lt", 0.0)
