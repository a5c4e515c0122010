"""Sizes that only a call tells, as instructions at the entry of a function.

The dimensions of a call are an array of i64, in the order of the attribute ``dims`` of the
function; its address stands behind those of the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nets.ir.sizes import Atom, Dim, Quotient, Size

if TYPE_CHECKING:
    from nets.backend.llvm.code import Code


def size_text(code: Code, size: Dim) -> str:
    """The register or constant that holds the size."""
    if isinstance(size, int):
        return str(size)
    total = ""
    for monomial, coefficient in size.terms:
        part = _product(code, monomial, coefficient)
        total = code.value(f"add i64 {total}, {part}", code.entry) if total else part
    return total


def _product(code: Code, monomial: Sequence[Atom], coefficient: int) -> str:
    product = ""
    for atom in monomial:
        factor = _atom(code, atom)
        product = code.value(f"mul i64 {product}, {factor}", code.entry) if product else factor
    if not product:
        return str(coefficient)
    if coefficient == 1:
        return product
    return code.value(f"mul i64 {product}, {coefficient}", code.entry)


def _atom(code: Code, atom: Atom) -> str:
    if isinstance(atom, str):
        return _dimension(code, atom)
    if isinstance(atom, Quotient):
        return _floor(code, code.size(atom.numerator), atom.divisor)
    first, second = (code.size(size) for size in (atom.first, atom.second))
    return code.value(f"call i64 @llvm.smin.i64(i64 {first}, i64 {second})", code.entry)


def _dimension(code: Code, name: str) -> str:
    """A dimension of the call; read once, for ``Code`` keeps it as a size."""
    known = Size((((name,), 1),))
    if known in code.sizes:
        return code.sizes[known]
    module = code.module
    slot = f"getelementptr ptr, ptr %buffers, i64 {module.dims_slot}"
    dims = code.value(f"load ptr, ptr {code.value(slot, code.entry)}", code.entry)
    place = f"getelementptr i64, ptr {dims}, i64 {module.dims.index(name)}"
    code.sizes[known] = code.value(f"load i64, ptr {code.value(place, code.entry)}", code.entry)
    return code.sizes[known]


def _floor(code: Code, x: str, divisor: int) -> str:
    """x / divisor, rounded down."""
    if divisor & (divisor - 1) == 0:
        return code.value(f"ashr i64 {x}, {divisor.bit_length() - 1}", code.entry)
    quotient = code.value(f"sdiv i64 {x}, {divisor}", code.entry)
    rest = code.value(f"srem i64 {x}, {divisor}", code.entry)
    is_below = code.value(f"icmp slt i64 {rest}, 0", code.entry)
    below = code.value(f"sext i1 {is_below} to i64", code.entry)
    return code.value(f"add i64 {quotient}, {below}", code.entry)
