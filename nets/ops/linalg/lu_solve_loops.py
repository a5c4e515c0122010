"""The loops of ``lu_solve``: rows put in order, and two systems with triangles."""

from __future__ import annotations

from collections.abc import Callable

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import index
from nets.ops.linalg.lanes import Lanes, Vectors
from nets.ops.linalg.row_blocks import Rows, each, loop
from nets.ops.linalg.shapes import batch_of, flat, known
from nets.ops.linalg.substitution import ByBlocks, InLanes, Triangle, substitute
from nets.ops.linalg.triangular_loops import goes_in_lanes
from nets.ops.loop.lowering import Lowering, buffer_type

UNROLLED = 4
"""Systems up to this size are solved in registers, if they have few right sides."""


def lower(s: Lowering, packed: Value, b: Value, out: Value, transpose: bool) -> None:
    """Fill ``out`` with the solutions."""
    if buffer_type(b).elements == 0:
        return
    n, m = (known("lu_solve", size) for size in buffer_type(b).shape[-2:])
    batch, dtype = batch_of(b), b.type.dtype
    packed, b, out = (flat(s, x) for x in (packed, b, out))
    in_lanes, width = goes_in_lanes(s, b, n, batch, m)
    if in_lanes and n <= UNROLLED and n * m <= 2 * UNROLLED:
        _in_registers(Lanes(s, dtype, width), packed, b, out, (n, m), batch, transpose)
        return
    if in_lanes:
        _in_lanes(Lanes(s, dtype, width), packed, b, out, (n, m), batch, transpose)
        return
    with each(s, batch) as number:
        _by_blocks(Rows(s, dtype, n, m), packed, b, out, number, transpose)


def _row_of(s: Lowering, memory: Value, place: Affine, n: int) -> Value:
    """The number of a row, inside of the matrix whatever stands there."""
    row = s.cast(s.load(memory, place), index)
    return s.binary("max", s.binary("min", row, s.const(n - 1, index)), s.const(0, index))


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
    s, (n, m) = v.s, sizes
    with v.groups(batch) as numbers:
        factors = v.read(packed, numbers, n * n + n)
        given = v.read(b, numbers, n * m)
        rows = [given[i * m : (i + 1) * m] for i in range(n)]
        # Where row i of the factors comes from row j of the matrix.
        is_from = [
            [s.compare("eq", factors[n * n + i], v.const(j)) for j in range(n)] for i in range(n)
        ]
        if not transpose:
            rows = _chosen(v, rows, is_from)
        for triangle in _triangles(n, transpose):
            order = rows[::-1] if triangle.is_backward else rows
            substitute(v, order, _factors(triangle, factors), triangle.unit)
        if transpose:
            rows = _chosen(v, rows, [list(column) for column in zip(*is_from, strict=True)])
        v.write([x for row in rows for x in row], out, numbers)


def _chosen(v: Lanes, rows: list[Vectors], is_from: list[Vectors]) -> list[Vectors]:
    """In each place, the row that a mask is set for; the first where there is none."""
    found = []
    for masks in is_from:
        best = rows[0]
        for mask, row in zip(masks[1:], rows[1:], strict=True):
            best = [v.s.select(mask, x, y) for x, y in zip(row, best, strict=True)]
        found.append(best)
    return found


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
    factors, given, found = v.scratch(n * n + n), v.scratch(n * m), v.scratch(n * m)
    with v.groups(batch) as numbers:
        v.fill(factors, packed, numbers, n * n + n)
        v.fill(given, b, numbers, n * m)
        order = _Order(v, factors, n, m)
        if not transpose:
            order.take(given, found)
        right = given if transpose else found
        for triangle in _triangles(n, transpose):
            InLanes(v, factors, right, m).solve(triangle)
        if transpose:
            order.give(given, found)
        v.spill(out, found, numbers, n * m)


class _Order:
    """The order of the rows of a group, which each lane has for itself."""

    def __init__(self, v: Lanes, factors: Value, n: int, m: int) -> None:
        self.v, self.s, self.factors, self.n, self.m = v, v.s, factors, n, m

    def take(self, source: Value, target: Value) -> None:
        """Row i of the target is the row of the source that its order tells."""
        s, v = self.s, self.v
        with loop(s, 0, self.n) as i:
            row = self._row(i)
            with loop(s, 0, self.m) as j:
                found = [s.load(source, place) for place in self._places(row, j)]
                for lane, element in enumerate(found):
                    s.store(element, target, (i * self.m + j) * v.width + lane)

    def give(self, source: Value, target: Value) -> None:
        """The other way round."""
        s, v = self.s, self.v
        with loop(s, 0, self.n) as i:
            row = self._row(i)
            with loop(s, 0, self.m) as j:
                for lane, place in enumerate(self._places(row, j)):
                    element = s.load(source, (i * self.m + j) * v.width + lane)
                    s.store(element, target, place)

    def _row(self, i: Affine) -> list[Value]:
        s, v = self.s, self.v
        first = (i + self.n * self.n) * v.width
        return [_row_of(s, self.factors, first + lane, self.n) for lane in range(v.width)]

    def _places(self, row: list[Value], j: Affine) -> list[Affine]:
        width = self.v.width
        return [(Affine.of(r) * self.m + j) * width + lane for lane, r in enumerate(row)]


def _by_blocks(
    x: Rows, packed: Value, b: Value, out: Value, number: Affine, transpose: bool
) -> None:
    s, n, m = x.s, x.rows, x.columns
    first, start = number * (n * n + n), number * (n * m)

    def place(i: Affine, is_ordered: bool) -> Affine:
        """The row of b, or of the result."""
        if not is_ordered:
            return start + i * m
        row = _row_of(s, packed, first + n * n + i, n)
        return start + Affine.of(row) * m

    system, (one, other) = ByBlocks(x, packed, first), _triangles(n, transpose)
    with loop(s, 0, n) as i:
        source = place(one.row(i), not transpose)
        with loop(s, 0, m) as j:
            s.store(s.load(b, source + j), x.memory, x.at(i, j))
    x.clear_padding()
    system.solve(one)
    system.turn(one, other)
    system.solve(other)
    with loop(s, 0, n) as i:
        target = place(other.row(i), transpose)
        with loop(s, 0, m) as j:
            s.store(x.scalar(i, j), out, target + j)
