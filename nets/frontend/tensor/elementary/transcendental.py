"""Functions of the math library. Integers and bools are taken as float64; two numbers broadcast.

``x``, and ``y`` where there are two, are tensors, or what makes them.
"""

from __future__ import annotations

import math

from nets.frontend.tensor.dispatch import TensorLike, apply, as_float, cast, elementwise
from nets.frontend.tensor.elementary.polynomials import polynomial
from nets.frontend.tensor.functions import arithmetic, mathematics
from nets.frontend.tensor.functions.arithmetic import divide, multiply, subtract, where
from nets.frontend.tensor.functions.comparison import equal, less_equal
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.functions.mathematics import sin
from nets.frontend.tensor.tensor import Tensor
from nets.ir.types import f64


def tan(x: TensorLike) -> Tensor:
    """Tangent of x radians; NaN at ±inf."""
    return apply("tan", as_float(x))


def arcsin(x: TensorLike) -> Tensor:
    """Arcsine, from −π/2 to π/2; NaN beyond ±1."""
    return apply("arcsin", as_float(x))


def arccos(x: TensorLike) -> Tensor:
    """Arccosine, from 0 to π; NaN beyond ±1."""
    return apply("arccos", as_float(x))


def arctan(x: TensorLike) -> Tensor:
    """Arctangent, from −π/2 to π/2."""
    return apply("arctan", as_float(x))


def arctan2(y: TensorLike, x: TensorLike) -> Tensor:
    """The angle of the point (x, y), from −π to π; zeros count by their sign, as in C."""
    return elementwise("arctan2", y, x, floating=True)


def sinh(x: TensorLike) -> Tensor:
    """Hyperbolic sine."""
    return apply("sinh", as_float(x))


def cosh(x: TensorLike) -> Tensor:
    """Hyperbolic cosine."""
    return apply("cosh", as_float(x))


def arcsinh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic sine."""
    return apply("arcsinh", as_float(x))


def arccosh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic cosine, from 0 on; NaN below 1."""
    return apply("arccosh", as_float(x))


def arctanh(x: TensorLike) -> Tensor:
    """Inverse of the hyperbolic tangent; ±inf at ±1, NaN beyond."""
    return apply("arctanh", as_float(x))


def exp2(x: TensorLike) -> Tensor:
    """2 to the power x, exact for integers."""
    return apply("exp2", as_float(x))


def log2(x: TensorLike) -> Tensor:
    """Logarithm to base 2; −inf at 0, NaN below."""
    return apply("log2", as_float(x))


def log10(x: TensorLike) -> Tensor:
    """Logarithm to base 10; −inf at 0, NaN below."""
    return apply("log10", as_float(x))


def cbrt(x: TensorLike) -> Tensor:
    """Cube root, of negative numbers, too."""
    return apply("cbrt", as_float(x))


def hypot(x: TensorLike, y: TensorLike) -> Tensor:
    """√(x² + y²) without overflow on the way; inf where either is infinite.

    Its derivatives where both are 0 are 0.
    """
    return elementwise("hypot", x, y, floating=True)


def logaddexp(x: TensorLike, y: TensorLike) -> Tensor:
    """log(eˣ + eʸ) without overflow."""
    return elementwise("logaddexp", x, y, floating=True)


def logaddexp2(x: TensorLike, y: TensorLike) -> Tensor:
    """log₂(2ˣ + 2ʸ) without overflow."""
    return elementwise("logaddexp2", x, y, floating=True)


def float_power(x: TensorLike, exponent: TensorLike) -> Tensor:
    """x to the power of ``exponent`` in float64, whatever the dtypes; NaN for what is no real
    number."""
    return arithmetic.pow(cast(as_float(x), f64), cast(as_float(exponent), f64))


def deg2rad(x: TensorLike) -> Tensor:
    """x · π/180: degrees as radians."""
    return multiply(as_float(x), math.pi / 180.0)


def rad2deg(x: TensorLike) -> Tensor:
    """x · 180/π: radians as degrees."""
    return multiply(as_float(x), 180.0 / math.pi)


_SINC = (
    -1.6449340668482264,
    0.8117424252833462,
    -0.19075182412167543,
    0.026147847807946146,
    -0.002346080913332055,
    0.00014842791681396662,
    -6.9722679816063705e-06,
    2.4518402626561494e-07,
)
"""sinc x = 1 + x² · P(x²) for |x| ≤ ½: minimax, rounded one by one with the rest fitted again."""


def sinc(x: TensorLike) -> Tensor:
    """sin(πx) / (πx), 1 at 0, and 0 at the other integers."""
    tensor = as_float(x)
    near = less_equal(multiply(tensor, tensor), 0.25)
    inside = where(near, tensor, 0)
    small = polynomial(multiply(inside, inside), (1.0, *_SINC))
    # What an integer leaves is exact, and so is the sign of the sine.
    whole = stop_gradient(mathematics.round(tensor))
    is_even = equal(subtract(whole, multiply(2, mathematics.round(multiply(whole, 0.5)))), 0)
    sine = sin(multiply(subtract(tensor, whole), math.pi))
    beyond = where(near, 1, multiply(tensor, math.pi))
    return where(near, small, divide(where(is_even, sine, multiply(sine, -1)), beyond))
