"""The loops of ``triangular_solve``."""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import TensorType
from nets.ops.linalg.lanes import Lanes, fits_lanes, in_registers, width_for
from nets.ops.linalg.row_blocks import Rows, each, loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.linalg.substitution import (
    ByBlocks,
    InLanes,
    Triangle,
    note_each,
    note_singular,
    note_zero,
    substitute,
)
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 16
"""Right sides of up to so many elements are computed in registers."""

SCALAR = 8
"""Triangles up to this size that stand alone are gone through one number at a time, in registers
or tiles."""

MOST_ELEMENTS = 1024
"""Of right sides in lanes."""


def order_of(name: str, x: Value) -> int:
    """The number of columns of matrices."""
    type = x.type if isinstance(x.type, TensorType) else buffer_type(x)
    return known(name, type.shape[-1])


def goes_in_lanes(s: Lowering, x: Value, n: int, batch: Dim, m: int) -> tuple[bool, int]:
    """Whether systems go side by side, or one number at a time; and in how wide vectors."""
    width = width_for(s, x.type.dtype, n * min(n, m))
    if not fits_lanes(batch, width, n) or n * m > MOST_ELEMENTS:
        return n <= SCALAR and m <= SCALAR, 1
    return True, width


def lower(s: Lowering, a: Value, b: Value, out: Value, t: Triangle, refuses: bool) -> None:
    """Fill ``out`` with the solutions; note singular matrices where it refuses them."""
    if buffer_type(b).elements == 0:
        return
    n, m = t.n, known("triangular_solve", buffer_type(b).shape[-1])
    batch, dtype = batch_of(a), a.type.dtype
    a, b, out = (flat(s, x) for x in (a, b, out))
    in_lanes, width = goes_in_lanes(s, a, n, batch, m)
    if not in_lanes:
        if refuses:
            note_singular(s, a, n, n * n, batch)
        with each(s, batch) as number:
            _by_blocks(Rows(s, dtype, n, m), a, b, out, number, t)
    elif n * m <= UNROLLED and n <= 5:
        v = in_registers(s, dtype, width, batch)
        _in_registers(v, a, b, out, m, batch, t, refuses)
    else:
        v = Lanes(s, dtype, width)
        with v.groups(batch) as numbers:
            matrices, right = v.scratch(n * n), v.scratch(n * m)
            v.fill(matrices, a, numbers, n * n)
            if refuses:
                note_each(v, matrices, n, n)
            v.fill(right, b, numbers, n * m)
            InLanes(v, matrices, right, m).solve(t)
            v.spill(out, right, numbers, n * m)


def _in_registers(
    v: Lanes, a: Value, b: Value, out: Value, m: int, batch: Dim, t: Triangle, refuses: bool
) -> None:
    n = t.n
    with v.groups(batch) as numbers:
        matrix = v.read(a, numbers, n * n)
        right = v.read(b, numbers, n * m)
        if refuses:
            note_zero(v.s, *matrix[:: n + 1])
        order = [_row(t, i) for i in range(n)]
        rows = [right[row * m : (row + 1) * m] for row in order]
        substitute(v, rows, lambda r, k: matrix[_place(t, r, k)], t.unit)
        found = dict(zip(order, rows, strict=True))
        v.write([x for row in range(n) for x in found[row]], out, numbers)


def _row(t: Triangle, i: int) -> int:
    place = t.row(Affine.of(i)).constant
    assert isinstance(place, int)
    return place


def _place(t: Triangle, i: int, k: int) -> int:
    place = t.place(Affine.of(i), Affine.of(k)).constant
    assert isinstance(place, int)
    return place


def _by_blocks(x: Rows, a: Value, b: Value, out: Value, number: Affine, t: Triangle) -> None:
    s, n, m = x.s, x.rows, x.columns
    system, first = ByBlocks(x, a, number * (n * n)), number * (n * m)
    system.take(t, lambda i, j: s.load(b, first + i * m + j))
    system.solve(t)
    with loop(s, 0, n) as i, loop(s, 0, m) as j:
        s.store(x.scalar(i, j), out, first + t.row(i) * m + j)
