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
    """Γ(x), exact for integers up to 23. Its derivative is Γ(x) · digamma(x).

    ±inf at ±0, NaN at −1, −2, … and −inf.
    """
    return apply("gamma", as_float(x))


def digamma(x: TensorLike) -> Tensor:
    """The derivative of log Γ(x): −inf at 0, inf at −0, NaN at −1, −2, …."""
    return apply("digamma", as_float(x))


def polygamma(n: int, x: TensorLike) -> Tensor:
    """The n-th derivative of ``digamma``; inf or −inf at 0, −1, −2, ….

    (−1)ⁿ⁺¹ n! ζ(n + 1, x) for x > 0. For x < 0 by reflection: (−1)ⁿ ψₙ(1 − x) less the n-th
    derivative of π cot πx, which is a polynomial in cot πx (Abramowitz and Stegun, 1964, "Handbook
    of mathematical functions", 6.4.7); NaN for n > 150.

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
    reflects = tensor < 0
    positive = F.where(reflects, 1 - tensor, tensor)
    found = F.multiply(float((-1) ** (n + 1) * factor), zeta(float(n + 1), positive))
    if n > 150:
        return F.where(reflects, math.nan, found)
    return F.where(reflects, (-1) ** n * found - _cotangent_slope(n, tensor, reflects), found)


def _cotangent_slope(n: int, x: Tensor, where: Tensor) -> Tensor:
    """The n-th derivative of π cot πx, and some finite number but where it is asked for."""
    polynomial = [0, 1]  # in c = cot πx, the lowest power first; its slope by πx is −(1 + c²) P′
    for _ in range(n):
        slope = [k * a for k, a in enumerate(polynomial)][1:]
        polynomial = [-(a + b) for a, b in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    rest = F.where(where, x - F.round(x), 0.25)
    size = F.abs(rest)
    is_far = size > 0.25  # from the pole, and near a zero: 0.5 − |x| is exact
    tangent = F.tan(math.pi * F.where(is_far, 0.5 - size, size))
    cotangent = F.copysign(F.where(is_far, tangent, 1 / tangent), rest)
    highest, *others = map(float, reversed(polynomial))
    total = F.multiply(highest, cotangent)
    for a in others[:-1]:
        total = F.multiply(F.add(total, a), cotangent)
    return F.multiply(math.pi ** (n + 1), F.add(total, others[-1]))


def zeta(s: TensorLike, q: TensorLike = 1.0) -> Tensor:
    """Hurwitz's zeta function, Σ (q + k)⁻ˢ over k from 0 on; Riemann's for q = 1.

    inf for s = 1 and where q is 0, −1, …; NaN for s < 1 and for other q < 0. It has derivatives by
    q of every order, and one by s; a second one by s is refused: GradientError.
    """
    return elementwise("zeta", s, q, floating=True)


def betaln(a: TensorLike, b: TensorLike) -> Tensor:
    """log B(a, b) for positive numbers; inf where one is 0, NaN where one is negative."""
    return elementwise("betaln", a, b, floating=True)


def beta(a: TensorLike, b: TensorLike) -> Tensor:
    """B(a, b) = Γ(a) · Γ(b) / Γ(a + b) for positive numbers; inf where one is 0, NaN where one is
    negative."""
    return elementwise("beta", a, b, floating=True)


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
