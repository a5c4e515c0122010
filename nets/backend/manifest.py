"""The manifest of an exported library: what it holds, as data and as the JSON inside the file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from nets.errors import REFUSALS, LoadError
from nets.ir.types import DTYPES

ABI_VERSION: Final = 1
"""Version of the calling form; a loader refuses another one."""

MARK: Final = b"\x7fnets-library\x00"
"""Stands before the JSON in the file, so that it is found without running anything."""

Tree = Any
"""A nest of leaves as JSON: a leaf's number, ["none"], or [kind, [[key, tree], …]] where kind is
"dict", "list", "tuple" or "fields"."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One buffer of a function: its C name, dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """As in ``f32[32, 784]``."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the state: its name, dtype, shape, and place in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Elements it takes; C has no arrays of none."""
        return max(math.prod(self.shape), 1)


def laid_out(arguments: Sequence[Argument]) -> tuple[tuple[Member, ...], int]:
    """Members in that order, where a C compiler puts them, and the bytes of the structure."""
    members, end, alignment = [], 0, 1
    for a in arguments:
        unit = DTYPES[a.dtype].itemsize
        member = Member(a.name, a.dtype, a.shape, -(-end // unit) * unit)
        members.append(member)
        end = member.offset + member.size * unit
        alignment = max(alignment, unit)
    return tuple(members), -(-end // alignment) * alignment


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """One function: its buffers in calling order and the Python nests they stand for.

    ``positional`` and ``keywords`` are pairs (name, tree over ``arguments``); ``tree`` is over
    ``results``. ``checks`` are positive status codes, each with a sentence and the name of the
    error it is in Python. ``state`` are the numbers of the members it uses, which ``updates``
    tells it changes. ``prints`` are the texts it prints.
    """

    name: str
    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    positional: tuple[tuple[str, Tree], ...]
    keywords: tuple[tuple[str, Tree], ...]
    tree: Tree
    workspace_bytes: int
    checks: tuple[tuple[int, str, str], ...]
    ir_sha256: str
    state: tuple[int, ...] = ()
    updates: bool = False
    prints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Library:
    """A whole library. ``cpu`` is what it was compiled for, ``level`` its x86-64 level.

    ``state`` is what its functions share, ``state_bytes`` the size of it; 0 for no state.
    """

    name: str
    nets_version: str
    cpu: str
    level: int
    numerics: str
    functions: tuple[LibraryFunction, ...]
    state: tuple[Member, ...] = ()
    state_bytes: int = 0
    abi: int = ABI_VERSION

    @property
    def prints(self) -> list[str]:
        """The texts that the functions print, by the number of the site."""
        return [text for function in self.functions for text in function.prints]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Library:
    """The manifest of a JSON text; LoadError where it is none of this version."""
    try:
        data = json.loads(text)
        if data["abi"] != ABI_VERSION:
            raise LoadError(
                f"the library has ABI version {data['abi']}, this nets loads {ABI_VERSION}"
            )
        functions = tuple(map(_function, data.pop("functions")))
        state = tuple(map(_member, data.pop("state", ())))
        return Library(functions=functions, state=state, **data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LoadError(f"the description inside the library is damaged: {error}") from None


def _function(data: dict[str, Any]) -> LibraryFunction:
    return LibraryFunction(
        **{
            **data,
            "arguments": tuple(map(_argument, data["arguments"])),
            "results": tuple(map(_argument, data["results"])),
            "positional": tuple((name, tree) for name, tree in data["positional"]),
            "keywords": tuple((name, tree) for name, tree in data["keywords"]),
            "checks": tuple(map(_check, data["checks"])),
            "state": tuple(map(int, data.get("state", ()))),
            "prints": tuple(map(str, data.get("prints", ()))),
        }
    )


def _check(data: Sequence[Any]) -> tuple[int, str, str]:
    code, message, error = data
    return int(code), str(message), REFUSALS[error].__name__


def _member(data: dict[str, Any]) -> Member:
    argument = _argument(data)
    return Member(argument.name, argument.dtype, argument.shape, int(data["offset"]))


def _argument(data: dict[str, Any]) -> Argument:
    return Argument(str(data["name"]), str(data["dtype"]), tuple(map(int, data["shape"])))
