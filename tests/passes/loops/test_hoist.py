"""hoist: what moves out of loops, what must not, and that no bit changes."""

import numpy as np
import pytest

from nets.ir.clone import clone_function
from nets.ir.core import Function, Value
from nets.ir.types import VectorType, f32, i64, index
from nets.ir.verifier import verify_function
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.hoist import hoist
from nets.passes.loops.vectorize import vectorize
from nets.passes.manager import Options
from nets.passes.simplify.cse import cse
from tests.backend.loops import (
    at,
    branch,
    buffer,
    hidden,
    interpret,
    loop,
    loop_function,
    reduce,
)
from tests.property.results import assert_same

X = np.arange(1, 9, dtype=np.float32)


def hoisted(function: Function, *inputs: np.ndarray) -> Function:
    """The function after the pass and cse, with the same bits; a second time changes nothing."""
    expected = interpret(function, inputs)
    result = cse(hoist(clone_function(function), Options()), Options())
    verify_function(result)
    found = interpret(result, inputs)
    assert found[0] == expected[0]
    assert_same(expected[1], found[1], result)
    assert str(hoist(clone_function(result), Options())) == str(result)
    return result


def inside(function: Function) -> list[str]:
    """Names of the operations in the innermost loop."""
    op = next(iter(op for op in reversed(list(function.walk())) if op.regions))
    return [inner.name.removeprefix("loop.") for inner in op.regions[0].block]


def scaled(lo: int | Value, hi: int | Value, s: LoopBuilder, function: Function) -> None:
    """out[i] = x[i] · (y[3] + 1)."""
    x, y, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        factor = s.add(s.load(y, at(3)), s.const(1, f32))
        s.store(s.mul(s.load(x, at(i)), factor), out, at(i))

    loop(s, "for", lo, hi, body)


def three_buffers() -> tuple[Function, LoopBuilder]:
    return loop_function([buffer(f32, 8), buffer(f32, 8)], [buffer(f32, 8)])


def test_invariant_operations_and_loads_move() -> None:
    function, s = three_buffers()
    scaled(0, 8, s, function)
    s.emit("return")
    assert inside(hoisted(function, X, X)) == ["load", "mul", "store", "yield"]


def test_out_of_several_loops() -> None:
    function, s = three_buffers()
    loop(s, "parallel", 0, 3, lambda s, i: scaled(0, 8, s, function))
    s.emit("return")
    result = hoisted(function, X, X)
    assert "load" not in [op.name for op in result.body.last.previous.regions[0].block]
    assert inside(result) == ["load", "mul", "store", "yield"]


def test_a_load_of_what_the_loop_writes_stays() -> None:
    """Also through a view, and where a kernel writes."""
    for use_kernel in (False, True):
        function, s = loop_function([buffer(f32, 8)], [buffer(f32, 8)])
        x, out = function.arguments
        part = s.view(out, buffer(f32, 2, 2), 2)
        loop(s, "for", 0, 8, lambda s, i, out=out: s.store(s.const(1, f32), out, at(i)))

        def body(
            s: LoopBuilder, i: Value, x: Value = x, out: Value = out, part: Value = part
        ) -> None:
            s.store(s.add(s.load(part, at(1)), s.load(x, at(i))), out, at(3))

        def kernel(s: LoopBuilder, i: Value, out: Value = out, part: Value = part) -> None:
            s.emit("tree_combine", part, combiner="add")
            s.store(s.load(out, at(2)), out, at(0))

        loop(s, "for", 0, 4, kernel if use_kernel else body)
        s.emit("return")
        assert inside(hoisted(function, X)).count("load") == (1 if use_kernel else 2)


