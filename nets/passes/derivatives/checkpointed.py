"""checkpointed: a loop of which reverse mode is to store few states."""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Region
from nets.ops.definition.registry import lookup


def checkpointed(loop: Operation, slots: int) -> Operation:
    """The operation that a loop becomes of which reverse mode stores so many states."""
    assert loop.block is not None
    builder, regions = Builder(loop.block, loop, loop.location), []
    for _ in range(2):
        block = Block([x.type for x in loop.operands], [x.hint for x in loop.operands])
        mapping: Mapping = dict(zip(loop.operands, block.arguments, strict=True))
        inner = Builder(block, location=loop.location)
        clone_into(inner, [loop], mapping)
        inner.create(lookup("yield"), [mapping[x] for x in loop.results])
        regions.append(Region(block))
    made = builder.create(lookup("checkpointed_loop"), loop.operands, {"slots": slots}, regions)
    loop.replace_with(made.results)
    return made
