"""Choosing by conditions and by numbers, and functions along axes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import several
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, cast, promote, require_dtype
from nets.frontend.tensor.functions.arithmetic import as_bool
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.indexing import within
from nets.frontend.tensor.functions.shape import normal_axis
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import function_of
from nets.frontend.tensor.words.positions import flatnonzero
from nets.ir.location import user_location
from nets.ir.types import i64


def select(
    condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0
) -> Tensor:
    """For each position the choice of the first condition that holds there, else ``default``.

    ShapeError for other than as many conditions as choices, DTypeError for what is no bool.
    ``condlist`` has the conditions, ``choicelist`` what is chosen.
    """
    conditions = [as_tensor(c) for c in several(condlist, "select")]
    choices = several(choicelist, "select")
    if len(conditions) != len(choices) or not conditions:
        raise ShapeError(
            f"select takes a choice for each condition, not {len(choices)} for {len(conditions)}",
            user_location(),
        )
    for c in conditions:
        require_dtype(c, "b", "a condition of select is a bool")
    *choices, result = promote(*choices, default)
    for c, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = F.where(c, choice, result)
    return result


def choose(a: TensorLike, choices: Any, mode: str = "raise") -> Tensor:
    """For each position the element of the choice that ``a`` numbers there.

    Numbers of no choice are an IndexOutOfBoundsError, or become one by ``mode``, as in ``take``.
    ``choices`` is a list of tensors that broadcast.
    """
    number = as_tensor(a)
    require_dtype(number, "iub", "the number of a choice is an integer")
    choices = several(choices, "choose")
    if not choices:
        raise ShapeError("choose takes one choice or more", user_location())
    listed = F.broadcast_arrays(number, *promote(*choices))
    number, options = cast(listed[0], i64), listed[1:]
    found = within(number, len(options), mode) if mode != "raise" else None
    number = F.check_positions(number, len(options), "a choice") if found is None else found
    result = options[-1]
    for i, option in reversed(list(enumerate(options[:-1]))):
        result = F.where(F.equal(number, i), option, result)
    return F.positive(result)


@takes_dim
def compress(
    condition: TensorLike, a: TensorLike, axis: int | None = None, *, size: int | None = None
) -> Tensor:
    """The slices along the axis, or elements, at the positions where the condition is not zero.

    A trace takes a ``size``, as ``nonzero`` does, and fills up with the slice at 0.
    """
    mask, tensor = as_tensor(condition), as_tensor(a)
    if mask.ndim != 1:
        raise ShapeError(
            f"the condition of compress has one axis, not {mask.type}", user_location()
        )
    tensor = F.flatten(tensor) if axis is None else tensor
    return F.take(tensor, flatnonzero(mask, size=size), 0 if axis is None else axis)


def extract(condition: TensorLike, arr: TensorLike, *, size: int | None = None) -> Tensor:
    """The elements where the condition is not zero; see ``compress``.

    ``arr`` is the tensor; a trace takes a ``size``.
    """
    return compress(F.flatten(condition), F.flatten(arr), size=size)


def piecewise(
    x: TensorLike, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any
) -> Tensor:
    """For each position the function, or number, of the last condition that holds there.

    One function more than conditions is for where none holds, else 0. The functions get all of x,
    and give the dtype of x. ShapeError for another number of functions. ``condlist`` has the
    conditions, ``funclist`` the functions; ``args`` and ``kw`` go to each.
    """
    tensor = as_tensor(x)
    conditions = [_lifted(as_bool(c), tensor) for c in _several(condlist, tensor)]
    functions = several(funclist, "piecewise")
    if len(functions) not in (len(conditions), len(conditions) + 1):
        raise ShapeError(
            f"{len(functions)} functions for {len(conditions)} conditions", user_location()
        )
    is_odd = len(functions) > len(conditions)
    result = _value(functions[-1], tensor, args, kw) if is_odd else F.zeros_like(tensor)
    for c, function in zip(conditions, functions, strict=False):
        result = F.where(c, _value(function, tensor, args, kw), result)
    return F.positive(F.broadcast_to(result, tensor.shape))


def _several(condlist: Any, x: Tensor) -> list[Any]:
    """The conditions one by one, as NumPy takes them: rows of a tensor, or it as the only one."""
    if isinstance(condlist, (list, tuple)):
        is_list = not condlist or np.ndim(condlist[0]) > 0 or not x.ndim
    else:
        is_list = np.ndim(condlist) > (1 if x.ndim else 0)
    return list(condlist) if is_list else [condlist]


def _lifted(condition: Tensor, x: Tensor) -> Tensor:
    """A condition for the first axes of x, under all of them."""
    return F.reshape(condition, (*condition.shape, *(1,) * (x.ndim - condition.ndim)))


def _value(function: Any, x: Tensor, args: Any, options: Any) -> Tensor:
    found = function(x, *args, **options) if callable(function) else function
    return F.astype(found, x.dtype)


@takes_dim
def apply_along_axis(
    func1d: Callable[..., TensorLike], axis: int, arr: TensorLike, *args: Any, **kwargs: Any
) -> Tensor:
    """The results of a function of each row along the axis, in the place of that axis.

    The function is traced once, for all rows together, as by ``nets.vmap``. ``func1d`` is the
    function of a row of ``arr``; ``args`` and ``kwargs`` go to it.
    """
    tensor, function = as_tensor(arr), function_of(func1d, "apply_along_axis")
    at = normal_axis(axis, tensor.ndim)
    rows = F.moveaxis(tensor, at, -1)
    mapped: Any = lambda row: as_tensor(function(row, *args, **kwargs))  # noqa: E731
    batched = sys.modules["nets"].vmap(mapped)
    lead = rows.shape[:-1]
    found = batched(F.reshape(rows, (-1, rows.shape[-1])) if rows.size else rows)
    result = F.reshape(found, (*lead, *found.shape[1:]))
    depth = result.ndim - len(lead)
    moved = tuple(range(len(lead), result.ndim))
    return F.moveaxis(result, moved, tuple(range(at, at + depth))) if depth else result


def apply_over_axes(func: Callable[..., TensorLike], a: TensorLike, axes: Any) -> Tensor:
    """A function of a tensor and an axis, such as ``nets.sum``, over one axis after the other,
    which stay with size 1. ShapeError for a function that gives something else.

    ``func`` is the function, ``axes`` are the axes.
    """
    result = as_tensor(a)
    rank, function = result.ndim, function_of(func, "apply_over_axes")
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        at = normal_axis(axis, rank)
        found = as_tensor(function(result, at))
        result = F.expand_dims(found, at) if found.ndim == rank - 1 else found
        if result.ndim != rank:
            raise ShapeError("the function does not give a tensor of that rank", user_location())
    return result
