"""Running results along an axis: products, and extremes with their positions.

Each is a scan in log2(n) steps, which combines every element with the one a distance before it: W.
D. Hillis and G. L. Steele, "Data parallel algorithms", CACM 29 (1986).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nets.errors import OpenSizeError, ShapeError
from nets.frontend.tensor.dimension import is_open
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    cast,
    expand,
    fitted,
    renewed,
)
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.functions.reduction import DTypeSpec, summable
from nets.frontend.tensor.functions.shape import flatten, normal_axis, under
from nets.frontend.tensor.order.rows import at, cut, numbers
from nets.frontend.tensor.order.sorting import Sorted
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import u8

Combine = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]]


def _scan(parts: Sequence[Tensor], axis: int, combine: Combine) -> Sequence[Tensor]:
    """All prefixes along an axis of what is made of several tensors of one shape."""
    size = parts[0].shape[axis]
    if is_open((size,)):
        raise OpenSizeError(
            "a scan along an axis whose size a call tells is not there: nets.scan steps along it",
            user_location(),
        )
    distance = 1
    while distance < size:
        first = [cut(x, axis, 0, distance) for x in parts]
        before = [cut(x, axis, 0, size - distance) for x in parts]
        here = [cut(x, axis, distance, size) for x in parts]
        found = combine(before, here)
        parts = [apply("concatenate", x, y, axis=axis) for x, y in zip(first, found, strict=True)]
        distance *= 2
    return parts


@takes_dim
def cumprod(x: TensorLike, axis: int | None = None, dtype: DTypeSpec = None) -> Tensor:
    """Products of the elements up to and including each one, along an axis or of the flattened
    tensor.

    Bools and narrow integers multiply in 64 bits, or in ``dtype``. The gradient holds at zeros, to
    any order.
    """
    tensor = summable(x, dtype)
    if axis is None:
        tensor, axis = flatten(tensor), 0
    place = normal_axis(axis, tensor.ndim)
    (found,) = _scan([tensor], place, lambda x, y: [apply("multiply", x[0], y[0])])
    return renewed(found) if found is tensor else found


@takes_dim
def cumulative_prod(
    x: TensorLike,
    *,
    axis: int | None = None,
    dtype: DTypeSpec = None,
    include_initial: bool = False,
) -> Tensor:
    """``cumprod``, which with ``include_initial`` starts from 1, the product of nothing.

    ShapeError without an axis, unless x has one only.
    """
    tensor = as_tensor(x)
    if axis is None:
        if tensor.ndim != 1:
            raise ShapeError(f"cumulative_prod of {tensor.type} needs an axis", user_location())
        axis = 0
    place = normal_axis(axis, tensor.ndim)
    found = cumprod(tensor, place, dtype)
    if not include_initial:
        return found
    shape = (*found.shape[:place], 1, *found.shape[place + 1 :])
    return apply("concatenate", expand(fitted(1, found.type.dtype), shape), found, axis=place)


@takes_dim
def cummax(x: TensorLike, dim: int = -1) -> Sorted:
    """The largest of the elements up to each one along an axis, and its position (int64).

    Of equals the last position, as in PyTorch; a NaN wins. The gradient goes to where the elements
    came from.
    """
    return _extremes(x, dim, "greater_equal")


@takes_dim
def cummin(x: TensorLike, dim: int = -1) -> Sorted:
    """The smallest of the elements up to each one along an axis, and its position (int64).

    Of equals the last position, as in PyTorch; a NaN wins. The gradient goes to where the elements
    came from.
    """
    return _extremes(x, dim, "less_equal")


def _extremes(x: TensorLike, dim: int, predicate: str) -> Sorted:
    tensor = as_tensor(x)
    if not tensor.ndim:
        found = _extremes(under(tensor, (1,)), 0, predicate)
        return Sorted(*(under(y, ()) for y in found))
    place = normal_axis(dim, tensor.ndim)
    keys = apply("stop_gradient", tensor) if tensor.type.dtype.is_float else tensor
    keys = cast(keys, u8) if keys.type.dtype.is_bool else keys

    def combine(before: Sequence[Tensor], here: Sequence[Tensor]) -> Sequence[Tensor]:
        wins = apply(predicate, here[0], before[0])
        if here[0].type.dtype.is_float:
            wins = (wins & (before[0] == before[0])) | (here[0] != here[0])
        return [apply("select", wins, y, x) for x, y in zip(before, here, strict=True)]

    _, positions = _scan([keys, numbers(tensor.shape, place)], place, combine)
    return Sorted(at(tensor, positions, place), positions)
