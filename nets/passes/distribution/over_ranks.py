"""over_ranks: a program over shards as the program of one rank.

``spread`` makes of the function of a shard that of a rank, which has several: what differs from
shard to shard is done for the rank's own shards as ``batch`` does it for examples, entry by entry
with the bits that each has alone; what all have in common is done once; and the operations over
shards end what differs. Reductions share transfers: each begins as soon as what it adds up is
there, in the order of the program.

``expand`` does the same where each rank is one shard, as in a function that calls collectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nets.errors import ControlFlowError
from nets.ir.builder import Builder
from nets.ir.clone import body_without_terminator, clone_function, clone_into
from nets.ir.core import Function, Operation, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.batch import Over, stack_type
from nets.passes.distribution.transfers import Rows, Transfers, bytes_of

BUCKET_BYTES: Final = 1 << 20
"""Reductions share transfers up to about this many bytes, and the first ones leave while the rest
is computed."""


def is_over_shards(op: Operation) -> bool:
    """Whether it is an operation over shards."""
    return op.name in _RULES


def spread(function: Function, varying: Sequence[bool], shards: int, ranks: int) -> Function:
    """The function of a rank with ``shards / ranks`` of the shards that ``function`` is for.

    Those arguments that are ``varying`` differ from shard to shard: the new function takes them
    with a first axis over the rank's shards, or as they are where it has one alone. No result may
    differ. ControlFlowError for an operation over shards in a loop or a branch.

    Requires: tensor dialect, not fused. Ensures: tensor dialect, a new function; operations over
    ranks in the place of those over shards.
    """
    source = clone_function(function)
    _refuse_inner(source)
    local = shards // ranks
    types = [
        stack_type(x, local) if differs and local > 1 else x.type
        for x, differs in zip(source.arguments, varying, strict=True)
    ]
    hints = [x.hint for x in source.arguments]
    made = Function(function.name, types, hints, function.attributes)
    walk = _Spread(made, shards, ranks)
    for x, new, differs in zip(source.arguments, made.arguments, varying, strict=True):
        walk.over.keep(x, new, differs)
    walk.walk(_reduced_early(source))
    walk.send()
    assert walk.over.stacks.isdisjoint(source.returned)
    walk.b.builder.location = None
    walk.b.builder.create(lookup("return"), [walk.over.value(x) for x in source.returned])
    return made


def varying_values(function: Function, arguments: Iterable[Value]) -> set[Value]:
    """The values that differ from shard to shard where these arguments do."""
    found = set(arguments)
    for op in function.body:
        if op.name in _VARYING or (op.name not in _RULES and not found.isdisjoint(op.operands)):
            found.update(op.results)
    return found


def expand(function: Function) -> Function:
    """The function with operations over ranks in the place of those over shards, each of which is a
    rank; itself where there are none.

    Requires, ensures: tensor dialect, not fused.
    """
    if not any(map(is_over_shards, function.walk())):
        return function
    copy = clone_function(function)
    for op in [op for op in copy.walk() if is_over_shards(op)]:
        shards = op.attributes["shards"]
        assert op.block is not None
        emitter = GraphEmitter(Builder(op.block, op, op.location))
        rows = [[x] for x in op.operands]
        found = _RULES[op.name](Transfers(emitter, shards, shards), op, rows)
        op.replace_with([row[0] for row in found])
    return copy


# ------------------------------------------------------------------------------- the rules


def _reduced(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    return [[x] for x in t.reduce(rows, op.attributes["reduction"])]


def _gathered(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    return [[t.gather(rows[0])]]


def _scattered(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    return [t.scatter(rows[0])]


def _broadcast(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    return [[t.broadcast(rows[0], op.attributes["root"])]]


def _barrier(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    t.barrier()
    return []


def _indices(t: Transfers, op: Operation, rows: Sequence[Rows]) -> list[Rows]:
    return [t.indices()]


_RULES: Final[dict[str, Callable[[Transfers, Operation, Sequence[Rows]], list[Rows]]]] = {
    "all_reduce": _reduced,
    "all_gather": _gathered,
    "reduce_scatter": _scattered,
    "shard_broadcast": _broadcast,
    "shard_barrier": _barrier,
    "shard_index": _indices,
}
"""What an operation over shards gives for the rows of its operands: rows of what differs from shard
to shard, one row of what does not."""

_VARYING: Final = ("reduce_scatter", "shard_index")
"""Those whose results differ from shard to shard."""


# ------------------------------------------------------------------------------ the shards


class _Spread:
    """The body of a rank's function in the making.

    ``over`` knows for each value of the shard's function the value here, and which differ from
    shard to shard: those have the axis of shards in front where the rank has several.
    """

    def __init__(self, function: Function, shards: int, ranks: int) -> None:
        self.over = Over(function.body, shards // ranks)
        self.b = self.over.b
        self.t = Transfers(self.b, shards, ranks)
        self.waiting: dict[Operation, None] = {}
        """Reductions of one kind and dtype that go with the next transfer."""

    def walk(self, operations: Iterable[Operation]) -> None:
        for op in operations:
            self.b.builder.location = op.location
            if op.name == "all_reduce" and self.t.ranks > 1 and self._differs(op):
                self._wait(op)
                continue
            if any(x.operation in self.waiting for x in op.operands):
                self.send()
            if op.name in _RULES:
                self._join(op)
            elif self.t.local > 1:
                self.over.walk([op])
            else:
                clone_into(self.b.builder, [op], self.over.mapping)
                if self._differs(op):
                    self.over.stacks.update(op.results)

    def _differs(self, op: Operation) -> bool:
        return not self.over.stacks.isdisjoint(op.operands)

    def _rows(self, x: Value) -> Rows:
        """A value in each shard of the rank."""
        here = self.over.value(x)
        if x not in self.over.stacks:
            return [here] * self.t.local
        return self.t.rows(here) if self.t.local > 1 else [here]

    def _join(self, op: Operation) -> None:
        """Do an operation over shards by itself."""
        if op.name == "all_reduce" and not self._differs(op):
            reduction = op.attributes["reduction"]
            if reduction in ("max", "min"):
                self.over.keep(op.result, self.over.value(op.operands[0]), is_stack=False)
                return
            # Every shard adds the same, with the bits of any sum; no rank need hear of it.
            alone = Transfers(self.b, self.t.shards, 1)
            rows = [self.over.value(op.operands[0])] * self.t.shards
            found: list[Rows] = [[x] for x in alone.reduce([rows], reduction)]
        else:
            found = _RULES[op.name](self.t, op, [self._rows(x) for x in op.operands])
        for result, given in zip(op.results, found, strict=True):
            differs = op.name in _VARYING
            is_stack = differs and self.t.local > 1
            self.over.keep(result, self.t.stacked(given) if is_stack else given[0], differs)

    def _wait(self, op: Operation) -> None:
        """Let a reduction go with the next transfer."""
        if self.waiting and _kind(next(iter(self.waiting))) != _kind(op):
            self.send()
        self.waiting[op] = None
        if sum(bytes_of(x.result) for x in self.waiting) >= BUCKET_BYTES:
            self.send()

    def send(self) -> None:
        """Emit the transfer of the reductions that wait for it."""
        if not self.waiting:
            return
        rows = [self._rows(op.operands[0]) for op in self.waiting]
        found = self.t.reduce(rows, next(iter(self.waiting)).attributes["reduction"])
        for op, value in zip(self.waiting, found, strict=True):
            self.over.keep(op.result, value, is_stack=False)
        self.waiting = {}


def _kind(op: Operation) -> tuple[object, ...]:
    return op.attributes["reduction"], tensor_type(op.result).dtype


def _refuse_inner(function: Function) -> None:
    for op in function.body:
        for inner in op.walk_regions():
            if is_over_shards(inner):
                raise ControlFlowError(
                    f"{inner.name} stands in a loop or a branch of a function of shards; "
                    "collect what it is for, and let the shards meet behind the loop",
                    inner.location,
                )


def _reduced_early(function: Function) -> list[Operation]:
    """The operations of the function, each reduction right behind what it adds up, in the order in
    which that is there."""
    found: dict[Operation, None] = {}
    for op in body_without_terminator(function):
        pending = [op]
        while pending:
            taken = pending.pop()
            if taken not in found:
                found[taken] = None
                users = dict.fromkeys(user for x in taken.results for user in x.users)
                pending += [user for user in users if user.name == "all_reduce"]
    return list(found)
