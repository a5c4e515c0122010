"""handover: how many cache lines a parallel loop exchanges with code that one thread runs."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nets.ir.core import Function, Operation, Value
from nets.ir.types import f32
from nets.machine.table import V3
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.handover import Handovers
from tests.backend.loops import at, buffer, copy, loop, loop_function

SIZE = 1600
LINES = SIZE * 4 // V3.line_bytes + 1
"""Of a whole buffer."""

Part = Callable[[LoopBuilder, Value, Value], None]
"""A part of a program with two buffers."""


def reading(name: str, count: int = SIZE) -> Part:
    """Read the first buffer, so many elements in a loop."""
    return lambda s, x, out: loop(
        s, name, 0, count, lambda s, i: s.store(s.load(x, at(i)), s.scratch(buffer(f32, 1)), at())
    )


def writing(name: str, count: int = SIZE) -> Part:
    """Write to the first buffer."""
    return lambda s, x, out: loop(
        s, name, 0, count, lambda s, i: s.store(s.const(0, f32), x, at(i))
    )


def program(*parts: Part) -> tuple[Function, list[Operation]]:
    """The parts one after the other, and their loops."""
    function, s = loop_function([], [buffer(f32, SIZE), buffer(f32, SIZE)])
    for part in parts:
        part(s, *function.arguments)
    s.emit("return")
    return function, [op for op in function.body if op.regions]


def lines(*parts: Part, shared: tuple[int, ...] = (), of: int = 0) -> int:
    """The lines that one of the loops exchanges, where those of these numbers are shared."""
    function, loops = program(*parts)
    return Handovers(function, V3).lines(loops[of], {loops[number] for number in shared})


def test_what_another_one_has_written_is_exchanged() -> None:
    assert lines(reading("parallel"), writing("for")) == LINES
    assert lines(writing("parallel"), reading("for")) == LINES
    assert lines(writing("parallel"), writing("for")) == LINES


def test_what_all_only_read_is_not() -> None:
    assert lines(reading("parallel"), reading("for")) == 0


def test_what_is_touched_alone_is_not() -> None:
    assert lines(writing("parallel")) == 0
    assert lines(writing("parallel"), lambda s, x, out: copy(s, out, out, SIZE)) == 0


def test_shared_loops_exchange_nothing() -> None:
    parts = writing("parallel"), reading("parallel")
    assert lines(*parts, shared=(0, 1)) == 0
    assert lines(*parts, shared=(1,)) == 0
    assert lines(*parts, shared=(0,)) == LINES
    assert lines(*parts) == LINES


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_fewer_lines_of_both_sides_count(count: int) -> None:
    """An access is to a line of its own."""
    assert lines(reading("parallel"), writing("for", count)) == count
    assert lines(reading("parallel", count), writing("for")) == count


def test_the_largest_touches_of_both_sides_count() -> None:
    parts = reading("parallel", 9), writing("for", 3), reading("for"), writing("for", 5)
    assert lines(*parts) == 5


def test_loops_inside_of_loops_touch_more() -> None:
    def nest(s: LoopBuilder, x: Value, out: Value) -> None:
        loop(s, "for", 0, 3, lambda s, _: writing("for", 4)(s, x, out))

    assert lines(reading("parallel"), nest) == 12


def test_a_parallel_loop_in_a_serial_one_is_seen() -> None:
    def around(s: LoopBuilder, x: Value, out: Value) -> None:
        loop(s, "for", 0, 3, lambda s, _: writing("parallel")(s, x, out))

    function, loops = program(around, reading("for"))
    (inner,) = (op for op in loops[0].regions[0].block if op.regions)
    assert Handovers(function, V3).lines(inner, set()) == LINES


def test_all_memories_of_a_loop_add_up() -> None:
    def both(s: LoopBuilder, x: Value, out: Value) -> None:
        loop(s, "parallel", 0, SIZE, lambda s, i: s.store(s.load(x, at(i)), out, at(i)))

    def later(s: LoopBuilder, x: Value, out: Value) -> None:
        reading("for", 6)(s, out, x)

    assert lines(both, writing("for", 5), later) == 11
    assert lines(both, reading("for", 5), later) == 6


def test_views_are_their_buffer() -> None:
    def beginning(s: LoopBuilder, x: Value, out: Value) -> None:
        writing("for", 9)(s, s.view(x, buffer(f32, 10)), out)

    assert lines(reading("parallel"), beginning) == 9


def test_what_does_not_stay_in_the_cache_does_not_count() -> None:
    function, loops = program(reading("parallel"), writing("for"))
    small = replace(V3, kept_bytes=V3.line_bytes * 4)
    assert Handovers(function, small).lines(loops[0], set()) == 5


# ------------------------------------------------------------------------------- kernels


def product(size: int, *, into: bool) -> Part:
    """A product of matrices that reads the first buffer, or writes to it."""

    def part(s: LoopBuilder, x: Value, out: Value) -> None:
        type = buffer(f32, 1, size, size)
        views = [s.view(memory, type) for memory in ((out, out, x) if into else (x, out, out))]
        s.emit("gemm", *views, transpose_x=False, transpose_y=False)

    return part


def test_kernels_write_to_their_last_buffer() -> None:
    """All of it, and read all of the others."""
    touched = 8 * 8 * 4 // V3.line_bytes + 1
    assert lines(reading("parallel"), product(8, into=True)) == touched
    assert lines(reading("parallel"), product(8, into=False)) == 0
    assert lines(writing("parallel"), product(8, into=False)) == touched


def test_kernels_that_threads_share_exchange_nothing() -> None:
    parts = writing("parallel"), product(40, into=False)
    function, loops = program(*parts)
    assert Handovers(function, V3).lines(loops[0], set()) == LINES
    assert Handovers(function, replace(V3, fork_cycles=1)).lines(loops[0], set()) == 0
