"""Errors of traces that name the way out: conditions, NumPy's arrays, arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ControlFlowError, NetsError, ReadOnlyError, UnsupportedObjectError

W = nets.Tensor(np.ones(3))


def said(
    function: Callable[..., Any], *args: Any, error: type[NetsError] = ControlFlowError
) -> str:
    with pytest.raises(error) as caught:
        nets.trace(function)(*args)
    return str(caught.value)


def branches(x: Any, y: Any, z: Any) -> Any:
    unused = z * 2
    return x if (x.sum() + nets.exp(y["b"]).mean()) > 0 else unused


def test_a_condition_names_the_arguments_it_depends_on() -> None:
    text = said(branches, np.ones(3), {"b": np.ones(2), "c": np.ones(2)}, np.ones(3))
    assert "depends on x, y_b and" in text


def test_a_condition_of_what_is_outside_says_so() -> None:
    assert "depends on tensors from outside and" in said(lambda x: x if W.sum() > 0 else -x, 1.0)


def test_many_arguments_are_not_all_named() -> None:
    def sums(**named: Any) -> Any:
        total = sum(named.values())
        return bool(total > 0)

    with pytest.raises(ControlFlowError, match=r"depends on a, b, c, d, … and"):
        nets.trace(sums)(**dict.fromkeys("abcdef", 1.0))


def test_a_long_program_is_no_matter() -> None:
    def long(x: Any) -> Any:
        for _ in range(3000):
            x = x + x
        return bool(x)

    assert "depends on x and" in said(long, 1.0)


@pytest.mark.parametrize("given", [True, 3, 2.5])
def test_a_flag_may_be_static(given: Any) -> None:
    text = said(lambda x, flag: x if flag else -x, np.ones(3), given)
    assert "static_argnames='flag'" in text
    traced = nets.trace(lambda x, flag: x if flag else -x, static_argnames="flag")  # type: ignore[call-overload]
    assert traced(np.ones(3), given).tolist() == [1, 1, 1]


def test_elements_of_numpy_arrays() -> None:
    def stores(x: Any) -> Any:
        out = np.zeros(3)
        out[0] = x
        return out

    for given in (1.0, nets.Tensor(1.0)):
        text = said(stores, given)
        assert "nets.zeros" in text
        assert "nets.stack" in text


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("relu", "static_argnames"),
        (b"relu", "static_argnames"),
        (nn.Linear(2, 2), "closed over"),
        (len, "closed over"),
    ],
)
def test_arguments_that_are_no_tensors(given: Any, advice: str) -> None:
    text = said(lambda x, how: x, 1.0, given, error=UnsupportedObjectError)
    assert "argument how" in text
    assert advice in text


def test_elements_of_data() -> None:
    p = nn.Parameter(np.ones(3))
    with pytest.raises(ReadOnlyError, match=r"p -= x under nets\.no_grad\(\)"):
        p.data -= 0.1 * p.grad  # type: ignore[operator]
    p.data = p.data - 0.5
    assert p.tolist() == [0.5, 0.5, 0.5]
