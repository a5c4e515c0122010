"""The formulas of the incomplete gamma functions, P(a, x) and Q(a, x) = 1 − P(a, x).

Each is the integrand at x times an integral of what the integrand is beside that, e**−E with E
between 0 and ∞: of t = x · e**−s for P, of t = x + v for Q. The rule for those is the double
exponential one (H. Takahasi and M. Mori, "Double exponential formulas for numerical integration",
1974). No term of E is negative on the side of the integrand's summit where P or Q is small, so that
nothing cancels, for numbers of any size; on the other side, the result is 1 less the other. For
a < 1, P has one term of its recurrence in front, and Q of small x is the power series without its
first term, which is near 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import ModuleType
from typing import Final

import numpy as np

from nets.ops.definition.registry import Array
from nets.ops.transcendental import pairs, plain
from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most, polynomial
from nets.ops.transcendental.gamma_formulas import digamma_tail, gammaln_of_next, stirling
from nets.ops.transcendental.pairs import Pair

Exponent = Callable[[Number], tuple[Number, Number]]
"""E, and the slope by a parameter of the integrand's logarithm, at a distance from the end."""

FAR: Final = 8.0
TINY: Final = 1e-290
LIFTS: Final = 200.0
LIFT: Final = 2.0**LIFTS
"""Near 0, P is in proportion to xᵃ: smaller x, whose products would be subnormal, are lifted."""

_SMALL_STEPS: Final = 18
_SMALL: Final = 0.5
_EXCESS: Final = tuple((-1.0) ** k / math.factorial(k + 2) for k in range(13))
_ATANH: Final = tuple(2.0 / (2 * k + 3) for k in range(14))


def digits(m: Calculus) -> ModuleType:
    """The arithmetic of pairs, or of numbers alone where they have digits enough."""
    return plain if m.is_short else pairs


def fallen(m: Calculus, s: Number) -> tuple[Number, Number]:
    """z = 1 − e**−s, and s − z, for s ≥ 0."""
    z = -m.math("expm1", -s)
    near = at_most(m, s, 0.5)
    excess = _EXCESS[:8] if m.is_short else _EXCESS
    return z, m.select(s < 0.5, near * near * polynomial(near, excess), s - z)


def logarithms(m: Calculus, q: Number) -> tuple[Number, Number]:
    """log(1 + q), and q less that, for q ≥ 0."""
    found = m.math("log1p", q)
    near = at_most(m, q, 0.5)
    u = near / (2.0 + near)
    square = u * u
    excess = near * u - u * square * polynomial(square, _ATANH[: 7 if m.is_short else None])
    return found, m.select(q < 0.5, excess, q - found)


def integral(m: Calculus, scale: Number, exponent: Exponent) -> Pair:
    """The integral of e**−E from 0 on, which falls within some scales."""

    nodes, width = _nodes(m.is_short)

    def step(row: Sequence[Number], state: tuple[Number, Number]) -> tuple[Number, Number]:
        total, rest = state
        place, weight = row
        term = weight * m.math("exp", -exponent(scale * place)[0])
        new = total + term
        return new, rest + (term - (new - total))

    start = 0.0 * scale
    found = m.over_rows(nodes, step, (start, start))
    whole: Pair = digits(m).multiply((scale * width, 0.0), found)
    return whole


def slopes(m: Calculus, scale: Number, exponent: Exponent) -> tuple[Number, Number]:
    """The integral, and that of its slope by the parameter."""

    nodes, width = _nodes(m.is_short)

    def step(row: Sequence[Number], state: tuple[Number, Number]) -> tuple[Number, Number]:
        place, weight = row
        size, slope = exponent(scale * place)
        term = weight * m.math("exp", -size)
        return state[0] + term, state[1] + term * slope

    start = 0.0 * scale
    total, change = m.over_rows(nodes, step, (start, start))
    return scale * width * total, scale * width * change


