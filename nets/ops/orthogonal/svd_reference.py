"""What svd means for small matrices: rotations of pairs of columns until all are orthogonal.

Hestenes, Inversion of matrices by biorthogonalization and related results (1958); Demmel & Veselić,
Jacobi's method is more accurate than QR (1992). The pairs of a round have no column in common, and
the rounds of a sweep meet every pair once (Brent & Luk, 1985). A sum goes piece by piece, as many
terms as ``pieces_of`` tells side by side, and these are added by halves.

The left vectors are the columns over their lengths; reflections complete them where a length is
nothing, and take out what rounding has left between them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from nets.ops.definition.registry import Array
from nets.ops.orthogonal.golub_kahan_reference import Steps, bidiagonal
from nets.ops.orthogonal.qr_reference import product, reduced
from nets.ops.orthogonal.reflections_reference import (
    EPS,
    largest_of,
    scale_of,
    signs_of,
    sum_of_products,
)

MOST_BY_ROTATIONS: Final = 16
"""Columns up to which there are rotations of pairs of columns; beyond, see
``golub_kahan_reference``."""

SWEEPS: Final = 40
"""Sweeps after which there is no hope; ten are many."""

NOTHING: Final = {4: 2.0**-60, 8: 2.0**-400}
"""The square of a column's length that is nothing beside the largest element, which is near 1."""


def rounds(n: int) -> list[tuple[Array, Array]]:
    """The pairs of each round of a sweep: columns p < q."""
    even = n + n % 2
    found = []
    for turn in range(even - 1):
        k = np.arange(even // 2)
        first = np.where(k == 0, even - 1, (turn + k) % (even - 1))
        second = np.where(k == 0, turn, (turn - k) % (even - 1))
        p, q = np.minimum(first, second), np.maximum(first, second)
        found.append((p[q < n], q[q < n]))
    return found


def orthogonalised(w: Array, v: Array | None) -> Array:
    """Rotate rows of ``w`` until they are orthogonal, and those of ``v`` with them; which stacks
    have failed."""
    pairs = rounds(w.shape[1])
    for _ in range(SWEEPS):
        turned = np.zeros(len(w), np.bool_)
        for p, q in pairs:
            turned |= _round(w, v, p, q)
        if not turned.any():
            break
    return turned if len(pairs) else np.zeros(len(w), np.bool_)


def _round(w: Array, v: Array | None, p: Array, q: Array) -> Array:
    """The rotations of some pairs; which stacks had any."""
    x, y = w[:, p], w[:, q]
    one, two = w.dtype.type(1), w.dtype.type(2)
    a, b, g = sum_of_products(x, x), sum_of_products(y, y), sum_of_products(x, y)
    tolerance, nothing = (
        w.dtype.type(tolerance_of(w.dtype.itemsize, w.shape[-1])),
        w.dtype.type(NOTHING[w.dtype.itemsize]),
    )
    on = (np.abs(g) > tolerance * np.sqrt(a * b)) & (a > nothing) & (b > nothing)
    zeta = (b - a) / (two * g)
    root = np.abs(zeta) + np.sqrt(one + zeta * zeta)
    t = np.where(zeta >= 0, one, -one) / root
    c = one / np.sqrt(one + t * t)
    s = c * t
    h = s / (one + c)
    for rows in (w,) if v is None else (w, v):
        low, high = rows[:, p], rows[:, q]
        rows[:, p], rows[:, q] = _rotated(low, high, *(z[:, :, None] for z in (on, s, h)))
    return np.asarray(on.any(axis=1))


def _rotated(x: Array, y: Array, on: Array, s: Array, h: Array) -> tuple[Array, Array]:
    """c x − s y and s x + c y, as small changes of x and y; h is s / (1 + c) (Rutishauser, The
    Jacobi method for real symmetric matrices, 1966)."""
    return np.where(on, x - s * (y + h * x), x), np.where(on, y + s * (x - h * y), y)


def tolerance_of(itemsize: int, size: int) -> float:
    """The cosine that counts as a right angle: the rounding error of the sum that it comes from."""
    return EPS[itemsize] * math.ceil(math.sqrt(size))


def in_order(lengths: Array) -> Array:
    """The places of the lengths in descending order; equal ones as they stand."""
    return np.argsort(-lengths, axis=1, kind="stable")


def decomposed(x: Array, *, vectors: bool) -> tuple[Array, Array | None, Array | None]:
    """Singular values in descending order, left vectors as columns and right ones as rows; NaN
    where there are none."""
    a = x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
    largest = largest_of(a)
    bad = ~(largest < np.inf)
    scale = scale_of(np.where(bad, a.dtype.type(1), largest))
    a = np.where(bad[:, None, None], a.dtype.type(0), a * scale[:, None, None])
    by_rotations = x.shape[-1] <= MOST_BY_ROTATIONS
    values, u, v, failed = (_by_rotations if by_rotations else _by_steps)(a, vectors)
    lost = bad | failed
    lengths = np.where(lost[:, None], np.nan, values * (1 / scale)[:, None]).astype(x.dtype)
    if u is None or v is None:
        return lengths, None, None
    signs = signs_of(v)
    u, v = (
        np.where(lost[:, None, None], np.nan, z).astype(x.dtype)
        for z in (u * signs[:, None, :], v * signs[:, :, None])
    )
    return lengths, u, v


_Parts = tuple[Array, Array | None, Array | None, Array]


def _by_rotations(a: Array, vectors: bool) -> _Parts:
    count, _, n = a.shape
    w = np.swapaxes(a, 1, 2).copy()
    v = np.broadcast_to(np.eye(n, dtype=a.dtype), (count, n, n)).copy() if vectors else None
    failed = orthogonalised(w, v)
    lengths = np.sqrt(sum_of_products(w, w))
    order = in_order(lengths)
    values = np.take_along_axis(lengths, order, 1)
    if v is None:
        return values, None, None, failed
    w, v = (np.take_along_axis(rows, order[:, :, None], 1) for rows in (w, v))
    return values, _orthonormal(w, values), v, failed


def _by_steps(a: Array, vectors: bool) -> _Parts:
    d, e, u, v = bidiagonal(a)
    failed = [
        Steps(d[i], e[i], u[i] if vectors else None, v[i] if vectors else None).run()
        for i in range(len(d))
    ]
    order = in_order(d)
    values = np.take_along_axis(d, order, 1)
    lost = np.array(failed, np.bool_)
    if not vectors:
        return values, None, None, lost
    u, v = (np.take_along_axis(rows, order[:, :, None], 1) for rows in (u, v))
    return values, np.swapaxes(u, 1, 2), v, lost


def _orthonormal(w: Array, lengths: Array) -> Array:
    """The rows over their lengths, as columns; orthonormal whatever the rows are."""
    one = w.dtype.type(1)
    some = lengths * lengths > w.dtype.type(NOTHING[w.dtype.itemsize])
    inverse = np.where(some, one / lengths, w.dtype.type(0))
    u = np.swapaxes(w * inverse[:, :, None], 1, 2).copy()
    r, reflections, factors = reduced(u)
    diagonal = np.diagonal(r, axis1=1, axis2=2)
    return np.asarray(product(reflections, factors) * np.where(diagonal < 0, -one, one)[:, None, :])
