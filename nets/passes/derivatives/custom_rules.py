"""Custom rules: what the passes here make of functions whose derivative the user gives.

A rule is a linear function beside values that it needs. For the mode it is written for it is put in
place as it is. For the other one it is written out for some tangents or cotangents, zeros, and
pulled back to these: of what is linear, the pull-back does not depend on them. So a rule holds in
both modes, and at every order that its own operations have a derivative for.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import GradientError
from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_function, clone_into
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.dissolve import dissolve_all
from nets.ops.definition.emitter import GraphEmitter
from nets.passes.derivatives.activity import PullBack, accumulate, carries_cotangent
from nets.passes.simplify.effects import drop_effects

Some = Sequence[Value | None]
"""Tangents or cotangents; None stands for zero."""


def without_rules(function: Function) -> Function:
    """A copy of the function with the operations of such functions in their place."""
    copy = clone_function(function)
    dissolve_all(copy, Trait.RULED)
    return copy


def pull_back_ruled(
    b: GraphEmitter, op: Operation, cts: Some, wanted: Sequence[bool], pull_back: PullBack
) -> list[Value | None]:
    """The cotangents of the wanted operands; None for zero or not wanted."""
    _refuse_underived(op)
    inputs = op.attributes["inputs"]
    _refuse_free(op, wanted[inputs:])
    rule = _vjp_of_jvp if op.name == "custom_jvp" else _vjp_of_vjp
    found = iter(rule(b, op, cts, pull_back))
    own = [next(found) if carries_cotangent(x.type) else None for x in op.operands[:inputs]]
    return [*own, *(None for _ in op.operands[inputs:])]


def push_ruled(
    b: GraphEmitter,
    op: Operation,
    operands: Sequence[Value],
    tangents: Some,
    pull_back: PullBack,
) -> tuple[Sequence[Value], Sequence[Value | None]]:
    """The results for these operands, and a tangent of each floating-point one."""
    _refuse_underived(op)
    inputs = op.attributes["inputs"]
    _refuse_free(op, [x is not None for x in tangents[inputs:]])
    own, free = operands[:inputs], operands[inputs:]
    moved = [
        tangent or b.zero(x)
        for x, tangent in zip(own, tangents[:inputs], strict=True)
        if carries_cotangent(x.type)
    ]
    if op.name == "custom_jvp":
        steps, given = _written(b, op.regions[1].block, (*own, *moved, *free))
        return given[: len(op.results)], given[len(op.results) :]
    _, given = _written(b, op.regions[1].block, operands)
    results, kept = given[: len(op.results)], given[len(op.results) :]
    seeds = [b.zero(x) for x in results if carries_cotangent(x.type)]
    steps, gradients = _written(b, op.regions[2].block, (*kept, *seeds, *free))
    return results, _transposed(b, op, steps, gradients, moved, seeds, pull_back)


def _vjp_of_vjp(
    b: GraphEmitter, op: Operation, cts: Some, pull_back: PullBack
) -> Sequence[Value | None]:
    """Values that the rule keeps and the function has anyway are taken from there; the others are
    computed again."""
    free = op.operands[op.attributes["inputs"] :]
    forward = op.regions[1].block
    count = len(op.results)
    known: Mapping = dict(zip(forward.arguments, op.operands, strict=True))
    known |= zip(forward.yielded[:count], op.results, strict=True)
    residuals = forward.yielded[count:]
    if any(x not in known for x in residuals):
        _, given = _written(b, forward, op.operands)
        known |= zip(residuals, given[count:], strict=True)
    kept = [known[x] for x in residuals]
    _, found = _written(b, op.regions[2].block, (*kept, *_filled(b, op, cts), *free))
    return found


def _vjp_of_jvp(
    b: GraphEmitter, op: Operation, cts: Some, pull_back: PullBack
) -> Sequence[Value | None]:
    inputs = op.attributes["inputs"]
    own, free = op.operands[:inputs], op.operands[inputs:]
    seeds = [b.zero(x) for x in own if carries_cotangent(x.type)]
    steps, given = _written(b, op.regions[1].block, (*own, *seeds, *free))
    tangents = given[len(op.results) :]
    incoming = [ct for x, ct in zip(op.results, cts, strict=True) if carries_cotangent(x.type)]
    return _transposed(b, op, steps, tangents, incoming, seeds, pull_back)


def _filled(b: GraphEmitter, op: Operation, cts: Some) -> list[Value]:
    pairs = zip(op.results, cts, strict=True)
    return [ct or b.zero(x) for x, ct in pairs if carries_cotangent(x.type)]


def _written(
    b: GraphEmitter, block: Block, arguments: Sequence[Value]
) -> tuple[list[Operation], list[Value]]:
    """The operations of a region, inserted for these arguments, and what it yields."""
    mapping: Mapping = dict(zip(block.arguments, arguments, strict=True))
    *steps, end = block
    draft = Block()
    clone_into(Builder(draft), steps, mapping)
    drop_effects(draft)
    made = list(draft)
    for op in made:
        draft.remove(op)
        b.builder.block.insert(op, b.builder.before)
    return made, [mapping.get(x, x) for x in end.operands]


def _transposed(
    b: GraphEmitter,
    op: Operation,
    steps: Sequence[Operation],
    outputs: Sequence[Value],
    cts: Some,
    seeds: Sequence[Value],
    pull_back: PullBack,
) -> list[Value | None]:
    """What these cotangents of a linear function, written out for the seeds, are to the seeds."""
    found: dict[Value, Value] = {}
    for output, ct in zip(outputs, cts, strict=True):
        if ct is not None:
            accumulate(b, found, output, ct)
    pull_back(b, steps, found, seeds)
    results = [found.get(seed) for seed in seeds]
    _refuse_nonlinear(op, [x for x in results if x is not None], seeds)
    return results


def _refuse_nonlinear(op: Operation, values: Sequence[Value], seeds: Sequence[Value]) -> None:
    """GradientError where a pull-back depends on the point it was written out for."""
    apart = set(seeds)
    pending, seen = list(values), set[Value]()
    while pending:
        value = pending.pop()
        if value in apart:
            raise GradientError(
                f"the rule of {op.name} is not linear in what it is given: a tangent of a result "
                "is a sum of tangents times what does not depend on them",
                op.location,
            )
        if value not in seen:
            seen.add(value)
            pending += [] if value.operation is None else value.operation.operands


def _refuse_underived(op: Operation) -> None:
    if op.name == "underived":
        raise GradientError(
            "a function with a derivative of its own is differentiated more often than where it "
            "was traced: take all derivatives by nets.grad and the like, around one another",
            op.location,
        )


def _refuse_free(op: Operation, active: Sequence[bool]) -> None:
    if any(active):
        raise GradientError(
            f"the derivative goes through a value that a function with {op.name} closes over: "
            "its rule tells of its arguments alone, so pass it as one",
            op.location,
        )
