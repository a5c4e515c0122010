"""Cutting and joining: slice with steps, pad, concatenate.

Each result element is an element of an operand, found by its index. Dimensions, bounds and
widths may be sizes that a call tells.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim, at_most, least
from nets.ir.types import Shape, TensorType, bool_, index
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Pieces
from nets.ops.loop.lowering import Lowering

Axes = tuple[int, ...]
Index = tuple[Affine, ...]

_REINDEXING = Trait.PURE | Trait.INDEXING | Trait.EXACT


# ---------------------------------------------------------------------------------- slice


@op("slice", _REINDEXING, attributes=("starts", "stops", "steps"))
class Slice:
    """The elements from ``starts`` below ``stops`` by ``steps`` ≥ 1, one of each per axis.

    Bounds satisfy 0 ≤ start ≤ stop ≤ size.
    """

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(5, 7), starts=(1, 0), stops=(4, 7), steps=(1, 1)),
        sample(draw.f64(7, 5), starts=(1, 0), stops=(7, 4), steps=(3, 2)),
        sample(draw.f64(11), starts=(2,), stops=(10,), steps=(4,)),
        sample(draw.f64(), starts=(), stops=(), steps=()),
        sample(draw.f32(3, 5), starts=(2, 1), stops=(2, 5), steps=(1, 3)),
        sample(draw.f32(0, 5), starts=(0, 0), stops=(0, 5), steps=(2, 9)),
        sample(draw.i8(3, 5), starts=(0, 1), stops=(3, 4), steps=(2, 2)),
    ]

    def infer(x: TensorType, *, starts: Shape, stops: Shape, steps: Axes) -> TensorType:
        if not len(starts) == len(stops) == len(steps) == x.rank:
            raise ShapeError(
                f"slice of {x} needs {x.rank} starts, stops and steps, "
                f"not {starts}, {stops} and {steps}"
            )
        cuts = zip(starts, stops, steps, strict=True)
        return x.with_shape(tuple(_cut(x, axis, *cut) for axis, cut in enumerate(cuts)))

    def evaluate(x: Array, *, starts: Axes, stops: Axes, steps: Axes) -> Array:
        picked = x[tuple(map(slice, starts, stops, steps))]
        return np.array(picked, order="C")

    def transpose(
        b: Emitter, ct: Value, x: Value, *, starts: Shape, stops: Shape, steps: Axes
    ) -> tuple[Value]:
        """The cotangent put back in place, zeros around it and between."""
        return (_placed(b, _spaced(b, ct, steps), starts, steps, tensor_type(x).shape),)

    def footprint(
        f: Footprints, x: Footprint, *, starts: Axes, stops: Axes, steps: Axes
    ) -> Footprint:
        return f.slice(x, starts, stops, steps)

    def lower(
        s: Lowering, index: Index, x: Value, *, starts: Axes, stops: Axes, steps: Axes
    ) -> Value:
        cuts = zip(index, starts, steps, strict=True)
        return s.read(x, tuple(place * step + start for place, start, step in cuts))


def _cut(x: TensorType, axis: int, start: Dim, stop: Dim, step: int) -> Dim:
    """The size of ``start:stop:step`` of an axis."""
    limits = (0, start, stop, x.shape[axis])
    if step < 1 or any(at_most(a, b, {}) is False for a, b in pairwise(limits)):
        raise ShapeError(f"slice of {x}: {start}:{stop}:{step} does not fit axis {axis}")
    return (stop - start + step - 1) // step


def _spaced(b: Emitter, x: Value, steps: Axes) -> Value:
    """x with ``step - 1`` zeros after each element of an axis."""
    if all(step == 1 for step in steps):
        return x
    shape = tensor_type(x).shape
    columns = b.reshape(x, tuple(size for dim in shape for size in (dim, 1)))
    high = tuple(count for step in steps for count in (0, step - 1))
    rows = _pad_zero(b, columns, (0,) * len(high), high)
    return b.reshape(rows, tuple(dim * step for dim, step in zip(shape, steps, strict=True)))


def _placed(b: Emitter, x: Value, starts: Shape, steps: Axes, shape: Shape) -> Value:
    """Zeros of that shape with x from ``starts`` on, as far as it fits.

    Only what has been spaced by steps can be too long, by zeros.
    """
    now = tensor_type(x).shape
    room = [dim - start for dim, start in zip(shape, starts, strict=True)]
    common = tuple(
        dim if step == 1 else least(dim, want)
        for dim, want, step in zip(now, room, steps, strict=True)
    )
    if common != now:
        x = b.emit("slice", x, starts=(0,) * len(now), stops=common, steps=(1,) * len(now))
    high = tuple(want - dim for dim, want in zip(common, room, strict=True))
    return _pad_zero(b, x, starts, high)


def _pad_zero(b: Emitter, x: Value, low: Shape, high: Shape) -> Value:
    if not any(low) and not any(high):
        return x
    return b.emit("pad", x, b.constant(0, x.type.dtype), low=low, high=high)


# ---------------------------------------------------------------------------- pad and join


@op("pad", _REINDEXING, attributes=("low", "high"))
class Pad:
    """x with ``low[i]`` elements ``value`` (0-d) before and ``high[i]`` after it on axis i."""

    operands = ("x", "value")
    samples = [
        sample(draw.f32(3, 5), draw.f32(), low=(1, 0), high=(0, 2)),
        sample(draw.f64(2, 3), draw.f64(), low=(1, 2), high=(3, 0)),
        sample(draw.f64(), draw.f64(), low=(), high=()),
        sample(draw.f32(3, 2), draw.f32(), low=(0, 0), high=(0, 0)),
        sample(draw.f32(0, 3), draw.f32(), low=(1, 0), high=(1, 0)),
        sample(draw.i32(5), draw.i32(), low=(2,), high=(2,)),
        sample(draw.boolean(3), draw.boolean(), low=(0,), high=(4,)),
    ]

    def infer(x: TensorType, value: TensorType, *, low: Shape, high: Shape) -> TensorType:
        if value != TensorType((), x.dtype):
            raise DTypeError(f"pad of {x} takes a value of type tensor<{x.dtype}>, not {value}")
        if not len(low) == len(high) == x.rank:
            raise ShapeError(f"pad of {x} needs {x.rank} widths, not low {low} and high {high}")
        if any(at_most(0, width, {}) is False for width in (*low, *high)):
            raise ShapeError(f"pad of {x}: a width of low {low} and high {high} is negative")
        widths = zip(low, x.shape, high, strict=True)
        return x.with_shape(tuple(first + dim + last for first, dim, last in widths))

    def evaluate(x: Array, value: Array, *, low: Axes, high: Axes) -> Array:
        widths = [dim + a + b for dim, a, b in zip(x.shape, low, high, strict=True)]
        result = np.full(widths, value, x.dtype)
        result[tuple(slice(a, a + dim) for a, dim in zip(low, x.shape, strict=True))] = x
        return result

    def transpose(
        b: Emitter, ct: Value, x: Value, value: Value, *, low: Shape, high: Shape
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        inner = tensor_type(x).shape

        def of_x() -> Value:
            stops = tuple(start + dim for start, dim in zip(low, inner, strict=True))
            return b.emit("slice", ct, starts=low, stops=stops, steps=(1,) * len(low))

        def of_value() -> Value:
            is_edge = _edges(b, inner, low, high)
            edges = b.select(is_edge, ct, b.zero(ct))
            return b.sum(edges, tuple(range(len(low))))

        return of_x, of_value

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        *,
        low: Shape,
        high: Shape,
    ) -> tuple[Value]:
        """Where each example has a value of its own, it is put where the padding stands."""
        x, value = operands
        if not stacked[0]:
            x = b.repeated(x, size)
        widths = {"low": (0, *low), "high": (0, *high)}
        if not stacked[1]:
            return (b.emit("pad", x, value, **widths),)
        padded = b.emit("pad", x, b.constant(0, x.type.dtype), **widths)
        shape = tensor_type(padded).shape
        is_edge = b.repeated(_edges(b, tensor_type(x).shape[1:], low, high), size)
        return (b.select(is_edge, b.broadcast(value, shape, (0,)), padded),)

    def pieces(*types: TensorType, low: Axes, high: Axes) -> Pieces:
        """x stands at ``low``, the value around it."""
        return ((0, low),), 1

    def lower(s: Lowering, index: Index, x: Value, value: Value, *, low: Axes, high: Axes) -> Value:
        shape = tensor_type(x).shape
        if 0 in shape:
            return s.read(value, ())
        places, inside = list(index), list[Value]()
        for axis, dim in enumerate(shape):
            places[axis] = index[axis] - low[axis]
            if low[axis] or high[axis]:
                places[axis], tests = _clamped(s, places[axis], dim, low[axis] > 0, high[axis] > 0)
                inside.extend(tests)
        read = s.read(x, tuple(places))
        if not inside:
            return read
        ok = inside[0]
        for test in inside[1:]:
            ok = s.binary("and", ok, test)
        return s.select(ok, read, s.read(value, ()))


def _edges(b: Emitter, inner: Shape, low: Shape, high: Shape) -> Value:
    """Which elements of a padded tensor are padding."""
    kept, edge = b.constant(False, bool_), b.constant(True, bool_)
    return b.emit("pad", b.broadcast(kept, inner, ()), edge, low=low, high=high)


def _clamped(
    s: Lowering, place: Affine, size: Dim, below: bool, above: bool
) -> tuple[Affine, list[Value]]:
    """``place`` moved into [0, size), and tests of whether it was there.

    ``below`` and ``above`` tell which sides it can lie on.
    """
    value, tests = s.index(place), list[Value]()
    if below:
        zero = s.const(0, index)
        tests.append(s.compare("ge", value, zero))
        value = s.binary("max", value, zero)
    if above:
        last = s.const(size - 1, index)
        tests.append(s.compare("le", value, last))
        value = s.binary("min", value, last)
    return Affine.of(value), tests


@op("concatenate", _REINDEXING, attributes=("axis",))
class Concatenate:
    """The operands one after the other along ``axis``; their other dimensions are equal."""

    operands = ("*xs",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 5), draw.f32(3, 2), axis=1),
        sample(draw.f64(2, 3), draw.f64(1, 3), draw.f64(4, 3), axis=0),
        sample(draw.f64(3), axis=0),
        sample(draw.f32(0, 3), draw.f32(2, 3), axis=0),
        sample(draw.f32(2, 0), draw.f32(2, 0), axis=1),
        sample(draw.u32(2, 1, 3), draw.u32(2, 7, 3), axis=1),
        sample(draw.boolean(3), draw.boolean(2), axis=0),
    ]

    def infer(*xs: TensorType, axis: int) -> TensorType:
        if not xs:
            raise ShapeError("concatenate needs at least one operand")
        first = xs[0]
        if not 0 <= axis < first.rank:
            raise ShapeError(f"concatenate of {first} has no axis {axis}")
        for x in xs[1:]:
            if x.dtype != first.dtype:
                raise DTypeError(f"concatenate needs one dtype, not {first} and {x}")
            if x.rank != first.rank or _but(x.shape, axis) != _but(first.shape, axis):
                raise ShapeError(
                    f"concatenate of {first} and {x} along axis {axis}: other dimensions differ"
                )
        total = sum(x.shape[axis] for x in xs)
        return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))

    def evaluate(*xs: Array, axis: int) -> Array:
        return np.concatenate(xs, axis=axis)

    def transpose(b: Emitter, ct: Value, *xs: Value, axis: int) -> tuple[Callable[[], Value], ...]:
        """The part of the cotangent where each operand stands."""
        shape = tensor_type(ct).shape
        steps = (1,) * len(shape)

        def part(start: Dim, stop: Dim) -> Callable[[], Value]:
            starts = tuple(start if i == axis else 0 for i in range(len(shape)))
            stops = (*shape[:axis], stop, *shape[axis + 1 :])
            return lambda: b.emit("slice", ct, starts=starts, stops=stops, steps=steps)

        if len(xs) == 1:
            return (lambda: ct,)
        ends = accumulate((tensor_type(x).shape[axis] for x in xs), initial=0)
        return tuple(part(start, stop) for start, stop in pairwise(ends))

    def pieces(*types: TensorType, axis: int) -> Pieces:
        """Each operand stands where those before it end."""
        sizes = [type.shape[axis] for type in types]
        starts = accumulate(sizes[:-1], initial=0)
        rank = types[0].rank
        return tuple(
            (i, tuple(start if j == axis else 0 for j in range(rank)))
            for i, start in enumerate(starts)
        ), None

    def lower(s: Lowering, index: Index, *xs: Value, axis: int) -> Value:
        """Reads every operand at a clamped place and selects the one that holds the element."""
        sizes = [tensor_type(x).shape[axis] for x in xs]
        ends = [*accumulate(sizes)]
        held = [i for i, size in enumerate(sizes) if size != 0] or [0]
        result: Value | None = None
        for i in reversed(held):
            place = index[axis] - (ends[i] - sizes[i])
            clamped, _ = _clamped(s, place, sizes[i], i != held[0], i != held[-1])
            read = s.read(xs[i], (*index[:axis], clamped, *index[axis + 1 :]))
            if result is None:
                result = read
            else:
                result = s.select(_below(s, index[axis], ends[i]), read, result)
        assert result is not None
        return result


def _but(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _below(s: Lowering, place: Affine, end: Dim) -> Value:
    return s.compare("lt", s.index(place), s.const(end, index))
