"""fmod: the exact remainder of a division truncated towards zero.

With q = trunc(x / d) below 2**(mantissa + 1) the product q · d may have one d too many, never more,
and x − q · d is a number of the format, so that one fused operation finds it without error. A
larger quotient is taken down in steps, by d = |y| · 2**k with k chosen so that each step is such a
division; x mod y = (x mod |y| · 2**k) mod y.
"""

from __future__ import annotations

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import INFINITY, NAN


def _step(b: Body, x: Lanes, d: Lanes) -> Lanes:
    """x mod d for 0 ≤ x, 0 < d and x / d < 2**(mantissa + 1)."""
    rest = b.fused(-b.trunc(x / d), d, x)
    return b.select(rest < 0.0, rest + d, rest)


def _exponent(b: Body, x: Lanes) -> Lanes:
    """The biased exponent of x > 0 as a normal number; 0 and less where x is subnormal."""
    form = b.form
    small = x < form.smallest_normal
    lifted = b.bits(b.select(small, x * 2.0 ** (form.mantissa + 1), x)) >> form.mantissa
    return b.select(small, lifted - (form.mantissa + 1), lifted)


def _divisor(b: Body, x: Lanes, d: Lanes) -> Lanes:
    """d · 2**k ≤ x for the largest quotient below 2**(mantissa + 1)."""
    form = b.form
    distance = _exponent(b, x) - _exponent(b, d) - (form.mantissa - 1)
    k = b.select(distance > 0, distance, 0)
    half = k >> 1
    return d * b.power_of_two(half + form.bias) * b.power_of_two(k - half + form.bias)


def fmod(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """x − trunc(x / y) · y without rounding, with the sign of x; NaN where x is ±inf or y is 0."""
    ax, d = b.abs(x), b.abs(y)
    valid = (ax < INFINITY) & (d > 0.0)
    quotient = ax / d
    near = quotient < 2.0**b.form.mantissa
    first = b.select(near, _step(b, ax, d), ax)
    some = b.any(valid & ~near)
    b.line(f"br i1 {some}, label %again, label %done")
    b.line("again:")
    b.line(f"%rest = phi {b.type('float')} [ {first.text}, %entry ], [ %shorter, %again ]")
    rest = Lanes(b, "float", "%rest")
    shorter = _step(b, rest, _divisor(b, rest, d))
    active = valid & (rest >= d)
    kind = b.type("float")
    choice = f"{b.type('bool')} {active.text}, {kind} {shorter.text}, {kind} {rest.text}"
    b.line(f"%shorter = select {choice}")
    result = Lanes(b, "float", "%shorter")
    more = b.any(valid & (result >= d))
    b.line(f"br i1 {more}, label %again, label %done")
    b.line("done:")
    r = b.phi("float", (first, "entry"), (result, "again"))
    r = b.select(valid, b.copysign(r, x), NAN)
    # y infinite leaves x; NaN in either operand comes out.
    r = b.select(d.equals(INFINITY) & valid, x, r)
    return b.select(x.is_nan(), x, b.select(y.is_nan(), y, r))
