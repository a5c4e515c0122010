"""Modified Bessel functions of the first kind, of order 0 and 1."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.transcendental import bessel_formulas
from nets.ops.transcendental.calculus import rules


def _over(b: Emitter, y: Value, x: Value) -> Value:
    """y / x, of an odd function with slope ½ at 0."""
    nothing = b.compare("equal", x, b.zero(x))
    return b.select(nothing, b.full_like(x, 0.5), b.div(y, b.select(nothing, b.one(x), x)))


@op("i0", MATH)
class I0:
    """I₀(x)."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=1, high=2), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("i0")
    evaluate, lower = rules(bessel_formulas.i0)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.emit("i1", x),)


@op("i0e", MATH)
class I0e:
    """e**−|x| · I₀(x)."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=1, high=2), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("i0e")
    evaluate, lower = rules(bessel_formulas.i0e)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.sub(b.emit("i1e", x), b.mul(b.emit("sign", x), y)),)


@op("i1", MATH)
class I1:
    """I₁(x)."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=1, high=2), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("i1")
    evaluate, lower = rules(bessel_formulas.i1)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (lambda: b.sub(b.emit("i0", x), _over(b, y, x)),)


@op("i1e", MATH)
class I1e:
    """e**−|x| · I₁(x)."""

    operands = ("x",)
    samples = [f32(3, 5, low=-9, high=9), f64(low=1, high=2), f64(7, low=-20, high=20), f32(7, 0)]
    infer = floats("i1e")
    evaluate, lower = rules(bessel_formulas.i1e)

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        def slope() -> Value:
            rest = b.add(_over(b, y, x), b.mul(b.emit("sign", x), y))
            return b.sub(b.emit("i0e", x), rest)

        return (slope,)
