"""The one table of NETS_* environment variables: name, type, default, help."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nets.errors import ConfigError


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())


def _known_words(known: Callable[[], Iterable[str]]) -> Callable[[str], frozenset[str]]:
    """Words of a list; where the list is not known yet, any."""

    def parse(text: str) -> frozenset[str]:
        words, allowed = _words(text), sorted(known()) if text else []
        if allowed and not words <= set(allowed):
            raise ValueError(f"words with commas between them, out of {', '.join(allowed)}")
        return words

    return parse


_passes: list[Callable[[], Iterable[str]]] = []


def know_passes(names: Callable[[], Iterable[str]]) -> None:
    """Say which passes there are; ``nets.passes`` does, which stands above this room."""
    _passes.append(names)


def _pass_words() -> list[str]:
    return ["all", *(name for names in _passes for name in names())] if _passes else []


def _flag(text: str) -> bool:
    if text not in ("0", "1", ""):
        raise ValueError("0 or 1")
    return text == "1"


def _check(text: str) -> str:
    if text not in ("", "0", "1", "nan"):
        raise ValueError("0, 1 or nan")
    return "" if text == "0" else text


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(" or ".join(filter(None, allowed)))
        return text

    return parse


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("a whole number, not negative")
    return int(text)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how its text becomes a value, and what it does."""

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str

    def get(self) -> Any:
        """The value now; read at each use, so tests and notebooks can change it."""
        text = os.environ.get(self.name, self.default)
        try:
            return self.parse(text)
        except ValueError as error:
            raise ConfigError(f"{self.name}={text!r} is not allowed: {error}") from None


_TOPICS = ("trace", "fuse", "llvm", "cache", "retrace")

LOG = Variable(
    "NETS_LOG", _known_words(lambda: _TOPICS), "", f"what to narrate: {', '.join(_TOPICS)}"
)
PRINT_AFTER = Variable(
    "NETS_PRINT_AFTER",
    _known_words(_pass_words),
    "",
    "print the IR after these passes (or 'all') when they changed it",
)
DUMP_DIR = Variable("NETS_DUMP_DIR", str, "", "write each stage to numbered files in this folder")
VERIFY = Variable(
    "NETS_VERIFY",
    lambda text: int(_choice("0", "1", "2")(text)),
    "1",
    "verify IR: 0 never, 1 around pipelines, 2 around each pass with print and parse",
)
BACKEND = Variable(
    "NETS_BACKEND",
    _choice("", "llvm", "numpy"),
    "",
    "llvm: native code; numpy: the reference path; default: native code, and where it cannot run "
    "the reference path, with a warning",
)
CHECK = Variable(
    "NETS_CHECK",
    _check,
    "0",
    "1: run native code and reference, name the first operation that differs; "
    "nan: name the operation that made the first NaN of a result or a gradient",
)
NUM_THREADS = Variable("NETS_NUM_THREADS", _count, "0", "size of the thread pool; 0: one per CPU")
CACHE_DIR = Variable("NETS_CACHE_DIR", str, "", "folder of the object cache; default: the user's")
CACHE = Variable("NETS_CACHE", _flag, "1", "0: neither read nor write the object cache")
CACHE_LIMIT = Variable(
    "NETS_CACHE_LIMIT", _count, "1000", "megabytes the object cache may take; 0: any number"
)
TRACEBACK = Variable(
    "NETS_TRACEBACK",
    _choice("user", "full"),
    "user",
    "user: tracebacks of errors show your frames; full: those inside nets as well",
)
CPU = Variable("NETS_CPU", str, "", "CPU to compile for, such as x86-64-v3; default: this one")

PROFILES = ("strict", "strict-nofma")
"""Of numerics: with fused multiply-additions in products and math functions, and without."""

NUMERICS = Variable(
    "NETS_NUMERICS",
    _choice(*PROFILES),
    "strict",
    "profile of numerics: strict, with fused multiply-add; strict-nofma, the same bits on "
    "processors without",
)

TABLE = (
    LOG,
    PRINT_AFTER,
    DUMP_DIR,
    VERIFY,
    BACKEND,
    CHECK,
    NUM_THREADS,
    CACHE_DIR,
    CACHE,
    CACHE_LIMIT,
    TRACEBACK,
    CPU,
    NUMERICS,
)
