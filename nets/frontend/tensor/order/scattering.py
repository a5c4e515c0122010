"""Scatters: elements and slices put, or combined, at positions that tensors tell.

All are the op ``scatter``, which combines what meets in one element in the order of the indices.
Names and arguments are PyTorch's but for ``put_along_axis``, which is NumPy's.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DTypeError,
    ShapeError,
    UnsupportedObjectError,
)
from nets.frontend.tensor.conversion import integer_of, is_scalar
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast,
    constant,
    expand,
    fitted,
    joined_shape,
    renewed,
    require,
    require_dtype,
    shape_text,
)
from nets.frontend.tensor.functions.arithmetic import divide, floor_divide, maximum, where
from nets.frontend.tensor.functions.assignment import in_place, updated
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.indexing import getitem
from nets.frontend.tensor.functions.shape import flatten, normal_axis, repeated, under
from nets.frontend.tensor.order.rows import (
    counted_up,
    cut,
    identity,
    indices_of,
    number_like,
    numbers,
)
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location

_REDUCTIONS: Final = {
    "sum": "add",
    "add": "add",
    "prod": "mul",
    "multiply": "mul",
    "mean": "add",
    "amax": "max",
    "amin": "min",
}


def scattered(x: Tensor, axis: int, indices: Tensor, updates: Tensor, combiner: str) -> Tensor:
    """x with the updates combined in at the indices, one for each of them, along an axis.

    The indices may be fewer than x and the updates have along other axes: then they are for the
    first ones there.
    """
    if not indices.size:
        return renewed(x)
    shape = indices.shape
    if updates.shape != shape:
        updates = getitem(updates, tuple(slice(n) for n in shape))
    part = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(shape))
    whole = x if _fits(x, shape, axis) else getitem(x, part)
    found = apply("scatter", whole, indices, updates, axis=axis, combiner=combiner)
    return found if whole is x else updated(x, part, found)


def _fits(x: Tensor, shape: tuple[int, ...], axis: int) -> bool:
    return all(i == axis or n == m for i, (n, m) in enumerate(zip(x.shape, shape, strict=True)))


def _ready(
    name: str, x: TensorLike, dim: int, index: TensorLike, src: TensorLike
) -> tuple[Tensor, int, Tensor, Tensor]:
    """x, the axis, indices and updates, of shapes that go together; 0-d ones with an axis."""
    tensor = as_tensor(x)
    axis = normal_axis(dim, max(tensor.ndim, 1))
    picks = indices_of(name, index)
    updates = fitted(src, tensor.type.dtype) if is_scalar(src) else as_tensor(src)
    if updates.type.dtype != tensor.type.dtype:
        raise DTypeError(
            f"{name} takes updates of the dtype of {tensor.type}, not {updates.type}",
            user_location(),
        )
    if is_scalar(src):
        updates = expand(updates, picks.shape)
    tensor, picks, updates = (y if y.ndim else under(y, (1,)) for y in (tensor, picks, updates))
    if not picks.size:
        return tensor, axis, picks, updates
    if not tensor.ndim == picks.ndim == updates.ndim:
        raise ShapeError(
            f"{name} takes indices and updates of the rank of {tensor.type}, not {picks.type} and "
            f"{updates.type}",
            user_location(),
        )
    for i, n in enumerate(picks.shape):
        if n > updates.shape[i] or (i != axis and n > tensor.shape[i]):
            raise ShapeError(
                f"{name} into {tensor.type} along axis {axis} takes no indices {picks.type} for "
                f"updates {updates.type}",
                user_location(),
            )
    return tensor, axis, picks, updates


@takes_dim
def scatter(
    x: TensorLike,
    dim: int,
    index: TensorLike,
    src: TensorLike,
    *,
    reduce: str | None = None,
) -> Tensor:
    """x with the elements of ``src``, or one number, at the indices along an axis.

    ``x[index[i][j]][j] = src[i][j]`` for dim 0. Where several go to one element the last one stays;
    with ``reduce`` "add" or "multiply" they are combined with it. The indices have the rank of x,
    and no more elements along an axis than ``src`` and, but for ``dim``, x have; negative ones
    count from the end. A new tensor of the shape and dtype of x.

    ShapeError for shapes that do not go together, DTypeError for an index that is no integer or a
    ``src`` of another dtype, IndexOutOfBoundsError for an index that is not there, ArgumentError
    for another ``reduce``.
    """
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError(
            f"scatter reduces by 'add' or 'multiply', not {reduce!r}: see nets.scatter_reduce",
            user_location(),
        )
    tensor, axis, picks, updates = _ready("scatter", x, dim, index, src)
    combiner = "set" if reduce is None else _REDUCTIONS[reduce]
    return under(scattered(tensor, axis, picks, updates, combiner), as_tensor(x).shape)


@takes_dim
def scatter_add(x: TensorLike, dim: int, index: TensorLike, src: TensorLike) -> Tensor:
    """x with the elements of ``src`` added at the indices along an axis, in the order of these.

    Shapes and errors are those of ``scatter``.
    """
    tensor, axis, picks, updates = _ready("scatter_add", x, dim, index, src)
    return under(scattered(tensor, axis, picks, updates, "add"), as_tensor(x).shape)


@takes_dim
def scatter_reduce(
    x: TensorLike,
    dim: int,
    index: TensorLike,
    src: TensorLike,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """x with the elements of ``src`` combined in at the indices along an axis.

    ``reduce`` is "sum", "prod", "mean", "amax" or "amin". Without ``include_self`` the elements of
    x that have an index do not count. A mean of integers is rounded down. Shapes and errors are
    those of ``scatter``; elements that tie share the gradient of an extreme equally.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ArgumentError(
            f"scatter_reduce takes sum, prod, mean, amax or amin, not {reduce!r}", user_location()
        )
    tensor, axis, picks, updates = _ready("scatter_reduce", x, dim, index, src)
    if not picks.size:
        return renewed(as_tensor(x))
    combiner, start = _REDUCTIONS[reduce], tensor
    if not include_self:
        none = expand(number_like(identity(combiner, tensor.type.dtype), tensor), picks.shape)
        start = scattered(tensor, axis, picks, none, "set")
    found = scattered(start, axis, picks, updates, combiner)
    if reduce == "mean":
        one = constant(np.array(1))
        ones = expand(one, tensor.shape)
        if not include_self:
            zeros = expand(constant(np.array(0)), picks.shape)
            ones = scattered(ones, axis, picks, zeros, "set")
        count = scattered(ones, axis, picks, expand(one, picks.shape), "add")
        count = maximum(count, 1)
        by = divide if tensor.type.dtype.is_float else floor_divide
        found = by(found, cast(count, tensor.type.dtype))
    return under(found, as_tensor(x).shape)


