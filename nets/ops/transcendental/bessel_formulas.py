"""The formulas of the modified Bessel functions of order 0 and 1, divided by e**|x|.

Up to 7.75 the power series, shortened to a minimax polynomial in x²/4; beyond, √x times the
function is one in 1/x, in two pieces (Abramowitz and Stegun, "Handbook of Mathematical Functions",
1964, 9.6 and 9.7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nets.ops.transcendental.bessel_numbers import FAR, MIDDLE, NEAR
from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most, halves, polynomial

_END: Final = 7.75
_FAR: Final = 32.0


def _beyond(m: Calculus, a: Number, middle: Sequence[float], far: Sequence[float]) -> Number:
    v = 1.0 / at_least(m, a, _END)
    first = polynomial((v - 0.08014112903225806) * (1.0 / 0.04889112903225806), middle)
    second = polynomial((v - 0.015625) * 64.0, far)
    return m.select(a < _FAR, first, second) / m.unary("sqrt", a)


def _near(m: Calculus, a: Number, order: int) -> Number:
    """Σ z**k · order! / (k! (k + order)!) of z = a²/4, for a ≤ 7.75."""
    inside = at_most(m, a, _END)
    z = inside * inside * 0.25
    found = 1.0 + z * polynomial(z, NEAR[order])
    # What rounding leaves of z counts a/2 times. The logarithm's slope by z is about 2 / (1 + a).
    high, low = halves(inside)
    rest = ((high * high * 0.25 - z) + high * low * 0.5) + low * low * 0.25
    return found + found * (2.0 * rest / (1.0 + inside))


def _power(m: Calculus, a: Number, sign: float) -> Number:
    """e**(sign · a) for a ≤ 7.75."""
    return m.math("exp", sign * at_most(m, a, _END))


def i0e(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    near = _near(m, a, 0) * _power(m, a, -1.0)
    return m.select(a > _END, _beyond(m, a, MIDDLE[0], FAR[0]), near)


def i1e(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    near = 0.5 * a * _near(m, a, 1) * _power(m, a, -1.0)
    size = m.select(a > _END, _beyond(m, a, MIDDLE[1], FAR[1]), near)
    return _signed(m, x, size)


def _signed(m: Calculus, x: Number, size: Number) -> Number:
    return m.select(x < 0.0, -size, m.select(m.equal(x, 0.0), x, size))


def _grown(m: Calculus, a: Number, scaled: Number, near: Number) -> Number:
    """scaled · e**a without overflow of the power; near, up to 7.75."""
    huge = a > 700.0
    power = m.math("exp", m.select(huge, at_most(m, a, 715.0) - 8.0, a))
    grown = power * m.select(huge, math.exp(8.0) * scaled, scaled)
    far = m.select(a > 715.0, math.inf, grown)
    return m.select(a > _END, far, near)


def i0(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    return _grown(m, a, _beyond(m, a, MIDDLE[0], FAR[0]), _near(m, a, 0))


def i1(m: Calculus, x: Number) -> Number:
    a = m.unary("abs", x)
    size = _grown(m, a, _beyond(m, a, MIDDLE[1], FAR[1]), 0.5 * a * _near(m, a, 1))
    return _signed(m, x, size)
