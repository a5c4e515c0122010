"""log, log2, log10 and log1p: x = 2**e · m with m in [¾, 1½), then log m = r-series − log c with
r = c · m − 1.

c is one of a few numbers near 1/m, chosen by the leading bits of m; near 1 it is 1, so that r is
x − 1 there and the result keeps its relative accuracy. (P. T. P. Tang, "Table-driven implementation
of the logarithm function in IEEE floating-point arithmetic", 1990. That −log c is, to far more than
the format's precision, a number of few digits is an idea of S. Gal, "Computing elementary
functions: a new approach for achieving high accuracy and good performance", 1986.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from nets.backend.llvm.math.bases import BINARY, DECIMAL, Base
from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN, Format
from nets.backend.llvm.math.tables import lookup

_ROOT_HALF: Final = 0.7071067811865476
_LOWEST: Final = 0.75
"""Where the interval of m starts for logarithms."""

FRACTION: Final = 0b1011
"""What getmant is to give: a fraction in [¾, 1½), NaN of a negative number."""


@dataclass(frozen=True, slots=True)
class _Constants:
    ln2: tuple[float, float]
    """In two parts, such that e · the first − log c is exact, in float64. Of float32 the first is
    ln 2 to 28 bits, and enough."""
    inverse: tuple[float, ...]
    """c, for intervals of m from ¾ on: as many of the same length up to 1 as beyond."""
    log: tuple[float, ...]
    """−log c. In float32, c was chosen among the numbers near the middle so that this is nearest
    to a number of the format; in float64, so that it is nearest to a multiple of 2**-20."""
    series: tuple[float, ...]
    """log(1+r) = r + r² · P(r) for all r = c · m − 1: least squares at Chebyshev nodes, weighted
    for the relative error, the coefficients rounded one by one with the rest fitted again."""


_CONSTANTS: Final = {
    F32: _Constants(
        ln2=(0.6931471824645996, 0.0),
        inverse=(
            1.2802093029022217,
            1.1841154098510742,
            1.1031070947647095,
            1.0,
            1.0,
            0.8423764705657959,
            0.7619237303733826,
            0.6956859827041626,
        ),
        log=(
            -0.2470235824584961,
            -0.16899600625038147,
            -0.09813082963228226,
            0.0,
            0.0,
            0.17152824997901917,
            0.27190881967544556,
            0.3628568947315216,
        ),
        series=(
            -0.49999985098838806,
            0.3333348035812378,
            -0.250124454498291,
            0.2000402957201004,
            -0.14437389373779297,
        ),
    ),
    F64: _Constants(
        ln2=(0.6931471805598903, 5.497923018708371e-14),
        inverse=(
            1.3063994694622685,
            1.2552323201151225,
            1.207108286502538,
            1.163376065629485,
            1.1231706512800295,
            1.0845232811069316,
            1.0493201026659877,
            1.0,
            1.0,
            0.9145483417287681,
            0.8646425037426578,
            0.8207713424868794,
            0.7805816359948127,
            0.7442894461839804,
            0.7108903587474669,
            0.680849688330299,
        ),
        log=(
            -0.2672748565673828,
            -0.22732067108154297,
            -0.18822765350341797,
            -0.15132617950439453,
            -0.11615562438964844,
            -0.08114051818847656,
            -0.048142433166503906,
            0.0,
            0.0,
            0.089324951171875,
            0.14543914794921875,
            0.1975107192993164,
            0.24771595001220703,
            0.29532527923583984,
            0.34123706817626953,
            0.3844137191772461,
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


def split(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, m) of a positive finite x = 2**e · m with √½ ≤ m < √2; subnormals too. e is a float."""
    form = b.form
    small = x < form.smallest_normal
    lift = form.mantissa + 1
    m, exponent = _split_bits(b, b.bits(b.select(small, x * 2.0**lift, x)))
    offset = form.magic + form.bias + 1
    return _biased(b, exponent) - b.select(small, offset + lift, b.number(offset)), m


