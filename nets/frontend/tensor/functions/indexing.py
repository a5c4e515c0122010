"""Indexing: x[key] with NumPy's meaning, in slices, flips, reshapes and gathers.

A key is first put into normal form: one entry per axis of x, and one per new axis. Whole numbers
and slices are dealt with by one ``slice``; then integer arrays, broadcast against each other, by
one ``gather``, over one axis or over several that have been made one.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DTypeError,
    IndexOutOfBoundsError,
    NetsError,
    ShapeError,
    UnsupportedObjectError,
)
from nets.frontend.tensor.conversion import array_of, integer_of, is_scalar
from nets.frontend.tensor.dimension import (
    Dimension,
    is_open,
    plain,
)
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    broadcast,
    cast,
    constant,
    joined_shape,
    renewed,
    require,
    require_dtype,
    shape_text,
)
from nets.frontend.tensor.functions.arithmetic import maximum, minimum, remainder, where
from nets.frontend.tensor.functions.comparison import greater_equal, less, less_equal
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.functions.index_entries import (
    Entry,
    NewAxis,
    Open,
    Picks,
    Range,
    Whole,
    open_position,
    open_range,
    out_of_bounds,
)
from nets.frontend.tensor.functions.shape import (
    flatten,
    normal_axis,
    permute_dims,
    repeated,
    reshape,
    under,
)
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable
from nets.frontend.tensor.views import Move, view
from nets.ir.location import user_location
from nets.ir.types import i64


def normal_key(
    key: object, shape: tuple[int, ...], instead: str = "nets.dynamic_slice(x, i, (2,))"
) -> list[Entry]:
    """The key with one entry per axis and new axis.

    IndexOutOfBoundsError for a whole number out of range or too many entries, DTypeError for
    indices that are no integers, ControlFlowError for a traced mask, and for traced bounds of a
    slice, which says what to write ``instead`` of x[i:i+2].
    """
    _refuse_traced_bounds(key, instead)
    entries = [part for item in _items(key) for part in _expanded(item)]
    used = builtins.sum(1 for e in entries if e is not None and e is not Ellipsis)
    if used > len(shape):
        raise IndexOutOfBoundsError(
            f"{used} indices are too many for shape {shape_text(shape)}", user_location()
        )
    dots = [i for i, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        raise IndexOutOfBoundsError("an index holds at most one '...'", user_location())
    at = dots[0] if dots else len(entries)
    entries[at : at + len(dots)] = [slice(None)] * (len(shape) - used)
    sizes = iter(enumerate(shape))
    return [NewAxis() if e is None else _entry(e, *next(sizes)) for e in entries]


def _refuse_traced_bounds(key: object, instead: str) -> None:
    if current_scope() is None:
        return
    slices = [item for item in _items(key) if isinstance(item, slice)]
    for bound in (bound for item in slices for bound in (item.start, item.stop, item.step)):
        if isinstance(bound, Tensor) and _known(bound) is None:
            raise ControlFlowError(
                f"a bound of this slice, a {bound.type}, is known only when the traced function "
                f"runs; for a window of fixed size write {instead} instead of x[i:i+2]",
                user_location(),
            )


def _items(key: object) -> Sequence[object]:
    return key if isinstance(key, tuple) else (key,)


def _expanded(item: Any) -> list[Any]:
    """A mask becomes one integer array per axis; lists and arrays become tensors."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return [item]
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return [int(item)]
    if isinstance(item, Dimension):
        return [item]
    array = _known(item)
    if array is None:
        return [_picks_of_traced(item)]
    if isinstance(item, Tensor) and item._weak and not array.ndim and array.dtype.kind in "iu":
        return [int(array)]
    if isinstance(item, list) and not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind == "b":
        if not array.ndim:
            raise UnsupportedObjectError("a single bool is no index beside others", user_location())
        found = np.nonzero(array)
        return [_picks(at, n) for at, n in zip(found, array.shape, strict=True)]
    if array.dtype.kind not in "iu":
        raise DTypeError(f"an index is an integer, not {array.dtype.name}", user_location())
    return [_picks(array)]


def _known(item: object) -> Array | None:
    """The elements of an index, None where a trace will know them only when it is run."""
    if not isinstance(item, Tensor):
        return array_of(item)
    if isinstance(item._value, Variable) and current_scope() is None:
        return item._value.data
    return None


def _picks(array: Array, masked: int | None = None) -> Picks:
    positions = array.astype(np.int64)
    return Picks(constant(positions), positions, masked)


