"""Operations that are there for gradients alone: stop_gradient and leaf."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Trait, Value
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.definition.samples import boolean, f32, f64, i64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, anything, floats


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


@op("leaf", EXACT)
class Leaf:
    """x as it is, in the eyes of derivatives y: new elements of a tensor that has a gradient.

    What is computed from the new elements adds to the gradient of the tensor, as does what was
    computed from those before; none of it reaches what the new ones were made of.
    """

    operands = ("x", "y")
    samples = [sample(f32(3, 5), f32(3, 5)), sample(f64(), f64()), sample(f32(7, 0), f32(7, 0))]
    infer = floats("leaf")

    def evaluate(x: Array, y: Array) -> Array:
        return x.copy()

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> list[Value | None]:
        return [None, cts[0]]

    def footprint(f: Footprints, x: Footprint, y: Footprint) -> Footprint:
        return y

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        return (tangents[1],)

    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        return x
