"""Program: a Python function as a function of tensor IR, for one signature.

``stage`` opens a scope, lets Python code run on traced tensors, and closes the function with a
``return``. What fails on the way leaves nothing behind: the scope is popped and the function
dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from nets.communicator import busy
from nets.errors import (
    ControlFlowError,
    MutatedArgumentError,
    NetsError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.pytree import TreeDef, expression, flatten, identifier, unique
from nets.frontend.tensor.conversion import is_scalar
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.scope import NO_DIMS, CallDims, Scope, current_scope, enter
from nets.frontend.tensor.state import (
    GradientPlace,
    Place,
    Slot,
    Update,
    bound_value,
    finish,
    refuse_history,
)
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Variable, enable_grad
from nets.frontend.tracing.signature import Input
from nets.frontend.tracing.spec import short
from nets.frontend.world.guards import Guards
from nets.frontend.world.recipes import Change, Recipe
from nets.frontend.world.slots import NO_SLOTS, Slots
from nets.frontend.world.sources import tried_again
from nets.frontend.world.world import World, alone
from nets.ir.clone import inline
from nets.ir.core import Function, Value
from nets.ir.dims import counts_of, declare
from nets.ir.location import user_location
from nets.ir.sizes import Ranges
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import lookup


@dataclass(frozen=True)
class Program:
    """A traced function and what its arguments and results are.

    The function takes ``inputs``, then ``captures``: the tensors from outside that it used. It
    returns the leaves of ``tree``.
    """

    function: Function
    inputs: tuple[Input, ...]
    captures: tuple[Place, ...]
    tree: TreeDef
    updates: tuple[Update, ...] = ()
    """What a call writes back: results beyond those of ``tree``."""
    fresh: int = 0
    """How many of the last results are new tensors that ``writes`` put somewhere."""
    writes: tuple[Change, ...] = ()
    """What a call puts where, besides elements."""
    slots: Slots = NO_SLOTS
    """Where captured tensors are found that stand where each call puts others."""
    guards: Guards | None = None
    """What must hold of the world; None where nobody asks."""
    objects: tuple[Recipe | None, ...] = ()
    """For leaves of the result that are tensors of the world: which."""
    stored: tuple[Tensor, ...] = ()
    """Tensors that a nested trace put somewhere; their values are the last results."""
    own: tuple[Tensor | None, ...] = ()
    """For leaves of the result of a nested trace: the tensor itself, where it stands somewhere."""
    detached: bool = False
    """Whether it differentiates itself, so that its results take no part in eager gradients."""
    required: tuple[bool, ...] = ()
    """Which captures required a gradient."""

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a result and the argument whose memory may take it: updates of captured tensors,
        and for donated arguments the first result of the same type that is left."""
        first = len(self.inputs)
        numbers = {id(source): first + i for i, source in enumerate(self.captures)}
        pairs = [(r, numbers[id(place)]) for place, r in self.updates if r is not None]
        free = dict(
            enumerate(value.type for value in self.function.returned[: self.tree.leaf_count])
        )
        for number, entry in enumerate(self.inputs):
            result = next((r for r, type in free.items() if type == entry.type), None)
            if entry.donated and result is not None:
                pairs.append((result, number))
                del free[result]
        return tuple(sorted(pairs))

    @property
    def argument_names(self) -> list[str]:
        """Names of the arguments of ``function``, unique."""
        return [argument.hint for argument in self.function.arguments]

    @property
    def result_names(self) -> list[str]:
        """Names of the results: ``out``, ``out_0_w``, or the key of a dict of results."""
        names = []
        for path in self.tree.paths():
            name = identifier("out", path)
            if path and isinstance(path[0].key, str):
                # A key says enough, unless it makes no name.
                name = identifier("", path) or name
            names.append(f"out_{name}" if name[0].isdigit() else name)
        names += ["state"] * (len(self.function.returned) - len(names))
        taken = self.argument_names
        return unique([*taken, *names])[len(taken) :]

    def describe(self) -> dict[str, str]:
        """The type of each argument, by the path a user writes."""
        captured = self.function.arguments[len(self.inputs) :]
        types = {argument.hint: short(tensor_type(argument)) for argument in captured}
        return {entry.path: str(entry) for entry in self.inputs} | types

    def inline(self, arguments: Sequence[Value]) -> list[Value]:
        """The results of the function inserted into the current scope, for these arguments.

        Captured tensors are bound to what they are there.
        """
        scope = current_scope()
        assert scope is not None
        bound = [*arguments, *(bound_value(scope, source) for source in self.captures)]
        return inline(scope.emitter.builder, self.function, bound)


