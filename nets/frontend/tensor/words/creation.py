"""Tensors from data and from numbers: asarray, empty, grids, and numbers spaced by their ratio."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nets.errors import (
    CopyError,
    DTypeError,
    NetsError,
    ShapeError,
    UnsupportedObjectError,
)
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import dtype_of
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, cast, constant
from nets.frontend.tensor.functions.shape import new_shape
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import variable
from nets.frontend.tensor.words.arguments import count_of, function_of, is_chosen, one_of
from nets.frontend.tensor.words.devices import on_cpu
from nets.frontend.tensor.words.positions import nonzero
from nets.ir.location import user_location
from nets.ir.types import DType, f64, from_numpy, i64

DTypeSpec = npt.DTypeLike | DType | None


def asarray(
    a: TensorLike,
    dtype: DTypeSpec = None,
    *,
    copy: bool | None = None,
    device: str | None = None,
) -> Tensor:
    """A tensor of an array, nested lists, a number or a tensor, which is taken as it is.

    ``dtype`` converts it, ``copy=True`` gives another tensor. With ``copy=False`` it is a
    CopyError where elements would have to be copied; the memory of an array is then
    shared, and writing to it changes the tensor. ``device`` is "cpu".
    """
    on_cpu(device)
    if copy is False and not isinstance(a, Tensor):
        return _shared(a, dtype)
    tensor = as_tensor(a)
    if copy is False and dtype is not None and dtype_of(dtype) != tensor.type.dtype:
        raise CopyError("another dtype needs a copy", user_location())
    strong = tensor.type.dtype if dtype is None else dtype
    return F.astype(tensor, strong, copy=copy is not None and is_chosen(copy, "copy"))


def _shared(a: object, dtype: DTypeSpec) -> Tensor:
    if not isinstance(a, np.ndarray) and not hasattr(a, "__dlpack__"):
        raise CopyError(
            f"a tensor of a {type(a).__name__} needs a copy of its elements", user_location()
        )
    result = from_dlpack(a)
    if dtype is not None and dtype_of(dtype) != result.type.dtype:
        raise CopyError("another dtype needs a copy", user_location())
    return result


def from_dlpack(x: Any, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's, which is copied only for ``copy=True``.

    Writing to shared memory later changes the tensor. UnsupportedObjectError where the memory is
    not this computer's or its elements are no dtype of nets. ``device`` is "cpu". ``x`` is what has
    ``__dlpack__``.
    """
    on_cpu(device)
    try:
        array = np.from_dlpack(x)
    except NetsError:
        raise
    except Exception as error:  # whatever the other library raises
        raise UnsupportedObjectError(f"no tensor by DLPack: {error}", user_location()) from None
    if from_numpy(array.dtype) is None:
        raise DTypeError(f"nets has no dtype for {array.dtype}", user_location())
    is_shared = current_scope() is None and not copy
    return Tensor._of(variable(array)) if is_shared else constant(array.copy())


def empty(shape: Any, dtype: DTypeSpec = None, *, device: str | None = None) -> Tensor:
    """A tensor of a shape, float64 by default, whose elements are zeros: there are no others.

    ``dtype`` is another dtype; ``device`` is "cpu".
    """
    return F.zeros(shape, dtype, device=device)


def empty_like(
    prototype: TensorLike, dtype: DTypeSpec = None, *, shape: Any = None, device: str | None = None
) -> Tensor:
    """As ``zeros_like``: elements are always defined.

    It has the shape and dtype of ``prototype``, or ``shape`` and ``dtype``; ``device`` is "cpu".
    """
    return F.zeros_like(prototype, dtype, shape=shape, device=device)


def copy(a: TensorLike) -> Tensor:
    """Another tensor with the elements of this one, which gradients pass through.

    ``a`` is a tensor or what makes one.
    """
    return F.positive(a)


def tri(N: int, M: int | None = None, k: int = 0, dtype: DTypeSpec = None) -> Tensor:
    """N rows and M (by default as many) columns with ones up to the k-th diagonal, zeros above.

    ``dtype`` is float64 by default.
    """
    ones = F.ones((N, N if M is None else M), "bool")
    return F.astype(F.tril(ones, k), "float64" if dtype is None else dtype)


def identity(n: int, dtype: DTypeSpec = None) -> Tensor:
    """n rows and columns with ones on the diagonal, float64 by default.

    ``dtype`` is another dtype.
    """
    return F.eye(n, dtype=dtype)


