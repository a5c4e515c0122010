"""Strided accesses: elements 2 to 4 apart are loaded and stored in whole vectors, and shuffled.

Loads that begin within one step of each other share the vectors that hold their elements. Stores
do so only where they fill every place between them, for what is stored as a vector is all written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nets.ir.core import Operation, Value
from nets.ir.types import index
from nets.machine.machine import Machine
from nets.ops.loop.accesses import access_terms, buffer_of
from nets.ops.loop.loop_builder import LoopBuilder

_MOST_STEPS: Final = 4
"""Steps up to which vectors and shuffles are fewer than lanes."""

Place = tuple[list[Value], int]
"""Index operands and offset of an access."""


@dataclass(frozen=True, slots=True)
class StridedRun:
    """Accesses of one kind, in program order, that move on by ``step`` elements per iteration.

    The access ``ops[i]`` goes ``phases[i]`` elements behind the first of them in memory, which is
    ``first``; all phases lie below the step, and those of stores are all there are.
    """

    ops: tuple[Operation, ...]
    phases: tuple[int, ...]
    first: Operation
    step: int


def strided_runs(
    accesses: Sequence[Operation], step_of: Callable[[Operation], int | None], machine: Machine
) -> Iterator[StridedRun]:
    """The runs among the loads and stores of a body; no load moves over a store."""
    for _, alike in itertools.groupby(accesses, lambda op: op.name):
        by_address: dict[tuple[int, Value, object], list[Operation]] = {}
        for op in alike:
            step, buffer = step_of(op), buffer_of(op)
            can_mask = buffer.type.dtype.itemsize in machine.masked_sizes
            can_mask &= isinstance(op.attributes["offset"], int)
            if can_mask and step is not None and 2 <= step <= _MOST_STEPS:
                by_address.setdefault((step, buffer, tuple(access_terms(op))), []).append(op)
        for (step, *_), ops in by_address.items():
            yield from _near_each_other(ops, step)


def _near_each_other(ops: Sequence[Operation], step: int) -> Iterator[StridedRun]:
    """The runs among accesses that differ in their offsets alone."""
    pending = sorted(ops, key=lambda op: op.attributes["offset"])
    while pending:
        first = pending[0]
        start = first.attributes["offset"]
        near = {op for op in pending if op.attributes["offset"] < start + step}
        found = tuple(op for op in ops if op in near)
        phases = tuple(op.attributes["offset"] - start for op in found)
        if first.name == "loop.load" or sorted(phases) == list(range(step)):
            yield StridedRun(found, phases, first, step)
        pending = [op for op in pending if op not in near]


# ------------------------------------------------------------------------------- emission


class StridedVectors:
    """Emits the accesses of a run for ``lanes`` iterations, of which ``count`` (None: all) are
    there; ``place`` is that of the first access in memory, in the first iteration."""

    def __init__(
        self, s: LoopBuilder, run: StridedRun, lanes: int, place: Place, count: Value | None
    ) -> None:
        self.s, self.run, self.lanes = s, run, lanes
        self.indices, self.offset = place
        first = run.first
        self.strides = first.attributes["strides"]
        self.buffer = buffer_of(first)
        self.masks = None if count is None else [self._mask(count, part) for part in self._parts]

    @property
    def _parts(self) -> range:
        return range(self.run.step)

    def _mask(self, count: Value, part: int) -> Value:
        """The lanes of a part that hold elements of the first ``count`` iterations."""
        s, step = self.s, self.run.step
        beyond = max(self.run.phases) + 1 - step - part * self.lanes
        elements = s.add(s.mul(count, s.const(step, index)), s.const(beyond, index))
        return s.emit("tail_mask", elements, lanes=self.lanes).result

    def _start(self, part: int) -> int:
        """Where a part begins; none ends behind the last element of the last iteration."""
        start = part * self.lanes
        if self.masks is not None:
            return start
        last = (self.lanes - 1) * self.run.step + max(self.run.phases)
        return min(start, last + 1 - self.lanes)

    def loaded(self) -> list[Value]:
        """What each load of the run gives."""
        parts = [self._load(part) for part in self._parts]
        return [self._every(parts, phase) for phase in self.run.phases]

    def _load(self, part: int) -> Value:
        attributes = {"lanes": self.lanes, "strides": self.strides}
        attributes["offset"] = self.offset + self._start(part)
        if self.masks is None:
            return self.s.emit("load", self.buffer, *self.indices, **attributes).result
        mask = self.masks[part]
        return self.s.emit("masked_load", mask, self.buffer, *self.indices, **attributes).result

    def _every(self, parts: Sequence[Value], phase: int) -> Value:
        order = []
        for lane in range(self.lanes):
            element = phase + lane * self.run.step
            part = min(element // self.lanes, len(parts) - 1)
            order.append((part, element - self._start(part)))
        return self._picked(parts, order)

    def store(self, values: Sequence[Value]) -> None:
        """Store the values of the run, in its order."""
        step = self.run.step
        by_phase = [values[self.run.phases.index(phase)] for phase in self._parts]
        for part in self._parts:
            elements = range(part * self.lanes, (part + 1) * self.lanes)
            value = self._picked(by_phase, [(e % step, e // step) for e in elements])
            operands = [value, self.buffer, *self.indices]
            attributes = {"offset": self.offset + part * self.lanes, "strides": self.strides}
            if self.masks is None:
                self.s.emit("store", *operands, **attributes)
            else:
                self.s.emit("masked_store", self.masks[part], *operands, **attributes)

    def _picked(self, sources: Sequence[Value], order: Sequence[tuple[int, int]]) -> Value:
        """The vector whose lane l is lane ``order[l][1]`` of the source ``order[l][0]``."""
        result = sources[0]
        for number in range(1, len(sources)):
            lanes = []
            for lane, (source, at) in enumerate(order):
                kept = at if number == 1 and source == 0 else lane
                lanes.append(self.lanes + at if source == number else kept)
            result = self.s.emit("shuffle", result, sources[number], order=tuple(lanes)).result
        return result
