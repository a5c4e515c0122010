"""gmm: the log posterior of a mixture of Gaussians under a Wishart prior, and its gradient.

Component k has the precision matrix Qᵀ·Q; Q is lower triangular, with exp(q) on the diagonal and
the columns of its lower part, one after the other, in l.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.gradbench.evaluation import evaluation

POINTS, FREEDOM, PRECISION = 1000, 0, 1.0


def places(d: int) -> np.ndarray:
    """For each element of Q where it stands in q, l and one zero after each other."""
    table = np.full((d, d), d + d * (d - 1) // 2)
    np.fill_diagonal(table, np.arange(d))
    columns, rows = np.triu_indices(d, 1)
    table[rows, columns] = d + np.arange(len(rows))
    return table


def log_normalisation(k: int, d: int) -> float:
    """What the prior adds whatever the parameters are."""
    n = d + FREEDOM + 1
    gamma = d * (d - 1) / 4 * math.log(math.pi)
    gamma += sum(math.lgamma((n - j) / 2) for j in range(d))
    return k * (n * d * math.log(PRECISION / math.sqrt(2)) - gamma)


def in_system(lib):
    def logsumexp(x):
        largest = lib.max(x, 0)
        return largest + lib.log(lib.exp(x - largest).sum(0))

    def objective(alpha, mu, q, l, x, table):  # noqa: E741
        (k, d), n = mu.shape, x.shape[0]
        diagonal, volume = lib.exp(q), q.sum(1)
        factors = lib.concatenate([diagonal, l, lib.zeros_like(alpha[:, None])], 1)[:, table]
        whitened = (x[None] - mu[:, None]) @ lib.swapaxes(factors, 1, 2)
        terms = (alpha + volume)[:, None] - 0.5 * (whitened**2).sum(2)
        fit = logsumexp(terms).sum() - n * (d / 2 * math.log(2 * math.pi) + logsumexp(alpha))
        spread = 0.5 * PRECISION**2 * ((diagonal**2).sum() + (l**2).sum())
        return fit + log_normalisation(k, d) - spread + FREEDOM * volume.sum()

    return objective


def gradient(lib):
    return lib.grad(in_system(lib), (0, 1, 2, 3))


def arguments(d: int, k: int, n: int = POINTS):
    def make(rng: np.random.Generator):
        alpha, mu, q = rng.normal(size=k), rng.uniform(size=(k, d)), rng.normal(size=(k, d))
        return (
            alpha,
            mu,
            q,
            rng.normal(size=(k, d * (d - 1) // 2)),
            rng.normal(size=(n, d)),
            places(d),
        )

    return make


def workloads(d: int, k: int):
    make, size = arguments(d, k), f"d={d} k={k}"
    yield evaluation("gmm", "objective", size, make, in_system)
    yield evaluation("gmm", "jacobian", size, make, gradient)


SIZES = ((2, 5), (10, 25), (64, 100))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
