"""Jacobians of functions of one array: unit vectors go through as far as they are few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets

rng = np.random.default_rng(0)
X, W, V = rng.uniform(0.5, 1.5, 4), rng.normal(size=(3, 4)), rng.normal(size=(4, 4))


def by_columns(function: Callable[..., Any], x: np.ndarray) -> np.ndarray:
    columns = []
    for i in range(x.size):
        unit = np.zeros(x.shape)
        unit.flat[i] = 1
        columns.append(np.asarray(nets.jvp(function, (x,), (unit,))[1]))
    stacked = np.stack(columns, -1)
    return stacked.reshape(*stacked.shape[:-1], *x.shape)


FUNCTIONS: list[Callable[..., Any]] = [
    lambda x: x,
    lambda x: -x,
    lambda x: nets.sin(x) * 2 - x / nets.exp(x) + x * x,
    lambda x: W @ x,
    lambda x: W @ nets.sin(x),
    lambda x: nets.tanh(W @ (x * x)) * (W @ x),
    lambda x: x @ V,
    lambda x: nets.cos(x) @ V + V @ x,
    lambda x: (x @ V) @ x,
    lambda x: nets.reshape(x, (2, 2)) * nets.reshape(x, (2, 2)).T,
    lambda x: nets.reshape(nets.sin(x), (2, 2)) @ nets.reshape(V[0], (2, 2)),
    lambda x: nets.reshape(x, (4, 1)) @ nets.reshape(x, (1, 4)),
    lambda x: x[::-1] * x,
    lambda x: nets.concatenate([x * 2, x[:1]]),
    lambda x: x.sum() * x - x.mean(),
    lambda x: nets.where(x > 1, x * 2, 1 / x),
    lambda x: nets.scan(lambda c, w: (nets.sin(c * w), c * w), x, nets.asarray(V))[1],
    lambda x: nets.cond(x.sum() > 0, lambda x: x * 3, lambda x: -x, x),
    lambda x: nets.stop_gradient(x) * x,
    lambda x: (1 / x).astype("float32") * 2,
    lambda x: nets.maximum(x, 1.0) - 2 * x,
    lambda x: x**2,
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_jacobians_are_their_columns(number: int) -> None:
    function = FUNCTIONS[number]
    expected = by_columns(function, X)
    for jacobian in (nets.jacfwd(function), nets.jacrev(function)):
        staged = nets.trace(jacobian)
        np.testing.assert_allclose(staged(X).numpy(), expected, rtol=1e-6, atol=1e-12)
        low = staged.lower(X)
        np.testing.assert_allclose(nets.evaluate(low, X), expected, rtol=1e-6, atol=1e-12)


def test_matrices_are_unknowns_too() -> None:
    def function(x: Any) -> Any:
        return nets.sin(x) * 2 + x @ nets.asarray(V[:2, :2])

    x = X.reshape(2, 2)
    np.testing.assert_allclose(nets.jacfwd(function)(x), by_columns(function, x), rtol=1e-12)


@pytest.mark.parametrize("transform", [nets.jacfwd, nets.jacrev])
def test_the_first_product_is_none(transform: Any) -> None:
    """Of all unit vectors it is the matrix; what is left are those of the function itself."""

    def function(x: Any) -> Any:
        return nets.sin(W @ x) * (W @ nets.tanh(x))

    low = nets.trace(transform(function)).lower(X)
    products = [op.operands[1].type.shape for op in low.function.walk() if op.name == "matmul"]
    assert products == [(4, 1), (4, 1)]


def test_infinities_stay_in_their_column() -> None:
    matrix = np.array([[1.0, np.inf], [2.0, 3.0]])
    found = nets.jacfwd(lambda x: nets.asarray(matrix) @ x)(np.ones(2))
    np.testing.assert_array_equal(found, matrix)


def test_sizes_that_a_call_tells() -> None:
    spec = nets.spec("f64[n]", n=nets.dim(1, 50))
    low = nets.trace(nets.jacfwd(lambda x: nets.sin(x) * x)).lower(spec)
    for size in (1, 3, 7):
        x = rng.normal(size=size)
        expected = np.diag(np.cos(x) * x + np.sin(x))
        np.testing.assert_allclose(low.compile()(x), expected, rtol=1e-12, atol=1e-15)
