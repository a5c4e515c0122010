"""The hunt for programs whose native results are wrong: ``python -m tests.property.hunt 0 5000``.

Each seed is a program and an odd way to compile it: a random pipeline, number of threads and
vector width, every loop shared among threads or only long ones. The program is compiled that way
and the usual way, called with arrays in odd layouts, and held to the reference and to itself.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nets.ir.core import Function
from nets.ir.printer import print_function
from nets.ops.definition.registry import Array
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from nets.passes.pipelines import OPTIMIZE
from tests.passes.lowered import cross_short_rows, parallelize_everything
from tests.property.compiled import Executable, Way
from tests.property.programs import arguments, random_program, strided
from tests.property.results import assert_native, assert_same

SIZES = (3, 8, 12, 12, 20, 35)
CALLS = 2


@dataclass(frozen=True)
class Quarry:
    """A program and the odd way to compile it."""

    function: Function
    way: Way
    shares_everything: bool

    def __str__(self) -> str:
        shared = ", every loop shared" if self.shares_everything else ""
        return f"// {self.way}{shared}\n{print_function(self.function)}"


def quarry(seed: int, large: bool = False) -> Quarry:
    """That of the seed, always the same; every fourth program is a derivative."""
    choices = random.Random(seed)
    size = choices.choice(SIZES)
    if seed % 4 == 3:
        function = gradient(seed, large)
    else:
        function = random_program(seed, size, large=large)
    way = Way(random_pipeline(choices), choices.choice((1, 2, 3)), choices.choice((16, 32, 64)))
    shares_everything = choices.random() < 0.5
    if choices.random() < 0.2:
        way = replace(way, optimize="size")
    return Quarry(function, way, shares_everything)


def gradient(seed: int, large: bool = False) -> Function:
    """The derivative of a smooth program: full of what the passes remove."""
    function = random_program(seed, size=8, smooth=True, large=large)
    return vjp(function, [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)])


def random_pipeline(choices: random.Random) -> str:
    """A named pipeline, one pass, or passes in any order."""
    passes = [*OPTIMIZE, "fold", *OPTIMIZE]
    choices.shuffle(passes)
    several = ",".join(passes[: choices.randrange(2, len(passes))])
    return choices.choice(("default", "none", passes[0], several, several))


def check(seed: int, large: bool = False) -> None:
    """AssertionError where the results of the seed's program are wrong."""
    found = quarry(seed, large)
    with sharing(found.shares_everything):
        odd = found.way.compile(found.function)
    usual = Way().compile(found.function)
    rng = np.random.default_rng(seed)
    for _ in range(CALLS):
        arrays = arguments(found.function, rng)
        results = [_called(native, arrays, rng) for native in (usual, odd)]
        assert_native(found.function, arrays, results[0])
        if _has_float_power(found.function):
            assert_native(found.function, arrays, results[1])
        else:
            assert_same(results[0], results[1], found)


def _called(native: Executable, arrays: list[Array], rng: np.random.Generator) -> list[Array]:
    before = [array.copy() for array in arrays]
    results = native([strided(array, rng) for array in arrays])
    assert_same(before, arrays, "an argument was changed")
    return results


def _has_float_power(function: Function) -> bool:
    """Constant powers may become products, which round otherwise."""
    return any(op.name == "power" and op.result.type.dtype.is_float for op in function.body)


@contextmanager
def sharing(everything: bool) -> Iterator[None]:
    """Every loop worth sharing among threads, in small pieces, and rows of any number and length
    with reductions across them, if ``everything`` is true."""
    with pytest.MonkeyPatch.context() as patch:
        if everything:
            parallelize_everything(patch)
            cross_short_rows(patch)
        yield


def hunt(seeds: Iterable[int], large: bool = False) -> list[int]:
    """The seeds that fail, each told of on the way."""
    failed = []
    for seed in seeds:
        print(f"\r{seed}", end="", file=sys.stderr, flush=True)  # the last word, if it crashes
        try:
            check(seed, large)
        except Exception:
            failed.append(seed)
            print(
                f"\nseed {seed}\n{traceback.format_exc(limit=-3)}\n{quarry(seed, large)}",
                flush=True,
            )
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    parser.add_argument("--large", action="store_true", help="long axes")
    wanted = parser.parse_args()
    failed = hunt(range(wanted.first, wanted.end), wanted.large)
    print(f"\n{wanted.end - wanted.first} programs, wrong: {failed or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
