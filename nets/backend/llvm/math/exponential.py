"""exp, expm1, sigmoid, tanh and erf: everything that leans on 2**n · e**r.

x = n · ln 2 + r with |r| ≤ ln 2 / 2, where ln 2 is split in two so that n · hi is exact (Cody and
Waite, "Software Manual for the Elementary Functions", 1980); then e**r − 1 = r + r² · P(r). All
polynomials are minimax fits (Remez exchange) for the weight of the result they enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math import piecewise
from nets.backend.llvm.math.body import F32, F64, Body, Format, Lanes

LOG2_E: Final = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class _Constants:
    """What the formulas of this family need to know about a format."""

    ln2_hi: float
    ln2_lo: float
    steps: int
    """e**x takes 2**(i/steps) for 0 ≤ i < steps from a table."""
    short: tuple[float, ...]
    """P of e**r − 1 = r + r² · P(r) for |r| ≤ ln 2 / (2 · steps)."""
    expm1: tuple[float, ...]
    """The same for |r| ≤ ln 2 / 2."""
    overflow: float
    """e**x is infinite from here on, and n stays in the range that scaling by halves covers."""
    underflow: float
    """e**x is zero up to here."""
    one: float
    """tanh and erf are ±1, expm1 is −1, beyond this magnitude (rounded to the format)."""
    tiny: float
    """expm1(x) is x below this magnitude."""


_EXPM1_F32: Final = (
    0.4999999403953552,
    0.1666651964187622,
    0.04166839271783829,
    0.0083687799051404,
    0.0013814480043947697,
)

_ROOTS: Final = (
    1.0,
    1.0442737824274138,
    1.0905077326652577,
    1.1387886347566916,
    1.189207115002721,
    1.241857812073484,
    1.2968395546510096,
    1.3542555469368927,
    1.4142135623730951,
    1.4768261459394993,
    1.5422108254079407,
    1.6104903319492543,
    1.681792830507429,
    1.7562521603732995,
    1.8340080864093424,
    1.9152065613971474,
)
"""2**(i/16)."""

_ROOTS_LOW: Final = (
    0.0,
    8.551889705537965e-17,
    -3.046782079812471e-17,
    8.912812676025408e-17,
    3.982015231465646e-17,
    4.658027591836937e-17,
    2.5382502794888315e-17,
    7.70094837980299e-17,
    -9.667293313452913e-17,
    -3.483994556892796e-17,
    7.949834809697621e-17,
    2.4707192569797888e-17,
    8.199010020581497e-17,
    2.960140695448873e-17,
    3.283107224245627e-17,
    -1.0619946056195963e-16,
)
"""What 2**(i/16) has beyond that."""

_ROUGH: Final = (
    0.5000000000000004,
    0.16666666664364316,
    0.041666666660737456,
    0.008333473254431545,
    0.0013889110389919497,
)
"""P of e**r − 1 = r + r² · P(r) for |r| ≤ ln 2 / 32, to 2**−56."""

_CONSTANTS: Final = {
    F32: _Constants(
        ln2_hi=0.693145751953125,
        ln2_lo=1.42860677e-6,
        steps=1,
        short=_EXPM1_F32,
        expm1=_EXPM1_F32,
        overflow=89.0,
        underflow=-104.0,
        one=20.0,
        tiny=2.0**-26,
    ),
    F64: _Constants(
        ln2_hi=0.693147180369123816490,
        ln2_lo=1.90821492927058770002e-10,
        steps=16,
        short=(
            0.5000000000000004,
            0.16666666666666674,
            0.041666666660737456,
            0.008333333332524673,
            0.0013889110389919497,
            0.00019841537197069024,
        ),
        expm1=(
            0.5000000000000006,
            0.16666666666666588,
            0.041666666666576105,
            0.008333333333389962,
            0.0013888888931795124,
            0.00019841269718334862,
            2.480150497875421e-05,
            2.755740787220888e-06,
            2.7626161466840057e-07,
            2.5053773947375092e-08,
        ),
        overflow=710.0,
        underflow=-746.0,
        one=40.0,
        tiny=2.0**-55,
    ),
}

_ERF_SPLIT: Final = 1.0
_ERF_ONE: Final = 6.0
"""erf is 1 beyond."""

_ERF: Final = (
    0.12837916709551256,
    -0.37612638903183343,
    0.1128379167093695,
    -0.026866170641959137,
    0.005223977596735819,
    -0.000854832548499245,
    0.00012055280496207385,
    -1.4924465627053187e-05,
    1.644415030627251e-06,
    -1.6183987969728378e-07,
    1.3616678591400998e-08,
    -7.607757508239384e-10,
)
"""erf(x) = x + x · P(x²) below the split, for f64."""

_LOG_ERFC: Final = (
    -1.8496055099332482,
    -2.6389675142347953,
    -0.8431072563582557,
    -0.04156109805159202,
    0.010033825491434268,
    -0.00197790340101647,
    0.00023732632891646082,
    2.6265686004895596e-05,
    -2.7131598592807773e-05,
    9.563484430404897e-06,
    -2.0039868061051862e-06,
    9.13445640266788e-08,
    1.33504637928678e-07,
    -7.095930590187913e-08,
    2.2355288201301592e-08,
    -5.014512608301986e-09,
    8.101326745018879e-10,
    -8.983933257504451e-11,
    6.108758563250267e-12,
    -1.9121686048857622e-13,
)
"""ln erfc(x) = P(x − split) between split and one, for f64."""

_NEAR_INVERSE: Final = 0.957
"""1 / (1 + e) is this minus e / 2 for 0 ≤ e ≤ 1, but for 0.043."""

_TANH_SPLIT: Final = 0.625
_TANH: Final = (
    (-0.33333333333333326, -0.020496785863995396, -0.00019908889901771288),
    (1.0, 0.4614903575919711, 0.02328864782933863, 0.00020643827086268426),
)
"""tanh(x) = x + x³ · P(x²) / Q(x²) below the split, for f64."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """2**⌊n⌋, with ``steps`` · n as biased bits, too."""

    n: Lanes
    biased: Lanes


def _reduce(b: Body, x: Lanes, series: Sequence[float]) -> tuple[_Scale, Lanes]:
    """n, a multiple of 1/steps, and expm1(r) = r + r² · P(r), for x = n · ln 2 + r."""
    c = _CONSTANTS[b.form]
    n, biased = b.round(x, c.steps * LOG2_E)
    r = b.fma(n, -c.ln2_lo / c.steps, b.fma(n, -c.ln2_hi / c.steps, x))
    t = b.fma(r * r, b.polynomial(r, series), r)
    return _Scale(n if c.steps == 1 else n * (1 / c.steps), biased), t


def _exp(b: Body, x: Lanes) -> Lanes:
    """e**x for x at which neither n nor r leaves its range."""
    scale, t = _reduce(b, x, _CONSTANTS[b.form].short)
    if b.form is F32:
        return _scaled(b, t + 1.0, scale)
    root, low = (b.lookup(table, scale.biased) for table in (_ROOTS, _ROOTS_LOW))
    return _scaled(b, root + b.fma(root, t, low), scale)


def _rough_exp(b: Body, x: Lanes) -> Lanes:
    """e**x of float64 where that is normal, to about an ulp."""
    scale, t = _reduce(b, x, _ROUGH)
    root = b.lookup(_ROOTS, scale.biased)
    y = b.fma(root, t, root)
    if b.has_wide_forms:
        return b.wide_form("scalef", y, scale.n)
    return y * b.power_of_two(_integer(b, scale, b.form.bias))


def _scaled(b: Body, y: Lanes, scale: _Scale) -> Lanes:
    """y · 2**⌊n⌋: it may overflow, and is rounded once where it is subnormal."""
    if b.has_wide_forms:
        return b.wide_form("scalef", y, scale.n)
    return _scaled_by_halves(y, _integer(b, scale, 2 * b.form.bias))


def _integer(b: Body, scale: _Scale, offset: int) -> Lanes:
    """⌊n⌋ + offset, which must not be negative."""
    steps = _CONSTANTS[b.form].steps
    shifted = scale.biased - (b.form.bits(b.form.magic) - steps * offset)
    return shifted if steps == 1 else shifted >> (steps.bit_length() - 1)


def _scaled_by_halves(y: Lanes, total: Lanes) -> Lanes:
    """y · 2**(total − 2 · bias) in two steps, the first of which is exact."""
    half = total >> 1
    return y * y.body.power_of_two(half) * y.body.power_of_two(total - half)


def scale_by_halves(b: Body, y: Lanes, biased: Lanes) -> Lanes:
    """y · 2**n, so that results may overflow or be subnormal (rounded once)."""
    return _scaled_by_halves(y, biased - (b.form.bits(b.form.magic) - 2 * b.form.bias))


def exp(b: Body, x: Lanes) -> Lanes:
    """e**x: overflows to infinity, underflows through the subnormals to 0."""
    c = _CONSTANTS[b.form]
    return _exp(b, b.at_least(b.at_most(x, c.overflow), c.underflow))


def expm1(b: Body, x: Lanes) -> Lanes:
    """e**x − 1 without cancellation: ((e**r − 1) · 2**(n−1) + (2**(n−1) − ½)) · 2."""
    c = _CONSTANTS[b.form]
    capped = b.at_least(b.at_most(x, c.overflow), -c.one)
    n, biased = b.round(capped, LOG2_E)
    near = b.fma(n, -c.ln2_hi, capped)
    r = b.fma(n, -c.ln2_lo, near)
    # The sum below may cancel half of t, so that t takes the rounding error of r along.
    error = b.fma(n, -c.ln2_lo, near - r)
    t = r + b.fma(r * r, b.polynomial(r, c.expm1), error)
    half = b.power_of_two(biased - (b.form.bits(b.form.magic) - b.form.bias + 1))
    y = b.fma(t, half, half - 0.5)
    return b.select(b.abs(x) < c.tiny, x, y + y)


def sigmoid(b: Body, x: Lanes) -> Lanes:
    """1 / (1 + e**−x), as 1 / (1 + e) or e / (1 + e) with e = e**−|x|.

    The quotient is corrected by what 1 + e leaves over and, for f64, its division (every float32
    has been seen to do without); a line will do as 1 / (1 + e) for that. Where the result is
    subnormal, 1 + e is 1 and the result is e.
    """
    e = _exp(b, b.at_least(-b.abs(x), _CONSTANTS[b.form].underflow))
    d = e + 1.0
    error = e - (d - 1.0)
    top = b.select(x < 0.0, e, 1.0)
    q = top / d
    rest = q * error if b.form is F32 else b.fma(q, error, b.fma(q, d, -top))
    return b.fma(rest, b.fma(e, 0.5, -_NEAR_INVERSE), q)


def tanh(b: Body, x: Lanes) -> Lanes:
    """1 − 2 / (e**2|x| + 1), and an odd rational function near 0."""
    if b.form is F32:
        return piecewise.tanh(b, x)
    c = _CONSTANTS[b.form]
    a = b.abs(x)
    z = a * a
    capped = b.at_most(a, c.one / 2)
    denominator = _rough_exp(b, capped + capped) + 1.0
    # One division serves both ranges.
    small = a < _TANH_SPLIT
    p, q = (b.polynomial(z, coefficients) for coefficients in _TANH)
    quotient = b.select(small, a * z * p, -2.0) / b.select(small, q, denominator)
    return b.copysign(b.select(small, a, 1.0) + quotient, x)


def erf(b: Body, x: Lanes) -> Lanes:
    """2/√π ∫₀ˣ e**−t² dt: odd polynomial near 0, then 1 − e**P(|x|) with P fitted to ln erfc."""
    if b.form is F32:
        return piecewise.erf(b, x)
    a = b.abs(x)
    near = b.fma(a, b.polynomial(a * a, _ERF), a)
    u = b.at_most(a, _ERF_ONE) - _ERF_SPLIT
    far = 1.0 - _rough_exp(b, b.polynomial(u, _LOG_ERFC))
    return b.copysign(b.select(a < _ERF_SPLIT, near, far), x)


def exp_tail(form: Format) -> tuple[float, ...]:
    """The coefficients of P in e**r − 1 = r + r² · P(r), |r| ≤ ln 2 / 2."""
    return _CONSTANTS[form].expm1
