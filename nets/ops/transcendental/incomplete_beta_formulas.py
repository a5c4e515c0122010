"""The formulas of the incomplete beta function and of its derivatives by its parameters.

As of the incomplete gamma functions: the integrand at x times the integral of what it is beside
that, over s of t = x · e**−s, on the side of its summit where that is small. For b < 1 there is no
summit, and up to x near 1 the integral is taken; behind, the power series of the rest without its
first term, which is near 1. Numbers below 8 are raised for Stirling's formula, by factors.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from nets.ops.transcendental import pairs
from nets.ops.transcendental.beta_formulas import remainders
from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most
from nets.ops.transcendental.gamma_formulas import digamma_tail, gammaln_of_next
from nets.ops.transcendental.gamma_numbers import STIRLING
from nets.ops.transcendental.incomplete_formulas import (
    FAR,
    LIFT,
    LIFTS,
    TINY,
    Exponent,
    digits,
    fallen,
    integral,
    log_of_ratio,
    logarithms,
    scale_of,
    slopes,
)
from nets.ops.transcendental.pairs import Pair

_MOST: Final = 1e150
_HUGE: Final = 2.0**80
_LEAST: Final = 1e-60
_SMALL: Final = 0.35
_SMALL_STEPS: Final = 34


class _Side(NamedTuple):
    """What is integrated: I of part, a pair, and of first and second; other is 1 − part."""

    first: Number
    second: Number
    part: Pair
    other: Pair


def _difference(x: Pair, y: Pair, z: Pair, w: Pair) -> Pair:
    """x · y − z · w, which cancels near the summit: always in pairs."""
    return pairs.add(pairs.multiply(x, y), pairs.negate(pairs.multiply(z, w)))


def _is_near_end(m: Calculus, a: Number, y: Number) -> Number:
    """Where the integral up to 1 − y would have its end near a pole."""
    return m.select(a < 1.0, a + 1.0, a) * y < _SMALL


def _sides(
    m: Calculus, a: Number, b: Number, x: Number, is_slope: bool = False
) -> tuple[Number, _Side]:
    """Whether the rest is integrated, which is behind the summit; and what is."""
    y = pairs.plus(1.0, -x)
    near_end = _is_near_end(m, a, y[0])
    behind = ((b - 1.0) * x > a * y[0]) | ((b >= 1.0) & near_end)
    swapped = behind & ((a >= 1.0) | (b * x >= 1.0) | near_end)
    if is_slope:
        swapped = swapped | near_end
    part = pairs.select(m, swapped, y, (x, 0.0 * x))
    other = pairs.select(m, swapped, (x, 0.0 * x), y)
    return swapped, _Side(m.select(swapped, b, a), m.select(swapped, a, b), part, other)


def _raised(m: Calculus, a: Number, b: Pair) -> tuple[Number, Pair, Pair]:
    """By how much a is raised, a so far, and B(a, b) with that over what it is with a."""
    p = digits(m)
    small = a < FAR
    product: Pair = (1.0 + 0.0 * a, 0.0 * a)
    inside = at_most(m, a, FAR)
    for k in range(int(FAR)):
        upper = p.plus(inside, float(k))
        product = p.multiply(product, p.divide(upper, p.add(upper, b)))
    high = p.select(m, small, p.plus(a, FAR), (a, 0.0 * a))
    product = p.select(m, small, product, (1.0, 0.0))
    return m.select(small, FAR, 0.0), high, product


def _front(m: Calculus, side: _Side) -> tuple[Pair, Pair]:
    """partᵃ · otherᵇ / B(a, b), as a logarithm and a factor."""
    p = digits(m)
    first_by, first, first_factor = _raised(m, side.first, (side.second, 0.0))
    second_by, second, second_factor = _raised(m, side.second, first)
    total = p.add(first, second)
    rest = _difference(second, side.part, first, side.other)
    ratio = p.divide(p.multiply(side.part, total), first)
    _, first_excess = p.logarithm(m, ratio, p.divide(rest, first))
    ratio = p.divide(p.multiply(side.other, total), second)
    _, second_excess = p.logarithm(m, ratio, p.divide(p.negate(rest), second))
    size = p.add(p.multiply(first, first_excess), p.multiply(second, second_excess))
    for by, end in ((first_by, side.part), (second_by, side.other)):
        log, _ = p.logarithm(m, end, p.add(end, (-1.0, 0.0)))
        size = p.add(size, p.multiply((by, 0.0), log))
    size = p.add(size, (remainders(m, first[0], second[0]), 0.0))
    square = p.multiply(p.multiply(first, p.divide(second, total)), pairs.HALF_OVER_PI)
    factor = p.multiply(first_factor, second_factor)
    return p.negate(size), p.multiply(p.root(m, square), factor)


def _integrand(m: Calculus, side: _Side) -> tuple[Number, Exponent, Exponent]:
    """The scale and E of the integral, where a is raised to at least 1; and E with the slope by b,
    where that by a is the other's."""
    p = digits(m)
    order = p.plus(side.second, -1.0)
    above = m.select(side.first < 1.0, side.first + 1.0, side.first)
    odds = side.part[0] / side.other[0]
    rest = _difference((above, 0.0), side.other, order, side.part)
    concave = order[0] >= 0.0
    slope = m.select(concave, rest[0] / side.other[0], above)
    bend = at_least(m, order[0] * odds / side.other[0], 0.0)
    bend = m.select(concave, bend, 0.0)

    def exponent(s: Number) -> tuple[Number, Number]:
        z, excess = fallen(m, s)
        log, log_excess = logarithms(m, odds * z)
        down = slope * s + order[0] * (odds * excess + log_excess)
        return m.select(concave, down, slope * s - order[0] * log), -s

    def by_second(s: Number) -> tuple[Number, Number]:
        size, _ = exponent(s)
        return size, m.math("log1p", odds * fallen(m, s)[0])

    # Far out, the slope of E is that number.
    scale, least = scale_of(m, slope, bend), 1.0 / above
    return m.select(scale < least, least, scale), exponent, by_second


