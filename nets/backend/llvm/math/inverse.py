"""arcsin, arccos, arctan and arctan2.

arcsin s = s + s³ · P(s²) up to ½; beyond, it is π/2 − 2 · arcsin √((1 − |x|) / 2), and arccos comes
of the same numbers (Cody and Waite, "Software Manual for the Elementary Functions", 1980). The
rounding error of the root joins the small terms.

An arctangent is that of a quotient a/d with 0 ≤ a ≤ d, after an exchange, which leaves the angle to
π/2, or a change of sign, which leaves that to π. From tan π/12 on, a/d is replaced by
(a − c·d) / (d + c·a), whose arctangent is less by that of c. What is left is t + t³ · P(t²) with
|t| ≤ tan π/12, added to a constant of two parts. c has few digits, so that each of the numerator
and the denominator is rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN
from nets.backend.llvm.math.pairs import root, sum_by_size
from nets.backend.llvm.math.tables import lookup


@dataclass(frozen=True, slots=True)
class _Constants:
    half_pi: tuple[float, float]
    pi: tuple[float, float]
    arcsine: tuple[float, ...]
    """arcsin s = s + s³ · P(s²) for |s| ≤ ½."""
    arctangent: tuple[float, ...]
    """arctan t = t + t³ · P(t²) for |t| ≤ 0.2705."""
    angles: tuple[tuple[float, ...], tuple[float, ...]]
    """What t is added to or taken from, in two parts: with 4, beyond tan π/12; with 2, for the
    complement to π/2; with 1, for that to π."""
    small: float
    large: float
    """A denominator outside of these is scaled."""


_FAR: Final = 0.2679
"""About tan π/12."""
_SHIFT: Final = 0.578125
"""c, which is near to tan π/6."""

_CONSTANTS: Final = {
    F32: _Constants(
        half_pi=(1.5707963705062866, -4.371138828673793e-08),
        pi=(3.1415927410125732, -8.742277657347586e-08),
        arcsine=(
            0.16666752099990845,
            0.074953094124794,
            0.045469172298908234,
            0.02418452315032482,
            0.042158979922533035,
        ),
        arctangent=(
            -0.33333316445350647,
            0.1999778151512146,
            -0.1419454962015152,
            0.09610110521316528,
        ),
        angles=(
            (
                0.0,
                3.1415927410125732,
                1.5707963705062866,
                1.5707963705062866,
                0.5241796374320984,
                2.61741304397583,
                1.0466166734695435,
                2.0949759483337402,
            ),
            (
                0.0,
                -8.742277657347586e-08,
                -4.371138828673793e-08,
                -4.371138828673793e-08,
                -8.649185367914924e-09,
                -1.9168950871062407e-08,
                2.454243919203236e-08,
                7.244069788470142e-09,
            ),
        ),
        small=2.0**-60,
        large=2.0**100,
    ),
    F64: _Constants(
        half_pi=(1.5707963267948966, 6.123233995736766e-17),
        pi=(3.141592653589793, 1.2246467991473532e-16),
        arcsine=(
            0.16666666666665417,
            0.07500000000335606,
            0.04464285682927027,
            0.03038195910407022,
            0.022371758740749464,
            0.017359695430002174,
            0.013885319616315782,
            0.01216870036271027,
            0.006530043449872885,
            0.019522926244054366,
            -0.016216295770013323,
            0.03190706139652664,
        ),
        arctangent=(
            -0.3333333333333328,
            0.19999999999971302,
            -0.1428571428024955,
            0.11111110600797593,
            -0.09090882090731554,
            0.07691442150881857,
            -0.0664946914011682,
            0.056738492810392886,
            -0.038214331497548874,
        ),
        angles=(
            (
                0.0,
                3.141592653589793,
                1.5707963267948966,
                1.5707963267948966,
                0.5241796287829132,
                2.61741302480688,
                1.0466166980119833,
                2.09497595557781,
            ),
            (
                0.0,
                1.2246467991473532e-16,
                6.123233995736766e-17,
                6.123233995736766e-17,
                5.520094119641666e-18,
                -1.0510001912993765e-16,
                5.5712245837726e-17,
                -1.5529217084802198e-16,
            ),
        ),
        small=2.0**-500,
        large=2.0**1000,
    ),
}


def _arcsine_parts(b: Body, x: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Whether |x| > ½; s = |x| or √((1 − |x|) / 2); what the root leaves out; and s³ · P(s²)."""
    a = b.abs(x)
    far = a > 0.5
    z = b.select(far, 0.5 - a * 0.5, a * a)
    s, s_low = root(b, z)
    s = b.select(far, s, a)
    return far, s, s_low, s * z * b.polynomial(z, _CONSTANTS[b.form].arcsine, z * z)


