"""Arithmetic: sums, products, quotients, powers, magnitudes and extremes of two numbers.

Integers wrap around modulo two to the width. Division of integers by zero gives 0, and so does
its remainder; the smallest integer divided by −1 is itself.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets.ir.core import Trait, Value
from nets.ir.types import DType
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints, nonzero
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.definition.samples import boolean, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, anything, floats, integers, numbers


@op("add", EXACT | Trait.COMMUTATIVE)
class Add:
    """x + y."""

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(), f64()),
        sample(f32(7, 0), f32(7, 0)),
        sample(i8(13, low=-128, high=127), i8(13, low=-128, high=127)),
        sample(u32(2, 1, 3), u32(2, 1, 3)),
    ]
    infer = numbers("add")

    def evaluate(x: Array, y: Array) -> Array:
        return np.add(x, y)

    def transpose(b: Emitter, ct: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return ct, ct

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        x, y = tangents
        return (b.add(x, y) if x and y else x or y,)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.add(x, y)


@op("subtract", EXACT)
class Subtract:
    """x − y."""

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(4), f64(4)),
        sample(u8(11, high=255), u8(11, high=255)),
        sample(i64(0), i64(0)),
    ]
    infer = numbers("subtract")

    def evaluate(x: Array, y: Array) -> Array:
        return np.subtract(x, y)

    def transpose(b: Emitter, ct: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return ct, lambda: b.neg(ct)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        x, y = tangents
        if y is None:
            return (x,)
        return (b.neg(y) if x is None else b.sub(x, y),)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.sub(x, y)


@op("multiply", EXACT | Trait.COMMUTATIVE)
class Multiply:
    """x · y."""

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(), f64()),
        sample(i16(9, low=-32768, high=32767), i16(9, low=-32768, high=32767)),
        sample(u64(2, 3), u64(2, 3)),
    ]
    infer = numbers("multiply")

    def evaluate(x: Array, y: Array) -> Array:
        return np.multiply(x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return y, x

    def footprint(f: Footprints, x: Footprint, y: Footprint) -> Footprint:
        """What is multiplied by a zero that is known counts for nothing."""
        return f.union(f.where(x, nonzero(y)), f.where(y, nonzero(x)))

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.mul(x, y)


@op("divide", EXACT | Trait.FLOAT_ONLY | Trait.COSTLY)
class Divide:
    """x / y in floating point, correctly rounded; x / 0 is ±inf, 0 / 0 is NaN."""

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5, low=0.5, high=3)),
        sample(f64(6), f64(6, low=-3, high=-0.5)),
        sample(f64(0, 2), f64(0, 2)),
    ]
    infer = floats("divide")

    def evaluate(x: Array, y: Array) -> Array:
        return np.divide(x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return lambda: b.div(b.one(y), y), lambda: b.neg(b.div(z, y))

    def footprint(f: Footprints, x: Footprint, y: Footprint) -> Footprint:
        """What divides a zero that is known counts for nothing."""
        return f.union(x, f.where(y, nonzero(x)))

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.div(x, y)


@op("floor_divide", EXACT | Trait.COSTLY)
class FloorDivide:
    """The floor of the quotient, as ``np.floor_divide``; integers by zero give 0.

    Floats: computed from the exact remainder, so that ``x == floor_divide(x, y) * y +
    remainder(x, y)`` as nearly as the dtype can say; by zero it is x / y. The derivative is zero.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5, low=-9, high=9), f32(3, 5, low=0.3, high=3)),
        sample(f64(8, low=-9, high=9), f64(8, low=-3, high=-0.3)),
        sample(i32(40), i32(40, low=-2, high=2)),
        sample(u8(12, high=255), u8(12)),
        sample(i8(50, low=-128, high=-126), i8(50, low=-1, high=1)),
    ]
    infer = numbers("floor_divide")

    def evaluate(x: Array, y: Array) -> Array:
        return np.floor_divide(x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return None, None

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        if not x.type.dtype.is_float:
            return s.div(x, y)
        zero, one = s.like(x, 0.0), s.like(x, 1.0)
        rest = s.math("fmod", x, y)
        whole = s.div(s.sub(x, rest), y)  # Integral up to rounding, one too high if signs differ.
        whole = s.select(_on_other_side(s, rest, y), s.sub(whole, one), whole)
        low = s.unary("floor", whole)
        off = s.compare("gt", s.sub(whole, low), s.like(x, 0.5))
        nearest = s.select(off, s.add(low, one), low)
        quotient = s.div(x, y)
        signed_zero = s.mul(quotient, zero)
        nearest = s.select(s.compare("eq", whole, zero), signed_zero, nearest)
        return s.select(s.compare("eq", y, zero), quotient, nearest)


def _on_other_side(s: LoopBuilder, rest: Value, y: Value) -> Value:
    """Whether a remainder is not zero and has not the sign of the divisor."""
    zero = s.like(y, 0.0)
    differ = s.binary("xor", s.compare("lt", rest, zero), s.compare("lt", y, zero))
    return s.binary("and", differ, s.compare("ne", rest, zero))


@op("remainder", EXACT | Trait.COSTLY)
class Remainder:
    """What floor_divide leaves, with the sign of y, as Python's ``%``; integers by zero give 0.

    Floats are exact; by zero they give NaN, and a zero result has the sign of y. The derivatives
    are 1 and −floor(x / y).
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5, low=-9, high=9), f32(3, 5, low=0.3, high=3)),
        sample(f64(8, low=-9, high=9), f64(8, low=-3, high=-0.3)),
        sample(i32(40), i32(40, low=-2, high=2)),
        sample(u16(12, high=255), u16(12)),
        sample(i8(50, low=-128, high=-126), i8(50, low=-1, high=1)),
    ]
    infer = numbers("remainder")

    def evaluate(x: Array, y: Array) -> Array:
        return np.remainder(x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return lambda: b.one(x), lambda: b.neg(b.emit("floor_divide", x, y))

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        if not x.type.dtype.is_float:
            return s.binary("rem", x, y)
        zero = s.like(x, 0.0)
        rest = s.math("fmod", x, y)
        moved = s.select(_on_other_side(s, rest, y), s.add(rest, y), rest)
        signed_zero = s.select(s.compare("lt", y, zero), s.like(x, -0.0), zero)
        return s.select(s.compare("eq", rest, zero), signed_zero, moved)


@op("negative", EXACT)
class Negative:
    """−x."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0), i8(9, low=-128, high=-120), u8(5)]
    infer = numbers("negative")

    def evaluate(x: Array) -> Array:
        return np.negative(x)

    def transpose(b: Emitter, ct: Value, x: Value) -> tuple[Lazy, ...]:
        return (lambda: b.neg(ct),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("neg", x)


@op("abs", EXACT)
class Abs:
    """The magnitude of x; the smallest integer stays itself. The derivative is sign(x): 0 at 0,
    NaN of NaN."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0), i8(9, low=-128, high=-120), u8(5)]
    infer = numbers("abs")

    def evaluate(x: Array) -> Array:
        return np.absolute(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("sign", x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return x if x.type.dtype.kind == "u" else s.unary("abs", x)


@op("sign", EXACT)
class Sign:
    """−1, 0 or 1 by the sign of x; ±0 gives 0, NaN gives NaN. The derivative is zero."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0), i8(9), u8(5)]
    infer = numbers("sign")

    def evaluate(x: Array) -> Array:
        return np.sign(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        zero = s.like(x, 0)
        rest = zero
        if x.type.dtype.is_float:
            rest = s.select(s.compare("eq", x, zero), zero, x)  # Only NaN is left.
        if x.type.dtype.kind != "u":
            rest = s.select(s.compare("lt", x, zero), s.like(x, -1), rest)
        return s.select(s.compare("gt", x, zero), s.like(x, 1), rest)


@op("power", Trait.PURE | Trait.ELEMENTWISE | Trait.COSTLY)
class Power:
    """x to the power of y.

    Floats follow C's ``pow``. Integers are exact modulo two to the width; a negative exponent
    gives the real value truncated: 0, but for 1 and −1, whose powers are themselves integers
    (and 0 to a negative power is 0).

    Derivatives: ∂x = y · x^(y−1), which is 0 where x and y are 0; ∂y = log(x) · x^y, which where x
    is 0 is 0 for y ≥ 0 and −∞ for y < 0, and NaN where x is negative.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5, low=0.2, high=3), f32(3, 5)),
        sample(f64(8, low=0.2, high=3), f64(8, low=-3, high=3)),
        sample(f64(0), f64(0)),
        sample(i32(40), i32(40)),
        sample(i8(60, low=-3, high=3), i8(60, low=-128, high=127)),
        sample(u16(12), u16(12)),
        sample(i64(30), i64(30)),
    ]
    infer = numbers("power")

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    def evaluate(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            # np.power would take the square root for one exponent 0.5, which differs at −inf.
            return np.asarray(np.float_power(x, y)).astype(x.dtype)
        powers = np.power(x, np.where(np.abs(x) == 1, y & 1, np.maximum(y, 0)))
        return np.where((y < 0) & (x != 1) & (x != -1), np.zeros_like(x), powers)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return lambda: _by_base(b, x, y), lambda: _by_exponent(b, x, y, z)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.math("pow", x, y) if x.type.dtype.is_float else _integer_power(s, x, y)


def _by_base(b: Emitter, x: Value, y: Value) -> Value:
    """y · x^(y−1), with the base replaced where y is 0 and 1/x would overflow.

    Elsewhere y = 0 needs no guard, and keeping the formula keeps its derivative by y, 1/x.
    """
    tiny = float(np.finfo(x.type.dtype.numpy.name).tiny)
    small = b.compare("less", b.emit("abs", x), b.full_like(x, tiny))
    constant = b.compare("equal", y, b.zero(y))
    base = b.select(b.emit("bitwise_and", small, constant), b.one(x), x)
    return b.mul(y, b.emit("power", base, b.sub(y, b.one(y))))


def _by_exponent(b: Emitter, x: Value, y: Value, z: Value) -> Value:
    """log(x) · z, choosing the inputs of log so that 0 to a power y ≥ 0 gives 0, to any order."""
    is_zero = b.compare("equal", x, b.zero(x))
    at_zero = b.emit("bitwise_and", is_zero, b.compare("greater_equal", y, b.zero(y)))
    log = b.emit("log", b.select(at_zero, b.one(x), x))
    return b.mul(b.select(at_zero, b.zero(z), z), log)


def _integer_power(s: LoopBuilder, x: Value, y: Value) -> Value:
    """Square and multiply over every bit of the exponent but the sign, unrolled.

    Powers of 1 and −1 need only the lowest bit, so they come out right for negative y too.
    """
    dtype = x.type.dtype
    signed = dtype.kind == "i"
    zero, one = s.like(x, 0), s.like(x, 1)
    result, square, digits = one, x, y
    for bit in range(dtype.bits - signed):
        if bit:
            square = s.mul(square, square)
            digits = s.binary("shr", digits, one)
        unset = s.compare("eq", s.binary("and", digits, one), zero)
        result = s.select(unset, result, s.mul(result, square))
    if not signed:
        return result
    large = s.binary("and", s.compare("ne", x, one), s.compare("ne", x, s.like(x, -1)))
    return s.select(s.binary("and", s.compare("lt", y, zero), large), zero, result)


@op("maximum", EXACT)
class Maximum:
    """x where x > y or x is NaN, else y; so NaN in either operand gives NaN.

    Bools: true before false. At a tie each operand gets half of the cotangent; the one that is NaN
    gets it whole, and x if both are.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(), f64()),
        sample(f32(7, 0), f32(7, 0)),
        sample(i32(20), i32(20)),
        sample(u64(9), u64(9)),
        sample(boolean(9), boolean(9)),
    ]
    infer = anything("maximum")

    def evaluate(x: Array, y: Array) -> Array:
        return np.where((x > y) | (x != x), x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return _shares(b, "greater", x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("or" if x.type.dtype.is_bool else "max", x, y)


@op("minimum", EXACT)
class Minimum:
    """x where x < y or x is NaN, else y; so NaN in either operand gives NaN.

    Bools: false before true. At a tie each operand gets half of the cotangent; the one that is NaN
    gets it whole, and x if both are.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(), f64()),
        sample(i32(20), i32(20)),
        sample(boolean(9), boolean(9)),
    ]
    infer = anything("minimum")

    def evaluate(x: Array, y: Array) -> Array:
        return np.where((x < y) | (x != x), x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return _shares(b, "less", x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("and" if x.type.dtype.is_bool else "min", x, y)


def _shares(b: Emitter, wins: str, x: Value, y: Value) -> tuple[Lazy, Lazy]:
    """Which part of the cotangent of an extreme goes to x, and which to y."""

    def of_first() -> Value:
        chosen = b.emit("bitwise_or", b.compare(wins, x, y), b.compare("not_equal", x, x))
        whole = b.select(chosen, b.one(x), b.zero(x))
        return b.select(b.compare("equal", x, y), b.full_like(x, 0.5), whole)

    return of_first, lambda: b.sub(b.one(x), of_first())


@op("fmod", EXACT | Trait.COSTLY)
class Fmod:
    """x − trunc(x / y) · y without rounding, with the sign of x, as C's; integers by zero give 0.

    Floats by zero give NaN. The derivatives are 1 and −trunc(x / y).
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5, low=-9, high=9), f32(3, 5, low=0.3, high=3)),
        sample(f64(8, low=-9, high=9), f64(8, low=-3, high=-0.3)),
        sample(i32(40), i32(40, low=-2, high=2)),
        sample(u8(12, high=255), u8(12)),
        sample(i8(50, low=-128, high=-126), i8(50, low=-1, high=1)),
    ]
    infer = numbers("fmod")

    def evaluate(x: Array, y: Array) -> Array:
        return np.fmod(x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        # Exact up to rounding, where trunc(x / y) may be one off.
        return lambda: b.one(x), lambda: b.emit("round", b.div(b.sub(z, x), y))

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        if x.type.dtype.is_float:
            return s.math("fmod", x, y)
        rest = s.binary("rem", x, y)  # with the sign of y
        if x.type.dtype.kind == "u":
            return rest
        zero = s.like(x, 0)
        differ = s.binary("xor", s.compare("lt", x, zero), s.compare("lt", y, zero))
        moved = s.binary("and", differ, s.compare("ne", rest, zero))
        return s.select(moved, s.sub(rest, y), rest)


@op("gcd", EXACT | Trait.COSTLY)
class Gcd:
    """The greatest common divisor of the magnitudes of integers; 0 of two zeros."""

    operands = ("x", "y")
    samples = [
        sample(i32(40, low=-90, high=90), i32(40, low=-90, high=90)),
        sample(i64(), i64()),
        sample(u64(5, 3, high=2**40), u64(5, 3, high=2**40)),
        sample(i8(50, low=-128, high=-126), i8(50, low=-1, high=1)),
    ]
    no_derivative = "integers have no slope"
    infer = integers("gcd")

    def evaluate(x: Array, y: Array) -> Array:
        return np.gcd(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.math("gcd", x, y)
