"""Error functions and the normal distribution.

``x`` is a tensor, or what makes one: an array, a list, a number.
"""

from __future__ import annotations

from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, apply, as_float
from nets.frontend.tensor.tensor import Tensor


def erf(x: TensorLike) -> Tensor:
    """The error function, 2/√π · ∫₀ˣ exp(−t²) dt."""
    return F.erf(x)


def erfc(x: TensorLike) -> Tensor:
    """1 − erf(x), with all digits where that is small."""
    return apply("erfc", as_float(x))


def erfcx(x: TensorLike) -> Tensor:
    """exp(x²) · erfc(x): about 1 / (√π · x) for large x, and inf for very negative ones."""
    return apply("erfcx", as_float(x))


def erfinv(x: TensorLike) -> Tensor:
    """The number whose erf is x: ±inf at ±1, NaN beyond."""
    return apply("erfinv", as_float(x))


def ndtr(x: TensorLike) -> Tensor:
    """The normal distribution function, the integral of exp(−t²/2) / √(2π) up to x."""
    return apply("ndtr", as_float(x))


def log_ndtr(x: TensorLike) -> Tensor:
    """The logarithm of ``ndtr(x)``, for very negative numbers, too."""
    return apply("log_ndtr", as_float(x))


def ndtri(p: TensorLike) -> Tensor:
    """The number whose ``ndtr`` is p: −inf at 0, inf at 1, NaN outside."""
    return apply("ndtri", as_float(p))
