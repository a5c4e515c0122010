"""Effects: programs without those that only tell (prints), for what starts again from where another
program has been. What ranks do together stays: results are made of it."""

from __future__ import annotations

from nets.ir.clone import clone_function
from nets.ir.core import Block, Function, Operation, Trait


def prints(function: Function) -> bool:
    """Does it tell anything?"""
    return any(map(_only_tells, function.walk()))


def without_effects(function: Function) -> Function:
    """The function with the same results that tells nothing; itself where it is one."""
    if not prints(function):
        return function
    copy = clone_function(function)
    drop_effects(copy.body)
    return copy


def drop_effects(block: Block) -> None:
    """Remove every operation that only tells something, in regions as well."""
    found: list[Operation] = []
    for op in block:
        found += [inner for inner in (op, *op.walk_regions()) if _only_tells(inner)]
    for op in found:
        op.erase()


def _only_tells(op: Operation) -> bool:
    return op.has(Trait.EFFECT) and not op.results
