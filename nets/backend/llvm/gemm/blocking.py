"""Which tile and which blocks a matrix product gets.

None of it changes a bit of the result: an element of C is a chain of fused multiply-additions in
k order inside blocks of `K_BLOCK` steps, and the blocks' sums added in order, under any choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from nets.ir.types import DType, f32, f64

K_BLOCK: Final = {f32: 384, f64: 256}
"""Steps of k that one chain of multiply-additions covers. Part of what matmul means
(numerics.md, 5): a constant of the dtype, never to depend on shape, CPU or threads."""

_A_BLOCK_BYTES: Final = 256 << 10
"""A block of A that stays in the L2 cache while it meets the panels of B."""

_B_BLOCK_COLUMNS: Final = 1024
_PACK_B_FROM: Final = 4096
"""B is packed where C is this many times as large as a row of its widest panel: packing must be
repaid by enough tiles, and narrow panels with long rows are slow to read where they are."""

_DISTANT_BYTES: Final = 2 << 20
"""A matrix of this size is not in the L2 cache when its turn comes."""

_PACK_A_FROM_COLUMNS: Final = 256
_PAGE: Final = 4096
"""Rows this far apart meet in the same sets of the L1 cache; copies do not."""

_MOST_ROWS: Final = 8
_MOST_ROWS_AHEAD: Final = 6
"""Each row of A takes a pointer, and there are 16 registers for those and for requests of C."""

_SHORTEST_VECTOR: Final = 16
"""Bytes."""

_FMA_LATENCY: Final = 4
_B_LOAD: Final = 0.1
"""What a vector of B costs beyond its turn, in cycles: it comes from the L2 cache."""

_TILE_OVERHEAD: Final = 0.35
"""What a tile costs beyond its arithmetic, in cycles per step: calls, and C in and out."""


class Vectors(Protocol):
    """What a target must say: `nets.backend.llvm.target.Target` does."""

    @property
    def vector_bytes(self) -> int: ...

    @property
    def vector_registers(self) -> int: ...


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
    target: Vectors,
) -> Blocking:
    """The blocking of an m × k by k × n product, all three positive."""
    size = dtype.itemsize
    lanes = _lanes(n, size, target.vector_bytes)
    depth = min(k, K_BLOCK[dtype])
    many_registers = target.vector_registers >= 32
    panel_bytes = target.vector_bytes * (4 if many_registers else 2)
    large = m * n * size >= _PACK_B_FROM * panel_bytes
    # Only packing can turn rows of y into vectors along n.
    pack_b = transpose_y or large
    # Small tiles have no time for requests.
    ahead = many_registers and large if pack_b else k * n * size >= _DISTANT_BYTES
    most_rows = _MOST_ROWS_AHEAD if pack_b and ahead and not transpose_x else _MOST_ROWS
    rows, vectors = _tile(m, n, lanes, target.vector_registers, most_rows)
    columns = vectors * lanes
    # Wide tiles read A too seldom for a copy to pay, unless they have as many rows as a set places.
    crowded = k * size % _PAGE == 0 and not (many_registers and large)
    scattered = depth >= _PACK_A_FROM_COLUMNS if transpose_x else crowded
    pack_a = n >= _PACK_A_FROM_COLUMNS and scattered
    block_rows = _even(m, _A_BLOCK_BYTES // (depth * size), rows)
    block_columns = _even(n, _B_BLOCK_COLUMNS, columns)
    return Blocking(lanes, rows, vectors, block_rows, block_columns, pack_a, pack_b, ahead)


def _lanes(n: int, size: int, vector_bytes: int) -> int:
    """As many as a vector has, or fewer for narrow matrices: half a vector takes half the time."""
    lanes = vector_bytes // size
    while 2 * n <= lanes and lanes * size > _SHORTEST_VECTOR:
        lanes //= 2
    return lanes


def _even(size: int, limit: int, unit: int) -> int:
    """A multiple of the unit that cuts ``size`` into nearly equal blocks, about ``limit`` long."""
    blocks = -(-size // max(limit, unit))
    return -(-size // (blocks * unit)) * unit


def _tile(m: int, n: int, lanes: int, registers: int, most_rows: int) -> tuple[int, int]:
    """Rows and vectors of the tile with the lowest estimated time for the whole product."""
    budget = registers if registers <= 16 else registers - 2
    candidates = [
        (rows, vectors)
        for vectors in range(1, 9)
        for rows in range(1, most_rows + 1)
        if rows * vectors + vectors + 1 <= budget
    ]
    return min(candidates, key=lambda tile: (_time(m, n, lanes, *tile), -tile[0] * tile[1]))


def _time(m: int, n: int, lanes: int, rows: int, vectors: int) -> float:
    """Cycles per step of k for the whole product, tails included."""
    full_rows, rest_rows = divmod(m, rows)
    full_columns, rest_columns = divmod(n, vectors * lanes)
    rest_vectors = -(-rest_columns // lanes)
    return (
        full_columns * (full_rows * _step(rows, vectors) + _step(rest_rows, vectors))
        + full_rows * _step(rows, rest_vectors)
        + _step(rest_rows, rest_vectors)
    )


def _step(rows: int, vectors: int) -> float:
    """Cycles per step of one tile: two multiply-additions, or two loads, or their latency."""
    tile = rows * vectors
    if not tile:
        return 0.0
    return max(tile / 2, (rows + vectors) / 2, _FMA_LATENCY) + _TILE_OVERHEAD + _B_LOAD * vectors
