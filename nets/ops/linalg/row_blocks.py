"""Row blocks: large matrices, eight rows at a time, in vectors along the rows.

A working copy of a matrix has rows of whole vectors (``Square``). What all factorisations spend
their time in is one step: eight rows, minus products with the rows that are done. Its sums stay in
registers for as many terms as there are, in the order of these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType, DType
from nets.ops.linalg.lanes import Lanes, Vectors
from nets.ops.loop.lowering import Lowering

ROWS = 8
"""Rows of a block."""


class Rows(Lanes):
    """A working copy of a matrix of ``rows`` × ``columns``, padded to whole blocks and vectors."""

    def __init__(self, s: Lowering, dtype: DType, rows: int, columns: int) -> None:
        width = s.machine.lanes(dtype)
        while width > 1 and width >= 2 * columns:
            width //= 2
        super().__init__(s, dtype, width)
        self.rows, self.columns = rows, columns
        self.height = rounded(rows, max(width, ROWS))
        self.stride = rounded(columns, max(width, ROWS) if columns > 1 else 1)
        if self.stride * dtype.itemsize % 1024 == 0:
            self.stride += max(width, ROWS)  # rows that are not all in the same lines of the cache
        self.memory = s.scratch(BufferType((self.height * self.stride,), dtype))

    @property
    def end(self) -> int:
        """The columns that vectors meet."""
        return rounded(self.columns, self.width)

    def at(self, row: Affine, column: Affine) -> Affine:
        return row * self.stride + column

    def scalar(self, row: Affine, column: Affine) -> Value:
        return self.s.load(self.memory, self.at(row, column))

    def vector(self, row: Affine, column: Affine) -> Value:
        return self.load(self.memory, self.at(row, column))

    def set(self, vector: Value, row: Affine, column: Affine) -> None:
        self.store(vector, self.memory, self.at(row, column))

    def block(self, row: Affine, column: Affine) -> Vectors:
        """A vector of each of the eight rows from ``row`` on."""
        return [self.vector(row + r, column) for r in range(ROWS)]

    def set_block(self, vectors: Vectors, row: Affine, column: Affine) -> None:
        for r, vector in enumerate(vectors):
            self.set(vector, row + r, column)

    def clear_padding(self) -> None:
        """Zeros behind the rows and below them."""
        zero = self.s.const(0, self.dtype)
        if self.stride > self.columns:
            with (
                loop(self.s, 0, self.rows) as row,
                loop(self.s, self.columns, self.stride) as column,
            ):
                self.s.store(zero, self.memory, self.at(row, column))
        if self.height > self.rows:
            with loop(self.s, self.rows * self.stride, self.height * self.stride) as place:
                self.s.store(zero, self.memory, place)

    def less_products(
        self,
        sums: Vectors,
        count: Value,
        factor: Callable[[int, Affine], Value],
        column: Affine,
    ) -> Vectors:
        """The sums, less ``factor(r, k) · row k`` at these columns, for k from 0 below count."""
        s = self.s
        terms = s.for_(0, count, sums)
        with s.inside(terms) as body:
            k, *totals = body.arguments
            row = self.vector(Affine.of(k), column)
            s.yield_(
                *(
                    self.multiply_subtract(total, self.splat(factor(r, Affine.of(k))), row)
                    for r, total in enumerate(totals)
                )
            )
        return list(terms.results)


def rounded(size: int, unit: int) -> int:
    """The size, rounded up to a multiple."""
    return -(-size // unit) * unit


@contextmanager
def loop(s: Lowering, lo: int | Value, hi: int | Value, step: int = 1) -> Iterator[Affine]:
    """A loop that carries nothing; gives its counter."""
    op = s.for_(lo, hi, step=step)
    with s.inside(op) as body:
        yield Affine.of(body.arguments[0])
        s.yield_()


@contextmanager
def each(s: Lowering, batch: object) -> Iterator[Affine]:
    """A parallel loop over matrices."""
    op = s.parallel(0, batch)  # type: ignore[arg-type]
    with s.inside(op) as body:
        yield Affine.of(body.arguments[0])
        s.yield_()
