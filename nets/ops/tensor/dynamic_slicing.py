"""Windows whose place is known only when the program runs: cut out, and put in.

A start is a 0-d i64, one per axis. A negative one counts from the end, and then it moves so far
that the window fits, as in JAX (Bradbury et al., 2018).
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine, linear
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim, at_most
from nets.ir.types import Shape, TensorType, i64, index
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, Spec, op, sample
from nets.ops.definition.stacks import each_repeated
from nets.ops.loop.lowering import Lowering, buffer_type

Index = tuple[Affine, ...]


def _start() -> Spec:
    return draw.i64(low=-9, high=9)


def _check(name: str, x: TensorType, sizes: Shape, starts: Sequence[TensorType]) -> None:
    """ShapeError or DTypeError unless a window of these sizes can be placed in x."""
    if not len(sizes) == len(starts) == x.rank:
        raise ShapeError(
            f"{name} of {x} needs {x.rank} sizes and starts, not {len(sizes)} and {len(starts)}"
        )
    for start in starts:
        if start != TensorType((), i64):
            raise DTypeError(f"{name} takes starts of type tensor<i64>, not {start}")
    for axis, (size, dim) in enumerate(zip(sizes, x.shape, strict=True)):
        if at_most(size, dim, {}) is False or at_most(0, size, {}) is False:
            raise ShapeError(f"{name} of {x}: a window of {size} does not fit axis {axis}")


def _window(x: Array, sizes: Sequence[int], starts: Sequence[Array]) -> tuple[slice, ...]:
    places = []
    for size, dim, start in zip(sizes, x.shape, starts, strict=True):
        place = int(start) + (dim if start < 0 else 0)
        place = min(max(place, 0), dim - size)
        places.append(slice(place, place + size))
    return tuple(places)


def _first(s: Lowering, start: Callable[[], Value], size: Dim, dim: Dim) -> Affine:
    """Where the window begins along an axis; no start is read where there is one place alone."""
    if size == dim:
        return Affine()
    zero = s.const(0, index)
    given = s.cast(start(), index)
    place = s.select(s.compare("lt", given, zero), s.add(given, s.index(dim)), given)
    return Affine.of(s.binary("max", s.binary("min", place, s.index(dim - size)), zero))


@op(
    "dynamic_slice",
    Trait.PURE | Trait.INDEXING | Trait.EXACT,
    attributes=("shape",),
    implied=("shape",),
)
class DynamicSlice:
    """The window of x of that shape which begins at the starts."""

    operands = ("x", "*starts")
    samples = [
        sample(draw.f32(5, 7), _start(), _start(), shape=(2, 7)),
        sample(draw.f64(3, 4), _start(), _start(), shape=(2, 3)),
        sample(draw.f64(7), _start(), shape=(3,)),
        sample(draw.f64(), shape=()),
        sample(draw.f32(3, 5), _start(), _start(), shape=(0, 5)),
        sample(draw.u8(2, 3, 4), _start(), _start(), _start(), shape=(1, 3, 2)),
        sample(draw.boolean(5), _start(), shape=(4,)),
    ]

    def infer(x: TensorType, *starts: TensorType, shape: Shape) -> TensorType:
        _check("dynamic_slice", x, shape, starts)
        return x.with_shape(shape)

    def evaluate(x: Array, *starts: Array, shape: tuple[int, ...]) -> Array:
        return np.array(x[_window(x, shape, starts)], order="C")

    def transpose(
        b: Emitter, ct: Value, x: Value, *starts: Value, shape: Shape
    ) -> tuple[Callable[[], Value] | None, ...]:
        def of_x() -> Value:
            zero = b.full(tensor_type(x).shape, 0, ct.type.dtype)
            return b.emit("dynamic_update_slice", zero, ct, *starts)

        return (of_x, *(None for _ in starts))

    def footprint(
        f: Footprints, x: Footprint, *starts: Footprint, shape: tuple[int, ...]
    ) -> Footprint:
        return f.window(x, shape, starts)

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        *,
        shape: Shape,
    ) -> tuple[Value] | None:
        """One window, of all examples, where they have the starts in common."""
        x, *starts = operands
        if any(stacked[1:]):
            return None
        first = b.constant(0, i64)
        return (b.emit("dynamic_slice", x, first, *starts, shape=(size, *shape)),)

    def lower(s: Lowering, at: Index, x: Value, *starts: Value, shape: Shape) -> Value:
        dims = tensor_type(x).shape
        places = [
            place + _first(s, lambda start=start: s.read(start, ()), size, dim)
            for place, start, size, dim in zip(at, starts, shape, dims, strict=True)
        ]
        return s.read(x, tuple(places))


@op("dynamic_update_slice", Trait.PURE | Trait.KERNEL | Trait.EXACT)
class DynamicUpdateSlice:
    """x with ``update`` in the window of its shape which begins at the starts."""

    operands = ("x", "update", "*starts")
    samples = [
        sample(draw.f32(5, 7), draw.f32(2, 7), _start(), _start()),
        sample(draw.f64(3, 4), draw.f64(2, 3), _start(), _start()),
        sample(draw.f64(7), draw.f64(3), _start()),
        sample(draw.f64(), draw.f64()),
        sample(draw.f32(3, 5), draw.f32(0, 5), _start(), _start()),
        sample(draw.u8(2, 3, 4), draw.u8(1, 3, 2), _start(), _start(), _start()),
        sample(draw.boolean(5), draw.boolean(4), _start()),
    ]

    def infer(x: TensorType, update: TensorType, *starts: TensorType) -> TensorType:
        _check("dynamic_update_slice", x, update.shape, starts)
        if x.dtype != update.dtype:
            raise DTypeError(f"dynamic_update_slice needs one dtype, not {x} and {update}")
        return x

    def evaluate(x: Array, update: Array, *starts: Array) -> Array:
        result = np.array(x, order="C")
        result[_window(x, update.shape, starts)] = update
        return result

    def transpose(
        b: Emitter, ct: Value, x: Value, update: Value, *starts: Value
    ) -> tuple[Callable[[], Value] | None, ...]:
        def of_x() -> Value:
            zero = b.full(tensor_type(update).shape, 0, ct.type.dtype)
            return b.emit("dynamic_update_slice", ct, zero, *starts)

        def of_update() -> Value:
            return b.emit("dynamic_slice", ct, *starts, shape=tensor_type(update).shape)

        return (of_x, of_update, *(None for _ in starts))

    def footprint(f: Footprints, x: Footprint, update: Footprint, *starts: Footprint) -> Footprint:
        return f.update(x, update, starts)

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim
    ) -> tuple[Value] | None:
        """One window, of all examples, where they have the starts in common."""
        if any(stacked[2:]):
            return None
        x, update = each_repeated(b, operands[:2], stacked[:2], size)
        first = b.constant(0, i64)
        return (b.emit("dynamic_update_slice", x, update, first, *operands[2:]),)

    updates = 0

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        """Stores the update, row by row of what is contiguous in both."""
        _, update, *starts = operands
        (out,) = results
        dims, sizes = buffer_type(out).shape, buffer_type(update).shape
        firsts = tuple(
            _first(s, lambda start=start: s.load(start, Affine()), size, dim)
            for start, size, dim in zip(starts, sizes, dims, strict=True)
        )
        _store_window(s, update, out, linear(firsts, dims))


def _store_window(s: Lowering, update: Value, out: Value, target: Affine) -> None:
    """Loops that store the update from the element ``target`` of ``out`` on."""
    sizes, dims = _merged(buffer_type(update).shape, buffer_type(out).shape)
    at: tuple[Affine, ...] = ()
    with ExitStack() as loops:
        for axis, size in enumerate(sizes):
            make = s.parallel if axis < len(sizes) - 1 else s.for_
            body = loops.enter_context(s.inside(make(0, size)))
            loops.callback(s.yield_)
            at = (*at, Affine.of(body.arguments[0]))
        s.store(s.load(update, linear(at, sizes)), out, target + linear(at, dims))


def _merged(sizes: Shape, dims: Shape) -> tuple[Shape, Shape]:
    """The same window with fewer axes: each with all axes behind it that are covered whole."""
    merged: list[tuple[Dim, Dim]] = []
    for size, dim in zip(reversed(sizes), reversed(dims), strict=True):
        if merged and merged[-1][0] == merged[-1][1]:
            whole = merged.pop()[0]
            size, dim = size * whole, dim * whole
        merged.append((size, dim))
    merged = merged[::-1] or [(1, 1)]
    return tuple(size for size, _ in merged), tuple(dim for _, dim in merged)
