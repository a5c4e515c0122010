"""Axes: at least so many, turned, mirrored, laid out along one; and what there are of them."""

from __future__ import annotations

import math
from typing import Any

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of, several
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, joined_shape, shape_text
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.shape import different_axes, new_shape, normal_axis
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import one_of
from nets.ir.location import user_location


def atleast_1d(*arys: TensorLike) -> Any:
    """Each tensor with at least one axis; one tensor for one, else a tuple.

    ``arys`` are the tensors.
    """
    return _each(1, arys)


def atleast_2d(*arys: TensorLike) -> Any:
    """Each tensor with at least two axes, new ones in front; one tensor for one, else a tuple.

    ``arys`` are the tensors.
    """
    return _each(2, arys)


def atleast_3d(*arys: TensorLike) -> Any:
    """Each tensor with at least three axes, of which (N,) becomes (1, N, 1) and (M, N) becomes
    (M, N, 1); one tensor for one, else a tuple.

    ``arys`` are the tensors.
    """
    return _each(3, arys)


def _each(rank: int, tensors: tuple[TensorLike, ...]) -> Any:
    found = tuple(lifted(x, rank) for x in tensors)
    return found[0] if len(found) == 1 else found


def lifted(x: TensorLike, rank: int) -> Tensor:
    """x with new axes in front, in a third rank the last of them behind, as NumPy has it."""
    tensor = as_tensor(x)
    shape = tensor.shape
    if rank == 3 and tensor.ndim in (1, 2):
        return F.reshape(tensor, (1,) * (2 - tensor.ndim) + (*shape, 1))
    return F.reshape(tensor, (1,) * (rank - tensor.ndim) + shape)


@takes_dim
def rollaxis(a: TensorLike, axis: int, start: int = 0) -> Tensor:
    """The axis moved in front of the one at ``start``: a view, as of ``moveaxis``."""
    tensor = as_tensor(a)
    at, place = normal_axis(axis, tensor.ndim), integer_of(start, "the place of an axis")
    if not -tensor.ndim <= place <= tensor.ndim:
        raise ShapeError(f"there is no axis {place} in {tensor.type}", user_location())
    place = place + tensor.ndim if place < 0 else place
    return F.moveaxis(tensor, at, place - 1 if at < place else place)


def rot90(m: TensorLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turned by k right angles from the first of two axes towards the second: a view.

    ShapeError unless there are two different axes. ``m`` is the tensor.
    """
    tensor = as_tensor(m)
    turned_axes = several(axes, "rot90")
    if len(turned_axes) != 2:
        raise ShapeError(f"rot90 turns two axes, not {axes}", user_location())
    first, second = different_axes(turned_axes, tensor.ndim)
    turns = integer_of(k, "the number of right angles") % 4
    if turns == 2:
        return F.flip(tensor, (first, second))
    if turns == 1:
        tensor = F.flip(tensor, second)
    turned = F.swapaxes(tensor, first, second) if turns else F.flip(tensor, ())
    return F.flip(turned, second) if turns == 3 else turned


def flipud(m: TensorLike) -> Tensor:
    """The order along the first axis reversed: a view. ShapeError where there is none.

    ``m`` is the tensor.
    """
    return F.flip(_with_axes("flipud", m, 1), 0)


def fliplr(m: TensorLike) -> Tensor:
    """The order along the second axis reversed: a view. ShapeError where there is none.

    ``m`` is the tensor.
    """
    return F.flip(_with_axes("fliplr", m, 2), 1)


def _with_axes(name: str, x: TensorLike, least: int) -> Tensor:
    tensor = as_tensor(x)
    if tensor.ndim < least:
        raise ShapeError(
            f"{name} takes {least} axes or more, not {shape_text(tensor.shape)}", user_location()
        )
    return tensor


def ravel(a: TensorLike, order: str = "C") -> Tensor:
    """The elements along one axis, a view where they are in that order already.

    ``order`` "F" lets the first axis run fastest. ArgumentError for one but "C", "F", "A" and "K",
    of which the last two are "C", for tensors are row-major.
    """
    one_of(order, ("C", "F", "A", "K"), "the order")
    tensor = as_tensor(a)
    return F.reshape(
        F.transpose(tensor) if order == "F" else tensor, (-1,) if tensor.size else (0,)
    )


def broadcast_shapes(*args: Any) -> tuple[int, ...]:
    """The shape that the shapes ``args`` broadcast to; ShapeError where they do not."""
    return tuple(joined_shape(*map(new_shape, args)))  # type: ignore[arg-type]


@takes_dim
def size(a: TensorLike, axis: Any = None) -> int:
    """The number of elements, or of positions along an axis or several.

    ``a`` is a tensor or what makes one.
    """
    shape = as_tensor(a).shape
    if axis is None:
        return math.prod(shape)
    return math.prod(shape[at] for at in different_axes(axis, len(shape)))


def shape(a: TensorLike) -> tuple[int, ...]:
    """The sizes of the axes.

    ``a`` is a tensor or what makes one.
    """
    return as_tensor(a).shape


def ndim(a: TensorLike) -> int:
    """The number of axes.

    ``a`` is a tensor or what makes one.
    """
    return as_tensor(a).ndim
