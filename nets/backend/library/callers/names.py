"""Names in other languages: those of the manifest, which C can have, or near to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

STATE_METHODS: Final = ("init_state", "save_state", "load_state", "set_print")
"""What libraries have beside their functions, which have other names (``c_names.py``)."""


def free_names(words: Iterable[str], taken: Collection[str] = ()) -> list[str]:
    """The words, all different and none of ``taken``: with an underscore behind them where they
    are, with a number where another has that."""
    found: dict[str, None] = {}
    for word in words:
        unique, count = f"{word}_" if word in taken else word, 1
        while unique in found or unique in taken:
            count += 1
            unique = f"{word}_{count}"
        found[unique] = None
    return list(found)


def free_name(word: str, taken: Collection[str]) -> str:
    """One name that is none of ``taken``."""
    return free_names([word], taken)[0]


def quoted(text: str, escape: str = "\\u{{{:x}}}") -> str:
    """The text between quotation marks, as most languages write it; ``escape`` is how they write
    what cannot stand there."""
    marks = "".join(
        f"\\{c}" if c in '"\\' else c if c.isprintable() else escape.format(ord(c)) for c in text
    )
    return f'"{marks}"'
