"""What runs along an axis, and counts: every way of its loops, against NumPy and by the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import apply
from nets.ops.definition.registry import Array

SHAPES = [
    *(((1,), 0), ((7,), 0), ((37,), 0), ((1, 40), 1), ((3, 2), 1), ((5, 33), 1), ((9, 16), 1)),
    *(((2, 700), 1), ((2, 9, 3), 1), ((2, 5, 70), 1), ((3, 4, 300), 1), ((4, 1, 5), 1)),
]
"""Rows alone, in lanes and copied before; neighbours in registers and in chunks; every tail."""

EXTREMES = [np.nan, np.inf, -np.inf, 0.0, -0.0]


def _numbers(shape: tuple[int, ...], dtype: str) -> Array:
    rng = np.random.default_rng(sum(shape))
    if dtype[0] != "f":
        return rng.integers(0, 100, shape).astype(dtype)
    x = rng.integers(-2, 3, shape) * rng.choice([0.7, -0.0, 1.3], shape)
    return np.where(rng.random(shape) < 0.02, rng.choice(EXTREMES, shape), x).astype(dtype)


def _all_of(x: nets.Tensor, axis: int) -> list[nets.Tensor]:
    found = []
    for reverse in (False, True):
        along: dict[str, Any] = {"axis": axis, "reverse": reverse}
        found += [apply("running", x, combiner=c, **along) for c in ("add", "mul", "max", "min")]
        found += [apply("running_place", x, combiner=c, **along) for c in ("max", "min")]
        if x.type.dtype.is_float:
            found.append(apply("running_linear", x, x * 0.5, **along))
    return found


def _assert_same(found: list[nets.Tensor], expected: list[nets.Tensor]) -> None:
    for x, y in zip(map(np.asarray, found), map(np.asarray, expected), strict=True):
        assert x.dtype == y.dtype
        is_number = x == x
        np.testing.assert_array_equal(is_number, y == y)
        assert x[is_number].tobytes() == y[is_number].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.sampled(2)
def test_native_code_has_the_bits_of_the_reference(dtype: str) -> None:
    given = [_numbers(shape, dtype) for shape, _ in SHAPES]

    def program(*xs: nets.Tensor) -> list[nets.Tensor]:
        return [y for x, (_, axis) in zip(xs, SHAPES, strict=True) for y in _all_of(x, axis)]

    _assert_same(nets.trace(program)(*given), program(*map(nets.Tensor, given)))


@pytest.mark.parametrize("form", ["n,5", "5,n", "n", "2,3,n", "n,3,2"])
@pytest.mark.sampled(3)
def test_sizes_that_a_call_tells(form: str) -> None:
    axis = form.count(",")
    spec = nets.spec(f"f64[{form}]", n=nets.dim(1, 900))
    code = nets.trace(lambda x: _all_of(x, axis)).lower(spec).compile()
    for n in (1, 3, 8, 41, 515):
        x = _numbers(tuple(n if size == "n" else int(size) for size in form.split(",")), "float64")
        _assert_same(code(x), _all_of(nets.Tensor(x), axis))


def test_sums_and_products_are_those_of_numpy() -> None:
    x = np.random.default_rng(3).normal(size=(70, 130)).astype("float32")
    sums = nets.trace(lambda x: (nets.cumsum(x, 0), nets.cumsum(x, 1), nets.cumsum(x)))(x)
    for found, expected in zip(sums, (np.cumsum(x, 0), np.cumsum(x, 1), np.cumsum(x)), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(nets.trace(nets.cumprod)(x), np.cumprod(x))


def test_derivatives_of_products_at_zeros() -> None:
    """The third derivative of x₀ x₁ x₂ is 1, whichever way it is made."""
    x = np.array([0.0, 0.0, 2.0, 0.0])

    def last(x: nets.Tensor) -> nets.Tensor:
        return nets.cumprod(x)[2]

    expected = np.zeros((4, 4, 4))
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        expected[order] = 1
    for outer in (nets.jacfwd, nets.jacrev):
        found = outer(nets.jacrev(nets.jacfwd(last)))(x)
        np.testing.assert_array_equal(found, expected)


def test_logarithms_of_running_sums_at_infinities() -> None:
    inf = np.inf
    x = np.array([-inf, -inf, -1000.0, -1001.0, 5.0, 900.0, inf, 1.0, np.nan])
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp.accumulate(x)
    for function in (nets.logcumsumexp, nets.trace(nets.logcumsumexp, static_argnums=1)):
        np.testing.assert_allclose(function(x, 0), expected, rtol=1e-15)
    slopes = nets.grad(lambda x: nets.logcumsumexp(x, 0).sum())(np.array([-inf, -1000.0, 2.0]))
    np.testing.assert_allclose(slopes, [0.0, 1.0, 1.0])


def test_counts_are_those_of_numpy() -> None:
    rng = np.random.default_rng(5)
    for n, length in ((0, 3), (9, 5), (1000, 7), (1001, 3000), (5, 0)):
        x = rng.integers(0, length + 2, n)
        count = nets.trace(lambda x, length=length: nets.bincount(x, length=length))
        np.testing.assert_array_equal(count(x), np.bincount(x, minlength=length)[:length])
    with pytest.raises(ArgumentError, match="not negative"):
        nets.trace(lambda x: nets.bincount(x, length=3))(np.array([1] * 40 + [-1]))
