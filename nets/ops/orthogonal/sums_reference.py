"""Sums of products along rows: piece by piece, the elements of a piece side by side, and then by
halves."""

from __future__ import annotations

import numpy as np

from nets.ir.types import from_numpy
from nets.ops.definition.registry import Array
from nets.ops.orthogonal.forms import pieces_of


def sum_of_products(x: Array, y: Array) -> Array:
    """Sums along the last axis, in the order of pieces and halves."""
    dtype = from_numpy(x.dtype)
    assert dtype is not None
    width, size = pieces_of(dtype), x.shape[-1]
    total = np.zeros((*x.shape[:-1], width), x.dtype)
    for start in range(0, size, width):
        stop = min(start + width, size)
        total[..., : stop - start] += x[..., start:stop] * y[..., start:stop]
    while width > 1:
        width //= 2
        total = total[..., :width] + total[..., width:]
    return total[..., 0]
