"""exp, expm1, sigmoid, tanh and erf: everything that leans on 2**n · e**r.

x = n · ln 2 + r with |r| ≤ ln 2 / 2, where ln 2 is split in two so that n · hi is exact (Cody and
Waite, "Software Manual for the Elementary Functions", 1980); then e**r − 1 = r + r² · P(r). All
polynomials are minimax fits (Remez exchange) for the weight of the result they enter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import F32, F64, Body, Format, Lanes

LOG2_E: Final = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class _Constants:
    """What the formulas of this family need to know about a format."""

    ln2_hi: float
    ln2_lo: float
    expm1: tuple[float, ...]
    """P of e**r − 1 = r + r² · P(r)."""
    overflow: float
    """e**x is infinite from here on, and n stays in the range that scaling by halves covers."""
    underflow: float
    """e**x is zero up to here."""
    one: float
    """tanh and erf are ±1, expm1 is −1, beyond this magnitude (rounded to the format)."""
    tiny: float
    """expm1(x) is x below this magnitude."""
    erf_split: float
    erf_one: float
    erf_small: tuple[float, ...]
    """erf(x) = x + x · P(x²) below ``erf_split``."""
    log_erfc: tuple[float, ...]
    """ln erfc(x) = P(x − erf_split) from ``erf_split`` to ``erf_one``."""


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
        overflow=89.0,
        underflow=-104.0,
        one=20.0,
        tiny=2.0**-26,
        erf_split=0.921875,
        erf_one=3.953125,
        erf_small=(
            0.12837915122509003,
            -0.3761249780654907,
            0.11281843483448029,
            -0.026767348870635033,
            0.00499403802677989,
            -0.0005994504899717867,
        ),
        log_erfc=(
            -1.6485618352890015,
            -2.508018970489502,
            -0.8328843712806702,
            -0.045409299433231354,
            0.012295667082071304,
            -0.003856006311252713,
            0.0012470532674342394,
            -0.00021677531185559928,
        ),
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
        overflow=710.0,
        underflow=-746.0,
        one=40.0,
        tiny=2.0**-55,
        erf_split=1.0,
        erf_one=6.0,
        erf_small=(
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
        ),
        log_erfc=(
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
        ),
    ),
}

_TANH_SPLIT: Final = 0.625
_TANH_F32: Final = (
    -0.3333328068256378,
    0.13331405818462372,
    -0.05373651534318924,
    0.02062816731631756,
    -0.005692296661436558,
)
"""tanh(x) = x + x³ · P(x²) below the split, for f32."""

_TANH_F64: Final = (
    (-0.33333333333333326, -0.020496785863995396, -0.00019908889901771288),
    (1.0, 0.4614903575919711, 0.02328864782933863, 0.00020643827086268426),
)
"""tanh(x) = x + x³ · P(x²) / Q(x²) below the split, for f64."""


def _reduce(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """n as biased bits, and expm1(r), for x = n · ln 2 + r."""
    c = _CONSTANTS[b.form]
    n, biased = b.round(x, LOG2_E)
    r = b.fma(n, -c.ln2_lo, b.fma(n, -c.ln2_hi, x))
    return biased, b.fma(r * r, b.polynomial(r, c.expm1), r)


def _scale(b: Body, biased: Lanes, offset: int = 0) -> Lanes:
    """2**(n + offset) where that is a normal number."""
    return b.power_of_two(biased - (b.form.bits(b.form.magic) - b.form.bias - offset))


def scale_by_halves(b: Body, y: Lanes, biased: Lanes) -> Lanes:
    """y · 2**n in two steps, so that results may overflow or be subnormal (rounded once)."""
    total = biased - (b.form.bits(b.form.magic) - 2 * b.form.bias)
    half = total >> 1
    return y * b.power_of_two(half) * b.power_of_two(total - half)


def exp(b: Body, x: Lanes) -> Lanes:
    """e**x: overflows to infinity, underflows through the subnormals to 0."""
    c = _CONSTANTS[b.form]
    biased, t = _reduce(b, b.at_least(b.at_most(x, c.overflow), c.underflow))
    return scale_by_halves(b, t + 1.0, biased)


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
    half = _scale(b, biased, -1)
    y = b.fma(t, half, half - 0.5)
    return b.select(b.abs(x) < c.tiny, x, y + y)


def sigmoid(b: Body, x: Lanes) -> Lanes:
    """1 / (1 + e**−x), as 1 / (1 + e) or e / (1 + e) with e = e**−|x| = 2**n · m.

    The quotient is corrected by what its division, m and 1 + e leave over; 2**n comes last, so
    that the result is rounded once even where it is subnormal.
    """
    c = _CONSTANTS[b.form]
    biased, t = _reduce(b, b.at_least(-b.abs(x), c.underflow))
    m = t + 1.0
    m_low = t - (m - 1.0)
    # Below 2**-100 e no longer shows in 1 + e.
    floor = b.form.bits(b.form.magic) - 100
    scale = _scale(b, b.select(biased > floor, biased, floor))
    e = m * scale
    d = e + 1.0
    d_low = b.fma(m_low, scale, e - (d - 1.0))
    negative = x < 0.0
    top = b.select(negative, m, 1.0)
    q = top / d
    rest = b.fma(-q, d, top) + b.fma(-q, d_low, b.select(negative, m_low, 0.0))
    inverse = b.select(negative, b.fma(-q, scale, 1.0), q)
    one = b.form.bits(b.form.magic)
    return scale_by_halves(b, b.fma(rest, inverse, q), b.select(negative, biased, one))


def tanh(b: Body, x: Lanes) -> Lanes:
    """1 − 2 / (e**2|x| + 1), and an odd polynomial or rational function near 0."""
    c = _CONSTANTS[b.form]
    a = b.abs(x)
    z = a * a
    capped = b.at_most(a, c.one / 2)
    biased, t = _reduce(b, capped + capped)
    scale = _scale(b, biased)
    denominator = b.fma(t, scale, scale) + 1.0
    small = a < _TANH_SPLIT
    if b.form is F32:
        near = b.fma(a * z, b.polynomial(z, _TANH_F32), a)
        return b.copysign(b.select(small, near, 1.0 - 2.0 / denominator), x)
    # One division serves both ranges.
    p, q = (b.polynomial(z, coefficients) for coefficients in _TANH_F64)
    quotient = b.select(small, a * z * p, -2.0) / b.select(small, q, denominator)
    return b.copysign(b.select(small, a, 1.0) + quotient, x)


def erf(b: Body, x: Lanes) -> Lanes:
    """2/√π ∫₀ˣ e**−t² dt: odd polynomial near 0, then 1 − e**P(|x|) with P fitted to ln erfc."""
    c = _CONSTANTS[b.form]
    a = b.abs(x)
    near = b.fma(a, b.polynomial(a * a, c.erf_small), a)
    u = b.at_most(a, c.erf_one) - c.erf_split
    biased, t = _reduce(b, b.polynomial(u, c.log_erfc))
    scale = _scale(b, biased)
    far = 1.0 - b.fma(t, scale, scale)
    return b.copysign(b.select(a < c.erf_split, near, far), x)


def exp_tail(form: Format) -> tuple[float, ...]:
    """The coefficients of P in e**r − 1 = r + r² · P(r), |r| ≤ ln 2 / 2."""
    return _CONSTANTS[form].expm1
