"""parallelize: which loops run in threads."""

import pytest

from nets.ir.affine import Affine
from nets.ir.core import Function, Value
from nets.ir.types import f32
from nets.ir.verifier import verify_function
from nets.machine.table import V3
from nets.ops.loop.kernels import is_work_for_threads
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.parallelize import parallelize
from nets.passes.manager import Options
from tests.backend.loops import at, buffer, hidden, loop, loop_function


def rows(count: int | None, length: int, name: str = "for") -> Function:
    """A parallel loop over rows of a loop over elements; None hides the count."""
    function, s = loop_function([buffer(f32, 100)], [buffer(f32, 100)])
    x, out = function.arguments

    def row(s: LoopBuilder, i: Value) -> None:
        loop(s, name, 0, length, lambda s, j: s.store(s.load(x, at(i)), out, at(i)))

    loop(s, "parallel", 0, hidden(s, 100) if count is None else count, row)
    s.emit("return")
    return function


def loops(function: Function, threads: int) -> list[str]:
    result = parallelize(function, Options(threads=threads))
    verify_function(result)
    text = str(result)
    assert str(parallelize(result, Options(threads=threads))) == text
    return [op.name.removeprefix("loop.") for op in result.walk() if op.regions]


@pytest.mark.parametrize("count", [None, 100])
def test_much_work_stays_parallel(count: int | None) -> None:
    assert loops(rows(count, 100_000), threads=2) == ["parallel", "for"]


def test_one_thread_has_no_parallel_loops() -> None:
    assert loops(rows(100, 100_000), threads=1) == ["for", "for"]


def test_little_work_is_serial() -> None:
    assert loops(rows(100, 3), threads=2) == ["for", "for"]
    assert loops(rows(100, 0), threads=2) == ["for", "for"]


def test_one_iteration_is_serial() -> None:
    assert loops(rows(1, 100_000), threads=2) == ["for", "for"]


def test_an_inner_loop_may_be_worth_it() -> None:
    assert loops(rows(1, 100_000, name="parallel"), threads=2) == ["for", "parallel"]
    assert loops(rows(1, 100, name="parallel"), threads=2) == ["for", "for"]


def test_only_the_outermost_is_parallel() -> None:
    assert loops(rows(100, 1000, name="parallel"), threads=2) == ["parallel", "for"]


def blocks(count: int, length: int, end: int, *, whole: bool) -> Function:
    """A parallel loop over blocks of a function of elements, the last of which may be shorter."""
    function, s = loop_function([buffer(f32, end)], [buffer(f32, end)])
    x, out = function.arguments

    def block(s: LoopBuilder, i: Value) -> None:
        lo = s.index(Affine.of(i) * length)
        hi = s.binary("min", s.index(Affine.of(lo) + length), s.index(end))
        if not whole:
            span = s.binary("and", s.sub(hi, lo), s.index(-8))
            hi = s.add(lo, s.binary("max", span, s.index(0)))
        with s.inside(s.for_(lo, hi)) as body:
            (at_j,) = body.arguments
            s.store(s.math("exp", s.load(x, at(at_j))), out, at(at_j))
            s.yield_()

    loop(s, "parallel", 0, count, block)
    s.emit("return")
    return function


@pytest.mark.parametrize("whole", [True, False])
def test_blocks_that_may_be_shorter_count_as_whole_ones(whole: bool) -> None:
    assert loops(blocks(4, 1000, 3995, whole=whole), threads=2) == ["parallel", "for"]
    assert loops(blocks(4, 100, 395, whole=whole), threads=2) == ["for", "for"]


def test_nor_is_what_stands_in_a_loop_of_a_parallel_one() -> None:
    function, s = loop_function([buffer(f32, 100)], [buffer(f32, 100)])
    x, out = function.arguments

    def innermost(s: LoopBuilder, k: Value) -> None:
        loop(s, "for", 0, 1000, lambda s, j: s.store(s.load(x, at(k)), out, at(k)))

    def outermost(s: LoopBuilder, i: Value) -> None:
        loop(s, "for", 0, 100, lambda s, j: loop(s, "parallel", 0, 100, innermost))

    loop(s, "parallel", 0, 100, outermost)
    s.emit("return")
    assert loops(function, threads=2) == ["parallel", "for", "for", "for"]


def chain(*copies: tuple[str, int, int]) -> list[str]:
    """What becomes of loops that copy from a buffer to another one, in this order."""
    function, s = loop_function([buffer(f32, 16, 1000)] * 2, [buffer(f32, 16, 1000)] * 2)
    for name, source, target in copies:
        x, out = function.arguments[source], function.arguments[target]

        def row(s: LoopBuilder, i: Value, x: Value = x, out: Value = out) -> None:
            with s.inside(s.for_(0, 1000)) as block:
                place = at((i, 1000), block.arguments[0])
                s.store(s.load(x, place), out, place)
                s.yield_()

        loop(s, name, 0, 16, row)
    s.emit("return")
    return loops(function, threads=2)[::2]


@pytest.mark.parametrize(
    ("neighbour", "source", "target", "kept"),
    [
        ("for", 0, 3, "parallel"),  # nothing in common
        ("for", 1, 3, "parallel"),  # both read
        ("for", 0, 1, "for"),  # one CPU writes what two would read
        ("for", 2, 3, "for"),  # one CPU reads what two would write
        ("parallel", 0, 1, "parallel"),  # each CPU finds its part
    ],
)
def test_lines_that_change_cpus_cost(neighbour: str, source: int, target: int, kept: str) -> None:
    assert chain((neighbour, source, target), ("parallel", 1, 2)) == [neighbour, kept]


def test_a_loop_that_turns_serial_is_the_next_ones_neighbour() -> None:
    copies = [("for", 0, 1), ("parallel", 1, 2), ("parallel", 2, 3)]
    assert chain(*copies) == ["for", "for", "for"]
    assert chain(*copies[1:]) == ["parallel", "parallel"]


@pytest.mark.parametrize(
    ("size", "alone", "another"),
    [(32, False, False), (64, True, False), (128, True, True)],
)
def test_kernels_pay_for_what_they_exchange(size: int, alone: bool, another: bool) -> None:
    square = buffer(f32, 1, size, size)
    function, s = loop_function([square, square], [square])
    x, y, out = function.arguments
    flat = buffer(f32, size, size)
    operands = (s.view(s.view(x, flat), square), y, out)
    s.emit("gemm", *operands, transpose_x=False, transpose_y=False)
    kernel = next(op for op in function.walk() if op.name == "loop.gemm")
    assert is_work_for_threads(kernel, V3) == alone
    s.store(s.const(0, f32), x, at(0))
    assert is_work_for_threads(kernel, V3) == another