def split_normal(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, m) as in `split`, for x that is not subnormal."""
    m, exponent = _split_bits(b, b.bits(x))
    return _biased(b, exponent) - (b.form.magic + b.form.bias + 1), m


def _split_bits(b: Body, bits: Lanes) -> tuple[Lanes, Lanes]:
    """m, and e + bias + 1 as an integer that is never negative."""
    form = b.form
    offset = (form.bias + 1) << form.mantissa
    exponent = (bits + (offset - form.bits(_ROOT_HALF))) >> form.mantissa
    return b.from_bits(bits - (exponent << form.mantissa) + offset), exponent


def _biased(b: Body, exponent: Lanes) -> Lanes:
    """magic + exponent: the float whose low bits are that integer."""
    return b.from_bits(exponent | b.form.bits(b.form.magic))


@dataclass(frozen=True, slots=True)
class _Parts:
    """x = 2**e · m with ¾ ≤ m < 1½."""

    e: Lanes
    m: Lanes
    interval: Lanes
    """Its low bits number the interval of m in the tables."""
    first: int
    """The number of the interval from ¾ on."""


def _combine(b: Body, x: _Parts, error: Lanes | None = None) -> Lanes:
    """e · ln 2 + log(m + error)."""
    c = _CONSTANTS[b.form]
    inverse, log = _looked_up(b, x, c.inverse, c.log)
    r = b.fused(x.m, inverse, -1.0)
    if error is not None:
        r = b.fma(error, inverse, r)
    rest = b.series(r, c.series)
    ln2, ln2_low = c.ln2
    if b.form is F32:
        return b.fma(x.e, ln2, log + rest)
    return b.fma(x.e, ln2, log) + b.fma(x.e, ln2_low, rest)


def _looked_up(b: Body, x: _Parts, *tables: tuple[float, ...]) -> Iterator[Lanes]:
    """The entries of tables for the interval of x."""
    for table in tables:
        first = len(table) - x.first
        yield lookup(b, (*table[first:], *table[:first]), x.interval)


def _combine_to(c: Base, b: Body, x: _Parts) -> Lanes:
    """The logarithm to another base; the last sum is the only one whose rounding shows much, so
    that it is exact where it is an integer."""
    inverse, log = _looked_up(b, x, c.inverse, c.log)
    r = b.fused(x.m, inverse, -1.0)
    (slope, slope_low), (step, step_low) = c.slope, c.step
    square = r * r
    rest = b.fma(square, b.polynomial(r, c.series, square), r * slope_low)
    rest = b.fma(x.e, step_low, rest) if step_low else rest
    rest = b.fma(r, slope, rest)
    return b.fma(x.e, step, log) + rest if b.form is F64 else b.fma(x.e, step, log + rest)


def log_of_sum(b: Body, h: Lanes, low: Lanes, times_four: Lanes | None = None) -> Lanes:
    """log(h + low) for h from 1 to half the largest number, or of four times as much.

    low is at most an ulp or so of h. Where h is infinite or NaN, the result is void.
    """
    form = b.form
    rank = _rank(b, h)
    exponent = rank & -(1 << form.mantissa)
    scaled = low * b.from_bits((4 * form.bias << form.mantissa) - exponent)
    x = _ranked_parts(b, rank)
    e = x.e if times_four is None else b.select(times_four, x.e + 2.0, x.e)
    return _combine(b, _Parts(e, x.m, x.interval, x.first), scaled)


def _interval(b: Body, bits: Lanes) -> Lanes:
    """The leading bits of a fraction, as many as number the intervals of m."""
    return bits >> (b.form.mantissa - (len(_CONSTANTS[b.form].log).bit_length() - 1))


def _wide_parts(b: Body, x: Lanes) -> _Parts:
    """The parts by the instructions of AVX-512, which know the ends of the domain.

    The exponent of 0 is −inf, that of inf is inf, and the fraction of a negative number is NaN.
    """
    m = b.wide_form("getmant", x, f"i32 {FRACTION}")
    e = b.wide_form("getexp", x)
    half = len(_CONSTANTS[b.form].log) // 2
    return _Parts(b.select(m < 1.0, e + 1.0, e), m, _interval(b, b.bits(m)), half)


def _rank_offset(form: Format) -> int:
    return ((3 * form.bias) << form.mantissa) - form.bits(_LOWEST)


def _rank(b: Body, x: Lanes) -> Lanes:
    """An integer that takes x apart, and orders numbers so that one comparison finds bad ones.

    The fraction of the rank is that of x, counted from ¾ on, and its exponent is e + 3 · bias. As
    a signed integer it is largest where x is not a positive normal number, or among the very
    smallest ones.
    """
    return b.bits(x) + _rank_offset(b.form)


def _is_special(b: Body, rank: Lanes, bound: float) -> Lanes:
    """Where not 0 < x < bound, or x is subnormal or among the smallest normal numbers."""
    return rank >= b.form.bits(bound) + _rank_offset(b.form) - (1 << b.form.width)


def _ranked_parts(b: Body, rank: Lanes) -> _Parts:
    """The parts of a positive normal number by its rank."""
    form = b.form
    e = _biased(b, rank >> form.mantissa) - (form.magic + 3 * form.bias)
    m = b.from_bits((rank & ((1 << form.mantissa) - 1)) + form.bits(_LOWEST))
    return _Parts(e, m, _interval(b, rank), 0)


def _ends(b: Body, x: Lanes, y: Lanes, zero: float) -> Lanes:
    """y at the ends of the domain: −inf at zero, NaN below, inf at inf (and NaN at NaN)."""
    y = b.select(x < INFINITY, y, x + x)
    y = b.select(x.equals(zero), -INFINITY, y)
    return b.select(x < zero, -NAN, y)


def log(b: Body, x: Lanes) -> Lanes:
    """The natural logarithm."""
    return _logarithm(b, x, _combine)


def log2(b: Body, x: Lanes) -> Lanes:
    """The logarithm to base 2; of a power of 2 it is exact."""
    return _logarithm(b, x, partial(_combine_to, BINARY[b.form]))


def log10(b: Body, x: Lanes) -> Lanes:
    """The logarithm to base 10; of a power of 10 that is a number of the format it is exact."""
    return _logarithm(b, x, partial(_combine_to, DECIMAL[b.form]))


def _logarithm(b: Body, x: Lanes, combine: Callable[[Body, _Parts], Lanes]) -> Lanes:
    """A logarithm, with the ends of its domain.

    Without AVX-512, subnormal numbers and the ends of the domain take blocks of their own, before
    and after what all lanes have in common.
    """
    if b.has_wide_forms:
        return combine(b, _wide_parts(b, x))
    form, normal = b.form, _rank(b, x)

    def lifted() -> Lanes:
        lift = form.mantissa + 1
        rank = _rank(b, x * 2.0**lift) - (lift << form.mantissa)
        return b.select(x < form.smallest_normal, rank, normal)

    some = b.any(_is_special(b, normal, INFINITY))
    y = combine(b, _ranked_parts(b, b.rarely(some, lifted, normal)))
    return b.rarely(some, lambda: _ends(b, x, y, 0.0), y)


def log1p(b: Body, x: Lanes) -> Lanes:
    """log(1 + x): the rounding error of u = 1 + x joins m, scaled by 2**−e. u is not subnormal."""
    form = b.form
    u = x + 1.0
    rest = u - 1.0
    error = (1.0 - (u - rest)) + (x - rest)
    # Beyond this 1 is below half an ulp of x, and 2**−e would leave the normal numbers.
    large = 2.0 ** (form.mantissa + 2)
    if b.has_wide_forms:
        parts = _wide_parts(b, u)
        scaled = b.wide_form("scalef", error, 0.0 - parts.e)
        y = _combine(b, parts, b.select((x > -1.0) & (x < large), scaled, 0.0))
    else:
        rank = _rank(b, u)
        some = b.any(_is_special(b, rank, large))
        exponent = rank & -(1 << form.mantissa)
        scaled = error * b.from_bits((4 * form.bias << form.mantissa) - exponent)
        scaled = b.rarely(some, lambda: b.select(x < large, scaled, 0.0), scaled)
        usual = _combine(b, _ranked_parts(b, rank), scaled)
        y = b.rarely(some, lambda: _ends(b, x, usual, -1.0), usual)
    return b.with_sign(y, x)