# ------------------------------------------------------------------------- slices at indices


def _line(
    name: str, x: TensorLike, dim: int, index: TensorLike, source: TensorLike
) -> tuple[Tensor, int, Tensor, Tensor]:
    """x, the axis, the indices of slices, with size 1 along the other axes, and the slices."""
    tensor, picks = as_tensor(x), indices_of(name, index)
    axis = normal_axis(dim, max(tensor.ndim, 1))
    slices = fitted(source, tensor.type.dtype) if is_scalar(source) else as_tensor(source)
    if slices.type.dtype != tensor.type.dtype:
        raise DTypeError(
            f"{name} takes slices of the dtype of {tensor.type}, not {slices.type}",
            user_location(),
        )
    tensor = tensor if tensor.ndim else under(tensor, (1,))
    if picks.ndim > 1:
        raise ShapeError(f"{name} takes indices along one axis, not {picks.type}", user_location())
    picks = under(picks, (picks.size,))
    slices = slices if slices.ndim or is_scalar(source) else under(slices, (1,))
    shape = (*tensor.shape[:axis], picks.shape[0], *tensor.shape[axis + 1 :])
    if slices.ndim and slices.shape != shape:
        raise ShapeError(
            f"{name} into {tensor.type} at {picks.shape[0]} indices along axis {axis} takes slices "
            f"of shape {shape_text(shape)}, not {slices.type}",
            user_location(),
        )
    picks = under(picks, tuple(picks.shape[0] if i == axis else 1 for i in range(tensor.ndim)))
    return tensor, axis, picks, expand(slices, shape)


@takes_dim
def index_add(
    x: TensorLike, dim: int, index: TensorLike, source: TensorLike, *, alpha: float = 1
) -> Tensor:
    """x with the slices of ``source``, times ``alpha``, added at the indices ``index`` along the
    axis ``dim``, in the order of these.

    ShapeError for indices with more than one axis, or slices that are not those of x.
    """
    tensor, axis, picks, slices = _line("index_add", x, dim, index, source)
    if alpha != 1:
        slices = cast(slices * alpha, tensor.type.dtype)
    found = apply("scatter", tensor, picks, slices, axis=axis, combiner="add")
    return under(found, as_tensor(x).shape)