def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: TensorLike = 10.0,
    dtype: DTypeSpec = None,
    axis: int = 0,
) -> Tensor:
    """``num`` numbers from base ** start to base ** stop whose logarithms are evenly spaced.

    Arguments are those of ``linspace``; ``base`` broadcasts with the bounds. ``endpoint``,
    ``dtype`` and ``axis`` are those of ``linspace`` as well.
    """
    start, stop, base = as_tensor(start), as_tensor(stop), as_tensor(base)
    if base.ndim:
        start, stop, base = F.broadcast_arrays(start, stop, base)
        base = F.expand_dims(base, axis)
    exponents = F.linspace(start, stop, num, endpoint, axis=axis)
    result = F.pow(base, exponents)
    return result if dtype is None else F.astype(result, dtype)


def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeSpec = None,
    axis: int = 0,
) -> Tensor:
    """``num`` numbers from start to stop, each the same multiple of the one before.

    float64 by default. ShapeError for bounds that are known to be zero; NaN for those of different
    signs. ``endpoint``, ``dtype`` and ``axis`` are those of ``linspace``.
    """
    low, high = (cast(x, f64) for x in F.broadcast_arrays(start, stop))
    if current_scope() is None and not (low.data.all() and high.data.all()):
        raise ShapeError("geomspace has no way from or to zero", user_location())
    sign, ratio = F.sign(low), F.divide(high, low)
    count = count_of(num, "the number of points")
    parts = count - 1 if is_chosen(endpoint, "endpoint") else count
    place = F.reshape(F.arange(count), (count, *(1,) * low.ndim))
    exponents = F.divide(F.astype(place, ratio.dtype), builtins.max(parts, 1))
    found = F.multiply(F.multiply(F.pow(ratio, exponents), F.abs(low)), sign)
    if endpoint and count > 1:
        found = F.where(F.equal(place, count - 1), high, found)
    result = F.moveaxis(found, 0, axis)
    return result if dtype is None else F.astype(result, dtype)


# ----------------------------------------------------------------------------------- grids


def meshgrid(
    *xi: TensorLike, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> list[Tensor]:
    """For each tensor of one axis its elements along an axis of a common grid.

    ``indexing`` "xy" takes the first two axes in each other's place, "ij" all in their order;
    ``sparse`` leaves the other axes at size 1. ArgumentError for another indexing, ShapeError for
    tensors of more than one axis. ``xi`` are the tensors; without ``copy`` the results are views
    that are only read.
    """
    one_of(indexing, ("xy", "ij"), "indexing")
    lines = [as_tensor(x) for x in xi]
    if any(line.ndim > 1 for line in lines):
        raise ShapeError("meshgrid takes tensors of at most one axis", user_location())
    count = len(lines)
    order = [1, 0, *range(2, count)] if indexing == "xy" and count > 1 else range(count)
    placed = [
        F.reshape(line, [line.size if i == at else 1 for i in range(count)])
        for line, at in zip(lines, order, strict=True)
    ]
    found = placed if is_chosen(sparse, "sparse") or not count else F.broadcast_arrays(*placed)
    return [F.positive(x) for x in found] if is_chosen(copy, "copy") else list(found)


def indices(dimensions: Sequence[int], dtype: DTypeSpec = "int64", sparse: bool = False) -> Any:
    """The position along each axis of a grid: one tensor (axes, *dimensions), or with ``sparse``
    one per axis, of size 1 along the others.

    ``dtype`` is that of the positions.
    """
    sizes = new_shape(dimensions)
    lines = [F.arange(n, dtype=dtype) for n in sizes]
    found = meshgrid(*lines, sparse=sparse, indexing="ij")
    if sparse:
        return tuple(found)
    return F.stack(found) if found else F.zeros((0,), dtype)


def ix_(*args: TensorLike) -> tuple[Tensor, ...]:
    """Indices ``args`` of one axis each, shaped to pick the grid of all their combinations.

    Masks stand for the positions where they are true. ShapeError for other than one axis.
    """
    lines = []
    for x in map(as_tensor, args):
        if x.ndim != 1:
            raise ShapeError("ix_ takes tensors of one axis", user_location())
        line = nonzero(x)[0] if x.type.dtype.is_bool else x
        lines.append(line if line.size else F.astype(line, i64))
    return tuple(meshgrid(*lines, sparse=True, indexing="ij"))


def fromfunction(
    function: Callable[..., TensorLike],
    shape: Sequence[int],
    *,
    dtype: DTypeSpec = None,
    **kwargs: Any,
) -> Any:
    """What a function gives for the positions along each axis of a grid, float64 by default.

    The grid has the ``shape``; ``dtype`` is that of the positions; ``kwargs`` go to the function.
    """
    function = function_of(function, "fromfunction")
    return function(*indices(shape, "float64" if dtype is None else dtype), **kwargs)
