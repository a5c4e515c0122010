"""Weighted means, covariances and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ArgumentError, DivisionByZeroError, DTypeError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    as_float,
    as_tensor,
    cast,
    known_elements,
    promote,
    require,
    shape_text,
)
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.reduction import Axis
from nets.frontend.tensor.functions.shape import different_axes
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import is_chosen
from nets.frontend.tensor.words.axes import lifted
from nets.ir.location import user_location
from nets.ir.types import DType, f64

DTypeSpec = npt.DTypeLike | DType | None


@takes_dim
def average(
    a: TensorLike,
    axis: Axis = None,
    weights: TensorLike | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """The mean over the axes, weighted; with ``returned`` also the sum of the weights.

    ``weights`` have the shape of the tensor, or of it along the axes. ShapeError for others,
    ArgumentError where these need an axis, DivisionByZeroError for weights that add up to zero.
    ``a`` is the tensor; ``keepdims`` as in ``mean``.
    """
    tensor, returned = as_tensor(a), is_chosen(returned, "returned")
    if weights is None:
        mean = F.mean(tensor, axis, keepdims)
        return (mean, F.full_like(mean, tensor.size / max(mean.size, 1))) if returned else mean
    beside = _weights(tensor, as_tensor(weights), axis)
    tensor, weight = promote(tensor if tensor.type.dtype.is_float else cast(tensor, f64), beside)
    scale = _not_zero(F.sum(F.broadcast_to(weight, tensor.shape), axis, keepdims))
    mean = F.divide(F.sum(F.multiply(tensor, weight), axis, keepdims), scale)
    return (mean, scale) if returned else mean


def _weights(x: Tensor, weights: Tensor, axis: Axis) -> Tensor:
    """The weights with an axis for each of x."""
    if weights.shape == x.shape:
        return weights
    if axis is None:
        raise ArgumentError(
            f"weights of shape {shape_text(weights.shape)} for {shape_text(x.shape)} need an axis",
            user_location(),
        )
    axes = different_axes(axis, x.ndim)
    if weights.shape != tuple(x.shape[at] for at in axes):
        raise ShapeError(
            f"weights of shape {shape_text(weights.shape)} do not fit the axes {tuple(axes)} of "
            f"{shape_text(x.shape)}",
            user_location(),
        )
    order = sorted(range(len(axes)), key=axes.__getitem__)
    turned = F.permute_dims(weights, order)
    return F.reshape(turned, [n if i in axes else 1 for i, n in enumerate(x.shape)])


def _not_zero(x: Tensor) -> Tensor:
    message = "the weights of an average add up to zero"
    if current_scope() is not None:
        return require(x, F.not_equal(x, 0), DivisionByZeroError, message)
    if not x.data.all():
        raise DivisionByZeroError(message, user_location())
    return x


@takes_dim
def ptp(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over the axes minus the smallest.

    ``a`` is the tensor; ``axis`` and ``keepdims`` as in ``max``.
    """
    return F.subtract(F.max(a, axis, keepdims), F.min(a, axis, keepdims))


def cov(
    m: TensorLike,
    y: TensorLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: TensorLike | None = None,
    aweights: TensorLike | None = None,
    *,
    dtype: DTypeSpec = None,
) -> Tensor:
    """Covariances of variables, which are the rows (or without ``rowvar`` the columns) of m and y.

    The divisor is the number of observations minus 1, or without, with ``bias``; or minus ``ddof``.
    ``fweights`` count observations, ``aweights`` weigh them. ShapeError for more than two axes or
    weights that do not fit; DTypeError for a ``ddof`` that is no integer; in eager code
    ArgumentError for negative weights, and DTypeError for ``fweights`` that are no integers.
    ``dtype`` is float64 by default.
    """
    less = 0 if is_chosen(bias, "bias") else 1
    less = less if ddof is None else integer_of(ddof, "ddof")
    x = _variables(m, y, is_chosen(rowvar, "rowvar"), dtype)
    weights = _observations(x, fweights, aweights)
    if weights is None:
        mean, divisor = F.mean(x, 1, True), as_tensor(float(x.shape[1] - less))
    else:
        total = F.sum(weights)
        mean = F.divide(F.sum(F.multiply(x, weights), 1, True), total)
        divisor = F.subtract(total, less)
        if aweights is not None and less:
            of_squares = F.sum(F.multiply(weights, as_float(aweights)))
            divisor = F.subtract(total, F.divide(F.multiply(less, of_squares), total))
    centred = F.subtract(x, mean)
    weighed = centred if weights is None else F.multiply(centred, weights)
    product = F.matmul(centred, F.transpose(weighed))
    return F.squeeze(F.divide(product, F.maximum(divisor, 0.0)))


def _variables(m: TensorLike, y: TensorLike | None, by_rows: bool, dtype: DTypeSpec) -> Tensor:
    """All variables as rows, float64 by default."""
    given = [as_tensor(m)] if y is None else [as_tensor(m), as_tensor(y)]
    if any(x.ndim > 2 for x in given):
        raise ShapeError("variables are the rows of at most two axes", user_location())
    parts = [lifted(x, 2) for x in given]
    parts = [
        part if by_rows or x.ndim < 2 else F.transpose(part)
        for part, x in zip(parts, given, strict=True)
    ]
    rows = F.concatenate(parts, 0)
    return F.astype(rows, "float64" if dtype is None else dtype)


def _observations(
    x: Tensor, counts: TensorLike | None, weights: TensorLike | None
) -> Tensor | None:
    """The weight of each column."""
    given = [as_tensor(w) for w in (counts, weights) if w is not None]
    for w in given:
        if w.shape != x.shape[1:]:
            raise ShapeError(
                f"{x.shape[1]} observations have as many weights, not {shape_text(w.shape)}",
                user_location(),
            )
    for name, weighing in (("fweights", counts), ("aweights", weights)):
        elements = None if weighing is None else known_elements(as_tensor(weighing))
        if elements is not None and (elements < 0).any():
            raise ArgumentError(f"{name} are not negative", user_location())
        if name == "fweights" and elements is not None and (elements % 1 != 0).any():
            raise DTypeError("fweights count observations: they are integers", user_location())
    given = [as_float(w) for w in given]
    return F.multiply(*given) if len(given) == 2 else given[0] if given else None


def corrcoef(
    x: TensorLike, y: TensorLike | None = None, rowvar: bool = True, *, dtype: DTypeSpec = None
) -> Tensor:
    """Coefficients of correlation of variables, from −1 to 1; see ``cov``.

    ``x``, ``y``, ``rowvar`` and ``dtype`` are those of ``cov``.
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return F.divide(c, c)
    deviation = F.sqrt(c[np.arange(c.shape[0]), np.arange(c.shape[0])])
    scaled = F.divide(F.divide(c, F.expand_dims(deviation, 1)), deviation)
    return F.clip(scaled, -1, 1)
