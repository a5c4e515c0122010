"""vjp: reverse-mode derivatives, as IR like any other.

One sweep over the operations in reverse order keeps a dictionary Value → cotangent (``ct``). A
value that is not in it has the cotangent zero; zeros are never built. Only values that depend on
the wanted ones are visited. The rules are those of the op classes, and they build with an Emitter,
so the same sweep differentiates a function of IR and a chain of eager operations.

Cotangents have the type of their value, and only floating-point values carry one. The order in
which contributions add up is that of the program text, hence the same on every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from nets.errors import GradientError, NetsError
from nets.ir.builder import Builder
from nets.ir.clone import Mapping, body_without_terminator, clone_into
from nets.ir.core import Attributes, Block, Function, Operation, Trait, Value
from nets.ir.estimates import elements_about
from nets.ir.types import TensorType
from nets.ops.definition.emitter import Emitter, GraphEmitter
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.activity import Step, accumulate, carries_cotangent, dependents
from nets.passes.derivatives.control_rules import pull_back_control
from nets.passes.simplify.sources import drop_unused

__all__ = ["carries_cotangent", "pull_back", "split_vjp", "value_and_vjp", "vjp"]

LONG: Final = 400
"""Operations from which on a half is looked through for unrolled loops."""


class Differentiable(Protocol):
    """What the sweep asks of an op definition (see ``nets.ops.definition.registry.OpDef``)."""

    @property
    def derivative_reason(self) -> str | None: ...

    def vjp(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        attributes: Attributes,
        wanted: Sequence[bool],
    ) -> list[Value | None]: ...


def pull_back(
    b: Emitter, steps: Sequence[Step], cts: dict[Value, Value], wanted: Iterable[Value]
) -> None:
    """Extend ``cts`` from the results of ``steps`` (in execution order) to the wanted values.

    Afterwards ``cts`` holds the cotangent of every value on the way; a wanted value that is not
    in it has the cotangent zero. GradientError, at the user's line, where the way leads through
    an operation that has no derivative.
    """
    active = dependents(steps, wanted)
    for step in reversed(steps):
        incoming = [cts.get(r) if r in active else None for r in step.results]
        if any(ct is not None for ct in incoming):
            _pull_back_step(b, step, incoming, cts, active)


def _pull_back_step(
    b: Emitter,
    step: Step,
    incoming: list[Value | None],
    cts: dict[Value, Value],
    active: set[Value],
) -> None:
    definition = cast(Differentiable, step.definition)
    reason = definition.derivative_reason
    if reason is not None:
        raise GradientError(
            f"{step.definition.name} has no derivative: {reason}. Wrap its operand in "
            "nets.stop_gradient to treat the result as a constant.",
            step.location,
        )
    b.derive(step.definition.name, step.location)
    wanted = [operand in active for operand in step.operands]
    try:
        if isinstance(step, Operation) and step.has(Trait.CONTROL | Trait.RULED):
            assert isinstance(b, GraphEmitter)
            found = pull_back_control(b, step, incoming, wanted, pull_back, cts)
        else:
            found = definition.vjp(
                b, step.operands, step.results, incoming, step.attributes, wanted
            )
    except NetsError as error:
        error.location = error.location or step.location
        raise
    for operand, ct in zip(step.operands, found, strict=True):
        if ct is not None and operand in active:
            accumulate(b, cts, operand, ct)


# ---------------------------------------------------------------------- functions of IR


def vjp(function: Function, wrt: Sequence[int]) -> Function:
    """The function (arguments…, ct of each result) → (ct of each argument in ``wrt``).

    A ct argument has the type of its result; those of integer and bool results are ignored.
    GradientError where an argument of ``wrt`` is not floating-point.

    Requires: tensor dialect, not fused. Ensures: tensor dialect, a new function ``NAME_vjp``.
    """
    derivative, _ = _differentiate(function, wrt, f"{function.name}_vjp")
    return derivative


def value_and_vjp(function: Function, wrt: Sequence[int]) -> Function:
    """Like ``vjp``, named ``NAME_value_and_vjp``; the results come first, then the gradients."""
    derivative, results = _differentiate(function, wrt, f"{function.name}_value_and_vjp")
    end = derivative.body.terminator
    assert end is not None
    end.set_operands((*results, *end.operands))
    return derivative


def _differentiate(
    function: Function, wrt: Sequence[int], name: str
) -> tuple[Function, list[Value]]:
    """The function with gradients as its results, and its values of the primal results."""
    _check_wrt(function, wrt)
    primal = [argument.type for argument in function.arguments]
    hints = [argument.hint for argument in function.arguments]
    types = [value.type for value in function.returned]
    derivative = Function(
        name, [*primal, *types], [*hints, *_ct_hints(len(types))], function.attributes
    )
    b = GraphEmitter(Builder(derivative.body))
    arguments = derivative.arguments[: len(primal)]
    mapping: Mapping = dict(zip(function.arguments, arguments, strict=True))
    clone_into(b.builder, body_without_terminator(function), mapping)
    results = [mapping[value] for value in function.returned]
    gradients = _gradients(
        b, list(derivative.body), results, derivative.arguments[len(primal) :], arguments, wrt
    )
    b.builder.create(lookup("return"), gradients)
    return derivative, results


def _check_wrt(function: Function, wrt: Sequence[int]) -> None:
    for position in wrt:
        argument = function.arguments[position]
        if not carries_cotangent(argument.type):
            raise GradientError(
                f"argument {argument.hint or position} of {function.name} is a {argument.type}: "
                "only floating-point arguments have gradients"
            )


def _ct_hints(count: int) -> list[str]:
    return ["ct"] if count == 1 else [f"ct_{i}" for i in range(count)]


def _gradients(
    b: GraphEmitter,
    operations: Sequence[Operation],
    results: Sequence[Value],
    seeds: Sequence[Value],
    arguments: Sequence[Value],
    wrt: Sequence[int],
) -> list[Value]:
    """Cotangents of the arguments in ``wrt``, zeros where the results do not depend on them."""
    cts: dict[Value, Value] = {}
    for result, seed in zip(results, seeds, strict=True):
        if carries_cotangent(result.type):
            accumulate(b, cts, result, seed)
    wanted = [arguments[position] for position in wrt]
    pull_back(b, operations, cts, wanted)
    b.builder.location = None
    return [cts[value] if value in cts else b.zero(value) for value in wanted]


# ------------------------------------------------------------------- forward and backward


@dataclass(frozen=True, slots=True)
class SplitVjp:
    """A function cut in two halves that are compiled and called one after the other.

    ``forward``: arguments → results, then residuals nobody else keeps.
    ``backward``: residuals, then the ct of each result → the ct of each argument in ``wrt``.
    ``residuals``: where the caller finds each residual: ("argument", i) or ("result", i) of
    ``forward``.
    """

    forward: Function
    backward: Function
    residuals: tuple[tuple[str, int], ...]


def split_vjp(function: Function, wrt: Sequence[int]) -> SplitVjp:
    """Both halves of a gradient, for a caller that wants the results first and cts later.

    A value that is no larger than what it is copied from, or a constant, is made again by the
    backward half rather than kept.

    Requires: tensor dialect, not fused. Ensures: tensor dialect, new functions ``NAME_forward``
    and ``NAME_backward``.
    """
    _check_wrt(function, wrt)
    types = [argument.type for argument in function.arguments]
    hints = [argument.hint for argument in function.arguments]
    forward = Function(f"{function.name}_forward", types, hints, function.attributes)
    builder = Builder(forward.body)
    mapping: Mapping = dict(zip(function.arguments, forward.arguments, strict=True))
    clone_into(builder, body_without_terminator(function), mapping)
    results = [mapping[value] for value in function.returned]
    end = builder.create(lookup("return"), results)
    *ops, _ = forward.body

    # The backward half is first written with values of the forward half as operands.
    seeds = Function("", [v.type for v in results], _ct_hints(len(results)))
    b = GraphEmitter(Builder(seeds.body))
    gradients = _gradients(b, ops, results, seeds.arguments, forward.arguments, wrt)
    b.builder.create(lookup("return"), gradients)
    drop_unused(seeds.body)
    _roll(forward.body, seeds.body)

    kept, again = _residuals(forward, seeds)
    known = {*forward.arguments, *end.operands}
    end.set_operands([*end.operands, *(v for v in kept if v not in known)])
    sources = _sources(forward.arguments, end.operands)
    residuals = tuple(sources[value] for value in kept)
    backward = _with_residuals(f"{function.name}_backward", seeds, kept, again)
    backward.attributes.update(function.attributes)
    return SplitVjp(forward, backward, residuals)


def _roll(*blocks: Block) -> None:
    """Turn unrolled loops of long programs into loops, so that what they keep for the way back is
    a few stacks."""
    if any(len(block) > LONG for block in blocks):
        # Imported here, for the derivatives of most programs need no other pass.
        from nets.passes.simplify.reroll import roll

        for block in blocks:
            roll(block)


def _residuals(forward: Function, backward: Function) -> tuple[list[Value], list[Operation]]:
    """Values the backward half takes from the forward one, and operations it does again."""
    here = set(backward.arguments)
    needed: set[Value] = set()
    again: set[Operation] = set()
    for op in backward.body:
        needed.update(operand for operand in op.operands if operand not in here)
        here.update(op.results)
    pending = list(needed - here)
    while pending:
        maker = pending.pop().operation
        if maker is None or maker in again or not _is_cheaper_again(maker):
            continue
        again.add(maker)
        pending.extend(operand for operand in maker.operands if operand not in needed)
        needed.update(maker.operands)
    made = {result for op in again for result in op.results}
    in_order = [*forward.arguments, *(r for op in forward.body for r in op.results)]
    kept = [value for value in in_order if value in needed and value not in made]
    return kept, [op for op in forward.body if op in again]


def _is_cheaper_again(op: Operation) -> bool:
    if not op.has(Trait.PURE) or not op.has(Trait.CONSTANT | Trait.INDEXING):
        return False
    return sum(_size(v) for v in op.operands) <= sum(_size(v) for v in op.results)


def _size(value: Value) -> int:
    return elements_about(value.type) if isinstance(value.type, TensorType) else 0


def _sources(arguments: Sequence[Value], returned: Sequence[Value]) -> dict[Value, tuple[str, int]]:
    found = {value: ("result", i) for i, value in reversed(list(enumerate(returned)))}
    return found | {value: ("argument", i) for i, value in enumerate(arguments)}


def _with_residuals(
    name: str, seeds: Function, kept: Sequence[Value], again: Sequence[Operation]
) -> Function:
    """The backward half with arguments for what it took from the forward one."""
    arguments = [*kept, *seeds.arguments]
    hints = [value.hint if value.operation is None else "" for value in arguments]
    backward = Function(name, [value.type for value in arguments], hints)
    mapping: Mapping = dict(zip(arguments, backward.arguments, strict=True))
    builder = Builder(backward.body)
    clone_into(builder, again, mapping)
    clone_into(builder, seeds.body, mapping)
    for copied in reversed(seeds.body):  # so that the forward half is not used from outside
        copied.erase()
    return backward
