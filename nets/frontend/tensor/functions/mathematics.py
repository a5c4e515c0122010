"""Functions of one number, element by element. Integers and bools are taken as float64.

``x`` is a tensor, or what makes one; the result has its shape.
"""

from __future__ import annotations

import builtins

from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_float,
    as_tensor,
    cast,
    elementwise,
    renewed,
)
from nets.frontend.tensor.tensor import Tensor


def exp(x: TensorLike) -> Tensor:
    """e to the power x."""
    return apply("exp", as_float(x))


def expm1(x: TensorLike) -> Tensor:
    """exp(x) − 1, accurate near 0."""
    return apply("expm1", as_float(x))


def log(x: TensorLike) -> Tensor:
    """Natural logarithm; −inf at 0, NaN below."""
    return apply("log", as_float(x))


def log1p(x: TensorLike) -> Tensor:
    """log(1 + x), accurate near 0."""
    return apply("log1p", as_float(x))


def sqrt(x: TensorLike) -> Tensor:
    """Square root; NaN below 0."""
    return apply("sqrt", as_float(x))


def rsqrt(x: TensorLike) -> Tensor:
    """1 / sqrt(x)."""
    return apply("rsqrt", as_float(x))


def sin(x: TensorLike) -> Tensor:
    """Sine of x radians."""
    return apply("sin", as_float(x))


def cos(x: TensorLike) -> Tensor:
    """Cosine of x radians."""
    return apply("cos", as_float(x))


def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent."""
    return apply("tanh", as_float(x))


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(−x)), without overflow."""
    return apply("sigmoid", as_float(x))


def erf(x: TensorLike) -> Tensor:
    """The error function."""
    return apply("erf", as_float(x))


def floor(x: TensorLike) -> Tensor:
    """Largest integral value not above x; integers stay as they are."""
    return _integral("floor", x)


def ceil(x: TensorLike) -> Tensor:
    """Smallest integral value not below x; integers stay as they are."""
    return _integral("ceil", x)


def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """Nearest value of so many decimals, ties to even, as NumPy scales and unscales for it.

    Negative ``decimals`` round to tens, hundreds and so on. Integers and bools stay as they are but
    for those. DTypeError for ``decimals`` that are no integer. ``x`` is the tensor.
    """
    places = integer_of(decimals, "the number of decimals")
    tensor = as_tensor(x)
    dtype = tensor.type.dtype
    if not places or dtype.is_bool or (places > 0 and not dtype.is_float):
        return _integral("round", tensor)
    scale = 10.0 ** builtins.abs(places)
    if places > 0:
        return elementwise("divide", apply("round", elementwise("multiply", tensor, scale)), scale)
    tens = apply("round", elementwise("divide", tensor, scale, floating=True))
    return cast(elementwise("multiply", tens, scale), dtype)


def trunc(x: TensorLike) -> Tensor:
    """Integral value next to x towards 0; integers stay as they are."""
    return _integral("trunc", x)


def _integral(name: str, x: TensorLike) -> Tensor:
    tensor = as_tensor(x)
    return apply(name, tensor) if tensor.type.dtype.is_float else renewed(tensor)
