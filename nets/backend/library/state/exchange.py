"""From Python's modules, optimisers and generators to the state of a library, and back.

An object that saves tensors (``named_state``) is told by the names and forms of what it holds:
the owner in the library with the same entries is meant. Where two owners would do, as two
networks of one shape, objects are given by the names of their owners. Everything is looked at
before anything is written.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.library.manifest import Argument, Library, Member
from nets.backend.library.state.layout import layout_mark
from nets.errors import ArgumentError, DTypeError, MissingKeyError, ShapeError
from nets.ir.location import user_location
from nets.ir.types import DTYPES, from_numpy

Array = npt.NDArray[Any]

_GRADIENT: Final = ".grad"
_DEFAULT_GENERATOR: Final = "default_generator"


def views(library: Library, state: Array) -> dict[str, Array]:
    """The members of a state, by their names in C, as arrays that share its bytes."""
    found = {}
    for member in library.members:
        dtype = DTYPES[member.dtype].numpy
        whole = state[member.offset :][: member.size * dtype.itemsize].view(dtype)
        found[member.name] = whole[: math.prod(member.shape)].reshape(member.shape)
    return found


def checked_bytes(library: Library, data: Any) -> Array:
    """The bytes of a saved state. ArgumentError where they are none of this library."""
    name, size = library.name, library.state_bytes
    try:
        given = np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
    except (TypeError, ValueError):  # no bytes, or not in one piece
        raise ArgumentError(
            f"a state of {name} is {size} bytes, not {type(data).__name__}", user_location()
        ) from None
    if len(given) != size:
        raise ArgumentError(
            f"a state of {name} has {size} bytes, not {len(given)}", user_location()
        )
    mark = library.layout
    if mark is not None and given[mark.offset :][: mark.size].tobytes() != layout_mark(library):
        raise ArgumentError(
            f"the bytes are no saved state of {name}, or of one with other members: names, dtypes "
            "and shapes must be the same, in the same order",
            user_location(),
        )
    return given


# ------------------------------------------------------------------------------ state dicts


def state_dict(library: Library, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of all members by their keys."""
    return {member.key: arrays[member.name].copy() for member in library.members}


def load_state_dict(
    library: Library, arrays: Mapping[str, Array], given: Mapping[str, Any], strict: bool
) -> None:
    """Write members from arrays under their keys; see ``_State.load_state_dict``."""
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"a state dict is a dict of arrays, not a {type(given).__name__}", user_location()
        )
    by_key = {member.key: member for member in library.members}
    missing, unknown = sorted(by_key.keys() - given.keys()), sorted(given.keys() - by_key.keys())
    if strict and (missing or unknown):
        raise ArgumentError(
            f"the state dict is not one of {library.name}: missing {missing or 'nothing'}, not "
            f"known {unknown or 'nothing'}",
            user_location(),
        )
    new = [(m, np.asarray(given[key])) for key, m in by_key.items() if key in given]
    for member, array in new:
        _check_form(member, array, member.key)
    for member, array in new:
        arrays[member.name][...] = array


# ------------------------------------------------------------------------------ objects


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member is in Python: the elements of a tensor, or its gradient."""

    tensor: Any
    is_gradient: bool

    def read(self) -> Array:
        """The elements. ArgumentError for a gradient that no backward pass can leave."""
        found = self.tensor.grad if self.is_gradient else self.tensor
        if found is None:
            raise ArgumentError(
                "a tensor whose gradient is in the state requires none", user_location()
            )
        return np.asarray(found.data)

    def write(self, array: Array) -> None:
        if self.is_gradient:
            self.tensor.grad = array.copy()
        else:
            self.tensor.data = array.copy()


def state_from(
    library: Library, arrays: Mapping[str, Array], objects: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Write the members that these objects hold; all others stay as they are."""
    new = [(m, place.read()) for m, place in _places(library, objects, named)]
    for member, array in new:
        arrays[member.name][...] = array


