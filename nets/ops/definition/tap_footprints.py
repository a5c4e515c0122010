"""Footprints of convolutions and pools: at which taps of windows which elements meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nets.ops.definition.footprints import Footprint, Footprints, nonzero
from nets.ops.definition.rules import Array

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Meeting:
    """The windows that a tap meets elements with, along each axis: ``first`` of them and ``count``
    from there on. The elements begin at ``start`` and are ``step`` apart."""

    tap: Ints
    first: Ints
    count: Ints
    start: Ints
    step: Ints


@dataclass(frozen=True, slots=True)
class Meetings:
    """How windows lie over axes: place p and tap k meet at ``p · step + k · dilation − low``."""

    size: Ints
    places: Ints
    kernel: Ints
    steps: Ints
    low: Ints
    dilation: Ints

    def __iter__(self) -> Iterator[Meeting]:
        """Every tap that meets any element."""
        for tap in np.ndindex(*self.kernel):
            rows = [self._along(axis, k) for axis, k in enumerate(tap)]
            first, count, start = (tuple(x) for x in zip(*rows, strict=True))
            if min(count) > 0:
                yield Meeting(tap, first, count, start, self.steps)

    def _along(self, axis: int, k: int) -> tuple[int, int, int]:
        step, offset = self.steps[axis], k * self.dilation[axis] - self.low[axis]
        first = max(0, -(offset // step))
        last = min(self.places[axis] - 1, (self.size[axis] - 1 - offset) // step)
        return first, last - first + 1, first * step + offset


def met(f: Footprints, x: Footprint, at: Meeting) -> Footprint:
    """The elements that a tap meets, of a tensor whose last axes the windows go over."""
    lead = len(x.shape) - len(at.tap)
    stops = (a + (n - 1) * s + 1 for a, n, s in zip(at.start, at.count, at.step, strict=True))
    starts = (*(0 for _ in range(lead)), *at.start)
    return f.slice(x, starts, (*x.shape[:lead], *stops), (*(1 for _ in range(lead)), *at.step))


def meeting(f: Footprints, y: Footprint, at: Meeting) -> Footprint:
    """The windows that a tap meets elements with."""
    lead = len(y.shape) - len(at.tap)
    stops = (a + n for a, n in zip(at.first, at.count, strict=True))
    starts = (*(0 for _ in range(lead)), *at.first)
    return f.slice(y, starts, (*y.shape[:lead], *stops), (1,) * len(y.shape))


def at_places(f: Footprints, x: Footprint, at: Meeting, places: Ints) -> Footprint:
    """Put where the windows are that a tap meets elements with."""
    lead = x.shape[: len(x.shape) - len(places)]
    return f.place(x, (*(0 for _ in lead), *at.first), (*lead, *places))


def at_elements(f: Footprints, x: Footprint, at: Meeting, size: Ints) -> Footprint:
    """Put where the elements are that a tap meets."""
    lead = x.shape[: len(x.shape) - len(size)]
    ones = tuple(1 for _ in lead)
    return f.place(x, (*(0 for _ in lead), *at.start), (*lead, *size), (*ones, *at.step))


# ----------------------------------------------------------------------- convolutions


def across(f: Footprints, x: Footprint, groups: int, to: int, weights: Array | None) -> Footprint:
    """N × channels × space, with ``to`` channels of each group that depend on all of those that
    there are, or on those for which weights[group, to, from] hold."""
    n, channels, *space = x.shape
    grouped = f.reshape(x, (n, groups, channels // groups, *space))
    rest = tuple(range(3, 3 + len(space)))
    if weights is None:
        summed = f.reduce(grouped, (2,))
        wide = f.broadcast(summed, (n, groups, to, *space), (0, 1, *rest))
    else:
        shape = (n, groups, to, channels // groups, *space)
        every = f.broadcast(grouped, shape, (0, 1, 3, *(axis + 1 for axis in rest)))
        wide = f.reduce(f.where(every, weights.reshape(*weights.shape, *(1 for _ in space))), (3,))
    return f.reshape(wide, (n, groups * to, *space))


def weights_at(w: Footprint, groups: int, tap: Ints) -> Array | None:
    """Which weights of a tap are not zero, as group × outer × inner; None where they are not
    known, or none is."""
    mask = nonzero(w)
    if mask is None or mask.ndim != len(w.shape) or mask.all():
        return None
    flat = np.broadcast_to(mask, w.shape).reshape(groups, w.shape[0] // groups, w.shape[1], -1)
    return flat[..., int(np.ravel_multi_index(tap, w.shape[2:]))]


def of_images(
    f: Footprints, x: Footprint, w: Footprint, meetings: Meetings, groups: int
) -> Footprint:
    """Of conv, by x."""
    outer = w.shape[0] // groups
    parts = [
        at_places(
            f,
            across(f, met(f, x, at), groups, outer, weights_at(w, groups, at.tap)),
            at,
            meetings.places,
        )
        for at in meetings
    ]
    return f.union(_empty(f, x, (x.shape[0], w.shape[0], *meetings.places)), *parts)


def of_places(
    f: Footprints, y: Footprint, w: Footprint, meetings: Meetings, groups: int
) -> Footprint:
    """Of conv_input, by y."""
    inner, parts = w.shape[1], list[Footprint]()
    for at in meetings:
        weights = weights_at(w, groups, at.tap)
        back = None if weights is None else weights.swapaxes(1, 2)
        mixed = across(f, meeting(f, y, at), groups, inner, back)
        parts.append(at_elements(f, mixed, at, meetings.size))
    return f.union(_empty(f, y, (y.shape[0], groups * inner, *meetings.size)), *parts)


def of_weights(
    f: Footprints, w: Footprint, images: int, meetings: Meetings, groups: int, *, back: bool
) -> Footprint:
    """Of conv, by w; ``back``: of conv_input."""
    outer, inner = w.shape[:2]
    channels, size = (groups * inner, meetings.size) if back else (outer, meetings.places)
    parts = []
    for at in meetings:
        stops = tuple(k + 1 for k in at.tap)
        tap = f.slice(w, (0, 0, *at.tap), (outer, inner, *stops), (1,) * len(w.shape))
        matrix = f.reshape(tap, (groups, outer // groups, inner))
        line = f.reshape(f.reduce(matrix, (1 if back else 2,)), (channels,))
        wide = f.broadcast(line, (images, channels, *at.count), (1,))
        put = at_elements if back else at_places
        parts.append(put(f, wide, at, size))
    return f.union(_empty(f, w, (images, channels, *size)), *parts)


def of_terms(
    f: Footprints, x: Footprint, y: Footprint, meetings: Meetings, groups: int
) -> Footprint:
    """Of conv_weight."""
    inner, outer = x.shape[1] // groups, y.shape[1]
    shape, ones = (outer, inner, *meetings.kernel), (1,) * len(meetings.kernel)
    summed = (0, *range(2, len(x.shape)))
    parts = []
    for at in meetings:
        of_x = f.reshape(f.reduce(met(f, x, at), summed), (groups, inner))
        wide = f.broadcast(of_x, (groups, outer // groups, inner), (0, 2))
        of_y = f.broadcast(f.reduce(meeting(f, y, at), summed), (outer, inner), (0,))
        both = f.union(f.reshape(wide, (outer, inner)), of_y)
        parts.append(f.place(f.reshape(both, (outer, inner, *ones)), (0, 0, *at.tap), shape))
    return f.union(_empty(f, x, shape), *parts)


def _empty(f: Footprints, x: Footprint, shape: Sequence[int]) -> Footprint:
    """Of a value of that shape that depends on nothing."""
    nowhere = np.zeros(0, np.int64)
    return f.link(x, tuple(shape), nowhere, nowhere)


# ------------------------------------------------------------------------------- pools


def pooled(f: Footprints, x: Footprint, meetings: Meetings) -> Footprint:
    """Of each window, by all that it meets."""
    parts = [at_places(f, met(f, x, at), at, meetings.places) for at in meetings]
    return f.union(_empty(f, x, (*x.shape[:2], *meetings.places)), *parts)


def unpooled(f: Footprints, y: Footprint, meetings: Meetings) -> Footprint:
    """Of each element, by all windows that meet it."""
    parts = [at_elements(f, meeting(f, y, at), at, meetings.size) for at in meetings]
    return f.union(_empty(f, y, (*y.shape[:2], *meetings.size)), *parts)