@functools.cache
def _nodes(is_short: bool) -> tuple[Array, float]:
    """Where values are taken, in scales, and what they count, from the last one on; and what all of
    them are to be multiplied by."""
    count, width, start = (
        (31, Decimal("0.2"), "-3.05") if is_short else (67, Decimal("0.11"), "-3.65")
    )
    rows = []
    for n in range(count, 0, -1):
        t = n * width + Decimal(start)
        bend = (-t).exp()
        place = (t - bend).exp()
        rows.append((float(place), float(place * (1 + bend))))
    return np.array(rows), float(width)


def scale_of(m: Calculus, slope: Number, bend: Number) -> Number:
    """Where slope · s + bend · s²/2 is about 1."""
    return 2.0 / (slope + m.unary("sqrt", slope * slope + 4.0 * bend))


def raised(m: Calculus, a: Number) -> tuple[Number, Pair, Pair]:
    """By how much a is to be raised for Stirling's formula; a so far; and (a + 1) · … · (a + 7), or
    1/a where it is not."""
    p = digits(m)
    small = a < FAR
    high = p.select(m, small, p.plus(a, FAR), (a, 0.0 * a))
    product: Pair = (1.0 + 0.0 * a, 0.0 * a)
    inside = at_most(m, a, FAR)
    for k in range(1, int(FAR)):
        product = p.multiply(product, p.plus(inside, float(k)))
    product = p.select(m, small, product, p.divide((1.0, 0.0), (a, 0.0)))
    return m.select(small, FAR, 0.0), high, product


def _front(m: Calculus, a: Number, x: Number) -> tuple[Pair, Pair]:
    """xᵃ · e**−x / Γ(a + 1), as a logarithm and a factor."""
    p = digits(m)
    raise_by, high, product = raised(m, a)
    difference = p.divide(p.add((x, 0.0), p.negate(high)), high)
    _, excess = p.logarithm(m, p.divide((x, 0.0), high), difference)
    log_x, _ = p.logarithm(m, (x, 0.0 * x), p.plus(x, -1.0))
    size = p.add(p.multiply(high, excess), p.multiply((raise_by, 0.0), log_x))
    size = p.add(size, (stirling(high[0]), 0.0))
    root = p.root(m, p.multiply(high, pairs.HALF_OVER_PI))
    return p.negate(size), p.multiply(root, product)


def _end_of_lower(m: Calculus, a: Number, x: Number) -> Number:
    """Where P is to be integrated, not Q."""
    return (x <= a) | ((a < 1.0) & (x < 1.0))


def _sides(m: Calculus, a: Number, x: Number, is_lower: Number) -> tuple[Number, Exponent]:
    """The scale and E of the integral of P, where a is raised to at least 1, or of Q, over x."""
    above = m.select(a < 1.0, a + 1.0, a)
    order = a - 1.0
    slope = m.select(is_lower, above - x, (x - order) / x)
    bend = m.select(is_lower, x, at_least(m, (order / x) / x, 0.0))
    # Far out, the slope of E is 1 for Q.
    scale = scale_of(m, slope, bend)
    scale = m.select(is_lower, scale, at_least(m, scale, 1.0))

    def exponent(s: Number) -> tuple[Number, Number]:
        _, excess = fallen(m, s)
        ratio_log, ratio_excess = logarithms(m, s / x)
        upper = m.select(order < 0.0, s - order * ratio_log, slope * s + order * ratio_excess)
        return m.select(is_lower, slope * s + x * excess, upper), m.select(is_lower, -s, ratio_log)

    return scale, exponent


def _small_order(m: Calculus, a: Number, x: Number) -> Number:
    """Q for a < 1 and x ≤ ½: 1 − eᵘ · (1 + a·T), T the sum of (−x)ⁿ / (n! · (a + n))."""

    def step(n: Number, total: Number) -> Number:
        return (1.0 / (a + n) + total) * (-x / n)

    total = m.count_down(_SMALL_STEPS, step, 0.0 * x)
    u = a * m.math("log", x) - gammaln_of_next(m, a)
    return -m.math("expm1", u) - m.math("exp", u) * (a * total)


