"""ode: s steps of Runge and Kutta's method for a chain of n equations, and a gradient.

The first derivative is x₀, that of each further one xᵢ times the one before it; the gradient is
that of the last element by all of x.
"""

from __future__ import annotations

from benchmarks.gradbench.evaluation import evaluation

END = 2.0


def in_system(lib, steps: int):
    h = END / steps

    def solution(x):
        def slope(y):
            return lib.concatenate([x[:1], x[1:] * y[:-1]])

        def step(_, y):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return lib.fori_loop(0, steps, step, lib.zeros_like(x))

    return solution


def gradient(lib, steps: int):
    solution = in_system(lib, steps)
    return lib.grad(lambda x: solution(x)[-1])


def arguments(n: int):
    return lambda rng: (rng.uniform(size=n),)


def workloads(n: int, steps: int):
    make, size = arguments(n), f"n={n} s={steps}"
    yield evaluation("ode", "primal", size, make, lambda lib: in_system(lib, steps))
    yield evaluation("ode", "gradient", size, make, lambda lib: gradient(lib, steps))


SIZES = ((1000, 10), (10_000, 100), (100_000, 100))
WORKLOADS = [workload for size in SIZES for workload in workloads(*size)]
