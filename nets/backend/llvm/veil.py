"""Constants that LLVM may not compute with.

What LLVM computes itself gives positive NaNs. CPUs have their own: 0 / 0 is a negative one on
x86-64. So that code for known sizes, where more is constant, has the bits of code for any sizes,
arithmetic of constants alone reads them from memory, and is left to the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.backend.llvm.code import Code
from nets.backend.llvm.spelling import register
from nets.ir.core import Operation
from nets.ir.types import Type

_MAKERS: Final = ("add", "sub", "mul", "div", "rem", "sqrt", "fma", "math")
"""Ops of the loop dialect that make a NaN of numbers."""


def veiled(code: Code, op: Operation, operands: Sequence[str]) -> list[str]:
    """The operands of an operation; constants alone of which it may make a NaN, in registers of
    which LLVM knows nothing."""
    is_maker = op.name.removeprefix("loop.") in _MAKERS and op.result.type.dtype.is_float
    if not is_maker or any(operand.startswith("%") for operand in operands):
        return list(operands)
    types = [operand.type for operand in op.operands]
    return [_veiled(code, type, text) for type, text in zip(types, operands, strict=True)]


def _veiled(code: Code, type: Type, text: str) -> str:
    """A constant as a register, loaded where the function begins."""
    spelt = register(type)
    symbol = code.module.kept_constant(f"{spelt} {text}")
    return code.value(f"load volatile {spelt}, ptr @{symbol}", code.entry)
