"""Derivatives of loops and branches: what ``vjp`` does at a scan or a cond.

A scan is differentiated by a scan that runs the other way. It carries the cotangents of the
carries, sums up those of what is the same in every step, and stacks those of the slices. What it
needs of the values inside the forward steps, the forward scan stacks as further results; values
that are cheaper to compute again from those, or do not change from step to step, are not stacked.

A branch is differentiated by a branch on the same predicate, whose regions start again from the
operands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Region, Trait, Value
from nets.ir.estimates import bytes_about
from nets.ir.sizes import Dim
from nets.ir.types import TensorType
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import definition_of, lookup
from nets.passes.derivatives.activity import PullBack, accumulate, loop_dependents
from nets.passes.simplify.effects import drop_effects
from nets.passes.simplify.sources import drop_unused, sources_over_steps, used_from_outside

Cotangents = Sequence[Value | None]


# ----------------------------------------------------------------------------- branches


def pull_back_branch(
    b: GraphEmitter, op: Operation, cts: Cotangents, wanted: Sequence[bool], pull_back: PullBack
) -> list[Value | None]:
    """The cotangents of the operands of a branch."""
    given = [(i, ct) for i, ct in enumerate(cts) if ct is not None]
    sought = [i for i, want in enumerate(wanted[1:]) if want]
    regions = []
    for region in op.regions:
        inputs = region.block.arguments
        types = [*(x.type for x in inputs), *(ct.type for _, ct in given)]
        block = Block(types)
        mapping: Mapping = dict(zip(inputs, block.arguments, strict=False))
        inner = GraphEmitter(Builder(block))
        *ops, end = region.block
        clone_into(inner.builder, ops, mapping)
        drop_effects(block)
        local: dict[Value, Value] = {}
        for (i, _), seed in zip(given, block.arguments[len(inputs) :], strict=True):
            accumulate(inner, local, mapping.get(end.operands[i], end.operands[i]), seed)
        targets = [block.arguments[i] for i in sought]
        pull_back(inner, list(block), local, targets)
        inner.builder.location = op.location
        _end(block, [local.get(x) or inner.zero(x) for x in targets])
        regions.append(Region(block))
    operands = [*op.operands, *(ct for _, ct in given)]
    made = b.builder.create(lookup("cond"), operands, {}, regions)
    found: list[Value | None] = [None] * len(wanted)
    for i, result in zip(sought, made.results, strict=True):
        found[i + 1] = result
    return found


def _end(block: Block, values: Sequence[Value]) -> None:
    block.append(Operation(lookup("yield"), values, ()))


# -------------------------------------------------------------------------------- loops


def pull_back_scan(
    b: GraphEmitter, op: Operation, cts: Cotangents, wanted: Sequence[bool], pull_back: PullBack
) -> list[Value | None]:
    """The cotangents of the operands of a scan."""
    forward = ForwardLoop(op)
    active = forward.active(wanted)
    reverse = ReverseLoop(forward, active, cts)
    reverse.run(pull_back)
    return reverse.finish(b, cts)


class ForwardLoop:
    """The parts of a loop that is differentiated."""

    def __init__(self, op: Operation) -> None:
        self.op = op
        self.count: int = op.attributes["carries"]
        self.rows: int = op.attributes.get("xs", 0)
        self.block = op.regions[-1].block
        *self.ops, self.end = self.block
        self.arguments = self.block.arguments
        self.carries = self.arguments[: self.count]
        self.slices = self.arguments[self.count : self.count + self.rows]
        self.rest = self.arguments[self.count + self.rows :]

    def active(self, wanted: Sequence[bool]) -> set[Value]:
        """The values of the body through which the wanted operands reach the results."""
        given = [x for x, want in zip(self.arguments, wanted, strict=True) if want]
        return loop_dependents(self.block, self.count, given)

    def carrying_cotangents(self, active: set[Value], cts: Cotangents) -> list[Value]:
        """The active carries that have cotangents: at the end, or from what a step makes of them.

        The others have none rather than zero, as zero times an infinite slope is not zero.
        """
        given = zip(self.end.operands, cts, strict=True)
        used = sources_over_steps(self.op, [x for x, ct in given if ct is not None])
        return [x for x in self.carries if x in active and (cts[x.index] or x in used)]

    def operand_of(self, argument: Value) -> Value:
        return self.op.operands[argument.index]

    def stack_of(self, value: Value) -> Value:
        """The values that a value of the body has in all steps; a further result, if need be."""
        for place, yielded in enumerate(self.end.operands[self.count :], self.count):
            if yielded is value:
                return self.op.results[place]
        self.end.set_operands([*self.end.operands, value])
        type = tensor_type(value)
        length: Dim = self.op.attributes["length"]
        (result,) = self.op.add_results([type.with_shape((length, *type.shape))])
        return result


@dataclass
class Part:
    """Operands of the reverse loop of one kind, and what its region calls them: first by the
    values the region is written with, which ``build`` replaces by arguments."""

    operands: list[Value] = field(default_factory=list)
    inside: list[Value] = field(default_factory=list)

    def add(self, operand: Value, inside: Value) -> None:
        self.operands.append(operand)
        self.inside.append(inside)


class ReverseLoop:
    """The reverse loop in the making.

    Its body is first written into ``draft`` with values of the forward body as operands.
    """

    has_totals = True
    """Whether sums over all steps may be one operation on stacks, with bits of its own."""

    def __init__(self, forward: ForwardLoop, active: set[Value], cts: Cotangents) -> None:
        self.forward = forward
        self.active = active
        self.draft = Block()
        self.b = GraphEmitter(Builder(self.draft))
        self.carried = forward.carrying_cotangents(active, cts)
        self.seeds = {x: self.draft.add_argument(x.type, "ct") for x in self.carried}
        self.stacked = [
            (i, self.draft.add_argument(forward.end.operands[i].type, "ct"))
            for i in range(forward.count, len(cts))
            if cts[i] is not None
        ]
        self.local: dict[Value, Value] = {}

    def run(self, pull_back: PullBack) -> None:
        """Write the body: from the cotangents behind a step to those in front of it."""
        forward, b = self.forward, self.b
        for x in self.carried:
            accumulate(b, self.local, forward.end.operands[x.index], self.seeds[x])
        for i, seed in self.stacked:
            accumulate(b, self.local, forward.end.operands[i], seed)
        targets = [x for x in forward.arguments if x in self.active]
        pull_back(b, forward.ops, self.local, targets)
        b.builder.location = forward.op.location

    def finish(self, b: GraphEmitter, cts: Cotangents) -> list[Value | None]:
        """Build the scan where ``b`` stands; the cotangents of the operands of the forward one."""
        forward = self.forward
        carries, slices, rest = Part(), Part(), Part()
        yielded: list[Value] = []
        for x in self.carried:
            result = forward.op.results[x.index]
            carries.add(cts[x.index] or b.zero(result), self.seeds[x])
            yielded.append(self.local.get(x) or self.b.zero(x))
        sums = [x for x in forward.rest if x in self.active and x in self.local]
        made = [_Total.of(x, self.local[x], self.draft) for x in sums if self.has_totals]
        totals = [total for total in made if total is not None]
        summed = [x for x in sums if x not in {total.argument for total in totals}]
        for x in summed:
            before = self.draft.add_argument(x.type, "ct")
            carries.add(b.zero(x), before)
            yielded.append(self.b.add(before, self.local[x]))
        for i, seed in self.stacked:
            ct = cts[i]
            assert ct is not None
            slices.add(ct, seed)
        rows = [x for x in forward.slices if x in self.active and x in self.local]
        yielded += [self.local[x] for x in rows]
        first_factor = len(yielded)
        yielded += [factor for total in totals for factor in total.factors]
        _end(self.draft, yielded)
        drop_unused(self.draft)

        again = self._residuals(slices, rest)
        results = self._build(b, carries, slices, rest, again)
        found = dict(zip((*self.carried, *summed, *rows), results, strict=False))
        factors = iter(results[first_factor:])
        for total in totals:
            found[total.argument] = total.emit(b, [next(factors) for _ in total.factors])
        return [found.get(x) for x in forward.arguments]

    def _residuals(self, slices: Part, rest: Part) -> list[Operation]:
        """Give the reverse scan what it needs of the forward body; what it computes again."""
        forward = self.forward
        kept, again = _choose_residuals(forward, used_from_outside(self.draft))
        for value in kept:
            if value in forward.slices:
                slices.add(forward.operand_of(value), value)
            elif value in forward.rest:
                rest.add(forward.operand_of(value), value)
            else:
                slices.add(forward.stack_of(value), value)
        return again

    def _build(
        self, b: GraphEmitter, carries: Part, slices: Part, rest: Part, again: list[Operation]
    ) -> Sequence[Value]:
        forward = self.forward
        inside = [*carries.inside, *slices.inside, *rest.inside]
        block = Block([x.type for x in inside], [x.hint for x in inside])
        mapping: Mapping = dict(zip(inside, block.arguments, strict=True))
        builder = Builder(block)
        clone_into(builder, again, mapping)
        clone_into(builder, self.draft, mapping)
        for op in reversed(self.draft):  # so that the forward body is not used from outside
            op.erase()
        attributes = {
            "carries": len(carries.operands),
            "xs": len(slices.operands),
            "length": forward.op.attributes["length"],
            "reverse": not forward.op.attributes["reverse"],
        }
        operands = [*carries.operands, *slices.operands, *rest.operands]
        return b.builder.create(lookup("scan"), operands, attributes, [Region(block)]).results


@dataclass(frozen=True)
class _Total:
    """A sum over all steps that one operation on stacked operands gives.

    ``factors``: the values of the body to be stacked. ``moves``: for each the operations it still
    goes through, which are done to the stack.
    """

    argument: Value
    op: Operation
    factors: list[Value]
    moves: list[list[Operation]]

    @staticmethod
    def of(argument: Value, ct: Value, body: Block) -> _Total | None:
        op = ct.operation
        if op is None or op.block is not body or definition_of(op).rules.total is None:
            return None
        factors, moves = [], []
        for value in op.operands:
            chain: list[Operation] = []
            while (move := value.operation) is not None and definition_of(move).rules.stacked:
                chain.insert(0, move)
                (value,) = move.operands
            factors.append(value)
            moves.append(chain)
        return _Total(argument, op, factors, moves)

    def emit(self, b: GraphEmitter, stacks: Sequence[Value]) -> Value:
        ready = []
        for stack, chain in zip(stacks, self.moves, strict=True):
            for move in chain:
                stack = definition_of(move).stacked(b, stack, **move.attributes)
            ready.append(stack)
        return definition_of(self.op).total(b, *ready)


# ---------------------------------------------------------------------------- residuals


def _choose_residuals(
    forward: ForwardLoop, needed: Sequence[Value]
) -> tuple[list[Value], list[Operation]]:
    """The values the reverse steps take from outside, and operations they do again.

    Of two choices the one that stacks fewer bytes: to start again from all carries, or only from
    those that are needed anyway.
    """
    choices = [
        _residuals_from(forward, needed, forward.carries),
        _residuals_from(forward, needed, [x for x in forward.carries if x in set(needed)]),
    ]
    return min(choices, key=lambda choice: _stacked_bytes(forward, choice[0]))


def _residuals_from(
    forward: ForwardLoop, needed: Sequence[Value], carries: Iterable[Value]
) -> tuple[list[Value], list[Operation]]:
    repeated = _repeatable(forward, set(needed), carries)
    kept: set[Value] = set()
    again: set[Operation] = set()
    pending = list(needed)
    while pending:
        value = pending.pop()
        op = value.operation
        if op is None or op not in repeated:
            kept.add(value)
        elif op not in again:
            again.add(op)
            pending.extend(op.operands)
    in_order = [*forward.arguments, *(r for op in forward.ops for r in op.results)]
    return [x for x in in_order if x in kept], [op for op in forward.ops if op in again]


def _repeatable(
    forward: ForwardLoop, needed: set[Value], carries: Iterable[Value]
) -> set[Operation]:
    """Operations that a reverse step may do again, given what it has at hand.

    Those that are the same in every step are moved out of it later. Of the others, cheap ones.
    """
    same = set(forward.rest)
    at_hand = {*forward.rest, *forward.slices, *carries}
    found: set[Operation] = set()
    for op in forward.ops:
        if op.is_pure and same.issuperset(op.operands):
            same.update(op.results)
        elif not _is_cheap(op) or not at_hand.issuperset(op.operands):
            at_hand.update(needed.intersection(op.results))
            continue
        at_hand.update(op.results)
        found.add(op)
    return found


def _is_cheap(op: Operation) -> bool:
    """Whether to do it again costs less than to store and load its result."""
    dear = Trait.COSTLY | Trait.KERNEL | Trait.REDUCTION | Trait.CHECKED
    return op.is_pure and not op.has(dear) and not op.regions


def _stacked_bytes(forward: ForwardLoop, kept: Iterable[Value]) -> int:
    free = {*forward.slices, *forward.rest}
    types = [x.type for x in kept if x not in free]
    tensors = [t for t in types if isinstance(t, TensorType)]
    return sum(map(bytes_about, tensors))
