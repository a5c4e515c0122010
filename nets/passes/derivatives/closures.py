"""Closures: regions that are written with any values in scope, which become operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Region, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.simplify.sources import drop_unused, used_from_outside

Body = Callable[[GraphEmitter, Sequence[Value]], Sequence[Value]]
"""Writes a region, given its arguments; gives what the region yields."""


def emit_closed(
    b: GraphEmitter,
    name: str,
    start: Sequence[Value],
    bodies: Sequence[Body],
    attributes: dict[str, Any] | None = None,
    slices: Sequence[Value] = (),
    operand_of: Callable[[Value], Value] = lambda x: x,
) -> Sequence[Value]:
    """Emit an operation with a region for each body; its results.

    The regions take ``start`` and the rows of ``slices``, then all that any of them uses besides,
    for which the operands are what ``operand_of`` gives.
    """
    rows = [tensor_type(x).with_shape(tensor_type(x).shape[1:]) for x in slices]
    blocks = []
    for body in bodies:
        block = Block([*(x.type for x in start), *rows])
        inner = GraphEmitter(Builder(block, location=b.builder.location))
        given = body(inner, list(block.arguments))
        block.append(Operation(lookup("yield"), given, ()))
        drop_unused(block)
        blocks.append(block)
    outside = list(dict.fromkeys(x for block in blocks for x in used_from_outside(block)))
    for block in blocks:
        _close(block, outside)
    operands = [*start, *slices, *map(operand_of, outside)]
    regions = [Region(block) for block in blocks]
    return b.builder.create(lookup(name), operands, attributes or {}, regions).results


def _close(block: Block, outside: Sequence[Value]) -> None:
    """Make arguments of a block stand for values from outside it."""
    inside = {x: block.add_argument(x.type, x.hint) for x in outside}
    for op in block:
        op.set_operands([inside.get(x, x) for x in op.operands])


def emit_while(b: GraphEmitter, start: Sequence[Value], test: Body, step: Body) -> Sequence[Value]:
    """Emit a while; the last values of what ``start`` begins with."""
    return emit_closed(b, "while", start, [test, step], {"carries": len(start)})
