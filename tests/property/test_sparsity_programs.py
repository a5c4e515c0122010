"""Patterns of random programs and loops against derivatives at random points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from nets.passes.sparsity import pattern as pattern_module
from nets.passes.sparsity.footprint import Footprint, identity
from nets.passes.sparsity.pattern import pattern
from tests.property.programs import arguments, random_program
from tests.property.test_control_programs import Loop

PROGRAMS = 40
POINTS = 3
MOST_ROWS = 40


def programs() -> Iterator[Function]:
    for seed in range(PROGRAMS):
        yield random_program(seed, size=8, smooth=True)
        yield Loop(seed, smooth=True).function(written_out=False)


def pairs(function: Function) -> Iterator[tuple[int, int]]:
    """Results and arguments whose derivative is not large."""
    for result, value in enumerate(function.returned):
        if not carries_cotangent(value.type) or not 0 < value.type.size <= MOST_ROWS:
            continue
        for argument, given in enumerate(function.arguments):
            if carries_cotangent(given.type) and given.type.size:
                yield result, argument


def jacobian(
    function: Function, derivative: Function, result: int, rng: np.random.Generator
) -> np.ndarray:
    """The derivative of a result at a random point; NaN where it is not finite."""
    point = arguments(function, rng, special=False)
    types = [value.type for value in function.returned]
    zeros = [np.zeros(type.shape, type.dtype.numpy) for type in types]
    rows = []
    for i in range(zeros[result].size):
        cts = [x.copy() for x in zeros]
        cts[result].flat[i] = 1
        rows.append(evaluate(derivative, [*point, *cts])[0].ravel())
    found = np.array(rows)
    return np.where(np.isfinite(found), found, np.nan)


def dense(found: pattern_module.Pattern) -> np.ndarray:
    matrix = np.zeros(found.shape, bool)
    matrix[found.rows, found.cols] = True
    return matrix


EXTREMES = ("maximum", "minimum", "reduce_max", "reduce_min", "max_pool")
"""Ops that depend on one operand or another: few points see all."""


@pytest.mark.long
def test_patterns_are_what_random_points_see() -> None:
    """No element outside of a pattern is other than zero, and hardly any inside is zero at every
    point: where it is, terms cancel."""
    exact = generic = 0
    for number, function in enumerate(programs()):
        rng = np.random.default_rng(number)
        chooses = any(op.name in EXTREMES for op in function.walk())
        for result, argument in pairs(function):
            found = dense(pattern(function, result, argument))
            derivative = vjp(function, [argument])
            points = [jacobian(function, derivative, result, rng) for _ in range(POINTS)]
            told = np.all(np.isfinite(points), axis=0)
            met = np.any([np.nan_to_num(x) != 0 for x in points], axis=0)
            assert not np.any(met & ~found), f"{result} by {argument} of\n{function}"
            if not chooses:
                generic += 1
                exact += np.array_equal(met & told, found & told)
    assert generic > 2 * PROGRAMS
    assert exact > 0.97 * generic


def test_pieces_and_single_pairs_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(shape: tuple[int, ...]) -> Footprint:
        own = identity(shape)
        return Footprint(shape, own.columns, numbers=own.all_numbers())

    for function in programs():
        for result, argument in pairs(function):
            by_pieces = pattern(function, result, argument)
            with monkeypatch.context() as patch:
                patch.setattr(pattern_module, "identity", listed)
                by_pairs = pattern(function, result, argument)
            assert np.array_equal(by_pieces.rows, by_pairs.rows), function
            assert np.array_equal(by_pieces.cols, by_pairs.cols), function
