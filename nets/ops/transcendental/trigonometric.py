"""The tangent, the inverses of trigonometric functions, and the angle of a point."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import numpy as np

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.tensor.mathematics import rounded_once


def _slope_of_arcsine(b: Emitter, x: Value) -> Value:
    """1 / √(1 − x²), which is infinite at ±1."""
    return b.emit("rsqrt", b.mul(b.sub(b.one(x), x), b.add(b.one(x), x)))


@op("tan", MATH)
class Tan:
    """Tangent of x in radians; NaN at ±inf."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=-1, high=1), f32(7, 0)]
    infer = floats("tan")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.tan, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.add(b.one(y), b.mul(y, y)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("tan", x)


@op("arcsin", MATH)
class Arcsin:
    """Arcsine, from −π/2 to π/2; NaN beyond ±1. The derivative is inf at ±1."""

    operands = ("x",)
    samples = [f32(3, 5, low=-1, high=1), f64(7, low=-0.9, high=0.9), f32(7, 0)]
    infer = floats("arcsin")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arcsin, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _slope_of_arcsine(b, x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arcsin", x)


@op("arccos", MATH)
class Arccos:
    """Arccosine, from 0 to π; NaN beyond ±1. The derivative is −inf at ±1."""

    operands = ("x",)
    samples = [f32(3, 5, low=-1, high=1), f64(7, low=-0.9, high=0.9), f32(7, 0)]
    infer = floats("arccos")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arccos, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.neg(_slope_of_arcsine(b, x)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arccos", x)


@op("arctan", MATH)
class Arctan:
    """Arctangent, from −π/2 to π/2."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("arctan")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arctan, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.one(x), b.add(b.one(x), b.mul(x, x))),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arctan", x)


@op("arctan2", MATH)
class Arctan2:
    """The angle of the point (x, y), from −π to π, with the special cases of C.

    The derivatives are x / (x² + y²) and −y / (x² + y²), NaN at (0, 0).
    """

    operands = ("y", "x")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(low=1, high=2), f64(low=1, high=2)),
        sample(f64(6, low=-3, high=-1), f64(6, low=0.5, high=3)),
        sample(f32(7, 0), f32(7, 0)),
    ]
    infer = floats("arctan2")

    def evaluate(y: Array, x: Array) -> Array:
        return rounded_once(np.arctan2, y, x)

    def partials(b: Emitter, y: Value, x: Value, z: Value) -> tuple[Lazy, ...]:
        def over_square(top: Value) -> Value:
            size = b.emit("hypot", x, y)
            return b.div(b.div(top, size), size)

        return lambda: over_square(x), lambda: b.neg(over_square(y))

    def lower(s: LoopBuilder, y: Value, x: Value) -> Value:
        return s.math("arctan2", y, x)


@op("hypot", MATH)
class Hypot:
    """√(x² + y²) without overflow on the way; inf where either is infinite. The derivatives at
    (0, 0) are 0.
    """

    operands = ("x", "y")
    samples = [
        sample(f32(3, 5), f32(3, 5)),
        sample(f64(low=1, high=2), f64(low=1, high=2)),
        sample(f64(6, low=-3, high=-1), f64(6, low=0.5, high=3)),
        sample(f32(7, 0), f32(7, 0)),
    ]
    infer = floats("hypot")

    def evaluate(x: Array, y: Array) -> Array:
        return rounded_once(np.hypot, x, y)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        def share(part: Value) -> Value:
            nothing = b.compare("equal", z, b.zero(z))
            return b.div(part, b.select(nothing, b.one(z), z))

        return lambda: share(x), lambda: share(y)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return s.math("hypot", x, y)
