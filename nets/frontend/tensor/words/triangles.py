"""Diagonals and triangles: as elements of tensors, and as indices of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, constant, shape_text
from nets.frontend.tensor.functions.shape import different_axes
from nets.frontend.tensor.scope import suspended
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import count_of, function_of
from nets.ir.location import user_location
from nets.ir.types import DType


def diagonal(a: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements on a diagonal of two axes, along a new last one; a view where NumPy has one.

    ``offset`` counts from the main diagonal up. ShapeError for fewer than two axes, or twice one.
    ``axis1`` and ``axis2`` are the two axes.
    """
    tensor = as_tensor(a)
    if tensor.ndim < 2:
        raise ShapeError(
            f"a diagonal has two axes, not those of {shape_text(tensor.shape)}", user_location()
        )
    rows_and_columns = different_axes((axis1, axis2), tensor.ndim)
    moved = F.moveaxis(tensor, rows_and_columns, (-2, -1))
    k = integer_of(offset, "a diagonal")
    cut = moved[..., :, k:] if k > 0 else moved[..., -k:, :] if k < 0 else moved
    rows, columns = cut.shape[-2:]
    count = min(rows, columns)
    flat = F.reshape(cut, (*cut.shape[:-2], rows * columns))
    return flat[..., : max(count - 1, 0) * (columns + 1) + min(count, 1) : columns + 1]


def trace(
    a: TensorLike,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: npt.DTypeLike | DType | None = None,
) -> Tensor:
    """The sum along a diagonal of two axes; narrow integers add up in 64 bits.

    Errors are those of ``diagonal``. ``axis1`` and ``axis2`` are the two axes, ``offset`` says
    which diagonal, ``dtype`` what is added up in.
    """
    return F.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


def diag(v: TensorLike, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, or a matrix of zeros with the elements of v on it.

    ShapeError for other than one or two axes.
    """
    tensor = as_tensor(v)
    if tensor.ndim == 2:
        return diagonal(tensor, k)
    if tensor.ndim != 1:
        raise ShapeError(
            f"diag takes one or two axes, not those of {shape_text(tensor.shape)}", user_location()
        )
    beside = abs(integer_of(k, "a diagonal"))
    size = tensor.shape[0] + beside
    long = F.pad(tensor, (0, beside))
    spread = F.reshape(long, (size, 1) if k >= 0 else (1, size))
    return F.where(F.eye(size, k=k, dtype="bool"), spread, F.zeros((), tensor.dtype))


def diagflat(v: TensorLike, k: int = 0) -> Tensor:
    """A matrix of zeros with all elements of v on its k-th diagonal."""
    return diag(F.flatten(v), k)


# ---------------------------------------------------------------------------------- indices


def _constants(arrays: tuple[npt.NDArray[Any], ...]) -> tuple[Tensor, ...]:
    return tuple(constant(np.array(x, np.int64)) for x in arrays)


def _of_triangle(found: Any, n: object, k: object, m: object) -> tuple[Tensor, Tensor]:
    rows = count_of(n, "a number of rows")
    columns = rows if m is None else count_of(m, "a number of columns")
    first, second = _constants(found(rows, integer_of(k, "a diagonal"), columns))
    return first, second


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows and columns of the elements of an n × m matrix up to the k-th diagonal."""
    return _of_triangle(np.tril_indices, n, k, m)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows and columns of the elements of an n × m matrix from the k-th diagonal on."""
    return _of_triangle(np.triu_indices, n, k, m)


def tril_indices_from(arr: TensorLike, k: int = 0) -> tuple[Tensor, Tensor]:
    """``tril_indices`` for a matrix; ShapeError for other than two axes.

    ``arr`` is the matrix and ``k`` the diagonal.
    """
    rows, columns = _matrix_shape(arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: TensorLike, k: int = 0) -> tuple[Tensor, Tensor]:
    """``triu_indices`` for a matrix; ShapeError for other than two axes.

    ``arr`` is the matrix and ``k`` the diagonal.
    """
    rows, columns = _matrix_shape(arr)
    return triu_indices(rows, k, columns)


def _matrix_shape(x: TensorLike) -> tuple[int, int]:
    shape = as_tensor(x).shape
    if len(shape) != 2:
        raise ShapeError(
            f"a matrix has two axes, not those of {shape_text(shape)}", user_location()
        )
    return shape[0], shape[1]


def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """The positions on the main diagonal of ``ndim`` axes of size n."""
    size = count_of(n, "a size")
    return tuple(F.arange(size) for _ in range(count_of(ndim, "a number of axes")))


def diag_indices_from(arr: TensorLike) -> tuple[Tensor, ...]:
    """``diag_indices`` for a tensor; ShapeError for fewer than two axes, or of different sizes.

    ``arr`` is the tensor.
    """
    shape = as_tensor(arr).shape
    if len(shape) < 2 or len(set(shape)) > 1:
        raise ShapeError(
            f"a diagonal needs two axes or more of one size, not {shape_text(shape)}",
            user_location(),
        )
    return diag_indices(shape[0], len(shape))


def mask_indices(n: int, mask_func: Callable[..., TensorLike], k: int = 0) -> tuple[Tensor, ...]:
    """Rows and columns where ``mask_func(ones, k)``, such as ``nets.triu``, is not zero.

    The function is called with a matrix of n rows and columns, outside of any trace.
    """
    function = function_of(mask_func, "mask_indices")
    n = count_of(n, "a number of rows")
    with suspended():
        kept = as_tensor(function(F.ones((n, n), "int64"), k)).data
    return _constants(np.nonzero(np.asarray(kept)))