def put_along_axis(
    x: Tensor, indices: TensorLike, values: TensorLike, axis: int | None = -1
) -> None:
    """Write ``values`` to the tensor x, at the indices along an axis, as NumPy does.

    The indices have the rank of x and, but for the axis, broadcast to its shape; the values
    broadcast to the indices. For None, x is taken as flattened. A new tensor is what
    ``nets.scatter`` gives. UnsupportedObjectError where x is no Tensor.
    """
    if not isinstance(x, Tensor):
        raise UnsupportedObjectError(
            "put_along_axis writes to a Tensor; nets.scatter gives a new one", user_location()
        )
    whole = flatten(x) if axis is None else x
    at = normal_axis(0 if axis is None else axis, whole.ndim)
    picks = indices_of("put_along_axis", indices, whole.ndim)
    joined: Any = joined_shape(*((*y.shape[:at], 1, *y.shape[at + 1 :]) for y in (whole, picks)))
    shape = (*joined[:at], picks.shape[at], *joined[at + 1 :])
    updates = repeated(fitted(values, x.type.dtype), shape)
    found = apply("scatter", whole, repeated(picks, shape), updates, axis=at, combiner="set")
    in_place(x, under(found, x.shape))


# ------------------------------------------------------------------------------------- masks


def _masked(x: TensorLike, mask: TensorLike) -> tuple[Tensor, Tensor]:
    chosen = as_tensor(mask)
    require_dtype(chosen, "b", "a mask is of bools")
    tensor, chosen = broadcast(as_tensor(x), chosen)
    return tensor, chosen


def masked_scatter(x: TensorLike, mask: TensorLike, source: TensorLike) -> Tensor:
    """x with the first elements of ``source`` where the mask holds, in row-major order.

    The mask broadcasts to x. ArgumentError where ``source`` has fewer elements than the mask takes.
    """
    own = as_tensor(x)
    tensor, chosen = _masked(own, mask)
    if tensor.shape != own.shape:
        raise ShapeError(
            f"a mask {as_tensor(mask).type} does not broadcast to {own.type}", user_location()
        )
    parts = as_tensor(source)
    if parts.type.dtype != tensor.type.dtype:
        raise DTypeError(
            f"masked_scatter takes a source of the dtype of {tensor.type}, not {parts.type}",
            user_location(),
        )
    parts, flat = flatten(parts), flatten(chosen)
    if not flat.size:
        return renewed(own)
    place = counted_up(flat) - 1
    message = f"masked_scatter has {parts.size} elements for a mask that takes more"
    if current_scope() is not None:
        place = require(place, place < parts.size, ArgumentError, message)
    elif int(flat.data.sum()) > parts.size:
        raise ArgumentError(message, user_location())
    if not parts.size:
        return renewed(own)
    taken = apply("gather", parts, maximum(place, 0), axis=0)
    return under(where(flat, taken, flatten(tensor)), own.shape)


def masked_select(
    x: TensorLike,
    mask: TensorLike,
    *,
    size: int | None = None,
    fill_value: TensorLike = 0,
) -> Tensor:
    """The elements of x where the mask holds, along one axis, in row-major order.

    Both broadcast to each other. How many there are is known when the mask is. ``size`` gives so
    many as are wanted, inside a trace as well: further ones are left out, and missing ones are
    ``fill_value``. ControlFlowError inside a trace without it.
    """
    tensor, chosen = _masked(x, mask)
    flat, holds = flatten(tensor), flatten(chosen)
    if size is None:
        if current_scope() is not None:
            raise ControlFlowError(
                "how many elements a mask takes is known only when the traced function runs; write "
                "size=, which says how many are wanted, or nets.where(mask, x, other)",
                user_location(),
            )
        return apply("gather", flat, constant(np.flatnonzero(holds.data)), axis=0)
    count = integer_of(size, "size")
    filling = expand(fitted(fill_value, flat.type.dtype), (count,))
    if not flat.size or not count:
        return renewed(filling)
    number = counted_up(holds)
    slot = where(holds & (number <= count), number - 1, count)
    none = expand(constant(np.array(0)), (count + 1,))
    place = apply("scatter", none, slot, numbers(flat.shape, 0), axis=0, combiner="set")
    taken = apply("gather", flat, cut(place, 0, 0, count), axis=0)
    return where(numbers((count,), 0) < number[-1], taken, filling)
