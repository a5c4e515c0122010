"""sin, cos and tan for every finite argument.

|x| = k · π/2 + r with |r| ≤ π/4 (a little more at the edges), then an odd or even polynomial in r
as k says. Up to a bound, r comes from three fused multiply-subtractions with π/2 split into three
numbers of the format: the first is exact, and what the last leaves out is far below the smallest
r that any argument of the format can have. Beyond the bound, the few lanes that need it take a
scalar path with the digits of 2/π that matter to them (Payne and Hanek, "Radian reduction for
trigonometric functions", SIGNUM Newsletter 18, 1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import Body, Definition, Lanes
from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN
from nets.backend.llvm.math.pairs import product, sum_by_size, sum_of_any
from nets.ir.types import f64

TWO_OVER_PI: Final = 0.6366197723675814

REDUCTION: Final = ("reduce_by_half_pi", f64, 1)
"""What `_reduce` requires: the arguments of `definition` for the scalar path."""


@dataclass(frozen=True, slots=True)
class _Constants:
    half_pi: tuple[float, float, float]
    """π/2 in three parts, largest first."""
    bound: float
    """The three parts are enough up to here."""
    sine: tuple[float, ...]
    """sin r = r + r³ · P(r²)."""
    cosine: tuple[float, ...]
    """cos r = 1 − r²/2 + r⁴ · P(r²)."""


_CONSTANTS: Final = {
    F32: _Constants(
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        bound=1.0e5,
        sine=(-0.16666655242443085, 0.008332191035151482, -0.00019518598855938762),
        cosine=(0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05),
    ),
    F64: _Constants(
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        bound=1.0e9,
        sine=(
            -0.16666666666666632,
            0.008333333333322472,
            -0.00019841269829835645,
            2.755731369731207e-06,
            -2.50507584828084e-08,
            1.589679584762814e-10,
        ),
        cosine=(
            0.041666666666666595,
            -0.0013888888888873325,
            2.480158728898367e-05,
            -2.7557314210069654e-07,
            2.087570426988599e-09,
            -1.1358683257071494e-11,
        ),
    ),
}


def _arctan_of_inverse(n: int, bits: int) -> int:
    """arctan(1/n) · 2**bits, by its power series in integers."""
    term = total = (1 << bits) // n
    divisor = 1
    while term:
        term //= -n * n
        divisor += 2
        total += term // divisor
    return total


def _words_of_two_over_pi() -> list[int]:
    """2/π · 2**1216 in words of 64 bits, the highest first, which is zero."""
    bits = 1280 + 64
    pi = 4 * (4 * _arctan_of_inverse(5, bits) - _arctan_of_inverse(239, bits))
    digits = (2 << (bits + 1280 - 64)) // pi
    return [digits >> (64 * (19 - i)) & (2**64 - 1) for i in range(20)]


# The lines of the scalar path, which `reduction` puts together.

_DIGITS: Final = f"""\
  %bits = bitcast double %x to i64
  %field = lshr i64 %bits, 52
  %fraction = and i64 %bits, {2**52 - 1}
  %m = or i64 %fraction, {2**52}
  ; The first digit wanted is number e - 2, counted from the word of zeros: field - 1075 - 2 + 64.
  %first = sub i64 %field, {1075 + 2 - 64}
  %word = lshr i64 %first, 6
  %shift = and i64 %first, 63
  %p0 = getelementptr i64, ptr @nets_two_over_pi, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %w0 = load i64, ptr %p0
  %w1 = load i64, ptr %p1
  %w2 = load i64, ptr %p2
  %w3 = load i64, ptr %p3
  %d0 = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %d1 = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %d2 = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
"""
"""The integer m, and the 192 bits of 2/π that it is multiplied with: d0 d1 d2."""

_PRODUCT: Final = """\
  ; product = m * (d0 d1 d2) mod 2**192; its upper 128 bits are enough.
  %mw = zext i64 %m to i128
  %d1w = zext i64 %d1 to i128
  %d2w = zext i64 %d2 to i128
  %m2 = mul i128 %mw, %d2w
  %m1 = mul i128 %mw, %d1w
  %m0 = mul i64 %m, %d0
  %carry = lshr i128 %m2, 64
  %low = add i128 %m1, %carry
  %m0w = zext i64 %m0 to i128
  %high = shl i128 %m0w, 64
  %product = add i128 %high, %low
"""

_FRACTION: Final = """\
  ; Two bits of k, then the fraction as a signed number in [-1/2, 1/2).
  %top = lshr i128 %product, 126
  %k = trunc i128 %top to i64
  %signed = shl i128 %product, 2
  %negative = icmp slt i128 %signed, 0
  %up = zext i1 %negative to i64
  %quadrant = add i64 %k, %up
  %opposite = sub i128 0, %signed
  %magnitude = select i1 %negative, i128 %opposite, i128 %signed
  %zeros = call i128 @llvm.ctlz.i128(i128 %magnitude, i1 false)
  %amount = call i128 @llvm.umin.i128(i128 %zeros, i128 127)
  %normal = shl i128 %magnitude, %amount
