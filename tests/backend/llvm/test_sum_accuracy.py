"""Errors of sums (numerics.md, 4): in the worst case, along any axis, those of pairwise sums.

NumPy adds 16 terms in each of 8 chains, then by halves: 11 + log2(n) roundings at most. A row here
is 16 in each of 64 chains (of f32), then by halves, and a column 16 in one chain, then by halves:
11 + log2(n) again. Data may suit one order better than another; terms of alternating sign suit
NumPy's, which joins neighbouring chains first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest

from nets.ir.types import TensorType, from_numpy
from nets.ops.definition.registry import Array
from tests.passes.lowered import Program
from tests.property.compiled import Executable, Way

EPS = float(np.finfo(np.float32).eps)


@functools.cache
def native(shape: tuple[int, ...], axes: tuple[int, ...], dtype: str = "float32") -> Executable:
    element = from_numpy(dtype)
    assert element is not None
    p = Program(TensorType(shape, element))
    return Way().compile(p.done(p.b.sum(p.arguments[0], axes)))


def total(x: Array, axes: tuple[int, ...]) -> Array:
    (result,) = native(x.shape, axes, x.dtype.name)([x])
    return result


def roundings(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """How often an element is rounded at most, the axes being reduced one after another."""
    return sum(11 + math.ceil(math.log2(shape[axis])) for axis in axes)


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(size=shape).astype(np.float32)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def alternating(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Large terms that nearly cancel."""
    x = 1e4 + rng.uniform(size=shape)
    signs = (-1.0) ** np.indices(shape).sum(axis=0)
    return np.asarray(signs * x).astype(np.float32)


DATA = (uniform, normal, alternating)
CASES = (
    *(((1_000_003,), (0,)), ((1000, 1001), (0,)), ((1000, 1001), (1,))),
    *(((1024, 1024), (0, 1)), ((100, 101, 99), (1,)), ((100, 101, 99), (0, 2))),
)


@pytest.mark.parametrize("data", DATA, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("shape", "axes"), [*CASES, ((100, 101, 99), (1,)), ((100, 101, 99), (0, 2))]
)
@pytest.mark.sampled(5)
def test_bound(shape: tuple[int, ...], axes: tuple[int, ...], data: Callable[..., Array]) -> None:
    """No error exceeds what so many roundings can do."""
    x = data(np.random.default_rng(0), shape)
    wide = x.astype(np.float64)
    error = np.abs(total(x, axes) - wide.sum(axis=axes))
    unit = EPS / 2 * np.abs(wide).sum(axis=axes)
    assert np.all(error <= roundings(shape, axes) * unit)


@pytest.mark.parametrize("data", DATA[:2], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [0, 1])
def test_not_worse_than_pairwise(axis: int, data: Callable[..., Array]) -> None:
    """Root mean square of a hundred long sums, against NumPy's along the axis it does best."""
    shape = (20_000, 100) if axis == 0 else (100, 20_000)
    x = data(np.random.default_rng(1), shape)
    exact = x.astype(np.float64).sum(axis=axis)
    pairwise = np.ascontiguousarray(x if axis else x.T).sum(axis=1)
    assert spread(total(x, (axis,)) - exact) <= 1.25 * spread(pairwise - exact)


def spread(error: Array) -> float:
    return float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))


def test_a_million_terms_of_f64() -> None:
    x = np.random.default_rng(2).uniform(size=1_000_003)
    error = abs(float(total(x, (0,))) - math.fsum(x))
    assert error <= 2 * np.spacing(math.fsum(x))
