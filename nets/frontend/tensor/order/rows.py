"""What functions along an axis share: the axis at the end and back, elements at positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import apply, as_tensor, cast, constant
from nets.frontend.tensor.functions.reduction import Axis, normal_axes
from nets.frontend.tensor.functions.shape import normal_axis, under
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import DType, i64


def placed(x: Tensor, source: int, target: int) -> Tensor:
    """x with an axis moved, as no view of it."""
    order = list(range(x.ndim))
    order.insert(target, order.pop(source))
    return x if order == sorted(order) else apply("transpose", x, axes=tuple(order))


def sorted_along(x: Tensor, axis: int, *, descending: bool = False) -> Tensor:
    last = x.ndim - 1
    return placed(apply("sort", placed(x, axis, last), descending=descending), last, axis)


def order_along(x: Tensor, axis: int, *, descending: bool = False) -> Tensor:
    last = x.ndim - 1
    return placed(apply("argsort", placed(x, axis, last), descending=descending), last, axis)


def at(x: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Of each row of x along an axis the elements at its positions."""
    return apply("pick", x, positions, axis=axis)


def cut(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    """x from one position of an axis to another."""
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    stops = tuple(stop if i == axis else n for i, n in enumerate(x.shape))
    return apply("slice", x, starts=starts, stops=stops, steps=(1,) * x.ndim)


def numbers(shape: tuple[int, ...], axis: int) -> Tensor:
    """The numbers of the positions along an axis."""
    return apply("iota", shape=shape, dtype=i64, axis=axis)


def counted_up(mask: Tensor) -> Tensor:
    """How many of the elements of a row of bools hold, up to each one."""
    return apply("running", mask, axis=mask.ndim - 1, combiner="add", reverse=False)


def number_like(value: float, like: Tensor) -> Tensor:
    """A number of the dtype of a tensor."""
    return constant(np.array(value, like.dtype))


def flat_rows(x: Tensor, axis: Axis) -> tuple[Tensor, tuple[int, ...]]:
    """x with the axes as the last one, and the shape of results that keep them with size 1."""
    axes = normal_axes(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    order = (*rest, *axes)
    moved = x if order == tuple(range(x.ndim)) else apply("transpose", x, axes=order)
    count: Any = 1
    for i in axes:
        count = count * x.shape[i]
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return under(moved, (*(x.shape[i] for i in rest), count)), kept


def one_axis(x: Tensor, axis: int) -> int:
    return normal_axis(axis, x.ndim)


def indices_of(name: str, indices: object, rank: int | None = None) -> Tensor:
    """Integers as int64; DTypeError for others, ShapeError for another rank."""
    found = as_tensor(indices)  # type: ignore[arg-type]
    if not found.size and not isinstance(indices, Tensor):
        found = cast(found, i64)
    if not found.type.dtype.is_integer:
        raise DTypeError(f"{name} takes integer indices, not {found.type}", user_location())
    if rank is not None and found.ndim != rank:
        raise ShapeError(
            f"{name} takes indices with {rank} axes, not {found.type}", user_location()
        )
    return cast(found, i64)


def count_of(k: object, most: int, what: str) -> int:
    """An integer from 0 to ``most``; ShapeError for another."""
    number = integer_of(k, what)
    if not 0 <= number <= most:
        raise ShapeError(f"{what} lies between 0 and {most}, not {number}", user_location())
    return number


def identity(combiner: str, dtype: DType) -> float:
    """What combined with a number gives that number."""
    if combiner in ("add", "mul"):
        return int(combiner == "mul")
    if dtype.is_float:
        return -math.inf if combiner == "max" else math.inf
    if dtype.is_bool:
        return int(combiner == "min")
    limits = np.iinfo(str(dtype.numpy))
    return int(limits.min if combiner == "max" else limits.max)
