"""The loops of ``lu_solve``: rows put in order, and two systems with triangles."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ops.linalg.exchange import row_of
from nets.ops.linalg.lanes import Lanes, Vectors, in_registers
from nets.ops.linalg.row_blocks import Rows, each, loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.linalg.substitution import ByBlocks, InLanes, Triangle, note_singular, substitute
from nets.ops.linalg.triangular_loops import goes_in_lanes
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 4
"""Systems up to this size are solved in registers, if they have few right sides."""


def lower(s: Lowering, packed: Value, b: Value, out: Value, transpose: bool, refuses: bool) -> None:
    """Fill ``out`` with the solutions; note singular matrices where it refuses them."""
    if buffer_type(b).elements == 0:
        return
    n, m = (known("lu_solve", size) for size in buffer_type(b).shape[-2:])
    batch, dtype = batch_of(b), b.type.dtype
    packed, b, out = (flat(s, x) for x in (packed, b, out))
    if refuses:
        note_singular(s, packed, n, (n + 2) * n, batch)
    in_lanes, width = goes_in_lanes(s, b, n, batch, m)
    if in_lanes and n <= UNROLLED and n * m <= 2 * UNROLLED:
        _in_registers(
            in_registers(s, dtype, width, batch), packed, b, out, (n, m), batch, transpose
        )
        return
    if in_lanes:
        _in_lanes(Lanes(s, dtype, width), packed, b, out, (n, m), batch, transpose)
        return
    with each(s, batch) as number:
        _by_blocks(Rows(s, dtype, n, m), packed, b, out, number, transpose)


def _triangles(n: int, transpose: bool) -> tuple[Triangle, Triangle]:
    """The two systems in their order."""
    lower = Triangle(n, n, upper=False, transpose=transpose, unit=True)
    upper = Triangle(n, n, upper=True, transpose=transpose, unit=False)
    return (upper, lower) if transpose else (lower, upper)


def _in_registers(
    v: Lanes,
    packed: Value,
    b: Value,
    out: Value,
    sizes: tuple[int, int],
    batch: Dim,
    transpose: bool,
) -> None:
    n, m = sizes
    with v.groups(batch) as numbers:
        factors = v.read(packed, numbers, (n + 2) * n)
        given = v.read(b, numbers, n * m)
        rows = [given[i * m : (i + 1) * m] for i in range(n)]
        turns = factors[(n + 1) * n :]
        if not transpose:
            _exchange(v, rows, turns, range(n))
        for triangle in _triangles(n, transpose):
            order = rows[::-1] if triangle.is_backward else rows
            substitute(v, order, _factors(triangle, factors), triangle.unit)
        if transpose:
            _exchange(v, rows, turns, reversed(range(n)))
        v.write([x for row in rows for x in row], out, numbers)


def _exchange(v: Lanes, rows: list[Vectors], turns: Vectors, steps: Iterable[int]) -> None:
    """Let rows change places, one after the other; each with one behind it, or with none."""
    for k in steps:
        before = found = rows[k]
        for i in range(k + 1, len(rows)):
            is_it = v.s.compare("eq", turns[k], v.const(i))
            pairs = list(zip(rows[i], before, found, strict=True))
            rows[i] = [v.s.select(is_it, old, own) for own, old, _ in pairs]
            found = [v.s.select(is_it, own, so_far) for own, _, so_far in pairs]
        rows[k] = found


def _factors(t: Triangle, factors: Vectors) -> Callable[[int, int], Value]:
    def factor(i: int, k: int) -> Value:
        place = t.place(Affine.of(i), Affine.of(k)).constant
        assert isinstance(place, int)
        return factors[place]

    return factor


def _in_lanes(
    v: Lanes,
    packed: Value,
    b: Value,
    out: Value,
    sizes: tuple[int, int],
    batch: Dim,
    transpose: bool,
) -> None:
    n, m = sizes
    s = v.s
    with v.groups(batch) as numbers:
        factors, right = v.scratch((n + 2) * n), v.scratch(n * m)
        v.fill(factors, packed, numbers, (n + 2) * n)
        v.fill(right, b, numbers, n * m)
        if not transpose:
            with loop(s, 0, n) as k:
                _exchange_lanes(v, factors, right, k, sizes)
        for triangle in _triangles(n, transpose):
            InLanes(v, factors, right, m).solve(triangle)
        if transpose:
            with loop(s, 0, n) as k:
                _exchange_lanes(v, factors, right, -k + (n - 1), sizes)
        v.spill(out, right, numbers, n * m)


def _exchange_lanes(
    v: Lanes, factors: Value, right: Value, k: Affine, sizes: tuple[int, int]
) -> None:
    """Let row k change places with the one that each lane has for it."""
    s, (n, m), width = v.s, sizes, v.width
    turn = (k + (n + 1) * n) * width
    others = [Affine.of(row_of(s, factors, turn + lane, n)) for lane in range(width)]
    with loop(s, 0, m) as j:
        own = [(k * m + j) * width + lane for lane in range(width)]
        places = [(other * m + j) * width + lane for lane, other in enumerate(others)]
        pairs = [(s.load(right, x), s.load(right, y)) for x, y in zip(own, places, strict=True)]
        for (x, y), at, other in zip(pairs, own, places, strict=True):
            s.store(x, right, other)
            s.store(y, right, at)


def _by_blocks(
    x: Rows, packed: Value, b: Value, out: Value, number: Affine, transpose: bool
) -> None:
    s, n, m = x.s, x.rows, x.columns
    first, start = number * ((n + 2) * n), number * (n * m)
    system, (one, other) = ByBlocks(x, packed, first), _triangles(n, transpose)

    def exchange(k: Affine) -> None:
        row = Affine.of(row_of(s, packed, first + (n + 1) * n + k, n))
        with loop(s, 0, x.end, x.width) as column:
            pair = x.vector(k, column), x.vector(row, column)
            x.set(pair[0], row, column)
            x.set(pair[1], k, column)

    system.take(one, lambda i, j: s.load(b, start + i * m + j))
    if not transpose:
        with loop(s, 0, n) as k:
            exchange(k)
    system.solve(one)
    system.turn(one, other)
    system.solve(other)
    if transpose:
        # The working copy has the last row first.
        system.turn(other, one)
        with loop(s, 0, n) as k:
            exchange(-k + (n - 1))
    last = one if transpose else other
    with loop(s, 0, n) as i, loop(s, 0, m) as j:
        s.store(x.scalar(i, j), out, start + last.row(i) * m + j)
