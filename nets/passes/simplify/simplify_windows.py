"""Rules of canonicalize for slices and pads: windows on a tensor, and on what lies around it.

The transpose of a slice is a pad, so gradients of stencils and of splits are sums of nested pads
that are cut again. These rules bring them to one pad, or one slice, each; those of
``simplify_sums_of_pads`` do the sums. Every rule is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets.ir.core import Operation, Trait, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.simplify.patterns import constant, has_fixed_sizes, made_by, rule

Axes = tuple[int, ...]


def same_scalar(x: Value, y: Value) -> bool:
    """Whether two 0-d values are one, or constants of the same bits."""
    if x is y:
        return True
    one, other = constant(x), constant(y)
    if one is None or other is None or one.dtype != other.dtype:
        return False
    return one.tobytes() == other.tobytes()


def is_window(op: Operation) -> bool:
    """Whether a slice takes every element between its bounds, and all sizes are known."""
    return has_fixed_sizes(op) and all(step == 1 for step in op.attributes["steps"])


def cut(b: GraphEmitter, x: Value, starts: Axes, stops: Axes) -> Value:
    """The slice of ``x``; ``x`` itself where that is all of it."""
    shape = tensor_type(x).static_shape
    if (starts, stops) == ((0,) * len(shape), shape):
        return x
    return b.emit("slice", x, starts=starts, stops=stops, steps=(1,) * len(shape))


@rule("pad")
def pad_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """Padding around no elements is the value, repeated."""
    x, value = op.operands
    if 0 not in tensor_type(x).shape:
        return None
    return b.broadcast(value, tensor_type(op.result).shape, ())


@rule("pad")
def pad_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Two pads with one value are one."""
    x, value = op.operands
    inner = made_by(x, "pad")
    if inner is None or not same_scalar(value, inner.operands[1]):
        return None
    low = tuple(map(sum, zip(op.attributes["low"], inner.attributes["low"], strict=True)))
    high = tuple(map(sum, zip(op.attributes["high"], inner.attributes["high"], strict=True)))
    return b.emit("pad", inner.operands[0], value, low=low, high=high)


@rule("slice")
def slice_of_pad(op: Operation, b: GraphEmitter) -> Value | None:
    """A slice of a pad is a slice of what was padded, padded less.

    A pad that others read as well is left to them where part of its margin is wanted: it stands in
    memory anyway.
    """
    pad = made_by(op.operands[0], "pad")
    if pad is None or not is_window(op) or not has_fixed_sizes(pad):
        return None
    x, value = pad.operands
    sizes, lows = tensor_type(x).static_shape, pad.attributes["low"]
    starts = [start - low for start, low in zip(op.attributes["starts"], lows, strict=True)]
    stops = [stop - low for stop, low in zip(op.attributes["stops"], lows, strict=True)]
    ranges = list(zip(starts, stops, sizes, strict=True))
    if any(stop <= 0 or start >= size or start == stop for start, stop, size in ranges):
        return b.broadcast(value, tensor_type(op.result).shape, ())
    low = tuple(max(-start, 0) for start in starts)
    high = tuple(max(stop - size, 0) for _, stop, size in ranges)
    is_inside = not any(low) and not any(high)
    if not is_inside and len(pad.result.uses) > 1:
        return None
    inner = cut(
        b,
        x,
        tuple(max(start, 0) for start in starts),
        tuple(min(stop, size) for _, stop, size in ranges),
    )
    return inner if is_inside else b.emit("pad", inner, value, low=low, high=high)


@rule("slice")
def slice_before_computing(op: Operation, b: GraphEmitter) -> Value | None:
    """Of an elementwise op that only a slice reads, compute the elements the slice takes."""
    (x,) = op.operands
    inner = x.operation
    if inner is None or not inner.has(Trait.ELEMENTWISE) or inner.has(Trait.CHECKED):
        return None
    if len(inner.results) != 1 or len(x.uses) != 1 or not inner.operands:
        return None
    parts = [b.emit("slice", operand, **op.attributes) for operand in inner.operands]
    return b.builder.create(inner.definition, parts, inner.attributes).result


@rule("slice")
def slice_of_broadcast(op: Operation, b: GraphEmitter) -> Value | None:
    """A slice of a broadcast repeats a slice of what was broadcast."""
    inner = made_by(op.operands[0], "broadcast")
    if inner is None or not has_fixed_sizes(op, inner):
        return None
    (x,) = inner.operands
    starts, stops, steps = [], [], []
    for axis, size in zip(inner.attributes["axes"], tensor_type(x).static_shape, strict=True):
        repeats = size != tensor_type(inner.result).shape[axis]
        bounds = (0, size, 1) if repeats else _bounds(op, axis)
        starts.append(bounds[0])
        stops.append(bounds[1])
        steps.append(bounds[2])
    shape, axes = tensor_type(op.result).shape, inner.attributes["axes"]
    part = b.emit("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    return b.broadcast(part, shape, axes)


def _bounds(op: Operation, axis: int) -> tuple[int, int, int]:
    attributes = op.attributes
    return attributes["starts"][axis], attributes["stops"][axis], attributes["steps"][axis]


# ------------------------------------------------------------------- windows at a start


def _known_starts(x: Value, sizes: Axes, starts: Sequence[Value]) -> Axes | None:
    """Where a window of these sizes begins in x; None unless that is known along each axis."""
    found = []
    for dim, size, start in zip(tensor_type(x).static_shape, sizes, starts, strict=True):
        given = np.zeros(1) if size == dim else constant(start)
        if given is None:
            return None
        place = int(given.item()) + (dim if given.item() < 0 else 0)
        found.append(min(max(place, 0), dim - size))
    return tuple(found)


@rule("dynamic_slice")
def slice_at_constants(op: Operation, b: GraphEmitter) -> Value | None:
    """A window at a place that is known is a slice."""
    x, *starts = op.operands
    if not has_fixed_sizes(op):
        return None
    sizes = tensor_type(op.result).static_shape
    found = _known_starts(x, sizes, starts)
    if found is None:
        return None
    stops = tuple(start + size for start, size in zip(found, sizes, strict=True))
    return cut(b, x, found, stops)


@rule("dynamic_update_slice")
def update_of_everything(op: Operation, b: GraphEmitter) -> Value | None:
    """A window that is the whole tensor leaves nothing of it, and an empty one all of it."""
    x, update, *_ = op.operands
    if update.type == x.type:
        return update
    return x if 0 in tensor_type(update).shape else None
