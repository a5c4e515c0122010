"""Dims: what a function says of the sizes that a call tells.

Two attributes of a function hold it. ``dims`` has (name, lowest, highest, multiple_of) of each
dimension, in the order in which callers pass them. ``requirements`` has what must hold of the sizes
beyond that, (kind, size, message, location): a size of kind ``zero`` is 0 and one of kind
``natural`` is at least 0, or the call fails with the message. Both are checked once, at the entry.

A function without ``dims`` may have any sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from nets.ir.core import Attribute, Function
from nets.ir.location import Location
from nets.ir.sizes import Dim, Range, Size, evaluate
from nets.ir.types import BufferType, TensorType

KINDS: Final = ("zero", "natural")


class Requirement(NamedTuple):
    """A condition on the sizes of a call."""

    kind: str
    size: Dim
    message: str
    """A sentence that names the dimensions."""
    location: Location | None = None
    """The user's line it comes from."""

    def holds(self, values: Mapping[str, int]) -> bool:
        value = evaluate(self.size, values)
        return value == 0 if self.kind == "zero" else value >= 0


def ranges_of(function: Function) -> dict[str, Range]:
    """The ranges of the named dimensions, in the order in which callers pass them."""
    if "dims" in function.attributes:
        return {name: Range(*limits) for name, *limits in function.attributes["dims"]}
    return {name: Range() for name in names_in(function)}


def requirements_of(function: Function) -> list[Requirement]:
    """What must hold of the sizes, besides the ranges."""
    return [Requirement(*entry) for entry in function.attributes.get("requirements", ())]


def declare(
    function: Function, ranges: Mapping[str, Range], requirements: Iterable[Requirement] = ()
) -> None:
    """Let these be the dims and the requirements of the function."""
    function.attributes["dims"] = tuple((name, *limits) for name, limits in ranges.items())
    if found := tuple(map(tuple, requirements)):
        function.attributes["requirements"] = found


def names_in(function: Function) -> list[str]:
    """The names in the types of the arguments, in order of appearance."""
    types = [argument.type for argument in function.arguments]
    shaped = [type for type in types if isinstance(type, TensorType | BufferType)]
    sizes = [dim for type in shaped for dim in type.shape if isinstance(dim, Size)]
    return list(dict.fromkeys(name for size in sizes for name in size.names))


def problem_of(attributes: Mapping[str, Attribute]) -> str | None:
    """What is wrong with the two attributes of a function; None where nothing is."""
    dims, names = attributes.get("dims", ()), list[str]()
    if not isinstance(dims, tuple) or not all(map(_is_dim, dims)):
        return "dims are tuples of a name, its lowest and highest size and what divides it"
    names = [name for name, *_ in dims]
    if len(set(names)) < len(names):
        return "two dims have one name"
    requirements = attributes.get("requirements", ())
    if not isinstance(requirements, tuple) or not all(map(_is_requirement, requirements)):
        return "requirements are tuples of a kind, a size, a message and a location"
    return None


def _is_dim(entry: Attribute) -> bool:
    if not isinstance(entry, tuple) or [*map(type, entry)] != [str, int, int, int]:
        return False
    name, low, high, multiple = entry
    named = bool(name.isascii() and name.isidentifier())
    return named and bool(0 <= low <= high and multiple >= 1)


def _is_requirement(entry: Attribute) -> bool:
    if not isinstance(entry, tuple) or len(entry) not in (3, 4):
        return False
    kind, size, message, *location = entry
    return (
        kind in KINDS
        and isinstance(size, int | Size)
        and isinstance(message, str)
        and all(place is None or isinstance(place, Location) for place in location)
    )
