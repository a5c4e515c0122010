"""The formulas of the gamma function, of its logarithm and derivative, and of Hurwitz's zeta.

From 8 (or 6) on, Stirling's series; below, the recurrence leads to an interval of length 1, where
the function is a minimax polynomial times the distance to its zero; negative numbers are reflected
(Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 6.1 and 6.3).
"""

from __future__ import annotations

import math
from typing import Final

from nets.ops.transcendental.calculus import (
    Calculus,
    Number,
    at_least,
    at_most,
    polynomial,
    sine_of_turns,
)
from nets.ops.transcendental.gamma_numbers import (
    DIGAMMA,
    DIGAMMA_TAIL,
    GAMMA,
    GAMMALN,
    STIRLING,
)
from nets.ops.transcendental.pairs import Pair, plus, times

_FAR: Final = 8.0
_NEAR_ONE: Final = (-0.5772156649015329, *GAMMALN[1:])
_ATANH: Final = tuple(2.0 / (2 * k + 3) for k in range(14))
_DIGAMMA_FAR: Final = 6.0
_DIGAMMA_ZERO: Final = (1.4616321449683622, 9.549995429965697e-17)


def stirling(x: Number) -> Number:
    """What Stirling's formula leaves of log Γ(x), for 8 ≤ x."""
    inverse = 1.0 / x
    return inverse * polynomial(inverse * inverse, STIRLING)


def _gammaln_near_one(m: Calculus, d: Number) -> Number:
    """log Γ(1 + d) for |d| ≤ ½: log Γ(2 + d) − log(1 + d), where d is left out of both."""
    d = at_most(m, at_least(m, d, -0.5), 0.5)
    u = d / (2.0 + d)
    square = u * u
    excess = d * u - u * square * polynomial(square, _ATANH)
    return d * polynomial(d, _NEAR_ONE) + excess


def _positive_gammaln(m: Calculus, x: Number) -> Number:
    """log Γ(x) for x > 0."""
    whole = at_least(m, m.unary("round", x - 2.0), -2.0)
    whole = m.select(x < 0.5, -2.0, m.select(x < 1.5, -1.0, at_least(m, whole, 0.0)))
    whole = m.select(x < _FAR, whole, 0.0)
    d = (x - 2.0) - whole
    d = m.select(x < 1.5, m.select(x < 0.5, x, x - 1.0), d)
    product = x * (1.0 + x)
    product = m.select(x < 0.5, product, m.select(x < 1.5, x, 1.0))
    for k in range(1, 7):
        # (x − 1) · … · (x − whole)
        product = m.select(whole >= float(k), product * (x - float(k)), product)
    logarithm = m.math("log", m.select(x < _FAR, product, x))
    series = polynomial(d, GAMMALN)
    near = d * series
    near = m.select(x < 0.5, near - logarithm, near + logarithm)
    near = m.select((x >= 0.5) & (x < 1.5), _gammaln_near_one(m, d), near)
    large = at_least(m, x, _FAR)
    far = (x - 0.5) * (logarithm - 1.0) + (0.5 * math.log(2.0 * math.pi) - 0.5 + stirling(large))
    return m.select(x < _FAR, near, far)


