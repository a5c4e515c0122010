"""One workload on several systems: results compared, then measured in turns.

All systems of a round see the same state of the machine, so that a change of its speed hits them
alike; the order rotates from round to round.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers import Peer, PeerError
from benchmarks.workload import Workload

REFERENCES = ("numpy", "torch", "jax", "inductor", "numba", "nets")
"""Whose results the others are compared with: the first of these that takes part."""


FEWEST_TURNS = 3


@dataclass(frozen=True)
class Effort:
    """How long to measure: ``rounds`` turns per system, each of ``samples`` samples.

    A system that has taken ``seconds`` has no further turn: slow ones get fewer samples, three
    turns at least. One whose single call takes that long has one sample.
    """

    rounds: int
    samples: int
    sample_seconds: float
    seconds: float


FULL = Effort(10, 3, 2e-3, 2.0)
QUICK = Effort(3, 1, 1e-4, 1.0)


@dataclass
class Measured:
    """Seconds per call of one system: every sample."""

    samples: list[float]
    calls: int
    first_seconds: float
    error: float

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "samples": len(self.samples),
            "calls_per_sample": self.calls,
            "first_call": self.first_seconds,
            "error": self.error,
        }


def measure(
    workload: Workload, peers: Sequence[Peer], effort: Effort
) -> tuple[dict[str, Measured], dict[str, str]]:
    """System → times, and system → why it has none."""
    results, first, failed = _prepare(workload, peers)
    errors = _compare(workload, results, failed)
    measured, fast = {}, []
    for peer in [peer for peer in peers if peer.name in errors]:
        found = peer.ask("calibrate", sample_seconds=effort.sample_seconds)
        mine = Measured([], found["calls"], first[peer.name], errors[peer.name])
        measured[peer.name] = mine
        if found["seconds"] > effort.seconds:
            mine.samples.append(found["seconds"])
        else:
            fast.append(peer)
    _take_turns(fast, measured, effort)
    for peer in peers:
        if peer.alive:
            peer.ask("forget")
    return measured, failed


def _take_turns(peers: Sequence[Peer], measured: Mapping[str, Measured], effort: Effort) -> None:
    """Fill in the samples."""
    for round in range(effort.rounds):
        turn = round % max(1, len(peers))
        for peer in (*peers[turn:], *peers[:turn]):
            mine = measured[peer.name]
            if round >= FEWEST_TURNS and sum(mine.samples) * mine.calls > effort.seconds:
                continue
            mine.samples += peer.ask("sample", calls=mine.calls, count=effort.samples)["seconds"]


def _prepare(
    workload: Workload, peers: Sequence[Peer]
) -> tuple[dict[str, list[Any]], dict[str, float], dict[str, str]]:
    """Results and first seconds of each system that has the workload; why others failed."""
    results: dict[str, list[Any]] = {}
    first: dict[str, float] = {}
    failed: dict[str, str] = {}
    for peer in peers:
        with tempfile.TemporaryDirectory() as folder:
            try:
                answer = peer.ask("prepare", name=workload.name, folder=folder)
            except PeerError as error:
                failed[peer.name] = str(error)
                continue
            if answer["supported"]:
                first[peer.name] = answer["first_seconds"]
                results[peer.name] = [np.load(path) for path in answer["results"]]
    return results, first, failed


def _compare(
    workload: Workload, results: Mapping[str, list[Any]], failed: dict[str, str]
) -> dict[str, float]:
    """System → largest distance to the reference; those too far away join ``failed``."""
    reference = next((name for name in REFERENCES if name in results), None)
    errors = {}
    for name, found in results.items():
        assert reference is not None
        error = distance(found, results[reference])
        if error <= workload.tolerance:
            errors[name] = error
        else:
            failed[name] = f"its result is {error:.1e} away from that of {reference}"
    return errors


def distance(found: Sequence[Any], expected: Sequence[Any]) -> float:
    """Largest difference of two lists of arrays, each relative to its largest element."""
    if [x.shape for x in found] != [x.shape for x in expected]:
        return math.inf
    worst = 0.0
    for x, y in zip(found, expected, strict=True):
        if x.size == 0:
            continue
        difference = np.max(np.abs(x.astype("float64") - y.astype("float64")))
        scale = np.max(np.abs(y.astype("float64")))
        error = float(difference / scale) if scale else float(difference)
        worst = math.inf if math.isnan(error) else max(worst, error)
    return worst
