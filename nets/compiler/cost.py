"""Cost: arithmetic, memory traffic and peak memory of a program, counted on its IR."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.estimates import about, bytes_about, elements_about
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of


def cost(function: Function, optimized: Function, workspace_bytes: int) -> dict[str, int]:
    """What one call costs.

    ``flops``: scalar operations, a multiply-add counted as two. ``bytes``: what the operations of
    the optimized program read and write if nothing stays in a cache between them. A while_loop
    counts as one step, a branch as both of its sides.
    ``peak_bytes``: arguments, results and workspace.
    """
    outer = [*function.arguments, *function.returned]
    counted = list(_executed(optimized))
    return {
        "flops": sum(times * flops(op) for op, times, _ in counted),
        "bytes": sum(times * _traffic(op) for op, times, alone in counted if alone),
        "peak_bytes": _nbytes(outer) + workspace_bytes,
    }


def _executed(function: Function) -> Iterator[tuple[Operation, int, bool]]:
    """Every operation, how often it runs, and whether it moves data by itself: operations in a
    fusion do not, nor do those that hold programs, and views."""
    pending = [(function.body, 1, True)]
    while pending:
        block, times, alone = pending.pop()
        for op in block:
            holds = op.has(Trait.CONTROL)
            yield op, times, alone and not holds and not op.has(Trait.ALIAS)
            inner = times * about(op.attributes.get("length", 1))
            pending += [(region.block, inner, alone and holds) for region in op.regions]


def flops(op: Operation) -> int:
    """The scalar operations of one operation: its rule of that name, or as many as elements."""
    rule = definition_of(op).rules.flops
    if rule is not None:
        return rule(*(x.type for x in op.operands), **op.attributes)
    if op.has(Trait.ELEMENTWISE):
        return elements_about(tensor_type(op.results[0]))
    if op.has(Trait.REDUCTION):
        return elements_about(tensor_type(op.operands[0]))
    return 0


def _traffic(op: Operation) -> int:
    return 0 if op.has(Trait.TERMINATOR) else _nbytes((*op.operands, *op.results))


def _nbytes(values: Iterable[Value]) -> int:
    return sum(bytes_about(tensor_type(value)) for value in values)
