"""A section of its own for each function and constant: linkers leave out those nobody uses.

Programs for microcontrollers are linked so. Elsewhere a library is loaded whole.
"""

from __future__ import annotations

import re
from typing import Final

_FUNCTION: Final = re.compile(r"^(define [^@\n]*@([\w.]+)\(.*) \{$", re.M)
_CONSTANT: Final = re.compile(r"^(@([\w.]+) = [^\n]*\bconstant\b[^\n]*?)((?:, align \d+)?)$", re.M)


def in_sections(text: str) -> str:
    """The module with a section for each definition."""
    text = _FUNCTION.sub(r'\1 section ".text.\2" {', text)
    return _CONSTANT.sub(r'\1, section ".rodata.\2"\3', text)
