"""Static libraries: an ``ar`` archive of one object, with its index.

Linkers of most systems read the layout of System V and GNU, those of macOS that of BSD. Written
here rather than by the ``ar`` program, so that exporting one needs no tools. Every field that could
differ between two builds (dates, owners) is zero.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from nets.machine.targets import Target

_MAGIC: Final = b"!<arch>\n"
_SHORT_NAME: Final = 15
_ALIGNED: Final = 8
"""Objects of macOS begin at multiples of that."""


def archive_of(target: Target, member: str, code: bytes, symbols: Sequence[str]) -> bytes:
    """The archive of the object ``code`` under the file name ``member``, as the target has it.

    ``symbols`` are the global names the object defines: linkers look them up in the index.
    """
    if target.format == "macho":
        return _bsd_archive(member, code, [f"_{symbol}" for symbol in symbols])
    return archive(member, code, symbols)


def archive(member: str, code: bytes, symbols: Sequence[str]) -> bytes:
    """The archive in the layout of GNU."""
    long_name = member.encode() + b"/\n"
    names = b"/" if len(member) > _SHORT_NAME else b""
    table = _member("//", long_name) if names else b""
    index = _index(symbols, 0)
    offset = len(_MAGIC) + len(_member("/", index)) + len(table)
    name = "/0" if names else f"{member}/"
    return _MAGIC + _member("/", _index(symbols, offset)) + table + _member(name, code)


def _index(symbols: Sequence[str], offset: int) -> bytes:
    """Number of symbols, the archive offset of the member of each, their names."""
    words = struct.pack(f">{1 + len(symbols)}I", len(symbols), *[offset] * len(symbols))
    return words + b"".join(symbol.encode() + b"\0" for symbol in symbols)


def _bsd_archive(member: str, code: bytes, symbols: Sequence[str]) -> bytes:
    """The archive in the layout of BSD, whose names stand in front of the members."""
    index = _bsd_member("__.SYMDEF", _bsd_index(symbols, 0), len(_MAGIC))
    offset = len(_MAGIC) + len(index)
    index = _bsd_member("__.SYMDEF", _bsd_index(symbols, offset), len(_MAGIC))
    return _MAGIC + index + _bsd_member(member, code, offset)


def _bsd_index(symbols: Sequence[str], offset: int) -> bytes:
    """Bytes of the table; of each symbol the places of its name and its member; the names."""
    names, places = b"", []
    for symbol in symbols:
        places += [len(names), offset]
        names += symbol.encode() + b"\0"
    names += bytes(-len(names) % _ALIGNED)
    words = struct.pack(f"<{1 + len(places)}I", 4 * len(places), *places)
    return words + struct.pack("<I", len(names)) + names


def _bsd_member(name: str, data: bytes, place: int) -> bytes:
    """A member that begins at ``place`` of the archive, and ends where the next one may."""
    front = len(_header("", 0)) + place
    spelled = name.encode() + b"\0"
    spelled += bytes(-(front + len(spelled)) % _ALIGNED)
    data += bytes(-len(data) % _ALIGNED)
    return _header(f"#1/{len(spelled)}", len(spelled) + len(data)) + spelled + data


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + (b"\n" if len(data) % 2 else b"")


def _header(name: str, size: int) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{size:<10}`\n".encode()
