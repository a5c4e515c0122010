"""Static libraries: an ``ar`` archive (System V and GNU layout) of one object, with its index.

Written here rather than by the ``ar`` program, so that exporting one needs no tools. Every field
that could differ between two builds (dates, owners) is zero.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

_MAGIC: Final = b"!<arch>\n"
_SHORT_NAME: Final = 15


def archive(member: str, code: bytes, symbols: Sequence[str]) -> bytes:
    """The archive of the object ``code`` under the file name ``member``.

    ``symbols`` are the global names the object defines: linkers look them up in the index.
    """
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


def _member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n".encode()
    return header + data + (b"\n" if len(data) % 2 else b"")
