"""x86: the calls of its own instructions, as LLVM IR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WIDE_BITS: Final = 512
"""Of a register of AVX-512."""

FENCE: Final = "call void @llvm.x86.sse.sfence()"
"""Stores past the caches are seen before any later store."""


def words_at(type: str, words: Sequence[int], place: str) -> str:
    """``words[place mod 8]`` in each of 8 lanes of AVX2, for 8 words of 32 bits."""
    table = ", ".join(f"i32 {word}" for word in words)
    return f"call {type} @llvm.x86.avx2.permd({type} <{table}>, {type} {place})"


def numbers_at(type: str, numbers: Sequence[str], place: str) -> str:
    """``numbers[place mod 16]`` in each lane of AVX-512: of 16 floats, or of 8 doubles."""
    if len(numbers) == 16 and type.startswith("<16"):
        name, arguments = "permvar.sf", f"{type} <{', '.join(numbers)}>, {place}"
    else:
        low, high = (f"{type} <{', '.join(half)}>" for half in (numbers[:8], numbers[8:]))
        name, arguments = "vpermi2var.pd", f"{low}, {place}, {high}"
    return f"call {type} @llvm.x86.avx512.{name}.{WIDE_BITS}({arguments})"


def wide_form(name: str, type: str, lanes: int, arguments: str) -> str:
    """The instruction of AVX-512 of that name, in all lanes and the usual rounding mode."""
    letters = "ps" if lanes == WIDE_BITS // 32 else "pd"
    rest = f"{type} zeroinitializer, i{lanes} -1, i32 4"
    return f"call {type} @llvm.x86.avx512.mask.{name}.{letters}.{WIDE_BITS}({arguments}, {rest})"
