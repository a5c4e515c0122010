"""Putting tensors together and taking them apart: concatenate, stack, split, pad, tile, roll.

``x`` is a tensor, or what makes one: an array, a list, a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import Dimension, is_open, must_divide, not_negative, same_shape
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    expand,
    fitted,
    promote,
    resized,
    shape_text,
)
from nets.frontend.tensor.functions.arithmetic import maximum, remainder, subtract
from nets.frontend.tensor.functions.reduction import normal_axes
from nets.frontend.tensor.functions.shape import (
    expand_dims,
    flatten,
    new_shape,
    normal_axis,
    reshape,
    shape_of,
)
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.views import view
from nets.ir.location import user_location
from nets.ir.types import i64


def concatenate(tensors: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an existing axis; None flattens them first."""
    parts = _several("concatenate", tensors)
    if axis is None:
        parts, axis = [flatten(x) for x in parts], 0
    at = normal_axis(axis, parts[0].ndim)
    return apply("concatenate", *_beside(parts, at), axis=at)


def _beside(parts: Sequence[Tensor], axis: int) -> list[Tensor]:
    """The tensors with the sizes of the first one along the other axes, where these are told by a
    call, which is checked."""
    first = parts[0]
    found = [first]
    for x in parts[1:]:
        shape = tuple(
            n if i == axis else k
            for i, (n, k) in enumerate(zip(x.shape, first.shape, strict=False))
        )
        listed = f"concatenating {shape_text(first.shape)} and {shape_text(x.shape)}"
        fits = len(shape) == x.ndim == first.ndim and same_shape(x.shape, shape, listed)
        found.append(resized(x, shape) if fits else x)
    return found


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    parts = _several("stack", tensors)
    if not all(same_shape(x.shape, parts[0].shape, "stack") for x in parts):
        listed = ", ".join(shape_text(x.shape) for x in parts)
        raise ShapeError(f"stack takes tensors of one shape, not {listed}", user_location())
    at = normal_axis(axis, parts[0].ndim + 1)
    parts = [resized(x, parts[0].type.shape) for x in parts]
    return apply("concatenate", *(expand_dims(x, at) for x in parts), axis=at)


def _several(name: str, tensors: Sequence[TensorLike]) -> list[Tensor]:
    if not isinstance(tensors, (list, tuple, Tensor, np.ndarray)):
        raise ArgumentError(
            f"{name} takes a list or tuple of tensors, not a {type(tensors).__name__}",
            user_location(),
        )
    parts = list(tensors)
    if not parts:
        raise ShapeError(f"{name} takes at least one tensor", user_location())
    return promote(*parts)


def append(x: TensorLike, values: TensorLike, axis: int | None = None) -> Tensor:
    """x with ``values`` after it along the axis; both flattened where there is none."""
    return concatenate([x, values], axis)


