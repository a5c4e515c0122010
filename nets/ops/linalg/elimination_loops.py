"""The loops of ``eliminate``: steps of ``lu`` with right sides beside the matrices, and
substitution."""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType
from nets.ops.linalg import lu_loops, lu_solve_loops
from nets.ops.linalg.lanes import Lanes
from nets.ops.linalg.lu_loops import Column, Steps, choose, divisor_of
from nets.ops.linalg.row_blocks import loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.linalg.substitution import InLanes, Triangle, substitute
from nets.ops.linalg.triangular_loops import goes_in_lanes
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 4
"""Systems up to this size are solved in registers, if they have few right sides."""


def lower(s: Lowering, a: Value, b: Value, out: Value) -> None:
    """Fill ``out`` with the solutions."""
    if buffer_type(b).elements == 0:
        return
    n, m = (known("eliminate", size) for size in buffer_type(b).shape[-2:])
    batch, dtype = batch_of(b), b.type.dtype
    in_lanes, width = goes_in_lanes(s, b, n, batch, m)
    if not in_lanes:
        packed = s.alloc(BufferType((*buffer_type(a).shape[:-2], n + 2, n), dtype))
        lu_loops.lower(s, a, packed)
        lu_solve_loops.lower(s, packed, b, out, transpose=False)
        return
    a, b, out = (flat(s, x) for x in (a, b, out))
    v = Lanes(s, dtype, width)
    if n <= UNROLLED and n * m <= 2 * UNROLLED:
        _in_registers(v, a, b, out, (n, m), batch)
    else:
        _Augmented(v, n, m).run_system(a, b, out, batch)


def _triangle(n: int, stride: int) -> Triangle:
    return Triangle(n, stride, upper=True, transpose=False, unit=False)


def _in_registers(
    v: Lanes, a: Value, b: Value, out: Value, sizes: tuple[int, int], batch: Dim
) -> None:
    n, m = sizes
    with v.groups(batch) as numbers:
        matrix, right = v.read(a, numbers, n * n), v.read(b, numbers, n * m)
        rows = [[*matrix[i * n : (i + 1) * n], *right[i * m : (i + 1) * m]] for i in range(n)]
        for k in range(n):
            choose(v, rows, k, first=k)
            divisor = divisor_of(v, rows[k][k])
            for row in rows[k + 1 :]:
                factor = v.s.div(row[k], divisor)
                for j in range(k + 1, n + m):
                    row[j] = v.multiply_subtract(row[j], factor, rows[k][j])
        found = [row[n:] for row in rows]
        substitute(v, found[::-1], lambda i, k: rows[n - 1 - i][n - 1 - k], False)
        v.write([x for row in found for x in row], out, numbers)


class _Augmented(Steps):
    """A group of matrices in scratch memory, with the right sides behind them."""

    def __init__(self, v: Lanes, n: int, m: int) -> None:
        super().__init__(v, n)
        self.m = m

    def run_system(self, a: Value, b: Value, out: Value, batch: Dim) -> None:
        s, v, n, m = self.s, self.v, self.n, self.m
        with v.groups(batch) as numbers:
            self.memory, self.right = v.scratch(n * self.stride), v.scratch(n * m)
            self.number_rows()
            v.fill_rows(self.memory, a, numbers, (n, n))
            v.fill(self.right, b, numbers, n * m)
            with loop(s, 0, n) as k:
                chosen = self.pivot(k)
                self.divide(k, chosen)
                self.exchange_range(k, chosen, k + 1, Affine.of(n), is_done=False)
                self.exchange_range(
                    k, chosen, Affine(), Affine.of(m), is_done=False, column=self._right_column
                )
            InLanes(v, self.memory, self.right, m).solve(_triangle(n, self.stride))
            v.spill(out, self.right, numbers, n * m)

    def _right_column(self, j: Affine) -> Column:
        return lambda i: (self.right, i * self.m + j)
