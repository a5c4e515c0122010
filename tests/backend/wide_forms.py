"""The AVX-512 instructions of the math library, in instructions that every CPU has.

With these in their place, the forms for AVX-512 run, slowly, where there is no AVX-512.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nets.backend.llvm.math.formats import F32, F64, INFINITY, NAN, Format
from nets.backend.llvm.math.logarithm import FRACTION

# On one lane. A subnormal number is lifted first, and the exponent comes down again.
_SCALAR = """
define internal {T} @getexp.{s}({T} %x) {{
  %a = call {T} @llvm.fabs.{s}({T} %x)
  %lifted = fmul {T} %a, {lift}
  %small = fcmp olt {T} %a, {smallest}
  %n = select i1 %small, {T} %lifted, {T} %a
  %bits = bitcast {T} %n to {I}
  %field = lshr {I} %bits, {mantissa}
  %bias = select i1 %small, {I} {lifted_bias}, {I} {bias}
  %exponent = sub {I} %field, %bias
  %e = sitofp {I} %exponent to {T}
  %zero = fcmp oeq {T} %a, 0.0
  %e0 = select i1 %zero, {T} {minus_infinity}, {T} %e
  %finite = fcmp olt {T} %a, {infinity}
  %e1 = select i1 %finite, {T} %e0, {T} %a
  %nan = fcmp uno {T} %x, %x
  %e2 = select i1 %nan, {T} %x, {T} %e1
  ret {T} %e2
}}

; For the operand {fraction}: a fraction from 0.75 on, and NaN of a negative number.
define internal {T} @getmant.{s}({T} %x) {{
  %lifted = fmul {T} %x, {lift}
  %small = fcmp olt {T} %x, {smallest}
  %n = select i1 %small, {T} %lifted, {T} %x
  %bits = bitcast {T} %n to {I}
  %fraction = and {I} %bits, {fraction_mask}
  %from_one = or {I} %fraction, {one_bits}
  %m = bitcast {I} %from_one to {T}
  %half = fmul {T} %m, 0.5
  %above = fcmp oge {T} %m, 1.5
  %m0 = select i1 %above, {T} %half, {T} %m
  %end = fcmp oeq {T} %x, {infinity}
  %zero = fcmp oeq {T} %x, 0.0
  %one = call {T} @llvm.copysign.{s}({T} 1.0, {T} %x)
  %edge = or i1 %end, %zero
  %m1 = select i1 %edge, {T} %one, {T} %m0
  %below = fcmp olt {T} %x, 0.0
  %m2 = select i1 %below, {T} {minus_nan}, {T} %m1
  %nan = fcmp uno {T} %x, %x
  %m3 = select i1 %nan, {T} %x, {T} %m2
  ret {T} %m3
}}

