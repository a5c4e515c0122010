"""Random programs through the passes: values stay, and a second time changes nothing."""

import random
from functools import cache

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.ir.printer import print_function
from nets.passes.pipelines import OPTIMIZE
from tests.passes.lowered import run_passes
from tests.property.hunt import gradient, random_pipeline
from tests.property.programs import arguments, random_program
from tests.property.results import Reference

PASSES = tuple(dict.fromkeys((*OPTIMIZE, "fold")))
STEPWISE = {"share_windows"}
"""Passes that may find more to do on what they have done: a pad goes behind one function a run."""
PROGRAMS = 40


def sample(seed: int) -> Function:
    size = random.Random(seed).choice((6, 12, 30))
    return gradient(seed) if seed % 4 == 3 else random_program(seed, size)


def reference(seed: int) -> Reference:
    """The sample's program and its results."""
    function = sample(seed)
    return Reference(function, arguments(function, np.random.default_rng(seed)))


kept_reference, kept_sample = cache(reference), cache(sample)
"""For tests of each pass, which no pass may change."""


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.sampled(4)
def test_each_pass_keeps_the_values(name: str) -> None:
    for seed in range(PROGRAMS):
        keeps_the_values(kept_reference(seed), name)


def test_passes_in_any_order_keep_the_values() -> None:
    for seed in range(1000, 1000 + PROGRAMS):
        pipeline = random_pipeline(random.Random(seed))
        names = {"default": ",".join(OPTIMIZE), "none": ""}.get(pipeline, pipeline)
        keeps_the_values(reference(seed), *filter(None, names.split(",")))


def keeps_the_values(wanted: Reference, *passes: str) -> None:
    function = wanted.function
    before = print_function(function)
    wanted.assert_matches(evaluate(run_passes(function, *passes), wanted.arrays))
    assert print_function(function) == before, "the copy was not independent"


@pytest.mark.parametrize("name", [name for name in PASSES if name not in STEPWISE])
@pytest.mark.sampled(4)
def test_a_second_time_changes_nothing(name: str) -> None:
    for seed in range(2000, 2000 + PROGRAMS):
        once = run_passes(kept_sample(seed), name)
        assert print_function(run_passes(once, name)) == print_function(once), seed


def test_the_whole_pipeline_a_second_time_changes_nothing() -> None:
    for seed in range(3000, 3000 + PROGRAMS):
        once = run_passes(sample(seed), *OPTIMIZE)
        assert print_function(run_passes(once, *OPTIMIZE)) == print_function(once), seed
