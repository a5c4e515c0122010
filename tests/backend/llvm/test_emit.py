"""Structure of emitted code: loops, branches, checks, memory, parallel loops, kernels."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from nets.backend.llvm.emit import emit_module, workspace_bytes
from nets.backend.llvm.module import INLINED_CALLS
from nets.backend.llvm.structure import NEST_SIZE
from nets.backend.llvm.target import assembly, host, machine_of, object_code
from nets.errors import CompileError
from nets.ir.core import Function, Value
from nets.ir.types import TENSOR_DTYPES, DType, bool_, f32, f64, i32, i64, index
from nets.machine.table import V3
from nets.ops.loop.loop_builder import LoopBuilder
from tests.backend.loops import (
    Fill,
    at,
    branch,
    buffer,
    copy,
    hidden,
    interpret,
    loop,
    loop_function,
)
from tests.backend.native import Native, backward_pool
from tests.machines import let_every_machine_have
from tests.property.results import assert_same

X = np.arange(1, 8, dtype=np.float32)


def check_native(function: Function, *inputs: np.ndarray, status: int = 0) -> Native:
    """Native status and outputs are those of the interpreter, serial and in threads."""
    expected = interpret(function, inputs)
    assert expected[0] == status
    native = Native(function)
    for pool in (None, backward_pool(1), backward_pool(3)):
        found = native.run(*inputs, pool=pool)
        assert found[0] == status
        assert_same(expected[1], found[1], function)
    return native


# ------------------------------------------------------------------------------ structure


@pytest.mark.parametrize("is_hidden", [False, True])
@pytest.mark.parametrize("bounds", [(0, 7, 1), (3, 3, 1), (5, 2, 1), (1, 2, 3), (0, 7, 3)])
def test_carried_values(bounds: tuple[int, int, int], is_hidden: bool) -> None:
    """A loop gives the last values it carried, or the first ones if it did not run."""
    function, s = loop_function([buffer(f32, 7)], [buffer(f32), buffer(i64)])
    x, total, last = function.arguments
    lo, hi = [hidden(s, bound) if is_hidden else bound for bound in bounds[:2]]
    op = s.for_(lo, hi, [s.const(0.5, f32), s.const(-1, index)], step=bounds[2])
    with s.inside(op) as block:
        i, sum_, _ = block.arguments
        s.yield_(s.add(sum_, s.load(x, at(i))), i)
    s.store(op.results[0], total, at())
    s.store(s.cast(op.results[1], i64), last, at())
    s.emit("return")
    check_native(function, X)


def test_values_swap_places() -> None:
    """Carried values that are yielded crosswise do not overwrite each other."""
    function, s = loop_function([], [buffer(i64), buffer(i64)])
    op = s.for_(0, 5, [s.const(1, i64), s.const(2, i64)])
    with s.inside(op) as block:
        _, x, y = block.arguments
        s.yield_(y, s.add(x, y))
    for value, out in zip(op.results, function.arguments, strict=True):
        s.store(value, out, at())
    s.emit("return")
    check_native(function)


def test_branches() -> None:
    """Addresses made inside a branch are not used behind it."""
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 14)])
    x, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        place = at((i, 2))
        s.store(s.const(0, f32), out, place)
        s.store(s.const(0, f32), out, place + 1)

        def then(s: LoopBuilder) -> None:
            loop(s, "for", 0, 2, lambda s, j: s.store(s.load(x, at(i)), out, at((i, 2), j)))

        branch(s, s.compare("gt", s.load(x, at(i)), s.const(3, f32)), then)
        s.store(s.add(s.load(out, place), s.const(1, f32)), out, place)

    loop(s, "for", 0, 7, body)
    s.emit("return")
    check_native(function, X)


def copy_rows(s: LoopBuilder, name: str, x: Value, out: Value, rows: int) -> None:
    """out[i, j] = x[i, j] + i for rows of 5."""

    def row(s: LoopBuilder, i: Value) -> None:
        extra = s.cast(i, f32)

        def element(s: LoopBuilder, j: Value) -> None:
            s.store(s.add(s.load(x, at((i, 5), j)), extra), out, at((i, 5), j))

        loop(s, "for", 0, 5, element)

    loop(s, name, 0, rows, row)


def test_parallel_loops() -> None:
    function, s = loop_function([buffer(f32, 20, 5)], [buffer(f32, 20, 5)])
    copy_rows(s, "parallel", *function.arguments, 20)
    s.emit("return")
    check_native(function, np.arange(100, dtype=np.float32).reshape(20, 5))


def test_parallel_loops_see_the_values_around_them() -> None:
    """Bounds, scalars and a loop counter reach the function of the range."""
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 4, 7)])
    x, out = function.arguments
    factor = s.load(x, at(2))
    flag = s.compare("gt", factor, s.load(x, at(0)))

    def outer(s: LoopBuilder, i: Value) -> None:
        def inner(s: LoopBuilder, j: Value) -> None:
            value = s.mul(s.load(x, at(j)), s.add(factor, s.cast(i, f32)))
            s.store(s.select(flag, value, factor), out, at((i, 7), j))

        loop(s, "parallel", 0, 7, inner)
        loop(s, "parallel", hidden(s, 3), s.add(i, s.const(1, index)), inner)

    loop(s, "for", 0, 4, outer)
    s.emit("return")
    check_native(function, X)


def test_inner_parallel_loops_are_serial() -> None:
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 3, 7)])
    x, out = function.arguments

    def row(s: LoopBuilder, i: Value) -> None:
        loop(s, "parallel", 0, 7, lambda s, j: s.store(s.load(x, at(j)), out, at((i, 7), j)))

    loop(s, "parallel", 0, 3, row)
    s.emit("return")
    assert check_native(function, X).text.count("@entry.dispatch(ptr %pool, ptr @") == 1


def test_large_programs_are_many_functions() -> None:
    """Nests share functions up to a size, and run in order around what stands between them."""
    count = 2 * NEST_SIZE // 8
    function, s = loop_function([buffer(f32, 20, 5)], [buffer(f32, 20, 5), buffer(f32, count)])
    x, out, totals = function.arguments
    copy_rows(s, "for", x, out, 20)
    for number in range(count):
        copy_rows(s, "for", out, out, 20)
        value = s.const(0, f32)
        if number % 7 == 3:
            value = s.mul(s.load(out, at(3)), s.load(out, at(99)))
        if number % 7 == 5:
            value = _sum(s, out, 100)
        if number % 5 == 3:
            s.store(value, totals, at(number))
        else:
            loop(
                s, "for", hidden(s, 0), 1, lambda s, i, v=value, n=number: s.store(v, totals, at(n))
            )
    s.emit("return")
    native = check_native(function, np.ones((20, 5), np.float32))
    assert 3 < native.text.count("define internal void @entry.n") < count


def _filler(value: Value, out: Value) -> Fill:
    return lambda s, i: s.store(value, out, at(i))


def _sum(s: LoopBuilder, x: Value, count: int) -> Value:
    op = s.for_(0, count, [s.const(0, f32)])
    with s.inside(op) as block:
        i, total = block.arguments
        s.yield_(s.add(total, s.load(x, at(i))))
    return op.result


def test_parallel_loops_without_iterations() -> None:
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 7)])
    x, out = function.arguments

    def row(s: LoopBuilder, i: Value) -> None:
        s.store(s.load(x, at(i)), out, at(i))
        loop(s, "parallel", 3, 3, lambda s, j: s.store(s.const(9, f32), out, at(j)))

    loop(s, "parallel", 0, 7, row)
    loop(s, "parallel", 4, 2, lambda s, i: s.store(s.const(9, f32), out, at(i)))
    s.emit("return")
    check_native(function, X)


# --------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(("bad", "code"), [((), 0), ((4,), 3), ((1,), 2), ((1, 4), 2)])
def test_the_lowest_failed_check_counts(bad: tuple[int, ...], code: int) -> None:
    """Whatever the order and the threads; and execution goes on."""
    function, s = loop_function([buffer(bool_, 7)], [buffer(i64, 7)])
    ok, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        holds = s.load(ok, at(i))
        s.check(s.binary("or", holds, s.compare("lt", i, s.const(3, index))), 3)
        s.check(s.binary("or", holds, s.compare("ge", i, s.const(3, index))), 2)
        s.store(s.cast(i, i64), out, at(i))

    loop(s, "parallel", 0, 7, body)
    s.emit("return")
    values = np.ones(7, np.bool_)
    values[list(bad)] = False
    check_native(function, values, status=code)


def test_checks_of_lanes() -> None:
    function, s = loop_function([buffer(i32, 8)], [])
    x = s.emit("load", function.arguments[0], lanes=8, offset=0, strides=()).result
    s.check(s.compare("ne", x, s.emit("splat", s.const(5, i32), lanes=8).result), 1)
    s.emit("return")
    check_native(function, np.arange(8, dtype=np.int32), status=1)
    check_native(function, np.arange(8, dtype=np.int32) + 6)


# --------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("dtype", TENSOR_DTYPES, ids=str)
def test_memory_of_every_dtype(dtype: DType) -> None:
    """Globals, arena, views, scratch memory, scalars and lanes."""
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2, 24).astype(dtype.numpy)
    function, s = loop_function([buffer(dtype, 24)], [buffer(dtype, 24)])
    x, out = function.arguments
    constants = s.emit("global", value=table).result
    place = s.emit("alloc", type=buffer(dtype, 3, 8), offset=128).result
    duplicate = s.scratch(buffer(dtype, 24))
    last = s.view(s.view(place, buffer(dtype, 16), 8), buffer(dtype, 2, 4), 8)

    def fill(s: LoopBuilder, i: Value) -> None:
        s.store(s.binary("max", s.load(x, at(i)), s.load(constants, at(i))), place, at(i))
        s.store(s.load(place, at(i)), duplicate, at(i))

    loop(s, "for", 0, 24, fill)
    for start in (0, 8):
        lanes = s.emit("load", duplicate, lanes=8, offset=start, strides=()).result
        s.emit("store", lanes, out, offset=start, strides=())
    copy(s, last, out, 8, start=16)
    s.emit("return")
    check_native(function, rng.integers(0, 2, 24).astype(dtype.numpy))


@pytest.mark.parametrize("size", [100, V3.stack_bytes // 4 + 1])
def test_scratch_memory_is_private_to_a_thread(size: int) -> None:
    """On the stack or in the workspace; also where it is made in front of a parallel loop."""
    function, s = loop_function([buffer(f32, 7)], [buffer(f32, 7)])
    x, out = function.arguments
    shared = s.scratch(buffer(f32, size))
    s.store(s.const(100, f32), shared, at(size - 1))

    def body(s: LoopBuilder, i: Value) -> None:
        mine = s.scratch(buffer(f32, size))
        s.store(s.load(x, at(i)), mine, at(size - 1))
        total = s.add(s.load(mine, at(size - 1)), s.load(shared, at(size - 1)))
        s.store(total, out, at(i))

    loop(s, "parallel", 0, 7, body)
    s.emit("return")
    native = check_native(function, X)
    bytes_of_threads = [workspace_bytes(function, native.machine, n) for n in (1, 2)]
    assert (bytes_of_threads[1] > bytes_of_threads[0]) == (4 * size > V3.stack_bytes)


def test_index_vectors() -> None:
    """Lanes one by one, backwards, with a stride, and at computed places."""
    function, s = loop_function([buffer(f32, 40), buffer(i64, 8)], [buffer(f32, 40)] * 2)
    x, places, out, scattered = function.arguments
    lanes = s.emit("lane_index", lanes=8).result
    start = hidden(s, 3)
    counters = s.add(s.emit("splat", start, lanes=8).result, lanes)
    found = s.emit("load", places, lanes=8, offset=0, strides=()).result
    computed = s.cast(found, index)

    def load(stride: int, offset: int, position: Value) -> Value:
        op = s.emit("load", x, start, position, lanes=8, offset=offset, strides=(1, stride))
        return op.result

    loop(s, "for", 0, 40, lambda s, i: s.store(s.const(0, f32), scattered, at(i)))
    for number, lanes_ in enumerate(
        (load(1, 0, counters), load(-1, 20, counters), load(3, 2, counters), load(2, 1, computed))
    ):
        s.emit("store", lanes_, out, offset=8 * number, strides=())
    s.emit("store", load(0, 0, counters), out, offset=32, strides=())
    s.emit("store", load(3, 2, counters), scattered, computed, offset=8, strides=(2,))
    s.emit("store", load(1, 2, counters), scattered, counters, offset=30, strides=(-1,))
    s.emit("return")
    check_native(function, np.arange(40, dtype=np.float32), np.array([0, 5, 1, 1, 9, 3, 2, 9]))


def test_a_program_without_buffers() -> None:
    function, s = loop_function([], [])
    s.emit("return")
    check_native(function)


# -------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 13])
def test_tree_combine(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for width in (1, 3, 8, 21):
        function, s = loop_function([buffer(f64, rows, width)], [buffer(f64, width)] * 2)
        x, *outs = function.arguments
        for combiner, out in zip(("add", "max"), outs, strict=True):
            work = s.scratch(buffer(f64, rows, width))
            copy(s, x, work, rows * width)
            s.emit("tree_combine", work, combiner=combiner)
            copy(s, work, out, width)
        s.emit("return")
        check_native(function, rng.normal(size=(rows, width)))


@pytest.mark.parametrize("size", [5, 150])
def test_gemm(size: int) -> None:
    """Alone and in threads: the same bits, and nearly those of the reference."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, size, 7)), rng.normal(size=(2, size, 7))
    inputs = [buffer(f64, *x.shape), buffer(f64, *y.shape)]
    function, s = loop_function(inputs, [buffer(f64, 2, size, size)])
    s.emit("gemm", *function.arguments, transpose_x=False, transpose_y=True)
    s.emit("return")
    native = Native(function)
    (serial,) = native.run(x, y)[1]
    np.testing.assert_allclose(serial, x @ y.swapaxes(1, 2))
    assert_same([serial], native.run(x, y, pool=backward_pool(3))[1])


