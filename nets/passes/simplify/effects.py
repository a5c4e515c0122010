"""Effects: programs without them, for what starts again from where another program has been."""

from __future__ import annotations

from nets.ir.clone import clone_function
from nets.ir.core import Block, Function, Operation, Trait


def without_effects(function: Function) -> Function:
    """The function with the same results that does nothing else; itself where it is one."""
    if not function.has_effects:
        return function
    copy = clone_function(function)
    drop_effects(copy.body)
    return copy


def drop_effects(block: Block) -> None:
    """Remove every operation that does something, in regions as well."""
    found: list[Operation] = []
    for op in block:
        found += [inner for inner in (op, *op.walk_regions()) if inner.has(Trait.EFFECT)]
    for op in found:
        op.erase()
