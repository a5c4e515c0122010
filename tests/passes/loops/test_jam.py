"""Stencils: rows in pairs and vectors out of whole cache lines give the elements of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.ir.core import Function, Value
from nets.ir.types import f32
from nets.machine.table import V3
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.jam import jam
from nets.passes.manager import Options
from tests.backend.loops import at, buffer, interpret, loop, loop_function
from tests.property.results import assert_same


def diffused(module: Any, field: Any) -> Any:
    """Two steps: each element and its neighbours."""
    for _ in range(2):
        around = module.pad(field, 1)
        beside = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        field = field * 0.5 + beside * 0.125
    return field


@pytest.mark.parametrize("cpu", ["", "x86-64-v3"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 64), (2, 33), (5, 48), (64, 256)])
@pytest.mark.sampled(5)
def test_stencils_have_the_bits_of_numpy(
    shape: tuple[int, int], dtype: type, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CPU", cpu)
    field = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = diffused(np, field)
    for threads in (1, 2):
        step = nets.trace(lambda x: diffused(nets, x), threads=threads)
        np.testing.assert_array_equal(step(field).numpy(), expected)


# ---------------------------------------------------------------------------- which rows


def rows(stride: int, store_at: int) -> Function:
    """In each row two vectors of x, one of the row below, and a number that is stored."""
    function, s = loop_function([buffer(f32, 200)], [buffer(f32, 200)])
    x, out = function.arguments

    def row(s: LoopBuilder, i: Value) -> None:
        def columns(s: LoopBuilder, j: Value) -> None:
            vectors = [
                s.emit("load", x, i, j, lanes=8, offset=shift, strides=(16, 8)).result
                for shift in (0, 16)
            ]
            s.emit("store", s.add(*vectors), out, i, j, offset=0, strides=(stride, 8))

        loop(s, "for", 0, 2, columns)
        s.store(s.const(-1, f32), out, at((i, stride), store_at))

    loop(s, "for", 0, 6, row)
    s.emit("return")
    return function


@pytest.mark.parametrize(
    ("stride", "store_at", "is_jammed"),
    [(17, 16, True), (17, 17, False), (16, 15, True), (16, 16, False), (24, 20, True)],
)
def test_rows_that_touch_stay_in_order(stride: int, store_at: int, is_jammed: bool) -> None:
    function = rows(stride, store_at)
    x = np.arange(200, dtype=np.float32)
    expected = interpret(function, [x])
    result = jam(function, Options(machine=V3))
    steps = [op.attributes["step"] for op in result.body if op.name == "loop.for"]
    assert steps == ([2] if is_jammed else [1])
    assert_same(expected[1], interpret(result, [x])[1], result)