def _picks_of_traced(x: Tensor) -> Picks:
    if x.type.dtype.is_bool:
        raise ControlFlowError(
            f"a mask of type {x.type} picks a number of elements that is known only when the "
            "traced function runs; write nets.where(mask, x, other)",
            user_location(),
        )
    if not x.type.dtype.is_integer:
        raise DTypeError(f"an index is an integer, not {x.type}", user_location())
    if x._weak and not x.shape:
        return Picks(cast(x, i64), None, is_number=True)
    return Picks(stop_gradient(cast(x, i64)), None)


def _entry(item: object, axis: int, size: int) -> Entry:
    if isinstance(item, slice):
        bounds = (item.start, item.stop, item.step)
        return open_range(item, size) if is_open((size, *bounds)) else _range(item, size)
    if isinstance(item, Dimension) or (isinstance(item, int) and is_open((size,))):
        return open_position(item, axis, size)
    if isinstance(item, int):
        if not -size <= item < size:
            raise out_of_bounds(item, axis, size)
        return Whole(item % size)
    assert isinstance(item, Picks)
    if item.array is None:
        return item
    if item.masked not in (None, size):
        raise IndexOutOfBoundsError(
            f"a mask with an axis of size {item.masked} stands for axis {axis} of size {size}",
            user_location(),
        )
    if is_open((size,)):
        return Picks(item.tensor, None, item.masked, item.is_number)
    bad = (item.array < -size) | (item.array >= size)
    if bad.any():
        raise out_of_bounds(int(item.array[bad].flat[0]), axis, size)
    return item


def _range(item: slice, size: int) -> Range:
    bounds = [
        None if b is None else integer_of(b, "a slice bound")
        for b in (item.start, item.stop, item.step)
    ]
    if bounds[2] == 0:
        raise IndexOutOfBoundsError("the step of a slice is not zero", user_location())
    positions = range(*slice(*bounds).indices(size))
    return Range(positions.start, len(positions), positions.step)


# ---------------------------------------------------------------------------- reading


def getitem(x: TensorLike, key: object) -> Tensor:
    """x[key]: whole numbers, slices, None, ``...``, integer arrays, and (eagerly) masks.

    As in NumPy the result is a view of x, but a copy where arrays or masks pick the elements, and
    where whole numbers alone pick a single one. IndexOutOfBoundsError for positions out of range.
    A mask is counted, so inside a trace it must be a NumPy array. The gradient is added at the
    positions read.
    """
    tensor = as_tensor(x)
    if (chosen := _single_bool(key)) is not None:
        tensor, key = reshape(tensor, (1, *tensor.shape)), chosen.reshape(1)
    entries = normal_key(key, tensor.shape)
    if _is_basic(entries):
        moves = _moves(tensor.shape, entries)
        is_element = all(isinstance(e, (Whole, Picks)) for e in entries)
        if is_element and all(item is not Ellipsis for item in _items(key)):
            return _made(tensor, moves)
        return view(tensor, *moves)
    entries = list(map(_as_picks, entries))
    part = _made(tensor, _moves(tensor.shape, entries))
    picked = [i for i, e in enumerate(entries) if isinstance(e, Picks)]
    indices = broadcast(*(e.tensor for e in entries if isinstance(e, Picks)))
    if picked != list(range(picked[0], picked[-1] + 1)):
        others = [axis for axis in range(part.ndim) if axis not in picked]
        part, picked = permute_dims(part, [*picked, *others]), list(range(len(picked)))
    return _gathered(part, picked[0], indices)


def _single_bool(key: Any) -> Array | None:
    """A key that is one bool: it picks all of a tensor, or nothing, along a new first axis."""
    is_bool = isinstance(key, bool) or getattr(key, "dtype", None) == np.bool_
    return _known(key) if is_bool and not np.ndim(key) else None


def slice_(x: TensorLike, key: object) -> Tensor:
    """x[key], as a function."""
    return getitem(x, key)


def length(x: TensorLike) -> int:
    """Size of the first axis; ShapeError for a 0-d tensor."""
    return len(as_tensor(x))


def _as_picks(entry: Entry) -> Entry:
    """Beside integer arrays, whole numbers count as such, as in NumPy."""
    if isinstance(entry, Whole):
        if is_open((entry.position,)):
            return Picks(cast(as_tensor(entry.position), i64), None)
        return _picks(np.array(entry.position))
    return Picks(entry.tensor, None) if _is_number(entry) else entry


