"""Random programs on the reference interpreter, and the tools that compare results."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function, Value
from nets.ops.definition.registry import REGISTRY, Array
from tests.property.programs import (
    JUMPS,
    LATER_SEEDS,
    arguments,
    is_exact,
    programs,
    random_program,
    strided,
)
from tests.property.results import assert_matches, assert_same, inexact_results, same_bits

FIXED = settings(derandomize=True, deadline=None, max_examples=80)
SEEDS = range(300)
LATER = range(LATER_SEEDS, LATER_SEEDS + 300)
FEWER = range(100)


@functools.cache
def program(seed: int) -> Function:
    """What nobody here changes."""
    return random_program(seed)


def describe(function: Function) -> list[object]:
    """The function without the identity of its values."""
    number: dict[Value, int] = {}
    lines: list[object] = []
    for value in function.arguments:
        number[value] = len(number)
    for op in function.body:
        attributes = {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in op.attributes.items()
        }
        lines.append((op.name, [number[v] for v in op.operands], attributes))
        for value in op.results:
            number[value] = len(number)
            lines.append(str(value.type))
    return lines


@FIXED
@given(programs(), st.integers(0, 1000))
def test_results_have_the_inferred_types(function: Function, seed: int) -> None:
    arrays = arguments(function, np.random.default_rng(seed))
    for value, result in zip(function.returned, evaluate(function, arrays), strict=True):
        assert result.shape == value.type.static_shape
        assert result.dtype == value.type.dtype.numpy
        assert result.flags.c_contiguous


@FIXED
@given(programs(), st.integers(0, 1000))
def test_memory_layout_of_arguments_changes_no_bit(function: Function, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = arguments(function, rng)
    before = [array.copy() for array in arrays]
    scattered = [strided(array, rng) for array in arrays]
    # Sums may associate by layout inside NumPy, so inexact results have their tolerance.
    assert_matches(function, arrays, evaluate(function, scattered))
    assert_same(before, arrays, "an argument was changed")


def test_a_seed_is_one_program() -> None:
    for seed in range(20):
        assert describe(random_program(seed)) == describe(random_program(seed))
    assert describe(random_program(1)) != describe(random_program(2))


APART = {
    *("cholesky", "triangular_solve", "lu", "lu_solve", "lu_det", "lu_log_det", "exchange_rows"),
    *("eliminate", "cholesky_cotangent"),
    *("qr", "eigh", "eigvalsh", "svd", "svdvals", "pinv"),
    *("gammainc", "gammaincc", "gammainc_by_a", "betainc", "betainc_by_a", "betainc_by_b"),
    *("rank", "gather_ranks", "exchange_ranks", "broadcast_ranks"),
    *("all_reduce", "all_gather", "reduce_scatter", "shard_broadcast"),
    *("shard_barrier", "shard_index"),
}
"""Ops that have programs of their own (in tests/ops and tests/linalg), as has ``size_of``, which is
of sizes that a call tells (test_open_programs.py): of random matrices few have factors, and of
random numbers few are parameters of incomplete functions."""


def test_every_tensor_op_takes_part() -> None:
    seen = {op.name for seed in (*SEEDS, *LATER) for op in program(seed).body}
    tensor_ops = {name for name, d in REGISTRY.items() if d.rules.evaluate}
    assert tensor_ops - seen == {"size_of", *APART}


def test_programs_are_of_every_kind() -> None:
    functions = [program(seed) for seed in SEEDS]
    exact = [not any(inexact_results(function)) for function in functions]
    assert 0.2 < np.mean(exact) < 0.8
    values = [value for function in functions for value in function.returned]
    assert {value.type.dtype.name for value in values} >= {"bool", "f32", "f64", "i64", "u8"}
    assert {0, 1, 2, 3} <= {len(value.type.shape) for value in values}
    assert any(value.type.size == 0 for value in values)


def test_values_off_by_rounding_never_reach_a_jump() -> None:
    for seed in SEEDS:
        inexact: set[Value] = set()
        for op in program(seed).body:
            reached = not inexact.isdisjoint(op.operands)
            assert not (reached and op.name in JUMPS)
            if reached or not is_exact(op):
                inexact.update(op.results)


def test_smooth_programs_are_float64_throughout() -> None:
    for seed in range(100):
        function = random_program(seed, smooth=True)
        kinds = {v.type.dtype.name for op in function.body for v in op.results}
        assert kinds <= {"f64", "i64"}  # i64 are constant indices
        assert not JUMPS & {op.name for op in function.body}


def test_comparison_catches_one_wrong_bit_of_an_exact_program() -> None:
    caught = 0
    for seed in SEEDS:
        function = program(seed)
        arrays = arguments(function, np.random.default_rng(seed))
        results = evaluate(function, arrays)
        if any(inexact_results(function)) or results[0].size == 0:
            continue
        results[0] = _one_bit_off(results[0])
        if results[0].dtype.kind == "f" and np.isnan(results[0].flat[0]):
            continue  # the bits of a NaN are free
        with pytest.raises(AssertionError):
            assert_matches(function, arrays, results)
        caught += 1
    assert caught > 50


def _one_bit_off(array: Array) -> Array:
    raw = np.frombuffer(array.tobytes(), np.uint8).copy()
    raw[0] ^= 1
    return raw.view(array.dtype).reshape(array.shape)


@pytest.mark.long
def test_comparison_catches_a_wrong_function_of_an_inexact_program() -> None:
    caught = total = 0
    for seed in FEWER:
        function = program(seed)
        arrays = arguments(function, np.random.default_rng(seed), special=False)
        if not any(inexact_results(function)):
            continue
        results = evaluate(function, arrays)
        wrong = [r * r.dtype.type(1.001) if r.dtype.kind == "f" else r for r in results]
        if all(same_bits(r, w) for r, w in zip(results, wrong, strict=True)):
            continue  # nothing but zeros, inf and NaN
        total += 1
        try:
            assert_matches(function, arrays, wrong)
        except AssertionError:
            caught += 1
    assert total > 30
    assert caught >= 0.9 * total


def test_comparison_accepts_the_reference_itself() -> None:
    for seed in FEWER:
        function = program(seed)
        arrays = arguments(function, np.random.default_rng(seed))
        assert_matches(function, arrays, evaluate(function, arrays))