def arcsin(b: Body, x: Lanes) -> Lanes:
    """The arcsine, from −π/2 to π/2; NaN beyond ±1."""
    far, s, s_low, cubic = _arcsine_parts(b, x)
    quarter, quarter_low = _CONSTANTS[b.form].half_pi
    twice = s + s
    y, y_low = sum_by_size(b.number(quarter), -twice)
    rest = (s_low + cubic) * 2.0
    beyond = y + (y_low + (quarter_low - rest))
    y = b.with_sign(b.select(far, beyond, s + cubic), x)
    return b.select(b.abs(x) <= 1.0, y, NAN)


def arccos(b: Body, x: Lanes) -> Lanes:
    """The arccosine, from 0 to π; NaN beyond ±1."""
    c = _CONSTANTS[b.form]
    far, s, s_low, cubic = _arcsine_parts(b, x)
    start, start_low = (
        b.select(far, b.select(x < 0.0, half_turn, b.number(0.0)), quarter)
        for half_turn, quarter in zip(c.pi, c.half_pi, strict=True)
    )
    twice, rest = b.select(far, s + s, s), b.select(far, (s_low + cubic) * 2.0, cubic)
    # From π/2 what has the sign of x is taken; to 0 or π, what has the other.
    sign = (b.bits(x) & b.form.sign_bit) ^ b.select(far, b.bits(b.number(-0.0)), 0)
    twice, rest = (b.from_bits(b.bits(part) ^ sign) for part in (twice, rest))
    y, y_low = sum_by_size(start, -twice)
    return b.select(b.abs(x) <= 1.0, y + (y_low + (start_low - rest)), NAN)


def _angle(b: Body, t: Lanes, start: Lanes, start_low: Lanes) -> Lanes:
    """start + start_low + arctan t."""
    z = t * t
    cubic = t * z
    return start + (t + b.fma(cubic, b.polynomial(z, _CONSTANTS[b.form].arctangent), start_low))


def _quotient(b: Body, a: Lanes, d: Lanes) -> tuple[Lanes, Lanes]:
    """Whether a/d, at most 1, is beyond tan π/12; and t, the tangent of what is left."""
    far = a > d * _FAR
    top = b.select(far, b.fused(-_SHIFT, d, a), a)
    return far, top / b.select(far, b.fused(_SHIFT, a, d), d)


def _chosen(b: Body, far: Lanes, swapped: Lanes, numbers: Sequence[float]) -> Lanes:
    """Of the angles for a positive denominator."""
    usual = b.select(swapped, numbers[2], b.number(numbers[0]))
    return b.select(far, b.select(swapped, numbers[6], b.number(numbers[4])), usual)


def arctan(b: Body, x: Lanes) -> Lanes:
    """The arctangent, from −π/2 to π/2."""
    a = b.abs(x)
    swapped = a > 1.0
    far, t = _quotient(b, b.select(swapped, 1.0, a), b.select(swapped, a, 1.0))
    start, start_low = (_chosen(b, far, swapped, numbers) for numbers in _CONSTANTS[b.form].angles)
    return b.with_sign(_angle(b, b.select(swapped, -t, t), start, start_low), x)


def _scaled(b: Body, a: Lanes, d: Lanes) -> tuple[Lanes, Lanes]:
    """Both times a power of two, by which a subnormal number becomes a normal one, and a sum stays
    finite. What a loses there is nothing beside d."""
    c = _CONSTANTS[b.form]
    up, down = 2.0**20 / c.small, 2.0**-20
    factor = b.select(d < c.small, up, b.select(d > c.large, down, b.number(1.0)))
    return a * factor, d * factor


def arctan2(b: Body, y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y), from −π to π, with the special cases of C (Annex F)."""
    ax, ay = b.abs(x), b.abs(y)
    swapped = ay > ax
    a, d = b.select(swapped, ax, ay), b.select(swapped, ay, ax)
    # The angle of two infinities is that of two ones, and of two zeros that of 0 and 1.
    a = b.select(a.equals(INFINITY), 1.0, a)
    d = b.select(d.equals(0.0), 1.0, b.select(ax.equals(ay) & d.equals(INFINITY), 1.0, d))
    far, t = _quotient(b, *_scaled(b, a, d))
    negative = b.bits(x) < 0
    one, two, four = (Lanes(b, "integer", b.operand(n, "integer")) for n in (1, 2, 4))
    place = b.select(far, four, 0) | b.select(swapped, two, 0) | b.select(negative, one, 0)
    start, start_low = (lookup(b, numbers, place) for numbers in _CONSTANTS[b.form].angles)
    angle = _angle(b, b.select(swapped ^ negative, -t, t), start, start_low)
    return b.select(x.is_nan() | y.is_nan(), NAN, b.with_sign(angle, y))