Body = Callable[[list[Tensor]], tuple[Sequence[Value], TreeDef]]
"""Runs in an open scope on the traced arguments; gives the values to return and their nest."""


@alone
@tried_again
def stage(
    name: str,
    inputs: Sequence[Input],
    body: Body,
    roots: Sequence[object] = (),
    once: bool = True,
    guarded: bool = True,
    dims: Ranges | None = None,
) -> Program:
    """The Program of what ``body`` does with traced tensors for ``inputs``.

    ``roots``: the functions and objects whose world the outermost trace meets. ``once``: whether
    the code runs once where the program is called, as the traced Python does, so that it may change
    the world. ``guarded``: whether the program is used again, where its world is the same. Whether
    the caller records gradients makes no difference, for the program is used again. ``dims``: of an
    outermost trace, the dimensions whose sizes a call tells.

    TraceError where it recurses without end, MutatedArgumentError where an argument or, unless
    ``once``, the world is changed; every other error of the body passes through.
    """
    function = Function(name, [i.type for i in inputs], [i.name for i in inputs])
    scope, outer = Scope(function), current_scope()
    world = scope.world = World(roots) if outer is None else _world_of(outer)
    scope.shard = None if outer is None else outer.shard
    scope.dims = outer.dims if outer is not None else CallDims(dims) if dims else NO_DIMS
    tensors = [
        tensor_of(argument, entry.weak)
        for argument, entry in zip(function.arguments, inputs, strict=True)
    ]
    watched = world.watched() if outer is None else nullcontext()
    mark = None if once else world.mark()
    with watched, busy("tracing"), enter(scope), enable_grad():
        world.scopes.append(scope)
        try:
            values, tree = body(tensors)
            if mark is not None:
                world.refuse_changes(mark, name)
            extra, updates = finish(scope, len(values))
            _refuse_mutation(tensors, inputs, function)
            found = _effects(scope, guarded)
        except RecursionError:
            raise _too_deep(name) from None
        except ValueError as error:
            if not isinstance(error.__cause__, ControlFlowError):
                raise
            # NumPy's word for an element that it cannot store; ours says what to write.
            raise error.__cause__.with_traceback(error.__traceback__) from None
        finally:
            scope.restore()
            world.scopes.remove(scope)
        scope.emitter.builder.location = None
        scope.emitter.builder.create(lookup("return"), [*values, *extra, *found.values])
    if dims:
        counts = counts_of(function, dims)
        declare(function, dims, [*scope.dims.requirements.values(), *counts])
    _name_captures(function, len(inputs))
    return _program(scope, inputs, tree, updates, found)


def _world_of(scope: Scope) -> World:
    assert isinstance(scope.world, World)
    return scope.world


def _too_deep(name: str) -> TraceError:
    return TraceError(
        f"{name} recursed too deeply while it was traced. A function that calls itself "
        "must end on static values: shapes, or arguments in static_argnames.",
        user_location(),
    )


def _program(
    scope: Scope,
    inputs: Sequence[Input],
    tree: TreeDef,
    updates: Sequence[Update],
    found: _Effects,
) -> Program:
    """The Program of a scope that is closed."""
    sources = {id(slot.tensor): slot for slot in found.slots_taken}
    return Program(
        scope.function,
        tuple(inputs),
        tuple(_placed(capture.tensor, sources) for capture in scope.captures.values()),
        tree,
        tuple(Update(_placed(place, sources), r) for place, r in updates),
        fresh=len(found.values) if scope.outer is None else 0,
        writes=found.writes,
        slots=found.slots,
        guards=found.guards,
        objects=found.objects,
        stored=found.stored,
        own=tuple(_own(leaf, found.stored) for leaf in scope.results),
        detached=scope.gradients is not None and scope.gradients.ran_backward,
        required=tuple(_requires(capture.value) for capture in scope.captures.values()),
    )


