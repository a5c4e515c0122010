"""Derivatives of checkpointed loops: few states are stored, and the steps between are run again.

The way back takes the steps one by one, the last first. It goes to the nearest state that is stored
in front of a step, advances from there, storing states where slots are free and the schedule says
so, does the step again with all its values, and pulls back. A slot is free again when its state has
been pulled back to. The body of the loop is there four times, however often it runs.

The order of sums is that of the loop which keeps everything, but for sums that such a loop leaves
to one operation over all steps. Second derivatives are those of that loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Value
from nets.ir.types import i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.derivatives.activity import PullBack
from nets.passes.derivatives.closures import Body, emit_closed, emit_while
from nets.passes.derivatives.control_gradients import (
    Cotangents,
    ForwardLoop,
    Part,
    ReverseLoop,
)
from nets.passes.derivatives.kept_states import KnownSteps, States, UnknownSteps, loop_in
from nets.passes.derivatives.schedule import element, number, size_of, with_row
from nets.passes.simplify.effects import drop_effects
from nets.passes.simplify.patterns import made_by
from nets.passes.simplify.sources import sources, sources_over_steps, used_from_outside


def pull_back_checkpointed_loop(
    b: GraphEmitter, op: Operation, cts: Cotangents, wanted: Sequence[bool], pull_back: PullBack
) -> list[Value | None]:
    """The cotangents of the operands; the first region of the operation keeps states for it."""
    loop = loop_in(op.regions[1].block)
    cts = cts[: len(loop.results)]

    def with_states(b: GraphEmitter) -> list[Value | None]:
        scratch, forward = _scratch(op)
        reverse = _Replay(forward, forward.active(wanted), cts, _states(op))
        reverse.run(pull_back)
        found = reverse.finish(b, cts)
        for each in reversed(scratch):
            each.erase()
        return found

    def with_everything(b: GraphEmitter) -> list[Value | None]:
        scratch, forward = _scratch(op)
        for each in scratch:
            scratch.remove(each)
            b.builder.block.insert(each, b.builder.before)
        reverse = _Kept(forward, forward.active(wanted), cts)
        reverse.run(pull_back)
        return reverse.finish(b, cts)

    if loop.attributes.get("length") == 0:  # there is no slice to be cut
        return with_everything(b)
    if loop.name == "while":
        return with_states(b)
    return _as_if(b, with_states, with_everything)


def _states(op: Operation) -> States:
    loop, slots = loop_in(op.regions[1].block), op.attributes["slots"]
    is_known = isinstance(loop.attributes.get("length"), int)
    return KnownSteps(op, slots) if is_known else UnknownSteps(op, slots)


def _scratch(op: Operation) -> tuple[Block, ForwardLoop]:
    """A copy of a checkpointed loop, without its effects, of the operands of that one."""
    scratch, inside = Block(), op.regions[1].block
    mapping: Mapping = dict(zip(inside.arguments, op.operands, strict=True))
    clone_into(Builder(scratch, location=op.location), [loop_in(inside)], mapping)
    drop_effects(scratch)
    return scratch, ForwardLoop(loop_in(scratch))


def _as_if(
    b: GraphEmitter, *ways: Callable[[GraphEmitter], list[Value | None]]
) -> list[Value | None]:
    """Values by the first way; to derivatives, by the second."""
    found: list[Value | None] = []

    def body(way: Callable[[GraphEmitter], list[Value | None]]) -> Body:
        def write(inner: GraphEmitter, _: Sequence[Value]) -> list[Value]:
            found[:] = way(inner)
            return [x for x in found if x is not None]

        return write

    made = iter(emit_closed(b, "as_if", (), [body(way) for way in ways]))
    return [None if x is None else next(made) for x in found]


class _Kept(ReverseLoop):
    """The reverse loop that keeps everything, with the sums of one that does not."""

    has_totals = False


class _Replay(ReverseLoop):
    """The reverse loop that does the steps again, from states that are kept."""

    has_totals = False

    def __init__(
        self, forward: ForwardLoop, active: set[Value], cts: Cotangents, states: States
    ) -> None:
        super().__init__(forward, active, cts)
        self.states = states
        self.is_scan = forward.op.name == "scan"

    def _residuals(self, slices: Part, rest: Part) -> list[Operation]:
        forward, block = self.forward, self.forward.block
        needed = used_from_outside(self.draft)
        live = sources_over_steps(forward.op, needed)
        changing = [forward.carries[i] for i in self.states.carries]
        self.live = [x for x in changing if x in live]
        self.following = [forward.end.operands[x.index] for x in self.live]
        self.record = _made_of(block, needed)
        self.advance = _made_of(block, self.following)
        seen = sources(block, needed)
        for x in forward.slices:
            if x in seen and not _is_counted(forward.operand_of(x)):
                slices.add(forward.operand_of(x), x)
        return []

    def _build(
        self, b: GraphEmitter, carries: Part, slices: Part, rest: Part, again: list[Operation]
    ) -> Sequence[Value]:
        self.carries_part, self.slices_part = carries, slices
        found = self.states.find(b)
        self.order = found.order
        slots = [found.slots[self.states.carries.index(x.index)] for x in self.live]
        held = [found.positions, found.top, *slots] if self.live else []
        count = len(carries.operands)
        start = [*carries.operands, b.sub(found.steps, number(b, 1)), *held]
        if self.is_scan:
            attributes = {
                "carries": len(start),
                "xs": len(slices.operands),
                "length": self.forward.op.attributes["length"],
                "reverse": not self.forward.op.attributes["reverse"],
            }
            made = emit_closed(b, "scan", start, [self._step], attributes, slices.operands)
        else:
            made = emit_while(b, start, self._is_left, self._step)
        for op in reversed(self.draft):  # so that the forward body is not used from outside
            op.erase()
        return [*made[:count], *made[len(start) :]]

    def _is_left(self, b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
        t = given[len(self.carries_part.operands)]
        return [b.compare("greater_equal", t, number(b, 0))]

    # ------------------------------------------------------------------------- one step back

    def _step(self, b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
        """The way back through step t: its state is found, then pulled back to."""
        count, rows = len(self.carries_part.operands), len(self.slices_part.operands)
        last = len(given) - rows
        t, held = given[count], given[count + 1 : last]
        state, held = self._state_of(b, t, held) if self.live else ([], [])
        mapping = self._mapping(state)
        mapping.update(zip(self.carries_part.inside, given, strict=False))
        mapping.update(zip(self.slices_part.inside, given[last:], strict=True))
        self._count(b, mapping, t)
        clone_into(b.builder, self.record, mapping)
        *ops, end = self.draft
        clone_into(b.builder, ops, mapping)
        made = [mapping.get(x, x) for x in end.operands]
        return [*made[:count], b.sub(t, number(b, 1)), *held, *made[count:]]

    def _state_of(
        self, b: GraphEmitter, t: Value, held: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        """The state that step t starts from, and what is held afterwards."""
        positions, top, *slots = held
        at = element(b, positions, top)
        state = [element(b, x, self._slot(b, top)) for x in slots]
        if self.states.rows > 1:
            start = [at, top, positions, *slots, *state]
            made = emit_while(b, start, self._is_far(t), self._nearer(t))
            (at, top, positions), rest = made[:3], made[3:]
            slots, state = list(rest[: len(slots)]), list(rest[len(slots) :])
        state = self._advanced(b, at, t, state)
        below = b.emit("maximum", b.sub(top, number(b, 1)), number(b, 0))
        is_done = b.compare("equal", element(b, positions, top), t)
        return state, [positions, b.select(is_done, below, top), *slots]

    def _is_far(self, t: Value) -> Body:
        """Whether there is more than one step to t, and a slot to store a state in before."""

        def test(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            at, top = given[:2]
            is_far = b.compare("greater", b.sub(t, at), number(b, 1))
            has_slot = b.compare("less", top, number(b, self.states.rows - 1))
            return [b.emit("bitwise_and", is_far, has_slot)]

        return test

    def _nearer(self, t: Value) -> Body:
        """Advance to the next state that the schedule stores, and store it."""

        def step(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            at, top, positions, *rest = given
            slots, state = rest[: len(self.live)], rest[len(self.live) :]
            left = b.add(b.sub(t, at), number(b, 1))
            free = b.sub(number(b, self.states.rows), top)
            there = b.add(at, self.states.schedule.emit_split(b, left, free))
            state = self._advanced(b, at, there, state)
            top = b.add(top, number(b, 1))
            slot = self._slot(b, top)
            stored = [with_row(b, x, y, slot) for x, y in zip(slots, state, strict=True)]
            return [there, top, with_row(b, positions, there, top), *stored, *state]

        return step

    def _advanced(
        self, b: GraphEmitter, start: Value, end: Value, state: Sequence[Value]
    ) -> list[Value]:
        """The state before step ``end``, from that before step ``start``."""

        def test(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            return [b.compare("less", given[0], end)]

        def step(b: GraphEmitter, given: Sequence[Value]) -> list[Value]:
            mapping = self._mapping(given[1:])
            self._cut(b, mapping, given[0])
            clone_into(b.builder, self.advance, mapping)
            following = [mapping.get(x, x) for x in self.following]
            return [b.add(given[0], number(b, 1)), *following]

        return list(emit_while(b, [start, *state], test, step)[1:])

    # --------------------------------------------------------------------------- its parts

    def _mapping(self, state: Sequence[Value]) -> Mapping:
        """What stands for the arguments of the forward body: a state, and what is the same in
        every step."""
        forward = self.forward
        mapping: Mapping = {x: forward.operand_of(x) for x in (*forward.carries, *forward.rest)}
        mapping.update(zip(self.live, state, strict=True))
        return mapping

    def _cut(self, b: GraphEmitter, mapping: Mapping, step: Value) -> None:
        """Let the slices of a step stand for those of the forward body."""
        self._count(b, mapping, step)
        used = sources(self.forward.block, self.following)
        for x in self.forward.slices:
            if x in used and x not in mapping:
                mapping[x] = element(b, self.forward.operand_of(x), self._place(b, step))

    def _count(self, b: GraphEmitter, mapping: Mapping, step: Value) -> None:
        """Slices of 0, 1, 2, … are numbers of steps."""
        for x in self.forward.slices:
            if _is_counted(self.forward.operand_of(x)):
                mapping[x] = self._place(b, step)

    def _place(self, b: GraphEmitter, step: Value) -> Value:
        """Which slice a step takes."""
        if not self.forward.op.attributes["reverse"]:
            return step
        length = self.forward.op.attributes["length"]
        return b.sub(b.sub(size_of(b, length), number(b, 1)), step)

    def _slot(self, b: GraphEmitter, place: Value) -> Value:
        """Where the state of that number is stored."""
        return place if self.order is None else element(b, self.order, place)


def _made_of(block: Block, values: Sequence[Value]) -> list[Operation]:
    """The operations of a block that values are computed by."""
    found = sources(block, values)
    return [op for op in block if not found.isdisjoint(op.results)]


def _is_counted(x: Value) -> bool:
    """Whether a slice of it is the number of the slice."""
    op = made_by(x, "iota")
    return op is not None and tensor_type(x).rank == 1 and tensor_type(x).dtype == i64
