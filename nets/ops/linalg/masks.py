"""Masks: halves of matrices, for derivative rules."""

from __future__ import annotations

import numpy as np

from nets.ir.core import Value
from nets.ir.types import bool_
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.linalg.shapes import known, swapped


def lower_half(b: Emitter, x: Value) -> Value:
    """Φ: the lower triangle with half of the diagonal, so that Φ(x) + Φ(x)ᵀ = x for symmetric x."""
    return times(b, x, np.tri(columns_of(x)) - 0.5 * np.eye(columns_of(x)))


def strictly_lower(b: Emitter, x: Value) -> Value:
    return times(b, x, np.tri(columns_of(x), k=-1))


def lower_triangle(b: Emitter, x: Value) -> Value:
    return times(b, x, np.tri(columns_of(x)))


def upper_triangle(b: Emitter, x: Value) -> Value:
    return times(b, x, 1 - np.tri(columns_of(x), k=-1))


def symmetric(b: Emitter, x: Value) -> Value:
    """(x + xᵀ) / 2."""
    return b.scale(b.add(x, swapped(b, x)), 0.5)


def columns_of(x: Value) -> int:
    return known("a derivative of matrices", tensor_type(x).shape[-1])


def times(b: Emitter, x: Value, factors: np.ndarray) -> Value:
    """Every matrix times numbers, element by element; where these are 0, it is 0 whatever x is."""
    shape = tensor_type(x).shape
    axes = (len(shape) - 2, len(shape) - 1)
    wide = b.broadcast(b.constant(factors, x.type.dtype), shape, axes)
    kept = b.broadcast(b.constant(factors != 0, bool_), shape, axes)
    return b.select(kept, b.mul(x, wide), b.zero(x))
