"""Chains of operations run entry by entry, so that what is between them stays in the cache.

In attention each head of each sample is a matter of its own: scores, softmax and the product with
the values of one need nothing of the others, nor do their gradients. One loop over the heads, with
all of that inside, keeps the scores of one head in the L2 cache; one operation after another
over all heads moves them through memory several times.

A chain is gathered in program order around products of stacks of matrices: operations that run
entry by entry over the axes of the stacks. What the chain does not depend on comes before it, what
depends on it comes after it. An element is computed as ever, so no bit depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ir.estimates import about, bytes_about
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.forms import TENSOR
from nets.passes.fusion.entries import Sizes, goes_by_entry, has_entries, kernel_axes
from nets.passes.fusion.inline_unfit_fusions import has_loops
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.kernel_operands import is_for_kernels
from nets.passes.spaces.loop_nests import PARALLEL_TRIPS


@register_pass("outline_entries", requires=(TENSOR,))
def outline_entries(function: Function, options: Options) -> Function:
    """Let chains of operations around products of stacks run entry by entry.

    Requires: the tensor dialect, after fuse.
    Ensures: the same results, bit for bit; operations may stand in another order. A function that
    has ``entries`` is left alone.
    """
    if any(op.has(Trait.BY_ENTRY) for op in function.body):
        return function
    stacks = _stacks(function, options.threads)
    if stacks:
        _Scan(function, stacks, options.machine.kept_bytes).run()
    return function


def _stacks(function: Function, threads: int) -> set[Sizes]:
    """Sizes of the axes that products of stacks run over, with entries for all threads."""
    least = PARALLEL_TRIPS if threads > 1 else 2
    found = {
        tensor_type(op.result).shape[: kernel_axes(op)]
        for op in function.body
        if op.has(Trait.KERNEL) and kernel_axes(op)
    }
    return {sizes for sizes in found if about(math.prod(sizes)) >= least}


class _Chain:
    """Operations that go by entry, and those after the first of them that must come later."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.operations: list[Operation] = []
        self.inside: set[Value] = set()
        self.late: set[Value] = set()
        self.has_late_effects = False

    def takes(self, op: Operation) -> bool:
        """Let the operation become part of the chain, if it can."""
        if not self.late.isdisjoint(op.operands):
            return False
        is_apart = op.has(Trait.CONSTANT | Trait.CONTROL | Trait.BY_ENTRY)
        if is_apart or not has_entries(op, self.sizes):
            return False
        if op.regions and not has_loops(op.regions[0].block):
            return False
        if not goes_by_entry(op, self.sizes, self.inside):
            return False
        self.operations.append(op)
        self.inside.update(op.results)
        return True

    def take_moves(self) -> None:
        """Take in transposes before the chain that are for kernels in it, which then read the
        entries of their operands as they are."""
        members = set(self.operations)
        made_by = [value.operation for op in self.operations for value in op.operands]
        for move in dict.fromkeys(made_by):
            if move is None or move in members or not is_for_kernels(move):
                continue
            users, inside = set(move.result.users), {*self.inside, move.result}
            if users <= members and all(
                goes_by_entry(op, self.sizes, inside) for op in (move, *users)
            ):
                self.operations.insert(0, move)
                self.inside = inside

    def drop_moves(self) -> list[Operation]:
        """Take out transposes for kernels outside, which read them as they are."""
        members = set(self.operations)
        dropped = [
            op
            for op in self.operations
            if is_for_kernels(op) and members.isdisjoint(op.result.users)
        ]
        for op in dropped:
            self.operations.remove(op)
        return dropped

    def leave(self, op: Operation) -> bool:
        """Note an operation that is no part of the chain; whether it must come after the chain,
        which it does if it depends on it, or to keep effects in order."""
        operands, has_effects = op.operands, op.has_effects
        is_apart = self.late.isdisjoint(operands) and self.inside.isdisjoint(operands)
        if is_apart and not (has_effects and self.has_late_effects):
            return False
        self.late.update(op.results)
        self.has_late_effects |= has_effects
        return True


