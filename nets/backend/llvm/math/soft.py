"""Roots and roundings for processors that have no instruction for them.

LLVM would call the C library; here the module gets functions of its own in their place
(``with_soft_functions``). They give the bits that the instructions would.

The root is found digit by digit: each step asks whether the next digit is a one, as in longhand.
The digit behind the last one tells how to round, for a root is never half way between two numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import FORMATS, Format
from nets.ir.types import DTYPES
from nets.machine.machine import Machine

_CALL: Final = re.compile(r"@llvm\.(sqrt|floor|ceil|trunc|roundeven|fma)\.(?:v(\d+))?(f32|f64)\(")


def with_soft_functions(text: str, machine: Machine, attributes: str) -> str:
    """The module, with functions of its own in the place of instructions that the machine lacks.

    Vectors of ``fma`` become single ones here, where the machine has no vectors; where it has,
    ``fused`` computes on them.
    """
    parts = [text]
    for name, lanes, dtype in sorted(set(_CALL.findall(text))):
        is_left = name == "fma" and machine.vector_bytes > 0
        if lanes and _lacks(machine, name, dtype) and not is_left:
            spelled, symbol = f"@llvm.{name}.v{lanes}{dtype}(", f"nets_{name}_v{lanes}{dtype}"
            parts = [part.replace(spelled, f"@{symbol}(") for part in parts]
            parts.append(_by_lanes(symbol, name, FORMATS[DTYPES[dtype]], int(lanes), attributes))
    text = "\n\n".join(parts)
    if machine.target.architecture == "wasm32":
        text = _with_wide(text, "mul", _MULTIPLY, attributes)
    if machine.target.architecture == "wasm32" or " minsize " in text:
        text = _with_wide(text, "shl", _SHIFT, attributes)
    for name, lanes, dtype in sorted(set(_CALL.findall(text))):
        if not lanes and name != "fma" and _lacks(machine, name, dtype):
            symbol = f"nets_{name}_{dtype}"
            text = text.replace(f"@llvm.{name}.{dtype}(", f"@{symbol}(")
            text += "\n" + _definition(symbol, name, FORMATS[DTYPES[dtype]], attributes)
    return text


def _lacks(machine: Machine, name: str, dtype: str) -> bool:
    has: Collection[int] = machine.rounding_sizes
    if name in ("sqrt", "fma"):
        has = machine.root_sizes if name == "sqrt" else machine.fma_sizes
    return DTYPES[dtype].itemsize not in has


def _by_lanes(symbol: str, name: str, form: Format, lanes: int, attributes: str) -> str:
    """The function on a vector: that on a number, lane by lane."""
    type, scalar, dtype = f"<{lanes} x {form.name}>", form.name, form.dtype.name
    words = "xyz" if name == "fma" else "x"
    lines, found = [], "poison"
    for lane in range(lanes):
        lines += [f"  %{w}{lane} = extractelement {type} %{w}, i64 {lane}" for w in words]
        arguments = ", ".join(f"{scalar} %{word}{lane}" for word in words)
        lines.append(f"  %f{lane} = call {scalar} @llvm.{name}.{dtype}({arguments})")
        lines.append(f"  %r{lane} = insertelement {type} {found}, {scalar} %f{lane}, i64 {lane}")
        found = f"%r{lane}"
    parameters = ", ".join(f"{type} %{word}" for word in words)
    return "\n".join(
        [
            f"define internal {type} @{symbol}({parameters}) alwaysinline {attributes} {{",
            *lines,
            f"  ret {type} {found}",
            "}",
        ]
    )


def _definition(symbol: str, name: str, form: Format, attributes: str) -> str:
    if name == "sqrt":
        return _root(symbol, form, attributes)
    body = Body(form, 1)
    result = _ROUNDINGS[name](body, body.argument("x"))
    return body.finish(symbol, "x", result, f"noinline {attributes}").text


# ------------------------------------------------------------------- integers of 128 bits


def _with_wide(text: str, instruction: str, function: str, attributes: str) -> str:
    """Products or shifts of 128 bits, for which LLVM calls the compiler's library: it has none of
    both for WebAssembly, and where code is to be small, no shift."""
    called = rf"call i128 @nets_{instruction}(i128 \1, i128 \2)"
    text, count = re.subn(rf"\b{instruction} i128 (%\w+), (%\w+)", called, text)
    return text + function.format(attributes=attributes) * bool(count)


_MULTIPLY: Final = """
; x · y for x and y below 2^64, in halves of 32 bits.
define internal i128 @nets_mul(i128 %x, i128 %y) noinline {attributes} {{
  %a = trunc i128 %x to i64
  %b = trunc i128 %y to i64
  %a.low = and i64 %a, 4294967295
  %b.low = and i64 %b, 4294967295
  %a.high = lshr i64 %a, 32
  %b.high = lshr i64 %b, 32
  %ll = mul i64 %a.low, %b.low
  %lh = mul i64 %a.low, %b.high
  %hl = mul i64 %a.high, %b.low
  %hh = mul i64 %a.high, %b.high
  %ll.high = lshr i64 %ll, 32
  %middle = add i64 %lh, %ll.high
  %middle.low = and i64 %middle, 4294967295
  %middle.high = lshr i64 %middle, 32
  %second = add i64 %middle.low, %hl
  %second.high = lshr i64 %second, 32
  %top = add i64 %hh, %middle.high
  %high = add i64 %top, %second.high
  %low = mul i64 %a, %b
  %high.wide = zext i64 %high to i128
  %low.wide = zext i64 %low to i128
  %lifted = shl i128 %high.wide, 64
  %product = or i128 %lifted, %low.wide
  ret i128 %product
}}
"""

_SHIFT: Final = """
define internal i128 @nets_shl(i128 %x, i128 %by) noinline {attributes} {{
  %low = trunc i128 %x to i64
  %upper = lshr i128 %x, 64
  %high = trunc i128 %upper to i64
  %amount = trunc i128 %by to i64
  %is.far = icmp uge i64 %amount, 64
  %within = and i64 %amount, 63
  %near.high = call i64 @llvm.fshl.i64(i64 %high, i64 %low, i64 %within)
  %near.low = shl i64 %low, %within
  %new.high = select i1 %is.far, i64 %near.low, i64 %near.high
  %new.low = select i1 %is.far, i64 0, i64 %near.low
  %high.wide = zext i64 %new.high to i128
  %low.wide = zext i64 %new.low to i128
  %lifted = shl i128 %high.wide, 64
  %shifted = or i128 %lifted, %low.wide
  ret i128 %shifted
}}
"""


# --------------------------------------------------------------------------------- roundings


def _round_even(b: Body, x: Lanes) -> Lanes:
    """To the nearest integer, of two that are as near to the even one."""
    size, whole = b.abs(x), 2.0**b.form.mantissa
    rounded = b.copysign((size + whole) - whole, x)
    return b.select(size < whole, rounded, x)  # NaN stays as it is


def _trunc(b: Body, x: Lanes) -> Lanes:
    size = b.abs(x)
    rounded = _round_even(b, size)
    return b.copysign(b.select(rounded > size, rounded - 1.0, rounded), x)


def _floor(b: Body, x: Lanes) -> Lanes:
    rounded = _round_even(b, x)
    return b.copysign(b.select(rounded > x, rounded - 1.0, rounded), x)


def _ceil(b: Body, x: Lanes) -> Lanes:
    rounded = _round_even(b, x)
    return b.copysign(b.select(rounded < x, rounded + 1.0, rounded), x)


_ROUNDINGS: Final[dict[str, Callable[[Body, Lanes], Lanes]]] = {
    "roundeven": _round_even,
    "trunc": _trunc,
    "floor": _floor,
    "ceil": _ceil,
}


# -------------------------------------------------------------------------------------- root


def _root(symbol: str, form: Format, attributes: str) -> str:
    top = 1 << form.mantissa
    return _ROOT.format(
        symbol=symbol,
        scalar=form.name,
        integer=form.integer,
        attributes=attributes,
        mantissa=form.mantissa,
        lead=form.width - 1 - form.mantissa,
        bias=form.bias,
        below=form.bias - 1,
        top=top,
        two=2 * top,
        digits=top - 1,
        infinity=(2 * form.bias + 1) << form.mantissa,
    )


_ROOT: Final = """\
define internal {scalar} @{symbol}({scalar} %x) noinline {attributes} {{
entry:
  %bits = bitcast {scalar} %x to {integer}
  %usual = icmp ult {integer} %bits, {infinity}
  %some = icmp ne {integer} %bits, 0
  %ordinary = and i1 %usual, %some
  br i1 %ordinary, label %parts, label %special
special:
  ; x / 1 for what is its own root; 0 / 0 below zero.
  %below = fcmp olt {scalar} %x, 0.0
  %nan = fdiv {scalar} 0.0, 0.0
  %own = fadd {scalar} %x, %x
  %unusual = select i1 %below, {scalar} %nan, {scalar} %own
  ret {scalar} %unusual
parts:
  ; x = 2^exponent · significand / 2^{mantissa}, of subnormal numbers as well.
  %field = lshr {integer} %bits, {mantissa}
  %subnormal = icmp eq {integer} %field, 0
  %zeros = call {integer} @llvm.ctlz.{integer}({integer} %bits, i1 true)
  %lift = sub {integer} %zeros, {lead}
  %lifted = shl {integer} %bits, %lift
  %fraction = and {integer} %bits, {digits}
  %normal = or {integer} %fraction, {top}
  %significand = select i1 %subnormal, {integer} %lifted, {integer} %normal
  %low = sub {integer} 1, %lift
  %place = select i1 %subnormal, {integer} %low, {integer} %field
  %exponent = sub {integer} %place, {bias}
  ; The exponent is made even.
  %odd = and {integer} %exponent, 1
  %doubled = shl {integer} %significand, %odd
  %start = shl {integer} %doubled, 1
  %half = ashr {integer} %exponent, 1
  br label %digit
digit:
  %rest = phi {integer} [ %start, %parts ], [ %rest.next, %digit ]
  %twice = phi {integer} [ 0, %parts ], [ %twice.next, %digit ]
  %root = phi {integer} [ 0, %parts ], [ %root.next, %digit ]
  %unit = phi {integer} [ {two}, %parts ], [ %unit.next, %digit ]
  %tried = add {integer} %twice, %unit
  %fits = icmp ule {integer} %tried, %rest
  %taken = sub {integer} %rest, %tried
  %left = select i1 %fits, {integer} %taken, {integer} %rest
  %grown = add {integer} %tried, %unit
  %twice.next = select i1 %fits, {integer} %grown, {integer} %twice
  %more = add {integer} %root, %unit
  %root.next = select i1 %fits, {integer} %more, {integer} %root
  %rest.next = shl {integer} %left, 1
  %unit.next = lshr {integer} %unit, 1
  %is.last = icmp eq {integer} %unit.next, 0
  br i1 %is.last, label %done, label %digit
done:
  %last = and {integer} %root.next, 1
  %rounded = add {integer} %root.next, %last
  %digits = lshr {integer} %rounded, 1
  %field.found = add {integer} %half, {below}
  %high = shl {integer} %field.found, {mantissa}
  %found.bits = add {integer} %high, %digits
  %found = bitcast {integer} %found.bits to {scalar}
  ret {scalar} %found
}}"""
"""The square root of a number; it is x for ±0, ∞ and NaN, and NaN below 0."""
