"""overlap: transfers are under way while the program computes what does not depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.types import BufferType
from nets.ops.loop.accesses import buffer_of, is_access, memory_of
from nets.ops.loop.transfers import BEGIN, FINISH, is_transfer
from nets.passes.forms import LOOPS
from nets.passes.manager import Options, register_pass

_READ: Final = ("x", "y", "first", "second", "send")
"""Operands that are only read, of what does not tell it by its form."""

_EFFECTS: Final = ("loop.print", "loop.stop", "loop.commit")
"""What no transfer moves past: it is seen from outside, or ends the call."""


@register_pass("overlap", requires=(LOOPS,))
def overlap(function: Function, options: Options) -> Function:
    """Begin each transfer as soon as what it sends is complete, and finish it where something reads
    what it receives, or writes to what it sends.

    Transfers begin in the order they had, and finish in that order; both stay in their block, and
    on their side of what is seen from outside.

    Requires: the loop dialect.
    Ensures: the same bits; between its begin and its finish nothing touches what a transfer
    receives, and nothing writes to what it sends.
    """
    blocks = dict.fromkeys(op.block for op in function.walk() if op.name == BEGIN)
    for block in blocks:
        assert block is not None
        _begin_early(block)
        _finish_late(block)
    return function


def _begin_early(block: Block) -> None:
    """Move what begins a transfer up, in order."""
    ops = list(block)
    places = {op: place for place, op in enumerate(ops)}
    seen = _Seen()
    last = -1
    moved: list[tuple[int, Operation]] = []
    for place, op in enumerate(ops):
        if op.name != BEGIN:
            seen.note(op, place)
            last = place if _stays(op) else last
            continue
        send, receive = op.operands
        last = max(last, seen.written(send, -1), seen.touched(receive, -1))
        for made in _addresses(op, block):
            if made.name == "loop.slice":
                last = max(last, places[made])
            elif places[made] > last:
                moved.append((last, made))
                places[made] = last
        moved.append((last, op))
        seen.note(op, last)
    for place, op in reversed(moved):
        block.remove(op)
        block.insert(op, ops[place].next if place >= 0 else block.first)


def _addresses(op: Operation, block: Block) -> list[Operation]:
    """What makes the buffers of an operation, as far as it stands in the block, in order."""
    found: list[Operation] = []
    for value in op.operands:
        made = value.operation
        while made is not None and made.block is block:
            found.append(made)
            made = made.operands[0].operation if made.operands else None
    return list(dict.fromkeys(reversed(found)))


def _finish_late(block: Block) -> None:
    """Move what finishes a transfer down, in order."""
    ops = list(block)
    seen = _Seen()
    behind = len(ops)
    anchors: dict[int, Operation] = {}
    for place in reversed(range(len(ops))):
        op = ops[place]
        if op.name != FINISH:
            seen.note(op, place)
            behind = place if _stays(op) or op.has(Trait.TERMINATOR) else behind
            continue
        _, send, receive = op.operands
        behind = min(behind, seen.written(send, behind), seen.touched(receive, behind))
        seen.note(op, behind)
        block.remove(op)
        block.insert(op, anchors.get(behind, ops[behind]))
        anchors[behind] = op


class _Seen:
    """The places that touched each memory, and wrote to it: of those noted, the last ones."""

    def __init__(self) -> None:
        self._touched: dict[Value, int] = {}
        self._written: dict[Value, int] = {}

    def note(self, op: Operation, place: int) -> None:
        for memory, writes in _accesses(op):
            self._touched[memory] = place
            if writes:
                self._written[memory] = place

    def touched(self, buffer: Value, default: int) -> int:
        return self._touched.get(memory_of(buffer), default)

    def written(self, buffer: Value, default: int) -> int:
        return self._written.get(memory_of(buffer), default)


def _accesses(op: Operation) -> Iterator[tuple[Value, bool]]:
    """The memory that an operation touches, and whether it may write there."""
    for inner in (op, *op.walk_regions()):
        if is_access(inner):
            yield memory_of(buffer_of(inner)), not inner.results
        elif not inner.has(Trait.PURE):
            only_reads = inner.name == "loop.print"
            for value, name in zip_longest(inner.operands, inner.definition.operand_names):
                if value is not None and isinstance(value.type, BufferType):
                    yield memory_of(value), not (only_reads or name in _READ)


def _stays(op: Operation) -> bool:
    """Whether no transfer moves past the operation: it has an effect, or other transfers in it."""
    if op.name in _EFFECTS:
        return True
    return any(inner.name in _EFFECTS or is_transfer(inner) for inner in op.walk_regions())
