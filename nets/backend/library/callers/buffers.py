"""Buffers as the wrappers see them: how many elements, one value or many, how wide."""

from __future__ import annotations

import math

from nets.backend.library.manifest import Argument, Library, LibraryFunction


def count(buffer: Argument) -> int:
    """How many elements it has."""
    return math.prod(buffer.shape)


def is_single(buffer: Argument) -> bool:
    """Is it one value, which languages pass as such, and not an array?"""
    return not buffer.shape


def sentence(function: LibraryFunction) -> str:
    """What goes in and what comes out, as in ``x: f32[5, 2] -> out: f32[5]``."""
    given = ", ".join(f"{a.name}: {a.text}" for a in function.arguments) or "nothing"
    made = ", ".join(f"{a.name}: {a.text}" for a in function.results) or "nothing"
    return f"{given} -> {made}"


def most_workspace(library: Library) -> int:
    """Bytes of a workspace that is enough for every function."""
    return max(function.workspace_bytes for function in library.functions)
