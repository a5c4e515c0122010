"""dim= and keepdim= beside axis= and keepdims=."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, UnsupportedObjectError

X = np.arange(6, dtype=np.float32).reshape(2, 3) % 4
T = nets.Tensor(X)

REDUCTIONS = ["sum", "prod", "mean", "argmax", "argmin", "any", "all", "logsumexp"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("kept", [False, True])
def test_reductions(name: str, kept: bool) -> None:
    function: Any = getattr(nets, name)
    expected = function(T, axis=1, keepdims=kept).numpy()
    np.testing.assert_array_equal(function(T, dim=1, keepdim=kept).numpy(), expected)
    traced = nets.trace(lambda x: function(x, dim=1, keepdim=kept))
    np.testing.assert_allclose(traced(X).numpy(), expected, rtol=1e-6)
    if hasattr(T, name):
        method = getattr(T, name)
        np.testing.assert_array_equal(method(dim=1, keepdim=kept).numpy(), expected)


def test_other_functions_that_take_an_axis() -> None:
    for name in ("softmax", "log_softmax", "cumsum", "expand_dims", "flip"):
        function: Any = getattr(nets, name)
        found = function(T, dim=0).numpy()
        np.testing.assert_array_equal(found, function(T, axis=0).numpy())
    assert nets.concatenate([T, T], dim=1).shape == (2, 6)  # type: ignore[call-arg]
    assert nets.stack([T, T], dim=2).shape == (2, 3, 2)  # type: ignore[call-arg]
    assert nets.cumsum(T, dim=0).shape == (2, 3)  # type: ignore[call-arg]
    assert T.softmax(dim=0).numpy().sum() == pytest.approx(3)
    assert nets.flip(T, dims=(0,)).tolist() == X[::-1].tolist()  # type: ignore[call-arg]


def test_where_dim_means_something_else_in_pytorch_it_is_that() -> None:
    for name, find in (("max", np.argmax), ("min", np.argmin)):
        for found in (getattr(nets, name)(T, dim=1), getattr(T, name)(dim=1)):
            assert found.indices.tolist() == find(X, 1).tolist()
            assert found.values.tolist() == getattr(X, name)(1).tolist()
        kept = getattr(T, name)(dim=0, keepdim=True)
        assert kept.values.shape == kept.indices.shape == (1, 3)
        assert getattr(T, name)(1).tolist() == getattr(X, name)(1).tolist()
    for name in ("var", "std"):
        expected = getattr(X, name)(1, ddof=1)
        for found in (getattr(nets, name)(T, dim=1), getattr(T, name)(dim=1)):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        np.testing.assert_allclose(getattr(T, name)(axis=1).numpy(), getattr(X, name)(1), rtol=1e-6)
    assert [x.shape for x in nets.split(T, 2, dim=1)] == [(2, 2), (2, 1)]  # type: ignore[call-arg]
    assert nets.squeeze(T, dim=0).shape == (2, 3)  # type: ignore[call-arg]


def test_variances_that_say_their_divisor() -> None:
    assert T.var(dim=1, ddof=1).tolist() == T.var(axis=1, ddof=1).tolist()
    assert T.std(dim=1, correction=1).tolist() == T.std(axis=1, ddof=1).tolist()


def test_one_axis_under_two_names_is_refused() -> None:
    with pytest.raises(ArgumentError, match="not both"):
        nets.sum(T, 0, dim=1)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="takes no keepdim"):
        nets.cumsum(T, dim=0, keepdim=True)  # type: ignore[call-arg]
    with pytest.raises(UnsupportedObjectError, match="takes no initial"):
        T.sum(initial=1)
    with pytest.raises(TypeError):
        nets.sum(T, axes=1)  # type: ignore[call-arg]
