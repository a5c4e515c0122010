"""Arguments: matrices as functions take them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nets.errors import LinAlgError, ShapeError
from nets.frontend.tensor.dispatch import (
    TensorLike,
    as_float,
    as_tensor,
    known_elements,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.ir.location import user_location


def at_least_matrices(name: str, x: TensorLike) -> Tensor:
    """A tensor of at least two axes; ShapeError for fewer."""
    found = as_tensor(x)
    if found.ndim < 2:
        raise ShapeError(
            f"{name} takes matrices, of two axes or more, not the shape {shape_text(found.shape)}",
            user_location(),
        )
    return found


def check_squares(name: str, x: Tensor) -> None:
    """ShapeError unless matrices are square."""
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name} takes square matrices, not the shape {shape_text(x.shape)}", user_location()
        )


def as_matrices(name: str, x: TensorLike) -> Tensor:
    """Matrices in floating point; ShapeError for fewer than two axes."""
    return at_least_matrices(name, as_float(x))


def as_squares(name: str, x: TensorLike) -> Tensor:
    """Square matrices in floating point; ShapeError for others."""
    found = as_matrices(name, x)
    check_squares(name, found)
    return found


def refuse(x: Tensor, is_wrong: Callable[[Array], bool], message: str) -> None:
    """LinAlgError where the elements of an eager tensor are wrong; what is traced goes on."""
    elements = known_elements(x)
    if elements is not None and is_wrong(elements):
        raise LinAlgError(message, user_location())


def has_nan(x: Array) -> bool:
    return bool(np.isnan(x).any())
