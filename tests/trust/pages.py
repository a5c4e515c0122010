"""Random programs called between forbidden pages: ``python -m tests.trust.pages 0 1250``.

Every buffer begins right behind a page that must not be touched, or ends right before one; inputs
may not be written. An access out of bounds ends the process. Each program is compiled two ways,
serial and with every loop shared among threads, and called twelve times, to the same bits.
"""

from __future__ import annotations

import argparse
import random

import numpy as np

from tests.backend.native import backward_pool
from tests.backend.touching import call_for_status, compiled
from tests.property.compiled import Way
from tests.property.hunt import gradient, sharing
from tests.property.programs import arguments, random_program
from tests.property.results import assert_same

INPUTS = 3


def check(seed: int) -> int:
    """The number of calls; every fourth program is a derivative."""
    choose = random.Random(seed)
    function = gradient(seed) if seed % 4 == 3 else random_program(seed, 10)
    serial = compiled(function, Way(vector_bytes=choose.choice((16, 32, 64))))
    with sharing(everything=True):
        shared = compiled(function, Way(threads=3, vector_bytes=choose.choice((32, 64))))
    pool = backward_pool(3)
    calls = 0
    for number in range(INPUTS):
        inputs = arguments(function, np.random.default_rng((seed, number)))
        found = [
            call_for_status(native, inputs, threads, at_end)
            for native, threads in ((serial, None), (shared, pool))
            for at_end in (True, False)
        ]
        calls += len(found)
        for status, results in found:
            assert status == found[0][0], f"seed {seed}"
            if status == 0:
                assert_same(found[0][1], results, f"seed {seed}\n{function}")
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    wanted = parser.parse_args()
    calls = 0
    for seed in range(wanted.first, wanted.end):
        print(f"\r{seed}", end="", flush=True)  # the last word, if it crashes
        calls += check(seed)
    print(f"\n{calls} calls of {wanted.end - wanted.first} programs; nothing beyond was touched")


if __name__ == "__main__":
    main()
