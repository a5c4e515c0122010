"""PyTorch's methods that write to the tensor itself: ``x.add_(y)`` and their relatives.

Each gives the tensor a new value by way of ``in_place``, as ``x += y`` does: names and views of the
tensor see it, what was computed from it before does not, gradients are recorded unless under
``nets.no_grad()``, and inside a trace a tensor from outside is changed after each call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor

WORDS: Final[tuple[str, ...]] = (
    *("abs", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr"),
    *("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asin", "asinh"),
    *("atan", "atan2", "atanh", "baddbmm", "bitwise_and", "bitwise_left_shift", "bitwise_not"),
    *("bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "clamp", "clamp_max"),
    *("clamp_min", "clip", "copysign", "cos", "cosh", "cumprod", "cumsum", "deg2rad", "digamma"),
    *("div", "divide", "eq", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "fix"),
    *("float_power", "floor", "floor_divide", "fmod", "frac", "gcd", "ge", "greater"),
    *("greater_equal", "gt", "heaviside", "hypot", "index_add", "index_copy", "index_fill"),
    *("index_put", "lcm", "ldexp", "le", "lerp", "less", "less_equal", "lgamma", "log", "log10"),
    *("log1p", "log2", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "lt"),
    *("masked_fill", "masked_scatter", "mul", "multiply", "nan_to_num", "ne", "neg", "negative"),
    *("nextafter", "not_equal", "polygamma", "pow", "put", "rad2deg", "reciprocal", "relu"),
    *("remainder", "renorm", "round", "rsqrt", "scatter", "scatter_add", "scatter_reduce", "sgn"),
    *("sigmoid", "sign", "sin", "sinc", "sinh", "sqrt", "square", "sub", "subtract", "tan", "tanh"),
    *("tril", "triu", "true_divide", "trunc", "xlogy"),
)
"""Methods that have a form in place."""


def form_of(name: str) -> Callable[..., Tensor]:
    """``name`` in place, as a method."""

    def write(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return F.in_place(x, getattr(x, name)(*arguments, **options))

    write.__name__ = write.__qualname__ = f"{name}_"
    write.__doc__ = f"``{name}`` in place: the tensor itself, with these elements from now on."
    return write


class InPlace:
    """The form in place of a method, which is there as soon as the method is."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tensor: Any, kind: type) -> Any:
        getattr(kind, self.name)  # raises where there is no such method
        write = form_of(self.name)
        return write if tensor is None else functools.partial(write, tensor)


def fill_(x: Tensor, value: TensorLike) -> Tensor:
    """One number in every place. ShapeError for more than one."""
    number = F.as_tensor(value)
    if number.ndim:
        raise ShapeError(f"fill_ takes one number, not shape {number.shape}", user_location())
    return F.in_place(x, F.broadcast_to(F.astype(number, x.dtype), x.shape))


def zero_(x: Tensor) -> Tensor:
    """0 in every place."""
    return fill_(x, 0)


def copy_(x: Tensor, src: TensorLike, non_blocking: Any = False) -> Tensor:
    """The elements of ``src``, which broadcasts to the shape of x, in the dtype of x."""
    return F.in_place(x, F.broadcast_to(F.astype(src, x.dtype), x.shape))


def detach_(x: Tensor) -> Tensor:
    """The tensor itself, which from now on is a leaf that requires no gradient."""
    return F.in_place(x, F.stop_gradient(x))


def fill_diagonal_(x: Tensor, fill_value: TensorLike, wrap: Any = False) -> Tensor:
    """One number where all indices are equal; with ``wrap``, in a tall matrix again and again."""
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ShapeError(
            f"fill_diagonal_ takes two axes, or more of one size, not {x.shape}", user_location()
        )
    size, columns = min(x.shape), x.shape[-1]
    if x.ndim == 2 and wrap and x.shape[0] > columns:
        rows = [i for i in range(x.shape[0]) if i % (columns + 1) < columns]
        key: Any = (rows, [i % (columns + 1) for i in rows])
    else:
        key = (list(range(size)),) * x.ndim
    F.setitem(x, key, F.astype(fill_value, x.dtype))
    return x
