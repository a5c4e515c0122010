"""Reductions that take no notice of NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from nets.errors import ArgumentError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, cast, require
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.reduction import Axis
from nets.frontend.tensor.order.running import cumprod
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType

DTypeSpec = npt.DTypeLike | DType | None


def _without(x: TensorLike, value: float) -> tuple[Tensor, Tensor | None]:
    """x with another value for NaN, and where NaN was; None for dtypes that have none."""
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_float:
        return tensor, None
    is_nan = F.isnan(tensor)
    return F.where(is_nan, value, tensor), is_nan


@takes_dim
def nansum(
    a: TensorLike, axis: Axis = None, dtype: DTypeSpec = None, *, keepdims: bool = False
) -> Tensor:
    """Sum over the axes, NaN counting as 0.

    ``a`` is the tensor; ``axis``, ``dtype`` and ``keepdims`` are those of ``sum``.
    """
    return F.sum(_without(a, 0.0)[0], axis, keepdims, dtype)


@takes_dim
def nanprod(
    a: TensorLike, axis: Axis = None, dtype: DTypeSpec = None, *, keepdims: bool = False
) -> Tensor:
    """Product over the axes, NaN counting as 1.

    ``a`` is the tensor; ``axis``, ``dtype`` and ``keepdims`` are those of ``prod``.
    """
    return F.prod(_without(a, 1.0)[0], axis, keepdims, dtype)


@takes_dim
def nancumsum(a: TensorLike, axis: int | None = None, dtype: DTypeSpec = None) -> Tensor:
    """Sums up to and including each element, NaN counting as 0.

    ``a`` is the tensor; ``axis`` and ``dtype`` are those of ``cumsum``.
    """
    return F.cumsum(_without(a, 0.0)[0], axis, dtype)


@takes_dim
def nancumprod(a: TensorLike, axis: int | None = None, dtype: DTypeSpec = None) -> Tensor:
    """Products up to and including each element, NaN counting as 1.

    ``a`` is the tensor; ``axis`` and ``dtype`` are those of ``cumprod``.
    """
    return cumprod(_without(a, 1.0)[0], axis, dtype)


@takes_dim
def nanmean(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Mean over the axes of the elements that are not NaN; NaN where there are none.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``mean``.
    """
    tensor, is_nan = _without(a, 0.0)
    if is_nan is None:
        return F.mean(tensor, axis, keepdims)
    return F.divide(F.sum(tensor, axis, keepdims), _count(is_nan, tensor, axis, keepdims))


def _count(is_nan: Tensor, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    return cast(F.sum(F.logical_not(is_nan), axis, keepdims), x.type.dtype)


@takes_dim
def nanvar(
    a: TensorLike,
    axis: Axis = None,
    ddof: float = 0,
    *,
    keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:
    """Variance over the axes of the elements that are not NaN, by their number minus ``ddof``
    (``correction``); NaN where that is not positive.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``var``.
    """
    tensor, is_nan = _without(a, 0.0)
    if is_nan is None:
        return F.var(tensor, axis, ddof, keepdims, correction=correction)
    mean = nanmean(a, axis, keepdims=True)
    distance = F.where(is_nan, 0.0, F.subtract(tensor, mean))
    total = F.sum(F.multiply(distance, distance), axis, keepdims)
    less = ddof if correction is None else correction
    divisor = F.subtract(_count(is_nan, tensor, axis, keepdims), less)
    return F.divide(total, F.where(F.greater(divisor, 0), divisor, math.nan))


@takes_dim
def nanstd(
    a: TensorLike,
    axis: Axis = None,
    ddof: float = 0,
    *,
    keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation, the square root of ``nanvar``; its gradient is 0 where it is 0.

    ``a``, ``axis``, ``ddof``, ``correction`` and ``keepdims`` are those of ``nanvar``.
    """
    found = nanvar(a, axis, ddof, keepdims=keepdims, correction=correction)
    is_zero = F.equal(found, 0)
    return F.where(is_zero, 0, F.sqrt(F.where(is_zero, 1, found)))


@takes_dim
def nanmax(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Largest element over the axes that is not NaN; NaN where there is none.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``max``.
    """
    tensor, is_nan = _without(a, -math.inf)
    return _unless_all_nan(F.max(tensor, axis, keepdims), is_nan, axis, keepdims)


@takes_dim
def nanmin(a: TensorLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Smallest element over the axes that is not NaN; NaN where there is none.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``min``.
    """
    tensor, is_nan = _without(a, math.inf)
    return _unless_all_nan(F.min(tensor, axis, keepdims), is_nan, axis, keepdims)


def _unless_all_nan(result: Tensor, is_nan: Tensor | None, axis: Any, keepdims: bool) -> Tensor:
    return result if is_nan is None else F.where(F.all(is_nan, axis, keepdims), math.nan, result)


@takes_dim
def nanargmax(a: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Position of the first largest element that is not NaN; ArgumentError where there is none.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``argmax``.
    """
    tensor, is_nan = _without(a, -math.inf)
    return _one_at_least(F.argmax(tensor, axis, keepdims), is_nan, axis, keepdims)


@takes_dim
def nanargmin(a: TensorLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Position of the first smallest element that is not NaN; ArgumentError where there is none.

    ``a`` is the tensor; ``axis`` and ``keepdims`` are those of ``argmin``.
    """
    tensor, is_nan = _without(a, math.inf)
    return _one_at_least(F.argmin(tensor, axis, keepdims), is_nan, axis, keepdims)


def _one_at_least(result: Tensor, is_nan: Tensor | None, axis: Any, keepdims: bool) -> Tensor:
    if is_nan is None:
        return result
    is_there = F.logical_not(F.all(is_nan, axis, keepdims))
    message = "a slice of NaN alone has no largest and no smallest element"
    if current_scope() is not None:
        return require(result, is_there, ArgumentError, message)
    if not is_there.data.all():
        raise ArgumentError(message, user_location())
    return result
