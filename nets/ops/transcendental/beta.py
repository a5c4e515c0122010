"""The logarithm of the beta function."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from nets.ir.core import Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import Lazy, op, sample
from nets.ops.definition.samples import f32, f64
from nets.ops.tensor.elementwise import MATH, floats
from nets.ops.transcendental import beta_formulas
from nets.ops.transcendental.calculus import rules


@op("betaln", MATH)
class Betaln:
    """log B(a, b) = log (Γ(a) · Γ(b) / Γ(a + b)); inf where one is 0, NaN where one is negative."""

    operands = ("a", "b")
    samples = [
        sample(f32(3, 5, low=0.5, high=9), f32(3, 5, low=0.5, high=9)),
        sample(f64(low=1, high=3), f64(low=1, high=3)),
        sample(f64(6, low=0.5, high=20), f64(6, low=0.5, high=20)),
        sample(f32(7, 0, low=1), f32(7, 0, low=1)),
    ]
    infer = floats("betaln")
    evaluate, lower = rules(beta_formulas.betaln)

    def partials(b: Emitter, x: Value, y: Value, z: Value) -> tuple[Lazy, ...]:
        def slope(part: Value) -> Value:
            return b.sub(b.emit("digamma", part), b.emit("digamma", b.add(x, y)))

        return lambda: slope(x), lambda: slope(y)
