"""plan_memory: buffers that live together never overlap, and the arena stays near the bound."""

import random

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.types import BufferType, f32, index
from nets.machine.machine import ALIGNMENT
from nets.ops.loop.accesses import memory_of
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.plan_memory import Lifetime, lifetimes_of
from tests.passes.lowered import Program, operations, run_loops, run_passes, tensor

BOTH = ("lower_to_loops", "plan_memory")


def random_function(seed: int, count: int) -> Function:
    """Buffers filled and read in random order, inside and outside of loops."""
    rng = random.Random(seed)
    function = Function("f", [BufferType((1,), f32)], attributes={"inputs": 0, "checks": ()})
    s = LoopBuilder(Builder(function.body))
    buffers = []
    for _ in range(count):
        if rng.random() < 0.5 or not buffers:
            buffers.append(s.alloc(BufferType((rng.choice((0, 1, 5, 64, 1000)),), f32)))
        chosen = s.view(rng.choice(buffers), BufferType((0,), f32))
        with s.inside(s.for_(0, 0)) as body:
            s.emit("tree_combine", s.view(chosen, BufferType((0, 1), f32)), combiner="add")
            s.yield_()
        assert body.arguments
    s.emit("return")
    return function


def overlap(one: Lifetime, other: Lifetime) -> bool:
    start, begin = one.op.attributes["offset"], other.op.attributes["offset"]
    in_time = one.first <= other.last and other.first <= one.last
    return in_time and start < begin + other.size and begin < start + one.size


@pytest.mark.parametrize("seed", range(20))
def test_no_overlap(seed: int) -> None:
    planned = run_passes(random_function(seed, 40), "plan_memory")
    lifetimes = lifetimes_of(planned)
    for i, one in enumerate(lifetimes):
        place = one.op.attributes["offset"]
        assert place % ALIGNMENT == 0
        assert 0 <= place <= planned.attributes["workspace_bytes"] - one.size
        assert not any(overlap(one, other) for other in lifetimes[:i])
    assert planned.attributes["workspace_bytes"] >= planned.attributes["live_bytes"]


def test_the_arena_is_near_the_bound() -> None:
    gaps = []
    for seed in range(30):
        planned = run_passes(random_function(seed, 60), "plan_memory")
        live = planned.attributes["live_bytes"]
        gaps.append(planned.attributes["workspace_bytes"] / live if live else 1.0)
    assert np.mean(gaps) < 1.03


def test_a_chain_of_kernels_needs_two_buffers() -> None:
    p = Program(tensor(16, 16))
    value = p.arguments[0]
    for _ in range(10):
        value = p.b.emit("matmul", value, value)
    loops = run_passes(p.done(value), "lower_to_loops", "plan_memory")
    assert loops.attributes["workspace_bytes"] == 2 * 16 * 16 * 4
    assert {op.attributes["offset"] for op in operations(loops, "loop.alloc")} == {0, 1024}


def test_what_an_operation_writes_does_not_lie_where_it_reads() -> None:
    for shape in ((16, 16), (3, 16, 16)):
        p = Program(tensor(*shape))
        (x,) = p.arguments
        first = p.b.emit("matmul", x, x)
        loops = run_passes(p.done(p.b.emit("matmul", p.b.emit("matmul", first, x), x)), *BOTH)
        for op in operations(loops, "loop.gemm"):
            *read, written = (memory_of(operand).operation for operand in op.operands)
            offsets = {buffer.attributes["offset"] for buffer in read if buffer is not None}
            assert written is None or written.attributes["offset"] not in offsets


def test_programs_run_in_the_planned_arena() -> None:
    p = Program(tensor(4, 4))
    value = p.b.emit("matmul", p.b.neg(p.arguments[0]), p.arguments[0])
    function = p.done(p.b.emit("matmul", value, value))
    loops = run_passes(function, "lower_to_loops", "plan_memory")
    arrays = [np.arange(16, dtype=np.float32).reshape(4, 4)]
    np.testing.assert_array_equal(run_loops(loops, arrays)[0], evaluate(function, arrays)[0])


def test_no_buffers() -> None:
    p = Program(tensor(4))
    loops = run_passes(p.done(p.b.neg(p.arguments[0])), "lower_to_loops", "plan_memory")
    assert loops.attributes["workspace_bytes"] == loops.attributes["live_bytes"] == 0


def test_a_slice_keeps_the_whole_alive() -> None:
    """What is reached by way of a slice is in use as long as the slice is."""
    function = Function("f", [BufferType((4,), f32)], attributes={"inputs": 0, "checks": ()})
    (out,) = function.arguments
    s = LoopBuilder(Builder(function.body))
    whole = s.alloc(BufferType((2, 4), f32))
    part = s.slice(whole, s.const(1, index), BufferType((4,), f32), 4)
    other = s.alloc(BufferType((2, 4), f32))
    for target, value in ((part, 1.0), (other, 2.0)):
        s.store(s.const(value, f32), target, Affine())
    s.store(s.add(s.load(part, Affine()), s.load(other, Affine())), out, Affine())
    s.emit("return")
    planned = run_passes(function, "plan_memory")
    assert sorted(op.attributes["offset"] for op in operations(planned, "loop.alloc")) == [0, 64]
    assert run_loops(planned, [])[0][0] == 3
