"""reroll: loops that Python has unrolled become loops again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Region, Value
from nets.ir.types import i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.forms import TENSOR
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.cse import frozen, key_of
from nets.passes.simplify.patterns import constant
from nets.passes.simplify.repetition import (
    Made,
    Repetitions,
    RowOf,
    Same,
    Source,
    Stretch,
    are_numbers,
    best_phase,
    row_of,
    stretches,
    varying,
)

SAVED: Final = 400
"""From how many operations fewer a loop is made. Shorter programs compile in a second as they are,
and what is unrolled by hand to be fast stays so."""

_STEP: Final = 64
"""About as many operations stand in a step at least, since what is fused keeps its values in
registers, and from step to step they go through memory."""

_FEWEST: Final = 4
"""Steps of a loop."""


@register_pass("reroll", requires=(TENSOR,))
def reroll(function: Function, options: Options) -> Function:
    """Turn long stretches of operations that repeat themselves into scans.

    Values that go from one repetition to the next are carried, those that are used elsewhere
    stacked. Numbers, slices and pads may change from step to step. Programs of a few hundred
    operations are left alone.

    Requires: tensor IR, not fused.
    Ensures: the same results, bit for bit.
    """
    for block in function.programs():
        roll(block)
    return function


def roll(block: Block) -> None:
    """Do so in one block. Its values may be used in blocks that follow it."""
    while _roll_one(block):
        pass


def _roll_one(block: Block) -> bool:
    """Make the first loop there is something to gain from."""
    *ops, _ = block
    if len(ops) <= SAVED:
        return False
    for stretch in stretches(ops, _FEWEST):
        if stretch.period * (stretch.count - 1) < SAVED:
            continue
        stretch = best_phase(ops, stretch)
        joined = min(_STEP // stretch.period, stretch.count // _FEWEST)
        loop = _loop(ops, stretch.joined(joined)) if joined > 1 else None
        # Joined repetitions would have to be put side by side to be stacked.
        if loop is None or loop.stacked:
            loop = _loop(ops, stretch)
        if loop is not None:
            loop.build()
            return True
    return False


def _loop(ops: Sequence[Operation], stretch: Stretch) -> _Loop | None:
    """The longest loop in the stretch; None where that gains too little."""
    found = Repetitions(ops, stretch)
    first, stop, sources = found.longest()
    # Rows are made again wherever they are used, so nothing is gained where there is nothing else.
    gained = sum(not _is_of_a_row(op) for op in found.step(first))
    if stop - first < _FEWEST or (stop - first - 1) * gained < SAVED:
        return None
    return _Loop(found, first, stop, sources)


def _is_of_a_row(op: Operation) -> bool:
    """Is this the reshape or the slice of an ``x[t]``?"""
    makers = [op, *op.results[0].users] if op.name == "slice" else [op]
    return any(row_of(x) for maker in makers for x in maker.results)


def _is_of_zeros(op: Operation) -> bool:
    """Is this a pad with +0, at places that are known?"""
    is_pad = op.name == "pad" and are_numbers(op, "low")
    value = constant(op.operands[1]) if is_pad else None
    return value is not None and not value.any() and not np.signbit(value).any()


class _Loop:
    """A stretch on its way to become a scan: its repetitions from ``first`` below ``stop``."""

    def __init__(self, found: Repetitions, first: int, stop: int, sources: list[Source]) -> None:
        self.found = found
        self.first = first
        self.steps = [found.step(number) for number in range(first, stop)]
        self.sources = sources
        taken = iter(sources)
        self.taken = [[next(taken) for _ in op.operands] for op in self.steps[0]]
        """Where the operands come from, by place."""
        self.reverse = any(isinstance(x, RowOf) and x.step < 0 for x in sources)
        here = self.steps[0][0]
        assert here.block is not None
        self.outside = GraphEmitter(Builder(here.block, here, here.location))
        self.body = Block()
        self.inside = GraphEmitter(Builder(self.body))
        self.carries = {source: self._argument(self._old(source)) for source in self._carried()}
        """What is carried, and the arguments of the body."""
        self.used: dict[tuple[int, int], list[int]] = {}
        """Results that other operations use, by place and number, and of which steps."""
        self.again: list[Value] = []
        """Those of them that are rows of stacks from before the loop."""
        self.changing = [self._changes(place) for place in range(len(self.taken))]
        """The attributes that change from step to step, by place; None where there is none."""
        self.invariant = self._find_invariant()
        """The places of operations that do the same in all steps."""
        self.windows = self._find_windows()
        self._look_elsewhere()
        last = len(self.steps) - 1
        self.stacked = [
            it
            for it, steps in self.used.items()
            if steps != [last] or Made(*it, 1) not in self.carries
        ]
        self.xs: dict[Value, Value] = {}
        """Stacks in the order of the slices, and the arguments of the body."""
        self.rest: dict[Value, Value] = {}
        """Values that are the same in all steps, and the arguments of the body."""
        self.made: dict[tuple[int, int], Value] = {}
        """What the body makes, by place and number of the result."""
        self.same: dict[tuple[int, int], Value] = {}
        """What is made before the loop, for it is the same in all steps."""
        self.hoisted: dict[Hashable, Operation] = {}

    def build(self) -> None:
        """Put the scan in the place of the operations."""
        for place in range(len(self.steps[0])):
            self._place(place)
        scan = self._scan()
        results = dict(zip((*self.carries, *self.stacked), scan.results, strict=True))
        for it, steps in self.used.items():
            if it in self.stacked:
                self._give_rows(*it, steps, results[it])
            else:
                self._give(steps[0], *it, results[Made(*it, 1)])
        for value in self.again:
            value.replace_uses(self._row_again(value))
        for step in reversed(self.steps):
            for op in reversed(step):
                op.erase()

    def _old(self, made: Made) -> Value:
        return self.steps[0][made.place].results[made.result]

    # --------------------------------------------------------------------- what the body takes

    def _carried(self) -> list[Made]:
        """What steps take from earlier ones, with what has to be carried to get there."""
        made = [x for x in self.sources if isinstance(x, Made)]
        chains = [Made(x.place, x.result, i) for x in made for i in range(1, x.back + 1)]
        return list(dict.fromkeys(chains))

    def _argument(self, like: Value) -> Value:
        """A new argument of the body; its number is for ``_scan`` to say."""
        return Value(like.type, self.body, 0, like.hint)

    def _inside(self, source: Source) -> Value:
        """The value in the body."""
        match source:
            case Made(place, result, 0):
                value = self.made.get((place, result))
                return self._shared(self.same[place, result]) if value is None else value
            case Made():
                return self.carries[source]
            case Same(value):
                return self._shared(value)
            case RowOf(stack, first, step):
                return self._row(stack, first + step * self.first, step)

    def _shared(self, value: Value) -> Value:
        if value not in self.rest:
            self.rest[value] = self._argument(value)
        return self.rest[value]

    def _slice(self, stack: Value) -> Value:
        """What each step gets of the stack."""
        if stack not in self.xs:
            type = tensor_type(stack)
            self.xs[stack] = Value(type.with_shape(type.shape[1:]), self.body, 0)
        return self.xs[stack]

    def _row(self, stack: Value, first: int, step: int) -> Value:
        """The row ``first`` in the first step, and ``step`` further on in each that follows."""
        count, steps, size = tensor_type(stack).shape[0], len(self.steps), abs(step)
        assert isinstance(count, int)
        low = min(first, first + step * (steps - 1))
        begin = min(low - low % size, count - size * steps)
        if begin < 0:
            cut = cut_rows(self.outside, stack, low, low + size * (steps - 1) + 1, size)
            return self._slice(self._directed(cut, step))
        # As one slice of several rows, which serves all the rows that a step uses.
        cut = cut_rows(self.outside, stack, begin, begin + size * steps)
        shape = tensor_type(stack).shape[1:]
        block = self.outside.reshape(cut, (steps, size, *shape)) if size > 1 else cut
        argument = self._slice(self._directed(block, step))
        if size == 1:
            return argument
        row = cut_rows(self.inside, argument, low - begin, low - begin + 1)
        return self.inside.reshape(row, shape)

    def _directed(self, stack: Value, step: int) -> Value:
        """The stack in the order of the slices."""
        return stack if (step < 0) == self.reverse else self.outside.emit("flip", stack, axes=(0,))

    # --------------------------------------------------------------------- what the body does

    def _find_invariant(self) -> set[int]:
        found: set[int] = set()
        for place, taken in enumerate(self.taken):
            if self.changing[place] is None and all(
                isinstance(x, Same) or (isinstance(x, Made) and not x.back and x.place in found)
                for x in taken
            ):
                found.add(place)
        return found

    def _place(self, place: int) -> None:
        """Do the operation at that place of every step, in the body or before the loop."""
        if place in self.invariant:
            self._hoist(place)
            return
        op = self.steps[0][place]
        operands = [self._inside(source) for source in self.taken[place]]
        name = self.changing[place]
        self.inside.builder.location = op.location
        results: Sequence[Value]
        if place in self.windows:
            results = (self._add_window(*self.windows[place]),)
        elif name is None:
            results = self.inside.builder.create(op.definition, operands, op.attributes).results
        else:
            results = (self._changing(place, name, operands),)
        for number, (old, new) in enumerate(zip(op.results, results, strict=True)):
            new.hint = old.hint
            self.made[place, number] = new

    def _hoist(self, place: int) -> None:
        op = self.steps[0][place]
        operands = [
            self.same[source.place, source.result] if isinstance(source, Made) else source.value
            for source in self.taken[place]
        ]
        made = self.outside.builder.create(
            op.definition, operands, op.attributes, location=op.location
        )
        known = self.hoisted.setdefault(key_of(made), made)
        if known is not made:
            made.erase()
        for number, new in enumerate(known.results):
            new.hint = op.results[number].hint
            self.same[place, number] = new
            for step in self.steps:
                step[place].results[number].replace_uses(new)

    def _changes(self, place: int) -> str | None:
        """The attribute of the operation that changes from step to step."""
        for name in varying(self.steps[0][place]):
            values = [frozen(step[place].attributes[name]) for step in self.steps]
            if any(value != values[0] for value in values):
                return name
        return None

    def _changing(self, place: int, name: str, operands: list[Value]) -> Value:
        """A constant, slice or pad, with an attribute that has another value in each step."""
        op = self.steps[0][place]
        values = np.stack([np.asarray(step[place].attributes[name]) for step in self.steps])
        type = tensor_type(op.result)
        if name == "value":
            return self._numbers(values)
        if op.name == "slice":
            (whole,) = operands
            starts = self._starts(values)
            return self.inside.emit("dynamic_slice", whole, *starts, shape=type.shape)
        inner, value = operands
        around = self.inside.broadcast(value, type.shape, ())
        return self.inside.emit("dynamic_update_slice", around, inner, *self._starts(values))

    def _find_windows(self) -> dict[int, tuple[Made, int]]:
        """The places of sums that pads are added to, one window after the other.

        So gradients of ``x[t]`` add up. The window alone is to be changed, not the whole.
        For each the sum so far, and the place of the pad.
        """
        found: dict[int, tuple[Made, int]] = {}
        for place, taken in enumerate(self.taken):
            if self.steps[0][place].name != "add":
                continue
            for total, pad in (taken, taken[::-1]):
                if not isinstance(pad, Made) or pad.back or not isinstance(total, Made):
                    continue
                if all(_is_of_zeros(step[pad.place]) for step in self.steps):
                    found[place] = total, pad.place
        while not all(total.place in found for total, _ in found.values()):
            found = {place: it for place, it in found.items() if it[0].place in found}
        return found

    def _add_window(self, total: Made, pad: int) -> Value:
        """To all other elements 0 is added, which changes −0 alone, and there is none: sums never
        are, and ``_start`` takes care of the first."""
        values = np.stack([np.asarray(step[pad].attributes["low"]) for step in self.steps])
        starts = self._starts(values)
        whole, window = self._inside(total), self._inside(self.taken[pad][0])
        shape = tensor_type(window).shape
        before = self.inside.emit("dynamic_slice", whole, *starts, shape=shape)
        added = self.inside.add(before, window)
        return self.inside.emit("dynamic_update_slice", whole, added, *starts)

    def _starts(self, values: npt.NDArray[Any]) -> list[Value]:
        """One 0-d i64 for each axis."""
        return [
            self._numbers(column.astype(np.int64))
            if np.any(column != column[0])
            else self.inside.constant(column[0], i64)
            for column in values.T
        ]

    def _numbers(self, values: npt.NDArray[Any]) -> Value:
        """A value that each step has from a table."""
        table = np.ascontiguousarray(values[::-1] if self.reverse else values)
        return self._slice(self.outside.emit("constant", value=table))

    # ------------------------------------------------------------------------- what comes out

    def _look_elsewhere(self) -> None:
        """Find which results other operations use, and of which steps."""
        mine = {op for step in self.steps for op in step}
        for number, step in enumerate(self.steps):
            for place, op in enumerate(step):
                for result in op.results if place not in self.invariant else ():
                    if not any(user not in mine for user, _ in result.uses):
                        continue
                    if self._is_row(result):
                        self.again.append(result)
                    else:
                        self.used.setdefault((place, result.index), []).append(number)

    def _is_row(self, value: Value) -> bool:
        """Is this a row of a stack that is there before the loop?"""
        row = row_of(value)
        return row is not None and not self.found.makes(row[0])

    def _row_again(self, value: Value) -> Value:
        row = row_of(value)
        assert row is not None
        cut = cut_rows(self.outside, row[0], row[1], row[1] + 1)
        return self.outside.reshape(cut, tensor_type(value).shape)

    def _scan(self) -> Operation:
        """The scan, with its body finished: carries, then stacks."""
        yielded = [Made(it.place, it.result, it.back - 1) for it in self.carries]
        yielded += [Made(*it, 0) for it in self.stacked]
        end = Operation(lookup("yield"), [self._inside(it) for it in yielded], ())
        self.body.append(end)
        self.body.set_arguments([*self.carries.values(), *self.xs.values(), *self.rest.values()])
        attributes = {
            "carries": len(self.carries),
            "xs": len(self.xs),
            "length": len(self.steps),
            "reverse": self.reverse,
        }
        operands = [*map(self._start, self.carries), *self.xs, *self.rest]
        regions = [Region(self.body)]
        return self.outside.builder.create(lookup("scan"), operands, attributes, regions)

    def _start(self, carried: Made) -> Value:
        """What a carry has in the first step."""
        if self.first >= carried.back:
            earlier = self.found.step(self.first - carried.back)
            value = earlier[carried.place].results[carried.result]
        else:
            value = self.found.operands(self.first)[self.sources.index(carried)]
        if carried.place in self.windows:
            value = self.outside.add(value, self.outside.zero(value))
        return value

    def _give_rows(self, place: int, result: int, steps: list[int], stack: Value) -> None:
        """Let users elsewhere use rows of a stack."""
        _, *shape = tensor_type(stack).shape
        for step in steps:
            row = len(self.steps) - 1 - step if self.reverse else step
            cut = cut_rows(self.outside, stack, row, row + 1)
            self._give(step, place, result, self.outside.reshape(cut, tuple(shape)))

    def _give(self, step: int, place: int, result: int, value: Value) -> None:
        """Let users elsewhere use this instead of a result of that step."""
        old = self.steps[step][place].results[result]
        value.hint = old.hint
        old.replace_uses(value)


def cut_rows(b: GraphEmitter, stack: Value, low: int, high: int, step: int = 1) -> Value:
    """The rows of a stack from ``low`` below ``high``."""
    count, *rest = tensor_type(stack).shape
    if (low, high, step) == (0, count, 1):
        return stack
    zeros, ones = (0,) * len(rest), (1,) * len(rest)
    cut = {"starts": (low, *zeros), "stops": (high, *rest), "steps": (step, *ones)}
    return b.emit("slice", stack, **cut)
