"""Joining along certain axes, taking apart, and lists of elements that get longer or shorter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import ControlFlowError, IndexOutOfBoundsError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import array_of, integer_of, several
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, fitted, shape_text
from nets.frontend.tensor.functions import shape as shapes
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.shape import normal_axis
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.frontend.tensor.words.axes import lifted
from nets.ir.location import user_location
from nets.ir.types import DType

DTypeSpec = npt.DTypeLike | DType | None


def _joined(parts: Sequence[TensorLike], axis: int, dtype: DTypeSpec) -> Tensor:
    result = F.concatenate(parts, axis)
    return result if dtype is None else F.astype(result, dtype)


def vstack(tup: Sequence[TensorLike], *, dtype: DTypeSpec = None) -> Tensor:
    """Tensors below each other, along the first axis; those of one axis are rows.

    ``tup`` is a list of them; ``dtype`` converts the result.
    """
    return _joined([lifted(x, 2) for x in several(tup, "vstack")], 0, dtype)


row_stack = vstack


def hstack(tup: Sequence[TensorLike], *, dtype: DTypeSpec = None) -> Tensor:
    """Tensors beside each other, along the second axis; those of one axis along that.

    ``tup`` is a list of them; ``dtype`` converts the result.
    """
    parts = [lifted(x, 1) for x in several(tup, "hstack")]
    return _joined(parts, 0 if parts and parts[0].ndim == 1 else 1, dtype)


def dstack(tup: Sequence[TensorLike]) -> Tensor:
    """Tensors behind each other, along the third axis; see ``atleast_3d``.

    ``tup`` is a list of them.
    """
    return _joined([lifted(x, 3) for x in several(tup, "dstack")], 2, None)


def column_stack(tup: Sequence[TensorLike]) -> Tensor:
    """Tensors beside each other, along the second axis; those of one axis are columns.

    ``tup`` is a list of them.
    """
    parts = [as_tensor(x) for x in several(tup, "column_stack")]
    return _joined([x if x.ndim > 1 else F.reshape(x, (-1, 1)) for x in parts], 1, None)


def block(arrays: Any) -> Tensor:
    """Tensors in nested lists put together: the innermost lists along the last axis, those around
    them along the axis before, and so on. ShapeError for lists of different depths.

    ``arrays`` is the outermost list.
    """
    depth = _depth(arrays)
    rank = max(depth, *(as_tensor(x).ndim for x in _leaves(arrays)))
    return F.positive(_assembled(arrays, depth, rank))


def _depth(nest: Any) -> int:
    if not isinstance(nest, list):
        return 0
    depths = {_depth(part) for part in nest}
    if len(depths) != 1:
        raise ShapeError("block takes lists of one depth, none of them empty", user_location())
    return depths.pop() + 1


def _leaves(nest: Any) -> list[Any]:
    return [leaf for part in nest for leaf in _leaves(part)] if isinstance(nest, list) else [nest]


def _assembled(nest: Any, depth: int, rank: int) -> Tensor:
    if not isinstance(nest, list):
        tensor = as_tensor(nest)
        return F.reshape(tensor, (1,) * (rank - tensor.ndim) + tensor.shape)
    return F.concatenate([_assembled(part, depth - 1, rank) for part in nest], -depth)


# ------------------------------------------------------------------------------- taking apart


@takes_dim
def unstack(x: TensorLike, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which they do not have any more: views.

    ``x`` has the axis.
    """
    tensor = as_tensor(x)
    moved = F.moveaxis(tensor, normal_axis(axis, tensor.ndim), 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


@takes_dim
def array_split(ary: TensorLike, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """x cut at positions, or in so many parts, of which the first may be longer by one: views.

    ShapeError for no parts. ``ary`` is the tensor, ``indices_or_sections`` says where along
    ``axis``.
    """
    tensor = as_tensor(ary)
    if np.ndim(indices_or_sections):
        return F.split(tensor, indices_or_sections, axis)
    parts = integer_of(indices_or_sections, "the number of parts")
    if parts < 1:
        raise ShapeError(f"there are no {parts} parts", user_location())
    each, longer = divmod(tensor.shape[normal_axis(axis, tensor.ndim)], parts)
    cuts = np.cumsum([each + 1] * longer + [each] * (parts - longer))[:-1]
    return F.split(tensor, [int(cut) for cut in cuts], axis)


def hsplit(ary: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the second axis, or along the only one; see ``split``.

    ``ary`` is the tensor, ``indices_or_sections`` says where.
    """
    tensor = _with_axes("hsplit", ary, 1)
    return F.split(tensor, indices_or_sections, 1 if tensor.ndim > 1 else 0)


def vsplit(ary: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the first of two axes or more; see ``split``.

    ``ary`` is the tensor, ``indices_or_sections`` says where.
    """
    return F.split(_with_axes("vsplit", ary, 2), indices_or_sections, 0)


def dsplit(ary: TensorLike, indices_or_sections: Any) -> list[Tensor]:
    """Cut along the third of three axes or more; see ``split``.

    ``ary`` is the tensor, ``indices_or_sections`` says where.
    """
    return F.split(_with_axes("dsplit", ary, 3), indices_or_sections, 2)


def _with_axes(name: str, x: TensorLike, least: int) -> Tensor:
    tensor = as_tensor(x)
    if tensor.ndim < least:
        raise ShapeError(
            f"{name} takes {least} axes or more, not {shape_text(tensor.shape)}", user_location()
        )
    return tensor


# --------------------------------------------------------------------------- longer and shorter


@takes_dim
def delete(arr: TensorLike, obj: Any, axis: int | None = None) -> Tensor:
    """Without the positions ``obj`` (a number, a slice, several or a mask, known when traced).

    Of the flattened tensor without an axis. IndexOutOfBoundsError for positions that there are not.
    ``arr`` is the tensor.
    """
    tensor, at = _along(arr, axis)
    size = tensor.shape[at]
    kept = np.ones(size, bool)
    kept[_positions("delete", obj, size)] = False
    return F.take(tensor, np.nonzero(kept)[0], at)


@takes_dim
def insert(arr: TensorLike, obj: Any, values: TensorLike, axis: int | None = None) -> Tensor:
    """With ``values``, in the dtype of the tensor, before the positions ``obj`` along the axis.

    Positions (a number, a slice, several or a mask, known when traced) count before anything is
    inserted; ``values`` broadcast to as many. Of the flattened tensor without an axis. ``arr`` is
    the tensor.
    """
    tensor, at = _along(arr, axis)
    size = tensor.shape[at]
    positions = _positions("insert", obj, size, size + 1)
    value = fitted(values, tensor.type.dtype)
    if positions.size == 1:
        value = F.reshape(value, (1,) * (tensor.ndim - value.ndim) + value.shape)
        value = value if positions.ndim else F.moveaxis(value, 0, at)
        positions = np.repeat(positions.reshape(-1), value.shape[at])
    order = np.argsort(np.concatenate([np.arange(size), positions - 0.5]), kind="stable")
    shape = (*tensor.shape[:at], len(positions), *tensor.shape[at + 1 :])
    both = F.concatenate([tensor, F.broadcast_to(value, shape)], at)
    return F.take(both, order, at)


def _along(x: TensorLike, axis: int | None) -> tuple[Tensor, int]:
    tensor = as_tensor(x)
    if axis is None:
        return F.flatten(tensor), 0
    return tensor, normal_axis(axis, tensor.ndim)


def _positions(name: str, obj: Any, size: int, places: int | None = None) -> Array:
    """Positions along an axis as integers counted from the start; they must be known."""
    size = integer_of(size, "the size of an axis")
    if isinstance(obj, slice):
        return np.arange(size)[obj]
    if current_scope() is not None and isinstance(obj, Tensor):
        raise ControlFlowError(
            f"{name} takes positions that are known when the function is traced, for they decide "
            "the shape: numbers, or an array as a static argument",
            user_location(),
        )
    array = obj.data if isinstance(obj, Tensor) else array_of(obj)
    if array.dtype.kind == "b":
        if array.shape != (size,):
            raise ShapeError(
                f"a mask of shape {array.shape} for an axis of size {size}", user_location()
            )
        return np.nonzero(array)[0]
    if array.ndim > 1:
        raise ShapeError(f"{name} takes positions along one axis", user_location())
    array = array.astype(np.int64) if not array.size or array.dtype.kind in "iu" else array
    if array.dtype.kind != "i":
        integer_of(array.flat[0], "a position")
    last = size if places is None else places
    bad = (array < -size) | (array >= last)
    if bad.any():
        raise IndexOutOfBoundsError(
            f"{name}: position {array[bad].flat[0]} of an axis of size {size}", user_location()
        )
    return np.where(array < 0, array + size, array)


def resize(a: TensorLike, new_shape: Any) -> Tensor:
    """The elements, again and again, as many as another shape has; zeros where there are none.

    ``a`` is the tensor, ``new_shape`` the other shape.
    """
    tensor = F.flatten(a)
    shape = shapes.new_shape(new_shape)
    total = math.prod(shape)
    if not tensor.size:
        return F.zeros(shape, tensor.dtype)
    times = -(-total // tensor.size)
    return F.reshape(F.tile(tensor, times)[:total], shape)
