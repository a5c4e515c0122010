"""Sorting: elements in order, the positions that order them, and the largest ones.

``x`` is a tensor, or what makes one; ``axis``, and PyTorch's ``dim``, is an axis, counted from the
end where negative. ``descending`` starts with the largest element. ``kind`` and ``stable`` are
taken and change nothing: equal elements keep their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.conversion import integer_of, several
from nets.frontend.tensor.dimension import is_open
from nets.frontend.tensor.dispatch import TensorLike, apply, as_tensor, broadcast, renewed
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.shape import flatten, normal_axis, under
from nets.frontend.tensor.order.rows import (
    at,
    count_of,
    cut,
    identity,
    number_like,
    numbers,
    order_along,
    placed,
    sorted_along,
)
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location

_KINDS = (None, "quicksort", "mergesort", "heapsort", "stable")


class Sorted(NamedTuple):
    """Elements, and the positions that they come from."""

    values: Tensor
    indices: Tensor


def _along(x: TensorLike, axis: int | None, kind: str | None) -> tuple[Tensor, int]:
    tensor = as_tensor(x)
    if kind not in _KINDS:
        raise ArgumentError(f"the kind of a sort is one of {_KINDS}, not {kind!r}", user_location())
    if axis is None:
        return flatten(tensor), 0
    return tensor, normal_axis(axis, tensor.ndim)


@takes_dim
def sort(
    x: TensorLike,
    axis: int | None = -1,
    kind: str | None = None,
    *,
    descending: bool = False,
    stable: bool | None = None,
) -> Tensor:
    """The elements along an axis in ascending, or ``descending``, order; of the flattened tensor
    for None.

    A tensor of the shape and dtype of x. NaN are larger than all numbers, so they come last, and
    with ``descending`` first. Equal elements, as 0 and −0, keep their order, whatever ``kind`` and
    ``stable`` say. ShapeError for an axis that is not there.

    The gradient goes to where the elements came from.
    """
    tensor, place = _along(x, axis, kind)
    return sorted_along(tensor, place, descending=bool(descending))


@takes_dim
def argsort(
    x: TensorLike,
    axis: int | None = -1,
    kind: str | None = None,
    *,
    descending: bool = False,
    stable: bool | None = None,
) -> Tensor:
    """The positions (int64) that sort the elements along an axis, as ``sort`` orders them; of the
    flattened tensor for None.

    ShapeError for an axis that is not there. There is no gradient.
    """
    tensor, place = _along(x, axis, kind)
    return order_along(tensor, place, descending=bool(descending))


@takes_dim
def lexsort(keys: Sequence[TensorLike] | TensorLike, axis: int = -1) -> Tensor:
    """The positions (int64) that sort by several keys, the last of which counts most.

    ``keys`` is a sequence of tensors of one shape, or a tensor whose first axis tells them apart.
    ShapeError for no key.
    """
    listed = several(keys, "lexsort")
    if not listed:
        raise ShapeError("lexsort takes one key at least", user_location())
    tensors = broadcast(*map(as_tensor, listed))
    shape = tensors[0].shape
    if not shape:
        tensors = [under(x, (1,)) for x in tensors]
    place = normal_axis(axis, tensors[0].ndim)
    order = order_along(tensors[0], place)
    for key in tensors[1:]:
        order = at(order, order_along(at(key, order, place), place), place)
    return under(order, shape)


def _check_kth(tensor: Tensor, axis: int, kth: object) -> None:
    listed = kth if isinstance(kth, tuple | list) else [kth]
    size = tensor.shape[axis]
    for each in listed:
        place = integer_of(each, "kth")
        if isinstance(size, int) and not -size <= place < size:
            raise ShapeError(
                f"kth {place} is no position of axis {axis} of size {size}", user_location()
            )


@takes_dim
def partition(x: TensorLike, kth: int | Sequence[int], axis: int | None = -1) -> Tensor:
    """The elements along an axis, with the one at each position ``kth`` where sorting puts it,
    smaller ones before and larger ones behind it: here all in order.

    ShapeError for a position that is not there.
    """
    tensor, place = _along(x, axis, None)
    _check_kth(tensor, place, kth)
    return sorted_along(tensor, place)


@takes_dim
def argpartition(x: TensorLike, kth: int | Sequence[int], axis: int | None = -1) -> Tensor:
    """The positions (int64) that ``partition`` takes the elements from, given ``kth``."""
    tensor, place = _along(x, axis, None)
    _check_kth(tensor, place, kth)
    return order_along(tensor, place)


@takes_dim
def topk(x: TensorLike, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest elements along an axis, or the smallest, and their positions (int64).

    They come in order, whatever ``sorted`` says, and of equals the first ones. NaN are larger than
    all numbers. Both results have the shape of x with k in the place of the axis. ShapeError for a
    k beyond the size of the axis. The gradient goes to where the elements came from.
    """
    tensor = as_tensor(x)
    if not tensor.ndim:
        found = topk(under(tensor, (1,)), k, 0, largest)
        return Sorted(*(under(y, ()) if k == 1 else y for y in found))
    place = normal_axis(dim, tensor.ndim)
    count = count_of(k, tensor.shape[place], "k")
    last = tensor.ndim - 1
    first = placed(_first(placed(tensor, place, last), count, bool(largest)), last, place)
    return Sorted(at(tensor, first, place), first)


_BLOCK = 1024
"""Elements of which the first few are found together, where there are many blocks of them."""


def _first(x: Tensor, count: int, descending: bool) -> Tensor:
    """The positions of the first elements in order, along the last axis.

    Of a few among many, those of each block are found first: equal ones are in the order of their
    positions there as well, and what fills the last block goes behind all others.
    """
    *rest, size = x.shape
    if is_open(x.shape) or size < 8 * _BLOCK or count * 16 > _BLOCK:
        return cut(order_along(x, x.ndim - 1, descending=descending), x.ndim - 1, 0, count)
    blocks, axis = -(-size // _BLOCK), x.ndim
    dtype = x.type.dtype
    filling = identity("max" if descending else "min", dtype)
    filling = math.nan if dtype.is_float and not descending else filling
    high = (*(0 for _ in rest), blocks * _BLOCK - size)
    padded = apply("pad", x, number_like(filling, x), low=(0,) * x.ndim, high=high)
    rows = under(padded, (*rest, blocks, _BLOCK))
    order = cut(order_along(rows, axis, descending=descending), axis, 0, count)
    found = order + numbers(order.shape, axis - 1) * _BLOCK
    candidates = under(found, (*rest, blocks * count))
    chosen = _first(at(padded, candidates, axis - 1), count, descending)
    return at(candidates, chosen, axis - 1)


@takes_dim
def kthvalue(x: TensorLike, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The k-th smallest element along an axis, k counting from 1, and its position (int64).

    NaN are larger than all numbers. ``keepdim`` keeps the axis with size 1. ShapeError for a k that
    is not there. The gradient goes to where the element came from.
    """
    tensor = as_tensor(x)
    if not tensor.ndim:
        return Sorted(renewed(tensor), kthvalue(under(tensor, (1,)), k, 0).indices)
    place = normal_axis(dim, tensor.ndim)
    number = count_of(k, tensor.shape[place], "k")
    if not number:
        raise ShapeError("the k of kthvalue counts from 1", user_location())
    position = cut(order_along(tensor, place), place, number - 1, number)
    found = Sorted(at(tensor, position, place), position)
    shape = tensor.shape
    kept = (*shape[:place], 1, *shape[place + 1 :])
    rest = kept if keepdim else (*shape[:place], *shape[place + 1 :])
    return Sorted(*(under(y, rest) for y in found))