def split(x: TensorLike, indices_or_sections: object, axis: int = 0) -> list[Tensor]:
    """x in so many equal parts along ``axis``, or cut at the positions listed: views of x.

    ``indices_or_sections``: their number, or the positions.
    """
    tensor = as_tensor(x)
    at = normal_axis(axis, tensor.ndim)
    size = tensor.shape[at]
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)) and np.ndim(indices_or_sections):
        cuts = [_position(i) for i in indices_or_sections]
    else:
        count = integer_of(indices_or_sections, "the number of parts")
        if count < 1 or not must_divide(size, count, f"splitting {size} elements into {count}"):
            raise ShapeError(f"{size} elements do not split into {count} parts", user_location())
        cuts = [size // count * i for i in range(1, count)]
    bounds = [slice(*pair) for pair in itertools.pairwise([0, *cuts, None])]
    return [tensor[(*(slice(None),) * at, bound)] for bound in bounds]


def _position(n: object) -> Any:
    return n if isinstance(n, Dimension) else integer_of(n, "a position")


def pad(
    x: TensorLike,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = 0,
    **options: Any,
) -> Tensor:
    """x with elements of its dtype before and after it on each axis.

    ``pad_width`` is one number, one (before, after) pair, one such pair per axis, or a dict of
    pairs by axis; ``mode`` one of NumPy's: "constant" (with ``constant_values`` for all sides or
    as widths are given; also in the place of ``mode``), "edge", "reflect" and "symmetric" (with
    ``reflect_type``), "wrap", "linear_ramp" (``end_values``), "maximum", "minimum", "mean" and
    "median" (``stat_length``), "empty" (zeros). PyTorch's "replicate" and "circular" are "edge" and
    "wrap". Negative widths take elements away, before others are added. ArgumentError for other
    modes and options, ShapeError for widths that do not fit.
    """
    tensor = as_tensor(x)
    if not isinstance(mode, str):
        mode, constant_values = "constant", mode
    if mode == "constant" and not options and np.ndim(constant_values) == 0:
        widths = _plain_widths(pad_width, tensor)
        if widths is not None:
            value = fitted(constant_values, tensor.type.dtype)
            return apply("pad", tensor, value, low=widths[0], high=widths[1])
    options = {"constant_values": constant_values, **options}
    room = import_module("nets.frontend.tensor.words.padding")
    result: Tensor = room.padded(tensor, pad_width, mode, options)
    return result


def _plain_widths(pad_width: Any, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Widths before and after each axis, by NumPy's broadcasting of ``pad_width``; None where they
    are no such numbers, or negative."""
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    except ValueError:
        return None
    if not all(
        isinstance(n, int | Dimension)
        and (n >= 0 if isinstance(n, int) else not_negative(n, "pad"))
        for pair in pairs
        for n in pair
    ):
        return None
    return tuple(before for before, _ in pairs), tuple(after for _, after in pairs)


def flip(x: TensorLike, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The order of the elements reversed along ``axis``, one or several, by default all: a view."""
    tensor = as_tensor(x)
    axes = normal_axes(axis, tensor.ndim)
    return view(tensor, ("flip", {"axes": axes}, ()))


def roll(x: TensorLike, shift: object, axis: object = None) -> Tensor:
    """The elements moved by ``shift`` places along ``axis``, one or several of each; those at the
    end come back at the start. By default the flattened tensor is moved."""
    tensor = as_tensor(x)
    if axis is None:
        return reshape(roll(flatten(tensor), shift, 0), tensor.shape)
    shifts, axes = shape_of(shift), shape_of(axis)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError("roll takes one shift for each axis, or one for all", user_location())
    for distance, a in zip(shifts, axes, strict=True):
        at = normal_axis(a, tensor.ndim)
        if is_open((distance, tensor.shape[at])):
            tensor = _open_roll(tensor, distance, at)
            continue
        cut = -distance % tensor.shape[at] if tensor.shape[at] else 0
        if cut:
            head, tail = split(tensor, [cut], at)
            tensor = concatenate([tail, head], at)
    return tensor


def _open_roll(x: Tensor, distance: Any, axis: int) -> Tensor:
    """The roll of an axis whose size a call tells, element by element."""
    size = x.shape[axis]
    place = apply("iota", shape=(size,), dtype=i64, axis=0)
    source = remainder(subtract(place, distance), maximum(size, 1))
    return apply("gather", x, source, axis=axis)


def tile(x: TensorLike, repetitions: object) -> Tensor:
    """x repeated as a whole, ``repetitions`` times along each axis."""
    tensor, counts = as_tensor(x), new_shape(repetitions)
    rank = max(tensor.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    sizes = (1,) * (rank - tensor.ndim) + tensor.shape
    apart = tuple(n for pair in zip((1,) * rank, sizes, strict=True) for n in pair)
    repeated = tuple(n for pair in zip(counts, sizes, strict=True) for n in pair)
    together = tuple(c * n for c, n in zip(counts, sizes, strict=True))
    return apply("reshape", expand(reshape(tensor, apart), repeated), shape=together)


def repeat(
    x: TensorLike,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
) -> Tensor:
    """Each element (or slice along the axis, without one of the flattened tensor) several times.

    ``repeats`` is one number, or one for each element. In a trace these are known, or
    ``total_repeat_length`` says how many come out: what is more is left out, what is less filled up
    with the last element. ShapeError where there are not as many as elements or one is negative.
    ``x`` is the tensor.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    at = normal_axis(axis, tensor.ndim)
    if not isinstance(repeats, (int, np.integer)) or total_repeat_length is not None:
        room = import_module("nets.frontend.tensor.words.repeating")
        result: Tensor = room.repeated(tensor, repeats, at, total_repeat_length)
        return result
    (count,) = new_shape(repeats)
    before, size, after = tensor.shape[:at], tensor.shape[at], tensor.shape[at + 1 :]
    apart = reshape(tensor, (*before, size, 1, *after))
    repeated = expand(apart, (*before, size, count, *after))
    return apply("reshape", repeated, shape=(*before, size * count, *after))