def state_to(
    library: Library, arrays: Mapping[str, Array], objects: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Give these objects what the members hold."""
    for member, place in _places(library, objects, named):
        place.write(arrays[member.name])


def _places(
    library: Library, objects: Sequence[Any], named: Mapping[str, Any]
) -> list[tuple[Member, _Place]]:
    """The members that the objects hold, all of an owner. ArgumentError where one does not fit."""
    if not library.state:
        raise ArgumentError(
            f"{library.name} has no state: no function of it updates a tensor", user_location()
        )
    if not objects and not named:
        raise ArgumentError(
            "the state is that of objects: give the module and the optimiser, or tensors by name",
            user_location(),
        )
    owners = _owners(library)
    meant = {name: owners.pop(name) for name in named if name in owners}
    found = [pair for name, own in meant.items() for pair in _fitting(name, own, named[name])]
    for name in named.keys() - meant.keys():
        found += _by_itself(library, name, named[name])
    for thing in objects:
        name = _owner_of(thing, owners)
        found += _fitting(name, owners.pop(name), thing)
    generator = getattr(sys.modules.get("nets.random"), _DEFAULT_GENERATOR, None)
    if _DEFAULT_GENERATOR in owners and generator is not None:
        found += _fitting(_DEFAULT_GENERATOR, owners[_DEFAULT_GENERATOR], generator)
    return found


def _owners(library: Library) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for member in library.members:
        if member.owner:
            found.setdefault(member.owner, []).append(member)
    return found


def _owner_of(thing: Any, owners: Mapping[str, list[Member]]) -> str:
    """The owner that an object without a name is."""
    tensors = _tensors_of(thing)
    wrong = {name: _misfit(name, own, tensors) for name, own in owners.items()}
    fitting = [name for name, reason in wrong.items() if reason is None]
    kind = type(thing).__name__
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        by_name = ", ".join(f"{name}=…" for name in fitting)
        raise ArgumentError(
            f"the {kind} may be each of several: give them by name, as {by_name}", user_location()
        )
    reasons = "; ".join(str(reason) for reason in wrong.values()) or "all are given already"
    raise ArgumentError(f"no part of the state is that of the {kind}: {reasons}", user_location())


def _tensors_of(thing: Any) -> dict[str, Any]:
    """What an object saves, by name."""
    told = getattr(type(thing), "named_state", None)
    if told is None or isinstance(thing, type):
        raise ArgumentError(
            "the state is that of modules, optimisers and generators; tensors are given by their "
            f"names, as in w=w; not a {type(thing).__name__}",
            user_location(),
        )
    return dict(told(thing))


def _misfit(owner: str, members: Sequence[Member], tensors: Mapping[str, Any]) -> str | None:
    """What is not as the library has it, as a sentence; None where all is."""
    for member in members:
        name = member.entry.removesuffix(_GRADIENT)
        tensor = tensors.get(member.entry, tensors.get(name))
        if tensor is None:
            return f"{owner} has {member.entry}, which is not there"
        own, given = _text(member.dtype, member.shape), _text_of(tensor)
        if own != given:
            return f"{member.entry} of {owner} is {own}, not {given}"
    return None


def _text(dtype: str, shape: tuple[int, ...]) -> str:
    return Argument("", dtype, shape).text


def _text_of(tensor: Any) -> str:
    dtype = from_numpy(np.dtype(tensor.dtype))
    return _text(dtype.name if dtype else str(tensor.dtype), tuple(tensor.shape))


def _fitting(owner: str, members: Sequence[Member], thing: Any) -> Iterator[tuple[Member, _Place]]:
    tensors = _tensors_of(thing)
    reason = _misfit(owner, members, tensors)
    if reason is not None:
        raise ArgumentError(
            f"the {type(thing).__name__} is not the library's: {reason}", user_location()
        )
    for member in members:
        is_whole = member.entry in tensors
        name = member.entry if is_whole else member.entry.removesuffix(_GRADIENT)
        yield member, _Place(tensors[name], not is_whole)


def _by_itself(library: Library, name: str, thing: Any) -> Iterator[tuple[Member, _Place]]:
    """Tensors that no module, optimiser or generator holds, given by the way to them."""
    members = {member.key: member for member in library.members if not member.owner}
    tensors = dict(_leaves(name, thing))
    found = [
        (members[key], _Place(tensor, end != ""))
        for way, tensor in tensors.items()
        for end in ("", _GRADIENT)
        if (key := f"{way}{end}") in members
    ]
    if not found:
        known = ", ".join([*_owners(library), *members]) or "none"
        raise MissingKeyError(f"the state has no {name!r}; it has {known}", user_location())
    for member, place in found:
        _check_form(member, place.tensor, member.key)
    yield from found


def _leaves(way: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """The tensors in a nest of dicts and lists, by the way to them, with dots."""
    pending = [(way, thing)]
    while pending:
        way, thing = pending.pop()
        if isinstance(thing, Mapping):
            pending += [(f"{way}.{key}", child) for key, child in thing.items()]
        elif isinstance(thing, list | tuple):
            pending += [(f"{way}.{i}", child) for i, child in enumerate(thing)]
        elif hasattr(thing, "dtype") and hasattr(thing, "grad"):
            yield way, thing


def _check_form(member: Member, given: Any, key: str) -> None:
    if tuple(given.shape) != member.shape:
        raise ShapeError(
            f"{key} has shape {member.shape}, not {tuple(given.shape)}", user_location()
        )
    if np.dtype(given.dtype) != DTYPES[member.dtype].numpy:
        raise DTypeError(f"{key} is {member.dtype}, not {given.dtype}", user_location())
