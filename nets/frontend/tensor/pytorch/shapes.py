"""PyTorch's words for shapes: the same elements under other axes, in pieces, or side by side.

``x`` is the tensor, ``tensors`` several; axes (``dim``, ``dim0``, ``dim1``, ``source``,
``destination``) count from the end where they are negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nets.errors import ArgumentError, ShapeError, UnsupportedObjectError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.pytorch.delegates import public
from nets.frontend.tensor.scope import current_scope
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


def sizes_of(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes that were given one by one, or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        return tuple(sizes[0])
    return sizes


def axis_of(dim: object, rank: int) -> int:
    """The axis counted from the start, where a number counts as having one; ShapeError."""
    number = integer_of(dim, "dim")
    rank = max(rank, 1)
    if not -rank <= number < rank:
        raise ShapeError(f"there is no dim {number} among {rank}", user_location())
    return number % rank


def at_least_1d(x: TensorLike) -> Tensor:
    """x, of a number the one axis that PyTorch lets it have."""
    tensor = F.as_tensor(x)
    return tensor if tensor.ndim else F.reshape(tensor, (1,))


def view(x: TensorLike, *shape: Any) -> Tensor:
    """The elements under another shape, shared with x: what is written to one shows in the other.

    One size may be −1, for the rest. ShapeError where sharing is not possible, as after a
    transpose: ``reshape`` copies then. UnsupportedObjectError for a dtype, by which PyTorch reads
    the bits anew.
    """
    from nets.frontend.tensor.views import View

    wanted = sizes_of(shape)
    if len(wanted) == 1 and isinstance(wanted[0], (str, type, np.dtype)):
        raise UnsupportedObjectError(
            "view takes a shape: t.to(dtype) converts, and nets.bitcast_convert_type reads bits as "
            "another dtype",
            user_location(),
        )
    tensor = F.as_tensor(x)
    made = F.reshape(tensor, wanted)
    if isinstance(tensor, View) and not isinstance(made, View):
        raise ShapeError(
            f"the elements of shape {tensor.shape} do not lie such that they can be viewed as "
            f"{made.shape}: reshape copies them",
            user_location(),
        )
    return made


def view_as(x: TensorLike, other: TensorLike) -> Tensor:
    """``view`` with the shape of another tensor."""
    return view(x, F.as_tensor(other).shape)


def reshape_as(x: TensorLike, other: TensorLike) -> Tensor:
    """``reshape`` with the shape of another tensor."""
    return F.reshape(x, F.as_tensor(other).shape)


def permute(x: TensorLike, *axes: Any, dims: Any = ()) -> Tensor:
    """The axes in another order, given one by one or as a sequence ``dims``: a view."""
    return F.permute_dims(x, sizes_of(axes if axes else (dims,)))


@takes_dim
def unsqueeze(x: TensorLike, dim: int) -> Tensor:
    """A new axis of size 1 at this position of the result: a view."""
    return F.expand_dims(x, integer_of(dim, "dim"))


@takes_dim
def squeeze(x: TensorLike, dim: Any = None) -> Tensor:
    """Without those of the given axes that have size 1, by default without all such: a view."""
    tensor = F.as_tensor(x)
    if dim is None:
        return F.squeeze(tensor)
    given = dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = [axis_of(axis, tensor.ndim) for axis in given]
    if len(set(axes)) != len(axes):
        raise ShapeError(f"a dim appears twice in {tuple(given)}", user_location())
    return F.squeeze(tensor, tuple(axis for axis in axes if tensor.shape[axis : axis + 1] == (1,)))


def expand(x: TensorLike, *sizes: Any, implicit: bool = False) -> Tensor:
    """x repeated along its axes of size 1, and along new ones before them: a view that cannot be
    written to. A size of −1 stays as it is. ``implicit`` makes no difference."""
    tensor, wanted = F.as_tensor(x), sizes_of(sizes)
    new = len(wanted) - tensor.ndim
    if new < 0 or any(_is_kept(n) for n in wanted[:new]):
        raise ShapeError(
            f"expand takes a size for each axis of shape {tensor.shape}, and for new ones before "
            f"them, not {wanted}",
            user_location(),
        )
    own = (*wanted[:new], *tensor.shape)
    shape = tuple(k if _is_kept(n) else n for n, k in zip(wanted, own, strict=True))
    return F.broadcast_to(tensor, shape)


def _is_kept(size: object) -> bool:
    return isinstance(size, int | np.integer) and size == -1


def expand_as(x: TensorLike, other: TensorLike) -> Tensor:
    """``expand`` to the shape of another tensor."""
    return expand(x, F.as_tensor(other).shape)


def clone(x: TensorLike, *, memory_format: object = None) -> Tensor:
    """The elements in a tensor of their own, with the gradient going to x.

    ``memory_format`` makes no difference: tensors are row-major.
    """
    return F.positive(x)


def same(x: TensorLike, memory_format: object = None) -> Tensor:
    """All of x, shared with it: what PyTorch calls ``contiguous`` and more, which find tensors
    already as they are asked for."""
    tensor = F.as_tensor(x)
    return F.reshape(tensor, tensor.shape)


def t(x: TensorLike) -> Tensor:
    """The two axes of a matrix swapped, fewer as they are: a view. ShapeError for more."""
    tensor = F.as_tensor(x)
    if tensor.ndim > 2:
        raise ShapeError(
            f"t is for at most two axes, not for shape {tensor.shape}: t.mT swaps the last two",
            user_location(),
        )
    return F.transpose(tensor)


def adjoint(x: TensorLike) -> Tensor:
    """The two axes of a matrix swapped: a view. ShapeError for other ranks than 0 and 2."""
    tensor = F.as_tensor(x)
    if tensor.ndim not in (0, 2):
        raise ShapeError(
            f"H is of a matrix, not of shape {tensor.shape}: mH swaps the last two axes",
            user_location(),
        )
    return F.transpose(tensor)


def adjoint_of_matrices(x: TensorLike) -> Tensor:
    """The last two axes swapped: a view."""
    return F.matrix_transpose(x)


def transpose(x: TensorLike, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
    """Two axes swapped, which are given as two numbers: PyTorch's. The axes in the order of a
    tuple, by default reversed, or in that of more numbers: NumPy's. A view."""
    tensor = F.as_tensor(x)
    if dim0 is not None or dim1 is not None:
        if dims or dim0 is None or dim1 is None:
            raise ArgumentError("transpose takes dim0 and dim1, or axes", user_location())
        dims = dim0, dim1
    if len(dims) == 2:
        first, second = (axis_of(dim, tensor.ndim) for dim in dims)
        return same(tensor) if not tensor.ndim else F.swapaxes(tensor, first, second)
    if not dims or dims == (None,):
        return F.transpose(tensor)
    return F.transpose(tensor, dims[0] if len(dims) == 1 else dims)


