"""What the tests of all evaluations need."""

from collections.abc import Callable
from typing import Any

import numpy as np

import nets

Array = np.ndarray[Any, np.dtype[Any]]

TINY = 1e-200
"""A step so small that its square is 0: the derivative is exact but for rounding."""


def draw(arguments: Callable[[np.random.Generator], tuple[Any, ...]]) -> tuple[Any, ...]:
    return arguments(np.random.default_rng(3))


def run(write: Callable[[Any], Callable[..., Any]], *arguments: Any) -> Any:
    """What the evaluation gives, compiled."""
    return nets.trace(write(nets))(*arguments)


def slopes(function: Callable[[Array], Any], x: Array) -> Array:
    """The Jacobian of an analytic function by a complex step (Squire and Trapp, 1998)."""
    columns = []
    for i in np.ndindex(x.shape):
        moved = x.astype("c16")
        moved[i] += 1j * TINY
        columns.append(np.imag(function(moved)) / TINY)
    columns = np.array(columns)
    return np.moveaxis(columns, 0, -1).reshape(*columns.shape[1:], *x.shape)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-9, atol=1e-11)