def gammaln(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    positive = _positive_gammaln(m, m.select(x > 0.0, a, a + 1.0))
    rest, sine = sine_of_turns(m, a)
    reflected = -m.math("log", sine * (1.0 / math.pi)) - positive
    result = m.select(x > 0.0, positive, reflected)
    result = m.select((x <= 0.0) & m.equal(rest, 0.0), math.inf, result)
    return m.select(m.equal(a, math.inf), math.inf, result)


OVER_E: Final = (0.36787944117144233, -1.2428753672788363e-17)
_ROOT: Final = (1.520346901066281, -9.239528122039697e-17)
"""√(2π/e)."""
_POWER: Final = 170.0
_MOST: Final = 185.0
_SINC: Final = (
    -1.6449340668482264,
    0.8117424252833462,
    -0.19075182412167543,
    0.026147847807946146,
    -0.002346080913332055,
    0.00014842791681396662,
    -6.9722679816063705e-06,
    2.4518402626561494e-07,
)
"""(sin πx / πx − 1) / x², in x² for |x| ≤ ½."""


def falling(m: Calculus, x: Number, low: Number, most: int) -> tuple[Number, Pair]:
    """d, and Γ(x + low) over Γ(2 + d) as a pair: (2 + d) · … · (x − 1) for 3/2 ≤ x ≤ most, with low
    at most an ulp of x. Below, d is x − 1 down to ½, then x."""
    whole = m.select(x < 0.5, 0.0, at_least(m, m.unary("round", x), 1.0))
    product, rest = 1.0 + 0.0 * x, 0.0 * x
    for k in range(most - 2, 0, -1):
        is_one, factor = whole > k + 1.0, x - float(k)
        new, part = times(product, factor)
        rest = m.select(is_one, rest * factor + (part + product * low), rest)
        product = m.select(is_one, new, product)
    return x - whole, (product, rest)


def _near_gamma(m: Calculus, x: Number, more: Number) -> Number:
    """Γ(x) for −½ ≤ x ≤ 8; from 3/2 on with so much more, in proportion."""
    d, (product, rest) = falling(m, x, 0.0, 8)
    series = d * polynomial(d, GAMMA)
    found = 1.0 + series
    low = series - (found - 1.0)
    over = m.select(x < 0.5, x * (1.0 + x), x)
    return m.select(
        x < 1.5, found / over, found * product + (low * product + found * (rest + product * more))
    )


def _far_gamma(m: Calculus, x: Number, more: Number) -> tuple[Number, Number]:
    """Two factors of Γ(x) for 8 ≤ x ≤ 185, √(2π/e) · (x/e)^(x − ½) by Stirling's formula; with so
    much more, in proportion."""
    base, rest = times(x, OVER_E[0])
    rest = rest + x * OVER_E[1]
    is_half = x > _POWER
    power = m.math("pow", base, m.select(is_half, 0.5 * x - 0.25, x - 0.5))
    tail = stirling(x)
    growth = tail + tail * tail * polynomial(tail, (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720))
    growth = growth + ((x - 0.5) * (rest / base) + (more + _ROOT[1] / _ROOT[0]))
    other = _ROOT[0] + _ROOT[0] * growth
    return power, m.select(is_half, other * power, other)


def _whole_gamma(m: Calculus, x: Number, found: Number) -> Number:
    """Γ(x) without the error of what was found, for integers up to 23: that is a multiple of a
    power of two, and so many digits are left."""
    unit = m.select(x > 16.0, m.math("exp2", at_most(m, x, 23.0) - 4.0), 1.0)
    exact = m.unary("round", found / unit) * unit
    return m.select(m.equal(m.unary("floor", x), x) & (x <= 23.0), exact, found)


def gamma(m: Calculus, x: Number) -> Number:
    """Γ(x); by Γ(x) · Γ(−x) = −π / (x · sin πx) for x < −½."""
    reflects = x < -0.5
    a = m.select(reflects, -x, x)
    whole = m.unary("round", a)
    d = a - whole
    square = d * d
    small = d * (square * polynomial(square, _SINC))
    sine = d + small
    inside = at_most(m, a, _MOST)
    product, rest = times(inside, sine)
    more = m.select(reflects, (rest + inside * (small - (sine - d))) / product, 0.0)
    near = _near_gamma(m, at_most(m, a, _FAR), more)
    power, other = _far_gamma(m, at_least(m, inside, _FAR), more)
    positive = _whole_gamma(m, a, m.select(a < _FAR, near, power * other))
    is_odd = m.unary("floor", 0.5 * whole) < 0.5 * whole
    negative = m.select(is_odd, 1.0, -1.0) / product
    negative = m.select(a < _FAR, negative / near, negative / power / other)
    return m.select(reflects, m.select(m.equal(d, 0.0), math.nan, negative), positive)


def gammaln_of_next(m: Calculus, a: Number) -> Number:
    """log Γ(1 + a) for 0 ≤ a ≤ 1, with all digits where a is small."""
    small = a < 0.5
    d = m.select(small, a, a - 1.0)
    near = d * polynomial(d, GAMMALN)
    return m.select(small, near - m.math("log1p", a), near)


def digamma_tail(x: Number) -> Number:
    """log x − ψ(x), for 6 ≤ x."""
    inverse = 1.0 / x
    square = inverse * inverse
    return 0.5 * inverse + square * polynomial(square, DIGAMMA_TAIL)


def _positive_digamma(m: Calculus, x: Number, low: Number) -> Number:
    """ψ(x + low) for x > 0, where low is at most an ulp of x and matters near the zero."""
    small = x < 1.0
    near, total = x, 0.0 * x
    for _ in range(5):
        # ψ(x) = ψ(x − 1) + 1 / (x − 1)
        down = (near >= 2.0) & (x < _DIGAMMA_FAR)
        near = m.select(down, near - 1.0, near)
        total = m.select(down, total + 1.0 / near, total)
    near = m.select(small, x + 1.0, near)
    total = m.select(small, -1.0 / x, total)
    zero, zero_low = _DIGAMMA_ZERO
    value = ((near - zero) + (low - zero_low)) * polynomial(near - 1.5, DIGAMMA) + total
    far = m.math("log", x) - digamma_tail(at_least(m, x, _DIGAMMA_FAR))
    return m.select(x < _DIGAMMA_FAR, value, far)


def digamma(m: Calculus, x: Number) -> Number:
    """At 0 it is ∓inf by the sign of 0, at the other poles NaN."""
    reflects = x < 0.0
    high, low = plus(1.0, -x)
    low = m.select(reflects, low, 0.0)
    positive = _positive_digamma(m, m.select(reflects, high, x), low)
    rest = x - m.unary("round", x)
    size = m.unary("abs", rest)
    is_far = size > 0.25  # from the pole, and near a zero: 0.5 − |rest| is exact
    tangent = m.math("tan", math.pi * m.select(is_far, 0.5 - size, size))
    cotangent = m.select(is_far, math.pi * tangent, math.pi / tangent)
    cotangent = m.select(rest < 0.0, -cotangent, cotangent)
    result = m.select(reflects, positive - cotangent, positive)
    result = m.select(reflects & m.equal(rest, 0.0), math.nan, result)
    return m.select(m.equal(x, math.inf), math.inf, result)


_ZETA_TERMS: Final = 10
_ZETA_TAIL: Final = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
    43867 / 5109094217170944000,
    -174611 / 802857662698291200000,
)
"""The Bernoulli numbers B(2k) / (2k)!."""


