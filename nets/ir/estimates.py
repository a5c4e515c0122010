"""Estimates of sizes that only a call tells: what is usual, for choices of speed, never for what is
right; and what is sure."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

from nets.ir.sizes import Dim, Size, at_most, evaluate
from nets.ir.types import BufferType, TensorType

TYPICAL: Final = 256
"""What a dimension of a call is taken as."""

_TYPICAL_SIZES: Final[defaultdict[str, int]] = defaultdict(lambda: TYPICAL)


def about(size: Dim) -> int:
    """The size, where only a call tells it for dimensions of a usual size."""
    return size if isinstance(size, int) else evaluate(size, _TYPICAL_SIZES)


def elements_about(type: TensorType | BufferType) -> int:
    """About how many elements there are."""
    return math.prod(map(about, type.shape))


def bytes_about(type: TensorType | BufferType) -> int:
    """About how many bytes the elements take."""
    return elements_about(type) * type.dtype.itemsize


def divisor_of(size: Dim) -> int:
    """A number that divides the size whatever a call says; 0 where it is 0."""
    if isinstance(size, Size):
        return math.gcd(*(coefficient for _, coefficient in size.terms))
    return abs(size)


def room_for_either(one: Dim, other: Dim) -> Dim:
    """The larger of two sizes where it is sure which that is, else both together."""
    if at_most(other, one, {}):
        return one
    return other if at_most(one, other, {}) else one + other
