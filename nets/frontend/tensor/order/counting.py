"""Counting: how many elements are equal to each number, or lie in each bin.

``x`` is a tensor, or what makes one, which is flattened.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nets.errors import ArgumentError, ControlFlowError, DTypeError, ShapeError
from nets.frontend.tensor.conversion import integer_of, is_scalar, several
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    cast,
    constant,
    expand,
    promote,
    require,
    require_dtype,
)
from nets.frontend.tensor.functions.arithmetic import divide, minimum, where
from nets.frontend.tensor.functions.reduction import max as largest
from nets.frontend.tensor.functions.reduction import min as smallest
from nets.frontend.tensor.functions.reduction import sum as total
from nets.frontend.tensor.functions.shape import flatten
from nets.frontend.tensor.order.rows import cut, number_like, numbers
from nets.frontend.tensor.order.searching import searchsorted
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import f64, i64

Bins = Any
"""A number of bins, their edges, or the name of a rule that chooses them."""


def bincount(
    x: TensorLike,
    weights: TensorLike | None = None,
    minlength: int = 0,
    *,
    length: int | None = None,
) -> Tensor:
    """How often each number from 0 on is there among the integers of x, which has one axis.

    int64 of shape (largest + 1,), or ``minlength`` if that is more; with ``weights``, the sums of
    them (float64), through which gradients go. Inside a trace, where the largest number is not
    known, ``length`` says how many numbers are counted: larger ones are left out, as in JAX.

    ArgumentError for a negative number, DTypeError for what is no integer, ShapeError for other
    axes; ControlFlowError inside a trace without a length.
    """
    tensor = as_tensor(x)
    if not tensor.size and not isinstance(x, Tensor):
        tensor = cast(tensor, i64)
    require_dtype(tensor, "iub", "bincount counts integers")
    if tensor.ndim != 1:
        raise ShapeError(f"bincount takes one axis, not {tensor.type}", user_location())
    tensor = cast(tensor, i64)
    if weights is None:
        count = _length(tensor, integer_of(minlength, "minlength"), length)
        return apply("tally", tensor, length=count)
    tensor = _not_negative(tensor)
    count = _length(tensor, integer_of(minlength, "minlength"), length)
    parts = cast(as_tensor(weights), f64)
    if parts.shape != tensor.shape:
        raise ShapeError(
            f"bincount of {tensor.type} takes as many weights, not {parts.type}", user_location()
        )
    return counted(tensor, parts, count)


def counted(slots: Tensor, parts: Tensor, count: int) -> Tensor:
    """The sums of parts by slot; those whose slot is ``count`` or beyond are left out."""
    zeros = expand(number_like(0, parts), (count + 1,))
    inside = minimum(slots, count)
    return cut(apply("scatter", zeros, inside, parts, axis=0, combiner="add"), 0, 0, count)


def _not_negative(x: Tensor) -> Tensor:
    message = "bincount counts numbers that are not negative"
    if current_scope() is not None:
        return require(x, x >= 0, ArgumentError, message)
    if x.data.size and x.data.min() < 0:
        raise ArgumentError(f"{message}: {x.data.min()}", user_location())
    return x


def _length(x: Tensor, minlength: int, length: int | None) -> int:
    if minlength < 0:
        raise ArgumentError(f"minlength is not negative: {minlength}", user_location())
    if length is not None:
        count = integer_of(length, "length")
        if count < 0:
            raise ArgumentError(f"length is not negative: {count}", user_location())
        return count
    if current_scope() is not None:
        raise ControlFlowError(
            "the largest number that bincount counts is known only when the traced function runs; "
            "write length=, which says how many numbers are counted",
            user_location(),
        )
    return max(minlength, int(x.data.max()) + 1 if x.data.size else 0)


# --------------------------------------------------------------------------------- histograms


def histogram_bin_edges(
    x: TensorLike,
    bins: Bins = 10,
    range: tuple[float, float] | None = None,
    weights: TensorLike | None = None,
) -> Tensor:
    """The edges of the bins of a histogram: one more than there are bins.

    ``bins`` is a number of bins of one width over the ``range``, by default from the smallest
    element to the largest one; or the edges themselves, ascending; or, outside of traces, the name
    of a rule of NumPy's, which takes no ``weights``. ArgumentError for others, and for a range that
    is not finite or descends.
    """
    tensor = flatten(x)
    if isinstance(bins, str):
        return _by_rule(tensor, bins, range, weights)
    axes = bins.ndim if isinstance(bins, Tensor) else np.ndim(bins)
    if axes == 1:
        edges = as_tensor(bins)
        if current_scope() is None and (np.diff(edges.data) < 0).any():
            raise ArgumentError("the edges of bins ascend", user_location())
        return edges
    if axes:
        raise ArgumentError("bins are a number, or edges along one axis", user_location())
    count = integer_of(bins, "the number of bins")
    if count < 1:
        raise ArgumentError(f"there is one bin at least, not {count}", user_location())
    first, last = _outer_edges(tensor, range)
    own = tensor.type.dtype
    return cast(_evenly(first, last, count), own if own.is_float else f64)


def _by_rule(
    x: Tensor, rule: str, range: tuple[float, float] | None, weights: TensorLike | None
) -> Tensor:
    if weights is not None:
        raise ArgumentError(f"the rule {rule!r} for bins takes no weights", user_location())
    if current_scope() is not None:
        raise ControlFlowError(
            f"how many bins the rule {rule!r} takes is known only when the traced function runs; "
            "write bins= as a number",
            user_location(),
        )
    try:
        return constant(np.histogram_bin_edges(x.data, rule, range))
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"histogram: {error}", user_location()) from None


def _outer_edges(x: Tensor, range: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
    if range is not None:
        bounds = several(range, "a range")
        if len(bounds) != 2 or not all(map(is_scalar, bounds)):
            raise ArgumentError(f"a range is two numbers, not {range}", user_location())
        low, high = bounds
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ArgumentError(f"a range is finite and ascends, not {range}", user_location())
        first, last = (constant(np.array(float(bound))) for bound in (low, high))
    elif not x.size:
        first, last = constant(np.array(0.0)), constant(np.array(1.0))
    else:
        first, last = smallest(x), largest(x)
        if first.type.dtype.is_bool:
            first, last = cast(first, f64), cast(last, f64)
        first, last = _finite(first), _finite(last)
    same = first == last
    floats = [y if y.type.dtype.is_float else cast(y, f64) for y in (first, last)]
    return where(same, floats[0] - 0.5, floats[0]), where(same, floats[1] + 0.5, floats[1])


def _finite(x: Tensor) -> Tensor:
    if not x.type.dtype.is_float:
        return x
    message = "the range of a histogram is that of finite elements"
    if current_scope() is not None:
        return require(x, (x - x) == 0, ArgumentError, message)
    if not math.isfinite(x.item()):
        raise ArgumentError(f"{message}, not {x.item()}: write range=", user_location())
    return x


def _evenly(first: Tensor, last: Tensor, count: int) -> Tensor:
    """The edges of so many bins of one width, in the steps of NumPy's linspace."""
    place = cast(numbers((count + 1,), 0), first.type.dtype)
    apart = last - first
    step = apart / count
    edges = where(step == 0, place / count * apart, place * step) + first
    return where(place == count, last, edges)


