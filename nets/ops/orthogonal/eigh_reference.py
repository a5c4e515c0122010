"""What eigh means: tridiagonal form by reflections, then implicit QL steps.

Golub & Van Loan, Matrix Computations (4th ed., 2013), 8.3.1 and 8.3.5; Bowdler, Martin, Reinsch &
Wilkinson, The QR and QL algorithms for symmetric matrices (1968); Dubrulle, A short note on the
implicit QL algorithm (1970). Sums go in the order of the index, products and sums are rounded by
themselves. All matrices of a stack go side by side; what another one needs changes no bit of one.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from nets.ops.definition.registry import Array
from nets.ops.orthogonal.reflections_reference import (
    EPS,
    NEGLIGIBLE,
    largest_of,
    reflection_of,
    scale_of,
    signs_of,
)

STEPS: Final = 50
"""QL steps for one eigenvalue; more are a failure. Two are usual."""


def prepared(x: Array) -> tuple[Array, Array, Array]:
    """Stacks as one axis: the symmetric matrices, scaled; the scale; and which are not finite, and
    0 from here on."""
    n, half = x.shape[-1], x.dtype.type(0.5)
    a = x.reshape(math.prod(x.shape[:-2]), n, n) * half
    a = a + np.swapaxes(a, 1, 2)
    largest = largest_of(a)
    bad = ~(largest < np.inf)
    scale = scale_of(np.where(bad, a.dtype.type(1), largest))
    a = np.where(bad[:, None, None], a.dtype.type(0), a * scale[:, None, None])
    return a, scale, bad


def tridiagonal(a: Array) -> tuple[Array, Array, Array, Array]:
    """Diagonal, diagonal below with a last 0, and the vectors and factors of the reflections
    I − τ v vᵀ, one for each column but the last two. ``a`` is used up."""
    count, n, _ = a.shape
    d, e = np.zeros((count, n), a.dtype), np.zeros((count, n), a.dtype)
    vectors, factors = np.zeros_like(a), np.zeros((count, n), a.dtype)
    for k in range(n - 2):
        d[:, k], alpha = a[:, k, k], a[:, k, k + 1]
        rest = np.zeros(count, a.dtype)
        for j in range(k + 2, n):
            rest = rest + a[:, k, j] * a[:, k, j]
        beta, tau, inverse = reflection_of(alpha, rest)
        v = np.zeros((count, n), a.dtype)
        v[:, k + 1] = 1
        v[:, k + 2 :] = a[:, k, k + 2 :] * inverse[:, None]
        e[:, k], vectors[:, k], factors[:, k] = beta, v, tau
        p = np.zeros((count, n - k - 1), a.dtype)
        for i in range(k + 1, n):
            p = p + v[:, i, None] * a[:, i, k + 1 :]
        p = p * tau[:, None]
        inner = np.zeros(count, a.dtype)
        for j in range(k + 1, n):
            inner = inner + p[:, j - k - 1] * v[:, j]
        half = (tau * a.dtype.type(0.5)) * inner
        w = p - half[:, None] * v[:, k + 1 :]
        tail = v[:, k + 1 :]
        change = tail[:, :, None] * w[:, None, :] + w[:, :, None] * tail[:, None, :]
        a[:, k + 1 :, k + 1 :] = a[:, k + 1 :, k + 1 :] - change
    for k in range(max(n - 2, 0), n):
        d[:, k] = a[:, k, k]
    if n > 1:
        e[:, n - 2] = a[:, n - 2, n - 1]
    return d, e, vectors, factors


def product_of_reflections(vectors: Array, factors: Array) -> Array:
    """The product of all reflections, the first one on the left."""
    count, n, _ = vectors.shape
    q = np.broadcast_to(np.eye(n, dtype=vectors.dtype), vectors.shape).copy()
    for k in range(n - 3, -1, -1):
        total = np.zeros((count, n - k - 1), q.dtype)
        for i in range(k + 1, n):
            total = total + vectors[:, k, i, None] * q[:, i, k + 1 :]
        column = factors[:, k, None] * vectors[:, k, k + 1 :]
        q[:, k + 1 :, k + 1 :] = q[:, k + 1 :, k + 1 :] - column[:, :, None] * total[:, None, :]
    return q


def implicit_ql(d: Array, e: Array, z: Array | None) -> tuple[Array, Array]:
    """Eigenvalues, in no order, and which matrices have failed. ``d`` and ``e`` are used up, and
    rows of ``z`` rotated as the vectors are."""
    count, n = d.shape
    failed, limit = np.zeros(count, np.bool_), _limit(d, e)
    for first in range(n - 1):
        for step in range(STEPS + 1):
            last, corner = _block(d, e, first, limit)
            busy = last > first
            if step == STEPS:
                failed |= busy
            elif busy.any():
                _step(d, e, z, first, last, corner, busy)
                continue
            break
    return d, failed


def _limit(d: Array, e: Array) -> Array:
    """What counts as zero beside the diagonal: the rounding error of the largest elements."""
    eps, largest = d.dtype.type(EPS[d.dtype.itemsize]), np.zeros(len(d), d.dtype)
    for i in range(d.shape[1]):
        size = np.abs(d[:, i]) + np.abs(e[:, i])
        largest = np.where(largest > size, largest, size)
    least = d.dtype.type(NEGLIGIBLE[d.dtype.itemsize])
    limit = eps * largest
    return np.asarray(np.where(limit > least, limit, least))


def _block(d: Array, e: Array, first: int, limit: Array) -> tuple[Array, Array]:
    """The end of the block that begins there, and the diagonal at that place."""
    n = d.shape[1]
    last, corner = np.full(len(d), n - 1), d[:, n - 1]
    for i in range(n - 2, first - 1, -1):
        small = np.abs(e[:, i]) <= limit
        last, corner = np.where(small, i, last), np.where(small, d[:, i], corner)
    return last, corner


def _step(
    d: Array, e: Array, z: Array | None, first: int, last: Array, corner: Array, busy: Array
) -> None:
    """An implicit QL step of the blocks that are busy, from their end to their begin."""
    n, one = d.shape[1], d.dtype.type(1)
    least = d.dtype.type(NEGLIGIBLE[d.dtype.itemsize])
    g = (d[:, first + 1] - d[:, first]) / (e[:, first] + e[:, first])
    r = np.sqrt(g * g + one)
    g = corner - d[:, first] + e[:, first] / (g + np.where(g >= 0, r, -r))
    s, c, p = np.ones_like(g), np.ones_like(g), np.zeros_like(g)
    alive = busy.copy()
    for i in range(n - 2, first - 1, -1):
        on = alive & (last > i)
        f, b = s * e[:, i], c * e[:, i]
        size = np.where(np.abs(f) > np.abs(g), np.abs(f), np.abs(g))
        stops = on & (size < least)
        on = on & ~stops
        r = np.sqrt(f * f + g * g)
        sine, cosine = f / r, g / r
        gap = d[:, i + 1] - p
        t = (d[:, i] - gap) * sine + (cosine + cosine) * b
        u = sine * t
        e[:, i + 1] = np.where(on & (last > i + 1), r, np.where(on | stops, 0, e[:, i + 1]))
        d[:, i + 1] = np.where(on, gap + u, np.where(stops, gap, d[:, i + 1]))
        s, c, p = np.where(on, sine, s), np.where(on, cosine, c), np.where(on, u, p)
        g = np.where(on, cosine * t - b, g)
        alive = alive & ~stops
        if z is not None:
            _rotate(z, i, on, s, c)
    d[:, first] = np.where(alive, d[:, first] - p, d[:, first])
    e[:, first] = np.where(alive, g, e[:, first])


def _rotate(z: Array, i: int, on: Array, s: Array, c: Array) -> None:
    """Rotate rows i and i + 1 of the matrices that are on."""
    low, high = z[:, i], z[:, i + 1]
    on, s, c = on[:, None], s[:, None], c[:, None]
    z[:, i], z[:, i + 1] = (
        np.where(on, c * low - s * high, low),
        np.where(on, s * low + c * high, high),
    )


def in_order(d: Array, z: Array | None) -> tuple[Array, Array | None]:
    """Eigenvalues and rows of ``z`` in ascending order; equal ones as they stand."""
    order = np.argsort(d, axis=1, kind="stable")
    values = np.take_along_axis(d, order, 1)
    return values, None if z is None else np.take_along_axis(z, order[:, :, None], 1)


def decomposed(x: Array, *, vectors: bool) -> tuple[Array, Array | None]:
    """Eigenvalues in ascending order, and eigenvectors as rows; NaN where there are none."""
    a, scale, bad = prepared(x)
    d, e, reflections, factors = tridiagonal(a)
    z = None
    if vectors:
        z = np.swapaxes(product_of_reflections(reflections, factors), 1, 2).copy()
    d, failed = implicit_ql(d, e, z)
    values, z = in_order(d, z)
    if z is not None:
        z = z * signs_of(z)[:, :, None]
    lost = bad | failed
    values = np.where(lost[:, None], np.nan, values * (1 / scale)[:, None]).astype(x.dtype)
    if z is not None:
        z = np.where(lost[:, None, None], np.nan, z).astype(x.dtype)
    return values, z