def _own(leaf: object, stored: Sequence[Tensor]) -> Tensor | None:
    return next((tensor for tensor in stored if tensor is leaf), None)


@dataclass(frozen=True)
class _Effects:
    """What a trace changed in the world, besides the elements and gradients of tensors."""

    values: Sequence[Value] = ()
    """Results beyond all others."""
    writes: tuple[Change, ...] = ()
    slots: Slots = NO_SLOTS
    slots_taken: tuple[Slot, ...] = ()
    guards: Guards | None = None
    objects: tuple[Recipe | None, ...] = ()
    stored: tuple[Tensor, ...] = ()


def _effects(scope: Scope, guarded: bool) -> _Effects:
    """The effects of a trace that has run to its end, but is still open."""
    world = _world_of(scope)
    if scope.outer is not None:
        stored = world.stored(scope)
        return _Effects([value_of(tensor) for tensor in stored], stored=tuple(stored))
    if guarded:
        world.refuse_draws(scope.function.name)
    changes = world.changes(scope)
    guards, slots = world.guards(changes)
    taken = tuple(
        Slot(number, capture.tensor)
        for capture in scope.captures.values()
        if (number := changes.slot_of(capture.tensor)) is not None
        and isinstance(capture.tensor, Tensor)
    )
    slots.others = frozenset(
        id(capture.tensor)
        for capture in scope.captures.values()
        if isinstance(capture.value, Variable) and changes.slot_of(capture.tensor) is None
    )
    objects = tuple(changes.object_of(leaf) for leaf in scope.results)
    values = [scope.lift(tensor) for tensor in changes.fresh]
    refuse_history(scope, values)
    return _Effects(
        values, tuple(changes.writes), slots, taken, guards if guarded else None, objects
    )


def _placed(source: Any, slots: dict[int, Slot]) -> Any:
    """A captured tensor, or what is updated, as a call finds it: by its slot where it has one."""
    if isinstance(source, GradientPlace):
        if id(source.tensor) in slots:
            return GradientPlace(slots[id(source.tensor)])  # type: ignore[arg-type]
        return source
    return slots.get(id(source), source)


def _requires(value: Value) -> bool:
    return isinstance(value, Variable) and value.requires_grad


def lift_results(result: object) -> tuple[list[Value], TreeDef]:
    """The values of the leaves of a result, and its nest.

    UnsupportedObjectError for a leaf that is neither a tensor, an array nor a number.
    """
    scope = current_scope()
    assert scope is not None
    leaves, tree = flatten(result)
    scope.results = leaves
    values = []
    for i, leaf in enumerate(leaves):
        try:
            values.append(scope.lift(as_tensor(leaf)))
        except NetsError as error:
            path = expression("result", tree.paths()[i])
            if isinstance(leaf, Tensor) or is_scalar(leaf):
                raise
            raise UnsupportedObjectError(
                f"a traced function returns tensors, arrays, numbers and None; {path} is "
                f"{type(leaf).__name__}",
                error.location,
            ) from None
    return values, tree


def _refuse_mutation(
    tensors: Sequence[Tensor], inputs: Sequence[Input], function: Function
) -> None:
    """MutatedArgumentError where an argument was assigned to."""
    for tensor, entry, argument in zip(tensors, inputs, function.arguments, strict=False):
        value = value_of(tensor)
        if value is not argument:
            made = value.operation
            raise MutatedArgumentError(
                f"argument {entry.path} of {function.name} was changed in place; a traced "
                "function leaves its arguments as they are. Change a copy of it: "
                f"copy.copy({entry.path})",
                made.location if made is not None else None,
            )


def _name_captures(function: Function, first: int) -> None:
    """Give captured arguments names that no declared argument has."""
    names = unique([argument.hint for argument in function.arguments])
    for argument, name in zip(function.arguments[first:], names[first:], strict=True):
        argument.hint = name