def histc(x: TensorLike, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of ``bins`` equal parts of [min, max], in the dtype of x; the
    rest is left out. Where ``min`` is ``max``, the bounds are the smallest and the largest element,
    and where these are equal, they are moved by 1.

    DTypeError for integers; ArgumentError for no bins, or bounds in the wrong order or not finite.
    """
    tensor = flatten(as_tensor(x))
    require_dtype(tensor, "f", "histc counts floats")
    count = integer_of(bins, "bins")
    if not is_scalar(min) or not is_scalar(max):
        raise ArgumentError(f"min and max are numbers, not {min!r} and {max!r}", user_location())
    low, high = float(min), float(max)
    if count < 1:
        raise ArgumentError(f"histc takes at least one bin, not {count}", user_location())
    if not -math.inf < low <= high < math.inf:
        raise ArgumentError(f"histc counts from min to max, not {low} to {high}", user_location())
    least, most = as_tensor(low), as_tensor(high)
    if low == high and tensor.size:
        least, most = smallest(tensor), largest(tensor)
    least, most = cast(least, tensor.type.dtype), cast(most, tensor.type.dtype)
    is_one = least == most
    least, most = where(is_one, least - 1, least), where(is_one, most + 1, most)
    place = divide(tensor - least, most - least) * count
    is_inside = (tensor >= least) & (tensor <= most)
    number = cast(where(is_inside, place, count + 1), i64)
    number = where(is_inside & (number == count), count - 1, number)
    return cast(bincount(number, length=count), tensor.type.dtype)


def histogram(
    x: TensorLike,
    bins: Bins = 10,
    range: tuple[float, float] | None = None,
    density: bool | None = None,
    weights: TensorLike | None = None,
) -> tuple[Tensor, Tensor]:
    """How many elements lie in each bin (int64), and the edges of the bins, which ``bins`` and
    ``range`` tell as those of ``histogram_bin_edges`` do.

    A bin goes from its edge, included, to the next one; the last bin includes both. With
    ``weights``, of the shape of x, the sums of them in their dtype; with ``density`` divided by
    their total and by the width of the bin (float64).
    """
    tensor = as_tensor(x)
    edges = histogram_bin_edges(tensor, bins, range, weights)
    flat = flatten(tensor)
    values, bounds = promote(flat, edges)
    count = edges.shape[0] - 1
    slot = searchsorted(bounds, values, "right") - 1
    slot = where(values == bounds[-1], count - 1, slot)
    outside = (slot < 0) | (values != values) if values.type.dtype.is_float else slot < 0
    slot = where(outside, count, slot)
    if weights is None:
        found = apply("tally", slot, length=count)
    else:
        found = _weighed(tensor, slot, as_tensor(weights), count)
    if not density:
        return found, edges
    width = cast(cut(edges, 0, 1, count + 1), f64) - cast(cut(edges, 0, 0, count), f64)
    return divide(divide(found, width), total(found)), edges


def _weighed(x: Tensor, slot: Tensor, weights: Tensor, count: int) -> Tensor:
    if weights.shape != x.shape:
        raise ShapeError(
            f"a histogram of {x.type} takes weights of its shape, not {weights.type}",
            user_location(),
        )
    if weights.type.dtype.is_bool:
        raise DTypeError("weights are numbers, not bools", user_location())
    own = weights.type.dtype
    wide = cast(flatten(weights), f64) if own.is_float else flatten(weights)
    return cast(counted(slot, wide, count), own)
