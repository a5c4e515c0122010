"""NumPy arrays in the world of a traced function: read at each call, or guarded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets

a = np.array([1.0, 2.0, 3.0])

BY_NETS: dict[str, Callable[[Any], Any]] = {
    "operator": lambda x: x * a,
    "array first": lambda x: a - x,
    "function": lambda x: nets.maximum(x, a),
    "view": lambda x: x[:2] + a[1:],
    "transposed view": lambda x: x @ a.reshape(3, 1).T[0],
    "ufunc": lambda x: np.add(a, x),
    "tensor": lambda x: x + nets.Tensor(a),
    "contents": lambda x: nets.stack([x, a]),
}

BY_NUMPY: dict[str, Callable[[Any], Any]] = {
    "item": lambda x: x * a[0],
    "number": lambda x: x * float(a[1]),
    "arithmetic": lambda x: x * (2 * a),
    "array with array": lambda x: x * (a * a),
    "method": lambda x: x * a.sum(),
    "function": lambda x: x + np.clip(a, 0, 2),
    "list": lambda x: x + nets.Tensor(a.tolist()),
    "copy": lambda x: x + a.copy(),
    "loop": lambda x: sum(x * number for number in a),
    "view of a view": lambda x: x * a[1:][0],
    "index": lambda x: x[a.astype(int) % 3],
    "branch": lambda x: x if a.max() > 5 else -x,
    "cast": lambda x: x + a.astype("float32"),
}


@pytest.mark.parametrize("kind", BY_NETS)
def test_arrays_that_meet_tensors_are_inputs(kind: str) -> None:
    f = BY_NETS[kind]
    traced, x = nets.trace(f), np.array([0.5, 1.0, -1.0])
    for number in range(4):
        a[number % 3] += number
        assert np.array_equal(traced(x).numpy(), np.asarray(f(nets.Tensor(x))))
    assert traced.stats()["traces"] == 1


@pytest.mark.parametrize("kind", BY_NUMPY)
def test_arrays_that_numpy_computes_with_are_guarded(kind: str) -> None:
    f = BY_NUMPY[kind]
    traced, x = nets.trace(f), np.array([0.5, 1.0, -1.0])
    for number in range(4):
        a[number % 3] += number + 2
        assert np.array_equal(traced(x).numpy(), np.asarray(f(nets.Tensor(x))))
        traced(x)
    assert type(a) is np.ndarray
    assert 1 < traced.stats()["traces"] <= 4


def test_an_array_in_place_of_another_is_traced_again() -> None:
    held = {"a": np.ones(3)}
    traced = nets.trace(lambda x: x * held["a"])
    assert traced(1.0).tolist() == [1, 1, 1]
    held["a"] = np.full(2, 7.0)
    assert traced(1.0).tolist() == [7, 7]


def test_an_array_that_the_function_writes_to_is_written_at_each_call() -> None:
    totals = np.zeros(2)

    @nets.trace
    def f(x: Any) -> Any:
        totals[0] += 1
        return x * 2

    for number in range(3):
        assert f(1.0).item() == 2
        assert totals.tolist() == [number + 1, 0]


def test_an_exception_leaves_arrays_as_they_were() -> None:
    totals = np.zeros(2)

    @nets.trace
    def f(x: Any) -> Any:
        totals[0] += 1
        raise KeyError

    with pytest.raises(KeyError):
        f(1.0)
    assert totals.tolist() == [0, 0]
    assert type(totals) is np.ndarray
