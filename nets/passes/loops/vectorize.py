"""vectorize: innermost loops run on vectors, reductions on the lanes of their tree.

A loop of independent iterations becomes up to three loops: over several vectors at a time, over
single vectors, and one vector for what is left, whose other lanes are idle (``widen``).
``loop.reduce`` becomes loops whatever its body (``lane_tree``). Results do not
depend on the number of lanes.
"""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Value
from nets.ir.types import index
from nets.machine.machine import Machine
from nets.ops.loop.index_values import constant_of, distance, multiple_of
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.forms import LOOPS, VECTORIZED
from nets.passes.loops.lane_tree import lower_reduce
from nets.passes.loops.widen import Body, Copy, Widener, vectors_at_once
from nets.passes.manager import Options, register_pass


@register_pass("vectorize", requires=(LOOPS,), ensures=(VECTORIZED,))
def vectorize(function: Function, options: Options) -> Function:
    """Widen innermost loops to vector registers, and lower every reduction.

    Requires: the loop dialect, not vectorized yet.
    Ensures: the same bits; no ``loop.reduce`` is left.
    """
    for op in reversed(list(function.walk())):
        if op.name == "loop.reduce":
            lower_reduce(op, options.machine)
        elif op.name == "loop.for" and not op.results and op.attributes["step"] == 1:
            _vectorize_loop(op, options.machine)
    return function


def _vectorize_loop(op: Operation, machine: Machine) -> None:
    lo, hi = op.operands
    trips = distance(lo, hi)
    body = Body(op.regions[0].block, machine, trips)
    lanes = body.lanes
    if lanes < 2 or (trips is not None and trips < 2) or not body.can_widen():
        return
    assert op.block is not None
    s = LoopBuilder(Builder(op.block, op, op.location))
    loops = _Loops(s, body, lanes, vectors_at_once(body))
    if trips is None:
        loops.emit_dynamic(lo, hi)
    else:
        loops.emit_static(lo, trips)
    op.erase()


class _Loops:
    """Emits the loops that one loop becomes."""

    def __init__(self, s: LoopBuilder, body: Body, lanes: int, unroll: int) -> None:
        self.s = s
        self.body = body
        self.lanes = lanes
        self.unroll = unroll

    def emit_static(self, lo: Value, trips: int) -> None:
        """The loops for a known number of iterations."""
        at = 0
        for vectors in dict.fromkeys((self.unroll, 1)):
            width = vectors * self.lanes
            span = (trips - at) // width * width
            if span:
                self._loop(self._plus(lo, at), self._plus(lo, at + span), vectors)
            at += span
        if at < trips:
            self._tail(self._plus(lo, at), self._plus(lo, trips), trips - at)

    def emit_dynamic(self, lo: Value, hi: Value) -> None:
        """The loops for bounds that are known only at run time."""
        widths = [vectors * self.lanes for vectors in dict.fromkeys((self.unroll, 1))]
        if self.body.is_maskable():
            # The vector that is left serves for all whole vectors left, too: less code.
            widths = widths[:1]
        for width in widths:
            lo = self._whole(lo, hi, width)
            if lo is hi:
                return
        loop = self.s.for_(lo, hi, step=self.lanes)
        with self.s.inside(loop) as block:
            start = block.arguments[0]
            self._tail(start, hi, self.s.sub(hi, start))
            self.s.yield_()

    def _whole(self, lo: Value, hi: Value, width: int) -> Value:
        """A loop over as many iterations as ``width`` divides; where it ends."""
        s = self.s
        end = hi
        if multiple_of(lo, hi) % width:
            span = s.binary("and", s.sub(hi, lo), s.const(-width, index))
            end = s.add(lo, s.binary("max", span, s.const(0, index)))
        self._loop(lo, end, width // self.lanes)
        return end

    def _plus(self, lo: Value, amount: int) -> Value:
        first = constant_of(lo)
        if first is not None:
            return self.s.const(first + amount, index)
        return self.s.add(lo, self.s.const(amount, index)) if amount else lo

    def _loop(self, lo: Value, hi: Value, vectors: int) -> None:
        """A loop over whole vectors, that many per iteration."""
        loop = self.s.for_(lo, hi, step=vectors * self.lanes)
        with self.s.inside(loop) as block:
            start = block.arguments[0]
            copies = [Copy(start, number * self.lanes) for number in range(vectors)]
            Widener(self.s, self.body, self.lanes).emit(copies)
            self.s.yield_()

    def _tail(self, start: Value, end: Value, count: int | Value) -> None:
        """The last iterations, fewer than lanes."""
        mask = None
        if self.body.is_maskable():
            left = self.s.const(count, index) if isinstance(count, int) else count
            mask = self.s.emit("tail_mask", left, lanes=self.lanes).result
        Widener(self.s, self.body, self.lanes).emit([Copy(start, end=end, mask=mask)])
