"""side_by_side: rows emitted operation by operation are the rows one after the other."""

from collections.abc import Callable

import numpy as np
import pytest

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Value
from nets.ir.types import f32, index
from nets.ir.verifier import verify_function
from nets.ops.loop.accesses import address
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.side_by_side import emit_side_by_side, has_shared_loops
from tests.backend.loops import at, branch, buffer, hidden, interpret, loop, loop_function
from tests.passes.lowered import operations
from tests.property.results import assert_same

ROWS, LENGTH = 6, 5


def rows() -> tuple[Function, Operation]:
    """Of each row a sum, and differences, which two loops carry; the row below stands inside."""
    function, s = loop_function([buffer(f32, ROWS * LENGTH)], [buffer(f32, ROWS, 3)])
    x, out = function.arguments

    def row(s: LoopBuilder, i: Value) -> None:
        again = s.for_(0, 2, [s.const(0, f32)])
        with s.inside(again) as outer:
            _, total = outer.arguments
            inner = s.for_(1, LENGTH, [total, s.load(x, at((i, LENGTH)))], step=2)
            with s.inside(inner) as block:
                j, before, last = block.arguments
                value = s.load(x, at((i, LENGTH), j))
                s.yield_(s.add(before, value), s.sub(value, last))
            total, last = inner.results
            s.store(last, out, at((i, 3), 1))
            s.yield_(s.sub(total, last))
        s.store(again.result, out, at((i, 3)))
        s.store(s.cast(i, f32), out, at((i, 3), 2))

    loop(s, "for", 0, ROWS, row)
    s.emit("return")
    (op,) = (op for op in function.body if op.regions)
    return function, op


@pytest.mark.parametrize(
    ("count", "apart", "firsts"),
    [
        (1, 1, range(ROWS)),
        (2, 1, (0, 2, 4)),
        (2, 3, (0, 1, 2)),
        (3, 1, (3, 0)),
        (3, 2, (0, 1)),
        (6, 1, (0,)),
        (6, -1, (5,)),
    ],
)
def test_rows_are_those_of_the_loop(count: int, apart: int, firsts: tuple[int, ...]) -> None:
    function, op = rows()
    x = np.random.default_rng(0).standard_normal(ROWS * LENGTH).astype(np.float32)
    expected = interpret(function, [x])[1]
    s = LoopBuilder(Builder(function.body, op, None))
    for first in firsts:
        emit_side_by_side(s, op.regions[0].block, s.index(first), count, apart)
    op.erase()
    verify_function(function)
    loops = operations(function, "loop.for")
    assert [len(op.results) for op in loops] == [count, 2 * count] * len(firsts)
    assert_same(expected, interpret(function, [x])[1], function)


@pytest.mark.parametrize("apart", [1, 4])
def test_addresses_count_from_the_first_row(apart: int) -> None:
    function, op = rows()
    s = LoopBuilder(Builder(function.body, op, None))
    first = hidden(s, 0)
    emit_side_by_side(s, op.regions[0].block, first, 2, apart)
    op.erase()
    for name, stride in (("loop.load", LENGTH), ("loop.store", 3)):
        places = [address(op) for op in operations(function, name)]
        for one, other in zip(places[::2], places[1::2], strict=True):
            assert other - one == Affine((), apart * stride)
            assert one.coefficient(first) == stride


# ------------------------------------------------------------------- loops that rows share


def is_shared(fill: Callable[[LoopBuilder, Value, Value], None]) -> bool:
    """Whether the rows of a loop, inside another one, share their loops; given both counters."""
    function, s = loop_function([buffer(f32, 100)], [buffer(index, 100)])
    loop(s, "for", 0, 3, lambda s, k: loop(s, "for", 0, 4, lambda s, i: fill(s, k, i)))
    s.emit("return")
    outer = function.body.last.previous if function.body.last is not None else None
    assert outer is not None
    (inner,) = (op for op in outer.regions[0].block if op.regions)
    return has_shared_loops(inner.regions[0].block)


def nothing(s: LoopBuilder, j: Value) -> None:
    pass


def nest(s: LoopBuilder, lo: int | Value, hi: int | Value) -> None:
    """A loop with these bounds inside another one."""
    loop(s, "for", 0, 5, lambda s, j: loop(s, "for", lo, hi, nothing))


def test_loops_of_the_same_bounds_are_shared() -> None:
    assert is_shared(lambda s, k, i: None)
    assert is_shared(lambda s, k, i: loop(s, "for", 0, 5, nothing))
    assert is_shared(lambda s, k, i: loop(s, "for", k, 5, nothing))
    assert is_shared(lambda s, k, i: loop(s, "for", 0, s.const(5, index), nothing))
    assert is_shared(lambda s, k, i: nest(s, k, 9))


def test_loops_whose_bounds_the_rows_make_are_not_shared() -> None:
    assert not is_shared(lambda s, k, i: loop(s, "for", i, 5, nothing))
    assert not is_shared(lambda s, k, i: loop(s, "for", 0, i, nothing))
    assert not is_shared(lambda s, k, i: loop(s, "for", 0, s.index(Affine.of(i) + 1), nothing))
    assert not is_shared(lambda s, k, i: nest(s, i, 9))
    assert not is_shared(lambda s, k, i: nest(s, 0, i))


def test_loops_inside_whose_bounds_the_rows_make_are_not_shared() -> None:
    def inner(s: LoopBuilder, i: Value) -> None:
        loop(s, "for", 0, s.add(i, s.index(1)), nothing)

    def deep(s: LoopBuilder, k: Value, i: Value) -> None:
        loop(s, "for", 0, 5, lambda s, j: loop(s, "for", 0, 2, lambda s, _: inner(s, i)))

    def second(s: LoopBuilder, k: Value, i: Value) -> None:
        loop(s, "for", 0, 5, nothing)
        inner(s, i)

    assert not is_shared(deep)
    assert not is_shared(second)


def test_only_loops_in_order_are_shared() -> None:
    assert not is_shared(lambda s, k, i: loop(s, "parallel", 0, 5, nothing))
    assert not is_shared(lambda s, k, i: branch(s, s.compare("lt", k, s.index(2)), lambda s: None))
