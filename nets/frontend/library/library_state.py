"""The state of an exported library: the captured tensors that its functions share and update.

A library has state as soon as one of its functions updates a captured tensor. Then every tensor
that its functions capture is a member of the state, so that a prediction reads what a training
step has written; a library without updates embeds them as constants, and each library so the
weights of layers that are frozen: that require no gradient and that no function writes. A gradient
that is written and never read is neither: nobody could tell it was there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nets.backend.library.c_names import c_names
from nets.backend.library.manifest import LAYOUT
from nets.backend.library.state.layout import StateName
from nets.errors import ArgumentError
from nets.frontend.calls.lowered import Lowered
from nets.frontend.library.state_names import state_names
from nets.frontend.tensor.inner import value_of
from nets.frontend.tensor.state import GradientPlace, Slot, at_call
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable
from nets.frontend.tracing.tensor_names import Ways, ways_of
from nets.frontend.world.arrays import ArraySource
from nets.frontend.world.reach import is_of_layers
from nets.frontend.world.recipes import Found, Fresh, Recipe
from nets.frontend.world.slots import moved
from nets.ir.builder import Builder
from nets.ir.clone import body_without_terminator, clone_into
from nets.ir.core import Function, Value
from nets.ir.dims import declare, ranges_of, requirements_of
from nets.ops.definition.registry import lookup


@dataclass(frozen=True)
class Member:
    """A captured tensor, or its gradient: what it is called in C and Python, its elements now."""

    name: str
    names: StateName
    value: Array


class LibraryState:
    """The members of the state of some lowered functions, in order of first use."""

    def __init__(self, functions: Iterable[Lowered], taken: Collection[str]) -> None:
        """``taken`` are the names that the header has for other things."""
        self._numbers: dict[tuple[int, bool], int] = {}
        self._frozen: set[tuple[int, bool]] = set()
        self.members: tuple[Member, ...] = ()
        listed = list(functions)
        self._read = {key for f in listed for key in map(_key, _read_captures(f))}
        if not any(f.program.updates or moves_of(f) for f in listed):
            return
        all_ways = [ways_of(f.traced_function) for f in listed]
        self._frozen = set(_frozen(listed, all_ways))
        unique: dict[tuple[int, bool], Any] = {}
        for source in (source for f in listed for source in self.captures_of(f)):
            unique.setdefault(_key(source), source)
        self._numbers = {key: number for number, key in enumerate(unique)}
        sources = list(unique.values())
        names = c_names(_names(sources, all_ways), {*taken, LAYOUT.name})
        told = state_names([_key(source) for source in sources], all_ways)
        values = [current(value_of(source)) for source in sources]
        self.members = tuple(map(Member, names, told, values))

    def captures_of(self, lowered: Lowered) -> list[Any]:
        """The captured tensors and gradients of a function that are members."""
        return [
            x
            for _, x in _arguments(lowered)
            if (_is_read(x) or _key(x) in self._read) and _key(x) not in self._frozen
        ]

    def numbers(self, lowered: Lowered) -> tuple[int, ...]:
        """The numbers of the members that the function uses, in its order."""
        if not self.members:
            return ()
        return tuple(self._numbers[_key(source)] for source in self.captures_of(lowered))

    def function_of(self, lowered: Lowered) -> Function:
        """The function of inputs, then members, with the updates of members in place; without
        members the captured tensors are constants."""
        source = lowered.function
        count = len(source.arguments) - len(lowered.captures)
        places = {_key(x) for x in self.captures_of(lowered)} if self.members else set()
        taken = [
            *source.arguments[:count],
            *(a for a, x in _arguments(lowered) if _key(x) in places),
        ]
        function = Function(source.name, [a.type for a in taken], [a.hint for a in taken])
        builder = Builder(function.body)
        mapping: dict[Value, Value] = dict(zip(taken, function.arguments, strict=True))
        for argument, tensor in _arguments(lowered):
            if argument not in mapping:
                value = current(value_of(tensor))
                mapping[argument] = builder.create(lookup("constant"), (), {"value": value}).result
        clone_into(builder, body_without_terminator(source), mapping)
        kept = lowered.out_tree.leaf_count
        news = [(key, value) for key, value in _news(lowered) if key in places]
        returned = [*source.returned[:kept], *(value for _, value in news)]
        builder.create(lookup("return"), [_mapped(mapping, value) for value in returned])
        if ranges := ranges_of(source):
            declare(function, ranges, requirements_of(source))
        arguments = {_key(x): mapping[a].index for a, x in _arguments(lowered) if _is_state(x)}
        if news:
            function.attributes["in_place"] = tuple(
                (kept + i, arguments[key]) for i, (key, _) in enumerate(news)
            )
        return function


def _frozen(functions: Sequence[Lowered], all_ways: Sequence[Ways]) -> Iterator[tuple[int, bool]]:
    """The keys of parameters and buffers that require no gradient and that no function writes."""
    written = {key for f in functions for key, _ in _news(f)}
    held = set().union(*(ways.held for ways in all_ways))
    for _, source in (entry for f in functions for entry in _arguments(f)):
        if not isinstance(source, Tensor) or source.requires_grad or _key(source) in written:
            continue
        if id(source) in held or is_of_layers(type(source)):
            yield _key(source)


def _news(lowered: Lowered) -> list[tuple[tuple[int, bool], Value]]:
    """The keys of members that a call changes, and their new elements."""
    returned, program = lowered.function.returned, lowered.program
    found = lowered.found()
    updates = [
        (_key(at_call(update.place, found)), returned[update.result])
        for update in program.updates
        if update.result is not None
    ]
    return updates + [(_key(found[slot]), value) for slot, value in moves_of(lowered)]


def moves_of(lowered: Lowered) -> list[tuple[int, Value]]:
    """(number of a slot, the elements of the tensor that stands there after a call).

    ArgumentError where a call changes something else that a later call reads.
    """
    program = lowered.program
    arguments = {
        place.number: argument
        for argument, place in zip(_captured(lowered), program.captures, strict=True)
        if isinstance(place, Slot)
    }
    fresh = lowered.function.returned[len(lowered.function.returned) - program.fresh :]
    moves = []
    for pattern, recipes in moved(program.slots.patterns, program.writes, lowered.name):
        for leaf, is_slot, recipe in zip(pattern.leaves, pattern.slots, recipes, strict=True):
            if not is_slot or leaf not in arguments:
                continue  # nobody reads what stands there
            value = _moved(recipe, fresh, arguments)
            if value is None or value.type != arguments[leaf].type:
                raise ArgumentError(
                    f"{lowered.name} keeps a tensor of another type, or another object, where "
                    f"{arguments[leaf].type} stood, which a library cannot"
                )
            moves.append((leaf, value))
    return moves


def _moved(recipe: Recipe, fresh: Sequence[Value], arguments: dict[int, Value]) -> Value | None:
    if isinstance(recipe, Fresh):
        return fresh[recipe.number]
    return arguments.get(recipe.number) if isinstance(recipe, Found) else None


def _mapped(mapping: dict[Value, Value], value: Value) -> Value:
    return mapping.get(value, value)


def _captured(lowered: Lowered) -> Sequence[Value]:
    """The arguments that stand for captured tensors."""
    return lowered.function.arguments[len(lowered.program.inputs) :]


def _arguments(lowered: Lowered) -> Iterator[tuple[Value, Any]]:
    """The arguments that stand for captured tensors, and those as they are now."""
    found = lowered.found()
    sources = [at_call(place, found) for place in lowered.program.captures]
    return zip(_captured(lowered), sources, strict=True)


def _is_state(source: Any) -> bool:
    """May it be a member? NumPy arrays are constants of a library."""
    return not isinstance(source, ArraySource)


def _read_captures(lowered: Lowered) -> list[Any]:
    return [x for argument, x in _arguments(lowered) if argument.uses and _is_state(x)]


def _is_read(source: Any) -> bool:
    """Whether it is a member even if no function reads it: elements are, gradients are not."""
    return not isinstance(source, GradientPlace | ArraySource)


def _key(source: Any) -> tuple[int, bool]:
    is_gradient = isinstance(source, GradientPlace)
    return id(source.tensor if is_gradient else source), is_gradient


def current(value: Value) -> Array:
    """The elements of a captured tensor. ArgumentError where it is one of a trace."""
    if not isinstance(value, Variable):
        raise ArgumentError("a tensor that a function closes over has no value outside its trace")
    return value.data.copy()


# --------------------------------------------------------------------------------- names


def _names(sources: Sequence[Any], all_ways: Sequence[Ways]) -> list[str]:
    """Names of captured tensors: a way the functions have to them, in one word."""
    paths: dict[int, str] = {}
    for ways in all_ways:
        paths = ways.names | paths
    found = []
    for number, source in enumerate(sources):
        tensor, is_gradient = _key(source)
        name = paths.get(tensor, f"tensor_{number}")
        found.append(f"{name}_grad" if is_gradient else name)
    return found
