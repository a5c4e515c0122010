"""Dissolve: regions that take the place of the operation that holds them."""

from __future__ import annotations

from nets.ir.core import Block, Function, Operation, Trait


def dissolve(op: Operation) -> Operation | None:
    """Let the first region of an operation take its place; what is there now."""
    block, outer = op.regions[0].block, op.block
    assert outer is not None
    for argument, value in zip(block.arguments, op.operands, strict=True):
        argument.replace_uses(value)
    *inner, end = block
    for each in inner:
        block.remove(each)
        outer.insert(each, op)
    first = inner[0] if inner else op.next
    op.replace_with(end.operands)
    return first


def dissolve_all(function: Function, trait: Trait) -> list[Block]:
    """Dissolve the operations with that trait; the programs of the function that are left, outer
    ones first."""
    found = [function.body]
    for block in found:
        op = block.first
        while op is not None:
            if op.has(trait):
                op = dissolve(op)
                continue
            if op.has(Trait.CONTROL):
                found += [region.block for region in op.regions]
            op = op.next
    return found
