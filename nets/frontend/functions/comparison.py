"""Comparisons and logic: functions whose results are bool tensors."""

from __future__ import annotations

import math

import numpy as np

from nets.frontend.conversion import is_scalar
from nets.frontend.dispatch import TensorLike, apply, as_tensor, cast, elementwise, expand
from nets.frontend.functions import arithmetic
from nets.frontend.functions.arithmetic import as_bool
from nets.frontend.tensor import Tensor
from nets.ir.types import f64, i64, u64


def equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x = y; NaN equals nothing."""
    return _compared("equal", x, y)


def not_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x ≠ y."""
    return _compared("not_equal", x, y)


def less(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x < y."""
    return _compared("less", x, y)


def less_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x ≤ y."""
    return _compared("less_equal", x, y)


def greater(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x > y."""
    return _compared("greater", x, y)


def greater_equal(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether x ≥ y."""
    return _compared("greater_equal", x, y)


def _compared(name: str, x: TensorLike, y: TensorLike) -> Tensor:
    if not is_scalar(x) and not is_scalar(y):
        a, b = as_tensor(x), as_tensor(y)
        if {a.type.dtype, b.type.dtype} & {u64} and "i" in (a.type.dtype.kind, b.type.dtype.kind):
            return _compared_exactly(name, a, b)
        return elementwise(name, a, b)
    return elementwise(name, _roomy(x, y), _roomy(y, x))


def _compared_exactly(name: str, a: Tensor, b: Tensor) -> Tensor:
    """Signed integers beside uint64, without the float64 they promote to, which would round."""
    signed, holds_below = (a, "less") if a.type.dtype != u64 else (b, "greater")
    of_negative = name.startswith(holds_below) or name == "not_equal"
    of_others = elementwise(name, cast(a, u64), cast(b, u64))
    return arithmetic.where(elementwise("less", signed, 0), of_negative, of_others)


def _roomy(x: TensorLike, other: TensorLike) -> TensorLike:
    """x in a dtype that holds the Python int it is compared with, if its own does not."""
    if is_scalar(x) or not is_scalar(other) or isinstance(other, float):
        return x
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_integer:
        return tensor
    limits = np.iinfo(tensor.dtype)
    if limits.min <= other <= limits.max:
        return tensor
    return cast(tensor, i64 if tensor.dtype.itemsize < 8 and abs(other) < 2**63 else f64)


def logical_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether neither is zero."""
    return elementwise("bitwise_and", as_bool(x), as_bool(y))


def logical_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether either is not zero."""
    return elementwise("bitwise_or", as_bool(x), as_bool(y))


def logical_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """Whether just one is not zero."""
    return elementwise("bitwise_xor", as_bool(x), as_bool(y))


def logical_not(x: TensorLike) -> Tensor:
    """Whether it is zero."""
    return apply("bitwise_invert", as_bool(x))


def isnan(x: TensorLike) -> Tensor:
    """Whether it is NaN."""
    tensor = as_tensor(x)
    return elementwise("not_equal", tensor, tensor)


def isinf(x: TensorLike) -> Tensor:
    """Whether it is +inf or −inf."""
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_float:
        return isnan(tensor)  # false, as NaN, for every other kind of number
    return elementwise("equal", arithmetic.abs(tensor), math.inf)


def isfinite(x: TensorLike) -> Tensor:
    """Whether it is neither NaN nor infinite."""
    tensor = as_tensor(x)
    if not tensor.type.dtype.is_float:
        return expand(as_tensor(True), tensor.shape)
    return elementwise("less", arithmetic.abs(tensor), math.inf)