class _Scan:
    """The walk over the operations that finds chains, one at a time."""

    def __init__(self, function: Function, stacks: set[Sizes], kept_bytes: int) -> None:
        self.body = function.body
        self.stacks = stacks
        self.kept_bytes = kept_bytes
        self.chain: _Chain | None = None
        self.late: list[Operation] = []

    def run(self) -> None:
        for op in list(self.body):
            if op.has(Trait.TERMINATOR):
                self._close(op)
            elif self.chain is None or not self.chain.takes(op):
                self._visit(op)

    def _visit(self, op: Operation) -> None:
        """An operation that is not part of the chain there is."""
        is_late = self.chain is not None and self.chain.leave(op)
        if is_late or self.chain is None:
            started = self._start(op)
            if started is not None:
                self._close(op)
                self.chain = started
                return
        if is_late:
            self.late.append(op)

    def _start(self, op: Operation) -> _Chain | None:
        for sizes in self.stacks:
            chain = _Chain(sizes)
            if chain.takes(op):
                return chain
        return None

    def _close(self, before: Operation) -> None:
        """Put the chain, if it is worth it, where it is complete: before that operation."""
        chain, late = self.chain, self.late
        self.chain, self.late = None, []
        if chain is not None:
            # Before the others, some of which read them.
            late = [*chain.drop_moves(), *late]
            chain.take_moves()
        if chain is None or not _is_worth_it(chain.operations, self.kept_bytes):
            return
        _outline(self.body, before, chain.operations, len(chain.sizes))
        for op in late:
            self.body.remove(op)
            self.body.insert(op, before)


def _is_worth_it(ops: Sequence[Operation], kept_bytes: int) -> bool:
    """Whether the values that only the chain uses would else leave the L2 cache."""
    members = set(ops)
    if not any(_is_used_outside(value, members) for op in ops for value in op.results):
        return False
    private = [
        value
        for op in ops
        if not op.has(Trait.ALIAS)
        for value in op.results
        if value.uses and not _is_used_outside(value, members)
    ]
    total = sum(bytes_about(tensor_type(value)) for value in private)
    return total >= kept_bytes


def _is_used_outside(value: Value, members: set[Operation]) -> bool:
    return any(user not in members for user in value.users)


def _outline(body: Block, before: Operation, ops: Sequence[Operation], axes: int) -> None:
    """Put ``entries`` of operations of ``body`` before another one of it.

    Views that are used outside are made there once more.
    """
    members, views = set(ops), list[Operation]()
    for op in reversed(ops):
        if op.has(Trait.ALIAS) and _is_used_outside(op.result, members):
            types = [value.type for value in op.results]
            copy = Operation(op.definition, op.operands, types, op.attributes, (), op.location)
            body.insert(copy, views[-1] if views else before)
            views.append(copy)
            _redirect(op.result, copy.result, members)
    results = [v for op in ops for v in op.results if _is_used_outside(v, members)]
    inner, types = Block(), [value.type for value in results]
    operands = _arguments(ops, inner)
    made = Operation(
        lookup("entries"), operands, types, {"axes": axes}, (Region(inner),), ops[0].location
    )
    for old, new in zip(results, made.results, strict=True):
        _redirect(old, new, members)
    values = dict(zip(operands, inner.arguments, strict=True))
    for op in ops:
        body.remove(op)
        op.set_operands([values.get(value, value) for value in op.operands])
        inner.append(op)
    inner.append(Operation(lookup("yield"), results, ()))
    body.insert(made, views[-1] if views else before)


def _arguments(ops: Sequence[Operation], inner: Block) -> list[Value]:
    """What the operations use from outside, for each of which the block gets an argument."""
    made = {value for op in ops for value in op.results}
    used = dict.fromkeys(value for op in ops for value in op.operands if value not in made)
    for value in used:
        inner.add_argument(value.type, value.hint)
    return list(used)


def _redirect(old: Value, new: Value, members: set[Operation]) -> None:
    """Let the operations that are no members use the new value."""
    for user, place in list(old.uses):
        if user not in members:
            user.set_operand(place, new)