"""


def _times_half_pi() -> str:
    """The lines that give the fraction times π/2, and that with the quadrant."""
    hi, lo, _ = _CONSTANTS[F64].half_pi
    return f"""\
  ; 53 bits and the 53 after them, times pi/2 in two parts, rounded once.
  %a = lshr i128 %normal, 75
  %a64 = trunc i128 %a to i64
  %b = lshr i128 %normal, 22
  %b64 = trunc i128 %b to i64
  %bm = and i64 %b64, {2**53 - 1}
  %af = uitofp i64 %a64 to double
  %bf = uitofp i64 %bm to double
  %bs = fmul double %bf, {F64.constant(2.0**-53)}
  %t0 = fmul double %bs, {F64.constant(hi)}
  %t1 = call double @nets.fused.f64(double %af, double {F64.constant(lo)}, double %t0)
  %t2 = call double @nets.fused.f64(double %af, double {F64.constant(hi)}, double %t1)
  ; a is the fraction times 2**(53 + zeros).
  %zeros64 = trunc i128 %amount to i64
  %exponent = sub i64 {1023 - 53}, %zeros64
  %scale_bits = shl i64 %exponent, 52
  %scale = bitcast i64 %scale_bits to double
  %r = fmul double %t2, %scale
  %minus = fneg double %r
  %result = select i1 %negative, double %minus, double %r
  %first_part = insertvalue {{ double, i64 }} poison, double %result, 0
  %both = insertvalue {{ double, i64 }} %first_part, i64 %quadrant, 1
  ret {{ double, i64 }} %both
"""


def reduction() -> Definition:
    """The scalar path: r and k mod 4 for a finite double of at least 2**11.

    x = m · 2**e with a 53-bit integer m. Digits of 2/π worth 4 or more after the multiplication
    cannot change k mod 4, so 192 bits from there on are enough: two for k, 126 and more for the
    fraction, which for no double starts with more than 62 zeros (or ones).
    """
    table = ", ".join(f"i64 {word}" for word in _words_of_two_over_pi())
    return Definition(
        "nets_reduce_by_half_pi",
        f"""@nets_two_over_pi = internal unnamed_addr constant [20 x i64] [{table}], align 8

define internal {{ double, i64 }} @nets_reduce_by_half_pi(double %x) noinline nounwind {{
{_DIGITS}{_PRODUCT}{_FRACTION}{_times_half_pi()}}}
""",
    )


def _reduce(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """r, and k in the low two bits of an integer, for x ≥ 0."""
    c = _CONSTANTS[b.form]
    n, k = b.round(x, TWO_OVER_PI)
    r = x
    for part in c.half_pi:
        r = b.fused(n, -part, r)
    return _where_huge(b, x, r, k)


def _reduce_to_pair(b: Body, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """r as a pair, and k, for x ≥ 0; beyond the bound, the second number is 0."""
    c = _CONSTANTS[b.form]
    first, second, third = c.half_pi
    n, k = b.round(x, TWO_OVER_PI)
    part, part_low = product(b, n, second)
    r, error = sum_of_any(b.fused(n, -first, x), -part)
    r, low = sum_by_size(r, b.fma(n, -third, error - part_low))
    low = b.select(x > c.bound, 0.0, low)
    r, k = _where_huge(b, x, r, k)
    return r, low, k


def _where_huge(b: Body, x: Lanes, r: Lanes, k: Lanes) -> tuple[Lanes, Lanes]:
    """r and k, but those of the scalar path where x is beyond the bound."""
    c = _CONSTANTS[b.form]
    b.requires.append(REDUCTION)
    beyond = x > c.bound
    # Infinity may come along with other lanes: there is one comparison less outside of the block.
    some = b.any(beyond & (x < INFINITY) if b.lanes == 1 else beyond)
    b.line(f"br i1 {some}, label %huge, label %reduced")
    b.line("huge:")
    if b.lanes == 1:
        slow_r, slow_k = _call_reduction(b, x.text)
        b.line("br label %reduced")
        source = "huge"
    else:
        slow_r, slow_k = _reduce_lanes(b, x, (x > c.bound) & (x < INFINITY), r, k)
        source = "lane_end"
    b.line("reduced:")
    edges = ((slow_r, source), (r, "entry")), ((slow_k, source), (k, "entry"))
    return b.phi("float", *edges[0]), b.phi("integer", *edges[1])


def _call_reduction(b: Body, x: str) -> tuple[Lanes, Lanes]:
    """Scalar r and k for the scalar x of the body's format."""
    if b.form is F32:
        x = b.emit("float", f"fpext float {x} to double").text
    both = b.emit("float", f"call {{ double, i64 }} @nets_reduce_by_half_pi(double {x})").text
    r = b.emit("float", f"extractvalue {{ double, i64 }} {both}, 0")
    k = b.emit("integer", f"extractvalue {{ double, i64 }} {both}, 1")
    if b.form is F32:
        r = b.emit("float", f"fptrunc double {r.text} to float")
        k = b.emit("integer", f"trunc i64 {k.text} to i32")
    return r, k


