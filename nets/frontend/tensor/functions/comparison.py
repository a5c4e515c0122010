"""Comparisons and logic: functions whose results are bool tensors.

``x`` and ``y`` are tensors, or what makes them: arrays, lists, numbers; they broadcast.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

from nets.frontend.tensor.conversion import Scalar, is_scalar
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    cast,
    confined,
    elementwise,
    expand,
    fitted,
    known_bounds,
    known_number,
    limits_of,
)
from nets.frontend.tensor.functions import arithmetic
from nets.frontend.tensor.functions.arithmetic import as_bool
from nets.frontend.tensor.tensor import Tensor
from nets.ir.types import i64, u64


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


_PYTHON: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
_MIRRORED: Final = {
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}
_OUTSIDE: Final = {
    "equal": (("less", "greater"), False),
    "not_equal": (("less", "greater"), True),
    "less": (("greater",), True),
    "less_equal": (("less",), False),
    "greater": (("less",), True),
    "greater_equal": (("greater",), False),
}
"""On which sides of what a dtype holds a number decides the comparison with it, and how. On the
other side it is as good as the outermost number of the dtype."""


def _compared(name: str, x: TensorLike, y: TensorLike) -> Tensor:
    """Integers are compared as the numbers they are, whatever their dtypes."""
    if is_scalar(x):
        if is_scalar(y):
            return as_tensor(_PYTHON[name](x, y))
        return _compared_to(_MIRRORED[name], as_tensor(y), x)
    if is_scalar(y):
        return _compared_to(name, as_tensor(x), y)
    a, b = _counted(as_tensor(x), as_tensor(y)), _counted(as_tensor(y), as_tensor(x))
    own, other = a.type.dtype, b.type.dtype
    if own == other or not own.is_integer or not other.is_integer:
        return elementwise(name, a, b)
    if a._weak is not b._weak:
        return _compared_within(_MIRRORED[name], b, a) if a._weak else _compared_within(name, a, b)
    if u64 in (own, other) and "i" in (own.kind, other.kind):
        return _compared_exactly(name, a, b)
    return elementwise(name, a, b)


def _counted(x: Tensor, other: Tensor) -> Tensor:
    """Bools as integers, beside a Python number that int64 does not hold."""
    is_beyond = other._weak and other.type.dtype == u64
    return cast(x, u64) if is_beyond and x.type.dtype.is_bool else x


def _compared_to(name: str, x: Tensor, number: Scalar) -> Tensor:
    """Comparison with a Python number, which need not fit the dtype of integers."""
    dtype = x.type.dtype
    if dtype.is_float or isinstance(number, float):
        return elementwise(name, x, number)
    least, largest = limits_of(dtype if dtype.is_integer else i64)
    if least <= number <= largest:
        return elementwise(name, x, number)
    sides, decided = _OUTSIDE[name]
    is_decisive = ("less" if number < least else "greater") in sides
    return expand(as_tensor(decided == is_decisive), x.shape)


def _compared_within(name: str, x: Tensor, number: Tensor) -> Tensor:
    """Comparison of integers with a Python number that is an argument of the trace: with the
    nearest number of their dtype, and where it lies beyond, by that alone."""
    known = known_number(number)
    if known is not None:
        return _compared_to(name, x, known)
    limits = limits_of(x.type.dtype)
    result = elementwise(name, x, fitted(confined(number, limits), x.type.dtype))
    bounds, (sides, decided) = known_bounds(number), _OUTSIDE[name]
    for i, side in enumerate(("less", "greater")):
        if side not in sides or limits[0] <= bounds[i] <= limits[1]:
            continue
        outside = elementwise(side, number, limits[i])
        result = logical_or(result, outside) if decided else logical_and(result, ~outside)
    return result


def _compared_exactly(name: str, a: Tensor, b: Tensor) -> Tensor:
    """Signed integers beside uint64, without the float64 they promote to, which would round."""
    signed, holds_below = (a, "less") if a.type.dtype != u64 else (b, "greater")
    of_negative = name.startswith(holds_below) or name == "not_equal"
    of_others = elementwise(name, cast(a, u64), cast(b, u64))
    return arithmetic.where(elementwise("less", signed, 0), of_negative, of_others)


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
