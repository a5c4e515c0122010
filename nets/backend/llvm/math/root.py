"""cbrt and hypot: roots whose result is corrected by what its power leaves of the argument."""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN
from nets.backend.llvm.math.logarithm import split
from nets.backend.llvm.math.pairs import product, root, sum_by_size

_INVERSE_CUBE_ROOT: Final = {
    F32: (1.730711817741394, -1.2857344150543213, 0.7133432030677795, -0.15854142606258392),
    F64: (
        1.8745197306779253,
        -1.8618309870903382,
        1.561302893144327,
        -0.7023837266800723,
        0.128368624093453,
    ),
}
"""m**−⅓ for √½ ≤ m < √2, to 12 and to 14 bits."""

_TWO_ROOT: Final = {F32: 1.2599210739135742, F64: 1.2599210498948732}
_HALF_ROOT: Final = {F32: 0.7937005162239075, F64: 0.7937005259840998}
"""The cube roots of 2 and of ½."""


def cbrt(b: Body, x: Lanes) -> Lanes:
    """The cube root, of a negative number, too.

    |x| = 2**3k · m with m between ⅓ and 3. r is m**−⅓ by a polynomial; with 1 − m·r³ = e, the root
    is m·r² · (1 + ⅔·e + 5/9·e² + 40/81·e³ + …). One step of Newton's method takes the rest away.
    """
    a = b.abs(x)
    e, m = split(b, a)
    n, biased = b.round(e, 1.0 / 3.0)
    j = e - n * 3.0
    down, up = j < 0.0, j > 0.0
    r = b.polynomial(m, _INVERSE_CUBE_ROOT[b.form])
    r = r * b.select(down, _TWO_ROOT[b.form], b.select(up, _HALF_ROOT[b.form], b.number(1.0)))
    m = m * b.select(down, 0.5, b.select(up, 2.0, b.number(1.0)))
    square = r * r
    y = m * square
    e = b.fused(-y, r, 1.0)
    y = b.fma(y * e, b.polynomial(e, (2.0 / 3.0, 5.0 / 9.0, 40.0 / 81.0)), y)
    whole, whole_low = product(b, y, y)
    rest = b.fused(-whole, y, m) - whole_low * y
    y = b.fma(rest, square * (1.0 / 3.0), y)
    scaled = b.from_bits(b.bits(y) + (biased << b.form.mantissa))
    inside = b.select((a > 0.0) & (a < INFINITY), scaled, a + a)
    return b.with_sign(inside, x)


_LARGE: Final = 2.0**500


def hypot(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """√(x² + y²) without overflow on the way; infinite where either is, even beside NaN."""
    ax, ay = b.abs(x), b.abs(y)
    if b.form is F32:
        wide = b.widened()
        first, second = wide.widen(ax), wide.widen(ay)
        result = b.narrow(wide.sqrt(first * first + second * second))
    else:
        result = _long_hypot(b, ax, ay)
    result = b.select(x.is_nan() | y.is_nan(), NAN, result)
    return b.select(ax.equals(INFINITY) | ay.equals(INFINITY), INFINITY, result)


def _long_hypot(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """The root of a sum that is carried as a pair, of numbers brought to where squares are normal.

    What the smaller one loses there is nothing beside the larger one.
    """
    swapped = y > x
    a, d = b.select(swapped, y, x), b.select(swapped, x, y)
    small, large = a < 1.0 / _LARGE, a > _LARGE
    up, down = 2.0**600, 2.0**-600
    factor = b.select(small, up, b.select(large, down, b.number(1.0)))
    back = b.select(small, down, b.select(large, up, b.number(1.0)))
    (first, first_low), (second, second_low) = (
        product(b, part, part) for part in (a * factor, d * factor)
    )
    total, total_low = sum_by_size(first, second)
    s, s_low = root(b, total, total_low + (first_low + second_low))
    return (s + s_low) * back
