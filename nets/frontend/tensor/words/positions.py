"""Positions of elements: of those that are not zero, and as one number or one per axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nets.errors import ControlFlowError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import several
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    cast,
    constant,
    require_dtype,
)
from nets.frontend.tensor.functions.arithmetic import as_bool
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.indexing import within
from nets.frontend.tensor.functions.shape import new_shape
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import count_of
from nets.ir.location import user_location
from nets.ir.types import i64


@takes_dim
def count_nonzero(a: TensorLike, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """How many elements over the axes are not zero (int64).

    ``a`` is the tensor; ``axis`` and ``keepdims`` as in ``sum``.
    """
    return F.sum(as_bool(a), axis, keepdims)


def nonzero(
    a: TensorLike, *, size: int | None = None, fill_value: Any = None
) -> tuple[Tensor, ...]:
    """For each axis the positions (int64) of the elements that are not zero, in row-major order.

    How many there are is not known in a trace, which therefore takes a ``size``: what is more is
    left out, and the rest has the positions ``fill_value``, one number or one per axis, by default
    0. ControlFlowError without a ``size`` in a trace, ShapeError for a 0-d tensor.
    """
    tensor = as_tensor(a)
    if not tensor.ndim:
        raise ShapeError(
            "a 0-d tensor has no axis to give positions along: nets.atleast_1d(x)", user_location()
        )
    if size is None:
        return _found(tensor)
    count = count_of(size, "the number of positions")
    flat, is_there = _first(F.flatten(as_bool(tensor)), count)
    fills = fill_value if isinstance(fill_value, (tuple, list)) else [fill_value] * tensor.ndim
    if len(fills) != tensor.ndim:
        raise ShapeError(f"fill_value has one position per axis of {tensor.type}", user_location())
    positions = unravel_index(flat, tensor.shape) if tensor.size else [flat] * tensor.ndim
    return tuple(
        F.where(is_there, x, cast(as_tensor(0 if fill is None else fill), i64))
        for x, fill in zip(positions, fills, strict=True)
    )


def _found(x: Tensor) -> tuple[Tensor, ...]:
    if current_scope() is not None:
        raise ControlFlowError(
            f"how many elements of a {x.type} are not zero is known only when the traced function "
            "runs; say how many positions come out: nets.nonzero(x, size=10, fill_value=-1)",
            user_location(),
        )
    return tuple(constant(np.ascontiguousarray(at)) for at in np.nonzero(x.data))


def _first(mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` positions that are true, and which of them there are."""
    total = mask.shape[0]
    rank = F.cumsum(mask) - 1
    target = F.where(F.logical_and(mask, F.less(rank, count)), rank, count)
    numbers = F.where(mask, F.arange(total), 0)
    found = apply("scatter_add", F.zeros(count + 1, "int64"), target, numbers, axis=0)[:count]
    is_there = F.less(F.arange(count), F.sum(mask))
    return F.where(is_there, found, 0), is_there


def place_of_each(times: Tensor, count: int) -> Tensor:
    """For each of ``count`` results the element it repeats, where each element is to be repeated
    so many times; the last one where there are none any more."""
    size = times.shape[0]
    ends = F.minimum(F.cumsum(F.maximum(times, 0)), count)
    steps = apply("scatter_add", F.zeros(count + 1, "int64"), ends, F.ones(size, "int64"), axis=0)
    return F.minimum(F.cumsum(steps)[:count], size - 1)


def flatnonzero(a: TensorLike, *, size: int | None = None, fill_value: Any = None) -> Tensor:
    """The positions in the flattened tensor of the elements that are not zero; see ``nonzero``.

    ``a``, ``size`` and ``fill_value`` are those of ``nonzero``.
    """
    return nonzero(F.flatten(a), size=size, fill_value=fill_value)[0]


def argwhere(a: TensorLike, *, size: int | None = None, fill_value: Any = None) -> Tensor:
    """A row of positions, one per axis, for each element that is not zero; see ``nonzero``.

    ``a``, ``size`` and ``fill_value`` are those of ``nonzero``.
    """
    tensor = as_tensor(a)
    if tensor.ndim:
        return F.stack(nonzero(tensor, size=size, fill_value=fill_value), 1)
    (found,) = nonzero(F.reshape(tensor, (1,)), size=size, fill_value=fill_value)
    return F.zeros((found.shape[0], 0), "int64")


# -------------------------------------------------------------- one number, or one per axis


def unravel_index(indices: TensorLike, shape: Any) -> tuple[Tensor, ...]:
    """The positions along the axes of a shape for positions in its row-major order.

    IndexOutOfBoundsError for positions beyond, as ``check_positions`` gives it. ``indices`` are the
    positions.
    """
    tensor, sizes = as_tensor(indices), new_shape(shape)
    require_dtype(tensor, "iu", "a position is an integer")
    rest = cast(_inside(tensor, math.prod(sizes), "a position in all axes"), i64)
    found = []
    for size in reversed(sizes[1:]):
        found.append(F.remainder(rest, size))
        rest = F.floor_divide(rest, size)
    return tuple(reversed([*found, rest] if sizes else []))


def _inside(x: Tensor, size: int, what: str) -> Tensor:
    return F.check_positions(x, size, what) if size or x.size else x


def ravel_multi_index(
    multi_index: Sequence[TensorLike], dims: Any, mode: str | Sequence[str] = "raise"
) -> Tensor:
    """The position in row-major order for one along each axis of the shape ``dims``.

    ``mode``, one for all axes or each, says what becomes of positions beyond: an
    IndexOutOfBoundsError, or as in ``take``. ShapeError for another number of axes. ``multi_index``
    has positions for each axis.
    """
    sizes = new_shape(dims)
    picks = [as_tensor(x) for x in several(multi_index, "ravel_multi_index")]
    modes = [mode] * len(sizes) if isinstance(mode, str) else several(mode, "mode")
    if len(picks) != len(sizes) or len(modes) != len(sizes):
        raise ShapeError(f"positions for {len(picks)} axes, of {len(sizes)}", user_location())
    position = as_tensor(np.zeros((), np.int64))
    for at, size, own in zip(picks, sizes, modes, strict=True):
        require_dtype(at, "iu", "a position is an integer")
        inside = within(at, size, own) if own != "raise" else _inside(at, size, "a position")
        position = F.add(F.multiply(position, size), cast(inside, i64))
    return position
