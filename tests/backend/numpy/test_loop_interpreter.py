"""The interpreter of the loop dialect: what each operation does, and what it refuses."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nets.backend.numpy.loop_interpreter import run
from nets.errors import ArgumentError, NetsError, VerifyError
from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Region, Value
from nets.ir.location import Location
from nets.ir.types import BufferType, ScalarType, bool_, from_numpy, i32, i64, index, u8
from nets.ops.definition.registry import lookup
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.loop.reduction_tree import reduce_lanes

Body = Callable[..., None]


def build(body: Body, types: Sequence[BufferType], inputs: int) -> Function:
    """A function of the loop dialect: ``body(s, *buffers)`` fills it."""
    function = Function("f", types, attributes={"inputs": inputs})
    s = LoopBuilder(Builder(function.body))
    body(s, *function.arguments)
    s.emit("return")
    return function


def buffer_type(array: np.ndarray) -> BufferType:
    dtype = from_numpy(array.dtype)
    assert dtype is not None
    return BufferType(array.shape, dtype)


def execute(body: Body, *arrays: np.ndarray, backwards: bool = False) -> int:
    """Run ``body`` on the arrays, the last of which is the output."""
    function = build(body, [buffer_type(array) for array in arrays], len(arrays) - 1)
    return run(function, arrays, backwards)


def at(value: Value | int) -> Affine:
    return Affine.of(value)


def lanewise(emit: Callable[..., Value], result: str, *arrays: Any) -> list[Any]:
    """``emit(s, *vectors)`` on whole arrays as vectors, and lane by lane on scalars."""
    arrays = tuple(map(np.asarray, arrays))
    count = len(arrays[0])
    vectors, scalars = np.zeros(count, result), np.zeros(count, result)

    def on_vectors(s: LoopBuilder, *buffers: Value) -> None:
        loads = [s.emit("load", x, lanes=count, offset=0, strides=()).result for x in buffers[:-1]]
        s.emit("store", emit(s, *loads), buffers[-1], offset=0, strides=())

    def on_scalars(s: LoopBuilder, *buffers: Value) -> None:
        for i in range(count):
            s.store(emit(s, *(s.load(x, at(i)) for x in buffers[:-1])), buffers[-1], at(i))

    execute(on_vectors, *arrays, vectors)
    execute(on_scalars, *arrays, scalars)
    assert vectors.tobytes() == scalars.tobytes()
    return vectors.tolist()


# ----------------------------------------------------------------------------- arithmetic

LEAST = -(2**31)


@pytest.mark.parametrize(
    ("name", "x", "y", "expected"),
    [
        ("add", [2**31 - 1, 5], [1, -7], [LEAST, -2]),
        ("sub", [LEAST, 5], [1, -7], [2**31 - 1, 12]),
        ("mul", [2**30, -3], [2, 7], [LEAST, -21]),
        ("div", [7, -7, 7, -7, 5, LEAST], [2, 2, -2, -2, 0, -1], [3, -4, -4, 3, 0, LEAST]),
        ("rem", [7, -7, 7, -7, 5, LEAST], [2, 2, -2, -2, 0, -1], [1, 1, -1, -1, 0, 0]),
        ("max", [1, -1], [0, 0], [1, 0]),
        ("min", [1, -1], [0, 0], [0, -1]),
        ("and", [6, -1], [3, 5], [2, 5]),
        ("or", [6, -1], [3, 5], [7, -1]),
        ("xor", [6, -1], [3, 5], [5, -6]),
        ("shl", [1, 1, 1, 1], [31, 32, -1, 3], [LEAST, 0, 0, 8]),
        ("shr", [-8, -8, 8, -8], [1, 32, 40, 31], [-4, -1, 0, -1]),
    ],
)
def test_integer_arithmetic(name: str, x: list, y: list, expected: list) -> None:
    operands = np.array(x, np.int32), np.array(y, np.int32)
    assert lanewise(lambda s, a, b: s.binary(name, a, b), "int32", *operands) == expected


def test_unsigned_shifts_fill_with_zeros() -> None:
    operands = np.array([0x80, 0xFF], np.uint8), np.array([7, 8], np.uint8)
    assert lanewise(lambda s, a, b: s.binary("shr", a, b), "uint8", *operands) == [1, 0]


def test_max_and_min_of_floats() -> None:
    nan, inf = math.nan, math.inf
    x, y = np.array([nan, 1.0, 0.0, -0.0, inf]), np.array([1.0, nan, -0.0, 0.0, 2.0])
    greatest = lanewise(lambda s, a, b: s.binary("max", a, b), "float64", x, y)
    np.testing.assert_array_equal(greatest, [nan, nan, -0.0, 0.0, inf])
    assert np.signbit(greatest).tolist() == [False, False, True, False, False]
    least = lanewise(lambda s, a, b: s.binary("min", a, b), "float64", x, y)
    np.testing.assert_array_equal(least, [nan, nan, -0.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("neg", [0.0, -1.5], [-0.0, 1.5]),
        ("abs", [-0.0, -1.5], [0.0, 1.5]),
        ("sqrt", [2.0, 0.25], [math.sqrt(2), 0.5]),
        ("floor", [-1.5, 2.5], [-2, 2]),
        ("ceil", [-1.5, 2.5], [-1, 3]),
        ("round", [-1.5, 2.5], [-2, 2]),
        ("trunc", [-1.5, 2.5], [-1, 2]),
    ],
)
def test_float_functions(name: str, x: list, expected: list) -> None:
    assert lanewise(lambda s, a: s.unary(name, a), "float64", np.array(x)) == expected


def test_integer_functions() -> None:
    x = np.array([-128, -3, 5], np.int8)
    assert lanewise(lambda s, a: s.unary("neg", a), "int8", x) == [-128, 3, -5]
    assert lanewise(lambda s, a: s.unary("abs", a), "int8", x) == [-128, 3, 5]
    assert lanewise(lambda s, a: s.unary("not", a), "int8", x) == [127, 2, -6]
    assert lanewise(lambda s, a: s.unary("not", a), "bool", np.array([True, False])) == [0, 1]


def test_comparisons_with_nan() -> None:
    x, y = np.array([1.0, math.nan, 2.0]), np.array([1.0, 1.0, math.nan])
    for predicate, expected in {
        "eq": [True, False, False],
        "ne": [False, True, True],
        "lt": [False, False, False],
        "le": [True, False, False],
        "gt": [False, False, False],
        "ge": [True, False, False],
        "unordered": [False, True, True],
    }.items():
        found = lanewise(lambda s, a, b, p=predicate: s.compare(p, a, b), "bool", x, y)
        assert found == expected, predicate


def test_select_and_casts() -> None:
    flags, x, y = np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert lanewise(lambda s, c, a, b: s.select(c, a, b), "float64", flags, x, y) == [1, 4]
    wild = np.array([math.nan, math.inf, -math.inf, 300.7, -1.5])
    assert lanewise(lambda s, a: s.cast(a, u8), "uint8", wild) == [0, 255, 0, 255, 0]
    assert lanewise(lambda s, a: s.cast(a, i64), "int64", wild)[:2] == [0, 2**63 - 1]
    large = np.array([2**31 + 5, -1])
    assert lanewise(lambda s, a: s.cast(a, i32), "int32", large) == [5 - 2**31, -1]
    assert lanewise(lambda s, a: s.cast(a, bool_), "bool", np.array([0.0, 0.5])) == [False, True]


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1", "sin", "cos", "tanh"])
def test_math_functions(name: str) -> None:
    x = np.array([0.25, 0.5, 1.5])
    found = lanewise(lambda s, a: s.math(name, a), "float64", x)
    np.testing.assert_allclose(found, getattr(np, name)(x), rtol=1e-15)


def test_other_math_functions() -> None:
    x, y = np.array([0.25, 7.5]), np.array([2.0, -2.0])
    for name, arguments, expected in [
        ("rsqrt", (x,), 1 / np.sqrt(x)),
        ("sigmoid", (x,), 1 / (1 + np.exp(-x))),
        ("erf", (x,), [math.erf(v) for v in x]),
        ("pow", (x, y), x**y),
        ("fmod", (y, x), np.fmod(y, x)),
    ]:
        found = lanewise(lambda s, *a, f=name: s.math(f, *a), "float64", *arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-14)


# ------------------------------------------------------------------------------ structure


def test_for_carries_values_and_steps() -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        zero, one = s.const(0, i64), s.const(1, i64)
        loop = s.for_(2, 12, carried=(zero, one), step=3)
        with s.inside(loop) as block:
            counter, total, last = block.arguments
            s.yield_(s.add(total, s.cast(counter, i64)), s.add(last, last))
        s.store(loop.results[0], out, at(0))
        s.store(loop.results[1], out, at(1))

    out = np.zeros(2, np.int64)
    assert execute(body, out) == 0
    assert out.tolist() == [2 + 5 + 8 + 11, 16]


@pytest.mark.parametrize("hi", [-3, 0])
def test_a_loop_may_run_no_iteration(hi: int) -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        loop = s.for_(0, hi, carried=(s.const(7, i64),))
        with s.inside(loop) as block:
            s.yield_(s.add(block.arguments[1], block.arguments[1]))
        s.store(loop.result, out, at(0))

    out = np.zeros(1, np.int64)
    execute(body, out)
    assert out == [7]


def test_parallel_iterations_can_run_backwards() -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        loop = s.parallel(0, 4)
        with s.inside(loop) as block:
            s.store(s.cast(block.arguments[0], i64), out, at(0))
            s.yield_()

    out = np.zeros(1, np.int64)
    execute(body, out)
    assert out == [3]
    execute(body, out, backwards=True)
    assert out == [0]


def test_scratch_forgets_between_iterations() -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        loop = s.parallel(0, 2)
        with s.inside(loop) as block:
            place = s.scratch(BufferType((1,), i64))
            s.store(s.load(place, at(0)), out, at(block.arguments[0]))
            s.store(s.const(5, i64), place, at(0))
            s.yield_()

    out = np.zeros(2, np.int64)
    execute(body, out)
    assert out.tolist() == [-1, -1]


def test_if() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        condition = s.load(x, at(0))
        op = s.builder.create(lookup("loop.if"), (condition,), {}, (Region(Block()),))
        with s.inside(op):
            s.store(s.const(1, i64), out, at(0))
            s.yield_()

    for flag in (False, True):
        out = np.zeros(1, np.int64)
        execute(body, np.array([flag]), out)
        assert out == [int(flag)]


def test_nesting_is_not_bounded_by_recursion() -> None:
    depth = 3000

    def body(s: LoopBuilder, out: Value) -> None:
        blocks = []
        for _ in range(depth):
            loop = s.for_(0, 1)
            blocks.append(loop.regions[0].block)
            s.builder.block = blocks[-1]
        s.store(s.const(1, i64), out, at(0))
        for block in reversed(blocks):
            s.builder.block = block
            s.yield_()
        s.builder.block = out.owner

    out = np.zeros(1, np.int64)
    execute(body, out)
    assert out == [1]


# ------------------------------------------------------------------------------ reductions


def reduction(*combiners: str) -> Body:
    """Reduces the first buffer by each combiner into the last one."""

    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        loop_block = Block([ScalarType(index)])
        hi = s.const(x.type.size, index)
        inner = LoopBuilder(Builder(loop_block))
        element = inner.load(x, at(loop_block.arguments[0]))
        inner.yield_(*(element for _ in combiners))
        op = s.builder.create(
            lookup("loop.reduce"), (hi,), {"combiners": combiners}, (Region(loop_block),)
        )
        for i, result in enumerate(op.results):
            s.store(s.cast(result, out.type.dtype), out, at(i))

    return body


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_the_reduction_tree(dtype: str, count: int) -> None:
    x = np.random.default_rng(count).uniform(-99, 99, count).astype(dtype)
    found = np.zeros(1, dtype)
    execute(reduction("add"), x, found)
    lanes = np.zeros(reduce_lanes(buffer_type(x).dtype), dtype)
    for start in range(0, count, lanes.size):
        row = x[start : start + lanes.size]
        lanes[: row.size] += row
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    assert found.tobytes() == lanes.tobytes()


def test_several_combiners() -> None:
    x = np.array([3.0, -1.0, 7.0, 7.0, 2.0])
    out = np.zeros(8)
    execute(reduction("add", "mul", "max", "min", "argmax", "argmin"), x, out)
    assert out.tolist() == [18, 3 * -1 * 7 * 7 * 2, 7, -1, 7, 2, -1, 1]
    flags, found = np.array([True, False, True]), np.zeros(2, bool)
    execute(reduction("and", "or"), flags, found)
    assert found.tolist() == [False, True]


def test_nan_is_the_extreme() -> None:
    x, out = np.array([1.0, math.nan, 5.0, math.nan]), np.zeros(3)
    execute(reduction("argmax", "max"), x, out)
    np.testing.assert_array_equal(out, [math.nan, 1, math.nan])
    low, position = np.full(3, -math.inf), np.ones(2)
    execute(reduction("argmax"), low, position)
    assert position.tolist() == [-math.inf, 0]


@pytest.mark.parametrize("rows", range(1, 10))
def test_tree_combine(rows: int) -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        s.emit("tree_combine", out, combiner="add")

    x = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    live = [row.copy() for row in x]
    while len(live) > 1:
        half = 1 << ((len(live) - 1).bit_length() - 1)
        live = [
            row + live[i + half] if i + half < len(live) else row
            for i, row in enumerate(live[:half])
        ]
    execute(body, x)
    assert x[0].tobytes() == live[0].tobytes()


# --------------------------------------------------------------------------------- memory


def test_vectors_of_memory() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        lanes = s.emit("lane_index", lanes=4).result
        two = s.const(2, index)
        consecutive = s.emit("load", x, two, lanes=4, offset=1, strides=(2,)).result
        spread = s.emit("load", x, lanes, lanes=4, offset=1, strides=(3,)).result
        again = s.emit("splat", s.load(x, at(0)), lanes=4).result
        total = s.add(s.add(consecutive, spread), again)
        s.emit("store", total, out, lanes, offset=6, strides=(-2,))

    out = np.zeros(8)
    execute(body, np.arange(100.0, 112.0), out)
    expected = np.zeros(8)
    expected[6::-2] = np.arange(105.0, 109.0) + np.arange(101.0, 111.0, 3) + 100
    assert out.tolist() == expected.tolist()


def test_a_vector_keeps_what_was_loaded() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        place = s.alloc(BufferType((4,), i64))
        loaded = s.emit("load", x, lanes=4, offset=0, strides=()).result
        s.emit("store", loaded, place, offset=0, strides=())
        row = s.emit("load", place, lanes=4, offset=0, strides=()).result
        s.store(s.const(9, i64), place, at(2))
        s.emit("store", row, out, offset=0, strides=())

    out = np.zeros(4, np.int64)
    execute(body, np.arange(4), out)
    assert out.tolist() == [0, 1, 2, 3]


def test_masks_protect_what_lies_outside() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        mask = s.emit("tail_mask", s.const(3, index), lanes=8).result
        row = s.emit("masked_load", mask, x, lanes=8, offset=0, strides=()).result
        s.emit("masked_store", mask, row, out, offset=1, strides=())
        total = s.emit("lane_reduce", row, combiner="add").result
        s.store(total, out, at(0))

    out = np.full(4, 9.0)
    execute(body, np.array([1.0, 2.0, 3.0]), out)
    assert out.tolist() == [6, 1, 2, 3]


def test_views_and_allocations() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        place = s.alloc(BufferType((2, 3), i64))
        part = s.view(place, BufferType((3,), i64), offset=3)
        s.store(s.load(x, at(0)), part, at(1))
        s.store(s.load(place, at(4)), out, at(0))
        s.store(s.load(place, at(0)), out, at(1))

    out = np.zeros(2, np.int64)
    execute(body, np.array([42]), out)
    assert out.tolist() == [42, -1]


def test_the_arena_is_shared_by_what_was_placed_in_it() -> None:
    def body(s: LoopBuilder, out: Value) -> None:
        first = s.emit("alloc", type=BufferType((2,), i64), offset=0).result
        second = s.emit("alloc", type=BufferType((1,), i64), offset=8).result
        s.store(s.const(3, i64), first, at(1))
        s.store(s.load(second, at(0)), out, at(0))

    out = np.zeros(1, np.int64)
    execute(body, out)
    assert out == [3]


def outside(s: LoopBuilder, x: Value, out: Value) -> None:
    s.store(s.load(x, at(3)), out, at(0))


def outside_by_lanes(s: LoopBuilder, x: Value, out: Value) -> None:
    row = s.emit("load", x, lanes=4, offset=0, strides=()).result
    s.store(s.emit("lane_reduce", row, combiner="add").result, out, at(0))


def before(s: LoopBuilder, x: Value, out: Value) -> None:
    s.store(s.load(x, at(0)), out, at(-1))


def masked_outside(s: LoopBuilder, x: Value, out: Value) -> None:
    mask = s.emit("tail_mask", s.const(4, index), lanes=8).result
    s.emit("masked_load", mask, x, lanes=8, offset=0, strides=())


def into_an_input(s: LoopBuilder, x: Value, out: Value) -> None:
    s.store(s.load(x, at(0)), x, at(1))


def into_an_input_by_a_view(s: LoopBuilder, x: Value, out: Value) -> None:
    s.store(s.load(x, at(0)), s.view(x, BufferType((1,), i64), offset=1), at(0))


def into_a_global(s: LoopBuilder, x: Value, out: Value) -> None:
    s.store(s.load(x, at(0)), s.emit("global", value=np.arange(3)).result, at(1))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (outside, "loop.load goes to element 3 of a buffer of 3"),
        (outside_by_lanes, "loop.load goes to element 3 of a buffer of 3"),
        (before, "loop.store goes to element -1 of a buffer of 2"),
        (masked_outside, "loop.masked_load goes to element 3"),
        (into_an_input, "writes to an input or a global"),
        (into_an_input_by_a_view, "writes to an input or a global"),
        (into_a_global, "writes to an input or a global"),
    ],
)
def test_accesses_are_checked(body: Body, message: str) -> None:
    def with_location(s: LoopBuilder, *buffers: Value) -> None:
        s.builder.location = Location("user.py", 12)
        body(s, *buffers)

    with pytest.raises(VerifyError, match=message) as caught:
        execute(with_location, np.arange(3), np.zeros(2, np.int64))
    assert "user.py:12" in str(caught.value)


# ------------------------------------------------------------------------ checks, kernels


def test_the_lowest_failing_code_is_the_status() -> None:
    def body(s: LoopBuilder, x: Value, out: Value) -> None:
        for i, code in enumerate((5, 3, 4)):
            s.check(s.load(x, at(i)), code)
        s.store(s.const(1, i64), out, at(0))

    for flags, status in {(1, 1, 1): 0, (0, 1, 1): 5, (0, 0, 0): 3, (0, 1, 0): 4}.items():
        out = np.zeros(1, np.int64)
        assert execute(body, np.array(flags, bool), out) == status
        assert out == [1]


@pytest.mark.parametrize("transpose_x", [False, True])
@pytest.mark.parametrize("transpose_y", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gemm(dtype: str, transpose_x: bool, transpose_y: bool) -> None:
    def body(s: LoopBuilder, x: Value, y: Value, out: Value) -> None:
        s.emit("gemm", x, y, out, transpose_x=transpose_x, transpose_y=transpose_y)

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 5)).astype(dtype), rng.normal(size=(2, 5, 4)).astype(dtype)
    out = np.zeros((2, 3, 4), dtype)
    stored_x = np.array(x.swapaxes(1, 2) if transpose_x else x, order="C")
    stored_y = np.array(y.swapaxes(1, 2) if transpose_y else y, order="C")
    execute(body, stored_x, stored_y, out)
    np.testing.assert_allclose(out, x @ y, rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros(3)], "takes 2 buffers, not 1"),
        ([np.zeros(4), np.zeros(3)], r"a contiguous buffer<3xf64>, not float64\(4,\)"),
        ([np.zeros(3, np.float32), np.zeros(3)], "not float32"),
        ([np.zeros(6)[::2], np.zeros(3)], "takes a contiguous"),
    ],
)
def test_buffers_must_fit(arrays: list[np.ndarray], message: str) -> None:
    type = buffer_type(np.zeros(3))
    function = build(lambda s, x, out: None, [type, type], 1)
    with pytest.raises(ArgumentError, match=message):
        run(function, arrays)


def test_inputs_may_be_read_only() -> None:
    x, out = np.ones(1), np.zeros(1)
    x.flags.writeable = False
    execute(lambda s, x, out: s.store(s.load(x, at(0)), out, at(0)), x, out)
    assert out == [1]


def test_tensor_operations_are_refused() -> None:
    function = Function("f")
    builder = Builder(function.body)
    builder.create(lookup("constant"), (), {"value": np.zeros(3)})
    with pytest.raises(NetsError, match="constant is not an operation of the loop dialect"):
        run(function, [])
