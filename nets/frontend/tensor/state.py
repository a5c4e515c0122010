"""State: what a traced function changes outside itself, and gradients inside a trace.

Tensors that exist before a trace are its captures. Where the traced Python gives one new elements
(``t.data = …``, ``t[k] = …``) or a new gradient (``loss.backward()``, ``t.zero_grad()``,
``t.grad = …``), the compiled function has the new value as a further result, and the call writes it
back. So an imperative training step is one function: parameters, optimiser moments and gradients
in, the same out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from nets.errors import GradientError, ShapeError
from nets.frontend.tensor.scope import CONSUMED, Outside, Scope, current_scope
from nets.frontend.tensor.variable import Array, Variable, is_grad_enabled, variable, zeros_for
from nets.ir.core import Operation, Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.vjp import pull_back

if TYPE_CHECKING:
    from nets.frontend.tensor.tensor import Tensor


class GradientPlace(Outside):
    """The gradient of an eager tensor, read and written like the value of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def at_call(self, found: Sequence[Tensor]) -> GradientPlace:
        """That of the tensor which stands in the slot now, if the tensor is found by one."""
        own: object = self.tensor
        return GradientPlace(found[own.number]) if isinstance(own, Slot) else self

    def now(self) -> Variable:
        own = origin(self.tensor)
        assert own is not None
        return variable(zeros_for(own) if own.gradient is None else own.gradient)


class Slot(Outside):
    """A captured tensor that is found in a place at each call, for each call leaves another."""

    def __init__(self, number: int, tensor: Tensor) -> None:
        self.number = number
        self.tensor = tensor
        """The one that was there while the function was traced."""

    def now(self) -> Value:
        return self.tensor._value


Place: TypeAlias = "Tensor | Outside"
"""What holds an input from outside: a Tensor, a Slot, a GradientPlace of either, an array."""


def at_call(place: Place, found: Sequence[Tensor]) -> Place:
    """The place with the tensor of its slot, if it has one, of those that were found."""
    if isinstance(place, Slot):
        return found[place.number]
    return place.at_call(found) if isinstance(place, GradientPlace) else place


class Update(NamedTuple):
    """After a call: the place that takes the result of that number; None clears a gradient."""

    place: Place
    result: int | None


class Gradients:
    """The gradients of captured tensors in the course of one trace."""

    def __init__(self) -> None:
        self.places: dict[int, GradientPlace] = {}
        self.values: dict[int, Value | None] = {}
        """What was written, by tensor; None where it was cleared."""
        self.ran_backward = False


def gradients_of(scope: Scope) -> Gradients:
    """The gradients of a scope; made when first asked for."""
    if scope.gradients is None:
        scope.gradients = Gradients()
    return scope.gradients


def origin(tensor: Tensor) -> Variable | None:
    """What a captured tensor held before all traces; None for tensors that are not from outside."""
    value, scope = tensor._value, current_scope()
    if isinstance(value, Variable):
        return value
    while scope is not None:
        capture = scope.captures.get(id(tensor))
        if capture is not None and isinstance(capture.value, Variable):
            return capture.value
        scope = scope.outer
    return None


# --------------------------------------------------------------------- inside a trace


def assign(scope: Scope, tensor: Tensor, new: Value) -> None:
    """Give a tensor the value ``new``, cut off from gradients."""
    own = tensor_type(tensor._value)
    if tensor_type(new).shape != own.shape:
        raise ShapeError(
            f"a tensor of shape {own.shape} cannot take data of shape {tensor_type(new).shape}",
            user_location(),
        )
    outside = origin(tensor)
    scope.lift(tensor)  # an update is of a capture
    b = scope.emitter
    value = b.cast(new, own.dtype)
    if outside is not None and outside.requires_grad and own.dtype.is_float:
        tensor._value = b.emit("leaf", value, scope.captures[id(tensor)].argument)
    else:
        tensor._value = b.emit("stop_gradient", value)


def read_gradient(scope: Scope, tensor: Tensor) -> Value | None:
    """The gradient of a captured tensor now; None for a tensor without one."""
    own = origin(tensor)
    if own is None or not own.requires_grad:
        return None
    found = gradients_of(scope)
    if id(tensor) not in found.values:
        place = found.places.setdefault(id(tensor), GradientPlace(_settled(scope, tensor)))
        return scope.lift(place)
    value = found.values[id(tensor)]
    if value is None:
        zeros = zeros_for(own)
        return scope.emitter.full(zeros.shape, 0, variable(zeros).type.dtype)
    return value


def write_gradient(scope: Scope, tensor: Tensor, value: Value | None) -> None:
    """Set the gradient of a captured tensor, or clear it."""
    found = gradients_of(scope)
    found.places.setdefault(id(tensor), GradientPlace(_settled(scope, tensor)))
    found.values[id(tensor)] = value


def _settled(scope: Scope, tensor: Tensor) -> Tensor:
    """The tensor, as a capture of the scope: it is what the gradient is written back to."""
    if isinstance(tensor._value, Variable):
        scope.lift(tensor)
    return tensor


