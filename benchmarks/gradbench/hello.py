"""hello: the square of a number, and its derivative."""

from __future__ import annotations

import numpy as np

from benchmarks.gradbench.evaluation import evaluation


def square(x):
    return x * x


def arguments(rng: np.random.Generator):
    return (np.array(rng.uniform()),)


WORKLOADS = [
    evaluation("hello", "square", "", arguments, lambda lib: square),
    evaluation("hello", "double", "", arguments, lambda lib: lib.grad(square)),
]
