"""Repetition: where a program does the same operations again and again, as unrolled loops do.

A program is read as a text whose letters are operations without their operands. Loops that Python
has unrolled are stretches of it that equal themselves some places further on. Whether the values
go from one repetition to the next in the same way is looked at afterwards, operand by operand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nets.ir.core import Operation, Trait, Value
from nets.ops.definition.emitter import tensor_type
from nets.passes.simplify.cse import frozen

_TRIED: Final = 32
"""Periods that are tried: the most frequent distances between equal operations."""

_TABLE_BYTES: Final = 4096
"""The largest constant that may differ from one repetition to the next."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """``count`` repetitions of ``period`` operations, from the operation number ``start`` on."""

    start: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count

    def joined(self, times: int) -> Stretch:
        """The same with that many repetitions taken as one."""
        return Stretch(self.start, self.period * times, self.count // times)


def stretches(ops: Sequence[Operation], fewest: int) -> list[Stretch]:
    """Where operations repeat at least ``fewest`` times, the longest stretches first."""
    letters = _letters(ops)
    found = [
        Stretch(start, period, 1 + length // period)
        for period in _periods(letters)
        for start, length in _equal_runs(letters, period)
        if length >= (fewest - 1) * period
    ]
    return sorted(found, key=lambda it: (it.start - it.stop, it.period))


def _letters(ops: Sequence[Operation]) -> npt.NDArray[np.int64]:
    """A number for each operation, equal for those that may be repetitions of each other."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(_letter(op), len(numbers)) for op in ops], np.int64)


def _letter(op: Operation) -> Hashable:
    if op.regions or not op.is_pure:
        return op
    place = op.location if op.has(Trait.CHECKED) else None  # which an error would name
    types = (tuple(x.type for x in op.operands), tuple(x.type for x in op.results))
    kept = {name for name in op.attributes if name not in varying(op)}
    return (
        op.name,
        types,
        place,
        tuple((name, frozen(op.attributes[name])) for name in sorted(kept)),
    )


def varying(op: Operation) -> tuple[str, ...]:
    """The attributes that a loop can turn into numbers that change from step to step."""
    match op.name:
        case "constant" if op.attributes["value"].nbytes <= _TABLE_BYTES:
            return ("value",)
        case "slice" if set(op.attributes["steps"]) <= {1} and are_numbers(op, "starts"):
            return "starts", "stops"
        case "pad" if are_numbers(op, "low"):
            return "low", "high"
    return ()


def are_numbers(op: Operation, name: str) -> bool:
    """Is none of these places told by a call?"""
    return all(isinstance(place, int) for place in op.attributes[name])


def _periods(letters: npt.NDArray[np.int64]) -> list[int]:
    last: dict[int, int] = {}
    distances: Counter[int] = Counter()
    for place, letter in enumerate(letters.tolist()):
        if letter in last:
            distances[place - last[letter]] += 1
        last[letter] = place
    return [distance for distance, _ in distances.most_common(_TRIED)]


def _equal_runs(letters: npt.NDArray[np.int64], period: int) -> Iterator[tuple[int, int]]:
    """Start and length of the maximal runs of letters that come again ``period`` places on."""
    equal = np.zeros(len(letters) - period + 2, np.bool_)
    equal[1:-1] = letters[period:] == letters[:-period]
    (edges,) = np.nonzero(equal[1:] != equal[:-1])
    for start, stop in edges.reshape(-1, 2).tolist():
        yield start, stop - start


# ------------------------------------------------------------------- how values are passed on


@dataclass(frozen=True, slots=True)
class Made:
    """The result number ``result`` of operation ``place``, ``back`` repetitions ago."""

    place: int
    result: int
    back: int


@dataclass(frozen=True, slots=True)
class Same:
    """One value from outside, in every repetition."""

    value: Value


@dataclass(frozen=True, slots=True)
class RowOf:
    """A row of the stack ``value``: ``first`` + ``step`` times the number of the repetition."""

    value: Value
    first: int
    step: int


Source = Made | Same | RowOf
"""Where an operand comes from, in every repetition alike."""


def row_of(value: Value) -> tuple[Value, int] | None:
    """The stack and the number of the row where a value is ``x[t]``, a reshape of a slice."""
    op = value.operation
    cut = op.operands[0].operation if op is not None and op.name == "reshape" else None
    if cut is None or cut.name != "slice":
        return None
    type = tensor_type(cut.operands[0])
    starts, stops, steps = (cut.attributes[it] for it in ("starts", "stops", "steps"))
    if type.rank == 0 or not isinstance(type.shape[0], int) or not are_numbers(cut, "starts"):
        return None
    is_row = stops[0] == starts[0] + 1 and set(steps) == {1}
    is_whole = not any(starts[1:]) and stops[1:] == type.shape[1:]
    if is_row and is_whole and tensor_type(value).shape == type.shape[1:]:
        return cut.operands[0], starts[0]
    return None


