"""Random programs, compiled: results of native code are those of the reference.

``python -m tests.property.hunt`` does the same for as many programs as there is patience for.
"""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import ShapeError
from nets.ir.core import Function
from nets.ir.types import bool_, f32, f64, i8, i64, u16
from nets.passes.pipelines import OPTIMIZE
from tests.passes.lowered import Program, tensor
from tests.property.compiled import Way
from tests.property.hunt import check, quarry
from tests.property.programs import arguments, random_program, strided
from tests.property.results import assert_native, assert_same

SEEDS = (*range(100_000, 100_028), *range(1_100_000, 1_100_008))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.sampled(5)
def test_random_programs(seed: int) -> None:
    check(seed)


def test_the_ways_to_compile_differ() -> None:
    found = [quarry(seed) for seed in SEEDS]
    assert {q.way.threads for q in found} == {1, 2, 3}
    assert {q.way.vector_bytes for q in found} == {16, 32, 64}
    assert len({q.way.pipeline for q in found}) > 10
    assert {q.shares_everything for q in found} == {False, True}


@pytest.mark.parametrize("seed", range(200_000, 200_003))
@pytest.mark.sampled(3)
def test_every_pass_alone_and_none(seed: int) -> None:
    function = random_program(seed)
    arrays = arguments(function, np.random.default_rng(seed))
    for pipeline in ("none", "default", *OPTIMIZE, "fold"):
        assert_native(function, arrays, Way(pipeline).compile(function)(arrays))


# ------------------------------------------------------------------------ shapes, arguments

SHAPES = ((), (0,), (1,), (0, 3), (3, 0), (2, 0, 3), (1, 1), (31, 37), (1,) * 8, (2,) * 8)


def everywhere(shape: tuple[int, ...]) -> Function:
    """Arguments of several dtypes: each computed with, moved, reduced over some axes and all."""
    p = Program(*(tensor(*shape, dtype=dtype) for dtype in (f32, f64, i8, u16, bool_)))
    b, axes = p.b, tuple(range(len(shape)))
    results = []
    for x in p.arguments:
        results += [b.select(b.compare("equal", x, x), x, b.emit("maximum", x, x)), x]
        results += [b.emit("flip", x, axes=axes), b.transpose(x, axes[::-1]), b.cast(x, i64)]
        is_bool = x.type.dtype.is_bool
        names = ("reduce_all", "reduce_max") if is_bool else ("reduce_sum", "reduce_min")
        for reduced in {(), axes[:1], axes[1:2], axes[-1:], axes[::2], axes} - {()}:
            for name in names:
                try:
                    results.append(b.emit(name, x, axes=reduced))
                except ShapeError:
                    assert 0 in shape
    return p.done(*results)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.sampled(4)
def test_shapes(shape: tuple[int, ...]) -> None:
    function = everywhere(shape)
    arrays = arguments(function, np.random.default_rng(len(shape)))
    assert_native(function, arrays, Way().compile(function)(arrays))


def test_layouts_of_arguments() -> None:
    function = everywhere((3, 5, 2))
    rng = np.random.default_rng(0)
    arrays = arguments(function, rng)
    native, expected = Way().compile(function), None
    for _ in range(20):
        before = [array.copy() for array in arrays]
        found = native([strided(array, rng) for array in arrays])
        assert_same(expected or found, found)
        assert_same(before, arrays, "an argument was changed")
        expected = found


def test_one_array_for_several_arguments() -> None:
    p = Program(tensor(33), tensor(33))
    function = p.done(p.b.sub(*p.arguments), p.b.add(*p.arguments))
    x = np.arange(33, dtype=np.float32)
    assert_same(evaluate(function, [x, x]), Way().compile(function)([x, x]))


def test_results_are_fresh() -> None:
    p = Program(tensor(4, 3))
    (x,) = p.arguments
    native = Way().compile(p.done(x, x, p.b.reshape(x, (12,)), p.b.neg(x)))
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    first = native([array])
    kept = [result.copy() for result in first]
    second = native([-array])
    pool = [array, *first, *second]
    for i, result in enumerate(pool):
        assert not any(np.shares_memory(result, other) for other in pool[:i])
    assert_same(kept, first, "a later call changed the results of an earlier one")