def view_moves(x: Tensor, key: object) -> list[Move] | None:
    """The operations that make the view x[key]; None where it is no view."""
    entries = normal_key(key, x.shape)
    return _moves(x.shape, entries) if _is_basic(entries) else None


def _is_basic(entries: Sequence[Entry]) -> bool:
    return all(not isinstance(e, Picks) or e.is_number for e in entries)


def _made(x: Tensor, moves: Sequence[Move]) -> Tensor:
    for name, attributes, operands in moves:
        x = apply(name, x, *operands, **attributes)
    return x


def _moves(shape: tuple[int, ...], entries: Sequence[Entry]) -> list[Move]:
    """What whole numbers, slices and new axes do; axes picked by arrays stay whole."""
    on_axes = [e for e in entries if not isinstance(e, NewAxis)]
    cuts = list(map(_extent, on_axes, shape))
    flipped = tuple(axis for axis, (_, _, step) in enumerate(cuts) if step < 0)
    moves: list[Move] = []
    from_end = [axis for axis, e in enumerate(on_axes) if isinstance(e, Open) and e.flipped]
    if from_end:
        moves.append(("flip", {"axes": tuple(from_end)}, ()))
    if plain(tuple(cuts)) != tuple((0, size, 1) for size in plain(shape)):
        moves.append(("slice", _slice(cuts, on_axes), ()))
    if flipped:
        moves.append(("flip", {"axes": flipped}, ()))
    sizes = [count for _, count, _ in cuts]
    left, after = iter(cuts), []
    for entry in entries:
        size = 1 if isinstance(entry, NewAxis) else next(left)[1]
        if not isinstance(entry, Whole) and not _is_number(entry):
            after.append(size)
    for axis, entry in reversed(list(enumerate(on_axes))):
        if _is_number(entry):
            moves.append(("gather", {"axis": axis}, (entry.tensor,)))
            del sizes[axis]
    if plain(tuple(after)) != plain(tuple(sizes)) or not moves:
        moves.append(("reshape", {"shape": tuple(after)}, ()))
    return moves


def _is_number(entry: Entry) -> TypeGuard[Picks]:
    return isinstance(entry, Picks) and entry.is_number


def _slice(cuts: Sequence[tuple[int, int, int]], entries: Sequence[Entry]) -> dict[str, object]:
    """The attributes of a slice that takes, by axis, so many positions from a start by a step.

    By a negative step, it takes the same positions in ascending order.
    """
    lows = [low if step > 0 else low + (count - 1) * step for low, count, step in cuts]
    return {
        "starts": tuple(lows),
        "stops": tuple(
            entry.stop if isinstance(entry, Open) else low + (count - 1) * builtins.abs(step) + 1
            for low, (_, count, step), entry in zip(lows, cuts, entries, strict=True)
        ),
        "steps": tuple(builtins.abs(step) for _, _, step in cuts),
    }


def _extent(entry: Entry, size: int) -> tuple[int, int, int]:
    """Start, count and step of an axis; an empty one starts at 0 by 1."""
    if isinstance(entry, Whole):
        return entry.position, 1, 1
    if isinstance(entry, Open):
        return entry.start, entry.count, entry.step
    if isinstance(entry, Range):
        if entry.count == 0:
            return 0, 0, 1
        return entry.start, entry.count, entry.step if entry.count > 1 else 1
    return 0, size, 1


def _gathered(x: Tensor, axis: int, indices: Sequence[Tensor]) -> Tensor:
    """x at the indices (of one shape) along as many axes from ``axis`` on."""
    if len(indices) == 1:
        return apply("gather", x, indices[0], axis=axis)
    sizes = x.shape[axis : axis + len(indices)]
    total = math.prod(sizes)
    merged = under(x, (*x.shape[:axis], total, *x.shape[axis + len(indices) :]))
    return apply("gather", merged, linear_positions(indices, sizes), axis=axis)


