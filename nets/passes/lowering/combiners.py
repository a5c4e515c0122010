"""Combiners: what reductions put together, with what they start, and what they give for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Operation, Value
from nets.ops.definition.registry import definition_of
from nets.passes.lowering.element_builder import ElementBuilder

ROWS = 16
"""Rows of a block of the reduction tree over leading axes."""


def combiner_of(op: Operation) -> str:
    """The combiner of a reduction."""
    return definition_of(op).combiner


def first_total(s: ElementBuilder, op: Operation, element: Value) -> Value:
    """The element a reduction starts with, as its result if no other follows: no sum is −0."""
    if combiner_of(op) == "add" and element.type.dtype.is_float:
        return s.add(s.like(element, 0.0), element)
    return element


def from_identity(s: ElementBuilder, op: Operation, total: Value) -> Value:
    """A total combined from elements alone, as if from the identity on: no sum is −0."""
    if combiner_of(op) != "add" or not total.type.dtype.is_float:
        return total
    return s.add(empty_result(s, op), total)


def combine_by_halving(s: ElementBuilder, op: Operation, elements: Sequence[Value]) -> Value:
    """The total of a few elements, one per lane, in the order of ``loop.reduce``."""
    live = list(elements)
    while len(live) > 1:
        half = 1 << ((len(live) - 1).bit_length() - 1)
        pairs = zip(live, live[half:], strict=False)
        merged = [s.binary(combiner_of(op), x, y) for x, y in pairs]
        live = merged + live[len(merged) : half]
    return from_identity(s, op, live[0])


def empty_result(s: ElementBuilder, op: Operation) -> Value:
    """What a reduction over no element gives."""
    dtype = op.operands[0].type.dtype
    return s.const(definition_of(op).identity(dtype), dtype)
