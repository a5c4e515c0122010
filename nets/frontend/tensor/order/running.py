"""Running results along an axis: products, and extremes with their positions.

Products are a scan in log2(n) steps, which combines every element with the one a distance before
it: W. D. Hillis and G. L. Steele, "Data parallel algorithms", CACM 29 (1986).

``x`` is a tensor, or what makes one; ``dim`` an axis, counted from the end where negative;
``dtype`` is that in which elements are multiplied, and of the result.
"""

from __future__ import annotations

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
from nets.frontend.tensor.order.rows import at, cut, placed
from nets.frontend.tensor.order.sorting import Sorted
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import u8


def _products(x: Tensor, axis: int) -> Tensor:
    """The product of all prefixes along an axis."""
    size = x.shape[axis]
    if is_open((size,)):
        raise OpenSizeError(
            "a product along an axis whose size a call tells is not there: nets.scan steps along "
            "it",
            user_location(),
        )
    distance = 1
    while distance < size:
        before, here = cut(x, axis, 0, size - distance), cut(x, axis, distance, size)
        product = apply("multiply", before, here)
        x = apply("concatenate", cut(x, axis, 0, distance), product, axis=axis)
        distance *= 2
    return x


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
    found = _products(tensor, place)
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
    return _extremes(x, dim, "argmax")


@takes_dim
def cummin(x: TensorLike, dim: int = -1) -> Sorted:
    """The smallest of the elements up to each one along an axis, and its position (int64).

    Of equals the last position, as in PyTorch; a NaN wins. The gradient goes to where the elements
    came from.
    """
    return _extremes(x, dim, "argmin")


def _extremes(x: TensorLike, dim: int, combiner: str) -> Sorted:
    tensor = as_tensor(x)
    if not tensor.ndim:
        found = _extremes(under(tensor, (1,)), 0, combiner)
        return Sorted(*(under(y, ()) for y in found))
    place = normal_axis(dim, tensor.ndim)
    keys = apply("stop_gradient", tensor) if tensor.type.dtype.is_float else tensor
    keys = cast(keys, u8) if keys.type.dtype.is_bool else keys
    last = tensor.ndim - 1
    running = apply("running", placed(keys, place, last), combiner=combiner)
    positions = placed(running, last, place)
    return Sorted(at(tensor, positions, place), positions)
