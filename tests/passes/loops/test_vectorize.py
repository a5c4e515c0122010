"""vectorize: the same bits for every width and length, and nothing touched out of bounds."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nets.ir.clone import clone_function
from nets.ir.core import Function, Value
from nets.ir.types import DType, bool_, f32, f64, i8, i16, i32, i64, index, u8
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import Array
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.vectorize import vectorize
from nets.passes.manager import Options
from tests.backend.guarded import Guarded
from tests.backend.loops import (
    at,
    buffer,
    empty_outputs,
    hidden,
    interpret,
    loop,
    loop_function,
    reduce,
    special,
)
from tests.backend.native import Native
from tests.machines import of_width
from tests.property.results import assert_same

WIDTHS = (0, 16, 32, 64)
LENGTHS = (*range(10), 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 67)
FEWER = (*range(4), 7, 8, 9, 15, 16, 17, 33, 67)


def widened(function: Function, vector_bytes: int) -> Function:
    result = vectorize(clone_function(function), Options(of_width(vector_bytes)))
    verify_function(result)
    return result


def check(
    function: Function, *inputs: Array, native: bool = False, widths: Sequence[int] = WIDTHS
) -> None:
    """All widths give what the loops give as written, bit for bit."""
    expected = interpret(function, inputs)
    for vector_bytes in widths:
        result = widened(function, vector_bytes)
        found = interpret(result, inputs)
        assert found[0] == expected[0]
        assert_same(expected[1], found[1], result)
        if native:
            assert_same(expected[1], Native(result).run(*inputs)[1], result)


def names(function: Function) -> list[str]:
    return [op.name.removeprefix("loop.") for op in function.walk()]


# ------------------------------------------------------------------------ loops and tails


def lengths_function(dtype: DType, lengths: Sequence[int]) -> Function:
    """A loop ``out = max(x, y)`` for each length, over buffers of its own."""
    buffers = [buffer(dtype, n) for n in lengths]
    function, s = loop_function(buffers * 2, buffers)
    count = len(lengths)
    for number, n in enumerate(lengths):
        x, y, out = function.arguments[number::count]

        def body(s: LoopBuilder, i: Value, x: Value = x, y: Value = y, out: Value = out) -> None:
            s.store(s.binary("max", s.load(x, at(i)), s.load(y, at(i))), out, at(i))

        loop(s, "for", 0, n, body)
    s.emit("return")
    return function


@pytest.mark.parametrize("dtype", [f32, f64, i16, bool_], ids=str)
def test_no_access_out_of_bounds(dtype: DType) -> None:
    """Inputs are read-only, and pages around every buffer end the process when touched."""
    rng = np.random.default_rng(0)
    inputs = [rng.choice(special(dtype), n) for n in LENGTHS * 2]
    function = lengths_function(dtype, LENGTHS)
    expected = interpret(function, inputs)[1]
    check_between_guards(widened(function, 32), inputs, expected)


def check_between_guards(
    function: Function, inputs: Sequence[Array], expected: Sequence[Array]
) -> None:
    native = Native(function)
    for at_end in (False, True):
        guarded = [Guarded(x, at_end=at_end).read_only() for x in inputs]
        outputs = [Guarded(x, at_end=at_end) for x in empty_outputs(function)]
        assert native.call([g.address for g in (*guarded, *outputs)]) == 0
        assert_same(expected, [g.array for g in outputs])


@pytest.mark.parametrize("vector_bytes", [16, 64])
def test_odd_addresses(vector_bytes: int) -> None:
    """Buffers may start at any byte."""
    rng = np.random.default_rng(0)
    inputs = [rng.choice(special(f64), n) for n in LENGTHS * 2]
    function = lengths_function(f64, LENGTHS)
    expected = interpret(function, inputs)[1]
    native = Native(widened(function, vector_bytes))
    memory = [np.zeros(x.nbytes + 16, np.uint8) for x in (*inputs, *expected)]
    addresses = []
    for shift, (bytes_, x) in enumerate(
        zip(memory, (*inputs, *empty_outputs(function)), strict=True)
    ):
        bytes_[shift % 16 : shift % 16 + x.nbytes] = x.view(np.uint8)
        addresses.append(bytes_.ctypes.data + shift % 16)
    assert native.call(addresses) == 0
    for shift, want in enumerate(expected, len(inputs)):
        found = memory[shift][shift % 16 : shift % 16 + want.nbytes].view(want.dtype)
        assert_same([want], [found])


@pytest.mark.parametrize("dtype", [f32, i8], ids=str)
def test_bounds_known_at_run_time(dtype: DType) -> None:
    """Any start and end, also an end before the start."""
    spans = np.array([(lo, hi) for lo in (0, 1, 5, 9) for hi in (*range(12), 15, 16, 17, 40, 67)])
    rows = len(spans)
    function, s = loop_function(
        [buffer(dtype, 67), buffer(i64, rows, 2)], [buffer(dtype, rows, 67)]
    )
    x, bounds, out = function.arguments

    def row(s: LoopBuilder, r: Value) -> None:
        loop(s, "for", 0, 67, lambda s, i: s.store(s.const(0, dtype), out, at((r, 67), i)))
        lo, hi = (s.cast(s.load(bounds, at((r, 2), end)), index) for end in (0, 1))

        def body(s: LoopBuilder, i: Value) -> None:
            s.store(s.add(s.load(x, at(i)), s.const(1, dtype)), out, at((r, 67), i))

        loop(s, "for", lo, hi, body)

    loop(s, "for", 0, rows, row)
    s.emit("return")
    check(function, np.arange(67).astype(dtype.numpy), spans, native=True, widths=[32])


def strided_function(dtype: DType, step: int, lengths: Sequence[int]) -> Function:
    """For each length: pairs of elements of x, and lone ones of y, to all places of out."""
    xs = [buffer(dtype, max(0, step * n)) for n in lengths]
    ys = [buffer(dtype, max(0, step * (n - 1) + 1)) for n in lengths]
    function, s = loop_function([*xs, *ys], xs)
    for number, n in enumerate(lengths):
        x, y, out = function.arguments[number :: len(lengths)]

        def body(s: LoopBuilder, i: Value, x: Value = x, y: Value = y, out: Value = out) -> None:
            last = s.load(x, at((i, step), step - 1))
            both = s.binary("max", last, s.load(x, at((i, step))))
            values = [both, s.load(y, at((i, step))), last, both]
            for phase in (*range(1, step), 0):
                s.store(values[phase], out, at((i, step), phase))

        loop(s, "for", 0, n, body)
    s.emit("return")
    return function


@pytest.mark.parametrize(
    ("dtype", "step"),
    [*((dtype, step) for dtype in (f32, f64) for step in (2, 3, 4)), (i16, 3)],
    ids=str,
)
@pytest.mark.sampled(3)
def test_strided_accesses(dtype: DType, step: int) -> None:
    """In whole vectors, without a touch of what lies beyond the first and the last element."""
    rng = np.random.default_rng(step)
    function = strided_function(dtype, step, FEWER)
    types = [argument.type for argument in function.arguments[: 2 * len(FEWER)]]
    inputs = [rng.choice(special(dtype), type.static_shape) for type in types]
    expected = interpret(function, inputs)[1]
    for vector_bytes in (64, 32):
        result = widened(function, vector_bytes)
        assert_same(expected, interpret(result, inputs)[1], result)
    assert ("shuffle" in names(result)) == (dtype != i16)
    check_between_guards(result, inputs, expected)


# --------------------------------------------------------------------------------- bodies


def stride_two(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.sub(s.load(x, at((i, 2), 1)), s.load(y, at(i))), out, at((i, 3)))


def reversed_(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.add(s.load(x, at((i, -1), 40)), s.load(y, at(3))), out, at((i, -1), 45))


def counter_as_number(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    number = s.cast(s.mul(s.add(i, s.const(3, index)), i), f32)
    s.store(s.mul(number, s.load(x, at(i))), out, at(i))


def divided_counter(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    row, column = (s.binary(name, i, s.const(5, index)) for name in ("div", "rem"))
    s.store(s.load(x, at((column, 7), row)), out, at(i))


def looked_up(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    place = s.cast(s.load(x, at(i)), index)
    s.store(s.load(y, at(place)), out, at(i))


def scattered(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    place = s.cast(s.load(x, at(i)), index)
    s.store(s.load(y, at(i)), out, at(place))


def added_up(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    place = s.cast(s.load(x, at(i)), index)
    s.store(s.add(s.load(out, at(place)), s.load(y, at(i))), out, at(place))


def in_place(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.load(x, at(i)), out, at(i, 2))
    s.store(s.add(s.load(out, at(i, 2)), s.load(y, at(i))), out, at(i, 2))


def in_place_through_views(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.add(s.load(out, at(i, 4)), s.load(x, at(i))), out, at(i, 4))


def running_sum(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.add(s.load(out, at(i)), s.load(x, at(i))), out, at(i, 1))


def last_one_wins(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.load(x, at(i)), out, at(5))


def overlapping_stores(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.load(x, at(i)), out, at((i, 2)))
    s.store(s.load(y, at(i)), out, at(i, 3))


def stores_apart(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    for place in (0, 46, 23):
        s.store(s.load(x, at(i, place)), out, at(i, place))


def stores_that_meet(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    for place in (0, 4, 1, 5):
        s.store(s.load(x, at(i, place)), out, at((i, 2), place))


def stores_that_meet_in_the_end(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    """Where the first one of 23 iterations stores as its second value, the last one stores too."""
    s.store(s.load(x, at(i)), out, at(i))
    s.store(s.load(y, at(i)), out, at(i, 22))


def constant(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    s.store(s.sub(s.load(x, at(1)), s.const(1, f32)), out, at(i))


def mixed_dtypes(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    wide = s.mul(s.cast(s.load(x, at(i)), f64), s.const(1 / 3, f64))
    small = s.cast(s.cast(s.load(y, at(i)), u8), f32)
    flag = s.compare("lt", small, s.load(x, at(i)))
    s.store(s.select(flag, s.cast(wide, f32), small), out, at(i))


def several_costs(s: LoopBuilder, i: Value, x: Value, y: Value, out: Value) -> None:
    value = s.load(x, at(i))
    for _ in range(20):
        value = s.binary("max", s.mul(value, s.load(y, at(i))), s.unary("sqrt", value))
    s.store(value, out, at(i))


BODIES = [
    *(stride_two, reversed_, counter_as_number, divided_counter, looked_up, scattered, added_up),
    *(in_place, in_place_through_views, running_sum, last_one_wins, overlapping_stores, constant),
    *(mixed_dtypes, several_costs, stores_apart, stores_that_meet, stores_that_meet_in_the_end),
]


def body_function(body: Callable[..., None], n: int) -> Function:
    """A loop of n iterations over buffers of 3 × 23 elements."""
    function, s = loop_function([buffer(f32, 69)] * 2, [buffer(f32, 69)])
    out = function.arguments[2]
    loop(s, "for", 0, 69, lambda s, i: s.store(s.const(-1, f32), out, at(i)))
    loop(s, "for", 0, n, lambda s, i: body(s, i, *function.arguments))
    s.emit("return")
    return function


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.sampled(5)
def test_bodies(body: Callable[..., None]) -> None:
    x = np.random.default_rng(0).permutation(69) % 50
    y = np.linspace(0, 9, 69)
    inputs = [x.astype(np.float32), y.astype(np.float32)]
    for n in (1, 7, 8, 9):
        check(body_function(body, n), *inputs)
    check(body_function(body, 23), *inputs, native=True, widths=[32])


@pytest.mark.parametrize(
    "body",
    [
        *(added_up, running_sum, last_one_wins, overlapping_stores, stores_that_meet),
        stores_that_meet_in_the_end,
    ],
)
def test_loops_that_must_stay_in_order(body: Callable[..., None]) -> None:
    function = widened(body_function(body, 23), 32)
    *_, op = (op for op in function.body if op.name == "loop.for")
    assert op.attributes["step"] == 1


def test_checks_see_only_real_iterations() -> None:
    """Idle lanes of the last vector do not fail a check."""
    for n in range(1, 20):
        function, s = loop_function([buffer(i32, n)], [buffer(i32, n)])
        x, out = function.arguments

        def body(s: LoopBuilder, i: Value, x: Value = x, out: Value = out) -> None:
            value = s.load(x, at(i))
            s.check(s.compare("gt", value, s.const(0, i32)), 1)
            s.store(value, out, at(i))

        loop(s, "for", 0, n, body)
        s.emit("return")
        check(function, np.ones(n, np.int32))
        check(function, np.arange(n, 0, -1, dtype=np.int32) - 1)


# --------------------------------------------------------------------------- what is made


def saxpy(n: int | None, step: int = 2048) -> Function:
    """A loop of n iterations; blocks of ``step`` of 5000 elements for None."""
    function, s = loop_function([buffer(f32, 5000)], [buffer(f32, 5000)])
    x, out = function.arguments

    def body(s: LoopBuilder, i: Value) -> None:
        s.store(s.mul(s.load(x, at(i)), s.const(3, f32)), out, at(i))

    def block(s: LoopBuilder, number: Value) -> None:
        lo = s.mul(number, s.const(step, index))
        hi = s.binary("min", s.add(lo, s.const(step, index)), s.const(4992, index))
        loop(s, "for", lo, hi, body)

    if n is None:
        loop(s, "parallel", 0, -(-4992 // step), block)
    else:
        loop(s, "for", 0, n, body)
    s.emit("return")
    return function


@pytest.mark.parametrize(
    ("n", "steps", "masked"),
    [(3, [], 1), (8, [8], 0), (32, [16], 0), (40, [16, 8], 0), (47, [16, 8], 1), (33, [16], 1)],
)
def test_only_the_loops_that_are_needed(n: int, steps: list[int], masked: int) -> None:
    function = widened(saxpy(n), 32)
    found = [op.attributes["step"] for op in function.walk() if op.name == "loop.for"]
    assert found == steps
    assert names(function).count("masked_store") == masked


def test_blocks_of_whole_vectors_need_no_tail() -> None:
    """The end of the last block is a multiple of the vectors, too."""
    function = widened(saxpy(None, 2048), 32)
    assert names(function).count("for") == 1
    assert "masked_store" not in names(function)
    assert "masked_store" in names(widened(saxpy(None, 100), 32))


def test_it_leaves_its_result_alone() -> None:
    for function in (saxpy(47), saxpy(None, 100), reduction(f32, 100, ("add", "argmax"))):
        once = widened(function, 32)
        assert str(widened(once, 32)) == str(once)


# ----------------------------------------------------------------------------- reductions


def reduction(
    dtype: DType, n: int, combiners: Sequence[str], *, stride: int = 1, extra: str = ""
) -> Function:
    """A ``loop.reduce`` of n elements of x[stride · i].

    ``extra``: ``dynamic`` hides the length, ``stores`` keeps the elements, ``ordered`` has stores
    that cannot be vectorized, ``heavy`` computes long.
    """
    is_positional = [combiner.startswith("arg") for combiner in combiners]
    results = [buffer(i64 if positional else dtype) for positional in is_positional]
    function, s = loop_function([buffer(dtype, n * stride)], [*results, buffer(dtype, n + 1)])
    x, *outs, kept = function.arguments
    s.store(s.const(0, dtype), kept, at(0))
    loop(s, "for", 1, n + 1, lambda s, i: s.store(s.const(0, dtype), kept, at(i)))

    def element(s: LoopBuilder, i: Value) -> list[Value]:
        value = s.load(x, at((i, stride)))
        if extra == "heavy":
            for _ in range(40):
                value = s.binary("max", s.unary("abs", value), value)
        if extra == "stores":
            s.store(value, kept, at(i, 1))
        if extra == "ordered":
            s.store(s.binary("max", s.load(kept, at(i)), value), kept, at(i, 1))
        return [value] * len(combiners)

    found = iter(reduce(s, hidden(s, n) if extra == "dynamic" else n, combiners, element))
    for positional, out in zip(is_positional, outs, strict=True):
        result = next(found)
        s.store(s.cast(next(found), i64) if positional else result, out, at())
    s.emit("return")
    return function


def combiners_of(dtype: DType) -> tuple[str, ...]:
    plain = ("and", "or") if dtype.is_bool else ("add", "mul")
    return (*plain, "max", "min", "argmax", "argmin")


def values_of(dtype: DType, n: int, seed: int) -> Array:
    """Numbers with ties, and NaN in some."""
    rng = np.random.default_rng(seed)
    if not dtype.is_float:
        return rng.choice(special(dtype), n)
    x = rng.integers(-9, 9, n).astype(dtype.numpy) / 4
    if seed % 3 == 1:
        x[rng.integers(0, n, 2)] = np.nan
    if seed % 3 == 2:
        x[:] = rng.choice([-np.inf, np.inf], 1)
    return x


@pytest.mark.parametrize("dtype", [f32, f64, u8, i64, bool_], ids=str)
@pytest.mark.sampled(3)
def test_reductions(dtype: DType) -> None:
    for seed, n in enumerate((1, 7, 64, 67, 130)):
        extra = ("", "dynamic", "stores")[seed % 3]
        function = reduction(dtype, n, combiners_of(dtype), stride=1 + seed % 2, extra=extra)
        x = values_of(dtype, n * (1 + seed % 2), seed)
        check(function, x, widths=[(0, 16, 64)[seed % 3]])


@pytest.mark.parametrize(
    ("dtype", "extra"),
    [
        *((f32, extra) for extra in ("", "dynamic", "stores", "ordered", "heavy")),
        *((f64, extra) for extra in ("dynamic", "ordered")),
        *((i8, extra) for extra in ("", "dynamic", "stores")),
        *((bool_, extra) for extra in ("", "ordered", "heavy")),
    ],
    ids=str,
)
@pytest.mark.sampled(5)
def test_reductions_natively(dtype: DType, extra: str) -> None:
    n = 131
    function = reduction(dtype, n, combiners_of(dtype), extra=extra)
    x = values_of(dtype, n, 1)
    expected = interpret(function, [x])[1]
    assert_same(expected, Native(widened(function, 32)).run(x)[1])


@pytest.mark.parametrize("dtype", [i8, i16, f32], ids=str)
@pytest.mark.parametrize("n", [1, 7, 33, 130])
def test_reductions_that_change_what_they_read(n: int, dtype: DType) -> None:
    """Where no mask leaves elements out, the last iterations would run again and change them twice;
    of so many that only run time knows."""
    function, s = loop_function([buffer(dtype, n)], [buffer(dtype), buffer(dtype, n)])
    x, out, kept = function.arguments
    loop(s, "for", 0, n, lambda s, i: s.store(s.load(x, at(i)), kept, at(i)))

    def element(s: LoopBuilder, i: Value) -> list[Value]:
        value = s.load(kept, at(i))
        s.store(s.add(value, value), kept, at(i))
        return [value]

    (total,) = reduce(s, hidden(s, n), ("max",), element)
    s.store(total, out, at())
    s.emit("return")
    check(function, (np.arange(n) % 50).astype(dtype.numpy))


def test_no_sum_is_minus_zero() -> None:
    for n in (1, 5, 70):
        check(reduction(f32, n, ("add",)), np.full(n, -0.0, np.float32), native=True)


def test_reductions_of_several_dtypes() -> None:
    """Sums of f32 and f64 have trees of different widths."""
    function, s = loop_function([buffer(f32, 101)], [buffer(f32), buffer(f64)])
    x, *outs = function.arguments

    def element(s: LoopBuilder, i: Value) -> list[Value]:
        value = s.load(x, at(i))
        return [value, s.cast(value, f64)]

    for result, out in zip(reduce(s, 101, ("add", "add"), element), outs, strict=True):
        s.store(result, out, at())
    s.emit("return")
    check(function, np.random.default_rng(0).normal(size=101).astype(np.float32), native=True)
