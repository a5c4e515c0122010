"""Random programs with a batch whose size a call tells: each means, at every size, what the program
traced for that size does, and so do its gradients."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from tests.property.open_sizes import SIZES, assert_as_fixed, gradient

Rows = Any
"""A tensor of shape (n, k)."""

STEPS: list[Callable[[Rows, random.Random], Rows]] = [
    lambda x, r: nets.tanh(x) * r.choice([0.5, -2.0]),
    lambda x, r: nets.relu(x) + x * x,
    lambda x, r: nets.where(x > 0.1, x, nets.exp(-x * x)),
    lambda x, r: x @ weights(x.shape[1], r.choice([1, 2, 5])),
    lambda x, r: x @ (x.T @ x) * 0.01,
    lambda x, r: nets.softmax(x, r.choice([0, 1])),
    lambda x, r: (x - x.mean(1, keepdims=True)) / (x.var(1, keepdims=True) + 1),
    lambda x, r: x - x.sum(0) / (x.shape[0] + 1.0),
    lambda x, r: x * x.shape[0] / (x.size + 2.0),
    lambda x, r: nets.concatenate([x, x[:, ::-1]], 1)[:, : max(1, x.shape[1])],
    lambda x, r: nets.concatenate([x[1:], x[:1]]),
    lambda x, r: nets.roll(x, r.choice([1, -2]), 0),
    lambda x, r: x[::-1] + x,
    lambda x, r: nets.cumsum(x, 1) * 0.5,
    lambda x, r: x + nets.arange(x.shape[0], dtype="float32")[:, None] * 0.01,
    lambda x, r: nets.pad(x, ((1, 0), (0, 0)))[:-1],
    lambda x, r: nets.logsumexp(x, 1, keepdims=True) + x,
    lambda x, r: x.reshape(-1).reshape(x.shape),
    lambda x, r: nets.broadcast_to(x[:, None, :], (x.shape[0], 2, x.shape[1])).sum(1),
    lambda x, r: nets.einsum("bi,bj->bij", x, x).mean(2),
    lambda x, r: x[nets.arange(x.shape[0])],
    lambda x, r: nets.scan(lambda a, v: (a * 0.5 + v, a), zeros(x), x)[1],
    lambda x, r: nets.cond(x.sum() > 0, lambda v: v * 0.5, lambda v: v - 1, x),
    lambda x, r: nets.take_along_axis(x, nets.zeros(x.shape, "int64"), 1) - x,
]


def weights(rows: int, columns: int) -> np.ndarray[Any, Any]:
    return np.linspace(-0.5, 0.7, rows * columns, dtype="f4").reshape(rows, columns)


def zeros(x: Rows) -> Rows:
    return nets.zeros(x.shape[1], "float32")


def program(seed: int) -> Callable[[Rows], Any]:
    def function(x: Rows) -> Any:
        rng = random.Random(seed)
        kept = []
        for _ in range(rng.randint(2, 6)):
            x = rng.choice(STEPS)(x, rng)
            kept.append(x)
        return x, rng.choice(kept).sum(0)

    return function


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.sampled(6)
def test_values_have_the_bits_of_every_fixed_size(seed: int) -> None:
    assert_as_fixed(program(seed), ["f:n,3"], SIZES)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.sampled(6)
def test_gradients_have_the_bits_of_every_fixed_size(seed: int) -> None:
    assert_as_fixed(gradient(program(seed), ["f:n,3"]), ["f:n,3"], (0, 1, 3, 33, 64))
