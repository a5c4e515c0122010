"""PyTorch's words for order: sorted elements and their positions, medians, counts of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.pytorch.delegates import public
from nets.frontend.tensor.pytorch.reductions import Extremes, at_positions
from nets.frontend.tensor.pytorch.shapes import at_least_1d, axis_of
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


@takes_dim
def sort(
    x: TensorLike, dim: int = -1, descending: bool = False, *, stable: bool = True
) -> Extremes:
    """The elements in order along an axis, and the positions they come from, as (values, indices);
    NaN is the largest. Equal elements keep their order, whatever ``stable`` says."""
    tensor = F.as_tensor(x)
    line, axis = at_least_1d(tensor), axis_of(dim, tensor.ndim)
    indices = public("argsort")(line, axis=axis, descending=descending, stable=True)
    values = F.take_along_axis(line, indices, axis)
    return Extremes(F.reshape(values, tensor.shape), F.reshape(indices, tensor.shape))


@takes_dim
def argsort(
    x: TensorLike, dim: int = -1, descending: bool = False, *, stable: bool = True
) -> Tensor:
    """The positions of the elements in order along an axis; see ``sort``."""
    return sort(x, dim, descending).indices


def msort(x: TensorLike) -> Tensor:
    """The elements in order along the first axis."""
    return sort(x, 0).values


def _median(x: TensorLike, dim: Any, keepdim: bool, ignores_nan: bool) -> Any:
    tensor = F.as_tensor(x)
    if dim is None:
        flat = F.flatten(tensor)
        if not flat.size:
            return F.sum(flat) * float("nan")
        return _median(flat, 0, False, ignores_nan).values
    line, axis = at_least_1d(tensor), axis_of(dim, tensor.ndim)
    size = line.shape[axis]
    if not size:
        raise ShapeError("a median is one of at least one element", user_location())
    indices = public("argsort")(line, axis=axis, stable=True)
    missing = F.sum(F.isnan(line), axis=axis, keepdims=True)
    place = (size - 1 - missing) // 2
    if ignores_nan:
        place = F.maximum(place, 0)
    else:  # the first NaN, where there is one
        place = F.where(F.greater(missing, 0), size - missing, (size - 1) // 2)
    found = F.take_along_axis(indices, place, axis)
    return at_positions(line, found, axis, keepdim and bool(tensor.ndim))


@takes_dim
def median(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Any:
    """The median along an axis and its position, as (values, indices); of an even number of
    elements the lower one of the middle two, and NaN where there is one. Without ``dim`` the median
    of all elements alone."""
    return _median(x, dim, keepdim, ignores_nan=False)


@takes_dim
def nanmedian(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Any:
    """``median`` of the elements that are not NaN."""
    return _median(x, dim, keepdim, ignores_nan=True)
