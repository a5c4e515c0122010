"""PyTorch's reductions where they are not NumPy's: extremes with their positions, variances of a
sample, norms.

``x`` is the tensor. ``dim`` is one axis, several, or none for all; ``keepdim`` keeps them with size
1. Variances divide by the count − ``correction``; ``unbiased`` is the older word for a correction
of 1 or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from nets.errors import ArgumentError, UnsupportedObjectError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of, number_of
from nets.frontend.tensor.functions.axis_words import takes_dim
from nets.frontend.tensor.pytorch.delegates import public
from nets.frontend.tensor.pytorch.shapes import at_least_1d, axis_of
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor

Axis = int | tuple[int, ...] | None
Dims = Axis | list[int]


class Extremes(NamedTuple):
    """Elements along an axis and their positions there."""

    values: Tensor
    indices: Tensor


class Bounds(NamedTuple):
    """The smallest and the largest element."""

    min: Tensor
    max: Tensor


def dims_of(dim: Dims) -> Axis:
    """Axes, where none and no axes mean all."""
    if isinstance(dim, (tuple, list)):
        return tuple(dim) or None
    return None if dim is None else integer_of(dim, "dim")


def _numbered(x: TensorLike, dim: Dims) -> tuple[Tensor, Axis, bool]:
    """x and its axes; PyTorch lets a number have one, which then is none of the result."""
    tensor, dims = F.as_tensor(x), dims_of(dim)
    if tensor.ndim or dims is None:
        return tensor, dims, False
    return F.reshape(tensor, (1,)), dims, True


def reduced(function: Callable[..., Tensor], x: TensorLike, dim: Dims, keepdim: bool) -> Tensor:
    """A reduction of NumPy's with PyTorch's words."""
    tensor, dims, is_number = _numbered(x, dim)
    return function(tensor, axis=dims, keepdims=False if is_number else keepdim)


@takes_dim
def amax(x: TensorLike, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest element over the axes, by default over all; see ``nets.max``."""
    return reduced(F.max, x, dim, keepdim)


