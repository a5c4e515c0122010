"""Error functions, the normal distribution function, and their inverses."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.transcendental import error_formulas
from nets.ops.transcendental.calculus import rules


def _bell(b: Emitter, x: Value, factor: float, width: float) -> Value:
    """factor · e**(−width · x²)."""
    return b.scale(b.emit("exp", b.scale(b.mul(x, x), -width)), factor)


@op("erfc", MATH)
class Erfc:
    """1 − erf(x), with all digits where that is small."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-3, high=3), f32(7, 0)]
    infer = floats("erfc")
    evaluate, lower = rules(error_formulas.erfc)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _bell(b, x, -2.0 / math.sqrt(math.pi), 1.0),)


@op("erfcx", MATH)
class Erfcx:
    """e**(x²) · erfc(x), which is near 1 / (√π · x) for large x and inf for very negative ones."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-3, high=3), f32(7, 0)]
    infer = floats("erfcx")
    evaluate, lower = rules(error_formulas.erfcx)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            rest = b.full_like(x, 2.0 / math.sqrt(math.pi))
            return b.sub(b.scale(b.mul(x, y), 2.0), rest)

        return (slope,)


@op("erfinv", MATH)
class Erfinv:
    """The number whose erf is x: ±inf at ±1, NaN beyond."""

    operands = ("x",)
    samples = [f32(3, 5, low=-1, high=1), f64(7, low=-0.9, high=0.9), f32(7, 0)]
    infer = floats("erfinv")
    evaluate, lower = rules(error_formulas.erfinv)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _bell(b, y, math.sqrt(math.pi) / 2.0, -1.0),)


@op("ndtr", MATH)
class Ndtr:
    """The normal distribution function, ½ · erfc(−x / √2)."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-3, high=3), f32(7, 0)]
    infer = floats("ndtr")
    evaluate, lower = rules(error_formulas.ndtr)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _bell(b, x, 1.0 / math.sqrt(2.0 * math.pi), 0.5),)


@op("log_ndtr", MATH)
class LogNdtr:
    """The logarithm of the normal distribution function, for very negative numbers, too."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f64(7, low=-3, high=3), f32(7, 0)]
    infer = floats("log_ndtr")
    evaluate, lower = rules(error_formulas.log_ndtr)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            scaled = b.emit("erfcx", b.scale(x, -math.sqrt(0.5)))
            return b.div(b.full_like(x, math.sqrt(2.0 / math.pi)), scaled)

        return (slope,)


@op("ndtri", MATH)
class Ndtri:
    """The number up to which the normal distribution has probability x: ∓inf at 0 and 1."""

    operands = ("x",)
    samples = [f32(3, 5, low=0.01, high=0.99), f64(7, low=0.1, high=0.9), f32(7, 0, low=0.1)]
    infer = floats("ndtri")
    evaluate, lower = rules(error_formulas.ndtri)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: _bell(b, y, math.sqrt(2.0 * math.pi), -0.5),)
