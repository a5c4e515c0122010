"""Formulas with steps: ops of one element each that cannot stand in a fused loop.

A formula whose steps are counted by a loop of its own is a kernel over the elements of its
operands, as many at once as a vector of float64 has lanes. What an element is does not depend on
those beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.estimates import elements_about
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, TensorType, f32, f64
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.transcendental.calculus import Formula, Register, Registers, reference

LowerSteps = Callable[[Lowering, Sequence[Value], Sequence[Value]], None]


def rules_of_steps(formula: Formula) -> tuple[Callable[..., Array], LowerSteps]:
    """``evaluate`` and ``lower`` of a kernel whose meaning is a formula of each element."""

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        (out,) = results
        count = buffer_type(out).elements
        width = s.machine.lanes(f64)
        while isinstance(count, int) and width >= 2 * max(count, 1):
            width //= 2
        *inputs, out = (_row(s, x, count) for x in (*operands, out))
        with s.inside(s.parallel(0, (count + (width - 1)) // width)) as body:
            access = _Access(s, Affine.of(body.arguments[0]) * width, width, count)
            wide = [Register(s, s.cast(access.load(x), f64)) for x in inputs]
            found = formula(Registers(out.type.dtype == f32), *wide)
            access.store(s.cast(found.value, out.type.dtype), out)
            s.yield_()

    return reference(formula), lower


def flops_of_steps(*operands: TensorType) -> int:
    """About 150 steps for each element."""
    return elements_about(operands[0]) * 1000


def each_its_own(f: Footprints, *operands: Footprint) -> Footprint:
    """An element of the result depends on those at its place."""
    return f.union(*operands)


def _row(s: Lowering, x: Value, count: Dim) -> Value:
    return s.view(x, BufferType((count,), x.type.dtype))


class _Access:
    """Loads and stores of so many elements from a place on, and of none behind the last."""

    def __init__(self, s: Lowering, place: Affine, width: int, count: Dim) -> None:
        self.s, self.width = s, width
        self.indices = [value for value, _ in place.terms]
        self.strides = tuple(stride for _, stride in place.terms)
        self.mask: list[Value] = []
        if not isinstance(count, int) or count % width:
            rest = s.sub(s.index(count), s.index(place))
            self.mask = [s.emit("tail_mask", rest, lanes=width).result]

    def load(self, buffer: Value) -> Value:
        name = "masked_load" if self.mask else "load"
        operands = (*self.mask, buffer, *self.indices)
        return self.s.emit(name, *operands, lanes=self.width, offset=0, strides=self.strides).result

    def store(self, x: Value, buffer: Value) -> None:
        name = "masked_store" if self.mask else "store"
        operands = (*self.mask, x, buffer, *self.indices)
        self.s.emit(name, *operands, offset=0, strides=self.strides)
