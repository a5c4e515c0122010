"""The sizes of a library as macros of its header.

A macro begins with the name of the library in capitals, as all macros of the header do, and goes
on with the function and the buffer as they are spelled: ``f`` and ``F`` are two functions. It steps
aside, by a number, where two would meet or where something else has the name. What depends on the
dimensions of a function is a macro that takes these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nets.backend.library.c_names import declared
from nets.backend.library.callers.description import Buffer, Description, Function
from nets.backend.library.callers.sizes import Size, Words, spelled

Macro = tuple[str, Size]

_WORDS: Final = Words(
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "({0} / {1} - ({0} % {1} < 0))",
    "({0} < {1} ? {0} : {1})",
    "INT64_C({})",
)


@dataclass(frozen=True, slots=True)
class FunctionSizes:
    """The macros of a function: the bytes of its workspace, then those of each buffer."""

    workspace: Macro | None
    buffers: tuple[tuple[Macro, ...], ...]

    @property
    def macros(self) -> Iterator[Macro]:
        if self.workspace is not None:
            yield self.workspace
        for buffer in self.buffers:
            yield from buffer


def definition(name: str, size: Size, dims: Sequence[str]) -> str:
    """The definition of a macro."""
    if isinstance(size, int):
        return f"#define {name} {size}"
    names = {dim: f"(int64_t)({dim})" for dim in dims}
    return f"#define {name}({', '.join(dims)}) {spelled(size, _WORDS, names)}"


def function_sizes(library: Description) -> dict[str, FunctionSizes]:
    """The macros of each function, by its name."""
    taken = _names_of(library)
    return {function.name: _sizes(library, function, taken) for function in library.functions}


def _names_of(library: Description) -> set[str]:
    """Every name that stands in the header without the macros."""
    names = set(declared(library.name, (function.name for function in library.functions)))
    names |= {member.name for member in library.state}
    for function in library.functions:
        names |= {*function.dims, *(buffer.name for buffer in function.buffers)}
    return names


def _sizes(library: Description, function: Function, taken: set[str]) -> FunctionSizes:
    base = f"{library.name.upper()}_{function.name}"
    workspace = None
    if function.workspace_bytes is not None:
        (workspace,) = _defined(base, [("WORKSPACE_BYTES", function.workspace_bytes)], taken)
    buffers = [_defined(f"{base}_{b.name}", _extents(b), taken) for b in function.buffers]
    return FunctionSizes(workspace, tuple(buffers))


def _extents(buffer: Buffer) -> list[Macro]:
    dims: list[Macro] = [(f"DIM_{axis}", dim) for axis, dim in enumerate(buffer.shape)]
    return [("COUNT", buffer.count), *dims]


def _defined(base: str, sizes: Sequence[Macro], taken: set[str]) -> tuple[Macro, ...]:
    """The sizes under that name, or the first with a number behind it that none has."""
    found, number = [f"{base}_{word}" for word, _ in sizes], 1
    while not taken.isdisjoint(found):
        number += 1
        found = [f"{base}_{number}_{word}" for word, _ in sizes]
    taken.update(found)
    return tuple(zip(found, (size for _, size in sizes), strict=True))
