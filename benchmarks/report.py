"""What a run says: rows of the table in the terminal, and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.rounds import Measured
from benchmarks.workload import Workload

NAME, CELL = 22, 10
"""Widths of the columns."""

IDLE, STEADY = 0.5, 0.1
"""Load before a run, and change of the FMA peak during it, up to which nothing is said."""


def row(
    workload: Workload, times: Mapping[str, Measured], failed: Mapping[str, str], limits: Machine
) -> dict[str, Any]:
    """The row of one workload: times in seconds, ratio of the best peer, part of the bound."""
    bound = workload.bound
    least = limits.bound_seconds(bound.flops, bound.dtype, bound.reads, bound.writes)
    mine = times["nets"].median if "nets" in times else None
    return {
        "workload": workload.name,
        "what": workload.what,
        "threads": limits.threads,
        "unit": "s",
        "systems": {name: time.as_json() for name, time in times.items()},
        "failed": dict(failed),
        **_against({name: time.median for name, time in times.items()}),
        "bound": least,
        "of_bound": least / mine if mine and least else None,
        "tolerance": workload.tolerance,
    }


def fresh_row(
    name: str,
    what: str,
    unit: str,
    threads: int,
    samples: Mapping[str, Sequence[float]],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The row of a quantity that each system shows once per new process."""
    systems = {
        system: {
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "samples": len(values),
        }
        for system, values in samples.items()
    }
    return {
        "workload": name,
        "what": what,
        "threads": threads,
        "unit": unit,
        "systems": systems,
        "failed": dict(failed),
        **_against({system: found["median"] for system, found in systems.items()}),
    }


def _against(medians: Mapping[str, float]) -> dict[str, Any]:
    """The best peer, and its time over that of nets."""
    peers = {name: value for name, value in medians.items() if name != "nets"}
    best = min(peers, key=peers.__getitem__, default=None)
    mine = medians.get("nets")
    return {"best_peer": best, "ratio": peers[best] / mine if best and mine else None}


def print_head(found: Mapping[str, Any]) -> None:
    machine = found["machine"]
    print(f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load_before']}")
    if machine["load_before"] > IDLE:
        print("other programs are running: times and ratios are rough")
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))


def print_limits(limits: Machine) -> None:
    """One line: what the CPU does at most."""
    rates = ", ".join(f"{dtype} {rate / 1e9:.0f} GF/s" for dtype, rate in limits.flops.items())
    levels = ", ".join(
        f"{name} {level.read / 1e9:.0f}/{level.copy / 1e9:.0f}"
        for name, level in limits.levels.items()
    )
    print(f"\n{limits.threads} thread(s): {rates}; GB/s read/copy: {levels}")


def print_drift(before: Machine, after: Machine) -> None:
    """A word where the machine was not the same all the time: such rows are to be repeated."""
    changes = [after.flops[dtype] / rate - 1 for dtype, rate in before.flops.items()]
    worst = max(changes, key=abs)
    if abs(worst) > STEADY:
        print(f"the speed of the CPU changed by {worst:+.0%} during this run")


def print_columns(systems: Sequence[str]) -> None:
    cells = "".join(f"{name:>{CELL}}" for name in systems)
    print(f"{'workload':<{NAME}}{cells}{'ratio':>7} {'bound':>6} {'spread':>7}")


def print_row(row: Mapping[str, Any], systems: Sequence[str]) -> None:
    """Times, best peer / nets, the part of the bound nets reaches, spread of nets' samples."""
    times = row["systems"]
    cells = "".join(f"{cell(times.get(name), row['unit']):>{CELL}}" for name in systems)
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    part = f"{row['of_bound']:.0%}" if row.get("of_bound") else "-"
    print(f"{row['workload']:<{NAME}}{cells}{ratio:>7} {part:>6} {spread(times):>7}", flush=True)
    for name, why in row["failed"].items():
        print(f"  {name}: {why.strip().splitlines()[-1]}")


def cell(time: Mapping[str, Any] | None, unit: str) -> str:
    """A median for people."""
    if time is None:
        return "-"
    return quantity(time["median"], unit)


def quantity(value: float, unit: str) -> str:
    """Seconds or bytes with three digits and a prefix."""
    if unit == "s":
        scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
    else:
        scales = ((1e6, "MB"), (1e3, "KB"), (1.0, "B"))
    scale, name = next((pair for pair in scales if value >= pair[0]), scales[-1])
    return f"{value / scale:.3g} {name}" if value / scale < 999.5 else f"{value / scale:.0f} {name}"


def spread(times: Mapping[str, Any]) -> str:
    """How far the samples of nets lie apart: (max - min) / median."""
    mine = times.get("nets")
    if not mine or not mine["median"]:
        return "-"
    return f"{(mine['max'] - mine['min']) / mine['median']:.0%}"


def write_json(found: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


MEASURED, END = "<!-- measured -->\n", "<!-- end -->"
"""Between these lines of a page stands what ``write_section`` writes."""


def write_section(path: Path, start: str, text: str) -> None:
    """Put a table into a page in Markdown, in place of that of an earlier run."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(END)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join([before, start, text, END, after or "\n"]), encoding="utf-8")


def table(found: Mapping[str, Any]) -> str:
    """The machine, and a line per row: nets, the best peer, their ratio, part of the bound."""
    lines = [
        setting(found),
        "",
        *(f"* {_limits_text(limits)}" for limits in found["machine"]["limits"]),
        "",
        "| row | threads | nets | best peer | its time ÷ nets | of the bound |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for row in found["rows"]:
        times, best, unit = row["systems"], row["best_peer"], row["unit"]
        peer = f"{best} {cell(times[best], unit)}" if best else "-"
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
        part = f"{row['of_bound']:.0%}" if row.get("of_bound") else "-"
        mine = cell(times.get("nets"), unit)
        name = f"{row['workload']}: {row['what']}"
        lines.append(f"| {name} | {row['threads']} | {mine} | {peer} | {ratio} | {part} |")
    return "\n".join([*lines, ""])


def setting(found: Mapping[str, Any]) -> str:
    """The machine and the versions, as a sentence."""
    machine, versions = found["machine"], found["versions"].items()
    known = ", ".join(f"{name} {version}" for name, version in versions)
    return f"{machine['cpu']}, {machine['cpus']} CPUs; {known}."


def _limits_text(limits: Mapping[str, Any]) -> str:
    """The limits of the machine as ``Machine.as_json`` gives them."""
    rates = ", ".join(f"{dtype} {rate / 1e9:.0f} GF/s" for dtype, rate in limits["flops"].items())
    memory = limits["levels"]["memory"]
    return (
        f"{limits['threads']} thread(s): {rates}; memory {memory['read'] / 1e9:.0f} GB/s read, "
        f"{memory['copy'] / 1e9:.0f} GB/s copied"
    )
