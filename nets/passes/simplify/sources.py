"""Sources: what values are computed from, in a block and over the steps of a loop."""

from __future__ import annotations

from collections.abc import Iterable

from nets.ir.core import Block, Operation, Value


def sources(block: Block, values: Iterable[Value]) -> set[Value]:
    """These values and all of the block that they are computed from."""
    found: set[Value] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if value not in found:
            found.add(value)
            maker = value.operation
            if maker is not None and maker.block is block:
                pending.extend(maker.operands)
    return found


def sources_over_steps(loop: Operation, values: Iterable[Value]) -> set[Value]:
    """As ``sources`` for values of a loop's body, and what those are computed from in the steps
    before, through what the loop carries."""
    body = loop.regions[-1].block
    carried = list(zip(body.arguments, body.yielded, strict=False))
    carried = carried[: loop.attributes["carries"]]
    found = sources(body, values)
    while True:
        reached = found | sources(body, [following for x, following in carried if x in found])
        if reached == found:
            return found
        found = reached


def used_from_outside(block: Block) -> list[Value]:
    """The values that the operations of a block use and do not make, in order of use."""
    here = set(block.arguments)
    found: dict[Value, None] = {}
    for op in block:
        found.update((x, None) for x in op.operands if x not in here)
        here.update(op.results)
    return list(found)


def drop_unused(block: Block) -> None:
    """Remove pure operations of a block whose results are not used."""
    for op in reversed(block):
        if op.is_pure and not any(result.uses for result in op.results):
            op.erase()
