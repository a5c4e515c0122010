"""The one description that all wrappers are made from: a manifest as callers see it.

A function may have dimensions: sizes that each call tells, before all pointers. Then the lengths of
buffers are expressions of them (``sizes.py``), and the library tells the size of the workspace.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from nets.backend.library.c_names import symbols
from nets.backend.library.callers.sizes import Size, product
from nets.backend.library.manifest import Argument, Library, LibraryFunction, Member, Tree


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
    twin: tuple[str, ...] = ()
    """The symbols of the parallel twin and of its workspace, in a library for threads."""

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return self.arguments + self.results

    @property
    def sentence(self) -> str:
        """What goes in and what comes out."""
        given = ", ".join(a.text for a in self.arguments) or "nothing"
        return f"{given} -> {', '.join(a.text for a in self.results) or 'nothing'}"


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

    @property
    def most_workspace(self) -> int:
        """Bytes that are enough for every function without dimensions."""
        return max(function.workspace_bytes or 0 for function in self.functions)


def described(library: Library) -> Description:
    """What the manifest says to callers."""
    return Description(
        name=library.name,
        nets_version=library.nets_version,
        abi=library.abi,
        functions=tuple(_function(library, function) for function in library.functions),
        state=library.state,
        state_bytes=library.state_bytes,
        prints=bool(library.prints),
        sha256=hashlib.sha256(library.to_json().encode()).hexdigest(),
    )


def _function(library: Library, function: LibraryFunction) -> Function:
    symbol, workspace_symbol, *twin = symbols(library.name, function.name, library.threads)
    return Function(
        name=function.name,
        symbol=symbol,
        workspace_symbol=workspace_symbol,
        dims=(),
        arguments=_buffers(function.arguments),
        results=_buffers(function.results),
        workspace_bytes=function.workspace_bytes,
        uses_state=bool(function.state),
        updates=function.updates,
        positional=function.positional,
        keywords=function.keywords,
        twin=tuple(twin),
    )


def _buffers(arguments: Iterable[Argument]) -> tuple[Buffer, ...]:
    return tuple(Buffer(a.name, a.dtype, a.shape) for a in arguments)


def count(member: Member) -> int:
    """How many elements of a member hold something."""
    return math.prod(member.shape)