@takes_dim
def amin(x: TensorLike, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest element over the axes, by default over all; see ``nets.min``."""
    return reduced(F.min, x, dim, keepdim)


@takes_dim
def aminmax(x: TensorLike, *, dim: int | None = None, keepdim: bool = False) -> Bounds:
    """The smallest and the largest element along an axis, by default of all."""
    return Bounds(reduced(F.min, x, dim, keepdim), reduced(F.max, x, dim, keepdim))


def at_positions(x: Tensor, indices: Tensor, axis: int, keepdim: bool) -> Extremes:
    """The elements at positions that were found along an axis (which is kept with size 1)."""
    values = F.take_along_axis(x, indices, axis)
    if not keepdim:
        values, indices = F.squeeze(values, axis), F.squeeze(indices, axis)
    return Extremes(values, indices)


def _extreme(find: Callable[..., Tensor], x: TensorLike, dim: int, keepdim: bool) -> Extremes:
    tensor = F.as_tensor(x)
    line = at_least_1d(tensor)
    axis = axis_of(dim, tensor.ndim)
    indices = find(line, axis=axis, keepdims=True)
    return at_positions(line, indices, axis, keepdim and bool(tensor.ndim))


@takes_dim
def max(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest elements along an axis and their first positions, as (values, indices).

    The gradient goes to these positions. Without ``dim`` the largest of all elements; with a tensor
    in its place, the larger of the two, element by element.
    """
    if dim is None:
        return F.max(x, keepdims=keepdim)
    if hasattr(dim, "dtype"):
        return F.maximum(x, dim)
    return _extreme(F.argmax, x, dim, keepdim)


@takes_dim
def min(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest elements along an axis and their first positions, as (values, indices).

    The gradient goes to these positions. Without ``dim`` the smallest of all elements; with a
    tensor in its place, the smaller of the two, element by element.
    """
    if dim is None:
        return F.min(x, keepdims=keepdim)
    if hasattr(dim, "dtype"):
        return F.minimum(x, dim)
    return _extreme(F.argmin, x, dim, keepdim)


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if unbiased is not None and correction is not None:
        raise ArgumentError("a variance takes unbiased or correction, not both", user_location())
    if unbiased is not None:
        return 1 if unbiased else 0
    return 1 if correction is None else correction


def _dims_and_bias(dim: Any, unbiased: bool | None) -> tuple[Axis, bool | None]:
    """PyTorch takes whether a variance is unbiased in the place of the axis."""
    return (None, dim) if isinstance(dim, bool) else (dims_of(dim), unbiased)


@takes_dim
def var(
    x: TensorLike,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over the axes; the divisor is the count minus ``correction``, which is 1.

    ``unbiased=False`` stands for a correction of 0. Over 0 or fewer degrees of freedom NaN or inf.
    """
    dims, unbiased = _dims_and_bias(dim, unbiased)
    tensor, dims, is_number = _numbered(x, dims)
    less = _correction(unbiased, correction)
    return F.var(tensor, axis=dims, keepdims=False if is_number else keepdim, correction=less)


@takes_dim
def std(
    x: TensorLike,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over the axes, the square root of ``var``."""
    dims, unbiased = _dims_and_bias(dim, unbiased)
    tensor, dims, is_number = _numbered(x, dims)
    less = _correction(unbiased, correction)
    return F.std(tensor, axis=dims, keepdims=False if is_number else keepdim, correction=less)


@takes_dim
def var_mean(
    x: TensorLike,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean over the axes; see ``Tensor.var`` with ``dim``."""
    dims, unbiased = _dims_and_bias(dim, unbiased)
    variance = var(x, dims, unbiased, keepdim, correction=correction)
    return variance, reduced(F.mean, x, dims, keepdim)


@takes_dim
def std_mean(
    x: TensorLike,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over the axes; see ``Tensor.std`` with ``dim``."""
    dims, unbiased = _dims_and_bias(dim, unbiased)
    deviation = std(x, dims, unbiased, keepdim, correction=correction)
    return deviation, reduced(F.mean, x, dims, keepdim)


@takes_dim
def norm(
    x: TensorLike,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Tensor:
    """(Σ|x|^p)^(1/p) over the axes, by default √Σx² over all: of vectors, also over two axes.

    ``p`` may be ``math.inf``, −inf, 0 (how many are not 0) and negative. "nuc", of singular values,
    is ``nets.linalg.matrix_norm``'s.
    """
    tensor = x if dtype is None else F.astype(x, dtype)
    tensor, dims, is_number = _numbered(tensor, dim)
    kept = False if is_number else keepdim
    if p is None or (isinstance(p, str) and p == "fro"):
        return F.norm(tensor, 2, axis=dims, keepdims=kept)
    matrix_norm = public("linalg.matrix_norm")
    if isinstance(p, str) and p == "nuc" and matrix_norm is not None:
        pair = (0, 1) if dims is None else dims
        made: Tensor = matrix_norm(F.moveaxis(tensor, pair, (-2, -1)), ord="nuc")
        return F.expand_dims(made, pair) if kept else made
    if isinstance(p, str):
        raise UnsupportedObjectError(
            f"norm takes a number or 'fro', not {p!r}: see nets.linalg.matrix_norm",
            user_location(),
        )
    power = number_of(p, "p of a norm")
    if power > 0:
        return F.norm(tensor, power, axis=dims, keepdims=kept)
    if power == 0:
        counted = F.astype(F.not_equal(tensor, 0), F.mean(tensor).dtype)
        return F.sum(counted, axis=dims, keepdims=kept)
    size = F.abs(tensor)
    if power == -math.inf:
        return F.min(size, axis=dims, keepdims=kept)
    total = F.sum(F.pow(size, power), axis=dims, keepdims=kept)
    return F.pow(total, 1 / power)


def dist(x: TensorLike, other: TensorLike, p: float = 2) -> Tensor:
    """The ``norm`` of order ``p`` of the difference of two tensors, x and ``other``."""
    return norm(F.subtract(x, other), p)


@takes_dim
def logsumexp(x: TensorLike, dim: Dims, keepdim: bool = False) -> Tensor:
    """log Σ exp(x) over the axes; see ``nets.logsumexp``."""
    return reduced(F.logsumexp, x, dim, keepdim)


@takes_dim
def softmax(x: TensorLike, dim: int = -1, dtype: Any = None) -> Tensor:
    """Exponentials along an axis that add up to 1, of x in a dtype; see ``nets.softmax``."""
    return _along(F.softmax, x, dim, dtype)


@takes_dim
def log_softmax(x: TensorLike, dim: int = -1, dtype: Any = None) -> Tensor:
    """The logarithm of ``softmax``; see ``nets.log_softmax``."""
    return _along(F.log_softmax, x, dim, dtype)


def _along(function: Callable[..., Tensor], x: TensorLike, dim: int, dtype: Any) -> Tensor:
    tensor = F.as_tensor(x if dtype is None else F.astype(x, dtype))
    if tensor.ndim:
        return function(tensor, dim)
    axis_of(dim, 0)
    return F.reshape(function(F.reshape(tensor, (1,)), 0), ())


@takes_dim
def count_nonzero(x: TensorLike, dim: Dims = None) -> Tensor:
    """How many elements over the axes are not 0, as int64."""
    return reduced(F.sum, F.not_equal(x, 0), dim, False)
