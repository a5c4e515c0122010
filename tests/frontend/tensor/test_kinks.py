"""The derivatives chosen at kinks, at 0, and of NaN, as the docs have them, in every mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets

F = nets.nn.functional
INF, NAN = math.inf, math.nan
Case = tuple[Callable[..., Any], list[list[float]], list[list[float]]]

CASES: dict[str, Case] = {
    "power": (
        lambda x, y: x**y,
        [[0, 0, 0, 0, 0, 2, NAN, 0], [-1, 0, 0.5, 1, 2, 0, 0, NAN]],
        [[-INF, 0, INF, 1, 0, 0, NAN, NAN], [-INF, 0, 0, 0, 0, math.log(2), NAN, NAN]],
    ),
    "square root by power": (lambda x: x**0.5, [[0, 4]], [[INF, 0.25]]),
    "max": (lambda x: nets.max(x), [[1, NAN, 3, NAN]], [[0, 0.5, 0, 0.5]]),
    "min": (lambda x: nets.min(x), [[1, NAN, 3]], [[0, 1, 0]]),
    "max of equals": (lambda x: nets.max(x), [[1, 3, 3, -INF]], [[0, 0.5, 0.5, 0]]),
    "maximum": (
        nets.maximum,
        [[1, NAN, 1, NAN, 2], [1, 1, NAN, NAN, 1]],
        [[0.5, 1, 0, 1, 1], [0.5, 0, 1, 0, 0]],
    ),
    "minimum": (
        nets.minimum,
        [[1, NAN, 1, NAN, 2], [1, 1, NAN, NAN, 1]],
        [[0.5, 1, 0, 1, 0], [0.5, 0, 1, 0, 1]],
    ),
    "abs": (nets.abs, [[0, -0.0, NAN, -INF]], [[0, 0, NAN, -1]]),
    "clip": (lambda x: nets.clip(x, -1, 1), [[NAN, -1, 1, 2, 0]], [[0, 1, 1, 0, 1]]),
    "clip by tensors": (
        lambda x, low, high: nets.clip(x, low, high),
        [[NAN, 0, 0, 5], [0, NAN, 1, 0], [1, 1, 2, 3]],
        [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ),
    "relu": (nets.relu, [[0, NAN, INF, -INF]], [[0, 1, 1, 0]]),
    "leaky_relu": (nets.leaky_relu, [[0, NAN, INF, -INF]], [[0.01, 0.01, 1, 0.01]]),
    "elu": (F.elu, [[0, NAN, INF, -INF, 800, -800]], [[1, 1, 1, 0, 1, 0]]),
    "celu": (lambda x: F.celu(x, 2.0), [[0, NAN, INF, -INF]], [[1, 1, 1, 0]]),
    "hardtanh": (F.hardtanh, [[-1, 1, 0, NAN, 2]], [[0, 0, 1, 1, 0]]),
    "sign": (nets.sign, [[0, NAN]], [[0, 0]]),
    "sqrt": (nets.sqrt, [[0, -1]], [[INF, NAN]]),
    "std of one": (lambda x: nets.std(x), [[3]], [[0]]),
    "std of equals": (lambda x: nets.std(x), [[3, 3, 3]], [[0, 0, 0]]),
    "std of one, ddof 1": (lambda x: nets.std(x, ddof=1), [[3]], [[NAN]]),
    "std of equals, ddof 1": (lambda x: nets.std(x, correction=1), [[3, 3]], [[0, 0]]),
    "std of NaN": (lambda x: nets.std(x), [[3, NAN]], [[NAN, NAN]]),
    "norm": (lambda x: nets.norm(x), [[3, -4, 0]], [[0.6, -0.8, 0]]),
    "norm of nothing": (lambda x: nets.norm(x), [[0, -0.0]], [[0, 0]]),
    "norm 1": (lambda x: nets.norm(x, 1), [[3, -4, 0]], [[1, -1, 0]]),
    "norm inf": (lambda x: nets.norm(x, INF), [[4, -4, 0]], [[0.5, -0.5, 0]]),
    "norm 3": (lambda x: nets.norm(x, 3), [[0, 0]], [[0, 0]]),
    "norm 0.5": (lambda x: nets.norm(x, 0.5), [[4, 0]], [[1, 0]]),
}


@pytest.mark.parametrize("mode", ["eager", "backward", "llvm", "numpy"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.sampled(3)
def test_derivatives_where_a_choice_was_made(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, points, expected = CASES[name]
    arrays = [np.array(point, dtype=float) for point in points]
    if mode == "backward":
        tensors = [nets.Tensor(array, requires_grad=True) for array in arrays]
        function(*tensors).sum().backward()
        found = [tensor.grad for tensor in tensors]
    else:
        places = tuple(range(len(arrays)))
        slope: Callable[..., Any] = nets.grad(lambda *xs: function(*xs).sum(), places)
        if mode != "eager":
            monkeypatch.setenv("NETS_BACKEND", mode)
            slope = nets.trace(slope)
        found = slope(*arrays)
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(gradient), wanted, rtol=1e-14)


def test_values_of_norms() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    for order in (1, 2, 3, 0.5, INF):
        for axis in (0, 1, None):
            expected = np.linalg.norm(x.ravel() if axis is None else x, order, axis)
            assert np.allclose(nets.norm(x, order, axis), expected, rtol=1e-14)
    assert nets.norm(x, axis=1, keepdims=True).shape == (3, 1)
    assert nets.norm(np.array([3, 4])).item() == 5
    assert nets.norm(np.zeros((0, 2))).item() == 0
    for bad in (0, -1, NAN, -INF):
        with pytest.raises(nets.errors.ArgumentError, match="ord"):
            nets.norm(x, bad)
