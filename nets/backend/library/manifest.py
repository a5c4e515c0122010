"""The manifest of an exported library: what it holds, as data and as the JSON inside the file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from nets.ir.sizes import Dim, Size, expression
from nets.ir.types import DTYPES, Shape

ABI_VERSION: Final = 1
"""Version of the calling form; a loader refuses another one."""

REVISION: Final = 4
"""Of the manifest: a new one when fields are added. A manifest without a field ``revision`` is of
the first. Readers leave out the fields they do not know of a later one."""

MARK: Final = b"\x7fnets-library\x00"
"""Stands before the JSON in the file, so that it is found without running anything."""

Tree = Any
"""A nest of leaves as JSON: a leaf's number, ["none"], or [kind, [[key, tree], …]] where kind is
"dict", "list", "tuple" or "fields"."""

MOST_LEVELS: Final = 100
"""How deep a nest may be; readers of JSON stop not far beyond."""

MOST_THREADS: Final = 1024
"""Parts that parallel twins may cut a loop into."""

_Read = TypeVar("_Read")


def _since(revision: int, default: Any) -> Any:
    """A field that manifests of earlier revisions lack; readers take the default for it."""
    return field(default=default, metadata={"since": revision})


def _where_some() -> Any:
    """A list that manifests have where it is not empty."""
    return field(default=(), metadata={"where_some": True})


@dataclass(frozen=True, slots=True)
class Argument:
    """One buffer of a function: its C name, dtype and shape, of numbers and of sizes that a call
    tells, which are texts in JSON."""

    name: str
    dtype: str
    shape: Shape

    @property
    def text(self) -> str:
        """As in ``f32[32, 784]``."""
        return f"{self.dtype}[{', '.join(map(expression, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the state: its name in C, dtype, shape, and place in bytes.

    ``key`` is its name in files of weights, as ``0.weight`` or ``optimizer.state.0.exp_avg``;
    ``owner`` the module, optimiser or generator that holds it, "" for a tensor by itself; ``entry``
    what the ``state_dict`` of the owner calls it, with dots for the levels. All three are "" for
    the layout's mark, which is the last member.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    key: str = _since(2, "")
    owner: str = _since(2, "")
    entry: str = _since(2, "")

    @property
    def size(self) -> int:
        """Elements it takes; C has no arrays of none."""
        return max(math.prod(self.shape), 1)


def laid_out(arguments: Sequence[Argument]) -> tuple[tuple[Member, ...], int]:
    """Members in that order, where a C compiler puts them, and the bytes of the structure."""
    members, end, alignment = [], 0, 1
    for a in arguments:
        unit = DTYPES[a.dtype].itemsize
        shape = tuple(size for size in a.shape if isinstance(size, int))
        member = Member(a.name, a.dtype, shape, -(-end // unit) * unit)
        members.append(member)
        end = member.offset + member.size * unit
        alignment = max(alignment, unit)
    return tuple(members), -(-end // alignment) * alignment


LAYOUT: Final = Argument("nets_layout", "u8", (32,))
"""The last member of every state: the mark by which saved states are told from others."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A result that is the elements of a sparse matrix: its number, the shape of the matrix, and
    how many elements it has. The library tells their rows and columns (``c_names.table_symbols``);
    ``word`` stands in the names of what tells them, "" where the function gives one matrix."""

    result: int
    shape: tuple[int, int]
    nnz: int
    word: str = ""


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """One function: its buffers in calling order and the Python nests they stand for.

    ``positional`` and ``keywords`` are pairs (name, tree over ``arguments``); ``tree`` is over
    ``results``. ``checks`` are positive status codes, each with a sentence and the name of the
    error it is in Python. ``state`` are the numbers of the members it uses, which ``updates``
    tells it changes. ``prints`` are the texts it prints. ``parallel_workspace_bytes`` is what its
    parallel twin needs, in a library for threads.

    ``dims`` are the dimensions whose sizes a call tells, before all pointers: name, lowest, highest
    and what divides it. ``requirements`` (kind, size, sentence) are what must hold of them, too
    (``nets.ir.dims``). Their checks are the last ones, in this order; at the very end that of sizes
    whose buffers no memory holds. JSON has neither for a function of sizes that are all known.
    ``matrices`` are the results that are sparse. ``ranks`` has one number where the function talks
    to the ranks of a job, of how many it is for, 0 for any; then a communicator is a parameter.
    """

    name: str
    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    positional: tuple[tuple[str, Tree], ...]
    keywords: tuple[tuple[str, Tree], ...]
    tree: Tree
    workspace_bytes: Dim
    checks: tuple[tuple[int, str, str], ...]
    ir_sha256: str
    state: tuple[int, ...] = ()
    updates: bool = False
    prints: tuple[str, ...] = ()
    parallel_workspace_bytes: Dim = field(default=0, metadata={"since": 2})
    dims: tuple[tuple[str, int, int, int], ...] = _where_some()
    requirements: tuple[tuple[str, Dim, str], ...] = _where_some()
    matrices: tuple[Matrix, ...] = _where_some()
    ranks: tuple[int, ...] = _where_some()

    @property
    def size_checks(self) -> tuple[tuple[int, str, str], ...]:
        """The checks of the sizes that a call tells."""
        count = len(self.dims) + len(self.requirements) + 1
        return self.checks[-count:] if self.dims else ()


@dataclass(frozen=True, slots=True)
class Form:
    """What the code of all functions was compiled for: a CPU by LLVM's name, and its level of
    x86-64, 0 for another architecture."""

    cpu: str
    level: int


@dataclass(frozen=True, slots=True)
class Library:
    """A whole library. ``cpu`` is the least CPU that it runs on, ``level`` its x86-64 level.

    ``levels`` are all forms of the code, the least first, among which the CPU chooses; libraries of
    the first version have one and do not list it. ``numerics`` is the profile of its results, and
    ``contract`` the number of the contract (docs/numerics.md) that defines them.
    ``state`` is what its functions share, ``state_bytes`` the size of it; 0 for no state.
    ``threads`` is how many parts the parallel twins of its functions cut a loop into; 0 where there
    are none. ``target`` is the triple of the system it is for, as ``nets.export`` takes it; empty
    in libraries of earlier revisions.
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
    revision: int = _since(2, REVISION)
    levels: tuple[Form, ...] = _since(2, ())
    contract: int = _since(2, 1)
    threads: int = _since(2, 0)
    target: str = _since(3, "")

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms of the code, the least first."""
        return self.levels or (Form(self.cpu, self.level),)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members that hold tensors: all but the mark of the layout."""
        return tuple(member for member in self.state if member.key)

    @property
    def layout(self) -> Member | None:
        """The mark of the layout, which states of earlier revisions have not."""
        return self.state[-1] if self.state and not self.state[-1].key else None

    @property
    def communicates(self) -> bool:
        """Does a function talk to other ranks?"""
        return any(function.ranks for function in self.functions)

    @property
    def prints(self) -> list[str]:
        """The texts that the functions print, by the number of the site."""
        return [text for function in self.functions for text in function.prints]

    def to_json(self) -> str:
        return json.dumps(self, default=_as_object, sort_keys=True, separators=(",", ":"))


def _as_object(part: Any) -> dict[str, Any] | str:
    if isinstance(part, Size):
        return expression(part)
    found = {own.name: getattr(part, own.name) for own in fields(part)}
    empty = [own.name for own in fields(part) if "where_some" in own.metadata]
    return {name: x for name, x in found.items() if x or name not in empty}