def backward(scope: Scope, tensor: Tensor, seed: Value) -> None:
    """Add the gradients of ``tensor`` to those of the captured tensors that require one.

    The derivative is part of the function being traced. GradientError where no captured tensor
    with a gradient has a part in ``tensor``.
    """
    gradients = gradients_of(scope)
    leaves = dict(_captured_leaves(scope))
    cts = {tensor._value: seed}
    steps = list(scope.function.body)
    scope.emitter.builder.location = user_location()
    pull_back(scope.emitter, steps, cts, list(leaves))
    gradients.ran_backward = True
    reached = [(leaf, owner) for leaf, owner in leaves.items() if leaf in cts]
    if not reached:
        raise GradientError(
            "backward() inside a trace starts at a tensor made from captured tensors that require "
            "a gradient; to differentiate by arguments, use nets.grad or nets.value_and_grad",
            user_location(),
        )
    for leaf, owner in reached:
        ct = averaged(scope, cts[leaf])
        if id(owner) in gradients.values and gradients.values[id(owner)] is None:
            total = ct
        else:
            before = read_gradient(scope, owner)
            assert before is not None
            total = scope.emitter.add(before, ct)
        write_gradient(scope, owner, scope.emitter.emit("stop_gradient", total))


def averaged(scope: Scope, gradient: Value) -> Value:
    """A gradient by what all shards have in common: the mean of those of the shards, where the
    function is one of several."""
    shards = scope.averaged_over
    if shards == 1:
        return gradient
    return scope.emitter.emit("all_reduce", gradient, reduction="mean", shards=shards)


def refuse_history(scope: Scope, values: Iterable[Value]) -> None:
    """GradientError where a value that is kept until the next call depends on captured tensors that
    a gradient is taken by: outside a trace the next backward pass would go on through it."""
    gradients = scope.gradients
    if gradients is None or not gradients.ran_backward:
        return
    leaves = dict(_captured_leaves(scope))
    seen: set[Value] = set()
    pending = [value for value in values if tensor_type(value).dtype.is_float]
    while pending:
        value = pending.pop()
        if value in leaves:
            raise GradientError(
                "a tensor that this function keeps for its next call was computed from tensors "
                "that require a gradient, and would carry the whole history of calls along: keep "
                "x.detach()",
                user_location(),
            )
        made = value.owner
        if value in seen or not isinstance(made, Operation) or made.name == "stop_gradient":
            continue
        seen.add(value)
        pending += [x for x in made.operands if tensor_type(x).dtype.is_float]


def _captured_leaves(scope: Scope) -> Iterator[tuple[Value, Tensor]]:
    for capture in scope.captures.values():
        tensor = capture.tensor
        if isinstance(tensor, Outside):
            continue
        held = origin(tensor)
        if held is not None and held.requires_grad and held.type.dtype.is_float:
            yield capture.argument, tensor


def bound_value(scope: Scope, source: Place) -> Value:
    """What a tensor or gradient that a nested trace captured is in this scope, at this point."""
    if not isinstance(source, GradientPlace):
        return scope.lift(source)
    value = read_gradient(scope, source.tensor)
    return scope.lift(source) if value is None else value


# ------------------------------------------------------------------- around a trace


def finish(scope: Scope, count: int) -> tuple[list[Value], list[Update]]:
    """Further values to return, after ``count``: what the trace changed outside, and where."""
    values: list[Value] = []
    updates: list[Update] = []

    def update(place: Place, value: Value | None) -> None:
        updates.append(Update(place, None if value is None else count + len(values)))
        if value is not None:
            values.append(value)

    for capture in scope.captures.values():
        if not capture.is_derived and capture.tensor._value is not capture.value:
            update(capture.tensor, scope.lift(capture.tensor))
    gradients = scope.gradients or Gradients()
    for key, value in gradients.values.items():
        place = gradients.places[key]
        if value is None and scope.outer is not None:
            value = read_gradient(scope, place.tensor)  # zeros, which the outer trace can bind
        if value is not None:
            scope.lift(place)  # so that it is stored where the old one was
        if value is not None or scope.outer is None:
            update(place, value)
    return values, updates


def hand_over(scope: Scope, place: Place, value: Value) -> None:
    """Give a place what a nested trace left it with, which it has cut off itself where need be."""
    if isinstance(place, GradientPlace):
        write_gradient(scope, place.tensor, value)
        return
    assert not isinstance(place, Outside)
    own = origin(place)
    if not is_grad_enabled() or (own is not None and own.requires_grad):
        assign(scope, place, value)
        return
    scope.lift(place)
    place._value = value


def write_back(
    updates: Sequence[Update], results: Sequence[Array], found: Sequence[Tensor] = ()
) -> None:
    """Give every place its new value.

    ``results``: all results of the call; ``found``: the tensors in the slots.
    """
    # Gradients last: they belong to the variable a tensor holds.
    for place, number in updates:
        if not isinstance(place, GradientPlace):
            assert number is not None
            tensor = at_call(place, found)
            assert not isinstance(tensor, Outside)
            old = tensor._value
            assert isinstance(old, Variable)
            tensor._value = old.successor(results[number])
    for place, number in updates:
        if isinstance(place, GradientPlace):
            own = place.at_call(found).tensor._value
            assert isinstance(own, Variable)
            own.gradient = None if number is None else results[number]


def consume(leaves: Iterable[Any]) -> None:
    """Take the elements of those that are tensors: they were donated to a call."""
    for leaf in leaves:
        if not isinstance(getattr(leaf, "_value", None), Variable):
            continue
        leaf._value = CONSUMED
