"""A model of what a step costs on 1 … 4,096 ranks, made of what ``benchmarks/scaling.py`` measures.

    python -m benchmarks.scaling_model            prints where data parallelism ends, as tables
    python -m benchmarks.scaling_model FILE.svg   draws the speedups

A step of ``shards`` shards on n ranks takes

    (shards / n) · shard + rest + messages(n) · latency + sent(n) / bandwidth + sent(n) · adding

where the messages and bytes are those of ``nets/passes/distribution/transfers.py``, one bucket
after the other; nothing is taken off for what ``overlap`` hides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nets.passes.distribution.over_ranks import BUCKET_BYTES
from nets.passes.distribution.transfers import DOUBLED_RANKS, GATHERED_BYTES

RANKS: Final = tuple(1 << i for i in range(13))
WORTH: Final = 1.1
"""How many times as fast twice the ranks have to be."""


@dataclass(frozen=True)
class Model:
    """Seconds of one shard and of the rest of a step, bytes of gradients."""

    name: str
    shard: float
    rest: float
    bytes: int


@dataclass(frozen=True)
class Network:
    """Seconds until a message is there, with what nets does about it, and bytes in a second."""

    name: str
    latency: float
    bandwidth: float


HANDLING: Final = 7e-6
"""Seconds that nets takes for a message, beside what MPI takes for it."""

ADDING: Final = 0.08e-9
"""Seconds that it takes to add a byte that has come."""

MODELS: Final = (
    Model("MLP", 0.13e-3, 0.07e-3, 814_000),
    Model("CNN", 1.3e-3, 0.1e-3, 82_000),
    Model("transformer", 75e-3, 9.6e-3, 40_000_000),
)

NETWORKS: Final = (
    Network("as on one host, measured", 2e-6 + HANDLING, 10e9),
    Network("a cluster with 2 µs and 12 GB/s, assumed", 2e-6 + HANDLING, 12e9),
)


def buckets(size: int) -> list[int]:
    """What gradients of so many bytes are sent as."""
    count = max(1, size // BUCKET_BYTES)
    return [size // count] * count


def traffic(size: int, ranks: int) -> tuple[int, float]:
    """Messages one after the other, and bytes, of the sum of a vector of so many bytes."""
    levels = ranks.bit_length() - 1
    if ranks == 1:
        return 0, 0.0
    if ranks > 2 and size * (ranks - 2) <= GATHERED_BYTES:
        return levels, size * (ranks - 1)
    if ranks <= DOUBLED_RANKS:
        return levels, size * levels
    return 2 * levels, 2 * size * (1 - 1 / ranks)


def seconds(model: Model, network: Network, shards: int, ranks: int) -> float:
    """Of one step."""
    total = shards / ranks * model.shard + model.rest
    for size in buckets(model.bytes):
        messages, sent = traffic(size, ranks)
        total += messages * network.latency + sent * (1 / network.bandwidth + ADDING)
    return total


def end(model: Model, network: Network, shards: int) -> int:
    """The number of ranks beyond which twice as many are not worth it."""
    for ranks in RANKS:
        if 2 * ranks > shards:
            return ranks
        now, then = (seconds(model, network, shards, n) for n in (ranks, 2 * ranks))
        if now < WORTH * then:
            return ranks
    return RANKS[-1]


def used(model: Model, network: Network, shards: int, ranks: int) -> float:
    """How many times as fast as one rank they are, for each of them."""
    alone = seconds(model, network, shards, 1)
    return alone / seconds(model, network, shards, ranks) / ranks


def table(shards: int) -> str:
    """For each model and network where it ends, the speedup there, and what is used half."""
    lines = ["| network | model | most ranks | times as fast as one | half of each used up to |"]
    lines.append("| --- | --- | --: | --: | --: |")
    for network in NETWORKS:
        for model in MODELS:
            ranks = end(model, network, shards)
            speedup = ranks * used(model, network, shards, ranks)
            fitting = [n for n in RANKS if n <= shards]
            half = max(n for n in fitting if used(model, network, shards, n) >= 0.5)
            cells = (f"{ranks:,}", f"{speedup:,.0f}", f"{half:,}")
            lines.append(f"| {network.name} | {model.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(network: Network, shards: int) -> Iterator[tuple[str, list[float]]]:
    """Speedups by number of ranks."""
    for model in MODELS:
        fitting = [n for n in RANKS if n <= shards]
        yield model.name, [n * used(model, network, shards, n) for n in fitting]


def draw(path: Path, shards: int = RANKS[-1]) -> None:
    """The speedups on both networks, side by side."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "nets", "font.size": 9}
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, len(NETWORKS), figsize=(9, 3.6), sharey=True)
    for place, network in zip(places, NETWORKS, strict=True):
        place.plot(RANKS, RANKS, color="#8c959f", linewidth=0.8, linestyle=":")
        for name, speedups in curves(network, shards):
            place.plot(RANKS, speedups, marker=".", label=name)
        place.set(xscale="log", yscale="log", xlabel="ranks", title=network.name)
        place.set_xticks(RANKS[::2], [f"{n:,}" for n in RANKS[::2]])
        place.minorticks_off()
        place.grid(alpha=0.3)
    places[0].set_ylabel(f"times as fast as one rank, {shards:,} shards")
    places[0].set_yticks(RANKS[::2], [f"{n:,}" for n in RANKS[::2]])
    places[0].legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))
        return
    for shards in (64, 1024, RANKS[-1]):
        print(f"\n{shards} shards\n\n{table(shards)}")


if __name__ == "__main__":
    main()
