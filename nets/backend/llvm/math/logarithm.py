"""log and log1p: x = 2**e · m with m in [¾, 1½), then log m = r-series − log c with r = c · m − 1.

c is one of 16 numbers near 1/m, chosen by the leading bits of m; near 1 it is 1, so that r is x − 1
there and the result keeps its relative accuracy. (P. T. P. Tang, "Table-driven implementation of
the logarithm function in IEEE floating-point arithmetic", 1990. That −log c is, to far more than
the format's precision, a number of few digits is an idea of S. Gal, "Computing elementary
functions: a new approach for achieving high accuracy and good performance", 1986.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import F32, F64, INFINITY, NAN, Body, Lanes

ROOT_HALF: Final = 0.7071067811865476
_LOWEST: Final = 0.75
"""Where the interval of m starts."""

_FRACTION: Final = 0b1011
"""What getmant is to give: a fraction in [¾, 1½), NaN of a negative number."""

_TABLE_BITS: Final = 4
"""Bits of m that choose c: those behind its leading one."""


@dataclass(frozen=True, slots=True)
class _Constants:
    ln2_hi: float
    ln2_lo: float
    """Both are positive, and e · hi − log c is exact."""
    inverse: tuple[float, ...]
    """c, for m in [1 + i/16, 1 + (i+1)/16) up to 1½ and half of that beyond."""
    log: tuple[float, ...]
    """−log c: the multiple of 2**-17 (2**-42) near the middle of the interval that is nearest to
    a −log of a number of the format."""
    series: tuple[float, ...]
    """log(1+r) = r + r² · P(r) for −1/32 ≤ r ≤ 1/16: least squares at Chebyshev nodes, weighted
    for the relative error, the coefficients rounded one by one with the rest fitted again."""


_CONSTANTS: Final = {
    F32: _Constants(
        ln2_hi=0.693145751953125,
        ln2_lo=1.428606765330187e-06,
        inverse=(
            1.0,
            0.9150019884109497,
            0.8627315759658813,
            0.8214800357818604,
            0.7803055047988892,
            0.7459316253662109,
            0.7108720541000366,
            0.6792613863945007,
            1.3081623315811157,
            1.2577115297317505,
            1.2099723815917969,
            1.1608613729476929,
            1.1219309568405151,
            1.0838760137557983,
            1.0466086864471436,
            1.0,
        ),
        log=(
            0.0,
            0.08882904052734375,
            0.14765167236328125,
            0.19664764404296875,
            0.24806976318359375,
            0.293121337890625,
            0.3412628173828125,
            0.386749267578125,
            -0.26862335205078125,
            -0.2292938232421875,
            -0.1905975341796875,
            -0.14916229248046875,
            -0.11505126953125,
            -0.08054351806640625,
            -0.04555511474609375,
            0.0,
        ),
        series=(
            -0.5,
            0.33334457874298096,
            -0.2500738799571991,
            0.18859227001667023,
        ),
    ),
    F64: _Constants(
        ln2_hi=0.6931471805598903,
        ln2_lo=5.497923018708371e-14,
        inverse=(
            1.0,
            0.9142857112736085,
            0.8648648666649094,
            0.8205128249973681,
            0.780487800020006,
            0.7441860443298262,
            0.7111111084850744,
            0.6808510609119962,
            1.3061224537059113,
            1.2549019662689727,
            1.2075471628008347,
            1.1636363684724935,
            1.1228070249385038,
            1.0847457671973124,
            1.0491803260891293,
            1.0,
        ),
        log=(
            0.0,
            0.08961216198417787,
            0.14518200776319645,
            0.19782573786437752,
            0.24783617012894865,
            0.295464215825632,
            0.3409265906634573,
            0.3844117031958376,
            -0.26706278886763357,
            -0.22705745500593366,
            -0.18859116400199127,
            -0.15154990228325005,
            -0.11583182211097665,
            -0.08134564358897478,
            -0.04800921749006193,
            0.0,
        ),
        series=(
            -0.5000000000000004,
            0.33333333333348003,
            -0.24999999999749284,
            0.19999999925398118,
            -0.16666666325977214,
            0.14285824154042498,
            -0.12501811976216368,
            0.1106903265480149,
            -0.08727605195906492,
        ),
    ),
}


def split(b: Body, x: Lanes, lowest: float = ROOT_HALF) -> tuple[Lanes, Lanes, Lanes]:
    """(e, m, e's bits) of a positive finite x = 2**e · m, lowest ≤ m < 2 · lowest; subnormals too.

    e is a float. The bits are e + bias + 1, counted before a subnormal was lifted.
    """
    form = b.form
    small = x < form.smallest_normal
    lift = form.mantissa + 1
    m, exponent = _split_bits(b, b.bits(b.select(small, x * 2.0**lift, x)), lowest)
    offset = form.magic + form.bias + 1
    e = _biased(b, exponent) - b.select(small, offset + lift, b.number(offset))
    return e, m, exponent


def split_normal(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, m) as in `split`, for x that is not subnormal."""
    m, exponent = _split_bits(b, b.bits(x), ROOT_HALF)
    return _biased(b, exponent) - (b.form.magic + b.form.bias + 1), m


def _split_bits(b: Body, bits: Lanes, lowest: float) -> tuple[Lanes, Lanes]:
    """m, and e + bias + 1 as an integer that is never negative."""
    form = b.form
    offset = (form.bias + 1) << form.mantissa
    exponent = (bits + (offset - form.bits(lowest))) >> form.mantissa
    return b.from_bits(bits - (exponent << form.mantissa) + offset), exponent


def _biased(b: Body, exponent: Lanes) -> Lanes:
    """magic + exponent: the float whose low bits are that integer."""
    return b.from_bits(exponent | b.form.bits(b.form.magic))


def _combine(b: Body, e: Lanes, m: Lanes, error: Lanes | None = None) -> Lanes:
    """e · ln 2 + log(m + error), small terms first."""
    c = _CONSTANTS[b.form]
    place = b.bits(m) >> (b.form.mantissa - _TABLE_BITS)
    inverse = b.lookup(c.inverse, place)
    r = b.fma(m, inverse, -1.0)
    if error is not None:
        r = b.fma(error, inverse, r)
    low = b.fma(e, c.ln2_lo, b.fma(r * r, b.polynomial(r, c.series), r))
    return b.fma(e, c.ln2_hi, b.lookup(c.log, place)) + low


def _ends(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """log at the ends of its domain: −inf at 0, NaN below, inf at inf (and NaN at NaN)."""
    y = b.select(x < INFINITY, y, x + x)
    y = b.select(x.equals(0.0), -INFINITY, y)
    return b.select(x < 0.0, -NAN, y)


def log(b: Body, x: Lanes) -> Lanes:
    """The natural logarithm.

    The instructions of AVX-512 that take numbers apart know the ends of the domain: the exponent
    of 0 is −inf, that of inf is inf, and the fraction of a negative number is NaN.
    """
    if b.has_wide_forms:
        m = b.wide_form("getmant", x, f"i32 {_FRACTION}")
        e = b.wide_form("getexp", x)
        return _combine(b, b.select(m < 1.0, e + 1.0, e), m)
    e, m, _ = split(b, x, _LOWEST)
    return _ends(b, x, _combine(b, e, m))


def log1p(b: Body, x: Lanes) -> Lanes:
    """log(1 + x): the rounding error of u = 1 + x joins m, scaled by 2**−e."""
    form = b.form
    u = x + 1.0
    rest = u - 1.0
    error = (1.0 - (u - rest)) + (x - rest)
    e, m, bits = split(b, u, _LOWEST)
    # Beyond this 1 is below half an ulp of x, and 2**−e would leave the normal numbers.
    large = x > 2.0 ** (form.mantissa + 2)
    inverse = b.power_of_two((2 * form.bias + 1) - bits)
    y = _ends(b, u, _combine(b, e, m, b.select(large, 0.0, error * inverse)))
    return b.copysign(y, x)
