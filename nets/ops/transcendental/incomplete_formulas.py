"""The formulas of the incomplete gamma functions, P(a, x) and Q(a, x) = 1 − P(a, x).

Up to a = 40, and for larger a where x/a is not between ½ and 3/2: the power series of P for x below
a + 1, and the continued fraction of Q beyond (Abramowitz and Stegun, "Handbook of Mathematical
Functions", 1964, 6.5.29 and 6.5.31), in as many steps as these regions need. Else
the uniform expansion of N. M. Temme, "The asymptotic expansion of the incomplete gamma functions",
1979. Q of a below 1 takes the power series without its first term, which is near 1.
"""

from __future__ import annotations

import math
from typing import Final

from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most, polynomial
from nets.ops.transcendental.error_formulas import erfcx
from nets.ops.transcendental.gamma_formulas import gammaln, gammaln_of_next, stirling
from nets.ops.transcendental.incomplete_numbers import TEMME

_LARGE: Final = 40.0
_STEPS: Final = 72
_SMALL_STEPS: Final = 22
_ATANH: Final = tuple(2.0 / (2 * k + 3) for k in range(14))


def excess_of(m: Calculus, ratio: Number, difference: Number) -> Number:
    """μ − log(1 + μ) for μ = ratio − 1, which is also given as ``difference``."""
    near = m.unary("abs", difference) < 0.5
    mu = m.select(near, difference, 0.0)
    u = mu / (2.0 + mu)
    square = u * u
    small = mu * u - u * square * polynomial(square, _ATANH)
    return m.select(near, small, difference - m.math("log", ratio))


def _factor(m: Calculus, a: Number, x: Number, excess: Number) -> Number:
    """xᵃ · e**−x / Γ(a + 1)."""
    large = at_least(m, a, 8.0)
    far = -(a * excess) - stirling(large)
    far = m.math("exp", far) / m.unary("sqrt", 2.0 * math.pi * large)
    small = at_most(m, a, 8.0)
    near = m.math("exp", small * m.math("log", x) - x - gammaln(m, small + 1.0))
    return m.select(a > 8.0, far, near)


def _series(m: Calculus, a: Number, x: Number) -> Number:
    """P over the factor: 1 + x/(a+1) + x²/((a+1)(a+2)) + …, by its nested form from the end."""

    def step(k: Number, total: Number) -> Number:
        return 1.0 + total * (x / (a + k))

    return m.count_down(_STEPS, step, 1.0 + 0.0 * x)


def _fraction(m: Calculus, a: Number, x: Number) -> Number:
    """Q over a times the factor: 1/(x+1−a − 1·(1−a)/(x+3−a − …)), from the end."""

    def step(k: Number, rest: Number) -> Number:
        return (k * (k - a)) / ((x + (2.0 * k + 1.0) - a) - rest)

    return 1.0 / ((x + 1.0 - a) - m.count_down(_STEPS, step, 0.0 * x))


def _small_order(m: Calculus, a: Number, x: Number) -> Number:
    """Q for a < 1 and x ≤ 1.5: 1 − eᵘ · (1 + a·T), T the sum of (−x)ⁿ / (n! · (a + n))."""

    def step(n: Number, total: Number) -> Number:
        return (1.0 / (a + n) + total) * (-x / n)

    total = m.count_down(_SMALL_STEPS, step, 0.0 * x)
    u = a * m.math("log", x) - gammaln_of_next(m, a)
    return -m.math("expm1", u) - m.math("exp", u) * (a * total)


def _expansion(m: Calculus, a: Number, excess: Number, above: Number) -> tuple[Number, Number]:
    """P and Q of large a."""
    size = m.unary("sqrt", 2.0 * at_least(m, excess, 0.0))
    eta = m.select(above, size, -size)
    inverse = 1.0 / a
    total = polynomial(eta, TEMME[-1])
    for row in reversed(TEMME[:-1]):
        total = total * inverse + polynomial(eta, row)
    power = m.math("exp", -(a * excess))
    rest = power * total / m.unary("sqrt", 2.0 * math.pi * a)
    tail = 0.5 * power * erfcx(m, m.unary("sqrt", a * at_least(m, excess, 0.0)))
    return m.select(above, 1.0 - tail, tail) - rest, m.select(above, tail, 1.0 - tail) + rest


def _both(m: Calculus, a: Number, x: Number) -> tuple[Number, Number]:
    """P and Q for a > 0 and 0 ≤ x; NaN elsewhere."""
    difference = (x - a) / a
    excess = excess_of(m, x / a, difference)
    uniform = (a > _LARGE) & (m.unary("abs", difference) < 0.5)
    above = x > a + 1.0
    above = above & (x > 1.5)
    factor = _factor(m, a, x, excess)
    lower = factor * _series(m, a, m.select(above, 0.5 * a, x))
    upper = factor * a * _fraction(m, a, m.select(above, x, 2.0 * a + 3.0))
    p, q = m.select(above, 1.0 - upper, lower), m.select(above, upper, 1.0 - lower)
    small = _small_order(m, at_most(m, a, 1.0), at_most(m, x, 1.5))
    q = m.select((a < 1.0) & (x <= 1.5), small, q)
    usual = m.select(uniform, a, _LARGE)
    far_p, far_q = _expansion(m, usual, m.select(uniform, excess, 0.0), difference > 0.0)
    p, q = m.select(uniform, far_p, p), m.select(uniform, far_q, q)
    return _ends(m, a, x, p, 0.0), _ends(m, a, x, q, 1.0)


def _ends(m: Calculus, a: Number, x: Number, value: Number, at_zero: float) -> Number:
    value = m.select(m.equal(x, 0.0), at_zero, value)
    value = m.select(m.equal(a, math.inf), at_zero, value)
    value = m.select(m.equal(x, math.inf) | m.equal(a, 0.0), 1.0 - at_zero, value)
    same = m.equal(a, x) & (m.equal(a, 0.0) | m.equal(a, math.inf))
    return m.select(same, math.nan, m.select((a >= 0.0) & (x >= 0.0), value, math.nan))


def gammainc(m: Calculus, a: Number, x: Number) -> Number:
    return _both(m, a, x)[0]


def gammaincc(m: Calculus, a: Number, x: Number) -> Number:
    return _both(m, a, x)[1]
