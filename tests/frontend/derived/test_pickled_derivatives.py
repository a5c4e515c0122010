"""Derivatives that go to other processes: pull-backs, tangent maps and functions with rules."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import PickleError

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def again(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


def plain(x: Any) -> Any:
    return (x * x).sum()


def nested(d: Any) -> Any:
    return (d["a"] * d["b"]).sum(), d["a"] ** 2


def looping(x: Any) -> Any:
    return nets.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]


opened = nets.trace(lambda x: (x**3).sum(), dims={"x": "n", "n": nets.dim(1, 9)})


def test_pullbacks_and_tangent_maps() -> None:
    point = {"a": X, "b": nets.Tensor(X.astype("float64"))}
    ct = 1.0, X
    for make, given in ((nets.vjp, (ct,)), (nets.linearize, (point,))):
        _, found = make(nested, point)
        expected, got = found(*given), again(found)(*given)
        leaves = zip(nest_of(expected), nest_of(got), strict=True)
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in leaves)
    _, pull = nets.vjp(opened, X[0])
    np.testing.assert_array_equal(again(pull)(2.0)[0], 6 * X[0] ** 2)
    _, tangent_of = nets.linearize(opened, X[0])
    assert again(tangent_of)(np.ones(4, "float32")).item() == (3 * X[0] ** 2).sum()
    _, tangent_of = nets.linearize(looping, 2.0)
    assert again(tangent_of)(1.0).item() == 4 * 2**3


def nest_of(found: Any) -> list[Any]:
    parts = found.values() if isinstance(found, dict) else found
    return [
        x for part in parts for x in (nest_of(part) if isinstance(part, tuple | dict) else [part])
    ]


def test_those_of_a_trace_are_refused() -> None:
    @nets.trace
    def inside(x: Any) -> Any:
        y, pull = nets.vjp(plain, x)
        with pytest.raises(PickleError, match="at a point that is traced"):
            pickle.dumps(pull)
        return y

    inside(X)


def root(a: Any) -> Any:
    return nets.sqrt(a)


def is_root(x: Any, a: Any) -> Any:
    return x * x - a


def test_functions_with_rules() -> None:
    found = again(nets.implicit(root, is_root))
    assert nets.grad(found)(4.0).item() == 0.25
    with pytest.raises(PickleError, match="top of a module"):
        pickle.dumps(nets.implicit(root, lambda x, a: x * x - a))
    each = nets.vmap(plain, in_axes=1)
    np.testing.assert_array_equal(again(each)(X), each(X))
