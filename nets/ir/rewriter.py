"""The rewriter: applies patterns until none fits any more.

A worklist holds the operations to look at, at first all of them in order. Whatever a pattern
changes puts its surroundings back on the list: new operations, the operations that made operands
which lost a user, the users of replaced values. A pattern may look at what made the operands of its
operation, and through one operation with a single operand, such as a broadcast, at what made that.
Work is linear in the number of changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nets.errors import PassError
from nets.ir.builder import Builder
from nets.ir.core import Attributes, Block, Function, OpDefinition, Operation, Region, Trait, Value
from nets.ir.location import Location

Pattern = Callable[[Operation, "Rewriter"], bool]
"""Looks at one operation; changes the IR through the rewriter and tells whether it did."""

CHANGES_PER_OPERATION: Final = 64
"""Patterns that make more changes than this times the operations undo each other."""


def rewrite(
    function: Function,
    patterns: Mapping[str, Sequence[Pattern]],
    every: Sequence[Pattern] = (),
    *,
    into_isolated: bool = True,
) -> bool:
    """Apply patterns by the name of the operation, and ``every`` to all; whether any fitted.

    With ``into_isolated`` false the regions of isolated operations are left as they are, but for
    those of control flow.
    PassError where the patterns do not come to an end.
    """
    rewriter = Rewriter(function, into_isolated)
    rewriter.look_at_all()
    return rewriter.apply(patterns, every)


class Rewriter:
    """What patterns change the IR with, so that the worklist hears of it.

    ``builder`` inserts before the operation that is being looked at, with its location.
    """

    def __init__(self, function: Function, into_isolated: bool = True) -> None:
        self._function = function
        self._left = set() if into_isolated else _inside_isolated(function)
        self._list: deque[Operation] = deque()
        self._listed: set[Operation] = set()
        self.builder: Builder = _Reporting(function.body, self)

    def apply(
        self, patterns: Mapping[str, Sequence[Pattern]], every: Sequence[Pattern] = ()
    ) -> bool:
        """Work the list off with patterns, as ``rewrite`` does; whether any fitted."""
        limit = CHANGES_PER_OPERATION * (sum(1 for _ in self._function.walk()) + 16)
        changes = 0
        while (op := self.next()) is not None:
            for pattern in (*patterns.get(op.definition.name, ()), *every):
                if pattern(op, self):
                    changes += 1
                    break
            if changes > limit:
                raise PassError(f"the patterns undo each other, last at {op.name}", op.location)
        return changes > 0

    def look_at_all(self) -> None:
        """Put every operation on the list, in order."""
        for op in self._function.walk():
            self.look_at(op)

    @property
    def pending(self) -> int:
        """Number of operations on the worklist."""
        return len(self._list)

    def next(self) -> Operation | None:
        """Take the next operation that still stands off the list; None at the end."""
        while self._list:
            op = self._list.popleft()
            self._listed.discard(op)
            if op.block is not None:
                self.builder.block, self.builder.before = op.block, op
                self.builder.location = op.location
                return op
        return None

    def look_at(self, op: Operation | None) -> None:
        """Put the operation on the list unless it is there, or to be left as it is."""
        if op is not None and op not in self._listed and op not in self._left:
            self._listed.add(op)
            self._list.append(op)

    def replace(self, op: Operation, values: Sequence[Value]) -> None:
        """Let the users of each result use the value at its place; erase the operation."""
        for old, new in zip(op.results, values, strict=True):
            self._look_at_users(old)
            old.replace_uses(new)
            self.look_at(new.operation)
        self.erase(op)

    def _look_at_users(self, value: Value) -> None:
        """Users of the value, and those that see it through a user with one operand."""
        for user in value.users:
            self.look_at(user)
            if len(user.operands) == 1:
                for result in user.results:
                    for further in result.users:
                        self.look_at(further)

    def erase(self, op: Operation) -> None:
        """Erase the operation, whose results nobody uses."""
        operands = op.operands
        op.erase()
        for operand in operands:
            self.look_at(operand.operation)
            if len(operand.uses) == 1:  # rules may ask for an only user
                self.look_at(operand.users[0])

    def erase_unused(self, op: Operation) -> None:
        """Erase the operation if it is pure and nobody uses it, and what only it used."""
        pending = [op]
        while pending:
            op = pending.pop()
            is_used = any(result.uses for result in op.results)
            if op.block is None or is_used or not op.is_pure:
                continue
            pending += [made for operand in op.operands if (made := operand.operation) is not None]
            self.erase(op)

    def set_operands(self, op: Operation, operands: Sequence[Value]) -> None:
        """Give the operation other operands of the same types."""
        makers = [operand.operation for operand in op.operands]
        op.set_operands(operands)
        for maker in makers:
            self.look_at(maker)
        self.look_at(op)


def _inside_isolated(function: Function) -> set[Operation]:
    isolated = (
        op for op in function.walk() if op.has(Trait.ISOLATED) and not op.has(Trait.CONTROL)
    )
    return {inner for op in isolated for inner in op.walk_regions()}


class _Reporting(Builder):
    """A builder that puts what it makes on the worklist."""

    def __init__(self, block: Block, rewriter: Rewriter) -> None:
        super().__init__(block)
        self._rewriter = rewriter

    def create(
        self,
        definition: OpDefinition,
        operands: Sequence[Value],
        attributes: Attributes | None = None,
        regions: Sequence[Region] = (),
        location: Location | None = None,
    ) -> Operation:
        op = super().create(definition, operands, attributes, regions, location)
        self._rewriter.look_at(op)
        return op
