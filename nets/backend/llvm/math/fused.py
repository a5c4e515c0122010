"""x · y + z with one rounding, for processors that have no instruction for it.

``llvm.fma`` means that in the text of kernels and math functions. In the profile ``strict-nofma``
it becomes a multiplication and an addition, but for those that math functions call ``nets.fused``.
Where the machine has no such instruction, LLVM would call the C library; here the module gets a
function of its own instead (``with_functions``). It is slow and it is right: in the last bit, at
overflow, underflow and among subnormals, for infinities, NaN and signed zeros.

float32: the product is exact in float64. Its sum with z, rounded to odd, has enough bits more than
a float32 that the last rounding is the only one; rounded to nearest it mostly has, too.

float64: S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms
using rounding to odd", IEEE Transactions on Computers 57(4), 2008. x · y is the sum of two numbers
(T. J. Dekker, "A floating-point technique for extending the available precision", Numerische
Mathematik 18, 1971); they and z are added without error until one rounding is left. Lanes with
exponents for which that would overflow or underflow take a longer way, on the same numbers times
powers of two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nets.backend.llvm.isa import REGISTER_BITS
from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.formats import F32, F64, FORMATS, INFINITY, Format
from nets.ir.types import DTYPES, DType
from nets.machine.machine import InstructionSet, Machine

_CALL: Final = re.compile(r"@llvm\.fma\.(?:v(\d+))?(f32|f64)\(")

_FUSED: Final = "@nets.fused."
"""Stands for ``@llvm.fma.`` where the product is not to be rounded in any profile."""

_USUAL: Final = 480
"""Factors between 2 to the power of minus and plus this have a product without extremes, and so
has its error."""

_APART: Final = 200
"""Of two numbers that are so many binades apart, all that matters of the smaller is its sign."""

_LEAST: Final = -1400
"""Products of fewer binades than this are nothing, whatever they are."""


def with_functions(
    text: str, machine: Machine, numerics: str = "strict", attributes: str = "nounwind"
) -> str:
    """The module for a machine and a profile: with functions of its own in the place of what the
    machine lacks or the profile is not to have."""
    if numerics == "strict-nofma":
        text = _with_two_roundings(text, attributes)
    text = text.replace(_FUSED, "@llvm.fma.")
    lacking = {
        (lanes, dtype)
        for lanes, dtype in _CALL.findall(text)
        if DTYPES[dtype].itemsize not in machine.fma_sizes
    }
    if not lacking:
        return text
    made: dict[str, str] = {}
    for lanes, dtype in sorted(lacking):
        text = text.replace(
            f"@llvm.fma.{f'v{lanes}' * bool(lanes)}{dtype}(",
            f"@{_symbol(DTYPES[dtype], int(lanes or 1))}(",
        )
        made.update(
            _definitions(DTYPES[dtype], int(lanes or 1), machine.instruction_set, attributes)
        )
    return "\n".join([text, *made.values()])


def _with_two_roundings(text: str, attributes: str) -> str:
    """The text with a multiplication and an addition for each ``llvm.fma``."""
    made = []
    for lanes, dtype in sorted(set(_CALL.findall(text))):
        suffix = f"{f'v{lanes}' * bool(lanes)}{dtype}"
        scalar = FORMATS[DTYPES[dtype]].name
        type = f"<{lanes} x {scalar}>" if lanes else scalar
        text = text.replace(f"@llvm.fma.{suffix}(", f"@nets_multiply_add_{suffix}(")
        made.append(
            f"define internal {type} @nets_multiply_add_{suffix}({type} %x, {type} %y, {type} %z) "
            f"alwaysinline {attributes} {{\nentry:\n  %product = fmul {type} %x, %y\n"
            f"  %sum = fadd {type} %product, %z\n  ret {type} %sum\n}}\n"
        )
    return "\n".join([text, *made])


def _symbol(dtype: DType, lanes: int) -> str:
    return f"nets_fma_{dtype}x{lanes}"


def _definitions(
    dtype: DType, lanes: int, isa: InstructionSet, attributes: str
) -> Iterator[tuple[str, str]]:
    """The function on that many lanes; of more than a register has, also that on one register."""
    form = FORMATS[dtype]
    most = REGISTER_BITS[isa] // form.width
    body = Body(form, lanes, isa)
    x, y, z = (body.argument(name) for name in "xyz")
    if lanes <= most:
        result, inlined = fma(body, x, y, z), False
    else:
        part = body.sibling(form, most)
        parts = zip(*(body.split(operand, part) for operand in (x, y, z)), strict=True)
        result, inlined = body.joined([_called(part, *operands) for operands in parts]), True
        yield from _definitions(dtype, most, isa, attributes)
    symbol = _symbol(dtype, lanes)
    how = "alwaysinline" if inlined else "noinline"
    yield symbol, body.finish(symbol, "xyz", result, f"{how} {attributes}").text


def _called(body: Body, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    type = body.type("float")
    arguments = ", ".join(f"{type} {operand.text}" for operand in (x, y, z))
    symbol = _symbol(body.form.dtype, body.lanes)
    return body.emit("float", f"call {type} @{symbol}({arguments})")


def fma(b: Body, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    """x · y + z, rounded once."""
    if b.form is F32:
        return _in_float64(b, x, y, z)
    usual = _is_usual(b, x) & _is_usual(b, y) & (b.abs(z) < 2.0**990)
    quick = _near_one(b, x, y, z)
    return b.rarely(b.any(~usual), lambda: _anywhere(b, x, y, z), quick)


def _in_float64(b: Body, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    """The sum is rounded twice, which matters if it lies halfway between two float32, or is so
    small that these are further apart."""
    wide = b.widened()
    product, z = wide.widen(x) * wide.widen(y), wide.widen(z)
    total = product + z
    bits = wide.bits(total)
    digits, head = _low_word(b, bits) & (2**29 - 1), _low_word(b, bits >> 32) & 0x7FFFFFFF
    is_halfway = digits.equals(2**28)
    is_small = (head > 0) & (head < F64.bits(F32.smallest_normal) >> 32)
    return b.rarely(
        b.any(is_halfway | is_small),
        lambda: b.narrow(_sum_to_odd(wide, product, z)),
        b.narrow(total),
    )


def _low_word(b: Body, bits: Lanes) -> Lanes:
    """The lower 32 bits of integers of 64."""
    return b.emit(
        "integer", f"trunc {bits.body.type('integer')} {bits.text} to {b.type('integer')}"
    )


def _is_usual(b: Body, x: Lanes) -> Lanes:
    size = b.abs(x)
    return (size < 2.0**_USUAL) & ((size >= 2.0**-_USUAL) | size.equals(0.0))


def _sum(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x + y rounded, and what that leaves out (D. E. Knuth, "Seminumerical Algorithms", 4.2.2)."""
    total = x + y
    second = total - x
    return total, (x - (total - second)) + (y - second)


