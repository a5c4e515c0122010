"""Elements of sparse derivatives without seeds, against dense derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.ir.verifier import verify_function
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from nets.passes.sparsity import diagonals as module
from nets.passes.sparsity.diagonals import diagonals
from nets.passes.sparsity.pattern import pattern
from tests.property.programs import arguments, random_program


def program(function: Callable[..., Any], *args: object) -> Function:
    return nets.trace(function).lower(*args, pipeline="none").function


def dense(function: Function, arrays: list[np.ndarray], argument: int) -> np.ndarray:
    """The Jacobian of the first result, row by row."""
    derivative = vjp(function, [argument])
    types = [value.type for value in function.returned]
    rows = []
    for i in range(types[0].size):
        cts = [np.zeros(type.shape, type.dtype.numpy) for type in types]
        cts[0].flat[i] = 1
        rows.append(evaluate(derivative, [*arrays, *cts])[0].ravel())
    return np.array(rows)


def agrees(function: Function, arrays: list[np.ndarray], argument: int = 0) -> bool:
    """Whether the elements are told by lanes; they are those of the dense Jacobian."""
    found = pattern(function, 0, argument)
    made = diagonals(function, argument, found)
    if made is None:
        return False
    verify_function(made)
    (values,) = evaluate(made, arrays)
    expected = dense(function, arrays, argument)[found.rows, found.cols]
    told = np.isfinite(expected)
    np.testing.assert_allclose(values[told], expected[told], rtol=1e-5, atol=1e-6)
    return True


X = np.linspace(0.3, 1.7, 12)
M = X.reshape(3, 4)
PLACES = np.array([[3, 1], [0, 11], [5, 5]])


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: nets.sin(x), X),
        (lambda x: nets.sin(x[1:]) * x[:-1] ** 2 - x[1:] / x[:-1], X),
        (lambda x: x[2:] - 2 * x[1:-1] + x[:-2], X),
        (lambda x: nets.pad(x[1:] - x[:-1], (1, 0)) * x, X),
        (lambda x: nets.concatenate([x[:1] * 3, x[2:] * x[:-2], x[-1:] ** 2]), X),
        (lambda x: nets.exp(x[::2]) * x[1::2], X),
        (lambda x: x[::-1] * 3, X),
        (lambda x: x[PLACES] ** 2, X),
        (lambda x: nets.stack([x[1:], x[:-1]], -1) * 2, X),
        (lambda x: (nets.stack([x[1:], x[:-1]], -1) ** 2).sum(axis=1), X),
        (lambda x: nets.where(x > 1, x * x, -x), X),
        (lambda x: nets.maximum(x[1:], x[:-1]), X),
        (lambda x: x[0] * nets.ones(5, dtype="float64") + x[3], X),
        (lambda x: nets.reshape(x, (3, 4)).T * 2, X),
        (lambda x: x[1:, :] * x[:-1, :] + nets.sin(x[1:, ::-1]), M),
        (lambda x: x.sum(axis=0) * 2, M),
        (lambda x: nets.sqrt((x * x).sum(axis=1)), M),
        (lambda x: (x[:, None, :] * 2 - 1).sum(axis=(1, 2)), M),
        (lambda x: nets.broadcast_to(x[:, :1], (3, 4)) * x, M),
        (lambda x: x.astype("float32") * 2, X),
        (lambda x: x[3] * x[4], X),
    ],
)
def test_what_keeps_to_lanes(function: Callable[..., Any], x: np.ndarray) -> None:
    assert agrees(program(function, x), [x])
    both = nets.sparse_jacobian(function)(x)
    expected = dense(program(function, x), [x], 0)
    np.testing.assert_allclose(np.asarray(both.todense()), expected, rtol=1e-6)


def looped(x: Any) -> Any:
    return nets.scan(lambda carry, row: (carry, nets.sin(row)), x[0], x)[1]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nets.reshape(x, (3, 4)) @ nets.ones((4, 2), dtype="float64"),  # a product
        lambda x: nets.concatenate([x, x]).sum(keepdims=True) * x,  # depends on all
        lambda x: x[:1] + x[:1] * x[::-1][-1:],  # an element in two lanes? one column: told
        looped,
    ],
    ids=["product", "all", "same", "loop"],
)
def test_what_does_not_is_told_by_seeds(function: Callable[..., Any]) -> None:
    agrees(program(function, X), [X])
    found = nets.sparse_jacobian(function)(X)
    expected = dense(program(function, X), [X], 0)
    np.testing.assert_allclose(np.asarray(found.todense()), expected, rtol=1e-6)


def test_an_element_in_two_lanes_is_their_sum() -> None:
    """They cross in the middle."""
    x = np.linspace(0.3, 1.7, 5)
    assert agrees(program(lambda x: x * 3 + nets.sin(x[::-1]) + x[2], x), [x])


def test_an_index_that_a_call_tells_is_no_lane() -> None:
    x, places = np.linspace(0.3, 1.7, 5), np.array([1, 2])
    assert not agrees(program(lambda x, places: x[places], x, places), [x, places])


@pytest.mark.parametrize("size", [50, 5000])
def test_the_program_does_not_grow_with_the_sizes(size: int) -> None:
    function = program(lambda x: nets.sin(x[2:]) - 2 * x[1:-1] * x[:-2], nets.spec(f"f64[{size}]"))
    made = diagonals(function, 0, pattern(function, 0, 0))
    assert made is not None
    assert sum(1 for _ in made.walk()) < 30
    constants = [op.attributes["value"] for op in made.walk() if op.name == "constant"]
    assert all(value.size == 1 for value in constants)


def test_a_function_without_an_element() -> None:
    x = np.ones(3)
    assert (
        diagonals(program(lambda x: x[:0], x), 0, pattern(program(lambda x: x[:0], x), 0, 0))
        is None
    )
    assert nets.sparse_jacobian(lambda x: x[:0])(x).nnz == 0


def test_random_programs() -> None:
    told = 0
    for seed in range(120):
        function = random_program(seed, size=8, smooth=True)
        arrays = arguments(function, np.random.default_rng(seed), special=False)
        result = function.returned[0]
        if not carries_cotangent(result.type) or not 0 < result.type.size <= 40:
            continue
        for argument, given in enumerate(function.arguments):
            if carries_cotangent(given.type) and given.type.size:
                told += agrees(function, arrays, argument)
    assert told > 15


def test_more_lanes_than_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones(20)
    function = program(lambda x: x[1:] * x[:-1], x)
    assert agrees(function, [x])
    monkeypatch.setattr(module, "MOST", 1)
    assert not agrees(function, [x])


def test_indices_by_many_steps() -> None:
    def function(x: Any) -> Any:
        places = nets.arange(4)
        for _ in range(1500):
            places = 3 - places
        return x[places] * 2

    x = np.linspace(0.3, 1.7, 4)
    assert agrees(program(function, x), [x])
