"""Options of functions and layers: refused where they have no meaning, as PyTorch refuses them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import nets

TensorLike = npt.ArrayLike | nets.Tensor
"""A Tensor, a NumPy array, nested lists of numbers, or a number."""

Sizes = int | Sequence[int]
"""One number for all axes of space, or one for each."""


def check(holds: bool, message: str) -> None:
    """ArgumentError with the user's line, unless it holds."""
    if not holds:
        raise nets.errors.ArgumentError(message, nets.user_location())


def check_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, above: bool = False
) -> None:
    """Refuse what is no number in [low, high], or with ``above`` in (low, high]; NaN is none.

    A tensor is taken as it is.
    """
    if isinstance(value, nets.Tensor):
        return
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if is_number and low <= value <= high and not (above and value == low):
        return
    upper = "" if high == math.inf else f" to {high}"
    lower = "" if low == -math.inf else f" {'above' if above else 'from'} {low}"
    raise nets.errors.ArgumentError(
        f"{name} is a number{lower}{upper}, not {value!r}", nets.user_location()
    )


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number from ``least`` on."""
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_count or value < least:
        raise nets.errors.ArgumentError(
            f"{name} is a whole number from {least} on, not {value!r}", nets.user_location()
        )


def counts(name: str, value: Any, least: int = 1) -> tuple[int, ...]:
    """One whole number, or several in a list or tuple; those below ``least`` are refused."""
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        check_count(name, number, least)
    return numbers


def pair(value: Sizes, count: int = 2, name: str = "it", least: int = 1) -> tuple[int, ...]:
    """One number for each axis of the image; ArgumentError for those below ``least``."""
    sizes = counts(name, value, least)
    sizes = sizes if len(sizes) > 1 else sizes * count
    if len(sizes) != count:
        raise nets.errors.ArgumentError(
            f"one number or {count} are needed, not {sizes}", nets.user_location()
        )
    return sizes


class Reading:
    """Around code that reads what a user gives: what that is not made for is an ArgumentError."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if isinstance(error, _MISREADINGS) and not isinstance(error, nets.errors.NetsError):
            raise nets.errors.ArgumentError(
                f"this is not {self.what}: {error}", nets.user_location()
            ) from None


_MISREADINGS: Final = (TypeError, ValueError, AttributeError, LookupError, OverflowError)


def check_shape(name: str, x: TensorLike | None, shape: tuple[int, ...]) -> None:
    """ShapeError unless x has just this shape, or is missing."""
    if x is not None and (found := nets.as_tensor(x).shape) != shape:
        raise nets.errors.ShapeError(
            f"{name} has the shape {shape} here, not {found}", nets.user_location()
        )


def check_rank(name: str, x: nets.Tensor, least: int, axes: str) -> None:
    """ShapeError for fewer axes than ``least``, which are those named."""
    if x.ndim < least:
        raise nets.errors.ShapeError(
            f"{name} takes the axes {axes}, not the shape {x.shape}", nets.user_location()
        )
