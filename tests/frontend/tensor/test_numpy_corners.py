"""Corners of functions that NumPy owns, each against NumPy over a family of arguments."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError, NetsError, NumberError, ShapeError

X = np.arange(24.0).reshape(2, 3, 4)


def outcome(call: Callable[[], Any]) -> Any:
    """Dtype and elements, or that it was refused."""
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(call())
    except NetsError:
        return "refused"
    except (ValueError, TypeError, IndexError, OverflowError):
        return "refused"
    return found.dtype.name, found.shape, found.tolist()


def refused_by_nets(call: Callable[[], Any]) -> None:
    with pytest.raises(NetsError) as caught:
        call()
    assert "test_numpy_corners.py" in str(caught.value)  # the user's line


AXES: list[Any] = [0, -1, 3, -4, (), (0,), (0, 1), (1, 0), (0, 0), (-1, 2), (0, -3), (0, 1, 2), 1.0]


@pytest.mark.parametrize("traced", [False, True])
def test_moveaxis_of_any_axes(traced: bool) -> None:
    for source, destination in itertools.product(AXES, AXES):
        call = lambda x, s=source, d=destination: nets.moveaxis(x, s, d)  # noqa: E731
        mode = nets.trace(call) if traced else call
        expected = outcome(lambda s=source, d=destination: np.moveaxis(X, s, d))
        if expected == "refused":
            refused_by_nets(lambda mode=mode: mode(X))
        elif not traced or source == (0, 1):
            assert outcome(lambda mode=mode: mode(X)) == expected


@pytest.mark.parametrize("name", ["squeeze", "expand_dims", "flip", "sum", "transpose"])
def test_axes_given_twice(name: str) -> None:
    x = np.ones((1, 1, 2))
    for axes in ((0, 0), (0, -3), (1, -2, 0), (0, 1), (2, 0, 1)):
        expected = outcome(lambda axes=axes: getattr(np, name)(x, axes))
        found = outcome(lambda axes=axes: getattr(nets, name)(x, axes))
        assert found == expected


BOUNDS: list[Any] = [
    (0.5, 4, 1), (0, 2, 0.5), (-3, 0, 0.5), (10, 0, -2.5), (5, 0, -1), (0, 300, 100), (-1, 3, 1),
    (1.5, 9, 2), (3, 0, 1), (0, 3, 1), (2**24 + 1, 2**24 + 5, 1), (2**63, 2**63 + 3, 1),
]  # fmt: skip
DTYPES = ["bool", "int8", "uint8", "int32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("dtype", [None, *DTYPES])
def test_arange_in_any_dtype(dtype: str | None, traced: bool) -> None:
    for bounds in BOUNDS:
        call = lambda bounds=bounds: nets.arange(*bounds, dtype=dtype)  # noqa: E731
        expected = outcome(lambda bounds=bounds: np.arange(*bounds, dtype=dtype))
        if expected == "refused":
            refused_by_nets(call)
        elif not traced or bounds[0] in (0, -3):
            assert outcome(nets.trace(call) if traced else call) == expected


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_linspace_rounds_down_to_integers(dtype: str, traced: bool) -> None:
    for start, stop, num in [(0, 1, 5), (-2.5, 2.5, 6), (3, -3, 7), (0, 100, 3), (1.5, 1.5, 2)]:
        if start < 0 or stop < 0:  # what does not fit wraps around in NumPy
            expected = np.linspace(start, stop, num)
            if np.issubdtype(dtype, np.integer):
                limits = np.iinfo(dtype)
                expected = np.clip(np.floor(expected), limits.min, limits.max)
            expected = expected.astype(dtype)
        else:
            expected = np.linspace(start, stop, num, dtype=dtype)
        call = lambda a=start, b=stop, n=num: nets.linspace(a, b, n, dtype=dtype)  # noqa: E731
        found = (nets.trace(call) if traced else call)()
        assert found.dtype == dtype
        assert found.tolist() == expected.tolist()


def test_counts_that_do_not_fit() -> None:
    with pytest.raises(NumberError):
        nets.arange(-1, 3, dtype="uint8")
    for bad in (-1, 2.5, "3", None, True):
        with pytest.raises((ShapeError, DTypeError)):
            nets.linspace(0, 1, bad)  # type: ignore[arg-type]
    assert np.isnan(nets.linspace(0, np.inf, 3).numpy()[0])


SHAPES = [(3, 4), (1, 4), (3, 1), (1, 1), (2, 4), (0, 4), (3, 0)]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.long
def test_take_along_axis_broadcasts_both_ways(traced: bool) -> None:
    rng = np.random.default_rng(0)
    for number, (shape, of_indices) in enumerate(itertools.product(SHAPES, SHAPES)):
        axis = number % 2  # an odd number of shapes: each meets every other one, and both axes
        x = rng.normal(size=shape)
        indices = rng.integers(-shape[axis], max(shape[axis], 1), of_indices)

        def both(x: Any, indices: Any, axis: int = axis) -> Any:
            picked = nets.take_along_axis(x, indices, axis)
            slope = nets.grad(lambda x: nets.take_along_axis(x, indices, axis).sum())(x)
            return picked, slope

        expected = outcome(lambda x=x, i=indices, a=axis: np.take_along_axis(x, i, a))
        if expected == "refused":
            refused_by_nets(lambda x=x, i=indices, f=both: f(x, i))
        elif not traced or shape == (1, 4):
            picked, slope = (nets.trace(both) if traced else both)(x, indices)
            assert outcome(lambda picked=picked: picked) == expected
            counts = np.zeros(shape)
            places = list(np.ogrid[tuple(slice(n) for n in picked.shape)])
            places[axis] = np.broadcast_to(indices, picked.shape)
            other = 1 - axis
            places[other] = np.minimum(places[other], shape[other] - 1)
            np.add.at(counts, tuple(places), 1)
            assert np.array_equal(slope, counts)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "float32"])
@pytest.mark.sampled(5)
def test_pools_keep_the_dtype(dtype: str, traced: bool) -> None:
    limits = np.iinfo(dtype if dtype != "float32" else "int32")
    rng = np.random.default_rng(1)
    x = rng.integers(limits.min, limits.max, (2, 2, 7, 5), dtype=limits.dtype).astype(dtype)
    for call, margins in (
        (lambda x: nets.nn.functional.max_pool2d(x, 3, 2, 1), (1, 1)),
        (lambda x: nets.max_pool(x, 3, 2, [(1, 4), (3, 1)]), (1, 3)),
    ):
        found = (nets.trace(call) if traced else call)(x)
        assert found.dtype == dtype
        for place in np.ndindex(found.shape):
            rows, columns = (
                slice(max(2 * at - margin, 0), max(2 * at - margin + 3, 0))
                for at, margin in zip(place[2:], margins, strict=True)
            )
            window = x[place[0], place[1], rows, columns]
            nothing = -np.inf if dtype == "float32" else limits.min
            assert found.numpy()[place] == (window.max() if window.size else nothing)


def test_pools_of_bools() -> None:
    with pytest.raises(DTypeError, match="bool"):
        nets.nn.functional.max_pool1d(np.ones((1, 1, 4), bool), 2)


LIMITS: list[Any] = [None, -1000, -129, -128, -1, 0, 5, 127, 128, 255, 256, 300, 2**40, -(2**64)]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64", "int64"])
def test_clip_by_bounds_beyond_the_dtype(dtype: str) -> None:
    x = np.array([0, 1, 100]).astype(dtype)
    for low, high in itertools.product(LIMITS, LIMITS):
        expected = outcome(lambda low=low, high=high: np.clip(x, low, high))
        assert outcome(lambda low=low, high=high: nets.clip(x, low, high)) == expected
        as_arrays = [None if n is None else np.array([n] * 3) for n in (low, high)]
        if -(2**64) not in (low, high):
            expected = outcome(lambda arrays=as_arrays: np.clip(x, *arrays))
            assert outcome(lambda arrays=as_arrays: nets.clip(x, *arrays)) == expected