def _term(m: Calculus, q: Number, k: int, s: Number) -> tuple[Number, Number]:
    """(q + k)**−s, whose power would magnify the rounding of the sum; and the sum."""
    total, rest = plus(q, float(k))
    power = m.math("pow", total, -s)
    return power - power * (at_most(m, s, 1e300) * (rest / total)), total


def zeta(m: Calculus, s: Number, q: Number) -> Number:
    """Σ (q + k)**−s by the formula of Euler and Maclaurin, for s > 1 and q > 0.

    NaN for s < 1, and for q < 0 that is no integer; inf for s = 1 and for integers q ≤ 0.
    """
    inside = at_most(m, at_least(m, q, 1e-320), 1e300)
    power, w = _term(m, inside, _ZETA_TERMS, s)
    inverse = 1.0 / w
    factor, rest = s * (power * inverse), 0.0 * s
    for k, number in enumerate(_ZETA_TAIL):
        rest = rest + factor * number
        factor = factor * ((s + (2.0 * k + 1.0)) * inverse) * ((s + (2.0 * k + 2.0)) * inverse)
    rest = m.select(power > 0.0, 0.5 * power + rest, 0.0)
    last, _ = _term(m, inside, _ZETA_TERMS, s - 1.0)
    for k in range(_ZETA_TERMS - 1, 0, -1):
        rest = rest + _term(m, inside, k, s)[0]
    total = m.math("pow", inside, -s) + (last / (s - 1.0) + rest)
    total = m.select(m.equal(q, math.inf), 0.0, total)
    whole = m.equal(m.unary("floor", q), q)
    total = m.select(q > 0.0, total, m.select((q <= 0.0) & whole, math.inf, math.nan))
    total = m.select(m.equal(s, 1.0), math.inf, total)
    return m.select(s >= 1.0, total, math.nan)


def zeta_by_s(m: Calculus, s: Number, q: Number) -> Number:
    """The derivative of ``zeta`` by s: that of its formula, term by term."""
    inside = at_most(m, at_least(m, q, 1e-320), 1e300)
    total = -(m.math("log", inside) * m.math("pow", inside, -s))
    for k in range(1, _ZETA_TERMS):
        power, place = _term(m, inside, k, s)
        total = total - m.math("log", place) * power
    power, w = _term(m, inside, _ZETA_TERMS, s)
    log, inverse = m.math("log", w), 1.0 / w
    factor, rest = s * (power * inverse), 0.0 * s
    growth = 1.0 / s - log
    for k, number in enumerate(_ZETA_TAIL):
        rest = rest + factor * growth * number
        first, second = s + (2.0 * k + 1.0), s + (2.0 * k + 2.0)
        factor = factor * (first * inverse) * (second * inverse)
        growth = growth + (1.0 / first + 1.0 / second)
    rest = m.select(power > 0.0, rest - 0.5 * power * log, 0.0)
    over = 1.0 / (s - 1.0)
    last, _ = _term(m, inside, _ZETA_TERMS, s - 1.0)
    main = m.select(last > 0.0, last * (over * (log + over)), 0.0)
    found = total + (rest - main)
    # The first terms are inf · 0 where the numbers are too large for a power.
    found = m.select((m.equal(s, math.inf) & (q > 1.0)) | m.equal(q, math.inf), 0.0, found)
    found = m.select(m.equal(s, 1.0) & (q > 0.0), -math.inf, found)
    return m.select((s >= 1.0) & (q > 0.0), found, math.nan)
