"""The one description that all wrappers are made from: a manifest as callers see it.

A function may have dimensions: sizes that each call tells, before all pointers. Then the lengths of
buffers are expressions of them (``sizes.py``), and the library tells the size of the workspace.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nets.backend.library.c_names import symbols
from nets.backend.library.callers.sizes import Size, product
from nets.backend.library.manifest import Library, Matrix, Member, Tree


@dataclass(frozen=True, slots=True)
class Buffer:
    """One array, or one value, that goes in or comes out."""

    name: str
    dtype: str
    shape: tuple[Size, ...]

    @property
    def count(self) -> Size:
        """How many elements it has."""
        return product(self.shape)

    @property
    def is_single(self) -> bool:
        """Is it one value, which languages pass as such, and not an array?"""
        return not self.shape

    @property
    def text(self) -> str:
        """As in ``x: f32[5, 2]``."""
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Function:
    """One function; ``workspace_bytes`` is None where it depends on the dimensions."""

    name: str
    symbol: str
    workspace_symbol: str
    dims: tuple[str, ...]
    arguments: tuple[Buffer, ...]
    results: tuple[Buffer, ...]
    workspace_bytes: int | None
    uses_state: bool
    updates: bool
    positional: tuple[tuple[str, Tree], ...]
    keywords: tuple[tuple[str, Tree], ...]
    ranges: str = ""
    """What sizes a call may tell."""
    twin: tuple[str, ...] = ()
    """The symbols of the parallel twin and of its workspace, in a library for threads."""
    twin_workspace_bytes: int | None = 0
    """As ``workspace_bytes``, of the twin."""
    matrices: tuple[Matrix, ...] = ()
    communicates: bool = False
    """Does it take a communicator?"""

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return self.arguments + self.results

    @property
    def sentence(self) -> str:
        """What goes in and what comes out."""
        given = ", ".join(a.text for a in self.arguments) or "nothing"
        return f"{self.ranges}{given} -> {', '.join(a.text for a in self.results) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Description:
    """A whole library; ``sha256`` is the hash of the text that it describes itself with."""

    name: str
    nets_version: str
    abi: int
    functions: tuple[Function, ...]
    state: tuple[Member, ...]
    state_bytes: int
    prints: bool
    sha256: str
    threads: int = 0
    """Parts that the twins of functions cut a loop into; 0 for no twins."""

    @property
    def most_workspace(self) -> int:
        """Bytes that are enough for every function without dimensions."""
        sizes = ((f.workspace_bytes, f.twin_workspace_bytes) for f in self.functions)
        return max(size or 0 for pair in sizes for size in pair)


def described(library: Library) -> Description:
    """What the manifest says to callers."""
    text = library.to_json()
    return Description(
        name=library.name,
        nets_version=library.nets_version,
        abi=library.abi,
        functions=tuple(_function(library, part) for part in json.loads(text)["functions"]),
        state=library.state,
        state_bytes=library.state_bytes,
        prints=bool(library.prints),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        threads=library.threads,
    )


def _function(library: Library, part: dict[str, Any]) -> Function:
    """A function, from its JSON: there the sizes that a call tells are texts."""
    symbol, workspace_symbol, *twin = symbols(library.name, part["name"], library.threads)
    workspace, shared = part["workspace_bytes"], part["parallel_workspace_bytes"]
    return Function(
        name=part["name"],
        symbol=symbol,
        workspace_symbol=workspace_symbol,
        dims=tuple(name for name, *_ in part.get("dims", ())),
        arguments=_buffers(part["arguments"]),
        results=_buffers(part["results"]),
        workspace_bytes=workspace if isinstance(workspace, int) else None,
        uses_state=bool(part["state"]),
        updates=part["updates"],
        positional=_parameters(part["positional"]),
        keywords=_parameters(part["keywords"]),
        ranges="".join(f"{range_sentence(*dim)}; " for dim in part.get("dims", ())),
        twin=tuple(twin),
        twin_workspace_bytes=shared if isinstance(shared, int) else None,
        matrices=tuple(Matrix(**matrix) for matrix in part.get("matrices", ())),
        communicates=bool(part.get("ranks")),
    )


def range_sentence(name: str, low: int, high: int, multiple: int) -> str:
    """What sizes of a dimension a call may tell."""
    each = f", a multiple of {multiple}" if multiple != 1 else ""
    return f"{name} is {low} to {high}{each}"


def _buffers(parts: Iterable[dict[str, Any]]) -> tuple[Buffer, ...]:
    return tuple(Buffer(x["name"], x["dtype"], tuple(x["shape"])) for x in parts)


def _parameters(pairs: Iterable[Sequence[Any]]) -> tuple[tuple[str, Tree], ...]:
    return tuple((name, tree) for name, tree in pairs)


def count(member: Member) -> int:
    """How many elements of a member hold something."""
    return math.prod(member.shape)
