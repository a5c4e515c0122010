"""pow and rsqrt.

x**y = 2**(y · log2 x). An error of δ in the exponent is one of 0.69 δ in the result, and the
exponent may reach 1024, so that log2 x is needed to about 64 bits: f64 carries it as a sum of two
doubles. f32 computes in doubles and rounds once at the end.
"""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.exponential import exp_tail, scale_by_halves
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN
from nets.backend.llvm.math.logarithm import split, split_normal
from nets.backend.llvm.math.pairs import product as product_of
from nets.backend.llvm.math.pairs import sum_by_size

_TWO_LOG2_E: Final = (2.8853900817779268, 4.0710547481862066e-17)
"""2 / ln 2 in two parts."""

_THIRD: Final = (0.3333333333333333, 1.850371707708594e-17)
"""1/3 in two parts."""

_LN_2: Final = (0.6931471805599453, 2.3190468138462996e-17)
"""ln 2 in two parts."""

_ARTANH: Final = (
    0.19999999999999987,
    0.14285714285723522,
    0.11111111108535053,
    0.09090909463557771,
    0.0769227651197703,
    0.06668232188820802,
    0.05835927971526468,
    0.060067601181074945,
)
"""artanh s = s · (1 + z · (1/3 + z · P(z))) with z = s², |s| ≤ 0.172."""

_SHORT_LOG2: Final = (
    2.885390081777849,
    0.9617966941152466,
    0.5770779417624362,
    0.4122093177588433,
    0.31990284506716316,
    0.28294316683042176,
)
"""log2((1+s)/(1−s)) = s · P(s²) to 45 bits, for f32."""

_SHORT_EXP2: Final = (
    0.6931471805482123,
    0.24022650705315285,
    0.05550410938350645,
    0.009618126799380003,
    0.0013333450992404578,
    0.00015405116332952308,
    1.53102547654841e-05,
    1.290395286691138e-06,
)
"""2**r = 1 + r · P(r) to 39 bits for |r| ≤ ½, for f32."""


def rsqrt(b: Body, x: Lanes) -> Lanes:
    """1 / √x from the two correctly rounded operations."""
    return 1.0 / b.sqrt(x)


def _log2(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """log2 of a positive finite double, as a sum of two."""
    e, m = split(b, x)
    # s = (m − 1) / (m + 1) = s + s_low, where m + 1 = d + d_low.
    top = m - 1.0
    d = m + 1.0
    d_low = m - (d - 1.0)
    inverse = 1.0 / d
    s = top * inverse
    s_low = (b.fused(-s, d, top) - s * d_low) * inverse
    z, z_low = product_of(b, s, s)
    z_low = b.fma(s + s, s_low, z_low)
    # q = 1/3 + z · P(z), w = z · q, then log2 m = 2/ln 2 · (s + s · w).
    third, third_low = _THIRD
    rest = z * b.polynomial(z, _ARTANH)
    q, q_low = sum_by_size(b.number(third), rest)
    w, w_low = product_of(b, z, q)
    w_low = w_low + b.fma(z, q_low + third_low, z_low * q)
    product, product_low = product_of(b, s, w)
    product_low = product_low + b.fma(s, w_low, s_low * w)
    u, u_low = sum_by_size(s, product)
    u_low = u_low + (s_low + product_low)
    factor, factor_low = _TWO_LOG2_E
    v, v_low = product_of(b, u, factor)
    v_low = v_low + b.fma(u, factor_low, u_low * factor)
    # e is 0, where the sum is exact, or at least 1 in magnitude; v is at most ½.
    total, total_low = sum_by_size(e, v)
    return total, total_low + v_low


def _exp2(b: Body, x: Lanes, x_low: Lanes) -> Lanes:
    """2**(x + x_low) for |x| ≤ 1100."""
    n, biased = b.round(x, 1.0)
    f = x - n
    ln_2, ln_2_low = _LN_2
    r = b.fma(f, ln_2, b.fma(f, ln_2_low, x_low * ln_2))
    t = b.fma(r * r, b.polynomial(r, exp_tail(F64)), r)
    return scale_by_halves(b, t + 1.0, biased)


def _magnitude(b: Body, a: Lanes, y: Lanes) -> Lanes:
    """a**y for finite a > 0 and any y that is not NaN, in double."""
    high, low = _log2(b, a)
    product, product_low = product_of(b, y, high)
    product_low = b.fma(y, low, product_low)
    capped = b.at_least(b.at_most(product, 1100.0), -1100.0)
    return _exp2(b, capped, b.select(capped.equals(product), product_low, 0.0))


def _short_magnitude(b: Body, a: Lanes, y: Lanes) -> Lanes:
    """a**y for finite a > 0 of f32: in double, rounded once."""
    wide = b.widened()
    e, m = split_normal(wide, wide.widen(a))
    s = (m - 1.0) / (m + 1.0)
    log2 = wide.fma(s, wide.polynomial(s * s, _SHORT_LOG2), e)
    product = wide.at_least(wide.at_most(wide.widen(y) * log2, 200.0), -200.0)
    n, biased = wide.round(product, 1.0)
    f = product - n
    scale = wide.power_of_two(biased - (F64.bits(F64.magic) - F64.bias))
    return b.narrow(scale * wide.fma(f, wide.polynomial(f, _SHORT_EXP2), 1.0))


def _is_odd(b: Body, y: Lanes) -> tuple[Lanes, Lanes]:
    """Whether y is an integer, and whether an odd one."""
    half = y * 0.5
    whole = b.trunc(y).equals(y)
    return whole, whole & b.trunc(half).differs(half)


def pow(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """x**y with the special cases of C (Annex F): 1 wherever x is 1 or y is 0, NaN included."""
    a = b.abs(x)
    magnitude = _short_magnitude(b, a, y) if b.form is F32 else _magnitude(b, a, y)
    # The ends of a: 0 and inf; and y infinite.
    grows = (a > 1.0) ^ (y < 0.0)
    edge = b.select(grows, INFINITY, b.number(0.0))
    unbounded = a.equals(0.0) | a.equals(INFINITY) | b.abs(y).equals(INFINITY)
    magnitude = b.select(unbounded, edge, magnitude)
    magnitude = b.select(a.equals(1.0), 1.0, magnitude)
    whole, odd = _is_odd(b, y)
    negative = b.bits(x) < 0
    result = b.select(negative & odd, -magnitude, magnitude)
    inside = (x < 0.0) & (x > -INFINITY) & (b.abs(y) < INFINITY)
    result = b.select(inside & ~whole, NAN, result)
    result = b.select(x.is_nan() | y.is_nan(), NAN, result)
    return b.select(x.equals(1.0) | y.equals(0.0), 1.0, result)
