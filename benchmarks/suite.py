"""A run: the options (see ``nets.tools.bench``), the machine, the workloads, the report."""

from __future__ import annotations

import argparse
import fnmatch
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import machine, plot, report
from benchmarks.peers import Peer
from benchmarks.rounds import FULL, QUICK, measure
from benchmarks.systems import SYSTEMS, version
from benchmarks.workload import Workload
from benchmarks.workloads import WORKLOADS


class ChoiceError(Exception):
    """An option names something that is not there."""


def run(options: argparse.Namespace) -> None:
    """One run. ChoiceError for options that cannot be followed."""
    chosen = choose(options.only)
    if options.list:
        for workload in chosen:
            print(f"{workload.name:<24} {workload.what}")
        return
    systems = installed(options.peers)
    found: dict[str, Any] = {"machine": machine.describe(), "versions": systems, "rows": []}
    report.print_head(found)
    for threads in counts(options.threads):
        run_threads(found, chosen, list(systems), threads, options.quick)
    if options.json:
        report.write_json(found, options.json)
    if options.svg:
        plot.write_svg(found, options.svg)


def run_threads(
    found: dict[str, Any], chosen: Sequence[Workload], systems: list[str], threads: int, quick: bool
) -> None:
    """Measure every workload with that many threads; the rows join ``found``."""
    cores = pick_cores(threads)
    limits = machine.measure(threads, cores, quick)
    found["machine"].setdefault("limits", []).append(limits.as_json())
    report.print_limits(limits)
    with ExitStack() as stack:
        caches = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nets-bench-")))
        peers = [stack.enter_context(Peer(name, threads, cores, caches)) for name in systems]
        report.print_columns(systems)
        for workload in chosen:
            times, failed = measure(workload, peers, QUICK if quick else FULL)
            row = report.row(workload, times, failed, limits)
            found["rows"].append(row)
            report.print_row(row, systems)


def choose(only: str | None) -> list[Workload]:
    """The workloads that ``--only`` names."""
    patterns = only.split(",") if only else ["*"]
    chosen = []
    for pattern in patterns:
        names = [
            n for n, w in WORKLOADS.items() if fnmatch.fnmatch(n, pattern) or w.family == pattern
        ]
        if not names:
            raise ChoiceError(f"there is no workload {pattern!r}; --list names them")
        chosen += [WORKLOADS[name] for name in names if WORKLOADS[name] not in chosen]
    return chosen


def installed(names: str | None) -> dict[str, str]:
    """System → version of those asked for; says which are not installed."""
    asked = names.split(",") if names else list(SYSTEMS)
    found = {}
    for name in asked:
        if name not in SYSTEMS:
            raise ChoiceError(f"there is no system {name!r}; there are {', '.join(SYSTEMS)}")
        known = version(name)
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
