"""Rules of canonicalize for slices and pads: windows on a tensor, and on what lies around it.

The transpose of a slice is a pad, so gradients of stencils and of splits are sums of nested pads
that are cut again. These rules bring them to one pad, or one slice, each. Every rule is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nets.ir.core import Operation, Trait, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.simplify.patterns import constant, filling, has_fixed_sizes, made_by, rule

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


@rule("add")
def add_disjoint_pads(op: Operation, b: GraphEmitter) -> Value | None:
    """Tensors put side by side with zeros around each and added are their concatenation.

    In the sum every element has had 0.0 added to it, which makes 0.0 of −0.0; so it has here.
    """
    if any(len(operand.uses) != 1 for operand in op.operands):
        return None
    one, other = (made_by(operand, "pad") for operand in op.operands)
    if one is None or other is None or not _is_zero(one.operands[1]):
        return None
    if not same_scalar(one.operands[1], other.operands[1]):
        return None
    axis = _axis_between(one, other)
    if axis is None:
        return None
    first, second = sorted((one, other), key=lambda pad: pad.attributes["low"][axis])
    return _joined(b, first, second, axis)


def _is_zero(value: Value) -> bool:
    """Whether the value is filled with zeros, none of them −0.0."""
    number = filling(value)
    return number is not None and number == 0 and not np.signbit(number)


def _axis_between(one: Operation, other: Operation) -> int | None:
    """The axis along which two pads hold disjoint ranges, equal along the others."""
    types = [tensor_type(pad.operands[0]) for pad in (one, other)]
    if not has_fixed_sizes(one, other):
        return None
    found = None
    for axis, sizes in enumerate(zip(*(type.static_shape for type in types), strict=True)):
        lows = [pad.attributes["low"][axis] for pad in (one, other)]
        if lows[0] == lows[1] and sizes[0] == sizes[1]:
            continue
        is_apart = lows[0] + sizes[0] <= lows[1] or lows[1] + sizes[1] <= lows[0]
        if found is not None or not is_apart:
            return None
        found = axis
    return found


def _joined(b: GraphEmitter, first: Operation, second: Operation, axis: int) -> Value:
    """The sum of two pads, the first of which ends before the second begins along the axis."""
    x, value = first.operands
    y = second.operands[0]
    sizes = tensor_type(x).static_shape
    low, high = first.attributes["low"], list(first.attributes["high"])
    high[axis] = second.attributes["high"][axis]
    gap = second.attributes["low"][axis] - low[axis] - sizes[axis]
    parts = [_plus_zero(b, x), _plus_zero(b, y)]
    if gap:
        parts.insert(1, b.broadcast(value, (*sizes[:axis], gap, *sizes[axis + 1 :]), ()))
    whole = b.emit("concatenate", *parts, axis=axis)
    return b.emit("pad", whole, value, low=low, high=tuple(high)) if any((*low, *high)) else whole


def _plus_zero(b: GraphEmitter, x: Value) -> Value:
    """x + 0.0; x itself where that has been added to it."""
    return x if not x.type.dtype.is_float or _has_zero_added(x) else b.add(x, b.zero(x))


def _has_zero_added(x: Value) -> bool:
    """Whether x, or each part of it, is a sum with 0.0."""
    joined = made_by(x, "concatenate")
    parts = joined.operands if joined is not None else (x,)
    sums = [made_by(part, "add") for part in parts if not _is_zero(part)]
    return all(op is not None and _is_zero(op.operands[1]) for op in sums)


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
