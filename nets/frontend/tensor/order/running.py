"""Running results along an axis: products, and extremes with their positions.

``x`` is a tensor, or what makes one; ``dim`` an axis, counted from the end where negative;
``dtype`` is that in which elements are multiplied, and of the result.
"""

from __future__ import annotations

import math

from nets.errors import ShapeError
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    cast,
    expand,
    fitted,
)
from nets.frontend.tensor.functions.arithmetic import where
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.comparison import isfinite
from nets.frontend.tensor.functions.joining import roll
from nets.frontend.tensor.functions.mathematics import exp, log
from nets.frontend.tensor.functions.reduction import DTypeSpec, summable
from nets.frontend.tensor.functions.shape import flatten, normal_axis, under
from nets.frontend.tensor.order.sorting import Sorted
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import bool_, u8


@takes_dim
def cumprod(x: TensorLike, axis: int | None = None, dtype: DTypeSpec = None) -> Tensor:
    """Products of the elements up to and including each one, along an axis or of the flattened
    tensor.

    Bools and narrow integers multiply in 64 bits, or in ``dtype``. The gradient holds at zeros, to
    any order.
    """
    tensor = summable(x, dtype)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    place = normal_axis(axis, tensor.ndim)
    return apply("running", tensor, axis=place, combiner="mul", reverse=False)


@takes_dim
def cumulative_prod(
    x: TensorLike,
    *,
    axis: int | None = None,
    dtype: DTypeSpec = None,
    include_initial: bool = False,
) -> Tensor:
    """``cumprod``, which with ``include_initial`` starts from 1, the product of nothing.

    ShapeError without an axis, unless x has one only.
    """
    tensor = as_tensor(x)
    if axis is None:
        if tensor.ndim != 1:
            raise ShapeError(f"cumulative_prod of {tensor.type} needs an axis", user_location())
        axis = 0
    place = normal_axis(axis, tensor.ndim)
    found = cumprod(tensor, place, dtype)
    if not include_initial:
        return found
    shape = (*found.shape[:place], 1, *found.shape[place + 1 :])
    return apply("concatenate", expand(fitted(1, found.type.dtype), shape), found, axis=place)


@takes_dim
def cummax(x: TensorLike, dim: int = -1) -> Sorted:
    """The largest of the elements up to each one along an axis, and its position (int64).

    Of equals the last position, as in PyTorch; a NaN wins. The gradient goes to where the elements
    came from.
    """
    return _extremes(x, dim, "max")


@takes_dim
def cummin(x: TensorLike, dim: int = -1) -> Sorted:
    """The smallest of the elements up to each one along an axis, and its position (int64).

    Of equals the last position, as in PyTorch; a NaN wins. The gradient goes to where the elements
    came from.
    """
    return _extremes(x, dim, "min")


def _extremes(x: TensorLike, dim: int, combiner: str) -> Sorted:
    tensor = as_tensor(x)
    if not tensor.ndim:
        found = _extremes(under(tensor, (1,)), 0, combiner)
        return Sorted(*(under(y, ()) for y in found))
    place = normal_axis(dim, tensor.ndim)
    if tensor.type.dtype.is_bool:
        found = _extremes(cast(tensor, u8), dim, combiner)
        return Sorted(cast(found[0], bool_), found[1])
    along = {"axis": place, "combiner": combiner, "reverse": False}
    keys = apply("stop_gradient", tensor) if tensor.type.dtype.is_float else tensor
    return Sorted(apply("running", tensor, **along), apply("running_place", keys, **along))


@takes_dim
def logcumsumexp(x: TensorLike, dim: int) -> Tensor:
    """log Σ exp(x) of the elements up to each one along an axis, without overflow.

    The sum is kept as a multiple of the exponential of the largest element so far.
    """
    given = as_float(x)
    tensor = given if given.ndim else under(given, (1,))
    axis = normal_axis(dim, tensor.ndim)
    most = apply(
        "running", apply("stop_gradient", tensor), axis=axis, combiner="max", reverse=False
    )
    scale = where(isfinite(most), most, 0)
    before = roll(where(most == math.inf, 0, most), 1, axis)
    factors, terms = exp(before - scale), exp(tensor - scale)
    total = apply("running_linear", factors, terms, axis=axis, reverse=False)
    is_nothing = total == 0
    found = where(is_nothing, -math.inf, scale + log(where(is_nothing, 1, total)))
    return under(found, given.shape)
