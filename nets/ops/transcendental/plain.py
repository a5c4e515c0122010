"""What ``pairs`` has, for numbers of float64 alone, whose other part is 0.

That is enough where the result is rounded to float32.
"""

from __future__ import annotations

from nets.ops.transcendental.calculus import Calculus, Number, at_least, at_most, polynomial

Pair = tuple[Number, Number]

_ATANH = tuple(2.0 / (2 * k + 3) for k in range(10))


def plus(x: Number, y: Number) -> Pair:
    return x + y, 0.0


def times(x: Number, y: Number) -> Pair:
    return x * y, 0.0


def add(x: Pair, y: Pair) -> Pair:
    return x[0] + y[0], 0.0


def negate(x: Pair) -> Pair:
    return -x[0], 0.0


def multiply(x: Pair, y: Pair) -> Pair:
    return x[0] * y[0], 0.0


def divide(x: Pair, y: Pair) -> Pair:
    return x[0] / y[0], 0.0


def select(m: Calculus, condition: Number, x: Pair, y: Pair) -> Pair:
    return m.select(condition, x[0], y[0]), 0.0


def root(m: Calculus, x: Pair) -> Pair:
    return m.unary("sqrt", x[0]), 0.0


def power_times(m: Calculus, x: Pair, y: Pair) -> Number:
    """e**x · y."""
    return m.math("exp", x[0]) * y[0]


def logarithm(m: Calculus, ratio: Pair, d: Pair) -> tuple[Pair, Pair]:
    """log(1 + d) and d − log(1 + d) for d > −1; the ratio is 1 + d."""
    near = at_most(m, at_least(m, d[0], -0.5), 0.5)
    u = near / (2.0 + near)
    square = u * u
    cubic = u * square * polynomial(square, _ATANH)
    is_near = m.equal(near, d[0])
    log = m.select(is_near, 2.0 * u + cubic, m.math("log", ratio[0]))
    return (log, 0.0), (m.select(is_near, near * u - cubic, d[0] - log), 0.0)
