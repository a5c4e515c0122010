"""Quantiles: the median and others, of all elements or of those that are not NaN.

The rows are sorted, which puts NaN last. Between two elements the result is interpolated, by one of
nine methods of R. J. Hyndman and Y. Fan, "Sample quantiles in statistical packages", The American
Statistician 50 (1996), or by one of four that take an element, or the middle of two.

``x`` is a tensor, or what makes one; ``axis`` is one axis, several, or None for all; ``keepdims``
keeps them with size 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nets.frontend.tensor.conversion import is_scalar
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    cast,
    expand,
    fitted,
)
from nets.frontend.tensor.functions.arithmetic import (
    divide,
    maximum,
    minimum,
    multiply,
    subtract,
    where,
)
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.comparison import isnan
from nets.frontend.tensor.functions.indexing import check_range
from nets.frontend.tensor.functions.mathematics import ceil, floor
from nets.frontend.tensor.functions.mathematics import round as nearest
from nets.frontend.tensor.functions.reduction import Axis
from nets.frontend.tensor.functions.reduction import sum as total
from nets.frontend.tensor.functions.shape import permute_dims, under
from nets.frontend.tensor.order.rows import at, cut, flat_rows
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import one_of
from nets.ir.types import i64

Count = Any
"""How many elements there are: a number, or a tensor of one per row."""


@takes_dim
def median(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle element over the axes, the mean of the two middle ones of an even number.

    Integers and bools give float64. NaN where an element is NaN, or where there are none. The
    gradient goes to the elements in the middle.
    """
    return _median(as_float(x), axis, keepdims, is_nan_left_out=False)


