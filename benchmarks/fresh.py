"""What is measured in new processes: start, compilation cold and from the cache, memory, size.

Three programs: a chain of elementwise operations, and the training steps of a perceptron and of a
transformer. For each system two processes start after each other with the same empty caches of
compiled code; the first compiles, the second finds its work. "memory" is how far the second one's
peak rises over what it held with its arguments at hand; "size" is the compiled code on disk (for
nets the exported shared library, for inductor its shared objects).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.peers import Peer, PeerError, Seat

PROGRAMS = {"chain": "chain/1M", "mlp": "mlp/784-512-512-10", "transformer": "transformer/2 layers"}

KINDS = {
    "import": ("s", "import the system"),
    "cold": ("s", "to the first result, nothing compiled before"),
    "cached": ("s", "to the first result, with the compiled code on disk"),
    "memory": ("B", "rise of peak memory by a call, with the compiled code on disk"),
    "size": ("B", "compiled code on disk"),
}
"""Kind of row → unit, and what it is."""

SYSTEMS = ("nets", "jax", "inductor", "numba")
"""Those that compile."""

NAMES = [f"{kind}/{program}" for kind in KINDS for program in PROGRAMS]

Samples = dict[str, dict[str, list[float]]]
"""Kind → system → what each round found."""


def rows(
    names: Sequence[str], systems: Sequence[str], seat: Seat, rounds: int
) -> Iterator[dict[str, Any]]:
    """The rows of those names, measured in so many rounds."""
    for program, workload in PROGRAMS.items():
        kinds = [kind for kind in KINDS if f"{kind}/{program}" in names]
        if not kinds:
            continue
        samples: Samples = {kind: {} for kind in KINDS}
        failed: dict[str, str] = {}
        for _ in range(rounds):
            for name in [name for name in systems if name in SYSTEMS and name not in failed]:
                try:
                    found = _start_twice(name, workload, seat)
                except PeerError as error:
                    failed[name] = str(error)
                    continue
                for kind, value in found.items():
                    samples[kind].setdefault(name, []).append(value)
        for kind in kinds:
            unit, what = KINDS[kind]
            name = f"{kind}/{program}"
            yield report.fresh_row(
                name, f"{program}: {what}", unit, seat.threads, samples[kind], failed
            )


def _start_twice(name: str, workload: str, seat: Seat) -> Mapping[str, float]:
    """Kind → what two processes with the same caches show."""
    with tempfile.TemporaryDirectory(prefix="nets-bench-") as folder:
        caches = Path(folder)
        with Peer(name, seat, caches) as peer:
            cold = peer.ask("prepare", name=workload, folder=folder)
            if not cold["supported"]:
                return {}
            size = peer.ask("artifact", folder=folder)["bytes"]
        with Peer(name, seat, caches) as peer:
            cached = peer.ask("prepare", name=workload, folder=folder)
            found = {
                "import": peer.import_seconds,
                "cold": cold["first_seconds"],
                "cached": cached["first_seconds"],
                "memory": cached["peak_bytes"],
            }
    return found | ({"size": size} if size else {})