; x times 2 to the power of y rounded down: two exact steps and one that rounds once.
define internal {T} @scalef.{s}({T} %x, {T} %y) {{
  %floor = call {T} @llvm.floor.{s}({T} %y)
  %low = call {T} @llvm.maxnum.{s}({T} %floor, {T} -{most})
  %capped = call {T} @llvm.minnum.{s}({T} %low, {T} {most})
  %n = fptosi {T} %capped to {I}
  %third = sdiv {I} %n, 3
  %twice = mul {I} %third, 2
  %rest = sub {I} %n, %twice
  %f0 = add {I} %third, {bias}
  %f1 = shl {I} %f0, {mantissa}
  %step = bitcast {I} %f1 to {T}
  %g0 = add {I} %rest, {bias}
  %g1 = shl {I} %g0, {mantissa}
  %last = bitcast {I} %g1 to {T}
  %x0 = fmul {T} %x, %step
  %x1 = fmul {T} %x0, %step
  %x2 = fmul {T} %x1, %last
  %nan = fcmp uno {T} %y, %y
  %x3 = select i1 %nan, {T} %y, {T} %x2
  ret {T} %x3
}}
"""


def _scalars(form: Format) -> str:
    lift = form.mantissa + 1
    return _SCALAR.format(
        T=form.name,
        I=form.integer,
        s=form.dtype,
        mantissa=form.mantissa,
        bias=form.bias,
        lift=form.constant(2.0**lift),
        lifted_bias=form.bias + lift,
        smallest=form.constant(form.smallest_normal),
        infinity=form.constant(INFINITY),
        minus_infinity=form.constant(-INFINITY),
        minus_nan=form.constant(-NAN),
        fraction=FRACTION,
        fraction_mask=(1 << form.mantissa) - 1,
        one_bits=form.bits(1.0),
        most=f"{3.0 * form.bias}",
    )


def _function(name: str, type: str, parameters: str, lanes: Iterable[tuple[str, str]]) -> str:
    """A function whose result has these lanes: lines that compute one, and its name and type."""
    lines, found = [], "poison"
    for lane, (computed, value) in enumerate(lanes):
        lines += [computed, f"  %r{lane} = insertelement {type} {found}, {value}, i64 {lane}"]
        found = f"%r{lane}"
    body = "\n".join(lines)
    head = f"define internal {type} @emulated.{name}({parameters}) {{"
    return f"{head}\n{body}\n  ret {type} {found}\n}}\n"


def _masked(form: Format, name: str, operands: tuple[str, ...], extra: str = "") -> str:
    """An instruction on one or two vectors; what comes behind them here means: in all lanes."""
    lanes = 512 // form.width
    type, scalar = f"<{lanes} x {form.name}>", form.name

    def computed() -> Iterator[tuple[str, str]]:
        for lane in range(lanes):
            parts = [f"  %{x}{lane} = extractelement {type} %{x}, i64 {lane}" for x in operands]
            arguments = ", ".join(f"{scalar} %{x}{lane}" for x in operands)
            parts.append(f"  %v{lane} = call {scalar} @{name}.{form.dtype}({arguments})")
            yield "\n".join(parts), f"{scalar} %v{lane}"

    letter = "ps" if form is F32 else "pd"
    parameters = ", ".join(f"{type} %{x}" for x in operands)
    rest = f"{type} %otherwise, i{lanes} %mask, i32 %rounding"
    symbol = f"mask.{name}.{letter}.512"
    return _function(symbol, type, f"{parameters}, {extra}{rest}", computed())


def _permutation(form: Format, name: str, parameters: str, table: str) -> str:
    """A choice out of 16 numbers."""
    lanes, integer = 512 // form.width, form.integer

    def computed() -> Iterator[tuple[str, str]]:
        for lane in range(lanes):
            yield (
                f"  %p{lane} = extractelement <{lanes} x {integer}> %place, i64 {lane}\n"
                f"  %i{lane} = and {integer} %p{lane}, 15\n"
                f"  %v{lane} = extractelement <16 x {form.name}> %table, {integer} %i{lane}",
                f"{form.name} %v{lane}",
            )

    text = _function(name, f"<{lanes} x {form.name}>", parameters, computed())
    return text.replace("{\n", "{\n" + table, 1)


def emulated(text: str) -> str:
    """The text with definitions of the AVX-512 instructions that it calls."""
    order = ", ".join(f"i32 {i}" for i in range(16))
    both = f"<8 x double> %low, <8 x double> %high, <16 x i32> <{order}>"
    parts = [
        text.replace("@llvm.x86.avx512.", "@emulated."),
        _permutation(F32, "permvar.sf.512", "<16 x float> %table, <16 x i32> %place", ""),
        _permutation(
            F64,
            "vpermi2var.pd.512",
            "<8 x double> %low, <8 x i64> %place, <8 x double> %high",
            f"  %table = shufflevector {both}\n",
        ),
    ]
    for form in (F32, F64):
        parts += [
            _scalars(form),
            _masked(form, "getexp", ("x",)),
            _masked(form, "getmant", ("x",), "i32 %interval, "),
            _masked(form, "scalef", ("x", "y")),
        ]
    return "\n".join(parts)
