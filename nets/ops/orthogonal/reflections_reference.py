"""What factorisations have in common: how matrices are scaled, reflections, signs of
vectors, and sums.

In NumPy, on stacks of matrices that go side by side. Reflections are Householder's, as LAPACK has
them (Golub & Van Loan, Matrix Computations, 4th ed., 2013, 5.1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nets.ir.types import DType, from_numpy
from nets.ops.definition.registry import Array

VECTOR_BYTES: Final = 64
"""Bytes of a vector on every machine: more lanes than one has take several registers."""

SCALES: Final = {
    4: (64, 32, 16, 8, 4, 2, 1),
    8: (512, 256, 128, 64, 32, 16, 8),
}
"""Binary exponents, by itemsize: a matrix is multiplied by powers of two, the larger ones first,
until its largest element is nearer to one than the last of them tells."""

EPS: Final = {4: 2.0**-23, 8: 2.0**-52}
"""The distance from 1 to the next number, by itemsize."""

NEGLIGIBLE: Final = {4: 2.0**-60, 8: 2.0**-400}
"""What counts as zero in a scaled matrix: its square is no subnormal number."""


WEIGHTS: Final = 1024
WEIGHT_STEP: Final = 633


def scale_of(largest: Array) -> Array:
    """The power of two, of the numbers in ``SCALES``, that brings the number near to one."""
    scale = np.ones_like(largest)
    for exponent in SCALES[largest.dtype.itemsize]:
        down, up = largest.dtype.type(2.0**-exponent), largest.dtype.type(2.0**exponent)
        factor = np.where(largest >= up, down, np.where(largest <= down, up, 1)).astype(scale.dtype)
        largest, scale = largest * factor, scale * factor
    return scale


def largest_of(a: Array) -> Array:
    """The largest size of an element of each matrix; NaN where one is."""
    return np.asarray(np.abs(a).max(axis=(1, 2), initial=0))


def reflection_of(alpha: Array, rest: Array) -> tuple[Array, Array, Array]:
    """What a reflection makes of a vector that begins with alpha, where the squares of the others
    have the sum ``rest``; its factor, and what the others are multiplied by."""
    zero, one = alpha.dtype.type(0), alpha.dtype.type(1)
    is_done = rest <= alpha.dtype.type(NEGLIGIBLE[alpha.dtype.itemsize] ** 2)
    length = np.sqrt(alpha * alpha + rest)
    beta = np.where(alpha >= 0, -length, length)
    tau = np.where(is_done, zero, (beta - alpha) / beta)
    inverse = np.where(is_done, zero, one / (alpha - beta))
    return np.where(is_done, alpha, beta), tau, inverse


def signs_of(rows: Array) -> Array:
    """−1 where the product of a row with the vector of ``weight`` is negative, else 1.

    Vectors times these change as smoothly as the lines that they span.
    """
    one = rows.dtype.type(1)
    total = np.zeros(rows.shape[:-1], rows.dtype)
    for j in range(rows.shape[-1]):
        total = total + rows[..., j] * rows.dtype.type(weight(j))
    return np.asarray(np.where(total < 0, -one, one))


def weight(place: int) -> float:
    """Numbers from 1 to 2 without a pattern, which no vector of a few equal elements is orthogonal
    to: multiples of the golden ratio, without what is whole."""
    return 1 + (place * WEIGHT_STEP % WEIGHTS) / WEIGHTS


def pieces_of(dtype: DType) -> int:
    """Elements of a piece of a row, and matrices side by side."""
    return VECTOR_BYTES // dtype.itemsize


def sum_of_products(x: Array, y: Array) -> Array:
    """Sums along the last axis: piece by piece, the elements of a piece side by side, and then by
    halves."""
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