def swapdims(x: TensorLike, dim0: int, dim1: int) -> Tensor:
    """Two axes swapped: a view."""
    return transpose(x, dim0, dim1)


def numel(x: TensorLike) -> int:
    """The number of elements."""
    return F.as_tensor(x).size


def ndim(x: TensorLike) -> int:
    """The number of axes."""
    return F.as_tensor(x).ndim


@takes_dim
def select(x: TensorLike, dim: int, index: Any) -> Tensor:
    """The slice at one position along an axis, which goes: a view."""
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("select is not for a 0-d tensor", user_location())
    return F.getitem(tensor, (*whole(axis_of(dim, tensor.ndim)), index))


def whole(count: int) -> tuple[slice, ...]:
    return (slice(None),) * count


@takes_dim
def narrow(x: TensorLike, dim: int, start: Any, length: int) -> Tensor:
    """``length`` positions from ``start`` on along an axis: a view.

    ShapeError where they do not lie in x. ``start`` may count from the end.
    """
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("narrow is not for a 0-d tensor", user_location())
    axis = axis_of(dim, tensor.ndim)
    size, first = tensor.shape[axis], integer_of(start, "start")
    count = integer_of(length, "length")
    begin = first + size if first < 0 else first
    if not 0 <= begin <= size or count < 0 or begin + count > size:
        raise ShapeError(
            f"narrow: {count} positions from {first} on are not among {size}", user_location()
        )
    return F.getitem(tensor, (*whole(axis), slice(begin, begin + count)))


