"""Segments: slices along the first axis combined by the number of their segment.

The names and arguments are those of ``jax.ops``, and of jraph for the mean and the softmax.

``data`` is a tensor, or what makes one; ``segment_ids`` tells the segment of each of its slices,
``num_segments`` how many there are; ``indices_are_sorted`` is taken and needs no promise.
"""

from __future__ import annotations

import numpy as np

from nets.errors import ControlFlowError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    cast,
    constant,
    expand,
)
from nets.frontend.tensor.functions.arithmetic import divide, maximum, where
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.functions.mathematics import exp
from nets.frontend.tensor.functions.shape import under
from nets.frontend.tensor.order.rows import cut, identity, indices_of, number_like
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import u8


def segment_sum(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """The sums of the slices of data along its first axis by segment, in the order they have.

    ``segment_ids`` has one axis, of the size of that of data; the result has ``num_segments``
    slices, by default as many as the largest id tells, which is not known inside a trace
    (ControlFlowError). Ids that are no number of a segment are left out, negative ones as well.
    Empty segments are 0. ``indices_are_sorted`` is taken and needs no promise.

    ShapeError for other shapes, DTypeError for ids that are no integers.
    """
    return _segments("segment_sum", data, segment_ids, num_segments, "add")


def segment_prod(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """The products of the slices by segment, as ``segment_sum`` has the sums; empty ones are 1."""
    return _segments("segment_prod", data, segment_ids, num_segments, "mul")


def segment_max(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """The largest elements by segment, as ``segment_sum`` has the sums; empty segments are the
    smallest number of the dtype, −inf of floats. Elements that tie share the gradient."""
    return _segments("segment_max", data, segment_ids, num_segments, "max")


def segment_min(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """The smallest elements by segment, as ``segment_sum`` has the sums; empty segments are the
    largest number of the dtype, inf of floats. Elements that tie share the gradient."""
    return _segments("segment_min", data, segment_ids, num_segments, "min")


def segment_mean(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """The means by segment, as ``segment_sum`` has the sums; empty ones are 0. Integers and bools
    give float64."""
    tensor = as_float(data)
    found = _segments("segment_mean", tensor, segment_ids, num_segments, "add")
    ids = indices_of("segment_mean", segment_ids, 1)
    ones = expand(number_like(1, tensor), ids.shape)
    count = _segments("segment_mean", ones, ids, found.shape[0], "add")
    divisor = under(maximum(count, 1), (found.shape[0], *(1,) * (found.ndim - 1)))
    return divide(found, divisor)


def segment_softmax(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
) -> Tensor:
    """exp(data) over its sum by segment, without overflow: of the shape of data.

    Slices whose id is no number of a segment are 0. Arguments and errors are those of
    ``segment_sum``.
    """
    tensor = as_float(data)
    ids = indices_of("segment_softmax", segment_ids, 1)
    top = _segments("segment_softmax", stop_gradient(tensor), ids, num_segments, "max")
    count = top.shape[0]
    inside = under((ids >= 0) & (ids < count), (*ids.shape, *(1,) * (tensor.ndim - 1)))
    if not count:
        return where(inside, tensor, number_like(0, tensor))
    place = where((ids >= 0) & (ids < count), ids, 0)
    largest = where((top - top) == 0, top, number_like(0, top))
    power = exp(tensor - apply("gather", largest, place, axis=0))
    power = where(inside, power, number_like(0, tensor))
    sums = _segments("segment_softmax", power, place, count, "add")
    return where(inside, power / apply("gather", sums, place, axis=0), number_like(0, tensor))


def _segments(
    name: str, data: TensorLike, segment_ids: TensorLike, num_segments: int | None, combiner: str
) -> Tensor:
    tensor, ids = as_tensor(data), indices_of(name, segment_ids, 1)
    if not tensor.ndim or tensor.shape[:1] != ids.shape:
        raise ShapeError(
            f"{name} takes one id for each slice of {tensor.type}, not {ids.type}",
            user_location(),
        )
    is_bool = tensor.type.dtype.is_bool
    tensor = cast(tensor, u8) if is_bool else tensor
    count = _count(name, ids, num_segments)
    start = number_like(identity(combiner, tensor.type.dtype), tensor)
    rest = tensor.shape[1:]
    if not ids.size or not count:
        return expand(start, (count, *rest))
    line, rows = (ids, count) if _are_inside(ids, count) else (_confined(ids, count), count + 1)
    line = under(line, (*ids.shape, *(1,) * len(rest)))
    zeros = expand(start, (rows, *rest))
    found = apply("scatter", zeros, line, tensor, axis=0, combiner=combiner)
    return found if rows == count else cut(found, 0, 0, count)


def _count(name: str, ids: Tensor, num_segments: int | None) -> int:
    if num_segments is not None:
        count = integer_of(num_segments, "num_segments")
        if count < 0:
            raise ShapeError(f"num_segments is not negative: {count}", user_location())
        return count
    if current_scope() is not None:
        raise ControlFlowError(
            f"how many segments {name} has is known only when the traced function runs; write "
            "num_segments=",
            user_location(),
        )
    return max(int(ids.data.max()) + 1, 0) if ids.size else 0


def _are_inside(ids: Tensor, count: int) -> bool:
    """Whether all ids are known to be numbers of segments."""
    if current_scope() is not None:
        return False
    return bool(ids.data.min() >= 0) and bool(ids.data.max() < count)


def _confined(ids: Tensor, count: int) -> Tensor:
    """The ids, those of no segment as one more."""
    return where((ids >= 0) & (ids < count), ids, constant(np.array(count)))
