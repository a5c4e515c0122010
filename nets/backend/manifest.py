"""The manifest of an exported library: what it holds, as data and as the JSON inside the file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from nets.errors import LoadError

ABI_VERSION: Final = 1
"""Version of the calling form; a loader refuses another one."""

MARK: Final = b"\x7fnets-library\x00"
"""Stands before the JSON in the file, so that it is found without running anything."""

Tree = Any
"""A nest of leaves as JSON: a leaf's number, ["none"], or [kind, [[key, tree], …]] where kind is
"dict", "list", "tuple" or "fields"."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One buffer of a function: its C name, dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def text(self) -> str:
        """As in ``f32[32, 784]``."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """One function: its buffers in calling order and the Python nests they stand for.

    ``positional`` and ``keywords`` are pairs (name, tree over ``arguments``); ``tree`` is over
    ``results``. ``checks`` maps positive status codes to sentences.
    """

    name: str
    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    positional: tuple[tuple[str, Tree], ...]
    keywords: tuple[tuple[str, Tree], ...]
    tree: Tree
    workspace_bytes: int
    checks: tuple[tuple[int, str], ...]
    ir_sha256: str


@dataclass(frozen=True, slots=True)
class Library:
    """A whole library. ``cpu`` is what it was compiled for, ``level`` its x86-64 level."""

    name: str
    nets_version: str
    cpu: str
    level: int
    numerics: str
    functions: tuple[LibraryFunction, ...]
    abi: int = ABI_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Library:
    """The manifest of a JSON text; LoadError where it is none of this version."""
    try:
        data = json.loads(text)
        if data["abi"] != ABI_VERSION:
            raise LoadError(
                f"the library has ABI version {data['abi']}, this nets loads {ABI_VERSION}"
            )
        functions = tuple(map(_function, data.pop("functions")))
        return Library(functions=functions, **data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LoadError(f"the description inside the library is damaged: {error}") from None


def _function(data: dict[str, Any]) -> LibraryFunction:
    return LibraryFunction(
        **{
            **data,
            "arguments": tuple(map(_argument, data["arguments"])),
            "results": tuple(map(_argument, data["results"])),
            "positional": tuple((name, tree) for name, tree in data["positional"]),
            "keywords": tuple((name, tree) for name, tree in data["keywords"]),
            "checks": tuple((int(code), str(message)) for code, message in data["checks"]),
        }
    )


def _argument(data: dict[str, Any]) -> Argument:
    return Argument(str(data["name"]), str(data["dtype"]), tuple(map(int, data["shape"])))
