"""PyTorch's words for reading and writing at positions and under masks.

What writes gives another tensor; the methods whose name ends in an underscore write to their own.

``x`` is the tensor, ``dim`` an axis of it, counted from the end where negative, and ``index``
positions along that. Diagonals are those of the matrices over ``dim1`` and ``dim2``, ``offset``
places above the main one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nets.errors import ArgumentError, DTypeError, IndexOutOfBoundsError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.pytorch.delegates import public
from nets.frontend.tensor.pytorch.shapes import at_least_1d, axis_of
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


def _before(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis


def _replaced(x: Tensor, key: Any, value: TensorLike) -> Tensor:
    """x with ``value`` at x[key], as another tensor."""
    made = F.positive(x)
    F.setitem(made, key, value)
    return made


@takes_dim
def gather(x: TensorLike, dim: int, index: TensorLike, *, sparse_grad: bool = False) -> Tensor:
    """For each position of ``index``, the element of x at that index along the axis.

    ``index`` has the rank of x and is nowhere longer but along the axis; the result has its shape.
    IndexOutOfBoundsError for indices outside [0, size), from compiled code when it runs. ShapeError
    where the shapes do not go together. ``sparse_grad`` makes no difference.
    """
    tensor, picks = F.as_tensor(x), F.as_tensor(index)
    axis = axis_of(dim, tensor.ndim)
    line, places = at_least_1d(tensor), at_least_1d(picks)
    if not places.size:
        _positions(places, 0, "gather")
        return F.zeros(picks.shape, tensor.dtype)
    part = _of_size(line, places, axis, "gather")
    places = _positions(places, line.shape[axis], "gather")
    return F.reshape(F.take_along_axis(part, places, axis), picks.shape)


def _of_size(x: Tensor, index: Tensor, axis: int, name: str) -> Tensor:
    """The part of x that indices of this shape reach."""
    pairs = list(zip(x.shape, index.shape, strict=False))
    fits = all(k <= n for i, (n, k) in enumerate(pairs) if i != axis)
    if x.ndim != index.ndim or not fits:
        raise ShapeError(
            f"{name} takes an index that is nowhere longer than shape {x.shape} but along dim "
            f"{axis}, not {index.shape}",
            user_location(),
        )
    return F.getitem(
        x, tuple(slice(None) if i == axis else slice(0, k) for i, (_, k) in enumerate(pairs))
    )


def _positions(index: Tensor, size: int, name: str) -> Tensor:
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{name} takes integer indices, not {index.dtype}", user_location())
    return F.check_positions(index, size, f"an index of {name}") if index.size else index


@takes_dim
def take_along_dim(x: TensorLike, indices: TensorLike, dim: int | None = None) -> Tensor:
    """For each position of ``indices``, the element of x at that index along the axis, or in the
    flattened tensor: ``nets.take_along_axis``."""
    tensor, picks = F.as_tensor(x), F.as_tensor(indices)
    if dim is None:
        tensor, picks, dim = F.flatten(tensor), F.flatten(picks), 0
    return F.take_along_axis(tensor, picks, axis_of(dim, tensor.ndim))


@takes_dim
def index_select(x: TensorLike, dim: int, index: TensorLike) -> Tensor:
    """The slices at the positions ``index``, a vector, along the axis.

    IndexOutOfBoundsError for positions outside [0, size), from compiled code when it runs.
    """
    tensor, picks = F.as_tensor(x), _vector(index, "index_select")
    axis = axis_of(dim, tensor.ndim)
    line = at_least_1d(tensor)
    made = F.take(line, _positions(picks, line.shape[axis], "index_select"), axis)
    return made if tensor.ndim else F.reshape(made, ())


def _vector(index: TensorLike, name: str) -> Tensor:
    picks = F.as_tensor(index)
    if picks.ndim > 1:
        raise ShapeError(f"{name} takes a vector of indices, not {picks.shape}", user_location())
    return at_least_1d(picks)


def _mask(mask: TensorLike, name: str) -> Tensor:
    tensor = F.as_tensor(mask)
    if tensor.dtype != np.bool_:
        raise DTypeError(f"{name} takes a mask of bools, not {tensor.dtype}", user_location())
    return tensor


def masked_fill(x: TensorLike, mask: TensorLike, value: TensorLike) -> Tensor:
    """``value``, a number, where the mask holds, else x, in the dtype of x."""
    tensor, filling = F.as_tensor(x), F.as_tensor(value)
    if filling.ndim:
        raise ShapeError(f"masked_fill takes one value, not shape {filling.shape}", user_location())
    _refuse_lossy(tensor, filling, "masked_fill")
    return F.where(_mask(mask, "masked_fill"), F.astype(filling, tensor.dtype), tensor)


def _refuse_lossy(x: Tensor, value: Tensor, name: str) -> None:
    """DTypeError for a tensor of a kind that x cannot hold."""
    if not np.can_cast(value.dtype, x.dtype, "same_kind") and x.dtype.kind == "b":
        raise DTypeError(f"{name}: {x.dtype} cannot hold {value.dtype}", user_location())


@takes_dim
def index_fill(x: TensorLike, dim: int, index: TensorLike, value: TensorLike) -> Tensor:
    """x with ``value``, a number, in the slices at these positions along the axis."""
    tensor, filling = F.as_tensor(x), F.as_tensor(value)
    if filling.ndim:
        raise ShapeError(f"index_fill takes one value, not shape {filling.shape}", user_location())
    picks, axis = _vector(index, "index_fill"), axis_of(dim, tensor.ndim)
    line = at_least_1d(tensor)
    _require_integers(picks, "index_fill")
    made = _replaced(line, (*_before(axis), picks), filling)
    return F.reshape(made, tensor.shape)


def _require_integers(index: Tensor, name: str) -> None:
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{name} takes integer indices, not {index.dtype}", user_location())


@takes_dim
def index_copy(x: TensorLike, dim: int, index: TensorLike, source: TensorLike) -> Tensor:
    """x with the slices of ``source`` in those at these positions along the axis; where one comes
    twice, the last."""
    tensor, new = F.as_tensor(x), F.as_tensor(source)
    picks, axis = _vector(index, "index_copy"), axis_of(dim, tensor.ndim)
    line, rows = at_least_1d(tensor), at_least_1d(new)
    _require_integers(picks, "index_copy")
    if rows.shape != (*line.shape[:axis], picks.size, *line.shape[axis + 1 :]):
        raise ShapeError(
            f"index_copy: {picks.size} slices of shape {tensor.shape} are not of shape {new.shape}",
            user_location(),
        )
    if new.dtype != tensor.dtype:
        raise DTypeError(
            f"index_copy takes a source of {tensor.dtype}, not {new.dtype}", user_location()
        )
    return F.reshape(_replaced(line, (*_before(axis), picks), rows), tensor.shape)


@takes_dim
def select_scatter(x: TensorLike, src: TensorLike, dim: int, index: int) -> Tensor:
    """x with ``src`` as its slice at one position along the axis."""
    tensor, part = F.as_tensor(x), F.as_tensor(src)
    axis = axis_of(dim, tensor.ndim)
    key = (*_before(axis), index)
    _same_shape("select_scatter", part, F.getitem(tensor, key))
    return _replaced(tensor, key, part)


@takes_dim
def slice_scatter(
    x: TensorLike,
    src: TensorLike,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """x with ``src`` as its slice [start:end:step] along the axis."""
    tensor, part = F.as_tensor(x), F.as_tensor(src)
    key = (*_before(axis_of(dim, tensor.ndim)), slice(start, end, step))
    _same_shape("slice_scatter", part, F.getitem(tensor, key))
    return _replaced(tensor, key, part)


def diagonal_scatter(
    x: TensorLike, src: TensorLike, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """x with ``src`` on a diagonal of the matrices over two axes; the diagonal is the last axis of
    ``src``."""
    tensor, part = F.as_tensor(x), F.as_tensor(src)
    first, second = axis_of(dim1, tensor.ndim), axis_of(dim2, tensor.ndim)
    matrices = F.moveaxis(tensor, (first, second), (-2, -1))
    rows, columns = matrices.shape[-2:]
    shift = integer_of(offset, "offset")
    down, right = max(-shift, 0), max(shift, 0)
    at = np.arange(max(0, min(rows - down, columns - right)))
    key = (..., at + down, at + right)
    _same_shape("diagonal_scatter", part, F.getitem(matrices, key))
    return F.moveaxis(_replaced(matrices, key, part), (-2, -1), (first, second))


def _same_shape(name: str, src: Tensor, part: Tensor) -> None:
    if src.shape != part.shape:
        raise ShapeError(
            f"{name} puts a tensor of shape {part.shape}, not {src.shape}", user_location()
        )


def index_put(
    x: TensorLike, indices: Sequence[TensorLike], values: TensorLike, accumulate: bool = False
) -> Tensor:
    """x with ``values`` at x[indices]; with ``accumulate`` added to what is there, as often as an
    index comes."""
    tensor = F.as_tensor(x)
    if not isinstance(indices, (tuple, list)):
        raise ArgumentError(
            f"index_put takes a tuple of indices, not a {type(indices).__name__}", user_location()
        )
    key = tuple(slice(None) if i is None else F.as_tensor(i) for i in indices)
    if not accumulate:
        return _replaced(tensor, key, values)
    numbers = F.reshape(F.arange(tensor.size), tensor.shape)
    places = F.getitem(numbers, key)
    added = F.broadcast_to(F.astype(values, tensor.dtype), places.shape)
    return _accumulated(tensor, F.flatten(places), F.flatten(added))


def _accumulated(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """x with values added at places of its flattened elements."""
    from nets.frontend.tensor.dispatch import apply

    flat = F.flatten(x)
    return F.reshape(apply("scatter_add", flat, places, values, axis=0), x.shape)


def put(x: TensorLike, index: TensorLike, source: TensorLike, accumulate: bool = False) -> Tensor:
    """x with the elements of ``source`` at positions of its flattened elements."""
    tensor, places, new = F.as_tensor(x), F.as_tensor(index), F.as_tensor(source)
    _require_integers(places, "put")
    if places.size != new.size:
        raise ShapeError(
            f"put takes as many elements as positions, not {new.shape} for {places.shape}",
            user_location(),
        )
    if new.dtype != tensor.dtype:
        raise DTypeError(f"put takes a source of {tensor.dtype}, not {new.dtype}", user_location())
    flat = F.reshape(tensor, (-1,)) if tensor.size else F.reshape(tensor, (0,))
    if not places.size:
        return F.positive(tensor)
    if not flat.size:
        raise IndexOutOfBoundsError("put: there is no element to put at", user_location())
    made = index_put(flat, (F.flatten(places),), F.flatten(new), accumulate)
    return F.reshape(made, tensor.shape)


def take(x: TensorLike, index: TensorLike) -> Tensor:
    """The elements at positions of the flattened tensor."""
    return F.take(x, index)


def nonzero(x: TensorLike, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0, one in each row (n, rank); with ``as_tuple`` a
    vector of them for each axis, as ``nets.nonzero`` gives: eagerly, for their number is no shape
    of a trace (ControlFlowError)."""
    return tuple(public("nonzero")(at_least_1d(x))) if as_tuple else public("argwhere")(x)
