"""Shapes: the same elements under other axes. Nothing here computes.

The results are views of the argument where NumPy gives views.

``x`` is a tensor, or what makes one: an array, a list, a number. Axes (``axis``, ``axis1``,
``axis2``, ``source``, ``destination``) count from the end where they are negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nets.errors import AxisError, CopyError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import (
    Dimension,
    is_open,
    known,
    must_divide,
    not_negative,
    plain,
    same_size,
)
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    expand,
    joined_shape,
    renewed,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.views import reshaped, root_of, shown, view
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Size, divided, expression
from nets.ir.types import is_addressable

MOST_AXES: Final = 64
"""NumPy's limit."""


def normal_axis(axis: object, rank: int) -> int:
    """The axis counted from the start; AxisError where there is none."""
    number = integer_of(axis, "an axis")
    if not -rank <= number < rank:
        raise AxisError(f"axis {number} does not exist in a tensor of {rank} axes", user_location())
    return number % rank


def different_axes(axes: object, rank: int) -> list[int]:
    """Axes counted from the start, in the order given; ShapeError for one twice or out of range."""
    listed = axes if isinstance(axes, (tuple, list)) else (axes,)
    found = [normal_axis(axis, rank) for axis in listed]
    if len(set(found)) != len(found):
        raise ShapeError(f"an axis appears twice in {tuple(listed)}", user_location())
    return found


def shape_of(shape: object) -> tuple[int, ...]:
    """A shape given as one size or a sequence of them; DTypeError for other things."""
    if not isinstance(shape, (tuple, list)):
        return (_size(shape),)
    if len(shape) > MOST_AXES:
        raise ShapeError(f"{len(shape)} axes are more than {MOST_AXES}", user_location())
    return tuple(map(_size, shape))


def _size(n: object) -> int:
    """A size, which counts as an integer where only a call tells it."""
    return known(n) if isinstance(n, Dimension | Size) else integer_of(n, "a size")


def new_shape(shape: object) -> tuple[int, ...]:
    """A shape whose sizes must not be negative, nor too large to count the bytes."""
    sizes = shape_of(shape)
    if is_open(sizes):
        fits = all(not_negative(n, f"shape {shape_text(sizes)}") for n in sizes)
    else:
        fits = all(n >= 0 for n in sizes)
    if not fits:
        raise ShapeError(f"a size is negative in shape {shape_text(sizes)}", user_location())
    if not is_addressable(plain(sizes)):
        raise ShapeError(f"shape {shape_text(sizes)} has too many elements", user_location())
    return sizes


