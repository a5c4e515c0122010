"""Kept states: what a checkpointed loop stores on its way there.

Each step writes the state it starts from into one slot, in place, and the next step into the same
one, unless the state is to stay. Where the number of steps is known, the schedule says which stay.
Where it is not, each state has a level, and gives way to new ones where a later state has a higher
one, the earliest first; if none does, the newest moves on and rises (Wang, Moin and Iaccarino,
Minimal repetition dynamic checkpointing algorithm for unsteady adjoint calculation, SIAM J. Sci.
Comput. 31(4), 2009).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Value
from nets.ir.types import i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.closures import Body, emit_closed, emit_while
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


@dataclass(frozen=True)
class _Ages:
    """Which states are kept, by their slots, in the order of their steps: a list linked both ways.

    ``positions`` are the steps that start from them, ``levels`` their levels. ``newest`` is the
    last one, ``risen`` the last that rose, ``next_out`` where to look on for one that gives way:
    those before ``risen`` of a lower level do. ``following`` and ``before`` have a spare element.
    """

    positions: Value
    levels: Value
    following: Value
    before: Value
    newest: Value
    risen: Value
    next_out: Value
    count: Value

    def values(self) -> list[Value]:
        return [getattr(self, each.name) for each in fields(self)]


class UnknownSteps(States):
    """The states of a loop whose length only a call tells.

    No step looks at all of the states: those that give way after a rise do so in the order of their
    steps, so that one walk along the list finds all of them.
    """

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.rows, MOST_STEPS)

    def find(self, b: GraphEmitter) -> Found:
        if self.rows == 1:
            (steps,) = self.left()
            return Found(self.starts(b), b.constant([0], i64), None, number(b, 0), steps)
        count = len(self.carries)
        slots, ages = self.left()[:count], _Ages(*self.left()[count:])
        top = b.sub(b.emit("minimum", ages.count, number(b, self.rows)), number(b, 1))
        order, positions = self._in_order(b, ages, top)
        return Found(slots, positions, order, top, ages.count)

    def start(self, b: GraphEmitter) -> list[Value]:
        if self.rows == 1:
            return [number(b, 0)]
        links = b.constant(np.arange(self.rows + 1), i64)
        levels = b.constant([_NEVER, *[0] * (self.rows - 1)], i64)
        positions = b.constant([0] * self.rows, i64)
        return [*self.empty(b), positions, levels, links, links, *[number(b, 0)] * 4]

    def step(self, b: GraphEmitter, held: Sequence[Value], state: Sequence[Value]) -> list[Value]:
        if self.rows == 1:
            return [b.add(held[0], number(b, 1))]
        slots, ages = held[: len(state)], _Ages(*held[len(state) :])
        out = self._next_out(b, ages)
        is_free = b.compare("less", ages.count, number(b, self.rows))
        is_left = b.compare("not_equal", out, ages.risen)
        row = b.select(is_free, ages.count, b.select(is_left, out, ages.newest))
        rises = b.emit("bitwise_invert", b.emit("bitwise_or", is_free, is_left))
        return [*self._stored(b, slots, state, row), *self._aged(b, ages, row, rises).values()]

    def _next_out(self, b: GraphEmitter, ages: _Ages) -> Value:
        """The next slot whose state gives way, or that of the last one that rose."""
        level = element(b, ages.levels, ages.risen)

        def stays(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            is_high = b.compare("greater_equal", element(b, ages.levels, given[0]), level)
            is_other = b.compare("not_equal", given[0], ages.risen)
            return [b.emit("bitwise_and", is_high, is_other)]

        def on(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            return [element(b, ages.following, given[0])]

        return emit_while(b, [ages.next_out], stays, on)[0]

    def _aged(self, b: GraphEmitter, ages: _Ages, row: Value, rises: Value) -> _Ages:
        """The same with the newest state in that slot, which is the newest one where it rises."""
        zero, newest = number(b, 0), ages.newest
        is_first = b.compare("equal", ages.count, zero)
        risen = b.add(element(b, ages.levels, newest), number(b, 1))
        level = b.select(is_first, number(b, _NEVER), b.select(rises, risen, zero))
        earlier, later = element(b, ages.before, row), element(b, ages.following, row)

        def linked(links: Value, *pairs: tuple[Value, Value]) -> Value:
            for at, slot in pairs:
                at = b.select(rises, number(b, self.rows), at)
                links = with_row(b, links, slot, at)
            return links

        is_out = b.compare("greater_equal", ages.count, number(b, self.rows))
        return _Ages(
            positions=with_row(b, ages.positions, ages.count, row),
            levels=with_row(b, ages.levels, level, row),
            following=linked(ages.following, (earlier, later), (newest, row)),
            before=linked(ages.before, (later, earlier), (row, newest)),
            newest=row,
            risen=b.select(rises, newest, ages.risen),
            next_out=b.select(b.emit("bitwise_xor", is_out, rises), later, zero),
            count=b.add(ages.count, number(b, 1)),
        )

    def _in_order(self, b: GraphEmitter, ages: _Ages, top: Value) -> tuple[Value, Value]:
        """The slots in the order of their steps, those that are free last, and the steps."""

        def is_left(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            return [b.compare("greater_equal", given[0], number(b, 0))]

        def back(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            place, slot, order, positions = given
            position = element(b, ages.positions, slot)
            order, positions = (
                with_row(b, order, slot, place),
                with_row(b, positions, position, place),
            )
            return [b.sub(place, number(b, 1)), element(b, ages.before, slot), order, positions]

        order = b.constant(np.arange(self.rows), i64)
        start = [top, ages.newest, order, b.zero(order)]
        _, _, order, positions = emit_while(b, start, is_left, back)
        return order, positions
