"""Kept states: what a checkpointed loop stores on its way there.

Each step writes the state it starts from into one slot, in place, and the next step into the same
one, unless the state is to stay. Where the number of steps is known, the schedule says which stay.
Where it is not, each state has a level, and gives way to new ones where a later state has a higher
one; if none does, the newest moves on and rises (Wang, Moin and Iaccarino, Minimal repetition
dynamic checkpointing algorithm for unsteady adjoint calculation, SIAM J. Sci. Comput. 31(4), 2009).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Value
from nets.ir.types import i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.closures import Body, emit_closed
from nets.passes.derivatives.control_gradients import ForwardLoop
from nets.passes.derivatives.schedule import MOST_STEPS, Schedule, element, number, with_row

_NEVER: Final = 2**61
"""More than any number of steps."""


@dataclass(frozen=True)
class Found:
    """What a way back finds: states, the earliest first, and how many steps there were.

    ``slots`` hold one state each, for each carry that changes; that of the start, where it is
    missing, is to be put into the first. The state number i is in slot ``order[i]``, or i, and step
    ``positions[i]`` starts from it; ``top`` is the number of the last one.
    """

    slots: Sequence[Value]
    positions: Value
    order: Value | None
    top: Value
    steps: Value


class States(ABC):
    """How the states of one loop are kept; ``carries`` are the numbers of those that change."""

    def __init__(self, op: Operation, slots: int) -> None:
        self.op = op
        self.forward = ForwardLoop(loop_in(op.regions[1].block))
        following = self.forward.end.operands
        self.carries = [x.index for x in self.forward.carries if following[x.index] is not x]
        self.rows = slots

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """When the way back stores more of them."""

    @abstractmethod
    def find(self, b: GraphEmitter) -> Found:
        """What the way back finds, built where ``b`` stands; the loop keeps it from now on."""

    @abstractmethod
    def start(self, b: GraphEmitter) -> list[Value]:
        """What the loop carries along besides: the slots come first."""

    @abstractmethod
    def step(self, b: GraphEmitter, held: Sequence[Value], state: Sequence[Value]) -> list[Value]:
        """The same after a step from that state."""

    def empty(self, b: GraphEmitter) -> list[Value]:
        """Slots that hold nothing."""
        types = [tensor_type(self.forward.carries[i]) for i in self.carries]
        return [b.full((self.rows, *type.shape), 0, type.dtype) for type in types]

    def starts(self, b: GraphEmitter) -> list[Value]:
        """One slot, which holds the state of the start."""
        return [_stacked(b, self.op.operands[i]) for i in self.carries]

    def left(self) -> Sequence[Value]:
        """The last values of what the loop carries along, as results of the operation."""
        known = len(self.forward.op.results)
        if len(self.op.results) == known:
            self._keep()
        return self.op.results[known:]

    def _keep(self) -> None:
        """Write the first region anew, with a loop that carries more along."""
        (region, _), op = self.op.regions, self.op
        for old in reversed(region.block):
            old.erase()
        block = region.block
        b = GraphEmitter(Builder(block, location=op.location))
        loop, count = self.forward.op, self.forward.count
        held = self.start(b)
        tests: list[Body] = [self._test] * (len(loop.regions) - 1)
        made = emit_closed(
            b,
            loop.name,
            [*block.arguments[:count], *held],
            [*tests, self._step],
            {**loop.attributes, "carries": count + len(held)},
            block.arguments[count : count + self.forward.rows],
            operand_of=lambda x: block.arguments[x.index],
        )
        end = count + len(held)
        results = [*made[:count], *made[end:], *made[count:end]]
        block.append(Operation(lookup("yield"), results, ()))
        op.add_results([x.type for x in made[count:end]])

    def _test(self, b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
        """The condition of the loop, written again."""
        block = self.forward.op.regions[0].block
        mapping: Mapping = dict(zip(block.arguments[: self.forward.count], given, strict=False))
        rest = block.arguments[self.forward.count :]
        mapping.update(zip(rest, self.forward.rest, strict=True))
        *ops, end = block
        clone_into(b.builder, ops, mapping)
        return [mapping.get(x, x) for x in end.operands]

    def _step(self, b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
        """The body of the loop, written again, with what is carried along."""
        forward, count = self.forward, self.forward.count
        rows = len(forward.slices)
        last = len(given) - rows
        held = self.step(b, given[count:last], [given[i] for i in self.carries])
        mapping: Mapping = dict(zip(forward.carries, given, strict=False))
        mapping.update(zip(forward.slices, given[last:], strict=True))
        clone_into(b.builder, forward.ops, mapping)
        found = [mapping.get(x, x) for x in forward.end.operands]
        return [*found[:count], *held, *found[count:]]

    def _stored(
        self, b: GraphEmitter, slots: Sequence[Value], state: Sequence[Value], row: Value
    ) -> list[Value]:
        pairs = zip(slots, state, strict=True)
        return [with_row(b, stack, value, row) for stack, value in pairs]


def loop_in(block: Block) -> Operation:
    """The loop that a region of a checkpointed loop holds."""
    assert block.first is not None
    return block.first


def _stacked(b: GraphEmitter, x: Value) -> Value:
    return b.reshape(x, (1, *tensor_type(x).shape))


class KnownSteps(States):
    """The states of a scan. Slot 0, which the start is put into in the end, takes what is not to
    stay."""

    def __init__(self, op: Operation, slots: int) -> None:
        super().__init__(op, slots)
        self.steps: int = self.forward.op.attributes["length"]
        self.rows = max(1, min(slots, self.steps))
        self.positions = self.schedule.first(self.steps)

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.rows, self.steps)

    def find(self, b: GraphEmitter) -> Found:
        slots = self.starts(b)
        if len(self.positions) > 1:
            kept = self.left()[: len(slots)]
            pairs = zip(kept, self.carries, strict=True)
            slots = [with_row(b, stack, self.op.operands[i], number(b, 0)) for stack, i in pairs]
        count = len(self.positions)
        positions = b.constant([*self.positions, *[0] * (self.rows - count)], i64)
        return Found(slots, positions, None, number(b, count - 1), number(b, self.steps))

    def start(self, b: GraphEmitter) -> list[Value]:
        return [*self.empty(b), number(b, 0), number(b, 1), number(b, self.positions[1])]

    def step(self, b: GraphEmitter, held: Sequence[Value], state: Sequence[Value]) -> list[Value]:
        *slots, i, row, stays = held
        stored = self._stored(b, slots, state, row)
        above = b.add(row, number(b, 1))
        is_last = b.compare("equal", above, number(b, len(self.positions)))
        above = b.select(is_last, number(b, 0), above)
        row = b.select(b.compare("equal", i, stays), above, row)
        positions = b.constant([-1, *self.positions[1:]], i64)
        return [*stored, b.add(i, number(b, 1)), row, element(b, positions, row)]


class UnknownSteps(States):
    """The states of a loop whose length only a call tells.

    Carried along, for each slot: which step starts from the state in it, its level, and its turn to
    give way, the smallest first; what is not negative does not. Then the newest slot, and the
    number of the step.
    """

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.rows, MOST_STEPS)

    def find(self, b: GraphEmitter) -> Found:
        *slots, positions, _, _, _, steps = self.left()
        if self.rows == 1:
            return Found(self.starts(b), b.constant([0], i64), None, number(b, 0), steps)
        order, positions = _sorted(b, positions, self.rows)
        used = b.cast(b.compare("less", positions, b.full_like(positions, _NEVER)), i64)
        return Found(slots, positions, order, b.sub(b.sum(used, (0,)), number(b, 1)), steps)

    def start(self, b: GraphEmitter) -> list[Value]:
        slots = np.arange(self.rows)
        held = (_NEVER + slots, np.full(self.rows, _NEVER), slots - 2 * _NEVER)
        return [
            *(self.empty(b) if self.rows > 1 else ()),
            *(b.constant(x, i64) for x in held),
            number(b, 0),
            number(b, 0),
        ]

    def step(self, b: GraphEmitter, held: Sequence[Value], state: Sequence[Value]) -> list[Value]:
        *slots, positions, levels, turns, newest, i = held
        following = b.add(i, number(b, 1))
        if self.rows == 1:
            return [positions, levels, turns, newest, following]
        first = b.emit("argmin", turns, axis=0)
        gives_way = b.compare("less", element(b, turns, first), number(b, 0))
        row = b.select(gives_way, first, newest)
        risen = b.add(element(b, levels, newest), number(b, 1))
        level = b.select(gives_way, number(b, 0), risen)
        level = b.select(b.compare("equal", i, number(b, 0)), number(b, _NEVER), level)
        is_lower = b.compare("less", levels, b.broadcast(level, (self.rows,), ()))
        turns = b.select(is_lower, b.sub(positions, b.full_like(positions, _NEVER)), turns)
        return [
            *self._stored(b, slots, state, row),
            with_row(b, positions, i, row),
            with_row(b, levels, level, row),
            with_row(b, turns, number(b, 0), row),
            row,
            following,
        ]


def _sorted(b: GraphEmitter, x: Value, count: int) -> tuple[Value, Value]:
    """The places of the elements, which all differ, in ascending order, and the elements so."""
    square = (count, count)
    mine, others = b.broadcast(x, square, (0,)), b.broadcast(x, square, (1,))
    rank = b.sum(b.cast(b.compare("less", others, mine), i64), (1,))
    place = b.constant(np.arange(count), i64)
    is_there = b.compare("equal", b.broadcast(rank, square, (1,)), b.broadcast(place, square, (0,)))
    here = b.cast(is_there, i64)
    order = b.sum(b.mul(here, b.broadcast(place, square, (1,))), (1,))
    return order, b.sum(b.mul(here, others), (1,))
