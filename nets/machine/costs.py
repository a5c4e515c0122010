"""What things cost on a machine: the one table that passes and backend decide by."""

from __future__ import annotations

from nets.machine.machine import Machine


def tile_cycles(machine: Machine, rows: int, vectors: int) -> float:
    """Cycles of a step of k for a tile of so many rows and vectors of sums: its multiply-additions,
    or its loads, or the latency of a sum."""
    return max(
        rows * vectors / machine.fmas_per_cycle,
        (rows + vectors) / machine.loads_per_cycle,
        machine.fma_latency,
    )
