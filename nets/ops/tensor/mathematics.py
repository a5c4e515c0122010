"""Mathematics: exponentials, roots, trigonometric and sigmoid-like functions of floats.

The reference computes float32 in float64 and rounds once, so that it is within a hair of correctly
rounded; float64 is NumPy's own. The native functions (``nets.backend.llvm.math``) keep the bounds
of numerics.md, 3.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nets.ir.core import Trait, Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Array, Lazy, op
from nets.ops.definition.samples import f32, f64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, MATH, floats


def rounded_once(function: Callable[..., Array], *arguments: Array) -> Array:
    """The function in float64, rounded to the dtype of its arguments."""
    wide = np.asarray(function(*(x.astype(np.float64, copy=False) for x in arguments)))
    return wide.astype(arguments[0].dtype, copy=False)


@op("exp", MATH)
class Exp:
    """e to the power of x."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("exp")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.exp, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (y,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("exp", x)


@op("log", MATH)
class Log:
    """Natural logarithm; −inf at 0, NaN below."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=2), f64(7, low=0.1, high=50), f32(7, 0)]
    infer = floats("log")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.log, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.one(x), x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("log", x)


@op("log1p", MATH)
class Log1p:
    """log(1 + x), accurate near 0."""

    operands = ("x",)
    samples = [f32(3, 5, low=-0.9, high=9), f64(), f64(7, low=-0.5, high=0.5), f32(7, 0)]
    infer = floats("log1p")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.log1p, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.one(x), b.add(b.one(x), x)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("log1p", x)


@op("expm1", MATH)
class Expm1:
    """exp(x) − 1, accurate near 0."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-0.5, high=0.5), f32(7, 0)]
    infer = floats("expm1")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.expm1, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("exp", x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("expm1", x)


@op("sqrt", EXACT | Trait.FLOAT_ONLY | Trait.COSTLY)
class Sqrt:
    """Correctly rounded square root; NaN below 0. The derivative is inf at 0."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=2), f32(7, 0)]
    infer = floats("sqrt")

    def evaluate(x: Array) -> Array:
        return np.sqrt(x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.div(b.full_like(y, 0.5), y),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.unary("sqrt", x)


@op("rsqrt", MATH)
class Rsqrt:
    """1 / sqrt(x); inf at 0, NaN below."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.1, high=9), f64(low=1, high=2), f32(7, 0)]
    infer = floats("rsqrt")

    def evaluate(x: Array) -> Array:
        return rounded_once(lambda wide: 1.0 / np.sqrt(wide), x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.scale(b.div(y, x), -0.5),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("rsqrt", x)


@op("sin", MATH)
class Sin:
    """Sine of x in radians; NaN at ±inf."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("sin")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.sin, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("cos", x),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("sin", x)


@op("cos", MATH)
class Cos:
    """Cosine of x in radians; NaN at ±inf."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("cos")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.cos, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.neg(b.emit("sin", x)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("cos", x)


@op("tanh", MATH)
class Tanh:
    """Hyperbolic tangent."""

    operands = ("x",)
    samples = [f32(3, 5, low=-3, high=3), f64(), f32(7, 0)]
    infer = floats("tanh")

    def evaluate(x: Array) -> Array:
        return rounded_once(np.tanh, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.sub(b.one(y), b.mul(y, y)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("tanh", x)


@op("sigmoid", MATH)
class Sigmoid:
    """1 / (1 + exp(−x)), without overflow on either side."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(), f32(7, 0)]
    infer = floats("sigmoid")

    def evaluate(x: Array) -> Array:
        return rounded_once(_stable_sigmoid, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.mul(y, b.sub(b.one(y), y)),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("sigmoid", x)


def _stable_sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


@op("erf", MATH)
class Erf:
    """The error function, 2/√π · ∫₀ˣ exp(−t²) dt."""

    operands = ("x",)
    samples = [f32(3, 5, low=-3, high=3), f64(), f32(7, 0)]
    infer = floats("erf")

    def evaluate(x: Array) -> Array:
        return rounded_once(erf_of_each, x)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        slope = 2.0 / math.sqrt(math.pi)
        return (lambda: b.scale(b.emit("exp", b.neg(b.mul(x, x))), slope),)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.math("erf", x)


def erf_of_each(x: Array) -> Array:
    """NumPy has no erf; the C library's, one element at a time."""
    values = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size)
    return values.reshape(x.shape)