def unfold(x: TensorLike, dimension: int, size: int, step: int) -> Tensor:
    """All windows of a size along an axis, every ``step``: the positions of the windows stand in
    the place of the axis, their elements on a new last one. A copy."""
    tensor = F.as_tensor(x)
    axis = axis_of(dimension, tensor.ndim)
    total = tensor.shape[axis] if tensor.ndim else 1
    count, by = integer_of(size, "size"), integer_of(step, "step")
    if not 0 <= count <= total or by < 1:
        raise ShapeError(
            f"windows of {count} by steps of {by} do not lie in {total} elements", user_location()
        )
    places = np.arange(0, total - count + 1, by)[:, None] + np.arange(count)
    if not tensor.ndim:
        return F.reshape(F.take(F.reshape(tensor, (1,)), places[0]), (count,))
    return F.moveaxis(F.take(tensor, places, axis), axis + 1, -1)


def unflatten(x: TensorLike, dim: int, sizes: Any) -> Tensor:
    """An axis as several, one of whose sizes may be −1: a view."""
    tensor = F.as_tensor(x)
    if not tensor.ndim or not isinstance(sizes, (tuple, list)) or not sizes:
        raise ShapeError(
            f"unflatten makes one axis several sizes, not {sizes} of shape {tensor.shape}",
            user_location(),
        )
    axis, parts = axis_of(dim, tensor.ndim), [integer_of(n, "a size") for n in sizes]
    known = math.prod(n for n in parts if n != -1)
    size = tensor.shape[axis]
    if parts.count(-1) == 1 and known and not size % known:
        parts[parts.index(-1)] = size // known
    if min(parts) < 0 or math.prod(parts) != size:
        raise ShapeError(f"an axis of {size} is not {tuple(sizes)}", user_location())
    return F.reshape(tensor, (*tensor.shape[:axis], *parts, *tensor.shape[axis + 1 :]))


@takes_dim
def cat(tensors: Sequence[TensorLike], dim: int = 0) -> Tensor:
    """Tensors one after the other along an axis: ``nets.concatenate``.

    As in PyTorch, a tensor of shape (0,) goes with any other.
    """
    if not isinstance(tensors, (tuple, list)):
        return F.concatenate(tensors, dim)
    parts = [F.as_tensor(x) for x in tensors]
    if any(x.ndim != 1 for x in parts):
        parts = [x for x in parts if x.shape != (0,)]
    return F.concatenate(parts, dim)


