"""Which tile of registers a sum over channels or places gets. No choice changes a bit."""

from __future__ import annotations

from typing import Final

_MOST_ROWS: Final = 8
"""Each row takes a pointer, and there are 16 registers for those."""

_FMA_LATENCY: Final = 4
_TILE_OVERHEAD: Final = 0.25
"""What a tile costs beyond its arithmetic, in cycles per step."""

_VECTOR_OVERHEAD: Final = 0.1
"""What each vector of a tile adds to that: most loads of vectors cross cache lines."""


_SECOND_HEIGHT: Final = 1.1
"""What rows are to win that no number of whole tiles holds: the rest has kernels of its own."""


def tile_of(rows: int, vectors: int, registers: int) -> tuple[int, int]:
    """Rows and vectors of the tile with the lowest estimated time for so many of both."""
    budget = registers if registers <= 16 else registers - 2
    candidates = [
        (r, v)
        for v in range(1, 7)
        for r in range(1, min(_MOST_ROWS, rows) + 1)
        if r * v + v + 1 <= budget
    ]

    def cost(tile: tuple[int, int]) -> tuple[float, int]:
        time = _time(rows, vectors, *tile)
        return time * (_SECOND_HEIGHT if rows % tile[0] else 1.0), -tile[0] * tile[1]

    return min(candidates, key=cost)


def _time(m: int, n: int, rows: int, vectors: int) -> float:
    """Cycles per step for all tiles, those at the ends included."""
    (full_m, rest_m), (full_n, rest_n) = divmod(m, rows), divmod(n, vectors)
    return (
        full_n * (full_m * _step(rows, vectors) + _step(rest_m, vectors))
        + full_m * _step(rows, rest_n)
        + _step(rest_m, rest_n)
    )


def _step(rows: int, vectors: int) -> float:
    """Cycles per step of one tile: two multiply-additions, or two loads, or their latency."""
    if not rows * vectors:
        return 0.0
    cycles = max(rows * vectors / 2, (rows + vectors) / 2, _FMA_LATENCY)
    return cycles + _TILE_OVERHEAD + _VECTOR_OVERHEAD * vectors
