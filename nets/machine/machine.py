"""The machine: all that passes and backend know of the processor they compile for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from nets.ir.types import DType

InstructionSet = Literal["avx2", "avx512"]

ALIGNMENT: Final = 64
"""Bytes by which arenas, workspaces, states and buffers in them are aligned. It is part of what an
exported library promises, so it is the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kind of processor. Sizes are in bytes, of caches as far as one thread can count on them.

    Which machine it is decides how fast a program is, and never a bit of its results: the shapes
    of reductions and the blocks of products are constants of the dtype (numerics.md).
    """

    family: str
    """The row of the table."""
    cpu: str
    """The processor by LLVM's name."""
    features: str = ""
    """LLVM's list (``+avx2,-avx512f,…``); empty where the processor's name says it all."""
    level: int
    """The level of x86-64 that a processor must have to run code for this one."""

    # Registers and instructions.
    instruction_set: InstructionSet
    vector_bytes: int
    vector_registers: int

    def lanes(self, dtype: DType) -> int:
        """Elements of that dtype in a vector."""
        return self.vector_bytes // dtype.itemsize

    def __str__(self) -> str:
        return self.cpu