@takes_dim
def repeat_interleave(
    x: TensorLike, repeats: Any, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element, or slice along the axis, ``repeats`` times: ``nets.repeat``.

    ``output_size`` is how many there are then; ShapeError where it is not.
    """
    tensor = F.as_tensor(x)
    if dim is not None and not tensor.ndim:
        tensor, dim = F.reshape(tensor, (1,)), axis_of(dim, 0)
    is_known = current_scope() is None or not hasattr(repeats, "is_traced")
    total = None if is_known else output_size
    made = F.repeat(tensor, repeats, dim, total_repeat_length=total)
    size = made.shape[0 if dim is None else axis_of(dim, made.ndim)]
    if output_size is not None and size != integer_of(output_size, "output_size"):
        raise ShapeError(f"repeats add up to {size}, not to {output_size}", user_location())
    return made


def repeat(x: TensorLike, *repeats: Any, axis: Any = None, **words: Any) -> Tensor:
    """x as a whole so many times along each of its axes and new ones before them: PyTorch's, for a
    tuple or a number for each axis. One number, or one and an axis: NumPy's ``nets.repeat``.

    ArgumentError for two numbers that may be either: an axis is told by its name, a number for each
    axis by a tuple.
    """
    tensor, counts = F.as_tensor(x), sizes_of(repeats)
    if axis is not None or words or (len(repeats) == 1 and counts is repeats):
        words |= {} if axis is None else {"axis": axis}
        return F.repeat(tensor, *repeats, **words)
    if len(repeats) == 2 and (repeats[1] is None or integer_of(repeats[1], "axis") <= 0):
        return F.repeat(tensor, *repeats)
    if len(repeats) == 2 and repeats[1] < tensor.ndim:
        raise ArgumentError(
            f"repeat{repeats} may mean axis={repeats[1]}, as in NumPy, or a number for each axis, "
            f"as in PyTorch: write repeat({repeats[0]}, axis={repeats[1]}) or repeat({repeats})",
            user_location(),
        )
    if len(counts) < tensor.ndim:
        raise ShapeError(
            f"repeat takes a number for each axis of shape {tensor.shape}, not {counts}",
            user_location(),
        )
    return F.tile(tensor, counts)


def diag_embed(x: TensorLike, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices of zeros, over the axes ``dim1`` and ``dim2``, with the last axis of x on a diagonal
    ``offset`` places above the main one."""
    tensor = F.as_tensor(x)
    if not tensor.ndim:
        raise ShapeError("diag_embed is not for a 0-d tensor", user_location())
    shift = integer_of(offset, "offset")
    first, second = axis_of(dim1, tensor.ndim + 1), axis_of(dim2, tensor.ndim + 1)
    if first == second:
        raise ShapeError(f"diag_embed takes two axes, not {dim1} and {dim2}", user_location())
    size = tensor.shape[-1] + abs(shift)
    column = F.pad(tensor, [(0, 0)] * (tensor.ndim - 1) + [(max(shift, 0), max(-shift, 0))])
    rows, columns = np.arange(size)[:, None], np.arange(size)
    made = F.where(columns - rows == shift, F.expand_dims(column, -2), 0)
    return F.moveaxis(made, (-2, -1), (first, second))


def is_contiguous(x: TensorLike, memory_format: object = None) -> bool:
    """True: who reads a tensor always finds its elements in their order."""
    return True


def flip(x: TensorLike, *axes: Any, dims: Any = ()) -> Tensor:
    """The order of the elements reversed along the axes: a view; see ``nets.flip``."""
    tensor, given = F.as_tensor(x), sizes_of(axes if axes else (dims,))
    axes = tuple(axis_of(dim, tensor.ndim) for dim in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"a dim appears twice in {given}", user_location())
    return F.flip(tensor, axes) if tensor.ndim else F.positive(tensor)


@takes_dim
def roll(x: TensorLike, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved along the axes, those at the end coming back; see ``nets.roll``."""
    tensor = F.as_tensor(x)
    if dims in (None, ()):
        return F.roll(tensor, shifts)
    return F.roll(tensor, shifts, dims)


def movedim(x: TensorLike, source: Any, destination: Any) -> Tensor:
    """Axes moved to other positions: a view; ``nets.moveaxis``."""
    tensor = F.as_tensor(x)
    return F.moveaxis(tensor, source, destination) if tensor.ndim else same(tensor)


@takes_dim
def rot90(x: TensorLike, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Rotated k times by 90 degrees, from the first of two axes to the second."""
    made: Tensor = public("rot90")(x, k, dims)
    return made


def tril(x: TensorLike, diagonal: int = 0) -> Tensor:
    """Zeros above a diagonal of each matrix; see ``nets.tril``."""
    return F.tril(x, diagonal)


def triu(x: TensorLike, diagonal: int = 0) -> Tensor:
    """Zeros below a diagonal of each matrix; see ``nets.triu``."""
    return F.triu(x, diagonal)


def diagonal(x: TensorLike, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonals of the matrices over two axes, as the last axis; see ``nets.diagonal``."""
    made: Tensor = public("diagonal")(x, offset, dim1, dim2)
    return made


def diag(x: TensorLike, diagonal: int = 0) -> Tensor:
    """A diagonal of a matrix, or a matrix of zeros with a vector on it; see ``nets.diag``."""
    made: Tensor = public("diag")(x, diagonal)
    return made


def diagflat(x: TensorLike, offset: int = 0) -> Tensor:
    """A matrix of zeros with the elements of x on a diagonal; see ``nets.diagflat``."""
    made: Tensor = public("diagflat")(x, offset)
    return made


def trace(x: TensorLike) -> Tensor:
    """The sum of the diagonal of a matrix; see ``nets.trace`` for more axes."""
    tensor = F.as_tensor(x)
    if tensor.ndim != 2:
        raise ShapeError(f"trace takes a matrix, not shape {tensor.shape}", user_location())
    return F.sum(public("diagonal")(tensor))
