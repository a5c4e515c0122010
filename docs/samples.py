"""One call of every public name, run: what the reference shows beside its meaning.

``samples.txt`` has a call on each line. The first name with an argument list is what it is a sample
of; what stands before the last semicolon prepares it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nets

_TEXT = Path(__file__).with_name("samples.txt")


@cache
def calls() -> dict[str, str]:
    """Dotted name → its sample. ValueError for a name that has two."""
    found: dict[str, str] = {}
    for line in _TEXT.read_text(encoding="utf-8").splitlines():
        name = re.search(r"nets\.([\w.]+)(?=\()", line.rpartition("; ")[2] or line)
        if name is None or line.startswith("#"):
            continue
        if name[1] in found:
            raise ValueError(f"{name[1]} has two samples")
        found[name[1]] = line
    return found


def sample(name: str) -> str:
    """The call and what it gives, as Markdown. KeyError for a name without one."""
    if name not in calls():
        raise KeyError(f"docs/samples.txt has no call of nets.{name}")
    return f"`{calls()[name]}` gives `{_result(calls()[name])}`"


def _result(line: str) -> str:
    before, _, last = line.rpartition("; ")
    names: dict[str, Any] = {"nets": nets, "np": np}
    exec(before, names)
    text = " ".join(str(eval(last, names)).split())
    return text.replace("[ ", "[").replace(" ]", "]")