# ----------------------------------------------------------------------- text and objects


def everything() -> Function:
    """A function of all parts: loops, math, reductions, globals, kernels, checks."""
    function, s = loop_function([buffer(f32, 1, 70, 70)], [buffer(f32, 1, 70, 70)])
    x, out = function.arguments
    s.emit("gemm", x, x, out, transpose_x=False, transpose_y=False)
    table = s.emit("global", value=np.arange(4900, dtype=np.float32)).result

    def body(s: LoopBuilder, i: Value) -> None:
        power = s.math("pow", s.load(out, at(i)), s.load(table, at(i)))
        value = s.binary("rem", power, s.load(x, at(i)))
        for name in ("floor", "ceil", "round", "trunc", "sqrt"):
            value = s.unary(name, value)
        s.check(s.compare("ge", value, value), 1)
        s.store(s.cast(s.binary("rem", s.cast(value, i64), s.cast(i, i64)), f32), out, at(i))

    loop(s, "parallel", 0, 4900, body)
    work = s.scratch(buffer(f32, 70, 70))
    loop(s, "for", 0, 4900, lambda s, i: s.store(s.const(0, f32), work, at(i)))
    s.emit("tree_combine", work, combiner="add")
    s.emit("return")
    return function


@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64-v4", "znver3"])
def test_objects_need_nothing(cpu: str, tmp_path: Path) -> None:
    """No symbol from outside but what LLVM may make of copies and fills; one entry."""
    target = machine_of(cpu)
    path = tmp_path / "x.o"
    path.write_bytes(object_code(emit_module(everything(), "entry", target), target))
    listed = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= {"memcpy", "memset", "memmove"}
    assert [name for kind, name in symbols if kind in "TDBVWC"] == ["entry"]
    assert not [name for kind, name in symbols if kind in "dDbB"], "writable data"


