"""Calls of small functions, where the way into the function is what takes the time."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Workload, normal


def plain(module):
    """The function for every system that stages: the call is what differs."""
    return lambda a, b, c: a * b + c


def loop_in_numba(numba):
    def multiply_add(a, b, c):
        out = np.empty_like(a)
        for i in range(a.size):
            out[i] = a[i] * b[i] + c[i]
        return out

    return multiply_add


def nested(module):
    """One array out of a nest of ten."""

    def total(nest, x):
        for layer in nest["layers"]:
            x = x * layer["w"] + layer["b"]
        return x

    return total


def nest(rng: np.random.Generator):
    """A dict of a list of five dicts of two arrays, and one array."""
    (x,) = normal((8,))(rng)
    layers = [dict(zip("wb", normal((8,), (8,))(rng), strict=True)) for _ in range(5)]
    return {"layers": layers}, x


WORKLOADS = [
    Workload(
        name="call/3 arrays",
        what="a·b + c on three arrays of 8 float32, with a new array as result",
        arguments=normal((8,), (8,), (8,)),
        systems={
            **dict.fromkeys(("nets", "numpy", "jax", "torch"), plain),
            "numba": loop_in_numba,
        },
    ),
    Workload(
        name="call/nest of 11",
        what="a chain over a dict of a list of dicts with 10 arrays of 8 float32",
        arguments=nest,
        systems=dict.fromkeys(("nets", "numpy", "jax", "torch"), nested),
    ),
]
