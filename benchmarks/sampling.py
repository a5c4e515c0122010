"""Fair timing on a machine that others use too: alternating samples, the best and the ratio.

Time is that of the calling thread, which stands still while the thread does; so both sides must
run in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """Seconds of the best sample of each, and the median of the samples' ratios."""

    ours: float
    theirs: float
    ratio: float


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], samples: int = 30
) -> Comparison:
    """Alternate the two for so many samples of about 3 ms each; ratio above 1: ours is faster."""
    counts = [_repeats(function) for function in (ours, theirs)]
    times = np.array(
        [
            [_sample(f, n) for f, n in zip((ours, theirs), counts, strict=True)]
            for _ in range(samples)
        ]
    )
    best = times.min(axis=0)
    return Comparison(best[0], best[1], float(np.median(times[:, 1] / times[:, 0])))


def _sample(function: Callable[[], object], repeats: int) -> float:
    start = time.thread_time()
    for _ in range(repeats):
        function()
    return (time.thread_time() - start) / repeats


def _repeats(function: Callable[[], object]) -> int:
    function()
    return max(1, int(3e-3 / max(_sample(function, 1), 1e-7)))
