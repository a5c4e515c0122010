"""What svd means for larger matrices: bidiagonal form by reflections, then implicit QR steps.

Golub and Kahan, Calculating the singular values and pseudo-inverse of a matrix (1965); Golub and
Reinsch, Singular value decomposition and least squares solutions (1970). The steps are of one
matrix after the other, in numbers of its dtype; products and sums are rounded by themselves.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nets.ops.definition.registry import Array
from nets.ops.orthogonal.qr_reference import product, reflect
from nets.ops.orthogonal.reflections_reference import (
    EPS,
    NEGLIGIBLE,
    reflection_of,
    sum_of_products,
)

STEPS: Final = 60
"""QR steps for one singular value; more are a failure. Two are usual."""

Number = Any
"""A NumPy scalar."""


def bidiagonal(a: Array) -> tuple[Array, Array, Array, Array]:
    """Diagonal, the diagonal above with a first 0, left vectors as rows, and right ones as rows.
    ``a`` is used up, with at least as many rows as columns."""
    count, m, n = a.shape
    d, e = np.zeros((count, n), a.dtype), np.zeros((count, n), a.dtype)
    left, right = np.zeros((count, n, m), a.dtype), np.zeros((count, n, n), a.dtype)
    of_left, of_right = np.zeros((count, n), a.dtype), np.zeros((count, n), a.dtype)
    for k in range(n):
        d[:, k], of_left[:, k] = _reflection(a[:, k:, k], left[:, k, k:])
        reflect(a[:, k:, k + 1 :], left[:, k, k:], of_left[:, k])
        if k < n - 1:
            e[:, k + 1], of_right[:, k + 1] = _reflection(
                a[:, k, k + 1 :], right[:, k + 1, k + 1 :]
            )
            v = right[:, k + 1]
            row = np.zeros_like(a[:, k + 1 :])
            row[:, :, k + 1 :] = a[:, k + 1 :, k + 1 :]
            total = of_right[:, k + 1, None] * sum_of_products(row, v[:, None])
            a[:, k + 1 :, k + 1 :] -= total[:, :, None] * v[:, None, k + 1 :]
    right[:, 0, 0] = 1
    return d, e, _turned(product(left, of_left)), _turned(product(right, of_right))


def _turned(x: Array) -> Array:
    return np.swapaxes(x, 1, 2).copy()


def _reflection(x: Array, v: Array) -> tuple[Array, Array]:
    """What the reflection makes of the first elements of vectors, and its factor; its vector goes
    to ``v``."""
    rest = np.zeros(len(x), x.dtype)
    for i in range(1, x.shape[1]):
        rest = rest + x[:, i] * x[:, i]
    beta, tau, inverse = reflection_of(x[:, 0], rest)
    v[:, 0], v[:, 1:] = 1, x[:, 1:] * inverse[:, None]
    return beta, tau


class Steps:
    """The steps of one matrix; u and v hold vectors as rows, if they are wanted."""

    def __init__(self, d: Array, e: Array, u: Array | None, v: Array | None) -> None:
        self.d, self.e, self.u, self.v = d, e, u, v
        self.one, self.zero = d.dtype.type(1), d.dtype.type(0)
        self.least = d.dtype.type(NEGLIGIBLE[d.dtype.itemsize])
        limit = d.dtype.type(EPS[d.dtype.itemsize]) * (np.abs(d) + np.abs(e)).max()
        self.limit = max(limit, self.least)

    def run(self) -> bool:
        """Singular values on the diagonal, in no order; whether that failed."""
        return any(self._settle(last) for last in range(len(self.d) - 1, -1, -1))

    def _settle(self, last: int) -> bool:
        for step in range(STEPS + 1):
            first, has_zero = self._block(last)
            if has_zero:
                self._cancel(first, last)
            if first == last:
                if self.d[last] < 0:
                    self.d[last] = -self.d[last]
                    if self.v is not None:
                        self.v[last] = -self.v[last]
                return False
            if step < STEPS:
                self._step(first, last)
        return True

    def _block(self, last: int) -> tuple[int, bool]:
        """Where the block that ends there begins, and whether that is because of a zero on the
        diagonal before."""
        for first in range(last, -1, -1):
            if np.abs(self.e[first]) <= self.limit:
                return first, False
            if np.abs(self.d[first - 1]) <= self.limit:
                return first, True
        return 0, False

    def _cancel(self, first: int, last: int) -> None:
        """Take out the element beside a zero of the diagonal."""
        d, e = self.d, self.e
        c, s = self.zero, self.one
        for i in range(first, last + 1):
            f = s * e[i]
            e[i] = c * e[i]
            if np.abs(f) <= self.limit:
                break
            g = d[i]
            d[i] = np.sqrt(f * f + g * g)
            c, s = g / d[i], -f / d[i]
            if self.u is not None:
                _rotate(self.u, first - 1, i, c, s)

    def _step(self, first: int, last: int) -> None:
        """An implicit QR step from the begin of a block to its end."""
        d, e = self.d, self.e
        c, s, f, x = self.one, self.one, self._shifted(first, last), d[first]
        for j in range(first, last):
            g, y = e[j + 1], d[j + 1]
            h, g = s * g, c * g
            e[j], c, s = self._turn(f, h)
            f, g = x * c + g * s, g * c - x * s
            h, y = y * s, y * c
            if self.v is not None:
                _rotate(self.v, j, j + 1, c, s)
            d[j], c, s = self._turn(f, h)
            f, x = c * g + s * y, c * y - s * g
            if self.u is not None:
                _rotate(self.u, j, j + 1, c, s)
        e[first], e[last], d[last] = self.zero, f, x

    def _shifted(self, first: int, last: int) -> Number:
        """The first element that a step turns, with the shift that the end of the block tells."""
        d, e = self.d, self.e
        x, y, z, g, h = d[first], d[last - 1], d[last], e[last - 1], e[last]
        f = ((y - z) * (y + z) + (g - h) * (g + h)) / ((h + h) * y)
        r = np.sqrt(f * f + self.one)
        f = y / (f + r if f >= 0 else f - r) - h
        return ((x - z) * (x + z) + h * f) / x

    def _turn(self, f: Number, h: Number) -> tuple[Number, Number, Number]:
        """The length of (f, h), and the cosine and sine that turn it."""
        z = np.sqrt(f * f + h * h)
        if max(np.abs(f), np.abs(h)) < self.least:
            return self.zero, self.one, self.zero
        return z, f / z, h / z


def _rotate(rows: Array, i: int, j: int, c: Number, s: Number) -> None:
    rows[i], rows[j] = c * rows[i] + s * rows[j], c * rows[j] - s * rows[i]
