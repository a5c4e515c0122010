"""The gamma function, its logarithm and derivatives, the beta function, and zeta."""

from __future__ import annotations

import math

from nets.errors import ArgumentError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, apply, as_float, elementwise
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location


def gammaln(x: TensorLike) -> Tensor:
    """log |Γ(x)|; inf at 0, −1, −2, …. Its derivative is ``digamma``."""
    return apply("gammaln", as_float(x))


def gamma(x: TensorLike) -> Tensor:
    """Γ(x), as exp(gammaln(x)) with its sign: digits are lost as the result grows.

    ±inf at 0, NaN at −1, −2, … and −inf.
    """
    tensor = as_float(x)
    whole = F.floor(tensor)
    odd = F.not_equal(F.remainder(whole, 2), 0)
    sign = F.where(F.logical_and(tensor < 0, odd), -1, 1)
    size = F.where(F.equal(tensor, 0), F.copysign(math.inf, tensor), F.exp(gammaln(x)))
    pole = F.logical_and(tensor < 0, F.equal(whole, tensor))
    return F.where(pole, math.nan, F.multiply(sign, size))


def digamma(x: TensorLike) -> Tensor:
    """The derivative of log Γ(x): −inf at 0, inf at −0, NaN at −1, −2, …."""
    return apply("digamma", as_float(x))


def polygamma(n: int, x: TensorLike) -> Tensor:
    """The n-th derivative of ``digamma``, for x > 0 where n > 0.

    ArgumentError for an ``n`` that is no integer of at least 0.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ArgumentError(
            f"polygamma takes the order as an integer of at least 0, not {n!r}",
            user_location(),
        )
    if n == 0:
        return digamma(x)
    tensor = as_float(x)
    factor = math.factorial(n) if n <= 170 else math.inf
    return F.multiply(float((-1) ** (n + 1) * factor), zeta(float(n + 1), tensor))


def zeta(s: TensorLike, q: TensorLike = 1.0) -> Tensor:
    """Hurwitz's zeta function, Σ (q + k)⁻ˢ over k from 0 on; Riemann's for q = 1.

    inf for s = 1 and where q is 0, −1, …; NaN for s < 1 and for other q < 0. The derivative by s is
    NaN.
    """
    return elementwise("zeta", s, q, floating=True)


def betaln(a: TensorLike, b: TensorLike) -> Tensor:
    """log B(a, b) for positive numbers; inf where one is 0, NaN where one is negative."""
    return elementwise("betaln", a, b, floating=True)


def beta(a: TensorLike, b: TensorLike) -> Tensor:
    """B(a, b) = Γ(a) · Γ(b) / Γ(a + b) for positive numbers, as exp(betaln(a, b))."""
    return F.exp(betaln(a, b))


def multigammaln(a: TensorLike, d: int) -> Tensor:
    """The logarithm of the gamma function of d dimensions, for a > (d − 1)/2.

    ArgumentError for a ``d`` that is no positive integer. NaN for smaller a.
    """
    if isinstance(d, bool) or not isinstance(d, int) or d < 1:
        raise ArgumentError(
            f"multigammaln takes d as a positive integer, not {d!r}", user_location()
        )
    tensor = as_float(a)
    total = gammaln(tensor)
    for j in range(1, d):
        total = F.add(total, gammaln(F.subtract(tensor, j / 2)))
    total = F.add(total, d * (d - 1) / 4 * math.log(math.pi))
    return F.where(F.greater(tensor, (d - 1) / 2), total, math.nan)
