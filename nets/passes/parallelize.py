"""parallelize: decides which parallel loops run on several threads; the others become loops."""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Region
from nets.ir.types import BufferType
from nets.ops.registry import lookup
from nets.passes.index_values import distance
from nets.passes.manager import Options, register_pass

FORK_COST = 8000
"""Instructions that take as long as handing a loop to other threads and waiting for them (2 µs)."""

_COSTS = {"loop.math": 24, "loop.div": 8, "loop.rem": 8, "loop.const": 0, "loop.view": 0}
_GEMM_LANES = 8
_UNKNOWN_TRIPS = 16
"""Iterations assumed of a loop whose bounds are computed."""


@register_pass("parallelize")
def parallelize(function: Function, options: Options) -> Function:
    """Keep the parallel loops that are worth a fork and stand in no other parallel loop.

    Requires: the loop dialect.
    Ensures: the same bits; no parallel loop inside another; none at all for one thread.
    """
    shared: set[Operation] = set()
    # Outer loops come first; inside one that is not worth a fork, another one may be.
    for op in list(function.walk()):
        if op.name == "loop.parallel":
            if options.threads > 1 and not _stands_in(op, shared) and _is_worth_a_fork(op):
                shared.add(op)
            else:
                _make_serial(op)
    return function


def _stands_in(op: Operation, loops: set[Operation]) -> bool:
    """Whether the operation stands inside one of the loops."""
    while loops and op.block is not None and op.block.owner is not None:
        outer = op.block.owner.owner
        if not isinstance(outer, Operation):
            return False
        if outer in loops:
            return True
        op = outer
    return False


def _is_worth_a_fork(op: Operation) -> bool:
    trips = distance(*op.operands)
    if trips is not None and trips < 2:
        return False
    return _cost(op) >= FORK_COST


def _cost(op: Operation) -> int:
    """Roughly the instructions a loop executes, up to what is worth a fork."""
    total = 0
    pending = [(op, 1)]
    while pending and total < FORK_COST:
        loop, times = pending.pop()
        times *= _trips(loop)
        for inner in loop.regions[0].block:
            total += times * _cost_of(inner)
            if inner.regions:
                pending.append((inner, times))
    return total


def _cost_of(op: Operation) -> int:
    """Instructions of one operation; of a matrix product, its multiply-additions on lanes."""
    if op.name != "loop.gemm":
        return _COSTS.get(op.name, 1)
    x, out = op.operands[0].type, op.operands[2].type
    assert isinstance(x, BufferType)
    assert isinstance(out, BufferType)
    return x.size * out.static_shape[2] // _GEMM_LANES


def _trips(op: Operation) -> int:
    """Iterations of a loop; 1 for a branch."""
    if len(op.operands) < 2:
        return 1
    trips = distance(*op.operands[:2])
    if trips is None:
        return _UNKNOWN_TRIPS
    step: int = op.attributes.get("step", 1)
    return max(0, -(-trips // step))


def _make_serial(op: Operation) -> None:
    """Turn a parallel loop into a loop."""
    assert op.block is not None
    builder = Builder(op.block, op, op.location)
    builder.create(lookup("loop.for"), op.operands, {"step": 1}, (Region(op.regions[0].block),))
    op.block.remove(op)
