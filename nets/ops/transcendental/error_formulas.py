"""The formulas of the error functions, of the normal distribution, and of their inverses.

(1 + 2·a) · erfcx a is a polynomial in t = (a − K)/(a + K) (M. M. Shepherd and J. G. Laframboise,
"Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞", 1981), here one for either sign
of t; and erfinv x / x is one of w = −log(1 − x²), or of √w (M. Giles, "Approximating the erfinv
function", 2012), here in six pieces. All are minimax fits of our own.
"""

from __future__ import annotations

import math
from typing import Final

from nets.ops.transcendental.calculus import (
    Calculus,
    Number,
    at_least,
    at_most,
    halves,
    polynomial,
)
from nets.ops.transcendental.error_numbers import ERFCX, ERFINV, FIRST, PIECES
from nets.ops.transcendental.pairs import Pair, times

_K: Final = 3.75
_END: Final = 28.0
"""erfc is 0 beyond."""

_ROOT_HALF: Final = (0.7071067811865476, -4.833646656726457e-17)
"""√½ in two parts."""


def _scaled(m: Calculus, a: Number) -> Pair:
    """erfcx a for ½ ≤ a, but infinity: a quotient, and what its rounding leaves."""
    t = (a - _K) / (a + _K)
    near, far = (
        (2.0 * t + side) * polynomial(2.0 * t + side, ERFCX[side][1:]) for side in (1.0, -1.0)
    )
    first = m.select(t < 0.0, ERFCX[1.0][0], ERFCX[-1.0][0])
    rest = m.select(t < 0.0, near, far)
    top, bottom = first + rest, 1.0 + 2.0 * a
    found = top / bottom
    product, product_rest = times(found, bottom)
    left = ((top - product) - product_rest) + (rest - (top - first))
    return found, (left - found * (1.0 - (bottom - 2.0 * a))) / bottom


def _times_power_of_square(m: Calculus, x: Pair, a: Number, sign: float) -> Number:
    """x · e**(sign · a²), for a ≤ 28: the square has twice the digits."""
    high, _ = halves(a)
    rest = sign * ((a - high) * (a + high))
    growth = rest + rest * rest * (0.5 + rest * (1.0 / 6.0))
    return m.math("exp", sign * (high * high)) * (x[0] + (x[1] + x[0] * growth))


def _tail(m: Calculus, a: Number, low: Number | None = None) -> Number:
    """erfc(a + low) for a ≥ ½; low is at most an ulp of a."""
    a = at_most(m, a, _END)
    scaled, rest = _scaled(m, at_least(m, a, 0.5))
    if low is not None:
        rest = rest - low * (2.0 / math.sqrt(math.pi))
    return _times_power_of_square(m, (scaled, rest), a, -1.0)


def erfc(m: Calculus, x: Number) -> Number:
    return m.select(x < 0.5, 1.0 - m.math("erf", x), _tail(m, x))


def erfcx(m: Calculus, x: Number) -> Number:
    size = m.unary("abs", x)
    a = at_most(m, size, 1e100)
    high, low = _scaled(m, at_least(m, a, 0.5))
    scaled = m.select(size > 1e100, (1.0 / math.sqrt(math.pi)) / size, high + low)
    grown = _times_power_of_square(m, (2.0, 0.0), at_most(m, a, 27.0), 1.0) - scaled
    near = m.math("exp", x * x) * (1.0 - m.math("erf", x))
    return m.select(size < 0.5, near, m.select(x < 0.0, grown, scaled))


def _ratio(m: Calculus, w: Number, pieces: int) -> Number:
    """erfinv x / x of w = −log(1 − x²)."""
    center, half = FIRST
    found = polynomial((w - center) * (1.0 / half), ERFINV[0])
    root = m.unary("sqrt", at_least(m, w, 0.0))
    for (start, center, half), coefficients in zip(PIECES[:pieces], ERFINV[1:], strict=False):
        piece = polynomial((root - center) * (1.0 / half), coefficients)
        found = m.select(root > start, piece, found)
    return found


def erfinv(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    w = -m.math("log", (1.0 - a) * (1.0 + a))
    found = x * _ratio(m, at_most(m, w, 37.0), 2)
    return m.select(m.equal(a, 1.0), x * math.inf, found)


def ndtr(m: Calculus, x: Number) -> Number:
    """½ · erfc(−x · √½), where the product is a pair."""
    y = at_least(m, at_most(m, -x, 40.0), -40.0)
    factor, factor_low = _ROOT_HALF
    a = y * factor
    (high, low), (c, c_low) = halves(y), _split(factor)
    error = ((high * c - a) + high * c_low + low * c) + low * c_low
    tail = _tail(m, a, error + y * factor_low)
    return 0.5 * m.select(a < 0.5, 1.0 - m.math("erf", a), tail)


def _split(x: float) -> tuple[float, float]:
    high, low = halves(x)
    return float(high), float(low)


def log_ndtr(m: Calculus, x: Number) -> Number:
    factor, _ = _ROOT_HALF
    scaled = erfcx(m, at_most(m, -x, 1e150) * factor)
    below = m.math("log", 0.5 * scaled) - 0.5 * (x * x)
    above = m.math("log1p", -ndtr(m, -x))
    return m.select(x < -1.0, below, above)


def ndtri(m: Calculus, p: Number) -> Number:
    upper = p > 0.5
    y = 2.0 * m.select(upper, 1.0 - p, p)
    x = 1.0 - y
    w = -m.math("log", y * (2.0 - y))
    size = math.sqrt(2.0) * (x * _ratio(m, at_most(m, w, 756.0), 5))
    size = m.select(m.equal(y, 0.0), math.inf, size)
    return m.select(upper, size, -size)