def linear_positions(indices: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Positions in the flattened axes; where an index is out of range, one past the last.

    The gather that follows checks only the flattened position, so it must fail for each of them.
    """
    position, outside = as_tensor(0), as_tensor(False)
    for index, size in zip(indices, sizes, strict=True):
        forward = where(index < 0, index + size, index)
        position = position * size + forward
        outside = outside | (forward < 0) | (forward >= size)
    return where(outside, math.prod(sizes), position)


# ----------------------------------------------------------------- functions that read


def take(
    x: TensorLike, indices: TensorLike, axis: int | None = None, mode: str = "raise"
) -> Tensor:
    """The slices of x at the indices along the axis; of the flattened tensor without one.

    Indices out of range are an IndexOutOfBoundsError, or with the ``mode`` "wrap" counted around,
    with "clip" moved to the nearest one. ArgumentError for another mode.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    at = normal_axis(axis, tensor.ndim)
    index = indices if isinstance(indices, Tensor) else array_of(indices)
    return getitem(tensor, (*(slice(None),) * at, within(index, tensor.shape[at], mode)))


def within(index: Any, size: Any, mode: str) -> Any:
    """Positions as NumPy's ``mode`` has them: as they are, counted around, or moved inside."""
    if mode not in ("raise", "wrap", "clip"):
        raise ArgumentError(f'the mode is "raise", "wrap" or "clip", not {mode!r}', user_location())
    if mode == "wrap":
        return remainder(index, size)
    return index if mode == "raise" else minimum(maximum(index, 0), size - 1)


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """For each position of ``indices``, the element of x at that index along the axis.

    Both have the same rank; their other axes broadcast to each other, as in NumPy. ShapeError where
    they do not.
    """
    tensor, picks = as_tensor(x), as_tensor(indices)
    if axis is None:
        tensor, picks, axis = flatten(tensor), flatten(picks), 0
    at = normal_axis(axis, tensor.ndim)
    if picks.ndim != tensor.ndim:
        raise ShapeError(
            f"take_along_axis takes indices of the rank of shape {shape_text(tensor.shape)}, not "
            f"of shape {shape_text(picks.shape)}",
            user_location(),
        )
    others = [(*x.shape[:at], 1, *x.shape[at + 1 :]) for x in (tensor, picks)]
    joined: Any = joined_shape(*others)
    tensor = repeated(tensor, (*joined[:at], tensor.shape[at], *joined[at + 1 :]))
    shape = (*joined[:at], picks.shape[at], *joined[at + 1 :])
    if picks.type.shape[at] == 1 and picks.type.dtype.is_integer:
        (index,) = _expanded(repeated(picks, shape))
        return apply("pick", tensor, index.tensor, axis=at)
    grid = _grid(shape)
    grid[at] = repeated(picks, shape)
    return getitem(tensor, tuple(grid))


def _grid(shape: tuple[int, ...]) -> list[Any]:
    """For each axis its positions, along that axis."""
    if not is_open(shape):
        return list(np.ogrid[tuple(slice(n) for n in shape)])
    ones = (1,) * len(shape)
    return [
        apply("iota", shape=(*ones[:i], n, *ones[i + 1 :]), dtype=i64, axis=i)
        for i, n in enumerate(shape)
    ]


def check_positions(indices: TensorLike, size: int, what: str = "a position") -> Tensor:
    """The integers ``indices`` as they are, each of which must lie in [0, size): none counts from
    the end.

    IndexOutOfBoundsError, which says ``what`` they are, for others: at once, from a traced function
    when it runs, and by a status from an exported one. DTypeError for what is no integer.
    """
    tensor = as_tensor(indices)
    size = size if is_open((size,)) else integer_of(size, "the number of positions")
    require_dtype(tensor, "iu", f"{what} is an integer")
    is_empty = isinstance(size, int) and not size
    message = f"{what} has 0 to choose from" if is_empty else f"{what} is a number from 0 to "
    message += "" if is_empty else f"{size - 1}"
    inside = greater_equal(tensor, 0) & less(tensor, size)
    return _required(tensor, inside, message, IndexOutOfBoundsError)


def check_range(x: TensorLike, low: float, high: float, what: str = "a number") -> Tensor:
    """x as it is, whose elements must lie in [low, high]; NaN does not.

    ArgumentError, which says ``what`` they are, for others: at once, from a traced function when it
    runs, and by a status from an exported one.
    """
    if not is_scalar(low) or not is_scalar(high):
        raise ArgumentError(
            f"a range is given by two Python numbers, not {low!r} and {high!r}", user_location()
        )
    tensor = as_tensor(x)
    inside = greater_equal(tensor, low) & less_equal(tensor, high)
    return _required(tensor, inside, f"{what} lies between {low} and {high}", ArgumentError)


def _required(x: Tensor, inside: Tensor, message: str, error: type[NetsError]) -> Tensor:
    """x; where it is known and not all of it inside, an error that names an element outside."""
    if current_scope() is not None:
        return require(x, inside, error, message)
    bad = ~inside.data
    if bad.any():
        raise error(f"{message}, not {x.data[bad].flat[0]}", user_location())
    return renewed(x)
