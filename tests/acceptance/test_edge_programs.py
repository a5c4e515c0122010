"""Programs at the edges: loops of which little is needed, first draws, sums of nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets

X = np.arange(1.0, 5.0)
START = np.array(3.0)


def eager_traced_and_native(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    lowered = nets.trace(function).lower(*arrays)
    return [
        function(*map(nets.Tensor, arrays)),
        nets.trace(function)(*arrays),
        lowered.compile("numpy")(*arrays),
        lowered.compile("llvm")(*arrays),
    ]


@pytest.mark.parametrize("length", [0, 1, 2, 8])
def test_a_product_by_scan_and_its_derivative(length: int) -> None:
    """The steps' results are stacked and not needed."""

    def product(start: Any, x: Any) -> Any:
        return nets.scan(lambda carry, value: (carry * value, carry), start, x)[0]

    x = np.arange(1.0, length + 1)
    for found in eager_traced_and_native(product, START, x):
        assert found.item() == 3 * np.prod(x)
    assert nets.grad(product)(START, x).item() == np.prod(x)
    assert nets.trace(nets.grad(product))(START, x).item() == np.prod(x)


def test_a_scan_that_nobody_needs() -> None:
    def twice(start: Any, x: Any) -> Any:
        nets.scan(lambda carry, value: (carry * value, carry), start, x)
        return x * 2

    for found in eager_traced_and_native(twice, START, X):
        assert np.array_equal(found.numpy(), X * 2)


def test_a_reversed_scan_that_is_linear() -> None:
    def total(start: Any, x: Any) -> Any:
        body = lambda carry, value: (carry + value, carry)  # noqa: E731
        return nets.scan(body, start, x, reverse=True)[0]

    for found in eager_traced_and_native(total, START, X):
        assert found.item() == 13
    assert nets.grad(total)(START, X).item() == 1


def test_one_of_two_carries_is_needed() -> None:
    def first(start: Any, x: Any) -> Any:
        def body(carry: Any, value: Any) -> Any:
            return (carry[0] + value, carry[1] * value), carry[1] + 1

        return nets.scan(body, (start, start), x)[0][0]

    for found in eager_traced_and_native(first, START, X):
        assert found.item() == 13


def test_nothing_to_add_up() -> None:
    def of_nothing(x: Any) -> Any:
        return nets.logsumexp(x, axis=0)

    for found in eager_traced_and_native(of_nothing, np.zeros((0, 3))):
        assert np.array_equal(found.numpy(), np.full(3, -np.inf))


@pytest.mark.parametrize(
    "program",
    [
        "f = nets.trace(lambda x: nets.nn.functional.dropout(x, 0.5))\n"
        "masks = {tuple(f(np.ones(64)).tolist()) for _ in range(3)}",
        "def f(x):\n"
        "    value, pull = nets.vjp(lambda x: nets.nn.functional.dropout(x, 0.5), x)\n"
        "    return pull(np.ones(64))[0]\n"
        "masks = {tuple(f(np.ones(64)).tolist()) for _ in range(3)}",
    ],
    ids=["trace", "vjp"],
)
@pytest.mark.sampled(2)
def test_the_first_draw_of_a_process_is_in_a_trace(program: str) -> None:
    """Each call has a mask of its own, and the generator lives on."""
    checks = "assert len(masks) == 3\nnets.manual_seed(0)\nnets.nn.Linear(2, 2)\n"
    text = f"import numpy as np, nets\n{program}\n{checks}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
