"""Maxima of windows, and the two maps that go with them: pick and put.

All tell for each window which of its elements is the largest, taps in row-major order: the first
of equals, and the last NaN if there is one. What lies outside of x is no element.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.core import Attribute, Trait, Value
from nets.ir.types import TensorType, f32, from_numpy
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Jvp, Tangents
from nets.ops.definition.stacks import examples_as_images
from nets.ops.definition.tap_footprints import Meetings, pooled, unpooled
from nets.ops.loop.lowering import Lowering
from nets.ops.pools.pool_loops import least, lower_largest, lower_put
from nets.ops.pools.pool_walks import is_walked, walk_largest, walk_put
from nets.ops.tensor.windows import Ints, Windows

# ------------------------------------------------------------------------------ reference


def _met(x: Array, windows: Windows, tap: Ints, places: Ints) -> tuple[Array, Array]:
    """What each window meets at a tap, and whether that is an element of x."""
    inside: Array = np.array(True)
    for axis, (first, step, count) in enumerate(
        zip(windows.first(tap), windows.steps, places, strict=True), 2
    ):
        at = np.arange(count) * step + first
        valid = (at >= 0) & (at < x.shape[axis])
        x = np.take(x, np.where(valid, at, 0), axis=axis)
        inside = np.logical_and.outer(inside, valid)
    return x, inside


def _largest(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest element of each window, and the number of its tap (−1: no element)."""
    dtype = from_numpy(x.dtype)
    assert dtype is not None
    places = windows.places(TensorType(x.shape, dtype))
    best = np.full((*x.shape[:2], *places), least(dtype), x.dtype)
    number = np.full(best.shape, -1)
    for tap, at in windows.taps():
        if x.size:
            value, inside = _met(x, windows, at, places)
            taken = inside & ((value > best) | np.isnan(value) | (number < 0))
            best, number = np.where(taken, value, best), np.where(taken, tap, number)
    return best, number


# ------------------------------------------------------------------------------- the ops


_ATTRIBUTES = ("shape", "steps", "low", "high", "dilation")
_TRAITS = Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY
_TWO: dict[str, Ints] = dict(
    zip(_ATTRIBUTES, ((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), strict=True)
)
_OVER: dict[str, Ints] = dict(
    zip(_ATTRIBUTES, ((3, 2), (2, 1), (1, 0), (1, 1), (1, 3)), strict=True)
)
_LARGE: dict[str, Ints] = dict(
    zip(_ATTRIBUTES, ((2, 7), (5, 3), (1, 2), (0, 3), (3, 1)), strict=True)
)
_LINE: dict[str, Ints] = dict(zip(_ATTRIBUTES, ((3,), (2,), (1,), (1,), (1,)), strict=True))


def _pair(name: str, x: TensorType, other: TensorType, expected: TensorType) -> None:
    if x.dtype != other.dtype:
        raise DTypeError(f"{name} needs one dtype, not {x} and {other}")
    if other.shape != expected.shape:
        raise ShapeError(f"{name} of {x} goes with {expected}, not {other}")


def _meetings(x: Footprint, windows: Windows) -> Meetings:
    """Which elements of x meet which windows."""
    places = windows.places(TensorType(x.shape, f32))
    return Meetings(
        x.shape[2:], places, windows.shape, windows.steps, windows.low, windows.dilation
    )


def _jvp_of_second(name: str) -> Jvp:
    """The tangent of an op that is linear in its second operand, and steps where the first does."""

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        **windows: Attribute,
    ) -> Tangents:
        tangent = tangents[1]
        return (None if tangent is None else b.emit(name, operands[0], tangent, **windows),)

    return jvp


def _lower_largest(s: Lowering, x: Value, carried: Value | None, out: Value, w: Windows) -> None:
    largest = walk_largest if is_walked(w) else lower_largest
    largest(s, x, carried, out, w)


@op("max_pool", Trait.PURE | Trait.KERNEL | Trait.EXACT, attributes=_ATTRIBUTES)
class MaxPool:
    """The largest element of each window over the axes after the first two; of none −inf, and of
    integers the least one."""

    operands = ("x",)
    stack = examples_as_images("max_pool")
    samples = [
        sample(draw.f32(2, 3, 6, 8), **_TWO),
        sample(draw.f64(2, 2, 5, 6), **_OVER),
        sample(draw.f64(1, 3, 9), **_LINE),
        sample(draw.f32(2, 3, 9, 16), **_LARGE),
        sample(draw.f32(0, 2, 4, 4), **_TWO),
        sample(draw.i8(2, 3, 6, 8, low=-128, high=127), **_OVER),
        sample(draw.u64(1, 3, 9), **_LINE),
        sample(draw.i64(2, 1, 6, 37, low=-9, high=9), **_TWO),
        sample(draw.i8(2, 3, 9, 16, low=-128, high=127), **_LARGE),
    ]

    def infer(x: TensorType, **windows: Ints) -> TensorType:
        if x.dtype.is_bool:
            raise DTypeError(f"max_pool takes numbers, not {x}")
        return Windows(**windows).pooled(x)

    def evaluate(x: Array, **windows: Ints) -> Array:
        return _largest(x, Windows(**windows))[0]

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[Callable[[], Value]]:
        (x,), (ct,) = operands, cts
        return (lambda: b.emit("max_pool_put", b.cast(x, ct.type.dtype), ct, **windows),)

    def footprint(f: Footprints, x: Footprint, **windows: Ints) -> Footprint:
        return pooled(f, x, _meetings(x, Windows(**windows)))

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        **windows: Ints,
    ) -> Tangents:
        (x,), (tangent,) = operands, tangents
        assert tangent is not None
        return (b.emit("max_pool_pick", x, tangent, **windows),)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        _lower_largest(s, operands[0], None, results[0], Windows(**windows))


