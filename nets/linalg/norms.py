"""Norms of vectors and of matrices.

``axis`` is one axis, two for matrices, or None; ``keepdims`` keeps them with size 1.
"""

from __future__ import annotations

import math

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dispatch import TensorLike, as_float
from nets.frontend.tensor.functions.shape import different_axes
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg.arguments import as_matrices
from nets.linalg.spectral import svdvals

Order = float | str | None


def vector_norm(
    x: TensorLike,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ord: float = 2,
) -> Tensor:
    """The norm of the vectors along the axes, or of all elements: Σ|x|^ord to the power 1 / ord;
    the largest and smallest |x| for ±``math.inf``, how many elements are not 0 for 0.

    The gradient is 0 for a vector of zeros. ArgumentError where ``ord`` is no number.
    """
    if not isinstance(ord, int | float | np.number):
        raise ArgumentError(f"the ord of a vector's norm is a number, not {ord!r}", user_location())
    tensor = as_float(x)
    if ord > 0:
        return F.norm(tensor, ord, axis, keepdims)
    size = F.abs(tensor)
    if ord == 0:
        return F.sum(F.astype(F.not_equal(size, 0), tensor.dtype), axis, keepdims)
    if ord == -math.inf:
        return F.min(size, axis, keepdims)
    # The least of the elements rules: a 0 makes 0 of the norm, and of its gradient.
    is_zero = F.logical_and(F.any(F.equal(size, 0), axis, True), ~F.any(F.isnan(size), axis, True))
    found = F.sum(F.where(is_zero, 1, size) ** ord, axis, True) ** (1 / ord)
    found = F.where(is_zero, 0, found)
    return found if keepdims else F.squeeze(found, axis)


def matrix_norm(x: TensorLike, /, *, keepdims: bool = False, ord: Order = "fro") -> Tensor:
    """The norms of matrices x[…, m, n]: the root of the sum of squares for "fro", the largest and
    the smallest sum of magnitudes of a row for ±``math.inf``, of a column for ±1, the largest and
    the smallest singular value for ±2, their sum for "nuc".

    ShapeError for fewer than two axes; ArgumentError for another ``ord``. Singular values of
    elements that are not finite are a LinAlgError in eager code, and NaN in traced code.
    """
    matrices = as_matrices("matrix_norm", x)
    return _of_matrices(matrices, ord, (-2, -1), keepdims)


def norm(
    x: TensorLike,
    ord: Order = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> Tensor:
    """NumPy's norm: ``vector_norm`` along one axis, ``matrix_norm`` over two; of all elements as
    one vector without ``axis`` and ``ord``. With ``ord`` alone x is a vector or a matrix.

    ShapeError for other numbers of axes; ArgumentError for an ``ord`` that there is not.
    """
    tensor = as_float(x)
    if axis is None and ord is None:
        flat = F.norm(F.flatten(tensor))
        return F.reshape(flat, (1,) * tensor.ndim) if keepdims else flat
    given = tuple(range(tensor.ndim)) if axis is None else axis
    axes = different_axes(given, tensor.ndim)
    if len(axes) == 1:
        return vector_norm(tensor, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)  # type: ignore[arg-type]
    if len(axes) != 2:
        raise ShapeError(
            f"a norm is one of vectors or of matrices, along one axis or two, not {len(axes)}",
            user_location(),
        )
    return _of_matrices(tensor, "fro" if ord is None else ord, (axes[0], axes[1]), keepdims)


def _of_matrices(x: Tensor, ord: Order, axes: tuple[int, int], keepdims: bool) -> Tensor:
    row, column = axes
    if ord == "fro":
        return F.norm(x, 2, axes, keepdims)
    if ord in (2, -2, "nuc"):
        return _of_singular_values(x, ord, axes, keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ArgumentError(
            f"the ord of a matrix norm is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}",
            user_location(),
        )
    along, across = (column, row) if abs(ord) == math.inf else (row, column)
    sums = F.sum(F.abs(x), along, keepdims=True)
    extreme = F.max if ord > 0 else F.min
    found = extreme(sums, across, keepdims=True)
    return found if keepdims else F.squeeze(found, axes)


def _of_singular_values(x: Tensor, ord: Order, axes: tuple[int, int], keepdims: bool) -> Tensor:
    values = svdvals(F.moveaxis(x, axes, (-2, -1)))
    # Equal ones share the gradient, as where the matrix is 0.
    along = F.sum if ord == "nuc" else F.max if ord == 2 else F.min
    found = along(values, axis=-1)
    return F.expand_dims(found, tuple(sorted(axes))) if keepdims else found
