"""kmeans: the sum of squared distances to the nearest of k centres, and Newton's direction.

The squares are taken apart, |p|² + |c|² − 2 p·c, which makes a product of matrices of most of the
work: all systems are faster that way. The Hessian is diagonal, so that its product with ones is all
of it.
"""

from __future__ import annotations

from benchmarks.gradbench.evaluation import evaluation


def in_system(lib):
    def cost(points, centres):
        ends = (points**2).sum(1)[:, None] + (centres**2).sum(1)
        return lib.min(ends - 2 * (points @ centres.T), 1).sum()

    return cost


def direction(lib):
    cost = in_system(lib)

    def newton(points, centres):
        gradient = lib.grad(lambda centres: cost(points, centres))
        slope, curvature = lib.jvp(gradient, (centres,), (lib.ones_like(centres),))
        return slope / curvature

    return newton


def arguments(k: int, n: int, d: int):
    """The centres are points, so that each is the nearest of one at least."""

    def make(rng):
        points = rng.uniform(size=(n, d))
        return points, points[-k:].copy()

    return make


def workloads(k: int, n: int, d: int):
    make, size = arguments(k, n, d), f"k={k} n={n} d={d}"
    yield evaluation("kmeans", "cost", size, make, in_system)
    yield evaluation("kmeans", "dir", size, make, direction)


SIZES = ((10, 1000, 8), (100, 10_000, 8), (1000, 10_000, 16))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