def _part(m: Calculus, side: _Side) -> Number:
    p = digits(m)
    size, factor = _front(m, side)
    scale, exponent, _ = _integrand(m, side)
    found = p.divide(integral(m, scale, exponent), side.other)
    raise_by = p.multiply(side.part, p.plus(side.first, side.second))
    with_first = p.add((1.0, 0.0), p.multiply(raise_by, found))
    with_first = p.divide(with_first, (side.first, 0.0))
    found = p.select(m, side.first < 1.0, with_first, found)
    return p.power_times(m, size, p.multiply(factor, found))


def _log_ratio(m: Calculus, a: Number, b: Number, y: Number) -> Number:
    """log Γ(a + b) − log Γ(a) + b · log y for 0 < b < 1 and a > 0, with the digits of b."""
    small = a < FAR
    high = m.select(small, a + FAR, a)
    ratio = b / high
    log, excess = logarithms(m, ratio)
    start, end = 1.0 / high, 1.0 / (high + b)
    first, last = start * start, end * end
    total, slope = STIRLING[-1] + 0.0 * a, 0.0 * a
    for coefficient in reversed(STIRLING[:-1]):
        slope = slope * last + total
        total = total * first + coefficient
    # The difference of 1/x · S(1/x²) is that of 1/x times S, and 1/x times that of S.
    step = -(ratio * end)
    tail = step * (total + end * (start + end) * slope)
    found = b * m.math("log", high * y) + ((b - 0.5) * log - high * excess + tail)
    for k in range(int(FAR)):
        found = m.select(small, found - m.math("log1p", b / (a + float(k))), found)
    return found


def _small_order(m: Calculus, a: Number, b: Number, y: Number) -> Number:
    """I of 1 − y for b < 1 and small a · y: 1 − eᵘ · (1 + b·T), T the sum of
    (1 − a)…(n − a) · yⁿ / (n! · (b + n))."""

    def step(n: Number, total: Number) -> Number:
        return (1.0 / (b + n) + total) * ((n - a) / n * y)

    total = m.count_down(_SMALL_STEPS, step, 0.0 * y)
    u = _log_ratio(m, a, b, y) - gammaln_of_next(m, b)
    return -m.math("expm1", u) - m.math("exp", u) * (b * total)


class _Inside(NamedTuple):
    """Arguments of a size whose products are normal numbers, and what I is of that of those."""

    a: Number
    b: Number
    x: Number
    factor: Number


def _power_of_two(m: Calculus, x: Number) -> Number:
    """The one near x."""
    return m.math("exp2", m.unary("round", m.math("log", x) * (1.0 / math.log(2.0))))


def _inside(m: Calculus, a: Number, b: Number, x: Number) -> _Inside:
    """Near 0, I is b/(a + b), or 1 for b that is larger, or in proportion to b for such a; and in
    proportion to xᵃ near x = 0. For small a and huge b, it depends on a and b · x alone."""
    largest = at_least(m, m.select(a < b, b, a), 1e-307)
    lift = m.select(largest < 1e-40, 2.0**-100 / _power_of_two(m, largest), 1.0)
    first, second = at_least(m, a * lift, _LEAST), b * lift
    huge = (a < FAR) & (b > _HUGE)
    unit = m.select(huge, _power_of_two(m, at_least(m, b, 1.0)) * (1.0 / _HUGE), 1.0)
    first = m.select((b < FAR) & (a > _HUGE), _HUGE, first)
    end = m.select(huge, at_most(m, x * unit, 0.5), x)
    tiny = end < TINY
    factor = m.select(second < _LEAST, second / _LEAST, 1.0)
    factor = m.select(tiny, factor * m.math("exp2", -LIFTS * at_most(m, first, 20.0)), factor)
    second = at_least(m, second, _LEAST) / unit
    return _Inside(first, second, m.select(tiny, end * LIFT, end), factor)