@op("max_pool_pick", _TRAITS, attributes=_ATTRIBUTES)
class MaxPoolPick:
    """For each window, the element of y at the place of the largest element of x; 0 of none."""

    operands = ("x", "y")
    stack = examples_as_images("max_pool_pick")
    samples = [
        sample(draw.f32(2, 3, 6, 8), draw.f32(2, 3, 6, 8), **_TWO),
        sample(draw.f64(2, 2, 5, 6), draw.f64(2, 2, 5, 6), **_OVER),
        sample(draw.f64(1, 3, 9), draw.f64(1, 3, 9), **_LINE),
        sample(draw.f32(2, 3, 9, 16), draw.f32(2, 3, 9, 16), **_LARGE),
    ]

    def infer(x: TensorType, y: TensorType, **windows: Ints) -> TensorType:
        _pair("max_pool_pick", x, y, x)
        return Windows(**windows).pooled(x)

    def evaluate(x: Array, y: Array, **windows: Ints) -> Array:
        w = Windows(**windows)
        _, number = _largest(x, w)
        result = np.zeros(number.shape, y.dtype)
        for tap, at in w.taps():
            if y.size:
                result = np.where(number == tap, _met(y, w, at, number.shape[2:])[0], result)
        return result

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[None, Callable[[], Value]]:
        (x, _), (ct,) = operands, cts
        return None, lambda: b.emit("max_pool_put", b.cast(x, ct.type.dtype), ct, **windows)

    def footprint(f: Footprints, x: Footprint, y: Footprint, **windows: Ints) -> Footprint:
        return pooled(f, y, _meetings(x, Windows(**windows)))

    jvp = _jvp_of_second("max_pool_pick")

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        _lower_largest(s, operands[0], operands[1], results[0], Windows(**windows))


@op("max_pool_put", _TRAITS, attributes=_ATTRIBUTES)
class MaxPoolPut:
    """Zeros like x, with each element of y (one per window) added at the place of the largest
    element of x in its window: rows of windows in order, in a row tap by tap."""

    operands = ("x", "y")
    stack = examples_as_images("max_pool_put")
    samples = [
        sample(draw.f32(2, 3, 6, 8), draw.f32(2, 3, 3, 4), **_TWO),
        sample(draw.f64(2, 2, 5, 6), draw.f64(2, 2, 3, 4), **_OVER),
        sample(draw.f64(1, 3, 9), draw.f64(1, 3, 5), **_LINE),
        sample(draw.f32(2, 3, 9, 16), draw.f32(2, 3, 2, 5), **_LARGE),
    ]

    def infer(x: TensorType, y: TensorType, **windows: Ints) -> TensorType:
        _pair("max_pool_put", x, y, Windows(**windows).pooled(x))
        return x

    def evaluate(x: Array, y: Array, **windows: Ints) -> Array:
        w = Windows(**windows).over_two_axes()
        wide = x if x.ndim == 4 else x[:, :, None]
        _, number = _largest(wide, w)
        values = y.reshape(number.shape)
        result = np.zeros_like(wide)
        for row, (tap, at) in itertools.product(range(number.shape[2]), list(w.taps())):
            line = row * w.steps[0] + w.first(at)[0]
            columns = np.arange(number.shape[3]) * w.steps[1] + w.first(at)[1]
            inside = (columns >= 0) & (columns < wide.shape[3])
            if 0 <= line < wide.shape[2]:
                chosen = np.where(number[:, :, row] == tap, values[:, :, row], 0)
                result[:, :, line, columns[inside]] += chosen[:, :, inside]
        return result.reshape(x.shape)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        **windows: Ints,
    ) -> tuple[None, Callable[[], Value]]:
        (x, _), (ct,) = operands, cts
        return None, lambda: b.emit("max_pool_pick", b.cast(x, ct.type.dtype), ct, **windows)

    def footprint(f: Footprints, x: Footprint, y: Footprint, **windows: Ints) -> Footprint:
        return unpooled(f, y, _meetings(x, Windows(**windows)))

    jvp = _jvp_of_second("max_pool_put")

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], **windows: Ints
    ) -> None:
        w = Windows(**windows)
        put = walk_put if is_walked(w, by_step=True) else lower_put
        put(s, operands[0], operands[1], results[0], w)
