"""Rewrites reductions until each reduces one run of axes, the form that has loops.

A reduction over several runs of axes, such as 0 and 2 of three, becomes one reduction per run, the
last run first. ``argmax`` and its like find positions along the last axis only; another axis is
moved there. This fixes the order of summation of every reduction (numerics.md, 4).
"""

from __future__ import annotations

from typing import Final

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.forms import TENSOR, Form
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.iteration import reduced_axes, reduced_runs, reduction_space

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
    for block in function.programs():
        for op in block:
            if op.has(Trait.REDUCTION):
                _split(op)
    return function


def _split(op: Operation) -> None:
    if reduction_space(op) is None:
        split = _along_last_axis if "axis" in op.attributes else _run_by_run
        op.replace_with([split(op)])


def _before(op: Operation) -> Builder:
    assert op.block is not None
    return Builder(op.block, op, op.location)


def _run_by_run(op: Operation) -> Value:
    value, remaining = op.operands[0], list(reduced_axes(op))
    builder = _before(op)
    for run in reversed(reduced_runs(tensor_type(value).shape, reduced_axes(op))):
        axes = tuple(axis for axis in remaining if axis >= run[0])
        remaining = remaining[: len(remaining) - len(axes)]
        value = builder.create(op.definition, [value], {"axes": axes}).result
    if remaining:
        value = builder.create(op.definition, [value], {"axes": tuple(remaining)}).result
    return value


def _along_last_axis(op: Operation) -> Value:
    axis, last = op.attributes["axis"], tensor_type(op.operands[0]).rank - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    builder = _before(op)
    moved = GraphEmitter(builder).transpose(op.operands[0], order)
    return builder.create(op.definition, [moved], {"axis": last}).result
