"""exp, exp2, expm1, sigmoid, tanh and erf: everything that leans on 2**n · e**r.

x = n · ln 2 + r with |r| ≤ ln 2 / 2, where ln 2 is split in two so that n · hi is exact (Cody and
Waite, "Software Manual for the Elementary Functions", 1980); then e**r − 1 = r + r² · P(r). The
polynomials are minimax fits (Remez exchange) for the weight of the result they enter; those of erf
are least squares at Chebyshev nodes with that weight, their coefficients rounded one by one with
the rest fitted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math import piecewise
from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import F32, F64, INFINITY, Format
from nets.backend.llvm.math.pairs import sum_by_size
from nets.backend.llvm.math.tables import lookup

LOG2_E: Final = 1.4426950408889634
LN_2: Final = 0.6931471805599453


@dataclass(frozen=True, slots=True)
class _Constants:
    """What the formulas of this family need to know about a format."""

    ln2_hi: float
    ln2_lo: float
    expm1: tuple[float, ...]
    """P of e**r − 1 = r + r² · P(r) for |r| ≤ ln 2 / 2."""
    normal: float
    """e**x and e**−x are normal numbers up to here."""
    overflow: float
    """e**x is infinite from here on, and n stays in the range that scaling by halves covers."""
    underflow: float
    """e**x is zero up to here."""
    one: float
    """tanh and erf are ±1, expm1 is −1, beyond this magnitude (rounded to the format)."""
    tiny: float
    """expm1(x) is x below this magnitude."""
    exp2: tuple[float, ...]
    """P of 2**f = 1 + f · P(f) for |f| ≤ ½."""
    exp2_normal: float
    """2**x and 2**−x are normal numbers up to here."""


_STEPS: Final = 16
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

_STEP_SCALES: Final = tuple(
    F64.from_bits(F64.bits(root) - (i << F64.mantissa) // _STEPS) for i, root in enumerate(_ROOTS)
)
"""The roots less what i adds, as a number of sixteenths of an exponent, to the bits of a number."""

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
        expm1=(
            0.4999999403953552,
            0.1666651964187622,
            0.04166839271783829,
            0.0083687799051404,
            0.0013814480043947697,
        ),
        normal=87.0,
        overflow=89.0,
        underflow=-104.0,
        one=20.0,
        tiny=2.0**-26,
        exp2=(
            0.6931471824645996,
            0.24022594094276428,
            0.055503666400909424,
            0.00962546095252037,
            0.00133877235930413,
            0.00013324388419277966,
        ),
        exp2_normal=126.0,
    ),
    F64: _Constants(
        ln2_hi=0.693147180369123816490,
        ln2_lo=1.90821492927058770002e-10,
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
        normal=708.0,
        overflow=710.0,
        underflow=-746.0,
        one=40.0,
        tiny=2.0**-55,
        exp2=(
            0.6931471805599453,
            0.24022650695910172,
            0.055504108664824574,
            0.009618129107577134,
            0.0013333558145567884,
            0.00015403530478735398,
            1.5252734737259178e-05,
            1.3215424551950136e-06,
            1.0177656541789696e-07,
            7.075604101251665e-09,
            4.5192193898513855e-10,
        ),
        exp2_normal=1022.0,
    ),
}

_ERF_SPLIT: Final = 1.0
_ERF_ONE: Final = 5.93
"""erf is 1 beyond."""

_ERF: Final = (
    0.12837916709551256,
    -0.37612638903183454,
    0.11283791670942442,
    -0.02686617064289931,
    0.005223977604689966,
    -0.0008548325870703971,
    0.00012055292035174393,
    -1.4924685750072198e-05,
    1.6446833684025832e-06,
    -1.6204216644959769e-07,
    1.370256913134439e-08,
    -7.764805895007783e-10,
)
"""erf(x) = x + x · P(x²) below the split, for f64."""

_LOG_ERFC: Final = (
    -1.8496055099332482,
    -2.638967514234782,
    -0.8431072563592078,
    -0.0415610980281528,
    0.010033825204474546,
    -0.0019779013444476126,
    0.00023731686516236973,
    2.6295332909694164e-05,
    -2.7197338164803652e-05,
    9.669424289077198e-06,
    -2.1302249118337517e-06,
    2.0370015803228378e-07,
    5.854155918245092e-08,
    -3.357445024994419e-08,
    8.563405611995076e-09,
    -1.3263678602085474e-09,
    1.2003492497676146e-10,
    -4.89640914712444e-12,
)
"""ln erfc(x) = P(x − split) between split and one, for f64."""

_TANH_SPLIT: Final = 0.625
_TANH: Final = (
    (-0.33333333333333326, -0.020496785863995396, -0.00019908889901771288),
    (1.0, 0.4614903575919711, 0.02328864782933863, 0.00020643827086268426),
)
"""tanh(x) = x + x³ · P(x²) / Q(x²) below the split, for f64."""


def _reduce(b: Body, x: Lanes, highest: float) -> tuple[Lanes, Lanes, Lanes]:
    """n, as a float and as biased bits, and r for x = n · ln 2 + r.

    For AVX-512, x is brought between underflow and the highest number.
    """
    c = _CONSTANTS[b.form]
    if b.has_wide_forms:
        x = b.at_least(b.at_most(x, highest), c.underflow)
    n, biased = b.round(x, LOG2_E)
    return n, biased, b.fma(n, -c.ln2_lo, b.fused(n, -c.ln2_hi, x))


def _is_normal(b: Body, x: Lanes) -> Lanes:
    """Where e**x and e**−x are normal numbers; not for NaN."""
    return b.abs(x) <= _CONSTANTS[b.form].normal


def _rough_exp(b: Body, x: Lanes) -> Lanes:
    """e**x of float64 where that is normal, to about an ulp and x · 2**−54 more."""
    n, biased = b.round(x, _STEPS * LOG2_E)
    r = b.fused(n, -LN_2 / _STEPS, x)
    t = b.fma(r * r, b.polynomial(r, _ROUGH), r)
    shifted = biased << (b.form.mantissa - _STEPS.bit_length() + 1)
    scale = b.from_bits(b.bits(lookup(b, _STEP_SCALES, biased)) + shifted)
    return b.fma(scale, t, scale)


def _times_power(b: Body, y: Lanes, biased: Lanes) -> Lanes:
    """y · 2**n, where both are normal: n is added to the exponent."""
    return b.from_bits(b.bits(y) + (biased << b.form.mantissa))


def scale_by_halves(b: Body, y: Lanes, biased: Lanes) -> Lanes:
    """y · 2**n in two steps, the first of which is exact: it may overflow or be subnormal."""
    total = biased - (b.form.bits(b.form.magic) - 2 * b.form.bias)
    half = total >> 1
    return y * b.power_of_two(half) * b.power_of_two(total - half)


def exp(b: Body, x: Lanes) -> Lanes:
    """e**x: overflows to infinity, underflows through the subnormals to 0."""
    c = _CONSTANTS[b.form]
    n, biased, r = _reduce(b, x, c.overflow)
    y = b.series(r, c.expm1) + 1.0
    if b.has_wide_forms:
        return b.wide_form("scalef", y, n)

    def ends() -> Lanes:
        inside = b.select(x < c.underflow, 0.0, scale_by_halves(b, y, biased))
        return b.select(x > c.overflow, INFINITY, inside)

    return b.rarely(b.any(~_is_normal(b, x)), ends, _times_power(b, y, biased))


def exp2(b: Body, x: Lanes) -> Lanes:
    """2**x, exact for integers: n + f = x, then 2**n · 2**f. It ends as exp does."""
    c, form = _CONSTANTS[b.form], b.form
    overflow, underflow = form.bias + 1.0, -form.bias - form.mantissa - 1.0
    if b.has_wide_forms:
        x = b.at_least(b.at_most(x, overflow), underflow)
    n, biased = b.round(x, 1.0)
    f = x - n
    y = b.fma(f, b.polynomial(f, c.exp2), 1.0)
    if b.has_wide_forms:
        return b.wide_form("scalef", y, n)

    def ends() -> Lanes:
        inside = b.select(x < underflow, 0.0, scale_by_halves(b, y, biased))
        return b.select(x > overflow, INFINITY, inside)

    usual = b.abs(x) <= c.exp2_normal
    return b.rarely(b.any(~usual), ends, _times_power(b, y, biased))


def exp_in_parts(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """e**x / 2 as a pair, for x ≥ 0 and such that half of the result is finite, or little more."""
    c = _CONSTANTS[b.form]
    n, biased = b.round(x, LOG2_E)
    near = b.fused(n, -c.ln2_hi, x)
    r = b.fma(n, -c.ln2_lo, near)
    error = b.fma(n, -c.ln2_lo, near - r)
    t = b.fma(r * r, b.polynomial(r, c.expm1), error)
    first, first_low = sum_by_size(b.number(1.0), r)
    y, y_low = sum_by_size(first, t)
    total = biased - (b.form.bits(b.form.magic) - 2 * b.form.bias + 1)
    half = total >> 1
    one, other = b.power_of_two(half), b.power_of_two(total - half)
    return y * one * other, (first_low + y_low) * one * other


def expm1(b: Body, x: Lanes) -> Lanes:
    """e**x − 1 without cancellation: ((e**r − 1) · 2**(n−1) + (2**(n−1) − ½)) · 2."""
    c = _CONSTANTS[b.form]
    capped = b.at_least(b.at_most(x, c.overflow), -c.one)
    n, biased = b.round(capped, LOG2_E)
    near = b.fused(n, -c.ln2_hi, capped)
    r = b.fma(n, -c.ln2_lo, near)
    # The sum below may cancel half of t, so that t takes the rounding error of r along.
    error = b.fma(n, -c.ln2_lo, near - r)
    t = r + b.fma(r * r, b.polynomial(r, c.expm1), error)
    half = b.power_of_two(biased - (b.form.bits(b.form.magic) - b.form.bias + 1))
    y = b.fma(t, half, half - 0.5)
    return b.select(b.abs(x) < c.tiny, x, y + y)


def sigmoid(b: Body, x: Lanes) -> Lanes:
    """1 / (1 + e**−x), as s / (s + 1 − t) with s = 2**n and t = 1 − e**−r for x = n · ln 2 + r."""
    c = _CONSTANTS[b.form]
    n, biased, r = _reduce(b, x, c.normal)
    t = b.series(r, [-p if i % 2 == 0 else p for i, p in enumerate(c.expm1)])

    def quotient(s: Lanes) -> Lanes:
        d = s + 1.0
        error = s - (d - 1.0)
        return s / (d + (error - t))

    one = b.number(1.0)
    if b.has_wide_forms:
        return quotient(b.wide_form("scalef", one, n))

    def ends() -> Lanes:
        y = quotient(scale_by_halves(b, one, biased))
        y = b.select(x < c.underflow, 0.0, b.select(x > c.normal, 1.0, y))
        return b.select(x.is_nan(), x + x, y)

    return b.rarely(b.any(~_is_normal(b, x)), ends, quotient(_times_power(b, one, biased)))


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
    return b.with_sign(b.select(small, a, 1.0) + quotient, x)


def erf(b: Body, x: Lanes) -> Lanes:
    """2/√π ∫₀ˣ e**−t² dt: odd polynomial near 0, then 1 − e**P(|x|) with P fitted to ln erfc."""
    if b.form is F32:
        return piecewise.erf(b, x)
    a = b.abs(x)
    near = b.fma(a, b.polynomial(a * a, _ERF), a)
    u = b.at_most(a, _ERF_ONE) - _ERF_SPLIT
    far = 1.0 - _rough_exp(b, b.polynomial(u, _LOG_ERFC))
    return b.with_sign(b.select(a < _ERF_SPLIT, near, far), x)


def exp_tail(form: Format) -> tuple[float, ...]:
    """The coefficients of P in e**r − 1 = r + r² · P(r), |r| ≤ ln 2 / 2."""
    return _CONSTANTS[form].expm1
