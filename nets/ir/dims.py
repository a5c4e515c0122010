"""Dims: what a function says of the sizes that a call tells.

Two attributes of a function hold it. ``dims`` has (name, lowest, highest, multiple_of) of each
dimension, in the order in which callers pass them. ``requirements`` has what must hold of the sizes
beyond that, (kind, size, message, location): a size of kind ``zero`` is 0 and one of kind
``natural`` is at least 0, or the call fails with the message. Both are checked once, at the entry.

A function without ``dims`` may have any sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from nets.ir.core import Attribute, Function, Value
from nets.ir.location import Location
from nets.ir.sizes import Dim, Range, Ranges, Size, bounds, evaluate, expression
from nets.ir.types import BufferType, TensorType

KINDS: Final = ("zero", "natural")

LONGEST: Final = 2**63 - 1
"""The largest size of a dimension that a call can tell, in 64 bits."""

_COUNTED: Final = 2**62
"""Up to here compiled code counts without wrapping around, with what it adds to round up."""


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


def counts_of(function: Function, ranges: Ranges) -> Iterator[Requirement]:
    """Requirements that each size in a function, and the elements of each array, can be counted,
    where its arguments and the ranges leave that open."""
    seen = {count for value in function.arguments for count in _elements(value)}
    for op in function.walk():
        counts = [count for value in op.results for count in _elements(value)]
        counts += [size for size in op.attributes.values() if isinstance(size, Size)]
        for count in counts:
            low, high = (0, 0) if count in seen else bounds(count, ranges)
            seen.add(count)
            needs = f"{op.name} needs {expression(count)} to be"
            if high > _COUNTED:
                message = f"{needs} at most 2**62"
                yield Requirement("natural", _COUNTED - count, message, op.location)
            if low < -_COUNTED:
                message = f"{needs} at least -2**62"
                yield Requirement("natural", _COUNTED + count, message, op.location)


def _elements(value: Value) -> list[Size]:
    """The number of elements, where a call tells it."""
    count = value.type.elements if isinstance(value.type, TensorType) else 0
    return [count] if isinstance(count, Size) else []


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
    return named and 0 <= low <= high <= LONGEST and 1 <= multiple <= LONGEST


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
