"""The layout of a state: its members in C, what they are called in Python, and the mark of it.

The mark is the last member of the structure. It says which states fit: saving writes it, loading
refuses bytes that have another one. Two libraries whose members have the same keys, dtypes and
shapes, in the same order, read each other's states.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nets.backend.library.manifest import LAYOUT, Argument, Library, Member, laid_out

_MARK: Final = struct.Struct("<8sQ16s")
_MAGIC: Final = b"\x7fstate\0\1"
"""Ends with the number of the format."""


@dataclass(frozen=True, slots=True)
class StateName:
    """What a member of the state is called in Python: see ``Member``."""

    key: str
    owner: str
    entry: str


def state_layout(
    forms: Sequence[Argument], names: Sequence[StateName]
) -> tuple[tuple[Member, ...], int]:
    """The members, the mark behind them, and the bytes of the structure; nothing for no members."""
    if not forms:
        return (), 0
    placed, size = laid_out([*forms, LAYOUT])
    told = [*names, StateName("", "", "")]
    members = tuple(
        dataclasses.replace(member, key=name.key, owner=name.owner, entry=name.entry)
        for member, name in zip(placed, told, strict=True)
    )
    return members, size


def layout_mark(library: Library) -> bytes:
    """What the member ``nets_layout`` holds: a magic number, the size of the state, and 16 bytes
    of a hash of the keys, dtypes and shapes."""
    told = [[m.key, m.dtype, list(m.shape)] for m in library.members]
    text = json.dumps(told, separators=(",", ":"))
    return _MARK.pack(_MAGIC, library.state_bytes, hashlib.sha256(text.encode()).digest()[:16])


def marked(library: Library, state: bytes) -> bytes:
    """A state with the mark in its place."""
    if library.layout is None:
        return state
    start, mark = library.layout.offset, layout_mark(library)
    return state[:start] + mark + state[start + len(mark) :]
