"""Sorting: the elements of the last axis in order, and the positions that put them there.

Equal elements keep the order they have, in descending order as well. 0 and −0 are equal; NaN are
equal to each other and larger than all numbers, as in NumPy: the last ones in ascending order.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from nets.errors import ShapeError
from nets.ir.core import Trait, Value
from nets.ir.types import BufferType, TensorType, i64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.loop.sorting import stable_order, work_type

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.EXACT


def _rows(name: str, x: TensorType) -> TensorType:
    if not x.rank:
        raise ShapeError(f"{name} of {x} has no axis")
    return x


def _lower(s: Lowering, x: Value, out: Value, *, descending: bool, positions: bool) -> None:
    """``loop.sort`` of the last axis."""
    *outer, n = buffer_type(x).shape
    rows = math.prod(outer)
    if any(isinstance(size, int) and size == 0 for size in (*outer, n)):
        return
    shape = (rows, n)
    source = s.view(x, BufferType(shape, x.type.dtype))
    target = s.view(out, BufferType(shape, out.type.dtype))
    work = s.alloc(work_type(buffer_type(source), positions))
    s.emit("sort", source, work, target, descending=descending, positions=positions)


@op("argsort", _TRAITS, attributes=("descending",))
class ArgSort:
    """The positions (i64) that sort the last axis."""

    operands = ("x",)
    native_from = 524288
    batch = ITSELF
    no_derivative = "positions change in steps"
    samples = [
        sample(draw.f32(3, 5), descending=False),
        sample(draw.f64(2, 3, 17), descending=True),
        sample(draw.i32(40, low=-3, high=3), descending=False),
        sample(draw.u8(2, 33, high=3), descending=True),
        sample(draw.boolean(7), descending=True),
        sample(draw.u64(2, 9), descending=False),
        sample(draw.f32(3, 0), descending=False),
        sample(draw.f32(2, 1), descending=True),
    ]

    def infer(x: TensorType, *, descending: bool) -> TensorType:
        return _rows("argsort", x).with_dtype(i64)

    def evaluate(x: Array, *, descending: bool) -> Array:
        return stable_order(x, descending=descending)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, descending: bool
    ) -> None:
        _lower(s, operands[0], results[0], descending=descending, positions=True)


@op("sort", _TRAITS, attributes=("descending",))
class Sort:
    """The elements of the last axis in ascending, or descending, order."""

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 5), descending=False),
        sample(draw.f64(2, 3, 17), descending=True),
        sample(draw.f64(33), descending=False),
        sample(draw.i16(2, 40), descending=True),
        sample(draw.u32(37, high=9), descending=False),
        sample(draw.i64(3, 9), descending=True),
        sample(draw.boolean(2, 7), descending=False),
        sample(draw.f32(0, 3), descending=False),
        sample(draw.f32(2, 1), descending=True),
    ]

    def infer(x: TensorType, *, descending: bool) -> TensorType:
        return _rows("sort", x)

    def evaluate(x: Array, *, descending: bool) -> Array:
        # Of elements that are equal, only zeros differ.
        differ = x.dtype.kind == "f" and bool(np.any((x == 0) & np.signbit(x)))
        kind: Literal["stable"] | None = "stable" if differ else None
        if not descending:
            return np.sort(x, axis=-1, kind=kind)
        return np.ascontiguousarray(np.sort(x[..., ::-1], axis=-1, kind=kind)[..., ::-1])

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        descending: bool,
    ) -> tuple[Callable[[], Value]]:
        """Each element of ct goes back to where the element came from."""
        (x,), (ct,) = operands, cts

        def of_x() -> Value:
            order, axis = b.emit("argsort", x, descending=descending), tensor_type(x).rank - 1
            return b.emit("scatter", b.zero(ct), order, ct, axis=axis, combiner="set")

        return (of_x,)

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        descending: bool,
    ) -> Tangents:
        (x,), (tangent,) = operands, tangents
        assert tangent is not None
        order = b.emit("argsort", x, descending=descending)
        return (b.emit("pick", tangent, order, axis=tensor_type(x).rank - 1),)

    def footprint(f: Footprints, x: Footprint, *, descending: bool) -> Footprint:
        """Any element of the row may be the one."""
        last = len(x.shape) - 1
        return f.broadcast(f.reduce(x, (last,)), x.shape, tuple(range(last)))

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, descending: bool
    ) -> None:
        _lower(s, operands[0], results[0], descending=descending, positions=False)
