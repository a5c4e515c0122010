"""linear_maps: a pull-back transposed, which is the derivative along a direction.

A pull-back is linear in its cotangents, so that its own pull-back does not depend on them.
"""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, body_without_terminator, clone_into
from nets.ir.core import Function
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.derivatives.vjp import vjp
from nets.passes.simplify.sources import drop_unused


def linear_map(backward: Function, residuals: int) -> Function:
    """The function (residuals, tangent of each differentiated argument) → tangent of each
    floating-point result, for the backward half (residuals, ct of each result) → ct of each
    differentiated argument.

    Requires: tensor dialect, not fused, linear in what follows the residuals. Ensures: tensor
    dialect, a new function.
    """
    cts = range(residuals, len(backward.arguments))
    twice = vjp(backward, [i for i in cts if carries_cotangent(backward.arguments[i].type)])
    kept = [*twice.arguments[:residuals], *twice.arguments[len(backward.arguments) :]]
    function = Function(
        f"{backward.name}_transposed", [x.type for x in kept], [x.hint for x in kept]
    )
    function.attributes.update(backward.attributes)
    b = GraphEmitter(Builder(function.body))
    mapping: Mapping = dict(zip(kept, function.arguments, strict=True))
    mapping.update((twice.arguments[i], b.zero(twice.arguments[i])) for i in cts)
    clone_into(b.builder, body_without_terminator(twice), mapping)
    b.builder.create(lookup("return"), [mapping[x] for x in twice.returned])
    drop_unused(function.body)
    return function
