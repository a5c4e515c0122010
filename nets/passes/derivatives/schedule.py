"""The binomial schedule: which states of a loop to store for the way back.

With s slots, one of which holds the state that l steps start from, repeating none of the steps more
than r times suffices for l up to β(s, r) = (s + r)! / (s! r!) (Griewank and Walther, Algorithm 799:
Revolve, ACM TOMS 26(1), 2000). ``split`` says how many steps to advance before the next state is
stored; any k that leaves both parts within their own β is best, so a table of β is all it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import i64
from nets.ops.definition.emitter import Emitter, tensor_type

MOST_STEPS: Final = 2**40
"""Steps of a loop of unknown length for which the schedule is best."""

_MOST_COLUMNS: Final = 1024


@dataclass(frozen=True)
class Schedule:
    """The schedule for so many slots and up to so many steps."""

    slots: int
    steps: int = MOST_STEPS

    @cached_property
    def table(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """β(s, r), at most 2⁶², for s from 0 to the number of slots and as many r as are needed."""
        rows = [[1] for _ in range(self.slots + 1)]
        while rows[-1][-1] < self.steps and len(rows[0]) < _MOST_COLUMNS:
            rows[0].append(1)
            for s in range(1, self.slots + 1):
                rows[s].append(min(rows[s - 1][-1] + rows[s][-1], 2**62))
        return np.array(rows, np.int64)

    def split(self, steps: int, slots: int) -> int:
        """How many of two or more steps to advance before storing a state, with ``slots`` left,
        that of the start included; all but one where no other is left."""
        if slots == 1:
            return steps - 1
        r = min(int((self.table[slots] < steps).sum()), self.table.shape[1] - 1)
        return int(min(self.table[slots, r - 1], steps - self.table[slots - 1, r - 1]))

    def first(self, steps: int) -> list[int]:
        """The steps before which the first sweep stores states; 0 is one of them."""
        found = [0]
        while len(found) < self.slots and steps - found[-1] > 1:
            found.append(found[-1] + self.split(steps - found[-1], self.slots + 1 - len(found)))
        return found

    def emit_split(self, b: Emitter, steps: Value, slots: Value) -> Value:
        """``split`` for numbers of the program, where ``slots`` is more than one."""
        table = b.constant(self.table, i64)
        columns = self.table.shape[1]
        row = b.reshape(
            b.emit("dynamic_slice", table, slots, number(b, 0), shape=(1, columns)), (columns,)
        )
        too_few = b.cast(b.compare("less", row, b.broadcast(steps, (columns,), ())), i64)
        r = b.emit("minimum", b.sum(too_few, (0,)), number(b, columns - 1))
        before = b.sub(r, number(b, 1))
        rest = element(b, table, b.sub(slots, number(b, 1)), before)
        return b.emit("minimum", element(b, table, slots, before), b.sub(steps, rest))


def number(b: Emitter, value: int) -> Value:
    """An integer of the program."""
    return b.constant(value, i64)


def size_of(b: Emitter, size: Dim) -> Value:
    """A size as an integer of the program."""
    return number(b, size) if isinstance(size, int) else b.emit("size_of", size=size, dtype=i64)


def element(b: Emitter, x: Value, *at: Value) -> Value:
    """The element of a tensor, or the row, at these places of its first axes."""
    shape = tensor_type(x).shape[len(at) :]
    starts = [*at, *(number(b, 0) for _ in shape)]
    return b.reshape(b.emit("dynamic_slice", x, *starts, shape=(*(1 for _ in at), *shape)), shape)


def with_row(b: Emitter, x: Value, row: Value, at: Value) -> Value:
    """The tensor with another row, or element, at that place of its first axis."""
    shape = tensor_type(row).shape
    starts = [at, *(number(b, 0) for _ in shape)]
    return b.emit("dynamic_update_slice", x, b.reshape(row, (1, *shape)), *starts)
