"""Numbers: products and norms of vectors, and the rounding of their dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

import nets.frontend.tensor.functions as functions


def dot(a: Any, b: Any) -> Any:
    """The scalar product of two vectors."""
    return (a * b).sum()


def norm(a: Any) -> Any:
    """The length of a vector."""
    return functions.sqrt(dot(a, a))


def largest(a: Any) -> Any:
    """The largest magnitude in a vector; NaN where it has one."""
    return functions.max(functions.abs(a))


def epsilon(a: Any) -> float:
    """The distance from 1 to the next number of the dtype of a tensor."""
    return float(np.finfo(a.dtype).eps)


def first_of(*cases: tuple[Any, int], otherwise: int = -1) -> Any:
    """The number beside the first condition that holds, else ``otherwise``, as an int64."""
    found = functions.full((), otherwise, "int64")
    for condition, number in reversed(cases):
        found = functions.where(condition, number, found)
    return found
