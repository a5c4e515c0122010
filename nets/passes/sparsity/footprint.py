"""Footprints: on which elements of an argument each element of a value depends.

A footprint is a set of pairs (element of the value, element of the argument): pieces where indices
are affine, and single pairs (``numbers``) for the rest. Either part goes through an operation by
itself, and the set is the union of both. Where a piece cannot go through, its pairs do.

A value inside of loops has a footprint for all steps: after its own axes come ``lead`` more, one
per loop around it. Operations know of their own axes alone; what is behind them goes along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from nets.ops.definition.footprints import collapsed
from nets.ops.definition.registry import Array
from nets.passes.sparsity import pieces as parts
from nets.passes.sparsity.pieces import Counter, Ints, Piece, Pieces

MANY: Final = 64
"""Pieces from which on single pairs are as cheap."""
LARGE: Final = 1 << 22
"""Pairs that are not listed before they must be."""

NOTHING: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """See the module. ``numbers``: ``place · columns + column``, ascending, each once; places count
    in row-major order of shape and lead together. ``known``: the value itself where the program
    tells it, with the axes of the lead in front (all of them, or none)."""

    shape: Ints
    columns: int
    lead: Ints = ()
    pieces: tuple[Piece, ...] = ()
    numbers: Array = field(default_factory=lambda: NOTHING)
    known: Array | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing depends on anything."""
        return not self.pieces and not self.numbers.size

    @property
    def axes(self) -> Ints:
        """The sizes of all axes, those of the lead last."""
        return (*self.shape, *self.lead)

    @property
    def steps(self) -> int:
        """Runs of the value in the loops around it."""
        return math.prod(self.lead)

    def none(self, shape: Ints) -> Footprint:
        """Of a value of that shape that depends on nothing."""
        return Footprint(shape, self.columns, self.lead)

    def dependence(self) -> Footprint:
        """The same without the known value."""
        return self if self.known is None else replace(self, known=None)

    def all_numbers(self) -> Array:
        """Every pair as a number."""
        if not self.pieces:
            return self.numbers
        listed = [parts.pairs(piece, self.axes, self.columns) for piece in self.pieces]
        return parts.sorted_once(np.concatenate([self.numbers, *listed]))

    # ------------------------------------------------------------------------- unions

    def united(self, *others: Footprint) -> Footprint:
        """What this one or another of the same shape depends on."""
        found = [x for x in (self, *others) if not x.is_empty]
        if len(found) < 2:
            return replace(found[0] if found else self, known=None)
        pieces = tuple(dict.fromkeys(piece for x in found for piece in x.pieces))
        listed = [x.numbers for x in found if x.numbers.size]
        numbers = listed[0] if len(listed) == 1 else _unique(listed)
        return replace(self, pieces=pieces, numbers=numbers, known=None)._in_few()

    def _in_few(self) -> Footprint:
        if len(self.pieces) <= MANY or sum(map(parts.size, self.pieces)) > LARGE:
            return self
        return replace(self, pieces=(), numbers=self.all_numbers())

    # ---------------------------------------------------------------------- index changes

    def _changed(
        self,
        shape: Ints,
        change: Callable[[Piece], Pieces | None],
        index: Callable[[Array], Array],
    ) -> Footprint:
        """The footprint of a value of that shape; ``index`` is the operation on the places of the
        elements, −1 for what is no element."""
        found: dict[Piece, None] = {}
        listed = [self.numbers] if self.numbers.size else []
        for piece in self.pieces:
            made = change(piece)
            if made is None:
                listed.append(parts.sorted_once(parts.pairs(piece, self.axes, self.columns)))
            else:
                found.update(dict.fromkeys(made))
        new = Footprint(shape, self.columns, self.lead, tuple(found))
        if listed:
            places = index(np.arange(math.prod(self.shape), dtype=np.int64).reshape(self.shape))
            sources = self._with_lead(np.ascontiguousarray(places).ravel())
            new = replace(new, numbers=_taken(_unique(listed), sources, self.columns))
        return new._in_few()

    def _with_lead(self, places: Array) -> Array:
        """Places among a value's own elements as places in every step."""
        if not self.lead:
            return places
        steps = np.arange(self.steps, dtype=np.int64)
        inside = places[:, None] * self.steps + steps
        return np.where(places[:, None] < 0, -1, inside).ravel()

    def broadcast(self, shape: Ints, axes: Ints) -> Footprint:
        """Axis i becomes axis ``axes[i]``; others, and those of size 1, repeat."""
        kept = tuple(i for i, axis in enumerate(axes) if self.shape[i] == shape[axis])
        same = {axes[i] for i in kept}

        def change(piece: Piece) -> Pieces:
            lead = range(len(self.shape), len(self.axes))
            found = parts.moved(piece, (*kept, *lead))
            for axis in range(len(shape)):
                if axis not in same:
                    found = [new for one in found for new in parts.spread(one, axis, shape[axis])]
            return found

        def index(places: Array) -> Array:
            aligned = [1] * len(shape)
            for dim, axis in zip(self.shape, axes, strict=True):
                aligned[axis] = dim
            return np.broadcast_to(places.reshape(aligned), shape)

        return self._changed(shape, change, index)

    def reshaped(self, shape: Ints) -> Footprint:
        """The same elements in row-major order of another shape."""

        def change(piece: Piece) -> Pieces | None:
            return parts.reshaped(piece, self.axes, (*shape, *self.lead))

        return self._changed(shape, change, lambda places: places.reshape(shape))

    def transposed(self, axes: Ints) -> Footprint:
        """Axis i is axis ``axes[i]`` of this one."""
        every = (*axes, *range(len(self.shape), len(self.axes)))
        shape = tuple(self.shape[axis] for axis in axes)
        return self._changed(
            shape, lambda piece: parts.moved(piece, every), lambda places: places.transpose(axes)
        )

    def flipped(self, axes: Ints) -> Footprint:
        """The axes from their ends."""

        def change(piece: Piece) -> Pieces:
            found = [piece]
            for axis in axes:
                found = [x for one in found for x in parts.flipped(one, axis, self.shape[axis])]
            return found

        return self._changed(self.shape, change, lambda places: np.flip(places, axes))

    def sliced(self, starts: Ints, stops: Ints, steps: Ints) -> Footprint:
        """What lies at ``start:stop:step`` of each axis."""
        cuts = tuple(map(slice, starts, stops, steps))
        shape = tuple(len(range(n)[cut]) for n, cut in zip(self.shape, cuts, strict=True))

        def change(piece: Piece) -> Pieces | None:
            found = [piece]
            for axis, bounds in enumerate(zip(starts, stops, steps, strict=True)):
                if bounds == (0, self.shape[axis], 1):
                    continue
                made = [parts.cut(one, axis, *bounds) for one in found]
                if None in made:
                    return None
                found = [new for news in made for new in news or ()]
            return found

        return self._changed(shape, change, lambda places: places[cuts])

    def placed(self, low: Ints, shape: Ints, steps: Ints | None = None) -> Footprint:
        """As part of a value of that shape, from ``low`` on, elements so many steps apart."""
        apart = steps or (1,) * len(low)
        ones = (1,) * len(self.lead)

        def index(places: Array) -> Array:
            found = np.full(shape, -1)
            rows = zip(low, self.shape, apart, strict=True)
            found[tuple(slice(a, a + n * step, step) for a, n, step in rows)] = places
            return found

        def change(piece: Piece) -> Pieces:
            return [parts.placed(piece, (*low, *(0 for _ in ones)), (*apart, *ones))]

        return self._changed(shape, change, index)

    def at(self, axis: int, places: Array) -> Footprint:
        """At these places along an axis, whose axes take its place; −1 is nowhere."""
        if places.ndim == 0 and places >= 0:
            return self._at_one(axis, int(places))
        if (evenly := _step_of(places)) is not None:
            low, high, by = (
                list(x) for x in ((0,) * len(self.shape), self.shape, (1,) * len(self.shape))
            )
            low[axis], high[axis], by[axis] = int(places[0]), int(places[-1]) + 1, evenly
            return self.sliced(tuple(low), tuple(high), tuple(by))
        shape = (*self.shape[:axis], *places.shape, *self.shape[axis + 1 :])

        def index(old: Array) -> Array:
            found = np.take(old, np.where(places < 0, 0, places), axis=axis)
            outside = places.reshape(*places.shape, *(1 for _ in self.shape[axis + 1 :])) < 0
            return np.where(outside, -1, found)

        return self._changed(shape, lambda piece: None, index)

    def _at_one(self, axis: int, place: int) -> Footprint:
        rest = (*self.shape[:axis], *self.shape[axis + 1 :])
        return self._cut(axis, place, place + 1, 1).reshaped(rest)

    def _cut(self, axis: int, start: int, stop: int, step: int) -> Footprint:
        """``start:stop:step`` of one axis."""
        rank = len(self.shape)
        starts = tuple(start if i == axis else 0 for i in range(rank))
        stops = tuple(stop if i == axis else n for i, n in enumerate(self.shape))
        return self.sliced(starts, stops, tuple(step if i == axis else 1 for i in range(rank)))

    # ------------------------------------------------------------------------- sums

    def reduced(self, axes: Ints) -> Footprint:
        """One element depends on what all along the axes do."""
        kept = tuple(axis for axis in range(len(self.shape)) if axis not in axes)
        shape = tuple(self.shape[axis] for axis in kept)
        every = (*kept, *range(len(self.shape), len(self.axes)))
        found = dict.fromkeys(x for piece in self.pieces for x in parts.moved(piece, every))
        new = Footprint(shape, self.columns, self.lead, tuple(found))
        if self.numbers.size:
            outs = np.arange(math.prod(new.axes), dtype=np.int64).reshape(new.axes)
            targets = np.broadcast_to(np.expand_dims(outs, axes), self.axes).ravel()
            rows, columns = np.divmod(self.numbers, self.columns)
            new = replace(new, numbers=parts.sorted_once(targets[rows] * self.columns + columns))
        return new._in_few()

    def linked(self, shape: Ints, targets: Array, sources: Array) -> Footprint:
        """Of a value of that shape whose element ``targets[i]`` depends on the one here that is
        ``sources[i]``, in row-major order, for every i."""
        if self.is_empty:
            return self.none(shape)
        starts, counts = _runs(self.all_numbers(), self._with_lead(sources), self.columns)
        lead = self._with_lead(targets)
        columns = self.all_numbers()[_ranges(starts, counts)] % self.columns
        numbers = parts.sorted_once(np.repeat(lead, counts) * self.columns + columns)
        return Footprint(shape, self.columns, self.lead, (), numbers)

    def where(self, mask: Array | None) -> Footprint:
        """Of the elements for which the mask holds, which has the axes of the lead in front (all of
        them, or none); None holds for all."""
        if mask is None or self.is_empty:
            return self
        mask = collapsed(mask)
        if mask.all():
            return self
        if not mask.any():
            return self.none(self.shape)
        full = np.broadcast_to(mask, (*self.lead, *self.shape))
        moved = np.moveaxis(full, range(len(self.lead)), range(len(self.shape), len(self.axes)))
        numbers = self.all_numbers()
        return replace(
            self, pieces=(), numbers=numbers[moved.ravel()[numbers // self.columns]], known=None
        )

    # ------------------------------------------------------------------- loops around it

    def with_lead(self, lead: Ints) -> Footprint:
        """The same pairs, where the last axes are those of the lead and the others its own."""
        own = self.axes[: len(self.axes) - len(lead)]
        return replace(self, shape=own, lead=lead)


def identity(shape: Ints) -> Footprint:
    """Of an argument: each of its elements depends on itself."""
    count = math.prod(shape)
    along = parts.strides(shape)
    counters = [
        Counter(n, stride, tuple(int(i == axis) for i in range(len(shape))))
        for axis, (n, stride) in enumerate(zip(shape, along, strict=True))
    ]
    return Footprint(shape, count, (), tuple(parts.normal((0,) * len(shape), 0, counters)))


def _step_of(places: Array) -> int | None:
    """How far apart places along one axis are that a slice could have as well; else None."""
    if places.ndim != 1 or places.size < 2 or places[0] < 0:
        return None
    step = int(places[1] - places[0])
    return step if step > 0 and (np.diff(places) == step).all() else None


def _unique(listed: Sequence[Array]) -> Array:
    if not listed:
        return NOTHING
    return listed[0] if len(listed) == 1 else parts.sorted_once(np.concatenate(listed))


def _runs(numbers: Array, sources: Array, columns: int) -> tuple[Array, Array]:
    """Where in the numbers those of each source place begin, and how many there are."""
    starts = np.searchsorted(numbers, sources * columns)
    ends = np.searchsorted(numbers, (sources + 1) * columns)
    return starts, np.where(sources < 0, 0, ends - starts)


def _ranges(starts: Array, counts: Array) -> Array:
    """start, start + 1, …, for each start so many."""
    before = np.cumsum(counts) - counts
    places: Array = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return places


def _taken(numbers: Array, sources: Array, columns: int) -> Array:
    """The numbers of places that are those in ``sources``, −1 for none."""
    starts, counts = _runs(numbers, sources, columns)
    found = numbers[_ranges(starts, counts)] % columns
    made: Array = np.repeat(np.arange(sources.size, dtype=np.int64) * columns, counts) + found
    return made
