"""Reductions: sums, extremes, moments over some axes, and running sums along one.

``axis`` is one axis, a tuple of axes, or None for all; negative axes count from the end.
``keepdims`` keeps the reduced axes with size 1.

``x`` is a tensor, or what makes one: an array, a list, a number. ``dtype`` is that in which
elements are combined, and of the result.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.conversion import dtype_of
from nets.frontend.tensor.dimension import not_negative
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    cast,
    expand,
    fitted,
    renewed,
    shape_text,
)
from nets.frontend.tensor.functions.arithmetic import abs as absolute
from nets.frontend.tensor.functions.arithmetic import (
    as_bool,
    divide,
    maximum,
    minimum,
    multiply,
    subtract,
    where,
)
from nets.frontend.tensor.functions.arithmetic import pow as power
from nets.frontend.tensor.functions.comparison import equal
from nets.frontend.tensor.functions.gradient import astype
from nets.frontend.tensor.functions.mathematics import sqrt
from nets.frontend.tensor.functions.shape import different_axes, flatten, normal_axis, reshape
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType, f64, i64, u8, u64

Axis = int | tuple[int, ...] | None
DTypeSpec = npt.DTypeLike | DType | None


def normal_axes(axis: object, rank: int) -> tuple[int, ...]:
    """The axes, ascending and counted from the start; ShapeError for one twice or out of range."""
    return tuple(range(rank)) if axis is None else tuple(sorted(different_axes(axis, rank)))


def _reduce(name: str, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = normal_axes(axis, x.ndim)
    if not axes:
        return renewed(x)
    result = apply(name, x, axes=axes)
    if not keepdims:
        return result
    return reshape(result, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def summable(x: TensorLike, dtype: DTypeSpec) -> Tensor:
    """The operand of a sum or product: as NumPy, narrow integers and bools are widened."""
    tensor = as_tensor(x)
    if dtype is not None:
        return astype(tensor, dtype) if tensor._weak else cast(tensor, dtype_of(dtype))
    own = tensor.type.dtype
    if own.is_float:
        return tensor
    return cast(tensor, u64 if own.kind == "u" else i64)


def sum(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, dtype: DTypeSpec = None
) -> Tensor:
    """Sum over the axes; bools and narrow integers add up in 64 bits."""
    return _reduce("reduce_sum", summable(x, dtype), axis, keepdims)


def prod(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, dtype: DTypeSpec = None
) -> Tensor:
    """Product over the axes; bools and narrow integers multiply in 64 bits."""
    return _reduce("reduce_prod", summable(x, dtype), axis, keepdims)


def max(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, *, initial: float | None = None
) -> Tensor:
    """Largest element over the axes; a NaN wins. ShapeError over no elements.

    ``initial`` is a number that the result is at least, and is over no elements. Elements that tie
    share the gradient equally, several NaN as well.
    """
    if initial is not None:
        return maximum(_or_nothing("reduce_max", x, axis, keepdims, initial), initial)
    return _extreme("reduce_max", "reduce_any", x, axis, keepdims)


def min(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, *, initial: float | None = None
) -> Tensor:
    """Smallest element over the axes; a NaN wins. ShapeError over no elements.

    ``initial`` is a number that the result is at most, and is over no elements. Elements that tie
    share the gradient equally, several NaN as well.
    """
    if initial is not None:
        return minimum(_or_nothing("reduce_min", x, axis, keepdims, initial), initial)
    return _extreme("reduce_min", "reduce_all", x, axis, keepdims)


def _or_nothing(name: str, x: TensorLike, axis: Axis, keepdims: bool, initial: float) -> Tensor:
    """An extreme of numbers; over no elements ``initial``, or what it gives way to."""
    tensor = as_tensor(x)
    axes = normal_axes(axis, tensor.ndim)
    if not builtins.any(isinstance(n, int) and not n for n in (tensor.shape[i] for i in axes)):
        return _reduce(name, tensor, axis, keepdims)
    shape = tuple(1 if i in axes else n for i, n in enumerate(tensor.shape))
    kept = shape if keepdims else tuple(n for i, n in enumerate(shape) if i not in axes)
    return expand(fitted(initial, tensor.type.dtype), kept)


def _extreme(name: str, of_bools: str, x: TensorLike, axis: Axis, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    if tensor.type.dtype.is_bool:
        return _reduce(of_bools, tensor, axis, keepdims)
    for at in normal_axes(axis, tensor.ndim):
        _one_at_least(name.removeprefix("reduce_"), tensor, at)
    return _reduce(name, tensor, axis, keepdims)


def _one_at_least(name: str, x: Tensor, axis: int) -> None:
    """Let calls be checked for an element along an axis whose size they tell."""
    size: Any = x.shape[axis]
    if not isinstance(size, int):
        what = f"{name} over axis {axis} of shape {shape_text(x.shape)}"
        if not not_negative(size - 1, what):
            raise ShapeError(f"{what} has no element to give", user_location())


def largest(x: Tensor, axis: Axis) -> Tensor:
    """The largest element over the axes, which stay with size 1; of no elements, where a call tells
    their number, the least number of the dtype."""
    return _reduce("reduce_max", x, axis, keepdims=True)


def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether an element over the axes is not zero."""
    return _reduce("reduce_any", as_bool(x), axis, keepdims)


