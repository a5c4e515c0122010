"""Indexing by integer tensors: gather, and scatter_add, its transpose; pick.

Indices are i64; a negative one counts from the end. One out of range is an IndexOutOfBoundsError
of the reference and a failed check of native code, which reads position 0 meanwhile.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim, Size, expression
from nets.ir.types import BufferType, TensorType, i32, i64, index, u64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.stacks import each_repeated, merged, own_positions
from nets.ops.loop.lowering import Lowering, buffer_type

Index = tuple[Affine, ...]


def _gathered(name: str, x: TensorType, indices: TensorType, axis: int) -> TensorType:
    """The type with ``axis`` replaced by the axes of the indices."""
    if indices.dtype != i64:
        raise DTypeError(f"{name} takes indices of dtype i64, not {indices}")
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{name} of {x} has no axis {axis}")
    return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def normal_positions(name: str, indices: Array, axis: int, size: int) -> Array:
    """The indices counted from the start; an error for the first that is out of range."""
    bad = (indices < -size) | (indices >= size)
    if bad.any():
        first = int(indices[bad].flat[0])
        raise IndexOutOfBoundsError(
            f"{name}: index {first} is out of bounds for axis {axis} of size {size}"
        )
    return np.where(indices < 0, indices + size, indices)


@op(
    "gather",
    Trait.PURE | Trait.INDEXING | Trait.EXACT | Trait.CHECKED,
    attributes=("axis",),
)
class Gather:
    """The slices of x along ``axis`` at the indices; their axes take the place of that axis."""

    operands = ("x", "indices")
    samples = [
        sample(draw.f32(3, 5), draw.i64(4, low=-3, high=2), axis=0),
        sample(draw.f64(2, 3, 4), draw.i64(2, 2, low=-3, high=2), axis=1),
        sample(draw.f64(7), draw.i64(low=-7, high=6), axis=0),
        sample(draw.f32(3, 5), draw.i64(0), axis=1),
        sample(draw.f32(0, 5), draw.i64(3, low=-5, high=4), axis=1),
        sample(draw.i16(3, 5), draw.i64(7, low=-5, high=4), axis=1),
        sample(draw.boolean(5), draw.i64(2, 3, low=-5, high=4), axis=0),
    ]

    def infer(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
        return _gathered("gather", x, indices, axis)

    def evaluate(x: Array, indices: Array, *, axis: int) -> Array:
        positions = normal_positions("gather", indices, axis, x.shape[axis])
        return np.asarray(np.take(x, positions, axis=axis))

    def transpose(
        b: Emitter, ct: Value, x: Value, indices: Value, *, axis: int
    ) -> tuple[Callable[[], Value], None]:
        def of_x() -> Value:
            zero = b.full(tensor_type(x).shape, 0, ct.type.dtype)
            return b.emit("scatter_add", zero, indices, ct, axis=axis)

        return of_x, None

    def footprint(f: Footprints, x: Footprint, indices: Footprint, *, axis: int) -> Footprint:
        return f.gather(x, axis, indices)

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim, *, axis: int
    ) -> tuple[Value]:
        """Rows of all examples together, where each has indices of its own."""
        x, indices = operands
        if not stacked[1]:
            return (b.emit("gather", x, indices, axis=axis + 1),)
        if not stacked[0]:
            return (b.moved(b.emit("gather", x, indices, axis=axis), axis, 0),)
        rows = b.moved(x, axis + 1, 1)
        own = own_positions(b, indices, tensor_type(rows).shape[1])
        found = b.emit("gather", merged(b, rows), own, axis=0)
        return (_placed_at(b, found, tensor_type(indices).rank - 1, axis + 1),)

    def lower(s: Lowering, index: Index, x: Value, indices: Value, *, axis: int) -> Value:
        rank = tensor_type(indices).rank
        size = tensor_type(x).shape[axis]
        picked = s.read(indices, index[axis : axis + rank])
        position = checked_position(s, "gather", picked, axis, size)
        if size == 0:
            return s.const(0, x.type.dtype)
        return s.read(x, (*index[:axis], Affine.of(position), *index[axis + rank :]))


def _placed_at(b: Emitter, x: Value, count: int, axis: int) -> Value:
    """x with the ``count`` axes behind the first one moved, to begin at ``axis``."""
    order = list(range(1, tensor_type(x).rank))
    picked, rest = order[:count], order[count:]
    return b.transpose(x, (0, *rest[: axis - 1], *picked, *rest[axis - 1 :]))


def _taken_from(b: Emitter, x: Value, count: int, axis: int) -> Value:
    """The other way: ``count`` axes from ``axis`` on moved behind the first one."""
    order = list(range(1, tensor_type(x).rank))
    picked = order[axis - 1 : axis - 1 + count]
    return b.transpose(x, (0, *picked, *(i for i in order if i not in picked)))


def checked_position(s: Lowering, name: str, picked: Value, axis: int, size: Dim) -> Value:
    """The position an index stands for, and 0 where a check finds it out of range."""
    raw = s.cast(picked, index)
    zero, end = s.const(0, index), s.const(size, index)
    position = s.select(s.compare("lt", raw, zero), s.add(raw, end), raw)
    # One comparison tells both ends: without a sign, what lies before 0 is large.
    inside = s.compare("lt", s.cast(position, u64), s.cast(end, u64))
    s.fail_unless(
        inside, f"{name}: an index is out of bounds for axis {axis} of size {expression(size)}"
    )
    return s.select(inside, position, zero)


@op(
    "pick",
    Trait.PURE | Trait.INDEXING | Trait.EXACT | Trait.CHECKED,
    attributes=("axis",),
)
class Pick:
    """Of each row of x along ``axis`` the elements at the row's indices, which take its place."""

    operands = ("x", "indices")
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 5), draw.i64(3, 1, low=-5, high=4), axis=1),
        sample(draw.f64(2, 3, 4), draw.i64(2, 1, 4, low=-3, high=2), axis=1),
        sample(draw.f64(7), draw.i64(1, low=-7, high=6), axis=0),
        sample(draw.f32(4, 0), draw.i64(1, 0), axis=0),
        sample(draw.i16(3, 5), draw.i64(1, 5, low=-3, high=2), axis=0),
        sample(draw.boolean(3, 5), draw.i64(3, 1, low=-5, high=4), axis=1),
        sample(draw.f64(3, 5), draw.i64(3, 7, low=-5, high=4), axis=1),
        sample(draw.f32(2, 3, 4), draw.i64(2, 2, 4, low=-3, high=2), axis=1),
    ]

    def infer(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
        if indices.dtype != i64:
            raise DTypeError(f"pick takes indices of dtype i64, not {indices}")
        if not 0 <= axis < x.rank:
            raise ShapeError(f"pick of {x} has no axis {axis}")
        rows = (*x.shape[:axis], *indices.shape[axis : axis + 1], *x.shape[axis + 1 :])
        if indices.shape != rows:
            raise ShapeError(f"pick of {x} takes indices for rows along {axis}, not {indices}")
        return x.with_shape(rows)

    def evaluate(x: Array, indices: Array, *, axis: int) -> Array:
        positions = normal_positions("pick", indices, axis, x.shape[axis])
        return np.take_along_axis(x, positions, axis)

    def transpose(
        b: Emitter, ct: Value, x: Value, indices: Value, *, axis: int
    ) -> tuple[Callable[[], Value], None]:
        """Where an element of x was picked, the sum of its ct; else 0.

        Of one pick per row, a test of each element shares the loops of what is done with the
        result, which stores into zeros do not.
        """

        def of_x() -> Value:
            shape, size = tensor_type(x).shape, tensor_type(x).shape[axis]
            if tensor_type(indices).shape[axis] != 1:
                zeros = b.full(shape, 0, ct.type.dtype)
                return b.emit("scatter", zeros, indices, ct, axis=axis, combiner="add")
            # Of 32 bits, a vector holds more.
            number = i32 if isinstance(size, int) and size < 1 << 31 else i64
            is_from_end = b.compare("less", indices, b.zero(indices))
            from_end = b.add(indices, b.full_like(indices, size))
            picked = b.cast(b.select(is_from_end, from_end, indices), number)
            here = b.emit("iota", shape=shape, dtype=number, axis=axis)
            axes = range(len(shape))
            is_picked = b.compare("equal", here, b.broadcast(picked, shape, axes))
            zero = b.full(shape, 0, ct.type.dtype)
            return b.select(is_picked, b.broadcast(ct, shape, axes), zero)

        return of_x, None

    def footprint(f: Footprints, x: Footprint, indices: Footprint, *, axis: int) -> Footprint:
        return f.pick(x, axis, indices)

    def lower(s: Lowering, index: Index, x: Value, indices: Value, *, axis: int) -> Value:
        size = tensor_type(x).shape[axis]
        position = checked_position(s, "pick", s.read(indices, index), axis, size)
        if size == 0:
            return s.const(0, x.type.dtype)
        return s.read(x, (*index[:axis], Affine.of(position), *index[axis + 1 :]))


@op(
    "scatter_add",
    Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.CHECKED,
    attributes=("axis",),
)
class ScatterAdd:
    """x with ``updates`` added to its slices along ``axis`` at the indices.

    The updates have the shape that gathering at the indices would give. Duplicate indices add
    up, in the order of the indices. Integers wrap around.
    """

    operands = ("x", "indices", "updates")
    samples = [
        sample(draw.f32(3, 5), draw.i64(4, low=-3, high=2), draw.f32(4, 5), axis=0),
        sample(draw.f64(2, 3, 4), draw.i64(2, 2, low=-3, high=2), draw.f64(2, 2, 2, 4), axis=1),
        sample(draw.f64(7), draw.i64(low=-7, high=6), draw.f64(), axis=0),
        sample(draw.f32(3, 5), draw.i64(0), draw.f32(3, 0), axis=1),
        sample(draw.f32(0, 5), draw.i64(3, low=-5, high=4), draw.f32(0, 3), axis=1),
        sample(draw.u8(3, 5), draw.i64(7, low=-5, high=4), draw.u8(3, 7), axis=1),
    ]

    def infer(x: TensorType, indices: TensorType, updates: TensorType, *, axis: int) -> TensorType:
        expected = _gathered("scatter_add", x, indices, axis)
        if x.dtype.is_bool or x.dtype != updates.dtype:
            raise DTypeError(f"scatter_add needs one numeric dtype, not {x} and {updates}")
        if updates.shape != expected.shape:
            raise ShapeError(
                f"scatter_add into {x} along axis {axis} at {indices} takes updates of type "
                f"{expected}, not {updates}"
            )
        return x

    def evaluate(x: Array, indices: Array, updates: Array, *, axis: int) -> Array:
        positions = normal_positions("scatter_add", indices, axis, x.shape[axis])
        result = x.copy()
        place: Any = (*(slice(None),) * axis, positions)
        np.add.at(result, place, updates)
        return result

    def transpose(
        b: Emitter, ct: Value, x: Value, indices: Value, updates: Value, *, axis: int
    ) -> tuple[Value, None, Callable[[], Value]]:
        return ct, None, lambda: b.emit("gather", ct, indices, axis=axis)

    def footprint(
        f: Footprints, x: Footprint, indices: Footprint, updates: Footprint, *, axis: int
    ) -> Footprint:
        return f.union(x, f.scatter(updates, x.shape, axis, indices))

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim, *, axis: int
    ) -> tuple[Value]:
        """Rows of all examples together, where each has indices of its own."""
        x, updates = each_repeated(b, operands[::2], stacked[::2], size)
        indices = operands[1]
        if not stacked[1]:
            return (b.emit("scatter_add", x, indices, updates, axis=axis + 1),)
        rows = b.moved(x, axis + 1, 1)
        shape = tensor_type(rows).shape
        own = own_positions(b, indices, shape[1])
        count = tensor_type(indices).rank - 1
        added = _taken_from(b, updates, count, axis + 1)
        found = b.emit("scatter_add", merged(b, rows), own, added, axis=0)
        return (b.moved(b.reshape(found, shape), 1, axis + 1),)

    updates = 0

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, axis: int
    ) -> None:
        """Adds the updates in order; the axes before ``axis`` are independent."""
        x, indices, updates = operands
        shape, dtype = buffer_type(x).shape, x.type.dtype
        outer, size, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        count = buffer_type(indices).elements
        out = s.view(results[0], BufferType((outer, size, inner), dtype))
        picked_of: Dim | Value = count
        if isinstance(size, Size):  # nothing is added to an axis of size 0, but the call fails
            is_some = s.compare("ne", s.index(size), s.index(0))
            picked_of = s.select(is_some, s.index(count), s.index(0))
            is_fine = s.binary("or", is_some, s.compare("eq", s.index(count), s.index(0)))
            s.fail_unless(is_fine, f"scatter_add: axis {axis} has size 0, and indices none")
        rows = s.parallel(0, outer)
        with s.inside(rows) as body:
            row = Affine.of(body.arguments[0])
            picks = s.for_(0, picked_of)
            with s.inside(picks) as pick:
                number = Affine.of(pick.arguments[0])
                picked = s.load(indices, number)
                position = checked_position(s, "scatter_add", picked, axis, size)
                if size != 0:
                    source = (row * count + number) * inner
                    _add_slice(s, updates, source, out, (row * size + Affine.of(position)) * inner)
                s.yield_()
            s.yield_()


def _add_slice(s: Lowering, updates: Value, source: Affine, out: Value, target: Affine) -> None:
    loop = s.for_(0, buffer_type(out).shape[-1])
    with s.inside(loop) as body:
        step = Affine.of(body.arguments[0])
        total = s.add(s.load(out, target + step), s.load(updates, source + step))
        s.store(total, out, target + step)
        s.yield_()
