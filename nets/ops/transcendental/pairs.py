"""Pairs: numbers as sums of two, which have twice the digits (T. J. Dekker, "A floating-point
technique for extending the available precision", 1971).

Formulas take them where a power magnifies what rounding leaves out. No product may overflow, and
no factor be beyond 10²⁹⁰.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from nets.ops.transcendental.calculus import Calculus, Number, halves, polynomial

Pair = tuple[Number, Number]

HALF_OVER_PI: Final = (0.15915494309189535, -9.839338337591243e-18)
"""1 / 2π."""

_LN2: Final = (0.6931471805599453, 2.3190468138462996e-17)


def _fraction(value: Fraction) -> tuple[float, float]:
    high = float(value)
    return high, float(value - Fraction(high))


_FIRST: Final = tuple(_fraction(Fraction(2, 2 * k + 3)) for k in range(3))
_REST: Final = tuple(2.0 / (2 * k + 3) for k in range(3, 14))
"""2/3, 2/5, …: what the logarithm of (1 + u)/(1 − u) has beside 2·u."""


def _ordered(x: Number, y: Number) -> Pair:
    """x + y, where x is the larger one."""
    total = x + y
    return total, y - (total - x)


def plus(x: Number, y: Number) -> Pair:
    """x + y without rounding."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def times(x: Number, y: Number) -> Pair:
    """x · y without rounding."""
    product = x * y
    (a, b), (c, d) = halves(x), halves(y)
    return product, ((a * c - product) + a * d + b * c) + b * d


def add(x: Pair, y: Pair) -> Pair:
    total, rest = plus(x[0], y[0])
    return _ordered(total, rest + (x[1] + y[1]))


def negate(x: Pair) -> Pair:
    return -x[0], -x[1]


def multiply(x: Pair, y: Pair) -> Pair:
    product, rest = times(x[0], y[0])
    return _ordered(product, rest + (x[0] * y[1] + x[1] * y[0]))


def divide(x: Pair, y: Pair) -> Pair:
    ratio = x[0] / y[0]
    product, rest = times(ratio, y[0])
    left = ((x[0] - product) - rest) + (x[1] - ratio * y[1])
    return _ordered(ratio, left / y[0])


def select(m: Calculus, condition: Number, x: Pair, y: Pair) -> Pair:
    return m.select(condition, x[0], y[0]), m.select(condition, x[1], y[1])


def root(m: Calculus, x: Pair) -> Pair:
    """√x for x > 0."""
    found = m.unary("sqrt", x[0])
    square, rest = times(found, found)
    return _ordered(found, (((x[0] - square) - rest) + x[1]) / (2.0 * found))


def power_times(m: Calculus, x: Pair, y: Pair) -> Number:
    """e**x · y."""
    return m.math("exp", x[0]) * (y[0] + (y[1] + y[0] * x[1]))


def _scaled(m: Calculus, x: Pair) -> tuple[Number, Pair]:
    """n and x · 2**−n, which is between 0.7 and 1.45."""
    n = m.unary("round", m.math("log", x[0]) * (1.0 / math.log(2.0)))
    n = m.select((x[0] > 0.7) & (x[0] < 1.45), 0.0, n)
    half = m.unary("floor", 0.5 * n)
    first, second = m.math("exp2", -half), m.math("exp2", half - n)
    return n, ((x[0] * first) * second, (x[1] * first) * second)


def logarithm(m: Calculus, ratio: Pair, d: Pair) -> tuple[Pair, Pair]:
    """log(1 + d) and d − log(1 + d) for d > −1, each with its own digits: 2·artanh(d / (2 + d)).

    The ratio is 1 + d with the digits that it has where it is small."""
    n, x = _scaled(m, ratio)
    moved = m.equal(n, 0.0)
    top = select(m, moved, d, add((-1.0, 0.0), x))
    u = divide(top, add((1.0, 0.0), x))
    square = multiply(u, u)
    series = polynomial(square[0], _REST), 0.0
    for number in reversed(_FIRST):
        series = add(number, multiply(square, series))
    cubic = multiply(multiply(u, square), series)
    whole = multiply((n, 0.0), _LN2)
    found = add(whole, add((2.0 * u[0], 2.0 * u[1]), cubic))
    near = add(multiply(d, u), negate(cubic))
    return found, select(m, moved, near, add(d, negate(found)))
