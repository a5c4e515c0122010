"""Loops of svd, second half: lengths, their order, and vectors. The order of operations is that of
``svd_reference``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nets.ir.core import Value
from nets.ir.types import index
from nets.ops.linalg.shapes import batch_of
from nets.ops.loop.failures import NOT_DECOMPOSED
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal import forms, golub_kahan, qr_loops
from nets.ops.orthogonal.forms import (
    Form,
    Matrix,
    Number,
    Stack,
    Table,
    affine,
    each_matrix,
    operand,
)
from nets.ops.orthogonal.golub_kahan import Steps
from nets.ops.orthogonal.jacobi import Jacobi
from nets.ops.orthogonal.reflections import fill, is_negative, sum_of_products, sum_of_rows, turned
from nets.ops.orthogonal.svd_reference import MOST_BY_ROTATIONS, NOTHING


def has_lanes(x: Value) -> bool:
    """Whether matrices of a buffer go one per lane: those that are done by rotations may."""
    n = buffer_type(x).shape[-1]
    return isinstance(n, int) and n <= MOST_BY_ROTATIONS and forms.has_lanes(x)


def lower(s: Lowering, x: Value, out: Value, *, lanes: bool, vectors: bool) -> None:
    """Left vectors as columns, below them the values, below these right vectors as rows; or the
    values alone."""
    m, n = (size for size in buffer_type(x).shape[-2:] if isinstance(size, int))
    rows = m + 1 + n if vectors else 1

    def body(form: Form, number: Value, last: Value) -> None:
        source = operand(form, x, (m, n), number, last)
        target = Stack(form, out, (rows, n), last).at(number)
        decompose(form, source, target, (m, n), vectors=vectors)

    each_matrix(s, x.type.dtype, batch_of(x), lanes=lanes, body=body)


def decompose(
    form: Form,
    source: Matrix | Table,
    target: Matrix | Table,
    shape: tuple[int, int],
    *,
    vectors: bool,
) -> None:
    """The decomposition of one matrix, or of those of all lanes."""
    m, n = shape
    a, unscale, bad = qr_loops.scaled(form, source, m, n)
    if n > MOST_BY_ROTATIONS:
        _by_steps(form, a, unscale, bad, target, shape, vectors=vectors)
        return
    w = turned(form, a, m, n)
    v = _identity(form, n) if vectors else None
    lost = form.either(Jacobi(form, w, m, n, v).run(), bad)
    form.s.note_unless(lambda: form.no(lost), NOT_DECOMPOSED)
    _Store(form, w, v, target, m, n, lost).run(unscale)


def _by_steps(
    form: Form,
    a: Table,
    unscale: Number,
    bad: Value,
    target: Matrix | Table,
    shape: tuple[int, int],
    *,
    vectors: bool,
) -> None:
    m, n = shape
    found = golub_kahan.reduce(form, a, m, n)
    u = v = None
    if vectors:
        u = turned(form, qr_loops.product(form, found.left, m, n), m, n)
        v = turned(form, qr_loops.product(form, found.right, n, n), n, n)
    lost = form.either(Steps(form, found, shape, u, v).run(), bad)
    form.s.note_unless(lambda: form.no(lost), NOT_DECOMPOSED)
    store = _Store(form, found.diagonal, v, target, m, n, lost)

    def one(j: Value) -> None:
        here = found.diagonal.get(0, j)
        rank = store.rank(found.diagonal, j, here)
        target.set(0 if v is None else m, rank, store.kept(here * unscale))
        if u is None or v is None:
            return
        sign = form.where(store.right(v, j, rank), form.const(-1), 1.0)
        form.each(0, m, lambda i: target.set(i, rank, store.kept(u.get(j, i) * sign)))

    form.each(0, n, one)


def lower_inverse(s: Lowering, x: Value, limit: Value, out: Value, *, lanes: bool) -> None:
    """The pseudoinverse, of the singular values above a part of the largest one."""
    m, n = (size for size in buffer_type(x).shape[-2:] if isinstance(size, int))

    def body(form: Form, number: Value, last: Value) -> None:
        packed = form.table(m + 1 + n, n)
        if not form.lanes:
            fill(form, packed, m + 1 + n, n)
        decompose(form, operand(form, x, (m, n), number, last), packed, (m, n), vectors=True)
        part = Stack(form, limit, (1, 1), last).at(number).get(0, 0)
        target = Stack(form, out, (n, m), last).at(number)
        _inverse(form, packed, part * packed.get(m, 0), target, (m, n))

    each_matrix(s, x.type.dtype, batch_of(x), lanes=lanes, body=body)


def _inverse(
    form: Form, packed: Table, limit: Number, target: Matrix, shape: tuple[int, int]
) -> None:
    m, n = shape
    left, right = turned(form, packed, m, n), form.table(n, n)

    def scaled(k: Value) -> None:
        value = packed.get(m, k)
        inverse = form.where(value.is_("gt", limit), form.const(1) / value, 0.0)
        row = affine(k) + (m + 1)
        form.each(0, n, lambda i: right.set(i, k, packed.get(row, i) * inverse))

    form.each(0, n, scaled)

    def row(i: Value) -> None:
        total = sum_of_rows(form, right, i, left, (0, n), 0, m)
        form.each(0, m, lambda j: target.set(i, j, total.get(0, j)))

    form.each(0, n, row)


def _identity(form: Form, n: int) -> Table:
    table = form.table(n, n)
    fill(form, table, n, n)
    form.each(0, n, lambda i: table.set(i, i, form.const(1)))
    return table


@dataclass(frozen=True, slots=True)
class _Store:
    form: Form
    w: Table
    v: Table | None
    target: Matrix | Table
    m: int
    n: int
    lost: Value

    def run(self, unscale: Number) -> None:
        form, n = self.form, self.n
        lengths = form.row(n)

        def length(j: Value) -> None:
            (square,) = sum_of_products(form, [((self.w, j), (self.w, j))], self.m)
            lengths.set(0, j, square.sqrt())

        form.each(0, n, length)
        u, signs = form.table(self.m, n), form.row(n)
        if self.v is not None and not form.lanes:
            fill(form, u, self.m, n)

        def one(j: Value) -> None:
            here = lengths.get(0, j)
            rank = self.rank(lengths, j, here)
            at = 0 if self.v is None else self.m
            self.target.set(at, rank, self.kept(here * unscale))
            if self.v is not None:
                self._vectors(self.v, j, rank, here, u, signs)

        form.each(0, n, one)
        if self.v is not None:
            self._left(u, signs)

    def kept(self, x: Number) -> Number:
        return self.form.where(self.lost, self.form.const(math.nan), x)

    def rank(self, lengths: Table, j: Value, here: Number) -> Value:
        """How many lengths come before one."""
        form, one, zero = self.form, self.form.const(1), self.form.const(0)

        def before(i: Value, rank: Number) -> Number:
            return rank + form.where(lengths.get(0, i).is_("ge", here), one, zero)

        def behind(i: Value, rank: Number) -> Number:
            return rank + form.where(lengths.get(0, i).is_("gt", here), one, zero)

        (rank,) = form.each(0, j, before, zero)
        (rank,) = form.each(affine(j) + 1, self.n, behind, rank)
        return form.s.cast(rank.value, index)

    def _vectors(
        self, v: Table, j: Value, rank: Value, here: Number, u: Table, signs: Table
    ) -> None:
        """The right vector of a column, and the left one before it is completed."""
        form = self.form
        flips = self.right(v, j, rank)
        signs.set(0, rank, form.where(flips, form.const(-1), 1.0))
        some = (here * here).is_("gt", NOTHING[form.dtype.itemsize])
        inverse = form.where(some, form.const(1) / here, 0.0)
        form.each(0, self.m, lambda i: u.set(i, rank, self.w.get(j, i) * inverse))

    def right(self, v: Table, j: Value, rank: Value) -> Value:
        """Store a right vector with its sign; whether that is another one than it had."""
        form = self.form
        flips = is_negative(form, v, j, self.n)

        def element(r: Value) -> None:
            x = v.get(j, r)
            self.target.set(affine(rank) + (self.m + 1), r, self.kept(form.where(flips, -x, x)))

        form.each(0, self.n, element)
        return flips

    def _left(self, u: Table, signs: Table) -> None:
        form, m, n = self.form, self.m, self.n
        found = qr_loops.reduce(form, u, m, n)

        def sign(k: Value) -> None:
            x = signs.get(0, k)
            signs.set(0, k, form.where(u.get(k, k).is_("lt", 0.0), -x, x))

        form.each(0, n, sign)
        q = qr_loops.product(form, found, m, n)

        def element(i: Value, k: Value) -> None:
            self.target.set(i, k, self.kept(q.get(i, k) * signs.get(0, k)))

        form.each(0, m, lambda i: form.each(0, n, lambda k: element(i, k)))
