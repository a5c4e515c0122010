"""A rule of canonicalize for sums of pads: what the gradients of slices of one tensor add up to.

A pad, and a concatenation, is a *row* of parts along one axis, with zeros between and around them.
Where no part of one lies across the edge of a part of another, their sum is a row again: parts at
the same place are added, the others stand as they are. So however many slices a function takes of
a tensor, of whichever places, its gradient is written once.

The rule looks at all terms of a sum at once, from its last addition: one at a time, each would
write again what there is so far. In a sum every element has had 0.0 added to it, which makes 0.0
of −0.0; so it has here.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nets.ir.core import Operation, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.simplify.patterns import filling, has_fixed_sizes, made_by, rule

Box = tuple[tuple[int, int], ...]
"""From where to where along each axis."""


@dataclass
class _Row:
    """Parts that do not overlap, at places that differ along ``axis`` alone; None: there is one.

    ``sums`` counts the additions that the row has been through. With a part stands the number of
    them after which nothing was missing to it: since then, if there were more, 0.0 was added.
    """

    parts: dict[Box, tuple[Value, int]]
    axis: int | None
    is_padded: bool
    sums: int = 0

    def __post_init__(self) -> None:
        self.places = sorted(self.parts)

    def part(self, b: GraphEmitter, box: Box) -> Value:
        value, seen = self.parts[box]
        return value if seen == self.sums else _plus_zero(b, value)

    def has_room(self, box: Box) -> bool:
        """Whether there is nothing at that place, or a part that fills it."""
        if box in self.parts or self.axis is None:
            return box in self.parts
        i, axis, (start, stop) = bisect(self.places, box), self.axis, box[self.axis]
        is_after = i == 0 or self.places[i - 1][axis][1] <= start
        return is_after and (i == len(self.places) or stop <= self.places[i][axis][0])


@rule("add")
def add_pads(op: Operation, b: GraphEmitter) -> Value | None:
    """Sums of tensors with zeros around them are their parts, added where they meet."""
    if _is_term(op.result) or not has_fixed_sizes(op):
        return None
    rows: dict[Value, _Row] = {}
    values: dict[Value, Value] = {}
    for node in reversed(list(_additions(op))):
        one, other = (rows.pop(x, None) or _row(x) for x in node.operands)
        found = _added(b, one, other) if one is not None and other is not None else None
        if found is not None:
            rows[node.result] = found
            continue
        terms = [
            values.get(x) or (x if row is None or row.sums == 0 else _written(b, row, x))
            for x, row in zip(node.operands, (one, other), strict=True)
        ]
        if terms != list(node.operands):
            values[node.result] = b.add(*terms)
    row = rows.get(op.result)
    return values.get(op.result) if row is None else _written(b, row, op.result)


def _is_term(x: Value) -> bool:
    """Whether x is there for one addition alone."""
    return len(x.uses) == 1 and x.users[0].definition.name == "add"


def _additions(op: Operation) -> Iterator[Operation]:
    """The additions of a sum, each before those of its terms."""
    pending = [op]
    while pending:
        node = pending.pop()
        yield node
        inner = (made_by(x, "add") for x in node.operands if _is_term(x))
        pending += [found for found in inner if found is not None]


def _row(x: Value) -> _Row | None:
    """What a pad or a concatenation that only x reads is made of; None for all other values."""
    pad = made_by(x, "pad")
    inside, low = (x, (0,) * tensor_type(x).rank) if pad is None else _inside(pad)
    joined = made_by(inside, "concatenate")
    if joined is not None and (len(inside.uses) > 1 or not has_fixed_sizes(joined)):
        joined = None
    if len(x.uses) > 1 or (pad is not None and not _is_of_zeros(pad)) or pad is joined is None:
        return None
    axis = None if joined is None else joined.attributes["axis"]
    parts, start = {}, list(low)
    for value in (inside,) if joined is None else joined.operands:
        sizes = tensor_type(value).static_shape
        if not _is_zero(value) and 0 not in sizes:
            box = tuple((begin, begin + n) for begin, n in zip(start, sizes, strict=True))
            parts[box] = value, 0
        if axis is not None:
            start[axis] += sizes[axis]
    return _Row(parts, axis, pad is not None) if parts else None


def _inside(pad: Operation) -> tuple[Value, tuple[int, ...]]:
    return pad.operands[0], pad.attributes["low"]


def _is_of_zeros(pad: Operation) -> bool:
    return has_fixed_sizes(pad) and _is_zero(pad.operands[1])


def _is_zero(value: Value) -> bool:
    """Whether the value is filled with zeros, none of them −0.0."""
    number = filling(value)
    return number is not None and number == 0 and not np.signbit(number)


def _added(b: GraphEmitter, one: _Row, other: _Row) -> _Row | None:
    """The sum of two rows, the longer of which becomes it; None where parts overlap."""
    places = zip(one.places[0], other.places[0], strict=True)
    axes = {one.axis, other.axis, *(i for i, (x, y) in enumerate(places) if x != y)} - {None}
    if len(axes) > 1 or not (one.is_padded or other.is_padded):
        return None
    axis = next(iter(axes), None)
    is_first = len(one.parts) >= len(other.parts)
    long, short = (one, other) if is_first else (other, one)
    before, long.axis = long.axis, axis
    if not all(map(long.has_room, short.places)):
        long.axis = before
        return None
    for box in short.places:
        value = short.part(b, box)
        if box in long.parts:
            pair = (long.part(b, box), value)
            long.parts[box] = b.add(*pair if is_first else pair[::-1]), long.sums + 1
        else:
            long.parts[box] = value, long.sums
            insort(long.places, box)
    long.sums, long.is_padded = long.sums + 1, True
    return long


def _written(b: GraphEmitter, row: _Row, x: Value) -> Value:
    """The row, of the type of x: the parts with zeros between and around them."""
    dtype, axis, places = x.type.dtype, row.axis, row.places
    values, end = [], None
    for box in places:
        if axis is not None:
            if end is not None and end < box[axis][0]:
                sizes = [stop - start for start, stop in box]
                sizes[axis] = box[axis][0] - end
                values.append(b.full(tuple(sizes), 0, dtype))
            end = box[axis][1]
        values.append(row.part(b, box))
    whole = values[0] if len(values) == 1 else b.emit("concatenate", *values, axis=axis)
    low = tuple(start for start, _ in places[0])
    ends = zip(tensor_type(x).static_shape, (stop for _, stop in places[-1]), strict=True)
    high = tuple(size - stop for size, stop in ends)
    if not any((*low, *high)):
        return whole
    return b.emit("pad", whole, b.constant(0, dtype), low=low, high=high)


def _plus_zero(b: GraphEmitter, x: Value) -> Value:
    """x + 0.0; x itself where that has been added to it."""
    added = made_by(x, "add")
    has_zero = added is not None and _is_zero(added.operands[1])
    return x if has_zero or not x.type.dtype.is_float else b.add(x, b.zero(x))
