"""Modified Bessel functions of the first kind, of order 0 and 1."""

from __future__ import annotations

from nets.frontend.tensor.dispatch import TensorLike, apply, as_float
from nets.frontend.tensor.tensor import Tensor


def i0(x: TensorLike) -> Tensor:
    """I₀(x)."""
    return apply("i0", as_float(x))


def i0e(x: TensorLike) -> Tensor:
    """exp(−|x|) · I₀(x), which does not overflow."""
    return apply("i0e", as_float(x))


def i1(x: TensorLike) -> Tensor:
    """I₁(x)."""
    return apply("i1", as_float(x))


def i1e(x: TensorLike) -> Tensor:
    """exp(−|x|) · I₁(x), which does not overflow."""
    return apply("i1e", as_float(x))
