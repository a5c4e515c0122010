"""Hyperbolic functions and their inverses."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import numpy as np

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Array, Lazy, op
from nets.ops.definition.samples import f32, f64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.tensor.mathematics import rounded_once


def _slope_of_arccosh(b: Emitter, x: Value) -> Value:
    """1 / √(x² − 1), NaN below 1."""
    below, above = b.sub(x, b.one(x)), b.add(x, b.one(x))
    return b.mul(b.emit("rsqrt", below), b.emit("rsqrt", above))


@op("sinh", MATH)
class Sinh:
    """Hyperbolic sine."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0)]
    infer = floats("sinh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.sinh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("cosh", x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("sinh", x)


@op("cosh", MATH)
class Cosh:
    """Hyperbolic cosine."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0)]
    infer = floats("cosh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.cosh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("sinh", x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("cosh", x)


@op("arcsinh", MATH)
class Arcsinh:
    """Inverse of the hyperbolic sine."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("arcsinh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arcsinh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.one(x), b.emit("hypot", x, b.one(x))),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arcsinh", x)


@op("arccosh", MATH)
class Arccosh:
    """Inverse of the hyperbolic cosine, from 0 on; NaN below 1. The derivative is inf at 1."""

    operands = ("x",)
    samples = [
        f32(3, 5, low=1, high=9),
        f64(low=2, high=3),
        f64(7, low=1.5, high=9),
        f32(7, 0, low=1),
    ]
    infer = floats("arccosh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arccosh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _slope_of_arccosh(b, x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arccosh", x)


@op("arctanh", MATH)
class Arctanh:
    """Inverse of the hyperbolic tangent; ±inf at ±1, NaN beyond."""

    operands = ("x",)
    samples = [f32(3, 5, low=-1, high=1), f64(7, low=-0.9, high=0.9), f32(7, 0)]
    infer = floats("arctanh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.arctanh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.one(x), b.mul(b.sub(b.one(x), x), b.add(b.one(x), x))),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("arctanh", x)
