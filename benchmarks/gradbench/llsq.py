"""llsq: half the squared distance of a polynomial to the sign of its variable, and the gradient.

The polynomial has 128 coefficients and is evaluated at n points from −1 to 1 by Horner's rule.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import evaluation

COEFFICIENTS = 128


def in_system(lib):
    def objective(x, t):
        def step(value, coefficient):
            return value * t + coefficient, None

        value, _ = lib.scan(step, lib.zeros_like(t), x, reverse=True)
        return 0.5 * ((lib.sign(t) - value) ** 2).sum()

    return objective


def arguments(n: int):
    return lambda rng: (rng.uniform(size=COEFFICIENTS), np.linspace(-1, 1, n))


def workloads(n: int):
    make, size = arguments(n), f"n={n}"
    yield evaluation("llsq", "primal", size, make, in_system)
    yield evaluation("llsq", "gradient", size, make, lambda lib: lib.grad(in_system(lib)))


WORKLOADS = [workload for n in (128, 2048, 16_392) for workload in workloads(n)]