def best_phase(ops: Sequence[Operation], stretch: Stretch) -> Stretch:
    """The same repetitions cut where the fewest values pass from one to the next."""
    period = stretch.period
    places = {op: place for place, op in enumerate(ops[stretch.start : stretch.stop])}
    middle = stretch.count // 2 * period
    crossing = np.zeros(period, np.int64)
    for op in ops[stretch.start + middle : stretch.start + middle + period]:
        for value in op.results:
            uses = [places[user] for user in value.users if user in places]
            last = min(max(uses, default=-1), places[op] + period)
            crossing[np.arange(places[op] + 1, last + 1) % period] += 1
    phase = int(np.argmin(crossing))
    if not phase:
        return stretch
    return Stretch(stretch.start + phase, period, stretch.count - 1)


class Repetitions:
    """A stretch and the sources of its operands."""

    def __init__(self, ops: Sequence[Operation], stretch: Stretch) -> None:
        self.stretch = stretch
        self.ops = ops[stretch.start : stretch.stop]
        self._places = {op: place for place, op in enumerate(self.ops)}

    def step(self, number: int) -> Sequence[Operation]:
        """The operations of one repetition."""
        period = self.stretch.period
        return self.ops[number * period : (number + 1) * period]

    def operands(self, number: int) -> list[Value]:
        return [x for op in self.step(number) for x in op.operands]

    def longest(self) -> tuple[int, int, list[Source]]:
        """The most repetitions in a row with the same sources: first, stop, sources."""
        best: tuple[int, int, list[Source]] = (0, 0, [])
        first, known = 0, None
        for number in range(1, self.stretch.count):
            found = self._sources(number)
            if found is None or found != known:
                first, known = number - 1, found
            if known is not None and number + 1 - first > best[1] - best[0]:
                best = first, number + 1, known
        return self._with_a_start(*best)

    def _sources(self, number: int) -> list[Source] | None:
        """The sources of a repetition's operands, seen from the one before; None without."""
        found: list[Source] = []
        for before, value in zip(self.operands(number - 1), self.operands(number), strict=True):
            source = self._source(number, before, value)
            if source is None:
                return None
            found.append(source)
        return found

    def _source(self, number: int, before: Value, value: Value) -> Source | None:
        if before is value:
            return Same(value)
        row, previous = row_of(value), row_of(before)
        if row is not None and previous is not None and row[0] is previous[0]:
            step = row[1] - previous[1]
            if step:
                return RowOf(row[0], row[1] - step * number, step)
        return self._made(number, value)

    def _made(self, number: int, value: Value) -> Made | None:
        place = self._place_of(value)
        if place is None:
            return None
        step, place = divmod(place, self.stretch.period)
        return Made(place, value.index, number - step)

    def makes(self, value: Value) -> bool:
        """Is the value made in the stretch?"""
        return self._place_of(value) is not None

    def _place_of(self, value: Value) -> int | None:
        """The place in the stretch of the operation that makes the value."""
        return None if value.operation is None else self._places.get(value.operation)

    def _with_a_start(
        self, first: int, stop: int, sources: list[Source]
    ) -> tuple[int, int, list[Source]]:
        """Without the first repetitions that stand in the way of a loop's first step.

        What is the same in all steps must be there before the first, and what the first gets
        from earlier ones must be one value for each that is passed on.
        """
        period = self.stretch.period
        for source in sources:
            place = None if isinstance(source, Made) else self._place_of(source.value)
            if place is not None:
                first = max(first, place // period + 1)
        far = max((x.back for x in sources if isinstance(x, Made)), default=0)
        if first < stop and (far > 1 or not self._starts_at(first, sources)):
            first += max(far, 1)
        return first, stop, sources

    def _starts_at(self, first: int, sources: list[Source]) -> bool:
        """Do the operands of that repetition fit a first step?"""
        starts: dict[Source, Value] = {}
        for source, value in zip(sources, self.operands(first), strict=True):
            if not isinstance(source, Made):
                continue
            if source.back == 0:
                if self._made(first, value) != source:
                    return False
            elif starts.setdefault(source, value) is not value:
                return False
        return True