def reshape(x: TensorLike, shape: object, *, copy: bool | None = None) -> Tensor:
    """The elements in the same order under another shape; one size may be −1, for the rest.

    A view, unless the order is not that of the memory, as after a transpose; with ``copy=True`` no
    view, and with ``copy=False`` nothing else, so that it is a CopyError where none is possible.
    ``x`` is the tensor.
    """
    tensor = as_tensor(x)
    if copy is not None:
        return _copied(tensor, shape, copy)
    sizes = shape_of(shape)
    if is_open(sizes) or is_open(tensor.shape):
        return reshaped(tensor, _open_shape(tensor, sizes))
    rest = math.prod(n for n in sizes if n != -1)
    fits = sizes.count(-1) <= 1 and all(n >= -1 for n in sizes)
    if fits and -1 in sizes and rest and tensor.size % rest == 0:
        sizes = tuple(tensor.size // rest if n == -1 else n for n in sizes)
    if -1 in sizes or not fits or math.prod(sizes) != tensor.size:
        raise ShapeError(
            f"a tensor of shape {shape_text(tensor.shape)} has {tensor.size} elements and cannot "
            f"be reshaped to {shape_text(shape_of(shape))}",
            user_location(),
        )
    return reshaped(tensor, sizes)


def _copied(x: Tensor, shape: object, copy: bool) -> Tensor:
    """The elements under another shape, as a view or as none."""
    result = reshape(x, shape)
    is_view = root_of(result) is root_of(x)
    if copy:
        return renewed(result) if is_view else result
    if not is_view:
        raise CopyError(
            f"the elements of a transposed {x.type} need a copy for the shape "
            f"{shape_text(result.shape)}",
            user_location(),
        )
    return result


def _open_shape(x: Tensor, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that is meant, where sizes are told by a call; ShapeError where it cannot fit."""
    total, wanted = x.type.elements, f"reshaping {shape_text(x.shape)} to {shape_text(sizes)}"
    is_rest = [isinstance(n, int) and n == -1 for n in sizes]
    others: Dim = math.prod(plain(n) for n, rest in zip(sizes, is_rest, strict=True) if not rest)
    if any(is_rest):
        rest = divided(total, others)
        if (
            rest is None
            and isinstance(others, int)
            and others
            and must_divide(total, others, wanted)
        ):
            rest = total // others
        if rest is not None and sum(is_rest) == 1:
            return tuple(known(rest) if its else n for n, its in zip(sizes, is_rest, strict=True))
        raise ShapeError(
            f"{wanted}: -1 stands for {expression(total)} / {expression(others)}, which is no size "
            "for all calls; write the size in its place",
            user_location(),
        )
    if not all(not_negative(n, wanted) for n in sizes) or not same_size(total, others, wanted):
        raise ShapeError(f"{wanted}: the numbers of elements differ", user_location())
    return sizes


def under(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``x`` under a shape that fits, as no view of it; itself where it has that shape."""
    return x if x.type.shape == plain(shape) else apply("reshape", x, shape=shape)


def flatten(x: TensorLike, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from ``start_dim`` to ``end_dim`` as one, by default all, row-major: a copy.

    ShapeError for axes that do not exist or are not in order.
    """
    tensor = as_tensor(x)
    rank = tensor.ndim or 1  # without axes, there is one element to merge
    first, last = normal_axis(start_dim, rank), normal_axis(end_dim, rank)
    if first > last:
        raise ShapeError(f"axis {start_dim} comes after axis {end_dim}", user_location())
    before, merged = tensor.shape[:first], tensor.shape[first : last + 1]
    after = tensor.shape[last + 1 :]
    size = tensor.size if not before and not after else math.prod(merged)
    return apply("reshape", tensor, shape=(*before, size, *after))


def permute_dims(x: TensorLike, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis ``axes[i]`` of x."""
    tensor = as_tensor(x)
    wanted = shape_of(axes)
    order = tuple(normal_axis(axis, tensor.ndim) for axis in wanted)
    if sorted(order) != list(range(tensor.ndim)):
        raise ShapeError(
            f"{wanted} is no order of the {tensor.ndim} axes of shape {shape_text(tensor.shape)}",
            user_location(),
        )
    return view(tensor, ("transpose", {"axes": order}, ()))


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order, by default reversed."""
    tensor = as_tensor(x)
    return permute_dims(tensor, tuple(reversed(range(tensor.ndim))) if axes is None else axes)


def matrix_transpose(x: TensorLike) -> Tensor:
    """The last two axes swapped; ShapeError for fewer than two."""
    return swapaxes(x, -1, -2)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes swapped."""
    tensor = as_tensor(x)
    first, second = normal_axis(axis1, tensor.ndim), normal_axis(axis2, tensor.ndim)
    order = list(range(tensor.ndim))
    order[first], order[second] = second, first
    return permute_dims(tensor, order)


def moveaxis(x: TensorLike, source: object, destination: object) -> Tensor:
    """Axes moved to other positions, the rest keeping their order.

    ShapeError where there are more of one than of the other, or one is twice among either.
    """
    tensor = as_tensor(x)
    taken = different_axes(source, tensor.ndim)
    places = different_axes(destination, tensor.ndim)
    if len(taken) != len(places):
        raise ShapeError(
            f"moveaxis takes as many sources as destinations, not {source} and {destination}",
            user_location(),
        )
    order = [axis for axis in range(tensor.ndim) if axis not in taken]
    for place, axis in sorted(zip(places, taken, strict=True)):
        order.insert(place, axis)
    return permute_dims(tensor, order)


def expand_dims(x: TensorLike, axis: int | tuple[int, ...] = 0) -> Tensor:
    """New axes of size 1 at these positions of the result."""
    tensor = as_tensor(x)
    rank = tensor.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    places = different_axes(axis, rank)
    sizes = iter(tensor.shape)
    return reshape(tensor, tuple(1 if i in places else next(sizes) for i in range(rank)))


def squeeze(x: TensorLike, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Without the given axes, which must have size 1; by default without all such axes."""
    tensor = as_tensor(x)
    if axis is None:
        return reshape(tensor, tuple(n for n in tensor.shape if n != 1))
    axes = different_axes(axis, tensor.ndim)
    for a in axes:
        if tensor.shape[a] != 1:
            raise ShapeError(
                f"axis {a} of shape {shape_text(tensor.shape)} has not size 1", user_location()
            )
    return reshape(tensor, tuple(n for i, n in enumerate(tensor.shape) if i not in axes))


def broadcast_to(x: TensorLike, shape: object) -> Tensor:
    """x repeated to that shape by NumPy's broadcasting rule: a view that cannot be written to."""
    tensor, sizes = as_tensor(x), new_shape(shape)
    return _repeated(tensor, repeated(tensor, sizes))


def repeated(tensor: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The tensor repeated to a shape, as one that holds its elements itself."""
    if joined_shape(tensor.shape, sizes) != plain(sizes):
        raise ShapeError(
            f"a tensor of shape {shape_text(tensor.shape)} does not broadcast to "
            f"{shape_text(sizes)}",
            user_location(),
        )
    return expand(tensor, sizes)


def _repeated(x: Tensor, made: Tensor) -> Tensor:
    made = renewed(made) if made is x else made
    axes = tuple(range(made.ndim - x.ndim, made.ndim))
    return shown(x, made, [("broadcast", {"shape": made.shape, "axes": axes}, ())])


def broadcast_arrays(*tensors: TensorLike) -> list[Tensor]:
    """The tensors repeated to the shape they have in common, as views that are only read."""
    ready = [as_tensor(x) for x in tensors]
    shape = joined_shape(*(x.shape for x in ready))
    return [_repeated(x, expand(x, shape)) for x in ready]