def test_text_and_objects_are_the_same_each_time() -> None:
    target = host()
    texts = {emit_module(everything(), "entry", target) for _ in range(2)}
    assert len(texts) == 1
    assert len({object_code(text, target) for text in texts for _ in range(2)}) == 1


def test_targets() -> None:
    assert machine_of("x86-64-v4").vector_bytes == 64
    assert machine_of("") == host()
    text = emit_module(everything(), "entry", machine_of("x86-64-v4"))
    assert "%zmm" in assembly(text, machine_of("x86-64-v4"))
    for cpu in ("x86-64-v1", "pentium", "cortex-a72", "x86-64-v3 "):
        with pytest.raises(CompileError, match=r"SSE4\.2"):
            machine_of(cpu)


def test_what_is_not_ready_is_an_error() -> None:
    function, s = loop_function([], [])
    s.alloc(buffer(f32, 3))
    s.emit("return")
    with pytest.raises(CompileError, match="plan_memory"):
        emit_module(function, "entry", host())
    with pytest.raises(CompileError, match="does not accept"):
        object_code("define nonsense", host())


# ------------------------------------------------------------------------- large results


def _filled(vectors: int, lanes: int, *, is_read: bool) -> Function:
    """Fills a result with one vector, and reads it where told."""
    function, s = loop_function([buffer(f32, lanes)], [buffer(f32, vectors * lanes), buffer(f32)])
    x, filled, last = function.arguments
    op = s.for_(s.const(0, index), s.const(vectors * lanes, index), step=lanes)
    with s.inside(op) as block:
        value = s.emit("load", x, lanes=lanes, offset=0, strides=()).result
        s.emit("store", value, filled, block.arguments[0], offset=0, strides=(1,))
        s.yield_()
    s.store(s.load(filled if is_read else x, at(1)), last, at())
    s.emit("return")
    return function