def _sum_to_odd(b: Body, x: Lanes, y: Lanes) -> Lanes:
    """x + y where that is a number of the format, else the neighbour whose last bit is set."""
    total, rest = _sum(x, y)
    bits = b.bits(total)
    opposite = (bits ^ b.bits(rest)) >> (b.form.width - 1)
    other = b.from_bits(bits + (1 - (opposite << 1)))
    return b.select(rest.differs(0.0) & (bits & 1).equals(0), other, total)


def _product(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x · y rounded, and what that leaves out."""
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    product = x * y
    rest = (x_high * y_high - product) + x_high * y_low + x_low * y_high
    return product, rest + x_low * y_low


def _halves(x: Lanes) -> tuple[Lanes, Lanes]:
    """The upper and the lower half of the digits of a float64."""
    lifted = x * (2.0**27 + 1)
    high = lifted - (lifted - x)
    return high, x - high


def _sum_of_two(b: Body, x: Lanes, y: Lanes, z: Lanes) -> tuple[Lanes, Lanes]:
    """Two numbers that give x · y + z when they are added, rounded to whatever number of digits."""
    product, rest = _product(x, y)
    low, lowest = _sum(z, rest)
    high, middle = _sum(product, low)
    return high, _sum_to_odd(b, lowest, middle)


def _near_one(b: Body, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    high, rest = _sum_of_two(b, x, y, z)
    found = high + rest
    # Where nothing is left, the sign of the zero is that of the plain sum.
    return b.select(found.equals(0.0), x * y + z, found)


def _anywhere(b: Body, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    """The same without a bound: 2^e · (m · n + o) with m and n in [1, 2)."""
    (m, x_exponent), (n, y_exponent), (o, z_exponent) = (_parted(b, v) for v in (x, y, z))
    exponent = b.at_least(x_exponent + y_exponent, z_exponent - _APART)
    apart = b.at_least(z_exponent - exponent, -_APART)
    o = b.select(z.equals(0.0), z, o * b.power_of_two(apart + b.form.bias))
    exponent = b.at_least(exponent, _LEAST)
    found = _rounded(b, *_sum_of_two(b, m, n, o), exponent)
    x_size, y_size = b.abs(x), b.abs(y)
    is_plain = x_size.equals(0.0) | y_size.equals(0.0)
    found = b.select(is_plain | ~((x_size < INFINITY) & (y_size < INFINITY)), x * y + z, found)
    ends = (x_size < INFINITY) & (y_size < INFINITY) & ~(b.abs(z) < INFINITY)
    return b.select(ends, z + z, found)


def _parted(b: Body, x: Lanes) -> tuple[Lanes, Lanes]:
    """x as m · 2^e with m in [1, 2), or minus that."""
    form, lift = b.form, b.form.mantissa + 2
    is_small = b.abs(x) < form.smallest_normal
    bits = b.bits(b.select(is_small, x * 2.0**lift, x))
    field = _exponent_field(form, bits)
    fraction = bits & (form.sign_bit | ((1 << form.mantissa) - 1))
    exponent = b.select(is_small, field - (form.bias + lift), field - form.bias)
    return b.from_bits(fraction | form.bits(1.0)), exponent


def _exponent_field(form: Format, bits: Lanes) -> Lanes:
    return (bits >> form.mantissa) & (2 * form.bias + 1)


def _rounded(b: Body, high: Lanes, rest: Lanes, exponent: Lanes) -> Lanes:
    """2^exponent · (high + rest), rounded once, among subnormals as well."""
    form = b.form
    total = high + rest
    own = _exponent_field(form, b.bits(total)) - form.bias
    is_normal = own + exponent > -form.bias
    # A number of the binade that ends with subnormals: what is added to it loses their digits.
    place = (1 - form.bias) - b.at_most(exponent, 0)
    unit = b.copysign(b.power_of_two(place + form.bias), total)
    upper, lower = _sum(unit, high)
    few = (upper + _sum_to_odd(b, lower, rest)) - unit
    half = ((exponent + 4096) >> 1) - 2048
    scaled = b.select(is_normal, total, few)
    scaled = scaled * b.power_of_two(half + form.bias)
    scaled = scaled * b.power_of_two((exponent - half) + form.bias)
    return b.copysign(scaled, total)
