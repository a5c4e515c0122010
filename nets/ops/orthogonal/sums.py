"""Loops of sums of products along rows. The order is that of ``sums_reference``."""

from __future__ import annotations

from nets.ir.core import Value
from nets.ops.orthogonal.forms import Form, Number, Place, Table, affine, padded

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
