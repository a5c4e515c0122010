"""What things cost on a machine: the one table that passes and backend decide by."""

from __future__ import annotations

from typing import Final

from nets.ir.core import Operation, Trait
from nets.machine.machine import Machine

# ------------------------------------------------------------------------- threads

FORK_INSTRUCTIONS: Final = 8000
"""Instructions that take as long as handing a loop to other threads and waiting for them (2 µs)."""

LINE_INSTRUCTIONS: Final = 60
"""The same for getting a cache line that another CPU has written (15 ns)."""

FORK_WORK = 1 << 17
"""Work from which a loop is worth a fork and join.

A unit takes about 0.03 ns in vector code, so this is some 4 µs: twice the 2 µs that section 7 of
the performance notes asks of a region; a sum of two arrays goes parallel at 32 k elements."""

KERNEL_FORK_FLOPS: Final = 3_000_000
"""Multiplications and additions from which a kernel is faster on several threads than on one.

Its operands come from the CPUs that wrote them, and its result goes to those that read it.
"""

LONE_KERNEL_FORK_FLOPS: Final = 450_000
"""The same where nothing else in the program touches what the kernel does."""

# ------------------------------------------------------------------------- operations

_FLOPS_PER_INSTRUCTION: Final = 16
"""Of kernels, which work on vectors."""

_INSTRUCTIONS: Final = {
    "loop.math": 24,
    "loop.div": 8,
    "loop.rem": 8,
    "loop.const": 0,
    "loop.view": 0,
}
_OF_A_BODY: Final = {
    "loop.math": 16,
    "loop.div": 6,
    "loop.rem": 6,
    "loop.const": 0,
    "loop.yield": 0,
}

COPY_WORK: Final = 2
"""Work of a load and a store."""

_COSTLY_WORK: Final = 10
"""Work of a COSTLY operation, in units of an addition."""


def instructions(op: Operation, flops: int) -> int:
    """Instructions of one operation; ``flops`` are those of a kernel."""
    return flops // _FLOPS_PER_INSTRUCTION if flops else _INSTRUCTIONS.get(op.name, 1)


def body_instructions(op: Operation) -> int:
    """Instructions of one operation on a vector."""
    return _OF_A_BODY.get(op.name, 1)


def work(op: Operation) -> int:
    """The arithmetic of one element of an operation on tensors, in units of an addition."""
    return _COSTLY_WORK if op.has(Trait.COSTLY) else 1


# ------------------------------------------------------------------------- tiles of kernels

B_LOAD: Final = 0.1
B_LOAD_OF_NARROW_TILES: Final = 0.2
"""What a vector of B costs a matrix product beyond its turn, in cycles: it comes from the L2 cache,
for narrow tiles more often."""

GEMM_TILE: Final = 0.35
"""What a tile of a matrix product costs beyond its arithmetic, in cycles per step: calls, and C in
and out."""

CONV_TILE: Final = 0.25
"""What a tile of a convolution costs beyond its arithmetic, in cycles per step."""

CONV_VECTOR: Final = 0.1
"""What each vector of a tile adds to that: most loads of vectors cross cache lines."""


def tile_cycles(machine: Machine, rows: int, vectors: int) -> float:
    """Cycles of a step of k for a tile of so many rows and vectors of sums: its multiply-additions,
    or its loads, or the latency of a sum."""
    return max(
        rows * vectors / machine.fmas_per_cycle,
        (rows + vectors) / machine.loads_per_cycle,
        machine.fma_latency,
    )
