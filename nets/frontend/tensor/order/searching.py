"""Searching: where numbers belong among sorted ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dimension import is_open, size_bounds
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    cast,
    constant,
    expand,
    promote,
    shape_text,
)
from nets.frontend.tensor.functions.arithmetic import where
from nets.frontend.tensor.functions.shape import under
from nets.frontend.tensor.order.rows import at, indices_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import i32, i64, u8


def searchsorted(
    x1: TensorLike,
    x2: TensorLike,
    side: str = "left",
    sorter: TensorLike | None = None,
    *,
    right: bool = False,
    out_int32: bool = False,
) -> Tensor:
    """The positions (int64) among the sorted x1 before which the elements of x2 go.

    With side "left" it is the first such position, with "right", or ``right``, the last one. NaN
    are larger than all numbers. x1 has one axis, and then x2 any shape; or, as in PyTorch, more,
    and x2 has those before the last one, too. ``sorter`` gives positions that sort x1. The result
    has the shape of x2, and with ``out_int32`` the dtype int32.

    ArgumentError for another side, ShapeError for shapes that do not go together. Whether x1 is
    sorted is not looked at. There is no gradient.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"side is 'left' or 'right', not {side!r}", user_location())
    row, wanted = promote(x1, x2)
    if row.type.dtype.is_bool:
        row, wanted = cast(row, u8), cast(wanted, u8)
    if not row.ndim:
        raise ShapeError("searchsorted looks for elements among those of an axis", user_location())
    if sorter is not None:
        order = indices_of("searchsorted", sorter, row.ndim)
        if order.shape != row.shape:
            raise ShapeError(
                f"searchsorted takes a sorter of shape {shape_text(row.shape)}, not "
                f"{shape_text(order.shape)}",
                user_location(),
            )
        row = at(row, order, row.ndim - 1)
    found = _found(row, wanted, is_right=right or side == "right")
    return cast(found, i32) if out_int32 else found


def _found(row: Tensor, wanted: Tensor, *, is_right: bool) -> Tensor:
    shape = wanted.shape
    if row.ndim == 1:
        wanted = under(wanted, (wanted.size,))
    elif wanted.ndim != row.ndim or wanted.shape[:-1] != row.shape[:-1]:
        raise ShapeError(
            f"searchsorted among rows of shape {shape_text(row.shape)} takes as many rows, not "
            f"shape {shape_text(shape)}",
            user_location(),
        )
    return under(_positions(row, wanted, is_right=is_right), shape)


def _positions(row: Tensor, wanted: Tensor, *, is_right: bool) -> Tensor:
    """By halves: the position grows by ever smaller powers of two, as long as what stands before
    it goes before the element."""
    axis = row.ndim - 1
    size: Any = row.shape[axis]
    most = size_bounds(size)[1] if is_open((size,)) else size
    zero = constant(np.array(0))
    position = expand(zero, wanted.shape)
    if isinstance(most, int) and not most:
        return position
    last = as_tensor(size) - 1
    step = 1 << (int(most).bit_length() - 1)
    while step:
        further = position + step
        is_inside = further <= size
        there = apply("minimum", further - 1, expand(cast(last, i64), wanted.shape))
        element = at(row, there, axis)
        goes = _before(element, wanted) if not is_right else ~_before(wanted, element)
        position = where(is_inside & goes, further, position)
        step //= 2
    return position


def _before(x: Tensor, y: Tensor) -> Tensor:
    """Whether x is smaller than y, NaN being larger than all numbers."""
    if not x.type.dtype.is_float:
        return x < y
    return (x < y) | ((y != y) & (x == x))


def bucketize(
    x: TensorLike, boundaries: TensorLike, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """For each element of x the number of the bucket it lies in, between sorted boundaries: that
    of those below it, and with ``right`` of those at most as large.

    ``out_int32`` gives int32 instead of int64. ShapeError unless the boundaries have one axis.
    """
    bounds = as_tensor(boundaries)
    if bounds.ndim != 1:
        raise ShapeError(f"boundaries have one axis, not {bounds.type}", user_location())
    return searchsorted(bounds, x, right=right, out_int32=out_int32)


def digitize(x: TensorLike, bins: TensorLike, right: bool = False) -> Tensor:
    """For each element of x the number (int64) of the bin it lies in, out of sorted edges ``bins``.

    Bin i goes from edge i − 1, included, to edge i, and with ``right`` includes that one instead;
    0 is what lies below, and the number of edges what lies above. The edges may descend. ShapeError
    unless they have one axis; ArgumentError where they are known and not sorted.
    """
    edges = as_tensor(bins)
    if edges.ndim != 1:
        raise ShapeError(f"the bins of digitize have one axis, not {edges.type}", user_location())
    side = "left" if right else "right"
    if current_scope() is None:
        ahead = np.asarray(edges.data)
        if (ahead[1:] >= ahead[:-1]).all():
            return searchsorted(edges, x, side)
        if not (ahead[1:] <= ahead[:-1]).all():
            raise ArgumentError(
                "the bins of digitize ascend or descend throughout", user_location()
            )
        return _descending(edges, x, side)
    if edges.shape[0] in (0, 1):
        return searchsorted(edges, x, side)
    return where(edges[0] > edges[-1], _descending(edges, x, side), searchsorted(edges, x, side))


def _descending(edges: Tensor, x: TensorLike, side: str) -> Tensor:
    return edges.shape[0] - searchsorted(apply("flip", edges, axes=(0,)), x, side)