def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether no element over the axes is zero."""
    return _reduce("reduce_all", as_bool(x), axis, keepdims)


def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position (int64) of the first largest element along the axis, or in the flattened tensor."""
    return _position("argmax", x, axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position (int64) of the first smallest element along the axis, or in the flattened tensor."""
    return _position("argmin", x, axis, keepdims)


def _position(name: str, x: TensorLike, axis: int | None, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    if tensor.type.dtype.is_bool:
        tensor = cast(tensor, u8)
    if axis is None:
        flat = flatten(tensor)
        _one_at_least(name, flat, 0)
        result = apply(name, flat, axis=0)
        return reshape(result, (1,) * tensor.ndim) if keepdims else result
    at = normal_axis(axis, tensor.ndim)
    _one_at_least(name, tensor, at)
    result = apply(name, tensor, axis=at)
    shape = tensor.shape
    return reshape(result, (*shape[:at], 1, *shape[at + 1 :])) if keepdims else result


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over the axes; NaN over no elements."""
    tensor = as_float(x)
    total = _reduce("reduce_sum", tensor, axis, keepdims)
    return divide(total, as_double(_count(tensor, axis)))


def var(
    x: TensorLike,
    axis: Axis = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Variance over the axes: squared distances to the mean, divided by the count − ``ddof``.

    ``correction`` is the array API's word for ``ddof``. NaN where the divisor is not positive.
    """
    tensor = as_float(x)
    distance = subtract(tensor, mean(tensor, axis, keepdims=True))
    total = _reduce("reduce_sum", multiply(distance, distance), axis, keepdims)
    less = ddof if correction is None else correction
    if not isinstance(less, int | float | np.number):
        raise ArgumentError(f"ddof is a number, not {less!r}", user_location())
    divisor: Any = _count(tensor, axis) - less
    if isinstance(divisor, int | float | np.number):
        return divide(total, float(builtins.max(divisor, 0)))
    return divide(total, maximum(as_double(divisor), 0.0))


def std(
    x: TensorLike,
    axis: Axis = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation over the axes, the square root of ``var``.

    The gradient is 0 where the deviation is 0, as of one element. With ``ddof=1`` one element gives
    NaN, and so does its gradient.
    """
    return _root(var(x, axis, ddof, keepdims, correction=correction))


def norm(x: TensorLike, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Length of the vectors along the axes, by default of all elements as one: Σ|x|^ord to the
    power 1 / ord, and for ``math.inf`` the largest |x|.

    The gradient is 0 for the vector of zeros, and by elements that are 0; for ``math.inf`` the
    elements that tie share it. ArgumentError for an ``ord`` that is not positive.
    """
    if not isinstance(ord, int | float | np.number) or not ord > 0:
        raise ArgumentError(f"the ord of a norm is a positive number, not {ord}", user_location())
    tensor = as_float(x)
    if ord == 2:
        return _root(_reduce("reduce_sum", multiply(tensor, tensor), axis, keepdims))
    size = absolute(tensor)
    if ord == math.inf:
        return _reduce("reduce_max", size, axis, keepdims)
    if ord == 1:
        return _reduce("reduce_sum", size, axis, keepdims)
    powers = _where_not_zero(size, lambda size: power(size, float(ord)))
    total = _reduce("reduce_sum", powers, axis, keepdims)
    return _where_not_zero(total, lambda total: power(total, 1 / ord))


def _root(x: Tensor) -> Tensor:
    """The square root, whose derivative at 0 is 0 instead of infinite."""
    return _where_not_zero(x, sqrt)


def _where_not_zero(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of x, which where x is 0 gives 0 with a gradient of 0."""
    is_zero = equal(x, 0)
    return where(is_zero, 0, function(where(is_zero, 1, x)))


def as_double(n: float) -> Any:
    """A count as the Python float it would be, also where only a call tells it."""
    return float(n) if isinstance(n, int | float) else cast(as_tensor(n), f64)


def _count(x: Tensor, axis: Axis) -> int:
    return math.prod(x.shape[a] for a in normal_axes(axis, x.ndim))


def cumsum(x: TensorLike, axis: int | None = None, dtype: DTypeSpec = None) -> Tensor:
    """Sums of the elements up to and including each one, along an axis or the flattened tensor.

    One after the other, as NumPy adds them.
    """
    tensor = summable(x, dtype)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    at = normal_axis(axis, tensor.ndim)
    return apply("running", tensor, axis=at, combiner="add", reverse=False)
