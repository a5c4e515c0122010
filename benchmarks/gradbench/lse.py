"""lse: the logarithm of a sum of exponentials, by its largest term, and the gradient."""

from __future__ import annotations

from benchmarks.gradbench.evaluation import evaluation


def in_system(lib):
    def logsumexp(x):
        largest = x.max()
        return largest + lib.log(lib.exp(x - largest).sum())

    return logsumexp


def arguments(n: int):
    return lambda rng: (rng.uniform(size=n),)


def workloads(n: int):
    make = arguments(n)
    yield evaluation("lse", "primal", f"n={n}", make, in_system)
    yield evaluation("lse", "gradient", f"n={n}", make, lambda lib: lib.grad(in_system(lib)))


WORKLOADS = [workload for n in (2500, 40_000, 1_280_000) for workload in workloads(n)]
