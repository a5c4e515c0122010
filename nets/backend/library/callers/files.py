"""What the files of a library are called, which wrappers name each other by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Files:
    """The files beside each other: ``stem`` is the name that was asked for, ``formats`` are those
    that are written. ``prefix`` is what shared and static libraries have before their name,
    ``suffix`` what shared ones have behind it."""

    stem: str
    formats: Collection[str]
    prefix: str = ""
    suffix: str = "so"

    @property
    def header(self) -> str:
        return f"{self.stem}.h"

    @property
    def shared(self) -> str:
        return f"{self.prefix}{self.stem}.{self.suffix}"

    @property
    def archive(self) -> str:
        return f"{self.prefix}{self.stem}.a"

    @property
    def is_static(self) -> bool:
        """Do programs link the static library? They do where it is all there is, or both."""
        return "a" in self.formats or "so" not in self.formats
