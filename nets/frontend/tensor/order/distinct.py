"""Distinct elements: which there are, where they are, and how often.

``x`` is a tensor, or what makes one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nets.errors import ControlFlowError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    constant,
    expand,
    fitted,
)
from nets.frontend.tensor.functions.arithmetic import where
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.shape import flatten, normal_axis, under
from nets.frontend.tensor.order.rows import at, counted_up, cut, numbers, order_along, placed
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import i64


class UniqueAll(NamedTuple):
    """The distinct elements, the first position of each, theirs of all elements, and how often."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct elements, and how often they are there."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct elements, and which of them each element is."""

    values: Tensor
    inverse_indices: Tensor


@takes_dim
def unique(
    x: TensorLike,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
    size: int | None = None,
    fill_value: TensorLike | None = None,
) -> Any:
    """The distinct elements in ascending order; with an ``axis``, the distinct slices along it.

    Where asked for, a tuple: further with ``return_index`` the position (int64) of the first of
    each, with ``return_inverse`` which of them each element is, in the shape of x, and with
    ``return_counts`` how often each is there. ``sorted`` is taken; they always are. With
    ``equal_nan`` all NaN are one.

    How many there are is known when the elements are. Inside a trace, and elsewhere too, ``size``
    gives so many as are wanted: further ones are left out, whose elements then have the inverse
    ``size`` − 1 or beyond, and missing ones are ``fill_value``, by default the smallest, with the
    position of that and a count of 0. ControlFlowError inside a trace without it. The gradient goes
    to the first of each.
    """
    found = _unique(x, axis, equal_nan=equal_nan, size=size, fill_value=fill_value)
    wanted = (True, return_index, return_inverse, return_counts)
    chosen = tuple(part for part, is_wanted in zip(found, wanted, strict=True) if is_wanted)
    return chosen if len(chosen) > 1 else chosen[0]


def unique_consecutive(
    x: TensorLike,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
    *,
    size: int | None = None,
    fill_value: TensorLike | None = None,
) -> Any:
    """The first of each run of equal neighbours, in their order; with a ``dim``, of equal slices
    along it. Every NaN is a run.

    Where asked for, a tuple: further with ``return_inverse`` in which run each element is, in the
    shape of x, and how long each run is. ``size`` and ``fill_value`` as in ``unique``.
    """
    found = _unique(x, dim, equal_nan=False, size=size, fill_value=fill_value, sorts=False)
    wanted = (True, False, return_inverse, return_counts)
    chosen = tuple(part for part, is_wanted in zip(found, wanted, strict=True) if is_wanted)
    return chosen if len(chosen) > 1 else chosen[0]


def unique_all(
    x: TensorLike, *, size: int | None = None, fill_value: TensorLike | None = None
) -> UniqueAll:
    """The distinct elements, the first position of each, which of them each element is, and how
    often each is there; every NaN by itself. ``size`` as in ``unique``."""
    return _unique(x, None, equal_nan=False, size=size, fill_value=fill_value)


def unique_counts(
    x: TensorLike, *, size: int | None = None, fill_value: TensorLike | None = None
) -> UniqueCounts:
    """The distinct elements and how often each is there; every NaN by itself. ``size`` and
    ``fill_value`` are those of ``unique``."""
    found = _unique(x, None, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(
    x: TensorLike, *, size: int | None = None, fill_value: TensorLike | None = None
) -> UniqueInverse:
    """The distinct elements and which of them each element is; every NaN by itself. ``size`` and
    ``fill_value`` are those of ``unique``."""
    found = _unique(x, None, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(
    x: TensorLike, *, size: int | None = None, fill_value: TensorLike | None = None
) -> Tensor:
    """The distinct elements in ascending order; every NaN by itself. ``size`` as in ``unique``."""
    return _unique(x, None, equal_nan=False, size=size, fill_value=fill_value).values


def _unique(
    x: TensorLike,
    axis: int | None,
    *,
    equal_nan: bool,
    size: int | None,
    fill_value: TensorLike | None,
    sorts: bool = True,
) -> UniqueAll:
    tensor = as_tensor(x)
    if size is None and current_scope() is not None:
        raise ControlFlowError(
            "how many distinct elements there are is known only when the traced function runs; "
            "write size=, which says how many are wanted",
            user_location(),
        )
    if axis is None:
        entries, shape = under(flatten(tensor), (tensor.size, 1)), tensor.shape
    else:
        moved = placed(tensor, normal_axis(axis, tensor.ndim), 0)
        width = 1
        for n in moved.shape[1:]:
            width *= n
        entries, shape = under(moved, (moved.shape[0], width)), moved.shape[:1]
    order, is_new = _in_order(entries, equal_nan=equal_nan, sorts=sorts)
    wanted = None if size is None else integer_of(size, "size")
    first, counts, number = _first_of_each(is_new, wanted)
    indices = apply("gather", order, first, axis=0) if entries.shape[0] else first
    inverse = apply("scatter", number, order, number, axis=0, combiner="set")
    source = flatten(tensor) if axis is None else placed(tensor, axis % tensor.ndim, 0)
    values = apply("gather", source, indices, axis=0)
    if wanted is not None and fill_value is not None:
        is_there = under(counts > 0, (wanted, *(1,) * (values.ndim - 1)))
        values = where(is_there, values, fitted(fill_value, values.type.dtype))
    values = values if axis is None else placed(values, 0, axis % tensor.ndim)
    return UniqueAll(values, indices, under(inverse, shape), counts)


def _in_order(entries: Tensor, *, equal_nan: bool, sorts: bool) -> tuple[Tensor, Tensor]:
    """The order of rows, by their first element, then the second one and so on, or theirs; and
    which rows in that order are not as the one before."""
    count, width = entries.shape
    order = numbers((count,), 0)
    for column in reversed(range(width if sorts else 0)):
        key = under(cut(entries, 1, column, column + 1), (count,))
        order = at(order, order_along(at(key, order, 0), 0), 0)
    rows = apply("gather", entries, order, axis=0)
    if count <= 1 or not width:
        return order, numbers((count,), 0) < 1
    before, here = cut(rows, 0, 0, count - 1), cut(rows, 0, 1, count)
    differs = before != here
    if equal_nan:
        differs = differs & ~((before != before) & (here != here))
    first = expand(constant(np.array(True)), (1,))
    return order, apply("concatenate", first, differs.any(1), axis=0)


def _first_of_each(is_new: Tensor, size: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Where, in order, each distinct one begins, how often it is there; and for each element the
    number of its one."""
    count = is_new.shape[0]
    number = counted_up(is_new) - 1 if count else numbers((0,), 0)
    if size is None:
        (starts,) = np.nonzero(is_new.data)
        ends = np.append(starts[1:], count)
        return constant(starts), constant((ends - starts)[: len(starts)]), number
    return (*_slots(is_new, number, size), number)


def _slots(is_new: Tensor, number: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The same for so many; those that are not there begin at 0, and are there 0 times."""
    count = is_new.shape[0]
    none = expand(constant(np.array(0)), (size + 1,))
    if not count:
        return cut(none, 0, 0, size), cut(none, 0, 0, size)
    beyond = fitted(size, i64)
    slot = where(number < size, number, beyond)
    ones = expand(constant(np.array(1)), (count,))
    counts = apply("scatter", none, slot, ones, axis=0, combiner="add")
    at_start = where(is_new, slot, beyond)
    starts = apply("scatter", none, at_start, numbers((count,), 0), axis=0, combiner="set")
    return cut(starts, 0, 0, size), cut(counts, 0, 0, size)