def betainc(m: Calculus, a: Number, b: Number, x: Number) -> Number:
    """NaN unless a, b ≥ 0 and 0 ≤ x ≤ 1, where a and b are both 0 or both inf, and where one is
    finite and beyond 10¹⁵⁰."""
    first, second, end, factor = _inside(m, a, b, x)
    swapped, side = _sides(m, first, second, end)
    found = _part(m, side)
    found = m.select(swapped, 1.0 - found, found)
    y = 1.0 - end
    is_small = (b < 1.0) & _is_near_end(m, first, y)
    small = _small_order(
        m, m.select(is_small, first, 1.0), at_most(m, second, 1.0), at_most(m, y, _SMALL)
    )
    return _ends(m, a, b, x, factor * m.select(is_small, small, found), 1.0)


class _Growth(NamedTuple):
    """The slopes of the logarithm of the integrand by first and second, where part is the end."""

    first: Number
    second: Number


def _growth(m: Calculus, side: _Side) -> _Growth:
    """log part − ψ(first) + ψ(first + second), and the same of the other."""
    lifts = [m.select(x < FAR, FAR, 0.0) for x in side[:2]]
    first, second = side.first + lifts[0], side.second + lifts[1]
    total, sum_of_both = first + second, side.first + side.second
    rest = _difference((second, 0.0), side.part, (first, 0.0), side.other)
    down = 0.0 * total
    for k in range(int(2 * FAR)):
        is_lifted = lifts[0] + lifts[1] > float(k)
        down = m.select(is_lifted, down + 1.0 / (sum_of_both + float(k)), down)

    def growth(x: Number, high: Number, end: Number, rest: Number) -> Number:
        ratio = log_of_ratio(m, end * total / high, rest / high)
        found = ratio + (digamma_tail(high) - digamma_tail(total)) - down
        for k in range(int(FAR)):
            found = m.select(x < FAR, found + 1.0 / (x + float(k)), found)
        return found

    return _Growth(
        growth(side.first, first, side.part[0], rest[0]),
        growth(side.second, second, side.other[0], -rest[0]),
    )


def _slope(m: Calculus, side: _Side, by_second: bool) -> Number:
    """The derivative of the part by first or second."""
    p = digits(m)
    scale, *exponents = _integrand(m, side)
    found, change = slopes(m, scale, exponents[by_second])
    size, factor = _front(m, side)
    growth = _growth(m, side)[by_second]
    sum_of_both = side.first + side.second
    raise_by = side.part[0] / side.other[0] * sum_of_both
    lower = growth if by_second else growth - 1.0 / side.first
    raised = lower + raise_by * ((lower + 1.0 / sum_of_both) * found + change)
    plain = (growth * found + change) / side.other[0]
    result = m.select(side.first < 1.0, raised / side.first, plain)
    return p.power_times(m, size, factor) * result


def betainc_by_a(m: Calculus, a: Number, b: Number, x: Number) -> Number:
    return _by_parameter(m, a, b, x, by_b=False)


def betainc_by_b(m: Calculus, a: Number, b: Number, x: Number) -> Number:
    return _by_parameter(m, a, b, x, by_b=True)


def _by_parameter(m: Calculus, a: Number, b: Number, x: Number, by_b: bool) -> Number:
    first, second, end, _ = _inside(m, a, b, x)
    swapped, side = _sides(m, first, second, end, is_slope=True)
    here, there = _slope(m, side, by_b), _slope(m, side, not by_b)
    return _ends(m, a, b, x, m.select(swapped, -there, here), 0.0)


def _ends(m: Calculus, a: Number, b: Number, x: Number, found: Number, at_one: float) -> Number:
    """With the values at the ends of the ranges: 0, and ``at_one``."""
    found = m.select((a > _MOST) | (b > _MOST), math.nan, found)
    nothing = m.equal(a, 0.0) | m.equal(b, math.inf)
    all_of_it = m.equal(b, 0.0) | m.equal(a, math.inf)
    found = m.select(nothing, at_one, m.select(all_of_it, 0.0, found))
    found = m.select(m.equal(x, 0.0), 0.0, m.select(m.equal(x, 1.0), at_one, found))
    inside = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0)
    found = m.select(inside, found, math.nan)
    same = m.equal(a, b) & (nothing & all_of_it)
    return m.select(same, math.nan, found)
