"""Powers and logarithms to other bases than e, cube roots, and sums in logarithms."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math

import numpy as np

from nets.ir.core import Value
from nets.ir.types import f64 as f64_
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.tensor.mathematics import rounded_once


@op("exp2", MATH)
class Exp2:
    """2 to the power of x, exact for integers."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("exp2")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.exp2, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.scale(y, math.log(2.0)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("exp2", x)


@op("log2", MATH)
class Log2:
    """Logarithm to base 2; −inf at 0, NaN below."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=2), f64(7, low=0.1, high=50), f32(7, 0)]
    infer = floats("log2")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.log2, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.full_like(x, 1.0 / math.log(2.0)), x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("log2", x)


@op("log10", MATH)
class Log10:
    """Logarithm to base 10; −inf at 0, NaN below."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=2), f64(7, low=0.1, high=50), f32(7, 0)]
    infer = floats("log10")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.log10, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.full_like(x, 1.0 / math.log(10.0)), x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("log10", x)


@op("cbrt", MATH)
class Cbrt:
    """Cube root, of negative numbers, too. The derivative is inf at 0."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=1, high=2), f64(7, low=0.1, high=50), f32(7, 0)]
    infer = floats("cbrt")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.cbrt, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.full_like(y, 1.0 / 3.0), b.mul(y, y)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("cbrt", x)


def _difference(b: Emitter, x: Value, y: Value) -> Value:
    """x − y, and 0 where both are the same infinity."""
    rest = b.sub(x, y)
    void = b.compare("not_equal", rest, rest)
    same = b.emit("bitwise_and", void, b.compare("equal", x, y))
    return b.select(same, b.zero(rest), rest)


def _weights(b: Emitter, x: Value, y: Value, slope: float) -> tuple[Lazy, ...]:
    """The parts of either number in the sum of the powers."""

    def part(x: Value, y: Value) -> Value:
        return b.emit("sigmoid", b.scale(_difference(b, x, y), slope))

    return lambda: part(x, y), lambda: part(y, x)


def _sum_of_powers(s: LoopBuilder, x: Value, y: Value, power: str, scale: float) -> Value:
    """max(x, y) + scale · log1p(power(−|x − y|)), of float32 in float64."""
    dtype = x.type.dtype
    x, y = s.cast(x, f64_), s.cast(y, f64_)
    distance = s.unary("abs", s.sub(x, y))
    rest = s.math("log1p", s.math(power, s.unary("neg", distance)))
    rest = rest if scale == 1.0 else s.mul(rest, s.like(rest, scale))
    # Two equal infinities have no difference.
    rest = s.select(s.compare("eq", x, y), s.like(rest, scale * math.log(2.0)), rest)
    return s.cast(s.add(s.binary("max", x, y), rest), dtype)


@op("logaddexp", MATH)
class Logaddexp:
    """log(e**x + e**y) without overflow. The bound is in units of the larger operand, where the
    result is smaller.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(low=-2, high=2), f64(low=-2, high=2)),
        sample(f64(6, low=-9, high=9), f64(6, low=-9, high=9)),
        sample(f32(7, 0), f32(7, 0)),
    ]
    infer = floats("logaddexp")

    def evaluate(x: Array, y: Array) -> Array:
        return rounded_once(np.logaddexp, x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return _weights(b, x, y, 1.0)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return _sum_of_powers(s, x, y, "exp", 1.0)


@op("logaddexp2", MATH)
class Logaddexp2:
    """log2(2**x + 2**y) without overflow. The bound is in units of the larger operand, where the
    result is smaller.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(low=-2, high=2), f64(low=-2, high=2)),
        sample(f64(6, low=-9, high=9), f64(6, low=-9, high=9)),
        sample(f32(7, 0), f32(7, 0)),
    ]
    infer = floats("logaddexp2")

    def evaluate(x: Array, y: Array) -> Array:
        return rounded_once(np.logaddexp2, x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        return _weights(b, x, y, math.log(2.0))

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return _sum_of_powers(s, x, y, "exp2", 1.0 / math.log(2.0))
