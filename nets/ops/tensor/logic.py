"""Logic: bitwise operations on integers, which are the logical ones on bools, and shifts."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import numpy as np

from nets.ir.core import Trait, Value
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.samples import boolean, i8, i16, i32, i64, u8, u32, u64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, bits, integers

_NO_DERIVATIVE = "integers and bools have no slope"


@op("bitwise_and", EXACT | Trait.COMMUTATIVE)
class BitwiseAnd:
    """The bits set in both x and y; on bools, x and y."""

    operands = ("x", "y")
    samples = [
        sample(i32(3, 5), i32(3, 5)),
        sample(boolean(), boolean()),
        sample(u64(7, 0), u64(7, 0)),
        sample(boolean(9), boolean(9)),
    ]
    no_derivative = _NO_DERIVATIVE
    infer = bits("bitwise_and")

    def evaluate(x: Array, y: Array) -> Array:
        return np.bitwise_and(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("and", x, y)


@op("bitwise_or", EXACT | Trait.COMMUTATIVE)
class BitwiseOr:
    """The bits set in x or y; on bools, x or y."""

    operands = ("x", "y")
    samples = [
        sample(i64(3, 5), i64(3, 5)),
        sample(boolean(9), boolean(9)),
        sample(u8(), u8()),
    ]
    no_derivative = _NO_DERIVATIVE
    infer = bits("bitwise_or")

    def evaluate(x: Array, y: Array) -> Array:
        return np.bitwise_or(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("or", x, y)


@op("bitwise_xor", EXACT | Trait.COMMUTATIVE)
class BitwiseXor:
    """The bits in which x and y differ; on bools, whether they differ."""

    operands = ("x", "y")
    samples = [
        sample(i16(3, 5), i16(3, 5)),
        sample(boolean(9), boolean(9)),
        sample(u32(4), u32(4)),
    ]
    no_derivative = _NO_DERIVATIVE
    infer = bits("bitwise_xor")

    def evaluate(x: Array, y: Array) -> Array:
        return np.bitwise_xor(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("xor", x, y)


@op("bitwise_invert", EXACT)
class BitwiseInvert:
    """Every bit of x flipped; on bools, not x."""

    operands = ("x",)
    samples = [i32(3, 5), u8(6), boolean(9), boolean(), i64(7, 0)]
    no_derivative = _NO_DERIVATIVE
    infer = bits("bitwise_invert")

    def evaluate(x: Array) -> Array:
        return np.invert(x)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("not", x)


@op("bitwise_left_shift", EXACT)
class BitwiseLeftShift:
    """x shifted up by y bits; 0 where y is negative or not below the width."""

    operands = ("x", "y")
    samples = [
        sample(i8(60, low=-128, high=127), i8(60, low=-2, high=9)),
        sample(u64(30), u64(30, high=70)),
        sample(i32(), i32(low=0, high=4)),
        sample(i16(7, 0), i16(7, 0)),
    ]
    no_derivative = _NO_DERIVATIVE
    infer = integers("bitwise_left_shift")

    def evaluate(x: Array, y: Array) -> Array:
        return np.left_shift(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("shl", x, y)


@op("bitwise_right_shift", EXACT)
class BitwiseRightShift:
    """x shifted down by y bits, keeping its sign; the sign fills where y is negative or not below
    the width."""

    operands = ("x", "y")
    samples = [
        sample(i8(60, low=-128, high=127), i8(60, low=-2, high=9)),
        sample(u64(30, high=1000), u64(30, high=70)),
        sample(i32(), i32(low=0, high=4)),
        sample(i16(7, 0), i16(7, 0)),
    ]
    no_derivative = _NO_DERIVATIVE
    infer = integers("bitwise_right_shift")

    def evaluate(x: Array, y: Array) -> Array:
        return np.right_shift(x, y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.binary("shr", x, y)
