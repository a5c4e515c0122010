"""The wrappers there are, by the word that ``formats`` has for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nets.backend.library.callers.cpp import cpp
from nets.backend.library.callers.description import Description
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.go import go
from nets.backend.library.callers.javascript import javascript
from nets.backend.library.callers.packages import cmake, pkg_config
from nets.backend.library.callers.python import python
from nets.backend.library.callers.rust import rust

Wrapper = Callable[[Description, Files], dict[str, str]]
"""Gives the texts of the files, by their paths from the folder of the library."""

WRAPPERS: Final[dict[str, Wrapper]] = {
    "hpp": cpp,
    "rs": rust,
    "py": python,
    "go": go,
    "js": javascript,
    "pc": pkg_config,
    "cmake": cmake,
}

WITHOUT_COMMUNICATORS: Final = frozenset(("hpp", "rs", "py", "go", "js"))
"""Those that have no form for functions that talk to other ranks."""
