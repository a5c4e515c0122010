"""parallelize: decides which parallel loops run on several threads; the others become loops."""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Region
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.definition.registry import lookup
from nets.ops.loop.index_values import distance, trips
from nets.ops.loop.kernels import kernel_flops
from nets.passes.forms import FORKED_ONCE, LOOPS
from nets.passes.loops.handover import Handovers
from nets.passes.manager import Options, register_pass


@register_pass("parallelize", requires=(LOOPS,), ensures=(FORKED_ONCE,))
def parallelize(function: Function, options: Options) -> Function:
    """Keep the parallel loops that are worth a fork and stand in no other parallel loop.

    Requires: the loop dialect.
    Ensures: the same bits; no parallel loop inside another; none at all for one thread.
    """
    shared = _worth_a_fork(function, options.machine) if options.threads > 1 else set()
    for op in list(function.walk()):
        if op.name == "loop.parallel" and op not in shared:
            _make_serial(op)
    return function


def _worth_a_fork(function: Function, machine: Machine) -> set[Operation]:
    """The loops to share: they are enough work for a fork, and for what it moves between CPUs."""
    fork, line = machine.fork_cycles, machine.line_cycles
    shared: set[Operation] = set()
    # Outer loops come first; inside one that is not worth a fork, another one may be.
    for op in function.walk():
        is_outermost = op.name == "loop.parallel" and not _stands_in(op, shared)
        if is_outermost and _has_work(op, fork, machine):
            shared.add(op)
    handovers = Handovers(function, machine) if shared else None
    while handovers is not None:
        # A loop that turns serial is one more that its neighbours exchange lines with.
        prices = {op: fork + line * handovers.lines(op, shared) for op in shared}
        serial = {op for op, price in prices.items() if not _has_work(op, price, machine)}
        if not serial:
            break
        shared -= serial
    return shared


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


def _has_work(op: Operation, price: int, machine: Machine) -> bool:
    """Whether the loop has several iterations, and takes about so many cycles."""
    count = distance(*op.operands)
    if count is not None and count < 2:
        return False
    total = 0.0
    pending = [(op, 1)]
    while pending and total < price:
        loop, times = pending.pop()
        times *= trips(loop)
        for inner in loop.regions[0].block:
            total += times * _cycles_of(machine, inner)
            if inner.regions:
                pending.append((inner, times))
    return total >= price


def _cycles_of(machine: Machine, op: Operation) -> float:
    flops = kernel_flops(op)
    if flops:
        return costs.kernel_cycles(machine, flops, op.operands[0].type.dtype)
    return costs.far_cycles_of(machine, op)


def _make_serial(op: Operation) -> None:
    """Turn a parallel loop into a loop."""
    assert op.block is not None
    builder = Builder(op.block, op, op.location)
    builder.create(lookup("loop.for"), op.operands, {"step": 1}, (Region(op.regions[0].block),))
    op.block.remove(op)
