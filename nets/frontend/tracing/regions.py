"""Regions: functions of loops and branches that were traced, as regions of one operation.

What a body captured becomes an operand of the operation. What it changes outside itself (the state
of a random generator, elements of tensors, gradients) is carried from step to step beside what the
user carries, and belongs to the trace around it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nets.errors import MutatedArgumentError, NetsError
from nets.frontend.tensor.dispatch import apply
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.scope import Scope, current_scope
from nets.frontend.tensor.state import Place, bound_value, hand_over
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import is_grad_enabled
from nets.frontend.tracing.nested import adopt
from nets.frontend.tracing.program import Program
from nets.ir.core import Operation, Region, Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.checkpointed import checkpointed

_CARRIED: Final = "is_carried"
"""The attribute of classes of tensors that branches carry along, too: the state of generators."""

_REFUSAL: Final = (
    "the function of {} changed in place a tensor that was made outside, or its gradient; a branch "
    "that stays one cannot: return what is new instead"
)


def emit_control(
    name: str,
    operands: Sequence[Tensor],
    attributes: dict[str, Any],
    programs: Sequence[Program],
    free: int = 0,
    checkpoints: int | None = None,
) -> list[Tensor]:
    """The operation over the bodies of these programs, in the current scope; its results.

    With ``checkpoints`` it is a loop that reverse mode stores so many states of.

    ``free`` operands come first that no body takes. Tensors from outside that a body changes are
    further carries, or results of a branch, behind those that the user gave.
    """
    scope = current_scope()
    assert scope is not None
    changed = _changed(name, programs)
    carries = attributes.get("carries", 0)
    values = [_bound(scope, x) for x in operands]
    first = free + carries
    values[first:first] = [_bound(scope, place) for place in changed]
    bodies = [_Body(scope, program, carries, changed) for program in programs]
    bodies[0].is_condition = name == "while"
    shared = list(dict.fromkeys(value for body in bodies for value in body.shared))
    regions = [body.region(shared) for body in bodies]
    if "carries" in attributes:
        attributes = {**attributes, "carries": carries + len(changed)}
    scope.emitter.builder.location = user_location()
    op = scope.emitter.builder.create(lookup(name), [*values, *shared], attributes, regions)
    if checkpoints is not None:
        op = checkpointed(op, checkpoints)
    end = carries + len(changed)
    for place, value in zip(changed, op.results[carries:end], strict=True):
        hand_over(scope, place, value)
    for program in programs:
        adopt(scope, program)
    results = [tensor_of(value) for value in (*op.results[:carries], *op.results[end:])]
    if not is_grad_enabled():
        results = [apply("stop_gradient", x) if x.type.dtype.is_float else x for x in results]
    return results


def _changed(name: str, programs: Sequence[Program]) -> list[Place]:
    """The tensors and gradients from outside that the bodies change, each once."""
    found: dict[int, Place] = {}
    for program in programs:
        for place, _ in program.updates:
            if not _may_change(name, place):
                raise MutatedArgumentError(_REFUSAL.format(program.function.name), user_location())
            found[id(place)] = place
    return list(found.values())


def _may_change(name: str, place: Place) -> bool:
    """Branches carry the state of generators along, functions with rules nothing, the rest all."""
    if name in ("custom_jvp", "custom_vjp", "underived"):
        return False
    return name != "cond" or is_carried(place)


def is_carried(place: Place) -> bool:
    """Is it the state of a generator, which branches carry as loops do every tensor?"""
    return getattr(type(place), _CARRIED, False)


def _bound(scope: Scope, source: Place) -> Value:
    """What stands in the scope for a tensor that a body takes or captured."""
    try:
        return bound_value(scope, source)
    except NetsError as error:
        error.location = error.location or user_location()
        raise


class _Body:
    """The function of a program on its way to a region.

    Its arguments are the carries, the tensors that are ``changed``, the slices and what is the
    same in every step; it yields in the same order.
    """

    def __init__(
        self, scope: Scope, program: Program, carries: int, changed: Sequence[Place]
    ) -> None:
        self.block = program.function.body
        self.carries = carries
        self.changed = changed
        inputs = len(program.inputs)
        self.inputs = self.block.arguments[:inputs]
        taken = {id(place) for place in changed}
        captured = list(zip(program.captures, self.block.arguments[inputs:], strict=True))
        self.own = {id(x): argument for x, argument in captured if id(x) in taken}
        self.shared: dict[Value, Value] = {}
        for source, argument in captured:
            if id(source) in taken:
                continue
            known = self.shared.setdefault(_bound(scope, source), argument)
            if known is not argument:
                argument.replace_uses(known)
        self.is_condition = False
        self.results = program.tree.leaf_count
        self.updates = {id(place): number for place, number in program.updates}

    def region(self, shared: Sequence[Value]) -> Region:
        """The region that takes what the inputs and everything in ``shared`` stand for."""
        block, inputs = self.block, self.inputs
        state = [self.own.get(id(x)) or self._argument(value_of(x)) for x in self.changed]
        rest = [self.shared.get(x) or self._argument(x) for x in shared]
        block.set_arguments([*inputs[: self.carries], *state, *inputs[self.carries :], *rest])
        self._end(state)
        return Region(block)

    def _argument(self, value: Value) -> Value:
        return Value(tensor_type(value), self.block, 0, value.hint)

    def _end(self, state: Sequence[Value]) -> None:
        end = self.block.terminator
        assert end is not None
        given = list(end.operands)
        end.erase()
        numbers = [self.updates.get(id(x)) for x in self.changed]
        new = [x if n is None else given[n] for x, n in zip(state, numbers, strict=True)]
        yielded = given[: self.results]
        if not self.is_condition:
            yielded[self.carries : self.carries] = new
        self.block.append(Operation(lookup("yield"), yielded, ()))
