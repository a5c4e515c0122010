"""Running: what is known of the elements along an axis up to each one, by one step per element.

The steps of a row are in their order, so that sums and products of floats have the bits of NumPy's.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.core import Trait, Value
from nets.ir.types import TensorType, i64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.order.running_across import Across
from nets.ops.order.running_pass import Alone, Layout, Scanned
from nets.ops.order.running_rows import Rows
from nets.ops.order.running_rules import Extreme, Folding, Linear, Rule

_TRAITS: Final = Trait.PURE | Trait.KERNEL | Trait.EXACT

_EXTREMES: Final = ("max", "min")

COMBINERS: Final = ("add", "mul", *_EXTREMES)


def _check_axis(name: str, x: TensorType, axis: int) -> None:
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{name} of {x} has no axis {axis}")


@op("running", _TRAITS, attributes=("axis", "combiner", "reverse"))
class Running:
    """For each element along an axis, those up to it combined; with ``reverse`` those from it on,
    beginning at the last. ``combiner`` is one of ``COMBINERS``; bools are only added, as i64.

    Of equal extremes it is the one that comes last; a NaN is the largest and the smallest number.
    """

    operands = ("x",)
    batch = ITSELF
    native_from = 524288
    samples = [
        sample(draw.f32(3, 17), axis=1, combiner="add", reverse=False),
        sample(draw.f64(2, 9, 5), axis=1, combiner="add", reverse=True),
        sample(draw.f64(23), axis=0, combiner="mul", reverse=False),
        sample(draw.f64(3, 5), axis=0, combiner="mul", reverse=True),
        sample(draw.f64(2, 2, 11), axis=2, combiner="max", reverse=False),
        sample(draw.f64(37), axis=0, combiner="min", reverse=True),
        sample(draw.i8(40, low=-3, high=3), axis=0, combiner="add", reverse=True),
        sample(draw.u64(2, 9, high=3), axis=1, combiner="mul", reverse=False),
        sample(draw.i32(7, 90, low=-3, high=3), axis=0, combiner="max", reverse=False),
        sample(draw.boolean(3, 33), axis=1, combiner="add", reverse=False),
        sample(draw.f32(0, 3), axis=1, combiner="min", reverse=False),
        sample(draw.boolean(2, 0), axis=1, combiner="add", reverse=False),
    ]

    def infer(x: TensorType, *, axis: int, combiner: str, reverse: bool) -> TensorType:
        _check_axis("running", x, axis)
        if combiner not in COMBINERS:
            raise DTypeError(f"running has no combiner {combiner!r}")
        if x.dtype.is_bool and combiner != "add":
            raise DTypeError(f"running only adds bools, it does not {combiner} {x}")
        return x.with_dtype(i64) if x.dtype.is_bool else x

    def evaluate(x: Array, *, axis: int, combiner: str, reverse: bool) -> Array:
        x = np.flip(x, axis) if reverse else x
        if combiner in _EXTREMES:
            found = np.take_along_axis(x, _places(x, axis, combiner), axis)
        else:
            dtype = np.int64 if x.dtype == bool else x.dtype
            ufunc: Any = np.add if combiner == "add" else np.multiply
            found = ufunc.accumulate(x, axis, dtype)
        return np.ascontiguousarray(np.flip(found, axis) if reverse else found)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        axis: int,
        combiner: str,
        reverse: bool,
    ) -> tuple[Callable[[], Value]]:
        (x,), (y,), (ct,) = operands, results, cts
        row = _Row(b, axis, reverse)

        def of_x() -> Value:
            if combiner == "add":
                return b.emit("running", ct, axis=axis, combiner="add", reverse=not reverse)
            if combiner == "mul":
                after = _Row(b, axis, not reverse)
                return b.mul(row.before(y, 1), after.linear(after.before(x, 0), ct))
            places = row.places(x, combiner)
            return b.emit("scatter", b.zero(ct), places, ct, axis=axis, combiner="add")

        return (of_x,)

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        axis: int,
        combiner: str,
        reverse: bool,
    ) -> Tangents:
        (x,), (y,), (tangent,) = operands, results, tangents
        assert tangent is not None
        row = _Row(b, axis, reverse)
        if combiner == "add":
            return (b.emit("running", tangent, axis=axis, combiner="add", reverse=reverse),)
        if combiner == "mul":
            return (row.linear(x, b.mul(tangent, row.before(y, 1))),)
        return (b.emit("pick", tangent, row.places(x, combiner), axis=axis),)

    def footprint(
        f: Footprints, x: Footprint, *, axis: int, combiner: str, reverse: bool
    ) -> Footprint:
        return _up_to(f, x, axis, reverse)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        axis: int,
        combiner: str,
        reverse: bool,
    ) -> None:
        dtype, rule = results[0].type.dtype, None
        if combiner in _EXTREMES:
            rule = Extreme(dtype, combiner, places=False)
        _lower(s, rule or Folding(dtype, combiner), operands, results[0], axis, reverse)


@op("running_place", _TRAITS, attributes=("axis", "combiner", "reverse"))
class RunningPlace:
    """For each element along an axis, the position (i64) of the largest of those up to it, with
    "min" of the smallest: what ``running`` takes there."""

    operands = ("x",)
    batch = ITSELF
    native_from = 524288
    no_derivative = "positions change in steps"
    samples = [
        sample(draw.f32(3, 17), axis=1, combiner="max", reverse=False),
        sample(draw.f64(2, 2, 5), axis=2, combiner="min", reverse=True),
        sample(draw.f64(7, 90), axis=0, combiner="min", reverse=False),
        sample(draw.i8(40, low=-3, high=3), axis=0, combiner="max", reverse=False),
        sample(draw.i8(40, low=-3, high=3), axis=0, combiner="max", reverse=True),
        sample(draw.u64(2, 9, high=3), axis=1, combiner="min", reverse=False),
        sample(draw.f32(0, 3), axis=0, combiner="min", reverse=False),
    ]

    def infer(x: TensorType, *, axis: int, combiner: str, reverse: bool) -> TensorType:
        _check_axis("running_place", x, axis)
        if combiner not in _EXTREMES:
            raise DTypeError(f"running_place has no combiner {combiner!r}")
        if x.dtype.is_bool:
            raise DTypeError(f"running_place finds numbers, not {x}")
        return x.with_dtype(i64)

    def evaluate(x: Array, *, axis: int, combiner: str, reverse: bool) -> Array:
        if not reverse:
            return _places(x, axis, combiner)
        found = x.shape[axis] - 1 - _places(np.flip(x, axis), axis, combiner)
        return np.ascontiguousarray(np.flip(found, axis))

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        axis: int,
        combiner: str,
        reverse: bool,
    ) -> None:
        rule = Extreme(operands[0].type.dtype, combiner, places=True)
        _lower(s, rule, operands, results[0], axis, reverse)


@op("running_linear", _TRAITS | Trait.FLOAT_ONLY, attributes=("axis", "reverse"))
class RunningLinear:
    """y[i] = a[i] · y[i − 1] + b[i] along an axis, both rounded, and y[0] = b[0]; with ``reverse``
    from the last element on. What the derivatives of running products are made of."""

    operands = ("a", "b")
    batch = ITSELF
    native_from = 4096
    samples = [
        sample(draw.f32(3, 17), draw.f32(3, 17), axis=1, reverse=False),
        sample(draw.f64(2, 4, 5), draw.f64(2, 4, 5), axis=1, reverse=True),
        sample(draw.f64(9), draw.f64(9), axis=0, reverse=False),
        sample(draw.f64(2, 5), draw.f64(2, 5), axis=1, reverse=True),
        sample(draw.f32(4, 90), draw.f32(4, 90), axis=0, reverse=False),
        sample(draw.f32(0, 3), draw.f32(0, 3), axis=1, reverse=False),
    ]

    def infer(a: TensorType, b: TensorType, *, axis: int, reverse: bool) -> TensorType:
        _check_axis("running_linear", a, axis)
        if a.shape != b.shape:
            raise ShapeError(f"running_linear takes one shape, not {a} and {b}")
        if a.dtype != b.dtype or not a.dtype.is_float:
            raise DTypeError(f"running_linear takes floats of one dtype, not {a} and {b}")
        return a

    def evaluate(a: Array, b: Array, *, axis: int, reverse: bool) -> Array:
        result = b.copy()
        factors, y = (np.moveaxis(each, axis, 0) for each in (a, result))
        if reverse:
            factors, y = factors[::-1], y[::-1]
        for i in range(1, len(y)):
            y[i] += factors[i] * y[i - 1]
        return result

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        axis: int,
        reverse: bool,
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        """That of the terms runs back, by the factor of the element before; that of the factors is
        it times what the factors were of."""
        row, back = _Row(b, axis, reverse), _Row(b, axis, not reverse)
        made: list[Value] = []

        def of_terms() -> Value:
            if not made:
                made.append(back.linear(back.before(operands[0], 0), cts[0]))
            return made[0]

        return lambda: b.mul(of_terms(), row.before(results[0], 0)), of_terms

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        axis: int,
        reverse: bool,
    ) -> Tangents:
        row, (of_factors, of_terms) = _Row(b, axis, reverse), tangents
        total = of_terms
        if of_factors is not None:
            part = b.mul(of_factors, row.before(results[0], 0))
            total = part if of_terms is None else b.add(part, of_terms)
        assert total is not None
        return (row.linear(operands[0], total),)

    def footprint(
        f: Footprints, a: Footprint, b: Footprint, *, axis: int, reverse: bool
    ) -> Footprint:
        return _up_to(f, f.union(a, b), axis, reverse)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        axis: int,
        reverse: bool,
    ) -> None:
        rule = Linear(results[0].type.dtype)
        _lower(s, rule, operands, results[0], axis, reverse)


def _places(x: Array, axis: int, combiner: str) -> Array:
    """The last position of the extreme up to each element, which a NaN is."""
    extreme = np.maximum if combiner == "max" else np.minimum
    is_new = (x == extreme.accumulate(x, axis)) | (x != x)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    here = np.where(is_new, np.arange(x.shape[axis]).reshape(shape), 0)
    return np.maximum.accumulate(here, axis)


def _up_to(f: Footprints, x: Footprint, axis: int, reverse: bool) -> Footprint:
    """The elements up to each one: in each round also what the one a distance before has."""
    size, distance = x.shape[axis], 1
    while distance < size:
        starts, stops, low = [0] * len(x.shape), list(x.shape), [0] * len(x.shape)
        if reverse:
            starts[axis] = distance
        else:
            stops[axis], low[axis] = size - distance, distance
        part = f.slice(x, tuple(starts), tuple(stops), (1,) * len(x.shape))
        x = f.union(x, f.place(part, tuple(low), x.shape))
        distance *= 2
    return x


class _Row:
    """What derivatives emit along an axis, in one direction."""

    def __init__(self, b: Emitter, axis: int, reverse: bool) -> None:
        self.b, self.axis, self.reverse = b, axis, reverse

    def linear(self, factors: Value, terms: Value) -> Value:
        return self.b.emit("running_linear", factors, terms, axis=self.axis, reverse=self.reverse)

    def places(self, x: Value, combiner: str) -> Value:
        return self.b.emit(
            "running_place", x, axis=self.axis, combiner=combiner, reverse=self.reverse
        )

    def before(self, x: Value, first: float) -> Value:
        """For each element the one before it; at the first, a number."""
        b, axis, shape = self.b, self.axis, tensor_type(x).shape
        if isinstance(shape[axis], int) and shape[axis] == 0:
            return x
        ends = [0] * len(shape), list(shape), [0] * len(shape), [0] * len(shape)
        starts, stops, low, high = ends
        if self.reverse:
            starts[axis] = high[axis] = 1
        else:
            stops[axis], low[axis] = shape[axis] - 1, 1
        kept = b.emit("slice", x, starts=tuple(starts), stops=tuple(stops), steps=(1,) * len(shape))
        number = b.constant(first, x.type.dtype)
        return b.emit("pad", kept, number, low=tuple(low), high=tuple(high))


def _lower(
    s: Lowering, rule: Rule, sources: Sequence[Value], out: Value, axis: int, reverse: bool
) -> None:
    shape = buffer_type(out).shape
    size = shape[axis]
    layout = Layout(math.prod(shape[:axis]), size, math.prod(shape[axis + 1 :]), reverse)
    if isinstance(layout.elements, int) and not layout.elements:
        return
    if layout.inner != 1:
        Across(s, rule, sources, out, layout).write()
        return
    rows, row = Rows(s, rule, sources, out, layout), Scanned(s, rule, sources, out, layout)
    if layout.outer != 1 and rows.group > 1 and not row.is_better:
        rows.write()
    elif rule.is_associative and row.lanes_of_row > 1 and (layout.outer == 1 or row.is_better):
        row.write()
    else:
        Alone(s, rule, sources, out, layout).write()
