"""Formats: the binary floating-point formats of the math library, bit by bit."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from nets.ir.types import DType, f32, f64


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating-point format and its LLVM names.

    ``magic`` is 1.5 · 2**mantissa: adding it to a small x rounds x to an integer, ties to even,
    and leaves that integer in the low bits of the sum.
    """

    dtype: DType
    name: str
    integer: str
    width: int
    mantissa: int
    bias: int

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.mantissa

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def sign_bit(self) -> int:
        return 1 << (self.width - 1)

    def bits(self, value: float) -> int:
        """The bit pattern of a number of this format."""
        if self.width == 32:
            return int.from_bytes(struct.pack("<f", value), "little")
        return int.from_bytes(struct.pack("<d", value), "little")

    def from_bits(self, bits: int) -> float:
        """The number of this format with that bit pattern."""
        pattern = bits.to_bytes(self.width // 8, "little")
        number: float = struct.unpack("<f" if self.width == 32 else "<d", pattern)[0]
        return number

    def constant(self, value: float) -> str:
        """A number as LLVM writes it: the bits of its double, for f32 too."""
        if self.width == 32:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        return f"0x{int.from_bytes(struct.pack('<d', value), 'little'):016X}"


F32: Final = Format(f32, "float", "i32", 32, 23, 127)
F64: Final = Format(f64, "double", "i64", 64, 52, 1023)
FORMATS: Final = {f32: F32, f64: F64}

INFINITY: Final = float("inf")
NAN: Final = float("nan")
