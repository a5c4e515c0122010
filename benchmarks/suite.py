"""A run: the options (see ``nets.tools.bench``), the machine, the workloads, the report."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import fresh, machine, plot, report, side_by_side
from benchmarks.peers import Peer, Seat
from benchmarks.rounds import FULL, QUICK, Effort, measure
from benchmarks.systems import SYSTEMS, version
from benchmarks.workloads import WORKLOADS


class ChoiceError(Exception):
    """An option names something that is not there."""


def run(options: argparse.Namespace) -> None:
    """One run. ChoiceError for options that cannot be followed."""
    chosen = choose(options.only)
    if options.list:
        print("\n".join(f"{name:<24} {described(name)}" for name in chosen))
        return
    python = options.peer_python or sys.executable
    systems = installed(options.peers, python)
    found: dict[str, Any] = {"machine": machine.describe(), "versions": systems, "rows": []}
    report.print_head(found)
    for threads in counts(options.threads):
        seat = Seat(threads, pick_cores(threads), python)
        run_threads(found, chosen, list(systems), seat, options.quick)
    if options.json:
        report.write_json(found, options.json)
    if options.table:
        write_tables(found, options.table)
    if options.svg:
        plot.write_svg(found, options.svg)


def write_tables(found: dict[str, Any], page: Path) -> None:
    """Each table into its place of the page."""
    tables = {None: (report.MEASURED, report.table)}
    tables |= {f: (side_by_side.marker(f), side_by_side.table) for f in side_by_side.FAMILIES}
    for family, (marker, table) in tables.items():
        rows = [row for row in found["rows"] if own_family(row["workload"]) == family]
        if rows:
            report.write_section(page, marker, table({**found, "rows": rows}))


def own_family(name: str) -> str | None:
    """The family of a workload where that has a table of its own."""
    family = name.partition("/")[0]
    return family if family in side_by_side.FAMILIES else None


def run_threads(
    found: dict[str, Any], chosen: Sequence[str], systems: list[str], seat: Seat, quick: bool
) -> None:
    """Measure everything in that seat; the rows join ``found``."""
    limits = machine.measure(seat.threads, seat.cores, quick)
    found["machine"].setdefault("limits", []).append(limits.as_json())
    report.print_limits(limits)
    report.print_columns(systems)
    warm = [name for name in chosen if name in WORKLOADS]
    rows = warm_rows(warm, systems, limits, seat, QUICK if quick else FULL) if warm else []
    starts = fresh.rows(chosen, systems, seat, 1 if quick else 5)
    for row in chain(rows, starts):
        found["rows"].append(row)
        report.print_row(row, systems)
    report.print_drift(limits, machine.measure(seat.threads, seat.cores, quick))


def warm_rows(
    names: Sequence[str],
    systems: Sequence[str],
    limits: machine.Machine,
    seat: Seat,
    effort: Effort,
) -> Iterator[dict[str, Any]]:
    """The rows of workloads in processes that stay: one per system."""
    with ExitStack() as stack:
        caches = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nets-bench-")))
        peers: dict[str, Peer] = {}
        for name in names:
            for system in systems:
                if system not in peers or not peers[system].alive:
                    peer = Peer(system, seat, caches)
                    peers[system] = stack.enter_context(peer)
            times, failed = measure(WORKLOADS[name], list(peers.values()), effort)
            yield report.row(WORKLOADS[name], times, failed, limits)


def choose(only: str | None) -> list[str]:
    """The names that ``--only`` means, in the order of the table; else all of the main one."""
    known = [*WORKLOADS, *fresh.NAMES]
    if not only:
        return [name for name in known if own_family(name) is None]
    chosen: set[str] = set()
    for pattern in only.split(","):
        names = fnmatch.filter(known, pattern) or fnmatch.filter(known, f"{pattern}/*")
        if not names:
            raise ChoiceError(f"there is no workload {pattern!r}; --list names them")
        chosen.update(names)
    return [name for name in known if name in chosen]


def described(name: str) -> str:
    """What the workload of that name does."""
    if name in WORKLOADS:
        return WORKLOADS[name].what
    kind, program = name.split("/")
    return f"{program}: {fresh.KINDS[kind][1]}"


def installed(names: str | None, peer_python: str) -> dict[str, str]:
    """System → version of those asked for; says which are not installed."""
    asked = names.split(",") if names else list(SYSTEMS)
    found = {}
    for name in asked:
        if name not in SYSTEMS:
            raise ChoiceError(f"there is no system {name!r}; there are {', '.join(SYSTEMS)}")
        known = version(name, peer_python)
        if known is None:
            print(f"{name} is not installed and left out")
        else:
            found[name] = known
    return found


def counts(text: str) -> Iterator[int]:
    """The thread counts asked for that this machine has CPUs for."""
    for word in text.split(","):
        if not word.isdigit() or int(word) < 1:
            raise ChoiceError(f"a number of threads is a positive integer, not {word!r}")
        if int(word) > len(usable_cores()):
            print(f"{word} threads are left out: there are {len(usable_cores())} CPUs")
        else:
            yield int(word)


def usable_cores() -> list[int]:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pick_cores(threads: int) -> list[int]:
    """The last ones: the first serves most interrupts."""
    return usable_cores()[-threads:]
