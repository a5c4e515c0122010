"""Ranks communicate as often as the program says and in its order, whatever the passes do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from collective_programs import Results, arguments_of_ranks, run_ranks, with_collectives

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.ops.definition.registry import Array
from nets.passes.pipelines import LOOPS, OPTIMIZE, SMALL_LOOPS
from tests.passes.lowered import run_loops, run_passes
from tests.property.compiled import Way
from tests.property.loop_programs import Loop
from tests.property.programs import random_program
from tests.property.results import assert_same, inexact_results

PASSES = dict.fromkeys(OPTIMIZE)
WAYS = (Way(threads=3), Way("none"), Way(vector_bytes=64), Way(optimize="size"))


def check_every_way(function: Function, seed: int, ways: Sequence[Way] = WAYS) -> None:
    given = arguments_of_ranks(function, seed)
    expected, lines = run_ranks(lambda arrays: evaluate(function, arrays), given)
    is_inexact = inexact_results(function)

    def exact(found: Results) -> Results:
        return [[x for x, is_off in zip(f, is_inexact, strict=True) if not is_off] for f in found]

    def check(found: tuple[Results, list[str]], way: object) -> None:
        for mine, theirs in zip(exact(expected), exact(found[0]), strict=True):
            assert_same(mine, theirs, (way, function))
        assert found[1] == lines, way

    for name in PASSES:
        passed = run_passes(function, name)
        check(run_ranks(lambda arrays, f=passed: evaluate(f, arrays), given), name)
    for passes in ((*OPTIMIZE, *LOOPS), LOOPS, (*OPTIMIZE, *SMALL_LOOPS)):
        loops = run_passes(function, *passes)
        for backwards in (False, True):

            def run(arrays: Sequence[Array], f: Function = loops, b: bool = backwards) -> Results:
                return run_loops(f, arrays, b)

            check(run_ranks(run, given), passes)
    first: Results | None = None
    for way in ways:
        compiled = way.compile(function)
        for late in (False, True):
            found = run_ranks(compiled, given, late=late)
            check(found, way)
            for mine, theirs in zip(first or found[0], found[0], strict=True):
                assert_same(mine, theirs, (way, function))
            first = found[0]


@pytest.mark.parametrize("seed", range(800_000, 800_006))
@pytest.mark.sampled(5)
def test_random_programs(seed: int) -> None:
    check_every_way(with_collectives(random_program(seed, 14), seed), seed)


@pytest.mark.parametrize("seed", range(810_000, 810_006))
@pytest.mark.sampled(5)
def test_random_loops_and_branches(seed: int) -> None:
    check_every_way(with_collectives(Loop(seed, smooth=False).function(False), seed), seed)
