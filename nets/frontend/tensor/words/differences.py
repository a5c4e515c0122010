"""Differences of neighbours and what they add up to: diff, gradient, trapezoid, cumulative sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of, number_of
from nets.frontend.tensor.dispatch import TensorLike, as_float, as_tensor, cast
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.reduction import normal_axes
from nets.frontend.tensor.functions.shape import different_axes, normal_axis
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType

DTypeSpec = npt.DTypeLike | DType | None


def _cut(x: Tensor, axis: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
    return x[(*(slice(None),) * axis, slice(start, stop, step))]


@takes_dim
def diff(
    a: TensorLike,
    n: int = 1,
    axis: int = -1,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """Each element along the axis minus the one before, n times; of bools, whether they differ.

    ``prepend`` and ``append`` come before and after it: numbers, or tensors of its shape but for
    the axis. ShapeError for a 0-d tensor, ArgumentError for a negative n.
    """
    tensor, times = as_tensor(a), integer_of(n, "the number of differences")
    if times < 0:
        raise ArgumentError(f"diff is taken 0 times or more, not {times}", user_location())
    if not tensor.ndim:
        raise ShapeError("diff takes at least one axis", user_location())
    at = normal_axis(axis, tensor.ndim)
    if times == 0:
        return F.positive(tensor)
    beside = [None if x is None else _beside(x, tensor, at) for x in (prepend, append)]
    parts = [x for x in (beside[0], tensor, beside[1]) if x is not None]
    tensor = F.concatenate(parts, at) if len(parts) > 1 else tensor
    differ = F.not_equal if tensor.type.dtype.is_bool else F.subtract
    for _ in range(times):
        tensor = differ(_cut(tensor, at, 1, None), _cut(tensor, at, None, -1))
    return tensor


def _beside(x: TensorLike, tensor: Tensor, axis: int) -> Tensor:
    part = as_tensor(x)
    if part.ndim:
        return part
    return F.broadcast_to(part, [1 if i == axis else n for i, n in enumerate(tensor.shape)])


def ediff1d(
    ary: TensorLike, to_end: TensorLike | None = None, to_begin: TensorLike | None = None
) -> Tensor:
    """Differences of neighbours in the flattened tensor, between ``to_begin`` and ``to_end``, which
    take its dtype.

    ``ary`` is the tensor.
    """
    flat = F.flatten(ary)
    parts = [F.subtract(flat[1:], flat[:-1])]
    if to_begin is not None:
        parts.insert(0, cast(F.flatten(to_begin), flat.type.dtype))
    if to_end is not None:
        parts.append(cast(F.flatten(to_end), flat.type.dtype))
    return F.concatenate(parts)


@takes_dim
def trapezoid(
    y: TensorLike, x: TensorLike | None = None, dx: TensorLike = 1.0, axis: int = -1
) -> Tensor:
    """The integral along the axis by trapezoids between points ``x``, or ``dx`` apart.

    ``y`` has the values.
    """
    values = as_tensor(y)
    at = normal_axis(axis, values.ndim)
    width: Any = dx
    if x is not None:
        points = as_tensor(x)
        width = diff(points, axis=0 if points.ndim == 1 else at)
        if points.ndim == 1:
            width = F.reshape(width, (-1, *(1,) * (values.ndim - at - 1)))
    both = F.add(_cut(values, at, 1, None), _cut(values, at, None, -1))
    return F.sum(F.divide(F.multiply(width, both), 2.0), at)


@takes_dim
def unwrap(
    p: TensorLike, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi
) -> Tensor:
    """``p`` without jumps along the axis: a step of ``discont``, by default half a ``period``, or
    more becomes one that differs by whole periods, and all that follows is moved with it."""
    tensor, size = as_tensor(p), number_of(period, "a period")
    at = normal_axis(axis, tensor.ndim)
    steps = diff(tensor, axis=at)
    counts = tensor.type.dtype.is_integer and isinstance(size, int)
    half = size // 2 if counts else size / 2
    wrapped = F.subtract(F.remainder(F.add(steps, half), size), half)
    if not counts or size % 2 == 0:  # half a period may be taken up or down
        up = F.logical_and(F.equal(wrapped, -half), F.greater(steps, 0))
        wrapped = F.where(up, half, wrapped)
    least = size / 2 if discont is None else number_of(discont, "discont")
    change = F.where(F.less(F.abs(steps), least), 0, F.subtract(wrapped, steps))
    moved = F.add(_cut(tensor, at, 1, None), F.cumsum(change, at))
    return F.concatenate([_cut(tensor, at, 0, 1), moved], at)


@takes_dim
def cumulative_sum(
    x: TensorLike,
    *,
    axis: int | None = None,
    dtype: DTypeSpec = None,
    include_initial: bool = False,
) -> Tensor:
    """Sums up to and including each element along the axis; with ``include_initial`` 0 before them.

    The axis may be left out where there is one. ShapeError else. ``x`` is added up in ``dtype``, by
    default as by ``sum``.
    """
    tensor, at = as_tensor(x), axis_of_one(x, axis)
    result = F.cumsum(tensor, at, dtype)
    if not include_initial:
        return result
    shape = [1 if i == at else n for i, n in enumerate(tensor.shape)]
    return F.concatenate([F.zeros(shape, result.dtype), result], at)


def axis_of_one(x: TensorLike, axis: int | None) -> int:
    """The axis; that of a tensor with one where none is given."""
    rank = as_tensor(x).ndim
    if axis is None and rank != 1:
        raise ShapeError(f"{rank} axes need one to be chosen: axis=0", user_location())
    return normal_axis(0 if axis is None else axis, rank)


# ---------------------------------------------------------------------------------- gradient


@takes_dim
def gradient(f: TensorLike, *varargs: TensorLike, axis: Any = None, edge_order: int = 1) -> Any:
    """Derivatives of samples along axes: central differences, and at the ends one-sided ones.

    ``varargs``: distances of samples, or their places, one for all axes or for each. One tensor for
    one axis, else a tuple. ShapeError for too few samples, other numbers of places, or an axis
    given twice. For the
    derivatives of functions see ``nets.grad``. ``f`` has the samples; those at the ends are of
    order ``edge_order``, 1 or 2.
    """
    tensor = as_tensor(f)
    tensor = tensor if tensor.type.dtype.is_float else as_float(tensor)
    axes = normal_axes(None, tensor.ndim) if axis is None else different_axes(axis, tensor.ndim)
    order = integer_of(edge_order, "edge_order")
    if order not in (1, 2):
        raise ArgumentError(f"edge_order is 1 or 2, not {order}", user_location())
    spacing = list(varargs) or [1.0]
    if len(spacing) == 1 and np.ndim(spacing[0]) == 0:  # type: ignore[arg-type]
        spacing = spacing * len(axes)
    if len(spacing) != len(axes):
        raise ArgumentError(f"{len(spacing)} distances for {len(axes)} axes", user_location())
    found = tuple(_along(tensor, at, h, order) for at, h in zip(axes, spacing, strict=True))
    return found[0] if len(found) == 1 else found


def _along(f: Tensor, axis: int, spacing: TensorLike, order: int) -> Tensor:
    count = f.shape[axis]
    if count < order + 1:
        raise ShapeError(f"gradient needs {order + 1} samples, not {count}", user_location())
    places = as_tensor(spacing)
    if places.ndim > 1 or (places.ndim and places.shape[0] != count):
        raise ShapeError(f"{count} samples have as many places, not {places.type}", user_location())
    shape = (-1, *(1,) * (f.ndim - axis - 1))
    if places.ndim:
        widths = F.reshape(diff(as_float(places)), shape)
    else:
        widths = F.broadcast_to(places, (count - 1, *shape[1:]))
    left, right = widths[:-1], widths[1:]
    parts = [_cut(f, axis, 0, -2), _cut(f, axis, 1, -1), _cut(f, axis, 2, None)]
    if places.ndim:
        inner = _weighted(parts, _inner_weights(left, right))
    else:
        inner = F.divide(F.subtract(parts[2], parts[0]), F.multiply(2.0, places))
    first = _end(f, axis, widths, order, 1)
    last = _end(F.flip(f, axis), axis, F.flip(widths, 0), order, -1)
    return cast(F.concatenate([first, inner, last], axis), f.type.dtype)


def _inner_weights(left: Tensor, right: Tensor) -> list[Tensor]:
    both = F.add(left, right)
    return [
        F.divide(F.negative(right), F.multiply(left, both)),
        F.divide(F.subtract(right, left), F.multiply(left, right)),
        F.divide(left, F.multiply(right, both)),
    ]


def _weighted(parts: list[Tensor], weights: list[Tensor]) -> Tensor:
    first, second, third = (F.multiply(w, x) for w, x in zip(weights, parts, strict=True))
    return F.add(F.add(first, second), third)


def _end(f: Tensor, axis: int, widths: Tensor, order: int, sign: int) -> Tensor:
    """The derivative at the start of the axis, or with ``sign`` −1 at the end of one flipped."""
    parts = [_cut(f, axis, i, i + 1) for i in range(order + 1)]
    near = widths[:1]
    if order == 1:
        step = F.subtract(parts[1], parts[0])
        return F.divide(step if sign > 0 else F.negative(step), near)
    far = widths[1:2]
    both = F.add(near, far)
    weights = [
        F.divide(F.negative(F.add(F.multiply(2.0, near), far)), F.multiply(near, both)),
        F.divide(both, F.multiply(near, far)),
        F.divide(F.negative(near), F.multiply(far, both)),
    ]
    found = _weighted(parts, weights)
    return found if sign > 0 else F.negative(found)
