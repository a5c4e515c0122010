"""log and log1p: x = 2**e · m with m in [√½, √2), then log m from r = m − 1.

f32 uses one polynomial in r. f64 uses s = r / (2 + r), where log m = 2 artanh s needs half the
degree (as in W. J. Cody's and fdlibm's arrangement, which keeps r and r²/2 exact to the end).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import F32, F64, INFINITY, NAN, Body, Lanes

ROOT_HALF: Final = 0.7071067811865476


@dataclass(frozen=True, slots=True)
class _Constants:
    ln2_hi: float
    ln2_lo: float
    series: tuple[float, ...]
    """f32: log(1+r) = r − r²/2 + r³ · P(r). f64: 2 artanh s = 2s + s · z · P(z), z = s²."""


_CONSTANTS: Final = {
    F32: _Constants(
        ln2_hi=0.693359375,
        ln2_lo=-2.12194440e-4,
        series=(
            0.3333333134651184,
            -0.250008225440979,
            0.20001231133937836,
            -0.16623249650001526,
            0.14201557636260986,
            -0.1316109448671341,
            0.12763544917106628,
            -0.07634492218494415,
        ),
    ),
    F64: _Constants(
        ln2_hi=0.693147180369123816490,
        ln2_lo=1.90821492927058770002e-10,
        series=(
            0.6666666666666735,
            0.3999999999940874,
            0.28571428743912547,
            0.22222198398699533,
            0.18183574232682545,
            0.1531377738041622,
            0.1479886721932183,
        ),
    ),
}


def split(b: Body, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(e, m, e's bits) of a positive finite x = 2**e · m, m in [√½, √2); subnormals too.

    e is a float. The bits are e + bias + 1, counted before a subnormal was lifted.
    """
    form = b.form
    small = x < form.smallest_normal
    lift = form.mantissa + 1
    m, exponent = _split_bits(b, b.bits(b.select(small, x * 2.0**lift, x)))
    offset = form.magic + form.bias + 1
    e = _biased(b, exponent) - b.select(small, offset + lift, b.number(offset))
    return e, m, exponent


def split_normal(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, m) as in `split`, for x that is not subnormal."""
    m, exponent = _split_bits(b, b.bits(x))
    return _biased(b, exponent) - (b.form.magic + b.form.bias + 1), m


def _split_bits(b: Body, bits: Lanes) -> tuple[Lanes, Lanes]:
    """m, and e + bias + 1 as an integer that is never negative."""
    form = b.form
    offset = (form.bias + 1) << form.mantissa
    exponent = (bits + (offset - form.bits(ROOT_HALF))) >> form.mantissa
    return b.from_bits(bits - (exponent << form.mantissa) + offset), exponent


def _biased(b: Body, exponent: Lanes) -> Lanes:
    """magic + exponent: the float whose low bits are that integer."""
    return b.from_bits(exponent | b.form.bits(b.form.magic))


def _combine(b: Body, e: Lanes, r: Lanes) -> Lanes:
    """e · ln 2 + log(1 + r), small terms first."""
    c = _CONSTANTS[b.form]
    half_square = r * 0.5 * r
    if b.form is F32:
        cube = r * r * r
        low = b.fma(cube, b.polynomial(r, c.series), e * c.ln2_lo)
        return b.fma(e, c.ln2_hi, r + (low - half_square))
    s = r / (r + 2.0)
    z = s * s
    low = b.fma(s, b.fma(z, b.polynomial(z, c.series), half_square), e * c.ln2_lo)
    return b.fma(e, c.ln2_hi, r - (half_square - low))


def _ends(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """log at the ends of its domain: −inf at 0, NaN below, inf at inf (and NaN at NaN)."""
    y = b.select(x < INFINITY, y, x)
    y = b.select(x.equals(0.0), -INFINITY, y)
    return b.select(x < 0.0, NAN, y)


def log(b: Body, x: Lanes) -> Lanes:
    """The natural logarithm."""
    e, m, _ = split(b, x)
    return _ends(b, x, _combine(b, e, m - 1.0))


def log1p(b: Body, x: Lanes) -> Lanes:
    """log(1 + x): the rounding error of u = 1 + x joins m − 1, scaled by 2**−e."""
    form = b.form
    u = x + 1.0
    rest = u - 1.0
    error = (1.0 - (u - rest)) + (x - rest)
    e, m, bits = split(b, u)
    # Beyond this 1 is below half an ulp of x, and 2**−e would leave the normal numbers.
    large = x > 2.0 ** (form.mantissa + 2)
    inverse = b.power_of_two((2 * form.bias + 1) - bits)
    r = m - 1.0 + b.select(large, 0.0, error * inverse)
    y = _ends(b, u, _combine(b, e, r))
    return b.copysign(y, x)
