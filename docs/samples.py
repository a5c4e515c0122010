"""One call of every public name, run: what the reference shows beside its meaning.

``samples.txt`` has a call on each line. The first name with an argument list is what it is a sample
of, of a tensor ``t`` the method; what stands before the last semicolon prepares it.
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
        name = _name(line.rpartition("; ")[2])
        if name is None or line.startswith("#"):
            continue
        if name in found:
            raise ValueError(f"{name} has two samples")
        found[name] = line
    return found


def _name(call: str) -> str | None:
    """What a call is a sample of."""
    method = re.search(r"\bt\.(\w+)\(", call)
    if method is not None and "nets." not in call[: method.start()]:
        return f"Tensor.{method[1]}"
    function = re.search(r"nets\.([\w.]+)(?=\()", call)
    return None if function is None else function[1]


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
