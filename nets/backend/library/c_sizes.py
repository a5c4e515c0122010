"""The sizes of a library as macros of its header.

A macro begins with the name of the library in capitals, as all macros of the header do, and goes
on with the function and the buffer as they are spelled: ``f`` and ``F`` are two functions. It steps
aside, by a number, where two would meet or where something else has the name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nets.backend.library.c_names import declared
from nets.backend.library.manifest import Argument, Library, LibraryFunction

Macro = tuple[str, int]


@dataclass(frozen=True, slots=True)
class FunctionSizes:
    """The macros of a function: the bytes of its workspace, then those of each buffer."""

    workspace: Macro
    buffers: tuple[tuple[Macro, ...], ...]

    @property
    def macros(self) -> Iterator[Macro]:
        yield self.workspace
        for buffer in self.buffers:
            yield from buffer


def function_sizes(library: Library) -> dict[str, FunctionSizes]:
    """The macros of each function, by its name."""
    taken = _names_of(library)
    return {function.name: _sizes(library, function, taken) for function in library.functions}


def _names_of(library: Library) -> set[str]:
    """Every name that stands in the header without the macros."""
    names = set(declared(library.name, (function.name for function in library.functions)))
    names |= {member.name for member in library.state}
    for function in library.functions:
        names |= {buffer.name for buffer in (*function.arguments, *function.results)}
    return names


def _sizes(library: Library, function: LibraryFunction, taken: set[str]) -> FunctionSizes:
    base = f"{library.name.upper()}_{function.name}"
    workspace = _defined(base, [("WORKSPACE_BYTES", function.workspace_bytes)], taken)[0]
    buffers = [*function.arguments, *function.results]
    return FunctionSizes(
        workspace, tuple(_defined(f"{base}_{b.name}", _extents(b), taken) for b in buffers)
    )


def _extents(buffer: Argument) -> list[Macro]:
    dims = [(f"DIM_{axis}", dim) for axis, dim in enumerate(buffer.shape)]
    return [("COUNT", math.prod(buffer.shape)), *dims]


def _defined(base: str, sizes: Sequence[Macro], taken: set[str]) -> tuple[Macro, ...]:
    """The sizes under that name, or the first with a number behind it that none has."""
    found, number = [f"{base}_{word}" for word, _ in sizes], 1
    while not taken.isdisjoint(found):
        number += 1
        found = [f"{base}_{number}_{word}" for word, _ in sizes]
    taken.update(found)
    return tuple(zip(found, (size for _, size in sizes), strict=True))
