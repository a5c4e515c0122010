"""Rewrites reductions until each reduces one run of axes, the form that has loops.

A reduction over several runs of axes, such as 0 and 2 of three, becomes one reduction per run, the
last run first. ``argmax`` and its like find positions along the last axis only; another axis is
moved there. This fixes the order of summation of every reduction (numerics.md, 4).

Two runs are one where there is one element of what stands between them. Where only a call tells
whether that is so, and the order shows, both orders stand in the program, and the call chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ir.dims import ranges_of
from nets.ir.sizes import Ranges
from nets.ir.types import Shape, i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.forms import TENSOR, Form
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.iteration import (
    Axes,
    may_be_one,
    order_shows,
    reduced_axes,
    reduced_runs,
    reduction_space,
)

Total = Callable[[Builder, Value], Value]
"""Writes the total of a value where the builder stands."""

ONE_RUN: Final = Form(
    "ONE_RUN",
    "reductions over one run of axes each, of positions the last",
    lambda op: not op.has(Trait.REDUCTION) or reduction_space(op) is not None,
)


@register_pass("split_reductions", requires=(TENSOR,), ensures=(ONE_RUN,))
def split_reductions(function: Function, options: Options) -> Function:
    """Split reductions over several runs of axes.

    Requires: the tensor dialect.
    Ensures: ``reduction_space`` knows every reduction.
    """
    ranges = ranges_of(function)
    for block in function.programs():
        for op in block:
            if op.has(Trait.REDUCTION):
                _split(op, ranges)
    return function


def _split(op: Operation, ranges: Ranges) -> None:
    if reduction_space(op) is not None:
        return
    builder = _before(op)
    if "axis" in op.attributes:
        op.replace_with([_along_last_axis(op, builder)])
    else:
        op.replace_with([_Splitting(op, ranges).total(builder, op.operands[0], ())])


def _before(op: Operation) -> Builder:
    assert op.block is not None
    return Builder(op.block, op, op.location)


def _along_last_axis(op: Operation, builder: Builder) -> Value:
    axis, last = op.attributes["axis"], tensor_type(op.operands[0]).rank - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    moved = GraphEmitter(builder).transpose(op.operands[0], order)
    return builder.create(op.definition, [moved], {"axis": last}).result


def _region(builder: Builder, value: Value, total: Total) -> Region:
    """A region that takes the value and yields its total."""
    block = Block([value.type])
    inner = Builder(block, None, builder.location)
    inner.create(lookup("yield"), [total(inner, block.arguments[0])])
    return Region(block)


class _Splitting:
    """One reduction over several runs of axes, of a tensor that keeps its number of axes."""

    def __init__(self, op: Operation, ranges: Ranges) -> None:
        self.op = op
        self.axes = reduced_axes(op)
        self.ranges = ranges

    def total(self, builder: Builder, value: Value, apart: Axes) -> Value:
        """The reduction of the value, which has more than one element along the axes ``apart``, or
        none."""
        for gap in self._gaps(tensor_type(value).shape):
            if not set(gap) & set(apart):
                return self._of_one_or_more(builder, value, gap, apart)
        return self._run_by_run(builder, value)

    def _of_one_or_more(self, builder: Builder, value: Value, gap: Axes, apart: Axes) -> Value:
        """A choice: the total for one element along the axes of the gap, and that for others."""
        shape = tensor_type(value).shape
        b = GraphEmitter(builder)
        number = b.emit("size_of", size=math.prod(shape[axis] for axis in gap), dtype=i64)
        is_one = b.compare("equal", number, b.constant(1, i64))
        regions = (
            _region(builder, value, lambda inner, x: self._closed(inner, x, gap, apart)),
            _region(builder, value, lambda inner, x: self.total(inner, x, (*apart, *gap))),
        )
        return builder.create(lookup("cond"), (is_one, value), {}, regions).result

    def _closed(self, builder: Builder, value: Value, gap: Axes, apart: Axes) -> Value:
        """The total of a value that has one element along the axes of the gap."""
        b, shape = GraphEmitter(builder), tensor_type(value).shape
        one = b.reshape(value, tuple(1 if i in gap else size for i, size in enumerate(shape)))
        found = self.total(builder, one, apart)
        return b.reshape(found, tuple(n for i, n in enumerate(shape) if i not in self.axes))

    def _run_by_run(self, builder: Builder, value: Value) -> Value:
        remaining = list(self.axes)
        for run in reversed(reduced_runs(tensor_type(value).shape, self.axes)):
            axes = tuple(axis for axis in remaining if axis >= run[0])
            remaining = remaining[: len(remaining) - len(axes)]
            value = builder.create(self.op.definition, [value], {"axes": axes}).result
        if remaining:
            axes = tuple(remaining)
            value = builder.create(self.op.definition, [value], {"axes": axes}).result
        return value

    def _gaps(self, shape: Shape) -> list[Axes]:
        """The kept axes between two runs each, where a call may have one element along them, so
        that the runs are one and a total has other bits."""
        runs = reduced_runs(shape, self.axes) if order_shows(self.op) else []
        gaps = [
            tuple(axis for axis in range(first[-1] + 1, second[0]) if shape[axis] != 1)
            for first, second in pairwise(runs)
        ]
        return [gap for gap in gaps if may_be_one((shape[axis] for axis in gap), self.ranges)]
