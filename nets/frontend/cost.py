"""Cost: arithmetic, memory traffic and peak memory of a program, counted on its IR."""

from __future__ import annotations

from collections.abc import Iterable

from nets.ir.core import Function, Operation, Trait, Value
from nets.ops.emitter import tensor_type
from nets.ops.registry import OpDef


def cost(function: Function, optimized: Function, workspace_bytes: int) -> dict[str, int]:
    """What one call costs.

    ``flops``: scalar operations, a multiply-add counted as two. ``bytes``: what the operations of
    the optimized program read and write if nothing stays in a cache between them.
    ``peak_bytes``: arguments, results and workspace.
    """
    outer = [*function.arguments, *function.returned]
    return {
        "flops": sum(map(flops, optimized.walk())),
        "bytes": sum(_traffic(op) for op in optimized.body if not op.has(Trait.ALIAS)),
        "peak_bytes": _nbytes(outer) + workspace_bytes,
    }


def flops(op: Operation) -> int:
    """The scalar operations of one operation: its rule of that name, or as many as elements."""
    definition = op.definition
    if isinstance(definition, OpDef) and "flops" in definition.rules:
        return int(definition.rules["flops"](*(operand.type for operand in op.operands)))
    if op.has(Trait.ELEMENTWISE):
        return tensor_type(op.results[0]).size
    if op.has(Trait.REDUCTION):
        return tensor_type(op.operands[0]).size
    return 0


def _traffic(op: Operation) -> int:
    return 0 if op.has(Trait.TERMINATOR) else _nbytes((*op.operands, *op.results))


def _nbytes(values: Iterable[Value]) -> int:
    types = [tensor_type(value) for value in values]
    return sum(type.size * type.dtype.itemsize for type in types)
