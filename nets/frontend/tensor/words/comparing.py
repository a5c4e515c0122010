"""Comparisons of whole tensors, and of numbers that are nearly the same."""

from __future__ import annotations

from typing import Final

import numpy as np

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, as_float, as_tensor, constant, joined_shape
from nets.frontend.tensor.order.searching import searchsorted
from nets.frontend.tensor.order.sorting import sort
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import is_chosen


def isclose(
    a: TensorLike,
    b: TensorLike,
    rtol: TensorLike = 1e-05,
    atol: TensorLike = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Whether |a − b| ≤ atol + rtol · |b|, or both are the same infinity; NaN equals NaN only with
    ``equal_nan``."""
    x, y = as_tensor(a), as_tensor(b)
    x = x if x.type.dtype.is_float else as_float(x)
    y = y if y.type.dtype.is_float else as_float(y)
    near = F.less_equal(F.abs(F.subtract(x, y)), F.add(atol, F.multiply(rtol, F.abs(y))))
    result = F.logical_or(F.logical_and(near, F.isfinite(y)), F.equal(x, y))
    return _with_nan(result, x, y, equal_nan)


def _with_nan(same: Tensor, x: Tensor, y: Tensor, equal_nan: object) -> Tensor:
    """``same``, or where it is chosen, both NaN."""
    if not is_chosen(equal_nan, "equal_nan"):
        return same
    return F.logical_or(same, F.logical_and(F.isnan(x), F.isnan(y)))


def allclose(
    a: TensorLike,
    b: TensorLike,
    rtol: TensorLike = 1e-05,
    atol: TensorLike = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Whether all elements are close, as ``isclose`` has it: a 0-d bool tensor.

    ``rtol``, ``atol`` and ``equal_nan`` are those of ``isclose``, of a and b.
    """
    return F.all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: TensorLike, a2: TensorLike, equal_nan: bool = False) -> Tensor:
    """Whether shapes and all elements are the same: a 0-d bool tensor.

    ``a1`` and ``a2`` are compared; NaN equals NaN only with ``equal_nan``.
    """
    x, y = as_tensor(a1), as_tensor(a2)
    if x.shape != y.shape:
        return as_tensor(np.bool_(False))
    return F.all(_with_nan(F.equal(x, y), x, y, equal_nan))


def array_equiv(a1: TensorLike, a2: TensorLike) -> Tensor:
    """Whether they broadcast to a shape in which all elements are the same.

    ``a1`` and ``a2`` are compared.
    """
    x, y = as_tensor(a1), as_tensor(a2)
    try:
        joined_shape(x.shape, y.shape)
    except ShapeError:
        return as_tensor(np.bool_(False))
    return F.all(F.equal(x, y))


_MANY: Final = 64
"""Elements with all of which it costs more to compare than to sort them and to search."""


def isin(
    element: TensorLike,
    test_elements: TensorLike,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Tensor:
    """Whether each element is among the test elements, or with ``invert`` is not.

    In a trace each is compared with each, or looked for among many that are sorted.
    ``assume_unique`` and ``kind`` make no difference.
    ``element`` is looked for in ``test_elements``.
    """
    x, among = as_tensor(element), as_tensor(test_elements)
    invert = is_chosen(invert, "invert")
    if current_scope() is None and x.type.dtype == among.type.dtype:
        return constant(np.isin(x.data, among.data, invert=invert))
    among = F.flatten(among)
    is_known = isinstance(among.size, int)
    if is_known and among.size > _MANY and x.type.dtype == among.type.dtype:
        found = _is_among_sorted(x, sort(among))
    else:
        found = F.any(F.equal(F.expand_dims(x, -1), among), -1)
    return F.logical_not(found) if invert else found


def _is_among_sorted(x: Tensor, among: Tensor) -> Tensor:
    place = F.minimum(searchsorted(among, x), among.shape[0] - 1)
    return F.equal(F.take(among, place), x)
