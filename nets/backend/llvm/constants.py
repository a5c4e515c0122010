"""Constants in memory, as bytes; of the large ones of libraries LLVM is only told the size.

A megabyte of constants is two or more of text, which LLVM reads byte by byte. So a module has in
their place a *stand-in* of as many bytes: the hash of the constant, then zeros. When the object is
there, each hash says which bytes belong where it stands. Code that LLVM could make of the elements
is ruled out: to it a stand-in is initialized by somebody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from nets.errors import CompileError

LEAST_BYTES: Final = 1 << 12
"""From this size on a constant has a stand-in; it must have room for the hash."""

PREFIX: Final = "nets.data."
"""Of the symbols of stand-ins: that of equal constants is the same in all modules of a library."""


def constant(
    name: str, data: bytes, large: LargeData | None = None, align: int = 64
) -> tuple[str, str]:
    """The symbol of a constant, and its definition: under that name, or a stand-in in ``large``."""
    is_zero = data.count(0) == len(data)
    if large is not None and len(data) >= LEAST_BYTES and not is_zero:
        return large.stand_in(data)
    content = "zeroinitializer" if is_zero else _spelled(data)
    return name, (
        f"@{name} = internal unnamed_addr constant [{len(data)} x i8] {content}, align {align}"
    )


def _spelled(data: bytes) -> str:
    return 'c"\\' + data.hex("\\") + '"'


class LargeData:
    """The constants that have stand-ins, by their hashes."""

    def __init__(self) -> None:
        self._constants: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self._constants.values()))

    def stand_in(self, data: bytes) -> tuple[str, str]:
        """The symbol of a constant's stand-in, and its definition."""
        digest = hashlib.sha256(data).digest()
        self._constants[digest] = data
        symbol, zeros = f"{PREFIX}{digest.hex()[:32]}", len(data) - len(digest)
        type = f"<{{ [{len(digest)} x i8], [{zeros} x i8] }}>"
        return symbol, (
            f"@{symbol} = linkonce_odr hidden externally_initialized constant {type} <{{ "
            f"[{len(digest)} x i8] {_spelled(digest)}, [{zeros} x i8] zeroinitializer }}>, align 64"
        )

    def filled(self, code: bytes) -> bytes:
        """The object file with the constants in the places of their stand-ins.

        CompileError where one of them is not there.
        """
        return _filled(code, self._constants) if self._constants else code


def _filled(code: bytes, constants: Mapping[bytes, bytes]) -> bytes:
    places: list[tuple[int, bytes]] = []
    for digest, data in constants.items():
        place = code.find(digest)
        if place < 0:
            raise CompileError(f"LLVM has dropped a constant of {len(data)} bytes")
        while place >= 0:
            places.append((place, data))
            place = code.find(digest, place + len(data))
    whole, end = memoryview(code), 0
    parts: list[bytes | memoryview] = []
    for place, data in sorted(places):
        parts += [whole[end:place], data]
        end = place + len(data)
    return b"".join([*parts, whole[end:]])