@pytest.mark.parametrize("cpu", ["", "x86-64-v3"])
@pytest.mark.parametrize("shift", [0, 4, 32, 60])
def test_large_results_go_past_the_caches_wherever_they_start(
    cpu: str, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_every_machine_have(monkeypatch, last_cache_bytes=512)
    target = machine_of(cpu)
    lanes = target.vector_bytes // 4
    native = Native(_filled(40, lanes, is_read=False), target)
    assert "!nontemporal" in native.text
    assert "sfence" in native.text
    x, last = np.arange(lanes, dtype=np.float32), np.zeros(1, np.float32)
    room = np.full(40 * lanes * 4 + 256, 0xA5, np.uint8)
    start = -room.ctypes.data % 64 + 64 + shift
    assert native.call([x.ctypes.data, room.ctypes.data + start, last.ctypes.data]) == 0
    end = start + 40 * lanes * 4
    assert room[start:end].tobytes() == np.tile(x, 40).tobytes()
    assert (room[:start] == 0xA5).all()
    assert (room[end:] == 0xA5).all()


def test_what_is_small_or_read_again_stays_in_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = host().vector_bytes // 4
    assert "!nontemporal" not in Native(_filled(40, lanes, is_read=False)).text
    let_every_machine_have(monkeypatch, last_cache_bytes=512)
    assert "!nontemporal" not in Native(_filled(40, lanes, is_read=True)).text


def test_math_functions_are_inlined_up_to_a_number_of_calls() -> None:
    """In more places a call is made, to the same bits."""

    def chain(count: int) -> Function:
        function, s = loop_function([buffer(f32, 7)], [buffer(f32, 7)])
        source, target = function.arguments

        def fill(s: LoopBuilder, i: Value) -> None:
            value = s.load(source, at(i))
            for _ in range(count):
                value = s.math("sin", value)
            s.store(value, target, at(i))

        loop(s, "for", 0, 7, fill)
        s.emit("return")
        return function

    for count, word in ((INLINED_CALLS, "alwaysinline"), (INLINED_CALLS + 1, "noinline #0")):
        text = emit_module(chain(count), "f", host())
        lines = [line for line in text.splitlines() if line.startswith("define")]
        (head,) = [line for line in lines if "@nets_sin_f32x1(" in line]
        assert word in head
        check_native(chain(count), np.linspace(-2, 2, 7, dtype=np.float32))