@pytest.mark.parametrize("kernel", ["gemm", "conv"])
def test_a_load_of_what_a_kernel_makes_stays(kernel: str) -> None:
    """What it reads is loaded once, before the loop; what it makes, behind it in every step."""
    shape = (1,) * (3 if kernel == "gemm" else 4)
    function, s = loop_function([buffer(f32, *shape)] * 2, [buffer(f32, *shape), buffer(f32, 8)])
    x, y, made, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        if kernel == "gemm":
            s.emit("gemm", x, y, made, transpose_x=False, transpose_y=False)
        else:
            pairs = {"steps": (1, 1), "low": (0, 0), "dilation": (1, 1)}
            s.emit("conv", x, y, made, role="output", groups=1, **pairs)
        s.store(s.add(s.load(made, at(0)), s.load(x, at(0))), out, at(i))

    loop(s, "for", 0, 8, body)
    s.emit("return")
    ones = np.ones(shape, np.float32)
    assert inside(hoisted(function, ones, ones)) == [kernel, "load", "add", "store", "yield"]


def test_a_load_that_may_not_happen_stays() -> None:
    """Its address may be out of bounds; a constant one within bounds moves all the same."""
    function, s = loop_function([buffer(f32, 8), buffer(i64, 2)], [buffer(f32, 8)])
    x, where, out = function.arguments
    place = s.cast(s.load(where, at(0)), index)
    count = s.cast(s.load(where, at(1)), index)

    def body(s: LoopBuilder, i: Value) -> None:
        s.store(s.add(s.load(x, at(place)), s.load(x, at(7))), out, at(i))

    loop(s, "for", 0, 8, lambda s, i: s.store(s.const(0, f32), out, at(i)))
    loop(s, "for", 0, count, body)
    s.emit("return")
    result = hoisted(function, X, np.array([100, 0]))
    assert inside(result) == ["load", "add", "store", "yield"]
    hoisted(function, X, np.array([5, 8]))


def test_a_load_in_a_branch_stays_there() -> None:
    function, s = loop_function([buffer(f32, 8), buffer(i64)], [buffer(f32, 8)])
    x, where, out = function.arguments
    place = s.cast(s.load(where, at()), index)
    loop(s, "for", 0, 8, lambda s, i: s.store(s.const(0, f32), out, at(i)))
    inside_ = s.compare("lt", place, s.const(8, index))
    branch(s, inside_, lambda s: s.store(s.load(x, at(place)), out, at(0)))
    s.emit("return")
    assert inside(hoisted(function, X, np.array(100))) == ["load", "store", "yield"]


def test_vectors_stay_in_the_outermost_loop() -> None:
    """They would have to be passed to the threads that run it."""
    function, s = three_buffers()
    loop(s, "for", 0, 3, lambda s, i: scaled(0, 8, s, function))
    s.emit("return")
    result = hoisted(vectorize(function, Options()), X, X)
    assert not [op for op in result.body for v in op.results if isinstance(v.type, VectorType)]
    (nest,) = (op for op in result.body if op.regions)
    assert "loop.splat" in [op.name for op in nest.regions[0].block]
    assert inside(result) == ["load", "mul", "store", "yield"]


def test_equal_operations_are_merged() -> None:
    function, s = three_buffers()
    scaled(0, 4, s, function)
    scaled(hidden(s, 4), hidden(s, 8), s, function)
    s.emit("return")
    result = hoisted(function, X, X)
    assert sum(op.name == "loop.add" for op in result.walk()) == 2
    assert sum(op.name == "loop.const" for op in result.body) == 4


def test_reductions_are_left_alone() -> None:
    function, s = loop_function([buffer(f32, 8)], [buffer(f32)])
    x, out = function.arguments
    (total,) = reduce(s, 8, ("add",), lambda s, i: [s.mul(s.load(x, at(i)), s.load(x, at(0)))])
    s.store(total, out, at())
    s.emit("return")
    hoisted(function, X)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_operations(threads: int) -> None:
    """A body of thousands of operations takes no recursion and moves in one go."""
    function, s = three_buffers()
    x, y, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        value = s.load(y, at(0))
        for _ in range(3000):
            value = s.add(value, s.load(y, at(1)))
        s.store(s.mul(value, s.load(x, at(i))), out, at(i))

    loop(s, "parallel" if threads > 1 else "for", 0, 8, body)
    s.emit("return")
    assert len(inside(hoist(function, Options(threads=threads)))) == 4
