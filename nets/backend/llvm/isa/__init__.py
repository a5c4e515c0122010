"""What is one instruction set's own; all else is LLVM IR that any target takes."""

from __future__ import annotations

from typing import Final

from nets.machine.machine import InstructionSet

REGISTER_BITS: Final[dict[InstructionSet, int]] = {"generic": 128, "avx2": 256, "avx512": 512}
"""Bits of a register of vectors."""