def _part(m: Calculus, a: Number, x: Number, is_lower: Number) -> Number:
    """P or Q."""
    p = digits(m)
    size, factor = _front(m, a, x)
    found = integral(m, *_sides(m, a, x, is_lower))
    with_first = p.add((1.0, 0.0), p.multiply((x, 0.0), found))
    whole = p.multiply((a, 0.0), found)
    upper = p.multiply(p.divide((a, 0.0), (x, 0.0)), found)
    over = p.select(m, is_lower, whole, upper)
    over = p.select(m, is_lower & (a < 1.0), with_first, over)
    return p.power_times(m, size, p.multiply(factor, over))


def _inside(m: Calculus, a: Number, x: Number) -> tuple[Number, Number]:
    """a and x, smaller where they are beyond what squares: P there is 0, ½ or 1."""
    shrink = m.select(a > 1e150, 2.0**-332, 1.0)
    inner, end = a * shrink, at_most(m, x * shrink, 1e220)
    return inner, m.select((inner >= FAR) & (end < inner * 1e-280), inner * 1e-280, end)


def gammainc(m: Calculus, a: Number, x: Number) -> Number:
    tiny = x < TINY
    inner, end = _inside(m, a, m.select(tiny, x * LIFT, x))
    is_lower = _end_of_lower(m, inner, end)
    found = _part(m, inner, end, is_lower)
    found = m.select(tiny, found * m.math("exp2", -LIFTS * at_most(m, a, 20.0)), found)
    return _ends(m, a, x, m.select(is_lower, found, 1.0 - found), 0.0)


def gammaincc(m: Calculus, a: Number, x: Number) -> Number:
    inner, end = _inside(m, a, x)
    is_lower = (end < inner - 1.0) | ((inner >= 1.0) & (end < _SMALL))
    found = _part(m, inner, end, is_lower)
    found = m.select(is_lower, 1.0 - found, found)
    small = _small_order(m, at_most(m, inner, 1.0), at_most(m, end, _SMALL))
    found = m.select((inner < 1.0) & (end < _SMALL), small, found)
    return _ends(m, a, x, found, 1.0)


def gammainc_by_a(m: Calculus, a: Number, x: Number) -> Number:
    """The derivative of P by a."""
    p = digits(m)
    inner, end = _inside(m, at_least(m, a, 1e-280), x)
    is_lower, small = _end_of_lower(m, inner, end), inner < 1.0
    total, slope = slopes(m, *_sides(m, inner, end, is_lower))
    size, factor = _front(m, inner, end)
    front = p.power_times(m, size, factor)
    growth = _growth(m, inner, end)
    plain = inner * (growth * total + slope)
    next_growth = growth - 1.0 / inner
    first = next_growth * (1.0 + end * total) + end * slope
    found = m.select(is_lower, m.select(small, first, plain), -plain / end)
    return _ends(m, a, x, front * found, None)


def log_of_ratio(m: Calculus, ratio: Number, difference: Number) -> Number:
    """The logarithm of a ratio that is also given as 1 + difference."""
    near = m.math("log1p", at_least(m, difference, -0.5))
    return m.select(difference < -0.5, m.math("log", ratio), near)


def _growth(m: Calculus, a: Number, x: Number) -> Number:
    """log x − ψ(a)."""
    high = m.select(a < FAR, a + FAR, a)
    total = log_of_ratio(m, x / high, (x - high) / high) + digamma_tail(high)
    for k in range(int(FAR)):
        total = m.select(a < FAR, total + 1.0 / (a + float(k)), total)
    return total


def _ends(m: Calculus, a: Number, x: Number, value: Number, at_zero: float | None) -> Number:
    """With the values at the ends of the ranges; of a derivative, 0."""
    first, last = (0.0, 0.0) if at_zero is None else (at_zero, 1.0 - at_zero)
    value = m.select(m.equal(x, 0.0), first, value)
    value = m.select(m.equal(a, math.inf), first, value)
    value = m.select(m.equal(x, math.inf) | m.equal(a, 0.0), last, value)
    same = m.equal(a, x) & (m.equal(a, 0.0) | m.equal(a, math.inf))
    return m.select(same, math.nan, m.select((a >= 0.0) & (x >= 0.0), value, math.nan))
