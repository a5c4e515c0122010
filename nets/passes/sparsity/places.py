"""Places that a program computes: what gathers, picks, scatters and windows do to footprints.

Where the places are known they are followed one by one; places that move evenly from step to step
of a loop, as ``x[i + 1]`` does, stay pieces. Where they are not known, each element may come from
all along the axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from nets.ops.definition.registry import Array
from nets.passes.sparsity import pieces as parts
from nets.passes.sparsity.footprint import Footprint
from nets.passes.sparsity.pieces import Ints, Pieces

FEW: Final = 16
"""Places per step that are followed each by itself."""


class Course(NamedTuple):
    """A place that is ``start + Σ step · number`` in the steps of that numbers."""

    start: int
    steps: Ints


def course(places: Array) -> Course | None:
    """The course of one place per step of loops; None where it moves unevenly."""
    start = int(places[(0,) * places.ndim])
    steps, expected = list[int](), np.array(start)
    for axis, count in enumerate(places.shape):
        second = tuple(int(i == axis) for i in range(places.ndim))
        step = int(places[second]) - start if count > 1 else 0
        steps.append(step)
        expected = np.add.outer(expected, np.arange(count) * step)
    return Course(start, tuple(steps)) if np.array_equal(places, expected) else None


def normalised(indices: Array, size: int) -> Array:
    """Indices counted from the start; −1 for those out of range, with which a call fails."""
    places = np.where(indices < 0, indices + size, indices)
    return np.where((places < 0) | (places >= size), -1, places)


def clamped(starts: Array, size: int, dim: int) -> Array:
    """Where windows of that size begin along an axis."""
    places = np.where(starts < 0, starts + dim, starts)
    return np.minimum(np.maximum(places, 0), dim - size)


def is_by_step(x: Footprint, places: Array | None, rank: int) -> bool:
    """Whether there are places for each step."""
    return places is not None and bool(x.lead) and places.ndim > rank


# ----------------------------------------------------------------------------- reading


def gathered(x: Footprint, axis: int, indices: Footprint) -> Footprint:
    """The slices along an axis at the indices."""
    rank = len(indices.shape)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if indices.known is None:
        kept = (*range(axis), *range(axis + rank, len(shape)))
        return x.reduced((axis,)).broadcast(shape, kept)
    places = normalised(indices.known, x.shape[axis])
    if not is_by_step(x, places, rank):
        return x.at(axis, places)
    courses = _courses(places, len(x.lead))
    if courses is None:
        return _gathered_by_step(x, axis, places, shape)
    found = x.none(shape)
    for number, way in courses:
        part = read(x, axis, way)
        if part is None:
            return _gathered_by_step(x, axis, places, shape)
        found = found.united(_inserted(part, axis, indices.shape, number))
    return found


def _courses(places: Array, lead: int) -> list[tuple[int, Course]] | None:
    """The course of each of a few places, which have the steps in front."""
    count = math.prod(places.shape[lead:])
    if count > FEW or (places < 0).any() or not places.size:
        return None
    rows = places.reshape(*places.shape[:lead], count)
    found = [(i, course(rows[..., i])) for i in range(count)]
    return None if any(way is None for _, way in found) else [(i, w) for i, w in found if w]


def read(x: Footprint, axis: int, way: Course) -> Footprint | None:
    """The element along an axis that the course of a place leads to, without the axis; None where
    pieces cannot say it."""
    if x.numbers.size:
        return None
    weights = _weights(x, axis, way)
    rest = tuple(i for i in range(len(x.axes)) if i != axis)
    found: Pieces = []
    for piece in x.pieces:
        met = parts.restricted(piece, weights, way.start)
        if met is None:
            return None
        found += [new for one in met for new in parts.moved(one, rest)]
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return Footprint(shape, x.columns, x.lead, tuple(dict.fromkeys(found)))


def _weights(x: Footprint, axis: int, way: Course) -> Ints:
    """Of the places: what makes ``Σ weight · place`` the start of the course where one is on it."""
    return (*(int(i == axis) for i in range(len(x.shape))), *(-step for step in way.steps))


def _inserted(part: Footprint, axis: int, shape: Ints, number: int) -> Footprint:
    """As the entry of that number of new axes of that shape, which come before an axis."""
    own = part.shape
    flat = part.reshaped((*own[:axis], 1, *own[axis:]))
    low = tuple(number if i == axis else 0 for i in range(len(own) + 1))
    size = math.prod(shape)
    wide = flat.placed(low, (*own[:axis], size, *own[axis:])) if size > 1 else flat
    return wide.reshaped((*own[:axis], *shape, *own[axis:]))


def _gathered_by_step(x: Footprint, axis: int, places: Array, shape: Ints) -> Footprint:
    own = np.arange(math.prod(x.shape)).reshape(x.shape)
    found = np.take(own, np.maximum(places, 0), axis=axis)
    outside = places.reshape(*places.shape, *(1 for _ in x.shape[axis + 1 :])) < 0
    found = np.where(outside, -1, found)
    # The steps stand where the axis was; they go last.
    last = range(found.ndim - len(x.lead), found.ndim)
    moved = np.moveaxis(found, range(axis, axis + len(x.lead)), last)
    return by_step(x, shape, moved)


def by_step(x: Footprint, shape: Ints, sources: Array) -> Footprint:
    """Of a value of that shape whose elements are those of x at ``sources``, whose last axes are
    the steps; −1 is none."""
    steps = np.arange(x.steps).reshape(x.lead)
    places = np.where(sources < 0, -1, sources * x.steps + steps).ravel()
    inside = np.flatnonzero(places >= 0)
    flat = x.with_lead(())
    return flat.linked((*shape, *x.lead), inside, places[inside]).with_lead(x.lead)


def picked(x: Footprint, axis: int, indices: Footprint) -> Footprint:
    """Of each row along an axis the element at its index."""
    places = None if indices.known is None else normalised(indices.known, x.shape[axis])
    if places is None or is_by_step(x, places, len(x.shape)):
        rest = tuple(i for i in range(len(x.shape)) if i != axis)
        return x.reduced((axis,)).broadcast(indices.shape, rest)
    own = np.arange(math.prod(x.shape)).reshape(x.shape)
    sources = np.take_along_axis(own, np.maximum(places, 0), axis).ravel()
    inside = np.flatnonzero(places.ravel() >= 0)
    return x.linked(indices.shape, inside, sources[inside])


def windowed(x: Footprint, sizes: Ints, starts: Sequence[Footprint]) -> Footprint:
    """The window of these sizes that begins at the starts."""
    for axis, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        if size != x.shape[axis]:
            x = _windowed_along(x, axis, size, start.known)
    return x


def _windowed_along(x: Footprint, axis: int, size: int, start: Array | None) -> Footprint:
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    if start is None:
        rest = tuple(i for i in range(len(shape)) if i != axis)
        return x.reduced((axis,)).broadcast(shape, rest)
    begin = clamped(start, size, x.shape[axis])
    places = begin[..., None] + np.arange(size)
    row = replace(x.none((size,)), known=places)
    if begin.ndim:
        return gathered(x, axis, row)
    low = tuple(int(begin) if i == axis else 0 for i in range(len(shape)))
    high = tuple(a + n for a, n in zip(low, shape, strict=True))
    return x.sliced(low, high, (1,) * len(shape))


# ----------------------------------------------------------------------------- writing


def scattered(updates: Footprint, shape: Ints, axis: int, indices: Footprint) -> Footprint:
    """Slices along an axis put at the indices of a value of that shape."""
    rank = len(indices.shape)
    own = updates.shape
    rows = updates.reshaped((*own[:axis], math.prod(indices.shape), *own[axis + rank :]))
    if indices.known is None:
        rest = tuple(i for i in range(len(shape)) if i != axis)
        return rows.reduced((axis,)).broadcast(shape, rest)
    places = normalised(indices.known, shape[axis])
    if not is_by_step(updates, places, rank):
        return _scattered_to(rows, shape, axis, places.ravel())
    courses = _courses(places, len(updates.lead))
    if courses is None:
        return _scattered_by_step(rows, shape, axis, places.reshape(*updates.lead, -1))
    ways = [put(rows.at(axis, np.array(number)), axis, shape, way) for number, way in courses]
    return updates.none(shape).united(*ways)


def _scattered_to(rows: Footprint, shape: Ints, axis: int, places: Array) -> Footprint:
    own = np.arange(math.prod(shape)).reshape(shape)
    targets = np.take(own, np.maximum(places, 0), axis=axis)
    sources = np.arange(targets.size).reshape(targets.shape)
    aligned = (places >= 0).reshape(-1, *(1 for _ in shape[axis + 1 :]))
    inside = np.broadcast_to(aligned, targets.shape)
    return rows.linked(shape, targets[inside], sources[inside])


def _scattered_by_step(rows: Footprint, shape: Ints, axis: int, places: Array) -> Footprint:
    """``places``: of each step, which come first."""
    steps, lead = rows.steps, rows.lead
    own = np.arange(math.prod(shape)).reshape(shape)
    flat = places.reshape(steps, -1)
    targets = np.moveaxis(np.take(own, np.maximum(flat, 0), axis=axis), axis, -1) * steps
    targets = targets + np.arange(steps)
    sources = np.arange(math.prod(rows.axes)).reshape(*rows.shape, steps)
    aligned = np.moveaxis((flat >= 0).reshape(steps, -1, *(1 for _ in shape[axis + 1 :])), 0, -1)
    inside = np.broadcast_to(aligned, targets.shape)
    whole = rows.with_lead(())
    return whole.linked((*shape, *lead), targets[inside], sources[inside]).with_lead(lead)


def put(x: Footprint, axis: int, shape: Ints, way: Course) -> Footprint:
    """At the place along a new axis that its course leads to, in a value of that shape."""
    weights = (*(0 for _ in x.shape), *way.steps)
    found = [new for piece in x.pieces for new in parts.derived(piece, axis, weights, way.start)]
    new = Footprint(shape, x.columns, x.lead, tuple(dict.fromkeys(found)))
    if not x.numbers.size:
        return new
    rest = replace(x, pieces=()).reshaped((*x.shape[:axis], 1, *x.shape[axis:]))
    steps = np.array(way.start)
    for step, count in zip(way.steps, x.lead, strict=True):
        steps = np.add.outer(steps, np.arange(count) * step)
    return new.united(_scattered_by_step(rest, shape, axis, steps[..., None]))


def updated(x: Footprint, update: Footprint, starts: Sequence[Footprint]) -> Footprint:
    """x with a window replaced that begins at the starts."""
    if 0 in update.shape:
        return x.dependence()
    inside, found = x.dependence(), update.dependence()
    for axis, start in enumerate(starts):
        size, dim = update.shape[axis], x.shape[axis]
        if size == dim:
            continue
        shape = (*found.shape[:axis], dim, *found.shape[axis + 1 :])
        places = None
        if start.known is not None:
            places = clamped(start.known, size, dim)[..., None] + np.arange(size)
        row = replace(x.none((size,)), known=places)
        found = scattered(found, shape, axis, row)
        inside = _replaced_along(inside, axis, places)
    return _without(x, inside).united(found)


def _replaced_along(x: Footprint, axis: int, places: Array | None) -> Footprint:
    """The part of x that surely lies in a window."""
    if places is None or x.is_empty:
        return x.none(x.shape)
    own = np.arange(x.shape[axis])
    mask = (places[..., :1] <= own) & (own <= places[..., -1:])
    if places.ndim > 1 and not _meets(x, axis, places):
        return x.none(x.shape)
    before, behind = ((1,) * n for n in (axis, len(x.shape) - axis - 1))
    return x.where(mask.reshape(*mask.shape[:-1], *before, mask.shape[-1], *behind))


def _meets(x: Footprint, axis: int, places: Array) -> bool:
    """Whether an element that depends on anything may lie in the window of its step."""
    ways = _courses(places, len(x.lead))
    if ways is None:
        return True
    found = [read(x, axis, way) for _, way in ways]
    return any(part is None or not part.is_empty for part in found)


def _without(x: Footprint, inside: Footprint) -> Footprint:
    """x without pairs that are in another one."""
    if inside.is_empty:
        return x
    numbers = np.setdiff1d(x.all_numbers(), inside.all_numbers(), assume_unique=True)
    return replace(x, pieces=(), numbers=numbers, known=None)
