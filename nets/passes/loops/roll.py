"""roll: reductions and kernels as the smallest loops that give their bits.

What ``vectorize`` and the kernels of the backend do to be fast, this does to be small: one copy of
each body, one element at a time. Integer sums, extremes and the like take one running result, for
they are exact; floats keep the lanes of their tree (numerics.md, 4) in scratch memory, and loops
combine them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.clone import clone_into
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import BufferType, DType, index
from nets.ops.loop.index_values import constant_of
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.loop.reduction_tree import ARG_COMBINERS, reduce_lanes
from nets.passes.forms import LOOPS, VECTORIZED
from nets.passes.loops.kernel_loops import KERNEL_LOOPS
from nets.passes.loops.totals import identity, is_beyond
from nets.passes.manager import Options, register_pass


@register_pass("roll", requires=(LOOPS,), ensures=(VECTORIZED,))
def roll(function: Function, options: Options) -> Function:
    """Lower every reduction and every kernel to loops over single elements.

    Requires: the loop dialect, not vectorized.
    Ensures: the same bits; no ``loop.reduce`` and no kernel is left. The attribute ``minsize`` of
    the function tells LLVM to keep it small, too.
    """
    for op in reversed(list(function.walk())):
        if op.name == "loop.reduce":
            _roll_reduce(op)
        elif op.name in KERNEL_LOOPS:
            assert op.block is not None
            KERNEL_LOOPS[op.name](LoopBuilder(Builder(op.block, op, op.location)), op)
            op.erase()
    function.attributes = {**function.attributes, "minsize": True}
    return function


def _roll_reduce(op: Operation) -> None:
    """Replace a ``loop.reduce`` by a loop that takes one element per iteration."""
    assert op.block is not None
    s = LoopBuilder(Builder(op.block, op, op.location))
    totals = _totals(s, op)
    body = op.regions[0].block
    loop = s.for_(0, op.operands[0], [value for total in totals for value in total.initial])
    with s.inside(loop) as inner:
        counter, *carried = inner.arguments
        mapping = {body.arguments[0]: counter}
        clone_into(s.builder, [each for each in body if not each.has(Trait.TERMINATOR)], mapping)
        after: list[Value] = []
        for total, value in zip(totals, body.yielded, strict=True):
            before = _first(carried, len(total.initial))
            after += total.take(before, mapping.get(value, value), counter)
        s.yield_(*after)
    left, results = list(loop.results), list[Value]()
    for total in totals:
        results += total.finish(_first(left, len(total.initial)))
    op.replace_with(results)


def _first(values: list[Value], count: int) -> list[Value]:
    """Take so many values off the front of the list."""
    taken = values[:count]
    del values[:count]
    return taken


class _Exact:
    """A combiner of integers or bools: one running result, in a register."""

    def __init__(self, s: LoopBuilder, combiner: str, dtype: DType) -> None:
        self.s = s
        self.combiner = combiner
        self.initial = [s.const(identity(combiner, dtype), dtype)]

    def take(self, before: Sequence[Value], element: Value, counter: Value) -> list[Value]:
        return [self.s.binary(self.combiner, before[0], element)]

    def finish(self, after: Sequence[Value]) -> list[Value]:
        return list(after)


class _Lanes:
    """A combiner of floats: the lanes of the tree, in scratch memory."""

    initial: Final[list[Value]] = []

    def __init__(self, s: LoopBuilder, combiner: str, dtype: DType, hi: Value) -> None:
        self.s = s
        self.combiner = combiner
        self.row = reduce_lanes(dtype)
        count = constant_of(hi)
        self.is_short = count is not None and 0 < count <= self.row
        """Whether no lane takes more than one element; that is then all it holds."""
        lanes = count if self.is_short and count is not None else self.row
        self.lanes = lanes
        self.buffer = s.scratch(BufferType((lanes,), dtype))
        if not self.is_short:
            self._fill(s.const(identity(combiner, dtype), dtype))

    def _fill(self, value: Value) -> None:
        loop = self.s.for_(0, self.lanes)
        with self.s.inside(loop) as body:
            self.s.store(value, self.buffer, Affine.of(body.arguments[0]))
            self.s.yield_()

    def take(self, before: Sequence[Value], element: Value, counter: Value) -> list[Value]:
        s = self.s
        if self.is_short:
            s.store(element, self.buffer, Affine.of(counter))
            return []
        lane = Affine.of(s.binary("and", counter, s.const(self.row - 1, index)))
        s.store(self.combined(s.load(self.buffer, lane), element), self.buffer, lane)
        return []

    def combined(self, before: Value, element: Value) -> Value:
        return self.s.binary(self.combiner, before, element)

    def finish(self, after: Sequence[Value]) -> list[Value]:
        """The lanes combined by halving: lane l takes lane l + half, as far as there is one."""
        s = self.s
        rounds = (self.lanes - 1).bit_length()
        loop = s.for_(0, rounds, [s.const(1 << rounds >> 1, index)])
        with s.inside(loop) as body:
            half = body.arguments[1]
            live = s.binary("min", s.const(self.lanes, index), s.add(half, half))
            pairs = s.for_(0, s.sub(live, half))
            with s.inside(pairs) as pair:
                lane = Affine.of(pair.arguments[0])
                low, high = s.load(self.buffer, lane), s.load(self.buffer, lane + Affine.of(half))
                s.store(s.binary(self.combiner, low, high), self.buffer, lane)
                s.yield_()
            s.yield_(s.binary("shr", half, s.const(1, index)))
        return [s.load(self.buffer, Affine())]


class _LanesOfExtremes(_Lanes):
    """The values of argmax and argmin, of which a lane keeps the first extreme one."""

    def combined(self, before: Value, element: Value) -> Value:
        beyond = is_beyond(self.s, self.combiner, element, before)
        return self.s.select(beyond, element, before)


class _Position:
    """argmax and argmin: the first extreme element and its place.

    Of zeros and NaNs the tree may give another one as the value, so it is asked where the value
    is used.
    """

    def __init__(
        self, s: LoopBuilder, combiner: str, dtype: DType, values: _LanesOfExtremes | None
    ) -> None:
        self.s = s
        self.extreme = combiner.removeprefix("arg")
        self.values = values
        self.initial = [s.const(identity(combiner, dtype), dtype), s.const(0, index)]

    def take(self, before: Sequence[Value], element: Value, counter: Value) -> list[Value]:
        s, (value, place) = self.s, before
        if self.values is not None:
            self.values.take((), element, counter)
        beyond = is_beyond(s, self.extreme, element, value)
        return [s.select(beyond, element, value), s.select(beyond, counter, place)]

    def finish(self, after: Sequence[Value]) -> list[Value]:
        value, place = after
        return [value if self.values is None else self.values.finish(())[0], place]


_Total = _Exact | _Lanes | _Position


def _totals(s: LoopBuilder, op: Operation) -> list[_Total]:
    """What the reduction keeps of each value that its region yields."""
    results = list(op.results)
    totals: list[_Total] = []
    for combiner, value in zip(
        op.attributes["combiners"], op.regions[0].block.yielded, strict=True
    ):
        is_positional = combiner in ARG_COMBINERS
        extreme, *_ = _first(results, 1 + is_positional)
        totals.append(_total(s, combiner, value.type.dtype, op.operands[0], extreme))
    return totals


def _total(s: LoopBuilder, combiner: str, dtype: DType, hi: Value, result: Value) -> _Total:
    if combiner in ARG_COMBINERS:
        wanted = dtype.is_float and bool(result.uses)
        extreme = combiner.removeprefix("arg")
        return _Position(
            s, combiner, dtype, _LanesOfExtremes(s, extreme, dtype, hi) if wanted else None
        )
    return _Lanes(s, combiner, dtype, hi) if dtype.is_float else _Exact(s, combiner, dtype)