@takes_dim
def nanmedian(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The median over the axes of the elements that are not NaN; NaN where there are none."""
    return _median(as_float(x), axis, keepdims, is_nan_left_out=True)


def _median(x: Tensor, axis: Axis, keepdims: bool, *, is_nan_left_out: bool) -> Tensor:
    rows, kept = flat_rows(x, axis)
    shape = kept if keepdims else rows.shape[:-1]
    size: Any = rows.shape[-1]
    last = rows.ndim - 1
    if isinstance(size, int) and not size:
        return expand(fitted(float("nan"), x.type.dtype), shape)
    ordered = apply("sort", rows, descending=False)
    if is_nan_left_out:
        count = total(cast(~isnan(rows), i64), axis=-1, keepdims=True)
        low, high = at(ordered, maximum(count - 1, 0) // 2, last), at(ordered, count // 2, last)
        high = where(count > 0, high, low)
    else:
        low = cut(ordered, last, (size - 1) // 2, (size - 1) // 2 + 1)
        high = cut(ordered, last, size // 2, size // 2 + 1)
    middle = where(low == high, low, (low + high) / 2)
    if not is_nan_left_out:
        largest = cut(ordered, last, size - 1, size)
        middle = where(isnan(largest), largest, middle)
    return under(middle, shape)


# ------------------------------------------------------------------------ positions by method


def _by_parameters(alpha: float, beta: float) -> Callable[[Count, Tensor], Tensor]:
    return lambda n, q: multiply(n, q) + (alpha + q * (1 - alpha - beta)) - 1


def _along(n: Count, q: Tensor) -> Tensor:
    return multiply(n - 1, q)


_CONTINUOUS: Final[dict[str, Callable[[Count, Tensor], Tensor]]] = {
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "interpolated_inverted_cdf": _by_parameters(0, 1),
    "hazen": _by_parameters(0.5, 0.5),
    "weibull": _by_parameters(0, 0),
    "linear": _along,
    "median_unbiased": _by_parameters(1 / 3, 1 / 3),
    "normal_unbiased": _by_parameters(3 / 8, 3 / 8),
    "midpoint": lambda n, q: 0.5 * (floor(_along(n, q)) + ceil(_along(n, q))),
}
"""Where between the elements, counted from 0, a quantile lies."""


def _above(index: Tensor, is_exact: Callable[[Tensor], Tensor]) -> Tensor:
    """The position after the index, but the index itself where it is exact."""
    below = floor(index)
    return maximum(where((index == below) & is_exact(below), below, below + 1), 0.0)


_DISCRETE: Final[dict[str, Callable[[Count, Tensor], Tensor]]] = {
    "inverted_cdf": lambda n, q: _above(n * q - 1, lambda below: below == below),
    "closest_observation": lambda n, q: _above(n * q - 1.5, lambda below: below % 2 == 1),
    "lower": lambda n, q: floor(_along(n, q)),
    "higher": lambda n, q: ceil(_along(n, q)),
    "nearest": lambda n, q: nearest(_along(n, q)),
}
"""Which element a quantile is."""


def _weight(method: str, index: Tensor, below: Tensor) -> Tensor:
    """How much of the next element a quantile has."""
    rest = subtract(index, below)
    if method == "averaged_inverted_cdf":
        return cast(where(rest == 0, 0.5, 1.0), rest.type.dtype)
    if method == "midpoint":
        return cast(where(rest == 0, 0.0, 0.5), rest.type.dtype)
    return rest


# -------------------------------------------------------------------------------- quantiles


@takes_dim
def quantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    interpolation: str | None = None,
) -> Tensor:
    """What a part ``q``, from 0 to 1, of the elements over the axes lies below.

    The axes of q come first in the result. ``method``, or PyTorch's word ``interpolation``, is one
    of NumPy's: "linear", "lower", "higher", "nearest", "midpoint", "inverted_cdf",
    "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen",
    "weibull", "median_unbiased", "normal_unbiased". A q that is a Python number leaves the dtype of
    floats; others have the dtype that it and x promote to. NaN where an element is NaN.

    ArgumentError for a q that is no such part, and for another method. The gradient goes to the
    elements that the result lies between, and to q.
    """
    return _quantile(x, q, axis, interpolation or method, keepdims, 1, is_nan_left_out=False)


@takes_dim
def nanquantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    interpolation: str | None = None,
) -> Tensor:
    """The quantile of the elements that are not NaN; NaN where there are none. ``q``, ``method``
    and ``interpolation`` are those of ``quantile``."""
    return _quantile(x, q, axis, interpolation or method, keepdims, 1, is_nan_left_out=True)


@takes_dim
def percentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The quantile of q percent, from 0 to 100; ``method`` is as of ``quantile``."""
    return _quantile(x, q, axis, method, keepdims, 100, is_nan_left_out=False)


@takes_dim
def nanpercentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The percentile of the elements that are not NaN; NaN where there are none. ``q`` and
    ``method`` are those of ``percentile`` and ``quantile``."""
    return _quantile(x, q, axis, method, keepdims, 100, is_nan_left_out=True)


def _quantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis,
    method: str,
    keepdims: bool,
    whole: int,
    *,
    is_nan_left_out: bool,
) -> Tensor:
    one_of(method, sorted((*_CONTINUOUS, *_DISCRETE)), "a method of quantiles")
    is_weak = is_scalar(q)
    parts = check_range(q, 0.0, float(whole), "a quantile")
    is_end = whole == 1 and parts.type.dtype.is_integer
    parts = as_float(parts)
    parts = divide(parts, float(whole)) if whole != 1 else parts
    is_discrete = method in _DISCRETE or (method == "linear" and is_end)
    tensor = as_tensor(x) if is_discrete else as_float(x)
    if tensor.type.dtype.is_bool:
        tensor = as_float(x)
    rows, kept = flat_rows(tensor, axis)
    found = _of_rows(
        rows, under(parts, (parts.size,)), method, is_discrete, is_weak, is_nan_left_out
    )
    own = kept if keepdims else rows.shape[:-1]
    last = found.ndim - 1
    front = found if not last else permute_dims(found, (last, *range(last)))
    return under(front, (*parts.shape, *own))


def _of_rows(
    rows: Tensor,
    parts: Tensor,
    method: str,
    is_discrete: bool,
    is_weak: bool,
    is_nan_left_out: bool,
) -> Tensor:
    """The quantiles of each row, along a last axis."""
    size: Any = rows.shape[-1]
    last = rows.ndim - 1
    shape = (*rows.shape[:-1], parts.size)
    if isinstance(size, int) and not size:
        return expand(fitted(float("nan"), as_float(rows).type.dtype), shape)
    has_nan = rows.type.dtype.is_float
    ordered = apply("sort", rows, descending=False)
    count: Count = size
    if is_nan_left_out and has_nan:
        count = cast(total(cast(~isnan(rows), i64), axis=-1, keepdims=True), parts.type.dtype)
    elif not isinstance(size, int):
        count = cast(as_tensor(size), parts.type.dtype)
    most = maximum(count - 1, 0) if isinstance(count, Tensor) else float(count - 1)
    if is_discrete:
        index = _DISCRETE.get(method, _along)(count, parts)
        result = _element(ordered, minimum(maximum(index, 0.0), most), shape)
    else:
        index = _CONTINUOUS[method](count, parts)
        below = minimum(maximum(floor(index), 0.0), most)
        above = minimum(maximum(floor(index) + 1, 0.0), most)
        weight = expand(_weight(method, index, below), shape)
        weight = cast(weight, rows.type.dtype) if is_weak else weight
        low, high = (_element(ordered, place, shape) for place in (below, above))
        result = _between(low, high, weight)
    if not has_nan or is_nan_left_out:
        return result
    largest = expand(cut(ordered, last, size - 1, size), shape)
    return where(isnan(largest), largest, result)


def _element(ordered: Tensor, place: Tensor, shape: tuple[int, ...]) -> Tensor:
    return at(ordered, expand(cast(place, i64), shape), ordered.ndim - 1)


def _between(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """From the nearer end, so that the result grows with the weight."""
    apart = high - low
    near = where(weight >= 0.5, high - apart * (1 - weight), low + apart * weight)
    same = low == high
    return where(same, cast(low, near.type.dtype), near)
