"""Costly functions of overlapping slices: computed once, with the bits they had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.ir.clone import clone_function
from nets.ir.core import Function
from nets.passes.manager import run_pipeline
from nets.passes.pipelines import OPTIMIZE, SIMPLIFY

X = np.linspace(-2, 3, 40)
M = np.linspace(-2, 3, 120).reshape(10, 12)


def shared(function: Callable[..., Any], *args: object) -> tuple[Function, Function]:
    """The function before and after the pass."""
    before = nets.trace(function).lower(*args, pipeline="none").function
    before = run_pipeline(before, SIMPLIFY)
    return before, run_pipeline(clone_function(before), ("share_overlaps", "dce"))


def costly(function: Function) -> list[int]:
    """The elements for which costly functions are computed, op by op."""
    names = ("sin", "exp", "power", "tanh", "divide", "sqrt")
    return [op.result.type.size for op in function.walk() if op.name in names]


def same_bits(function: Callable[..., Any], *args: object) -> None:
    """Native code gives what it gives without the pass."""
    passes = ",".join(name for name in OPTIMIZE if name != "share_overlaps")
    with_it = nets.trace(function).lower(*args).compile()(*args)
    without = nets.trace(function).lower(*args, pipeline=passes).compile()(*args)
    assert np.asarray(with_it).tobytes() == np.asarray(without).tobytes()


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: nets.sin(x[1:]) + nets.sin(x[:-1]), X, [40]),
        (lambda x: nets.sin(x)[1:] + nets.sin(x[:-1]), X, [40]),
        (lambda x: nets.sin(x[2:30]) + nets.sin(x[5:33]) * nets.sin(x[3:31]), X, [31]),
        (lambda x: nets.sin(x[1:] * 2) + nets.sin(x[:-1] * 2), X, [40]),
        (lambda x: nets.sin(x[1:] * 2) + nets.sin(x[:-1] * 3), X, [39, 39]),
        (lambda x: nets.exp(nets.sin(x[1:])) - nets.exp(nets.sin(x[:-1])), X, [40, 40]),
        (lambda x: nets.sin(x[1:] + x[:-1])[1:] + nets.sin(x[1:-1] + x[:-2]), X, [39]),
        (lambda x: nets.sin(x[:20]) + nets.sin(x[20:]), X, [20, 20]),
        (lambda x: nets.sin(x[:21]) + nets.sin(x[19:]), X, [21, 21]),
        (lambda x: nets.sin(x[::2]) + nets.sin(x[1::2]), X, [20, 20]),
        (lambda x: nets.sin(x[1:, :-1]) + nets.sin(x[:-1, 1:]) * nets.sin(x[1:, 1:]), M, [120]),
        (lambda x: (x[1:] > 0) & (x[:-1] > 0), X, []),
    ],
)
def test_what_is_shared(function: Callable[..., Any], x: np.ndarray, expected: list[int]) -> None:
    before, after = shared(function, x)
    assert costly(after) == expected
    for want, have in zip(evaluate(before, [x]), evaluate(after, [x]), strict=True):
        assert want.tobytes() == have.tobytes()
    same_bits(function, x)


def test_numbers_that_a_call_tells_are_part_of_the_expression() -> None:
    def function(x: Any, a: Any, b: Any) -> Any:
        return nets.sin(x[1:] * a) + nets.sin(x[:-1] * a) + nets.sin(x[:-1] * b)

    _, after = shared(function, X, 2.0, 3.0)
    assert costly(after) == [40, 39]


def test_cheap_functions_are_computed_where_they_are_read() -> None:
    _, after = shared(lambda x: nets.sqrt(x[1:]) + nets.sqrt(x[:-1]), X.astype(np.float32))
    assert costly(after) == [39, 39]


@pytest.mark.parametrize("seed", range(20))
def test_random_stencils(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(6, 40))
    cuts = [tuple(sorted(rng.integers(0, 4, 2).tolist())) for _ in range(4)]

    def function(x: Any, y: Any) -> Any:
        total = nets.zeros(size - 6, dtype="float64")
        for number, (a, b) in enumerate(cuts):
            inner = nets.sin(x[a : size - 3 + a] * y[b : size - 3 + b])
            outer = nets.exp(inner[number % 3 : size - 6 + number % 3])
            total += outer * nets.sin(x[b : size - 6 + b])
        return total

    arrays = [rng.normal(size=size), rng.normal(size=size)]
    before, after = shared(function, *arrays)
    (want,), (have,) = evaluate(before, arrays), evaluate(after, arrays)
    assert want.tobytes() == have.tobytes()
    assert sum(costly(after)) <= sum(costly(before))
    same_bits(function, *arrays)


def test_long_expressions_stay_as_they_are() -> None:
    def function(x: Any) -> Any:
        one, other = x[1:], x[:-1]
        for number in range(1500):
            one, other = one + number, other + number
        return nets.sin(one) + nets.sin(other)

    _, after = shared(function, X)
    assert costly(after) == [39, 39]