def _reduce_lanes(b: Body, x: Lanes, huge: Lanes, r: Lanes, k: Lanes) -> tuple[Lanes, Lanes]:
    """r and k with the huge lanes replaced, one after the other; leaves by block lane_end."""
    floats, integers, bools = (b.type(kind) for kind in ("float", "integer", "bool"))
    scalar, integer = b.form.name, b.form.integer
    b.line("br label %lane")
    b.line("lane:")
    b.line("%i = phi i64 [ 0, %huge ], [ %i_next, %lane_end ]")
    old_r = b.phi("float", (r, "huge"), ("%r_next", "lane_end"))
    old_k = b.phi("integer", (k, "huge"), ("%k_next", "lane_end"))
    b.line(f"%is_huge = extractelement {bools} {huge.text}, i64 %i")
    b.line("br i1 %is_huge, label %lane_huge, label %lane_end")
    b.line("lane_huge:")
    b.line(f"%x_lane = extractelement {floats} {x.text}, i64 %i")
    lane_r, lane_k = _call_reduction(b, "%x_lane")
    new_r = b.emit("float", f"insertelement {floats} {old_r.text}, {scalar} {lane_r.text}, i64 %i")
    new_k = b.emit(
        "integer", f"insertelement {integers} {old_k.text}, {integer} {lane_k.text}, i64 %i"
    )
    b.line("br label %lane_end")
    b.line("lane_end:")
    for name, kind, new, old in (("r", floats, new_r, old_r), ("k", integers, new_k, old_k)):
        b.line(f"%{name}_next = phi {kind} [ {new.text}, %lane_huge ], [ {old.text}, %lane ]")
    b.line("%i_next = add i64 %i, 1")
    b.line(f"%more = icmp ult i64 %i_next, {b.lanes}")
    b.line("br i1 %more, label %lane, label %reduced")
    return Lanes(b, "float", "%r_next"), Lanes(b, "integer", "%k_next")


def _evaluate(b: Body, r: Lanes, k: Lanes, sign: Lanes) -> Lanes:
    """sin(r + k · π/2), with the sign bits of ``sign`` flipped in."""
    c = _CONSTANTS[b.form]
    z = r * r
    sine = b.fma(r * z, b.polynomial(z, c.sine), r)
    cosine = b.fma(z * z, b.polynomial(z, c.cosine), b.fma(z, -0.5, 1.0))
    y = b.select((k & 1).equals(0), sine, cosine)
    flip = ((k & 2) << (b.form.width - 2)) ^ sign
    return b.from_bits(b.bits(y) ^ flip)


def sin(b: Body, x: Lanes) -> Lanes:
    """The sine; odd, so −0 stays −0. NaN at ±inf."""
    r, k = _reduce(b, b.abs(x))
    return _evaluate(b, r, k, b.bits(x) & b.form.sign_bit)


def cos(b: Body, x: Lanes) -> Lanes:
    """The cosine, sin(|x| + π/2). NaN at ±inf."""
    r, k = _reduce(b, b.abs(x))
    return _evaluate(b, r, k + 1, Lanes(b, "integer", b.operand(0, "integer")))


def tan(b: Body, x: Lanes) -> Lanes:
    """The tangent, the quotient of sine and cosine, each of which is a pair. NaN at ±inf.

    The quotient is taken twice: what the first leaves of the numerator is divided, too.
    """
    c = _CONSTANTS[b.form]
    r, low, k = _reduce_to_pair(b, b.abs(x))
    z = r * r
    sine, sine_low = sum_by_size(r, b.fma(r * z, b.polynomial(z, c.sine), low))
    half = z * 0.5
    near, near_low = sum_by_size(b.number(1.0), -half)
    rest = b.fma(z * z, b.polynomial(z, c.cosine), near_low - r * low)
    cosine, cosine_low = sum_by_size(near, rest)
    even = (k & 1).equals(0)
    top, d = b.select(even, sine, -cosine), b.select(even, cosine, sine)
    top_low, d_low = b.select(even, sine_low, -cosine_low), b.select(even, cosine_low, sine_low)
    inverse = 1.0 / d
    y = top * inverse
    y = b.fma(b.fused(-y, d, top) + (top_low - y * d_low), inverse, y)
    y = b.from_bits(b.bits(y) ^ (b.bits(x) & b.form.sign_bit))
    return b.select(b.abs(x) < INFINITY, y, NAN)
