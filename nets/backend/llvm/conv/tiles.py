"""Which tile of registers a sum over channels or places gets. No choice changes a bit."""

from __future__ import annotations

from functools import partial
from typing import Final

from nets.machine import costs
from nets.machine.machine import Machine

_SECOND_HEIGHT: Final = 1.1
"""What rows are to win that no number of whole tiles holds: the rest has kernels of its own."""


def tile_of(rows: int, vectors: int, machine: Machine) -> tuple[int, int]:
    """Rows and vectors of the tile with the lowest estimated time for so many of both."""
    budget = machine.tile_registers - 2 * machine.has_many_registers
    candidates = [
        (r, v)
        for v in range(1, 7)
        for r in range(1, min(machine.pointer_registers // 2, rows) + 1)
        if r * v + v + 1 <= budget
    ]

    def cost(tile: tuple[int, int]) -> tuple[float, int]:
        time = _time(machine, rows, vectors, *tile)
        return time * (_SECOND_HEIGHT if rows % tile[0] else 1.0), -tile[0] * tile[1]

    return min(candidates, key=cost)


def _time(machine: Machine, m: int, n: int, rows: int, vectors: int) -> float:
    """Cycles per step for all tiles, those at the ends included."""
    (full_m, rest_m), (full_n, rest_n) = divmod(m, rows), divmod(n, vectors)
    step = partial(_step, machine)
    return (
        full_n * (full_m * step(rows, vectors) + step(rest_m, vectors))
        + full_m * step(rows, rest_n)
        + step(rest_m, rest_n)
    )


def _step(machine: Machine, rows: int, vectors: int) -> float:
    """Cycles per step of one tile."""
    if not rows * vectors:
        return 0.0
    return costs.tile_cycles(machine, rows, vectors) + costs.CONV_TILE + costs.CONV_VECTOR * vectors
