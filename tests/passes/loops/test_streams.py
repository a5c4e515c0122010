"""Large arrays that are read in several places at once: the bits of one place after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.ir.core import Function, Operation
from nets.machine.table import V3
from nets.ops.definition.registry import Array
from tests.passes.lowered import parallelize_everything, run_loops
from tests.property.compiled import Way
from tests.property.results import assert_native, assert_same

REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "sum of rows": lambda x: x.sum(axis=1),
    "largest of rows": lambda x: x.max(axis=1),
    "where the largest are": lambda x: x.argmax(axis=1),
    "variance": lambda x: x.var(),
    "product of two": lambda x: (x * x[::-1]).sum(axis=1),
    "columns": lambda x: x.sum(axis=0),
    "gradient": lambda x: nets.grad(lambda x: (x * x).sum())(x),
}
SHAPES = [(3, 70), (4, 64), (7, 1100), (41, 130), (64, 1024)]

# How a dtype changes the loops is by its vectors alone, so the others take some of the shapes.
CASES = [
    *((np.float32, shape) for shape in SHAPES),
    *((np.float64, shape) for shape in ((7, 1100), (41, 130))),
    *((np.int32, shape) for shape in ((3, 70), (64, 1024))),
]


def traced(function: Callable[[Any], Any], x: Array) -> Function:
    return nets.trace(function).lower(x).function


def streams_of(function: Function) -> list[Operation]:
    """The parallel loops that read in several places."""
    return [
        op
        for op in Way().compilation(function).loops.walk()
        if op.name == "loop.for" and len(op.operands) > 2 + 8 * (V3.streams - 1)
    ]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(("dtype", "shape"), CASES)
@pytest.mark.sampled(11)
def test_the_bits_are_those_of_one_place(
    name: str, dtype: type, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype is np.int32 and name in ("variance", "gradient"):
        pytest.skip("of floats only")
    x = (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)
    function = traced(REDUCTIONS[name], x)
    expected = Way().compile(function)([x])
    assert_native(function, [x], expected)
    parallelize_everything(monkeypatch)
    ways = (Way(), Way(threads=2, vector_bytes=64))
    for way in ways if dtype is np.float32 else ways[1:]:
        assert_same(expected, way.compile(function)([x]), function)
    if x.size <= 8000:  # which takes the strict interpreter long enough
        # No access outside a buffer, nothing read that was not stored.
        loops = Way().compilation(function).loops
        assert_same(expected, run_loops(loops, [x]), function)


def test_only_large_arrays_in_one_run_are_worth_it() -> None:
    large, small = np.ones((4096, 1024), np.float32), np.ones((1024, 1024), np.float32)
    assert streams_of(traced(REDUCTIONS["sum of rows"], large))
    assert streams_of(traced(REDUCTIONS["sum"], large))
    assert not streams_of(traced(REDUCTIONS["sum of rows"], small))
    assert not streams_of(traced(REDUCTIONS["columns"], large))
    assert not streams_of(traced(lambda x: nets.exp(x).sum(axis=1), large))
