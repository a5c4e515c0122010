"""The formulas of the beta function and of its logarithm.

Where a number is at least 8, what cancels in log Γ(a) + log Γ(b) − log Γ(a + b) is left out (A. R.
DiDonato and A. H. Morris, "Algorithm 708: significant digit computation of the incomplete beta
function ratios", 1992).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from nets.ops.transcendental import pairs
from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most, polynomial
from nets.ops.transcendental.gamma_formulas import OVER_E, falling, gammaln, stirling
from nets.ops.transcendental.gamma_numbers import GAMMA, GAMMALN
from nets.ops.transcendental.pairs import Pair

FAR: Final = 8.0
E: Final = (2.718281828459045, 1.4456468917292502e-16)
TWO_PI: Final = (6.283185307179586, 2.4492935982947064e-16)
_HUGE: Final = 2.0**34


def remainders(m: Calculus, a: Number, b: Number) -> Number:
    """What Stirling's formula leaves of the three, for numbers of at least 8."""
    a, b = at_least(m, a, FAR), at_least(m, b, FAR)
    return stirling(a) + stirling(b) - stirling(a + b)


class _Near(NamedTuple):
    """B(a, b) = e**series · ratio / rest for b < 8, where b is the larger one."""

    series: Number
    ratio: Pair
    rest: Number


def _series(d: Number) -> Number:
    """log Γ(2 + d) for |d| ≤ ½."""
    return d * polynomial(d, GAMMALN)


def _over(m: Calculus, x: Number) -> Pair:
    """1 + x below ½, and 1 from there on."""
    return pairs.select(m, x < 0.5, pairs.plus(1.0, x), (1.0, 0.0))


def _near(m: Calculus, small: Number, large: Number) -> _Near:
    """By the recurrence from intervals of length 1, all of whose factors are in the ratio."""
    total, low = pairs.plus(large, small)
    first, small_product = falling(m, small, 0.0, int(FAR))
    second, large_product = falling(m, large, 0.0, int(FAR))
    both, total_product = falling(m, total, low, int(2 * FAR))
    series = (_series(first) + _series(second)) - _series(both + low)
    # Γ(x) is Γ(x + 1) over x below 3/2, and that over 1 + x below ½.
    top = pairs.select(m, total < 1.5, (total, low), (1.0, 0.0))
    top = pairs.multiply(top, pairs.multiply(small_product, large_product))
    top = pairs.multiply(top, pairs.select(m, total < 0.5, pairs.plus(1.0, total), (1.0, 0.0)))
    middle = m.select(small < 0.5, 1.0, m.select(small < 1.5, small, 1.0))
    under = pairs.multiply(pairs.multiply(_over(m, small), _over(m, large)), (middle, 0.0))
    under = pairs.multiply(under, total_product)
    last = m.select(large < 1.5, large, 1.0)
    ratio = pairs.divide(pairs.divide(top, (last, 0.0)), under)
    return _Near(series, ratio, m.select(small < 0.5, small, 1.0))


def _ratio_of_gammas(m: Calculus, small: Number, large: Number) -> Number:
    """B(a, b) times ``rest`` of Γ(a), for b ≥ 8: by Stirling's formula the product of two powers,
    whose numbers are known beyond their rounding."""
    huge, small_is_near = large > _HUGE, small < FAR
    unit = m.select(large > 1e280, 2.0**-64, 1.0)
    total = pairs.plus(large * unit, small * unit)
    one = m.select(huge, 1.0, large * unit)
    first = pairs.divide((one, 0.0), pairs.select(m, huge, (1.0, 0.0), total))
    e = pairs.select(m, huge, (1.0, 0.0), E)
    over_e = pairs.select(m, huge, OVER_E, (1.0, 0.0))
    far = at_least(m, at_most(m, small, 1e280), FAR)
    top = pairs.select(m, small_is_near, e, pairs.multiply((far, 0.0), over_e))
    second = pairs.divide((top[0] * unit, top[1] * unit), total)
    d, product = falling(m, at_most(m, small, FAR), 0.0, int(FAR))
    series = d * polynomial(d, GAMMA)
    near = pairs.multiply(pairs.plus(1.0, series), product)
    middle = m.select(small < 0.5, 1.0, m.select(small < 1.5, small, 1.0))
    near = pairs.divide(near, pairs.multiply(_over(m, small), (middle, 0.0)))
    root = pairs.root(m, pairs.divide(TWO_PI, (far, 0.0)))
    factor, rest = pairs.select(m, small_is_near, near, root)
    largest = at_least(m, large, FAR)
    more = stirling(largest) - stirling(largest + small)
    more = more + m.select(small_is_near, 0.0, stirling(far))
    slope = (large - 0.5) * (first[1] / first[0])
    more = more + m.select(huge, 0.5 * (small * ((small + 1.0) / large)), slope)
    more = m.math("expm1", more + (small * (second[1] / second[0]) + rest / factor))
    powers = m.math("pow", first[0], m.select(huge, 1.0, large - 0.5))
    powers = powers * m.math("pow", second[0], small)
    return powers * (factor + factor * more)


def beta(m: Calculus, a: Number, b: Number) -> Number:
    small, large = m.select(a < b, a, b), m.select(a < b, b, a)
    near = _near(m, at_most(m, small, FAR), at_most(m, large, FAR))
    high, low = near.ratio
    found = m.math("exp", near.series) * (high + low)
    found = m.select(large < FAR, found, _ratio_of_gammas(m, small, large)) / near.rest
    vanishes = m.equal(large, math.inf) | (small > _HUGE * 0.5)
    found = m.select(m.equal(small, 0.0), math.inf, found)
    found = m.select(vanishes, 0.0, found)
    return m.select((small >= 0.0) & (large >= 0.0), found, math.nan)


def betaln(m: Calculus, a: Number, b: Number) -> Number:
    small, large = m.select(a < b, a, b), m.select(a < b, b, a)
    total = small + large
    near = gammaln(m, small)
    ratio = m.math("log1p", small / large)
    far = at_least(m, large, FAR)
    bracket = (0.5 - large) * ratio - small * (m.math("log", total) - 1.0)
    mixed = near + (bracket + (stirling(far) - stirling(far + small)))
    parts = _near(m, at_most(m, small, FAR), at_most(m, large, FAR))
    high, low = parts.ratio
    plain = parts.series + (m.math("log", high) + low / high) - m.math("log", parts.rest)
    sizes = small * m.math("log1p", large / small) + (large - 0.5) * ratio
    both = 0.5 * math.log(2.0 * math.pi) - 0.5 * m.math("log", small) - sizes
    both = both + remainders(m, small, large)
    found = m.select(large < FAR, plain, m.select(small < FAR, mixed, both))
    found = m.select(m.equal(small, 0.0), math.inf, found)
    found = m.select(m.equal(large, math.inf), -math.inf, found)
    return m.select((small >= 0.0) & (large >= 0.0), found, math.nan)
