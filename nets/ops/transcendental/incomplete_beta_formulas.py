"""The formula of the incomplete beta function.

A continued fraction of A. R. DiDonato and A. H. Morris, "Algorithm 708: significant digit
computation of the incomplete beta function ratios", 1992, on the side where that is small, in as
many steps as the smaller of the two numbers asks for.
"""

from __future__ import annotations

import math
from typing import Final

from nets.ops.transcendental.beta_formulas import FAR, betaln, remainders
from nets.ops.transcendental.calculus import Calculus, Number
from nets.ops.transcendental.incomplete_formulas import excess_of

_STEPS: Final = 100.0
_ROOTS: Final = 3.0
"""Steps that are enough: so many, and so many for each unit of the smaller number's root."""
_MOST: Final = 1e7
"""Where both numbers are larger, steps would be too many."""


def _front(m: Calculus, a: Number, b: Number, x: Number, y: Number, logs: Number) -> Number:
    """xᵃ · yᵇ / B(a, b), where logs is the logarithm of xᵃ · yᵇ."""
    near = m.math("exp", logs - betaln(m, a, b))
    rest = b * x - a * y
    size = a * excess_of(m, x * (a + b) / a, rest / a)
    size = size + b * excess_of(m, y * (a + b) / b, -rest / b)
    root = m.unary("sqrt", (a / (a + b)) * b * (0.5 / math.pi))
    far = root * m.math("exp", -size - remainders(m, a, b))
    return m.select((a >= FAR) & (b >= FAR), far, near)


def _fraction(m: Calculus, a: Number, b: Number, x: Number, y: Number, steps: Number) -> Number:
    """b₀ + a₁/(b₁ + a₂/(b₂ + …)), from the end, which comes after so many steps."""
    excess = a * y - b * x

    def step(n: Number, rest: Number) -> Number:
        below = 1.0 / (a + (2.0 * n - 1.0))
        pull = n * (b - n) * x * below
        own = ((a + n) / (a + (2.0 * n + 1.0))) * (excess + 1.0 + n * (2.0 - x))
        factor = (a + (n - 1.0)) * x * below * (a + b + (n - 1.0))
        return m.select(n <= steps, pull * factor / (n + pull + own + rest), 0.0)

    return a / (a + 1.0) * (excess + 1.0) + m.count_down(steps, step, 0.0 * x)


def betainc(m: Calculus, a: Number, b: Number, x: Number) -> Number:
    """NaN unless a, b ≥ 0 and 0 ≤ x ≤ 1, where a and b are both 0 or both inf, and where both are
    beyond 10⁷."""
    y = 1.0 - x
    log_x, log_y = m.math("log", x), m.math("log1p", -x)
    swapped = x * (a + b + 2.0) > a + 1.0
    first, second = m.select(swapped, b, a), m.select(swapped, a, b)
    part, other = m.select(swapped, y, x), m.select(swapped, x, y)
    front = _front(m, first, second, part, other, a * log_x + b * log_y)
    least = m.select(a < b, a, b)
    inside = (least >= 0.0) & (least <= _MOST)
    steps = m.unary("floor", _STEPS + _ROOTS * m.unary("sqrt", m.select(inside, least, 0.0)))
    found = front / _fraction(m, first, second, part, other, steps)
    found = m.select(swapped, 1.0 - found, found)
    found = m.select(inside, found, math.nan)
    return _ends(m, a, b, x, found)


def _ends(m: Calculus, a: Number, b: Number, x: Number, found: Number) -> Number:
    """With the values at the ends of the ranges."""
    at_zero = m.equal(a, 0.0) | m.equal(b, math.inf)
    at_one = m.equal(b, 0.0) | m.equal(a, math.inf)
    found = m.select(at_zero, 1.0, m.select(at_one, 0.0, found))
    found = m.select(m.equal(x, 0.0), 0.0, m.select(m.equal(x, 1.0), 1.0, found))
    inside = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0)
    found = m.select(inside, found, math.nan)
    same = m.equal(a, b) & (at_zero & at_one)
    return m.select(same, math.nan, found)
