"""What qr means: reflections column by column, and their product (Golub & Van Loan, Matrix
Computations, 4th ed., 2013, 5.2.2).

Sums go in the order of the rows; products and sums are rounded by themselves.
"""

from __future__ import annotations

import math

import numpy as np

from nets.ops.definition.registry import Array
from nets.ops.orthogonal.reflections_reference import largest_of, reflection_of, scale_of


def reduced(a: Array) -> tuple[Array, Array, Array]:
    """Upper triangles, and the vectors, as rows, and factors of the reflections. ``a`` is used up,
    with at least as many rows as columns."""
    count, m, n = a.shape
    vectors, factors = np.zeros((count, n, m), a.dtype), np.zeros((count, n), a.dtype)
    for k in range(n):
        rest = np.zeros(count, a.dtype)
        for i in range(k + 1, m):
            rest = rest + a[:, i, k] * a[:, i, k]
        beta, tau, inverse = reflection_of(a[:, k, k], rest)
        vectors[:, k, k], factors[:, k] = 1, tau
        vectors[:, k, k + 1 :] = a[:, k + 1 :, k] * inverse[:, None]
        a[:, k, k] = beta
        reflect(a[:, k:, k + 1 :], vectors[:, k, k:], tau)
    return np.triu(a[:, :n]), vectors, factors


def reflect(a: Array, v: Array, tau: Array) -> None:
    """a − τ v (vᵀ a), in place."""
    total = np.zeros((len(a), a.shape[2]), a.dtype)
    for i in range(a.shape[1]):
        total = total + v[:, i, None] * a[:, i]
    a[...] = a - (tau[:, None] * v)[:, :, None] * total[:, None, :]


def product(vectors: Array, factors: Array) -> Array:
    """The first columns of the product of the reflections, as many as there are of these."""
    count, n, m = vectors.shape
    q = np.broadcast_to(np.eye(m, n, dtype=vectors.dtype), (count, m, n)).copy()
    for k in range(n - 1, -1, -1):
        reflect(q[:, k:, k:], vectors[:, k, k:], factors[:, k])
    return q


def factored(x: Array) -> tuple[Array, Array]:
    """Q and R of the matrices of a stack, in one axis."""
    a = x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
    largest = largest_of(a)
    scale = scale_of(np.where(largest < np.inf, largest, a.dtype.type(1)))
    r, vectors, factors = reduced(a * scale[:, None, None])
    return product(vectors, factors), r * (1 / scale)[:, None, None]
