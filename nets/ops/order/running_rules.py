"""What runs along an axis, step by step: the states, and how an element joins them.

A state is one value or more, of which the last is the result at that element. Of the rules whose
operation is associative to the bit, the state of a run of elements is that of its two halves
joined, in any way of halving.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.ir.core import Value
from nets.ir.types import DType, i64
from nets.ops.loop.lane_vectors import LaneVectors

State = list[Value]

WINS: Final = {"max": "ge", "min": "le"}
"""When an element takes the place of the extreme of those before it: also where it is equal."""


@dataclass(frozen=True, slots=True)
class Step:
    """Which step it is: where its element stands on the axis (i64), and whether it may be the
    first one, and is (a bool)."""

    position: Value
    first: Value | None


class Rule(ABC):
    """One step per element, of as many rows as the vectors have lanes."""

    is_associative = False

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    @property
    def dtypes(self) -> tuple[DType, ...]:
        """Those of the parts of a state."""
        return (self.dtype,)

    @abstractmethod
    def start(self, v: LaneVectors) -> State:
        """The state before the first element, which changes no other when joined to it."""

    @abstractmethod
    def lifted(self, v: LaneVectors, given: list[Value], position: Value) -> State:
        """The state of one element alone."""

    @abstractmethod
    def joined(self, v: LaneVectors, before: State, after: State) -> State:
        """The state of a run of elements and those behind it."""

    def step(self, v: LaneVectors, state: State, given: list[Value], step: Step) -> State:
        """The state with one element more."""
        return self.joined(v, state, self.lifted(v, given, step.position))


class Folding(Rule):
    """Sums and products; those of integers wrap around, in any order."""

    def __init__(self, dtype: DType, combiner: str) -> None:
        super().__init__(dtype)
        self.combiner = combiner
        self.is_associative = not dtype.is_float

    def start(self, v: LaneVectors) -> State:
        """Of floats −0, which leaves −0 as it is, too."""
        if self.combiner == "mul":
            return [v.const(1)]
        return [v.const(-0.0 if self.dtype.is_float else 0)]

    def lifted(self, v: LaneVectors, given: list[Value], position: Value) -> State:
        return [v.s.cast(given[0], self.dtype)]

    def joined(self, v: LaneVectors, before: State, after: State) -> State:
        return [v.s.binary(self.combiner, before[0], after[0])]


class Extreme(Rule):
    """The largest or smallest element, the last one of equals; a NaN, which only another follows.

    With ``places`` its position behind it.
    """

    is_associative = True

    def __init__(self, dtype: DType, combiner: str, *, places: bool) -> None:
        super().__init__(dtype)
        self.combiner, self.places = combiner, places

    @property
    def dtypes(self) -> tuple[DType, ...]:
        return (self.dtype, i64) if self.places else (self.dtype,)

    def start(self, v: LaneVectors) -> State:
        weakest = v.const(_weakest(self.dtype, self.combiner))
        return [weakest, v.splat(v.s.const(0, i64))] if self.places else [weakest]

    def lifted(self, v: LaneVectors, given: list[Value], position: Value) -> State:
        return [given[0], position] if self.places else [given[0]]

    def joined(self, v: LaneVectors, before: State, after: State) -> State:
        wins = self.wins(v, before, after)
        return [v.s.select(wins, new, old) for new, old in zip(after, before, strict=True)]

    def wins(self, v: LaneVectors, before: State, after: State) -> Value:
        """Whether the later extreme takes the place of the earlier one."""
        s, here = v.s, after[0]
        wins = s.compare(WINS[self.combiner], here, before[0])
        if not self.dtype.is_float:
            return wins
        return s.binary("or", wins, s.compare("unordered", here, here))


class Linear(Rule):
    """y = a · y + b, and b at the first element: both operations rounded."""

    def start(self, v: LaneVectors) -> State:
        return [v.const(-0.0)]

    def lifted(self, v: LaneVectors, given: list[Value], position: Value) -> State:
        return [given[1]]

    def joined(self, v: LaneVectors, before: State, after: State) -> State:
        raise NotImplementedError("a step needs its factor")

    def step(self, v: LaneVectors, state: State, given: list[Value], step: Step) -> State:
        """At the first element 0 · −0 + b, which is b."""
        s, (factor, term) = v.s, given
        if step.first is not None:
            factor = s.select(v.splat(step.first), v.const(0), factor)
        return [s.add(s.mul(factor, state[0]), term)]


def _weakest(dtype: DType, combiner: str) -> float:
    """The number that all others take the place of."""
    if dtype.is_float:
        return -math.inf if combiner == "max" else math.inf
    limits = np.iinfo(str(dtype.numpy))
    return int(limits.min if combiner == "max" else limits.max)
