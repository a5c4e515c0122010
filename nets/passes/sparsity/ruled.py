"""Footprints through functions whose derivative the user gives: those of the rule.

What a rule makes of tangents is linear in them, so a result depends on what the tangents depend on
that its own tangent is made of; likewise the other way round for cotangents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nets.ir.core import Operation
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.sparsity.follow import Follow
from nets.passes.sparsity.footprint import Footprint, identity


def by_tangents(outer: Follow, op: Operation, operands: Sequence[Footprint]) -> Sequence[Footprint]:
    """The results of an operation with a rule for tangents."""
    count = op.attributes["inputs"]
    moved = [
        x.dependence()
        for x, value in zip(operands[:count], op.operands, strict=False)
        if carries_cotangent(value.type)
    ]
    fixed = [outer.silent(x) for x in operands]
    block = op.regions[1].block
    made = outer.within().run(block, [*fixed[:count], *moved, *fixed[count:]])
    tangents = iter(made[len(op.results) :])
    return [
        next(tangents) if carries_cotangent(value.type) else x
        for value, x in zip(op.results, made, strict=False)
    ]


def by_cotangents(
    outer: Follow, op: Operation, operands: Sequence[Footprint]
) -> Sequence[Footprint]:
    """The results of an operation with a rule for cotangents, by that rule in each step alike."""
    block, count = op.regions[2].block, op.attributes["inputs"]
    smooth = [x for x in op.results if carries_cotangent(x.type)]
    own = [
        x for x, y in zip(operands[:count], op.operands, strict=False) if carries_cotangent(y.type)
    ]
    first = len(block.arguments) - len(smooth) - (len(operands) - count)
    found = []
    for value in op.results:
        if value not in smooth:
            found.append(outer.none(tensor_type(value).static_shape))
            continue
        place = first + smooth.index(value)
        shapes = [tensor_type(x).static_shape for x in block.arguments]
        columns = math.prod(shapes[place])
        rule = outer.within(columns)
        arguments = [rule.none(shape) for shape in shapes]
        arguments[place] = identity(shapes[place])
        made = rule.run(block, arguments)
        found.append(
            outer.none(shapes[place]).united(
                *(_turned(x, y, shapes[place]) for x, y in zip(own, made, strict=True))
            )
        )
    return found


def _turned(x: Footprint, rule: Footprint, shape: tuple[int, ...]) -> Footprint:
    """Of a result of that shape, by an operand, for the footprint of the latter's cotangent."""
    places, targets = np.divmod(rule.all_numbers(), max(rule.columns, 1))
    return x.linked(shape, targets, places)
