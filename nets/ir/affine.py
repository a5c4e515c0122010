"""Affine: an index expression ``constant + Σ coefficient · value`` over index values.

The loop dialect addresses memory by such expressions, so that a pass can read the stride of an
access along a loop straight off the operation. Coefficients and constants may be sizes that only a
call tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.ir.core import Value
from nets.ir.sizes import Dim, Size


@dataclass(frozen=True, slots=True)
class Affine:
    """``constant + Σ coefficient · value``; terms have distinct values and no zero coefficient."""

    terms: tuple[tuple[Value, Dim], ...] = ()
    constant: Dim = 0

    @classmethod
    def of(cls, value: Value | Dim) -> Affine:
        return cls((), value) if isinstance(value, int | Size) else cls(((value, 1),))

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def coefficient(self, value: Value) -> Dim:
        return next((c for v, c in self.terms if v is value), 0)

    def __add__(self, other: Affine | Dim) -> Affine:
        if isinstance(other, int | Size):
            return Affine(self.terms, self.constant + other)
        sums: dict[Value, Dim] = dict(self.terms)
        for value, coefficient in other.terms:
            sums[value] = sums.get(value, 0) + coefficient
        terms = tuple((value, c) for value, c in sums.items() if c != 0)
        return Affine(terms, self.constant + other.constant)

    def __mul__(self, factor: Dim) -> Affine:
        if factor == 0:
            return Affine()
        terms = tuple((value, c * factor) for value, c in self.terms)
        return Affine(terms, self.constant * factor)

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Dim) -> Affine:
        return self + (-other)

    __radd__ = __add__
    __rmul__ = __mul__


def linear(index: tuple[Affine, ...], shape: tuple[Dim, ...]) -> Affine:
    """The element offset of ``index`` in a contiguous row-major array of that shape."""
    offset = Affine()
    for position, size in zip(index, shape, strict=True):
        offset = offset * size + position
    return offset
