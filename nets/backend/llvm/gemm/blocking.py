"""Which tile and which blocks a matrix product gets.

None of it changes a bit of the result: an element of C is a chain of fused multiply-additions in
k order inside blocks of `K_BLOCK` steps, and the blocks' sums added in order, under any choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from nets.ir.types import DType
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

_B_BLOCK_COLUMNS: Final = 1024
_PACK_B_FROM: Final = 4096
"""B is packed where C is this many times as large as a row of its widest panel: packing must be
repaid by enough tiles, and narrow panels with long rows are slow to read where they are."""

_PACK_ON_THE_WAY_FROM: Final = 64 << 10
_PACK_ON_THE_WAY_FROM_ROWS: Final = 16
"""The bytes and rows of C that repay packing which costs next to nothing."""

_PACK_A_FROM_STEPS: Final = 256
_PACK_A_FROM_COLUMNS: Final = 256
_PACK_A_FROM_NARROW_COLUMNS: Final = 128
"""A is packed where it lies scattered, and enough tiles read it: wide ones, or narrow ones."""

_SHORTEST_VECTOR: Final = 16
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """Tile of ``rows`` × ``vectors`` · ``lanes``, blocks, and what is packed."""

    lanes: int
    rows: int
    vectors: int
    block_rows: int
    block_columns: int
    pack_a: bool
    pack_b: bool
    ahead: bool
    """Whether the kernels ask for memory early: for C where B is packed, else for B."""

    by_panels: bool = False
    """Whether A is one block, and B taken one panel after the other."""

    packs_on_the_way: bool = False
    """Whether the first tile of each panel packs it, not a pass of its own."""

    shared_rows: int = 0
    """Rows of each of the last two tiles, where that is faster than a whole one and a rest."""

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


def choose(
    dtype: DType,
    m: int,
    n: int,
    k: int,
    transpose_x: bool,
    transpose_y: bool,
    machine: Machine,
) -> Blocking:
    """The blocking of an m × k by k × n product, all three positive."""
    depth, size = min(k, K_BLOCK[dtype]), dtype.itemsize
    return _blocking(_Sizes(m, n, k, depth, size, transpose_x, transpose_y, machine))


def choose_open(
    dtype: DType,
    m: int,
    n: int,
    k: int,
    transpose_x: bool,
    transpose_y: bool,
    machine: Machine,
    is_open_m: bool,
    is_open_n: bool,
) -> Blocking:
    """The blocking of products of which a call tells m, n or k; the numbers are what is usual.

    Only rows and columns of known numbers are cut into panels where they lie.
    """
    depth, size = min(k, K_BLOCK[dtype]), dtype.itemsize
    product = _Sizes(m, n, k, depth, size, transpose_x, transpose_y, machine, is_open_m)
    found = _blocking(product)
    pack_b = found.pack_b and (transpose_y or not is_open_n)
    if not is_open_m:
        return replace(found, pack_b=pack_b, packs_on_the_way=found.packs_on_the_way and pack_b)
    return replace(
        found,
        block_rows=_even(m, product.most_rows_of_a, found.rows),
        block_columns=_even(n, _B_BLOCK_COLUMNS, found.columns),
        pack_a=found.pack_a and not transpose_x,
        pack_b=pack_b,
        by_panels=False,
        packs_on_the_way=found.packs_on_the_way and pack_b,
        shared_rows=0,
    )


@dataclass(frozen=True, slots=True)
class _Sizes:
    """A product of elements of ``size`` bytes, ``depth`` steps of k at a time."""

    m: int
    n: int
    k: int
    depth: int
    size: int
    transpose_x: bool
    transpose_y: bool
    machine: Machine
    is_open_m: bool = False

    @property
    def tile_rows(self) -> list[int]:
        """How many rows a tile may have. A last tile takes as long as a whole one where a call
        tells their number, so tall ones have a power of two: many sizes are multiples of that."""
        rows = range(1, self.most_rows + 1)
        may_waste = not self.is_open_m or not self.machine.has_many_registers
        return [n for n in rows if may_waste or n & (n - 1) == 0]

    @property
    def b_bytes(self) -> int:
        return self.n * self.depth * self.size

    @property
    def c_bytes(self) -> int:
        return self.m * self.n * self.size

    @property
    def most_rows_of_a(self) -> int:
        """Rows of a block of A, which stays in the L2 cache while it meets the panels of B."""
        return self.machine.kept_bytes // (self.depth * self.size)

    @property
    def most_rows(self) -> int:
        """Rows of a tile. Each takes a pointer into A, and leaves as many registers for others."""
        return self.machine.pointer_registers // 2


def _blocking(product: _Sizes) -> Blocking:
    machine = product.machine
    lanes = _lanes(product.n, product.size, machine)
    chosen = _with_many_registers if machine.has_many_registers else _with_few_registers
    return chosen(product, lanes, machine)


def _with_many_registers(product: _Sizes, lanes: int, machine: Machine) -> Blocking:
    """Wide tiles, which read A too seldom for a copy to pay unless its rows crowd each other."""
    large = product.c_bytes >= _PACK_B_FROM * 4 * machine.vector_bytes
    # Only packing can turn rows of y into vectors along n.
    pack_b = product.transpose_y or large
    # Small tiles have no time for requests.
    ahead = large if pack_b else product.n * product.k * product.size >= machine.distant_bytes
    asks_for_c = pack_b and ahead and not product.transpose_x  # by some more pointers
    most_rows = product.most_rows - 2 * asks_for_c
    heights = [rows for rows in product.tile_rows if rows <= most_rows]
    rows, vectors = _tile(
        _tiles(machine.tile_registers - 2, heights),
        lambda tile: _time(product, lanes, tile, costs.B_LOAD),
    )
    crowded = product.k * product.size % machine.page_bytes == 0 and not large
    scattered = product.depth >= _PACK_A_FROM_STEPS if product.transpose_x else crowded
    return Blocking(
        lanes,
        rows,
        vectors,
        _even(product.m, product.most_rows_of_a, rows),
        _even(product.n, _B_BLOCK_COLUMNS, vectors * lanes),
        pack_a=product.n >= _PACK_A_FROM_COLUMNS and scattered,
        pack_b=pack_b,
        ahead=ahead,
    )


def _with_few_registers(product: _Sizes, lanes: int, machine: Machine) -> Blocking:
    """Narrow tiles: the first of a panel packs it beside its arithmetic, which takes longer."""
    many_tiles = product.m >= _PACK_ON_THE_WAY_FROM_ROWS
    repaid = many_tiles and product.c_bytes >= _PACK_ON_THE_WAY_FROM
    pack_b = product.transpose_y or (repaid and product.b_bytes >= machine.l1_bytes // 2)
    rows, vectors = _tile(
        _tiles(machine.tile_registers, product.tile_rows),
        lambda tile: _time(
            product, lanes, tile, costs.B_LOAD_OF_NARROW_TILES, _shared(product, tile)
        ),
    )
    by_panels = pack_b and product.m <= product.most_rows_of_a
    if product.transpose_x:
        crowded = 2 * product.m * product.size % machine.page_bytes == 0
        scattered = crowded or product.depth >= _PACK_A_FROM_STEPS
    else:
        scattered = product.k * product.size % machine.page_bytes == 0
    return Blocking(
        lanes,
        rows,
        vectors,
        _even(product.m, product.m if by_panels else product.most_rows_of_a, rows),
        _even(product.n, 1 if by_panels else _B_BLOCK_COLUMNS, vectors * lanes),
        pack_a=product.n >= _PACK_A_FROM_NARROW_COLUMNS and scattered,
        pack_b=pack_b,
        ahead=False,
        by_panels=by_panels,
        packs_on_the_way=pack_b and not product.transpose_y,
        shared_rows=_shared(product, (rows, vectors)),
    )


def _lanes(n: int, size: int, machine: Machine) -> int:
    """As many as a vector has, or fewer for narrow matrices: half a vector takes half the time."""
    lanes = max(1, machine.vector_bytes // size)
    while 2 * n <= lanes and lanes * size > _SHORTEST_VECTOR:
        lanes //= 2
    return lanes


def _even(size: int, limit: int, unit: int) -> int:
    """A multiple of the unit that cuts ``size`` into nearly equal blocks, about ``limit`` long."""
    blocks = -(-size // max(limit, unit))
    return -(-size // (blocks * unit)) * unit


def _tiles(registers: int, heights: Sequence[int]) -> list[tuple[int, int]]:
    """Rows and vectors of the tiles whose sums fit in registers beside a row of B and a factor."""
    return [
        (rows, vectors)
        for vectors in range(1, 9)
        for rows in heights
        if rows * vectors + vectors + 1 <= registers
    ]


def _tile(
    candidates: list[tuple[int, int]], time: Callable[[tuple[int, int]], float]
) -> tuple[int, int]:
    """The tile of the lowest time, the largest one of these."""
    return min(candidates, key=lambda tile: (time(tile), -tile[0] * tile[1]))


def _time(
    product: _Sizes, lanes: int, tile: tuple[int, int], b_load: float, shared: int = 0
) -> float:
    """Cycles per step of k for the whole product, tails included."""
    rows, vectors = tile
    full_rows, rest_rows = divmod(product.m, rows)
    full_columns, rest_columns = divmod(product.n, vectors * lanes)
    rest_vectors = -(-rest_columns // lanes)
    if shared:
        full_rows, rest_rows = full_rows - 1, shared
    rests = 2 if shared else 1
    step = partial(_step, product.machine, b_load)
    return (
        full_columns * (full_rows * step(rows, vectors) + rests * step(rest_rows, vectors))
        + full_rows * step(rows, rest_vectors)
        + rests * step(rest_rows, rest_vectors)
    )


def _shared(product: _Sizes, tile: tuple[int, int]) -> int:
    """Half of a whole tile and the rest, where two of these take less time; else 0."""
    (rows, vectors), m, machine = tile, product.m, product.machine
    half, odd = divmod(rows + m % rows, 2)
    if odd or m % rows == 0 or m < rows:
        return 0
    apart = costs.tile_cycles(machine, rows, vectors) + costs.tile_cycles(
        machine, m % rows, vectors
    )
    return half if 2 * costs.tile_cycles(machine, half, vectors) < apart else 0


def _step(machine: Machine, b_load: float, rows: int, vectors: int) -> float:
    """Cycles per step of one tile."""
    if not rows * vectors:
        return 0.0
    return costs.tile_cycles(machine, rows, vectors) + costs.GEMM_TILE + b_load * vectors
