"""Tables of families of their own: all systems side by side, and what their first calls take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.report import cell, quantity, setting

FAMILIES: Final = ("derivatives", "gradbench", "linalg", "order")


def marker(family: str) -> str:
    """Where the table of a family begins in a page."""
    return f"<!-- measured: {family} -->\n"


def table(found: Mapping[str, Any]) -> str:
    """A line per row: the systems, the best peer's time over that of nets, first calls."""
    peers = [name for name in found["versions"] if name != "nets"]
    compiling = [name for name in ("nets", "jax") if name in found["versions"]]
    head = ["workload", "nets", *peers, "best peer ÷ nets"]
    head += [f"first call of {name}" for name in compiling]
    lines = [setting(found), "", _line(head), _line(["---", *["--:"] * (len(head) - 1)])]
    for row in found["rows"]:
        times = row["systems"]
        cells = [row["workload"].partition("/")[2]]
        cells += [cell(times.get(name), "s") for name in ("nets", *peers)]
        cells.append(f"{row['ratio']:.2f}" if row["ratio"] else "-")
        cells += [_first(times.get(name)) for name in compiling]
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _first(times: Mapping[str, Any] | None) -> str:
    return quantity(times["first_call"], "s") if times else "-"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
