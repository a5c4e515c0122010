"""Errors planted on purpose: what compares results must find each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from nets.ops.definition.registry import lookup
from nets.passes.loops import lane_tree, plan_memory, totals, vectorize
from nets.passes.simplify import fold
from tests.passes.lowered import Program, tensor
from tests.property import test_derivative_programs as derivatives
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program
from tests.property.results import assert_native
from tests.property.test_pass_programs import keeps_the_values, reference

SEEDS = range(40)


def is_found(check: Callable[[int], object], seeds: Iterable[int] = SEEDS) -> bool:
    """Whether the check fails for one of the seeds."""
    for seed in seeds:
        try:
            check(seed)
        except AssertionError:
            return True
    return False


def native_matches(seed: int) -> None:
    function = random_program(seed)
    arrays = arguments(function, np.random.default_rng(seed))
    assert_native(function, arrays, Way().compile(function)(arrays))


def sums_match(seed: int) -> None:
    p = Program(tensor(3, 1000 + seed))
    function = p.done(p.b.sum(p.arguments[0], (1,)))
    arrays = arguments(function, np.random.default_rng(seed), special=False)
    assert_native(function, arrays, Way().compile(function)(arrays))


def folded_matches(seed: int) -> None:
    keeps_the_values(reference(seed), "fold")


def derivative_matches(seed: int) -> None:
    derivatives._check(seed, 1)


@pytest.mark.parametrize("check", [native_matches, sums_match, folded_matches, derivative_matches])
@pytest.mark.sampled(4)
def test_nothing_is_found_where_nothing_is_planted(check: Callable[[int], object]) -> None:
    assert not is_found(check, SEEDS[:15])


# ----------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("name", ["multiply", "sqrt", "tanh"])
def test_a_wrong_derivative(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = lookup(name).rules.partials
    assert right is not None

    def wrong(b: Any, *values: Any) -> tuple[Any, ...]:
        first, *rest = right(b, *values)
        slope = first() if callable(first) else first
        return (b.mul(slope, b.full_like(slope, 1.001)), *rest)

    monkeypatch.setattr(lookup(name).rules, "partials", wrong)
    assert is_found(derivative_matches, range(250))


def test_a_wrong_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(b: Any, ct: Any, x: Any, y: Any) -> tuple[Any, ...]:
        return ct, ct

    monkeypatch.setattr(lookup("subtract").rules, "transpose", wrong)
    assert is_found(derivative_matches, range(250))


# ----------------------------------------------------------------------------------- loops


def test_a_dropped_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorize._Loops, "_tail", lambda *arguments: None)
    assert is_found(native_matches)


def test_a_tail_one_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vectorize._Loops.emit_static

    def wrong(self: Any, lo: Any, trips: int) -> None:
        right(self, lo, trips - (trips % self.lanes == self.lanes - 1))

    monkeypatch.setattr(vectorize._Loops, "emit_static", wrong)
    assert is_found(native_matches)


def test_a_reduction_without_its_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_tree._Registers, "_rest", lambda self, slots, done, count: slots)
    assert is_found(native_matches)


def test_a_reduction_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """As accurate, but not the bits that are promised."""
    monkeypatch.setattr(totals, "reduce_lanes", lambda dtype: 32)

    assert is_found(sums_match)


def test_buffers_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_memory, "_lowest_gap", lambda starts, ends, size: 0)
    assert is_found(native_matches)


# ------------------------------------------------------------------------------------ folds


def test_a_wrong_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bit of the first element of each folded constant."""
    right = fold._results

    def wrong(op: Any, arrays: Any) -> Any:
        results = right(op, arrays)
        return None if results is None else [one_bit_off(result) for result in results]

    monkeypatch.setattr(fold, "_results", wrong)
    assert is_found(folded_matches, range(150))
    assert is_found(native_matches, range(150))


def one_bit_off(array: Any) -> Any:
    raw = bytearray(array.tobytes())
    if raw:
        raw[0] ^= 1
    return np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
