"""How types and constants of the loop dialect are spelt in LLVM IR."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from nets.ir.types import BufferType, DType, TensorType, Type, VectorType

_ELEMENTS: Final = {
    "bool": "i1",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "u8": "i8",
    "u16": "i16",
    "u32": "i32",
    "u64": "i64",
    "f32": "float",
    "f64": "double",
    "index": "i64",
}


def element(dtype: DType) -> str:
    """The type of an element in a register; a bool is one bit there."""
    return _ELEMENTS[dtype.name]


def stored(dtype: DType) -> str:
    """The type of an element in memory; a bool is a byte there, 0 or 1."""
    return "i8" if dtype.is_bool else _ELEMENTS[dtype.name]


def lanes_of(type: Type) -> int:
    """Lanes of a register; 1 for a scalar."""
    return type.lanes if isinstance(type, VectorType) else 1


def widened(name: str, lanes: int) -> str:
    """The LLVM type of that many lanes of an LLVM scalar type."""
    return name if lanes == 1 else f"<{lanes} x {name}>"


@functools.cache
def register(type: Type) -> str:
    """The LLVM type of a scalar or vector; of a buffer, its address."""
    if isinstance(type, (BufferType, TensorType)):
        return "ptr"
    return widened(element(type.dtype), lanes_of(type))


@functools.cache
def suffix(type: Type) -> str:
    """The type as intrinsics name it: ``f32``, ``v8i16``."""
    kind = "f" if type.dtype.is_float else "i"
    scalar = f"{kind}{type.dtype.bits}"
    return f"v{type.lanes}{scalar}" if isinstance(type, VectorType) else scalar


def literal(dtype: DType, value: float) -> str:
    """A scalar constant; integers wrap into the dtype."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_float:
        return _float_literal(dtype, value)
    bits = dtype.bits
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


def _float_literal(dtype: DType, value: float) -> str:
    # LLVM writes a float as the bits of the double of the same value.
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value)) if dtype.itemsize == 4 else float(value)
    return "0x" + struct.pack(">d", rounded).hex().upper()


def constant(type: Type, value: float) -> str:
    """That constant in each lane."""
    scalar = literal(type.dtype, value)
    return splat(type.dtype, scalar) if isinstance(type, VectorType) else scalar


def splat(dtype: DType, scalar: str) -> str:
    """A vector constant of one scalar constant."""
    return f"splat ({element(dtype)} {scalar})"


@functools.cache
def counting(lanes: int, bits: int = 64) -> str:
    """The vector constant 0, 1, 2, …"""
    return "<" + ", ".join(f"i{bits} {lane}" for lane in range(lanes)) + ">"


def shuffle(indices: Sequence[int]) -> str:
    """The mask operand of a ``shufflevector``."""
    chosen = ", ".join(f"i32 {i}" for i in indices)
    return f"<{len(indices)} x i32> <{chosen}>"
