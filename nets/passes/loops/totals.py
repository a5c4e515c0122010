"""Running results of a reduction: what a vector of lanes starts from, takes, and comes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from nets.ir.core import Value
from nets.ir.types import DType, ScalarType, i32, index
from nets.ops.definition.registry import reduction_identity
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.loop.reduction_tree import ARG_COMBINERS, reduce_lanes

Slot = tuple[Value, ...]
"""One vector of running results: the lanes' values and, for positional ones, their positions."""

_BEHIND_ALL = (1 << 63) - 1
"""A position behind every other one."""


def identity(combiner: str, dtype: DType) -> float:
    """The value a lane starts from."""
    return reduction_identity(combiner)(dtype)


def is_beyond(s: LoopBuilder, extreme: str, element: Value, value: Value) -> Value:
    """Whether the element takes the place of the value: it is larger (max) or smaller, or NaN."""
    beyond = {"max": ("gt", "le"), "min": ("lt", "ge")}[extreme]
    if not element.type.dtype.is_float:
        return s.compare(beyond[0], element, value)
    # The negation makes a NaN beyond; a NaN that is there already stays.
    is_not_within = s.unary("not", s.compare(beyond[1], element, value))
    return s.binary("and", is_not_within, s.compare("eq", value, value))


class Total(ABC):
    """The running results of one combiner, in ``vectors`` vectors of ``lanes`` lanes.

    With 1 lane the vectors are scalars.
    """

    def __init__(self, s: LoopBuilder, combiner: str, dtype: DType, lanes: int) -> None:
        self.s = s
        self.combiner = combiner
        self.dtype = dtype
        self.lanes = lanes
        self.row = reduce_lanes(dtype)
        self.vectors = self.row // lanes
        self.dtypes: tuple[DType, ...] = (dtype,)

    @abstractmethod
    def initial(self) -> Slot:
        """What each vector starts from."""

    @abstractmethod
    def take(self, slot: Slot, element: Value, start: Value, mask: Value | None) -> Slot:
        """The running results after another element in each lane, or each lane of the mask.

        ``counters`` are the elements' positions.
        """

    @abstractmethod
    def finish(self, slots: Sequence[Slot]) -> list[Value]:
        """The results of the reduction; the vectors that are missing took no element."""

    def fill(self, value: float, dtype: DType) -> Value:
        """That constant in each lane."""
        return self.splat(self.s.const(value, dtype))

    def splat(self, scalar: Value) -> Value:
        if self.lanes == 1:
            return scalar
        return self.s.emit("splat", scalar, lanes=self.lanes).result

    def tree(self, combiner: str, vectors: Sequence[Value]) -> Value:
        """All lanes of all vectors, combined by halving to a scalar."""
        live, half = list(vectors), self.vectors // 2
        while half:
            live = [
                self.s.binary(combiner, vector, live[number + half])
                if number + half < len(live)
                else vector
                for number, vector in enumerate(live[:half])
            ]
            half //= 2
        (last,) = live
        if self.lanes == 1:
            return last
        return self.s.emit("lane_reduce", last, combiner=combiner).result


class _Plain(Total):
    """A combiner that is an operation on two values."""

    def initial(self) -> Slot:
        return (self.fill(identity(self.combiner, self.dtype), self.dtype),)

    def take(self, slot: Slot, element: Value, start: Value, mask: Value | None) -> Slot:
        (before,) = slot
        after = self.s.binary(self.combiner, before, element)
        return (after if mask is None else self.s.select(mask, after, before),)

    def finish(self, slots: Sequence[Slot]) -> list[Value]:
        return [self.tree(self.combiner, [vector for (vector,) in slots])]


class _Extreme(Total):
    """argmax and argmin: each lane keeps its first extreme element and the row it was in.

    A NaN is beyond every number. Lanes start in row 0, with the value that nothing is below, so
    that a lane of such values keeps its first one.
    """

    def __init__(self, s: LoopBuilder, combiner: str, dtype: DType, lanes: int) -> None:
        super().__init__(s, combiner, dtype, lanes)
        # Numbers of rows, not positions: 32 bits take half the registers and suffice.
        self.rows = i32 if dtype.itemsize <= 4 else index
        self.dtypes = (dtype, self.rows)
        self.extreme = combiner.removeprefix("arg")

    def initial(self) -> Slot:
        value = self.fill(identity(self.combiner, self.dtype), self.dtype)
        return value, self.fill(0, self.rows)

    def take(self, slot: Slot, element: Value, start: Value, mask: Value | None) -> Slot:
        s, (value, row) = self.s, slot
        beyond = is_beyond(s, self.extreme, element, value)
        if mask is not None:
            beyond = s.binary("and", beyond, mask)
        number = s.binary("shr", start, s.const(self.row.bit_length() - 1, index))
        here = s.cast(number, self.rows)
        if element.type != ScalarType(self.dtype):
            here = self.splat(here)
        return s.select(beyond, element, value), s.select(beyond, here, row)

    def finish(self, slots: Sequence[Slot]) -> list[Value]:
        extreme = self.tree(self.extreme, [value for value, _ in slots])
        everywhere = self.splat(extreme)
        nowhere = self.fill(_BEHIND_ALL, index)
        found = [
            self.s.select(self._is_extreme(value, everywhere), self._position(row, number), nowhere)
            for number, (value, row) in enumerate(slots)
        ]
        return [extreme, self.tree("min", found)]

    def _position(self, row: Value, number: int) -> Value:
        """The positions of a vector's elements in those rows."""
        s = self.s
        start = s.mul(s.cast(row, index), self.fill(self.row, index))
        first = s.add(start, self.fill(number * self.lanes, index))
        if self.lanes == 1:
            return first
        return s.add(first, s.emit("lane_index", lanes=self.lanes).result)

    def _is_extreme(self, value: Value, extreme: Value) -> Value:
        s = self.s
        is_equal = s.compare("eq", value, extreme)
        if not self.dtype.is_float:
            return is_equal
        # A NaN is left only where the extreme is NaN.
        return s.binary("or", is_equal, s.compare("unordered", value, value))


def make_total(s: LoopBuilder, combiner: str, dtype: DType, lanes: int) -> Total:
    """The running results of a combiner of ``loop.reduce``."""
    kind = _Extreme if combiner in ARG_COMBINERS else _Plain
    return kind(s, combiner, dtype, lanes)
