"""Operations that are there for gradients alone: stop_gradient."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from nets.ir.core import Trait, Value
from nets.ops.elementwise import EXACT, anything
from nets.ops.emitter import Emitter
from nets.ops.loop_builder import LoopBuilder
from nets.ops.registry import Array, Lazy, op, sample
from nets.ops.samples import boolean, f32, f64, i64


@op("stop_gradient", EXACT | Trait.STOPS_GRADIENT)
class StopGradient:
    """x as it is, but a constant to every derivative: zero by definition."""

    operands = ("x",)
    samples = [f32(3, 5), f64(), f32(7, 0), sample(i64(4)), sample(boolean(3))]
    infer = anything("stop_gradient")

    def evaluate(x: Array) -> Array:
        return x.copy()

    def partials(b: Emitter, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (None,)

    def lower(s: LoopBuilder, x: Value) -> Value:
        return x
