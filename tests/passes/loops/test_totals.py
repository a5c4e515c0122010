"""totals: running results, vector by vector, come to the results of the reduction's tree."""

from collections.abc import Iterator

import numpy as np
import pytest

from nets.ir.core import Function, Value
from nets.ir.types import DType, ScalarType, f32, f64, i8, i32, i64, index, u8
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import Array
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.loop.reduction_tree import ARG_COMBINERS, reduce_lanes
from nets.passes.loops.totals import Slot, make_total
from tests.backend.loops import at, buffer, interpret, loop_function
from tests.passes.lowered import operations

TAKE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def reduction(combiner: str, dtype: DType, lanes: int, count: int) -> Function:
    """The first elements of a buffer, reduced; what follows them must not be seen.

    Where a row has more vectors than elements, only those are made that take some.
    """
    row = reduce_lanes(dtype)
    is_positional = combiner in ARG_COMBINERS
    outs = [buffer(dtype), *([buffer(i64)] if is_positional else [])]
    function, s = loop_function([buffer(dtype, count + row)], outs)
    x, *outputs = function.arguments
    total = make_total(s, combiner, dtype, lanes)
    needed = min(total.vectors, -(-count // lanes))
    slots = [total.initial() for _ in range(needed)]
    for begin in range(0, count, lanes):
        place = begin // lanes % total.vectors
        slots[place] = total.take(slots[place], *_taken(s, x, begin, lanes, row, count))
    found = total.finish(slots)
    assert len(found) == len(outs)
    for value, out in zip(found, outputs, strict=True):
        s.store(s.cast(value, i64) if value is not found[0] else value, out, at())
    s.emit("return")
    verify_function(function)
    return function


def _taken(
    s: LoopBuilder, x: Value, begin: int, lanes: int, row: int, count: int
) -> tuple[Value, Value, Value | None]:
    """The vector of elements from ``begin`` on, where its row starts, and the lanes that count."""
    element = s.emit("load", x, lanes=lanes, offset=begin, strides=()).result
    mask = None
    if begin + lanes > count:
        mask = s.emit("tail_mask", s.const(count - begin, index), lanes=lanes).result
    return element, s.const(begin // row * row, index), mask


def in_tree_order(combiner: str, x: Array, row: int) -> Array:
    """Each lane in order, then the lanes by halving."""
    take = TAKE[combiner]
    lanes = [x[lane::row] for lane in range(min(row, len(x)))]
    live = [take.reduce(lane) for lane in lanes]
    half = row // 2
    while half:
        live = [
            take(value, live[lane + half]) if lane + half < len(live) else value
            for lane, value in enumerate(live[:half])
        ]
        half //= 2
    return np.asarray(live[0], x.dtype)


def cases(*dtypes: DType) -> Iterator[tuple[DType, int, int]]:
    """Dtypes, lanes and counts: less than a vector, vectors, a row, several, and rests."""
    for dtype in dtypes:
        row = reduce_lanes(dtype)
        for lanes in (1, 4, row // 2):
            for count in (1, 4, row // 2 + 4, row, 2 * row + 5):
                if lanes > 1 or count <= row:
                    yield dtype, lanes, count


def drawn(dtype: DType, count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if dtype.is_float:
        return rng.standard_normal(count).astype(dtype.numpy)
    return rng.integers(0, 100, count).astype(dtype.numpy)


def run(combiner: str, dtype: DType, lanes: int, x: Array, behind: float) -> list[Array]:
    """What is behind the elements takes no part."""
    function = reduction(combiner, dtype, lanes, len(x))
    whole = np.concatenate([x, np.full(reduce_lanes(dtype), behind, x.dtype)])
    return interpret(function, [whole])[1]


@pytest.mark.parametrize("combiner", TAKE)
def test_sums_and_extremes_are_those_of_the_tree(combiner: str) -> None:
    for seed, (dtype, lanes, count) in enumerate(cases(f32, i32)):
        x = drawn(dtype, count, seed)
        with np.errstate(over="ignore"):
            expected = in_tree_order(combiner, x, reduce_lanes(dtype))
        behind = 0 if combiner in ("mul", "min") else 120
        (found,) = run(combiner, dtype, lanes, x, behind)
        np.testing.assert_array_equal(found, expected, f"{dtype} {lanes} {count}")


@pytest.mark.parametrize("combiner", ARG_COMBINERS)
def test_the_first_extreme_element_is_found(combiner: str) -> None:
    """With ties, in other lanes and rows."""
    find = getattr(np, combiner)
    for seed, (dtype, lanes, count) in enumerate(cases(f64, u8)):
        x = drawn(dtype, count, seed)
        x[np.random.default_rng(seed).integers(0, count, 1 + count // 3)] = x[find(x)]
        value, place = run(combiner, dtype, lanes, x, 120 if combiner == "argmax" else 0)
        assert (place, value) == (find(x), x[find(x)]), f"{dtype} {lanes} {count}"


@pytest.mark.parametrize("combiner", ARG_COMBINERS)
@pytest.mark.parametrize("lanes", [8, 64])
def test_every_place_of_an_extreme_is_found(combiner: str, lanes: int) -> None:
    """Of one element beyond the others, and of a tie of all from there on."""
    sign = 1 if combiner == "argmax" else -1
    function = reduction(combiner, f32, lanes, 150)
    for place in (0, 1, 7, 8, 63, 64, 100, 128, 149):
        for stop in (place + 1, 150):
            x = np.zeros(150 + 64, np.float32)
            x[place:stop] = sign
            x[150:] = 2 * sign
            assert interpret(function, [x])[1] == [sign, place]


@pytest.mark.parametrize("combiner", ARG_COMBINERS)
def test_a_nan_is_beyond_every_number(combiner: str) -> None:
    """The first one; and infinities are numbers."""
    beyond = np.inf if combiner == "argmax" else -np.inf
    for places in ((0,), (9,), (9, 3), (70, 9), (73, 130)):
        x = np.full(140, beyond, np.float32)
        x[list(places)] = np.nan
        value, place = run(combiner, f32, 8, x, beyond)
        assert np.isnan(value)
        assert place == min(places)


@pytest.mark.parametrize("combiner", ARG_COMBINERS)
@pytest.mark.parametrize("dtype", [f32, i8, u8], ids=str)
def test_values_that_nothing_is_behind_have_their_first_place(dtype: DType, combiner: str) -> None:
    """They are what lanes start from."""
    numbers = np.finfo(dtype.numpy) if dtype.is_float else np.iinfo(dtype.numpy)
    low, high = (-np.inf, np.inf) if dtype.is_float else (numbers.min, numbers.max)
    worst, best = (low, high) if combiner == "argmax" else (high, low)
    for count in (1, 5, 70):
        x = np.full(count, worst, dtype.numpy)
        value, place = run(combiner, dtype, 8, x, best)
        assert (value, place) == (worst, 0)


def test_sums_start_from_nothing() -> None:
    """A sum of -0.0 alone is what the identity and it come to."""
    for count in (1, 3, 64, 70):
        x = np.full(count, -0.0, np.float32)
        (found,) = run("add", f32, 8, x, 1)
        assert found == 0


def test_rows_have_numbers_of_the_size_of_elements() -> None:
    """Of 32 bits, which take half the registers, beside elements of at most as many."""
    for dtype, rows in ((f32, i32), (i8, i32), (f64, index), (i64, index)):
        _, s = loop_function([], [])
        total = make_total(s, "argmax", dtype, 8)
        assert total.dtypes == (dtype, rows)
        slot: Slot = total.initial()
        assert [value.type.dtype for value in slot] == [dtype, rows]
    _, s = loop_function([], [])
    assert make_total(s, "add", f64, 8).dtypes == (f64,)


def test_scalars_are_no_vectors() -> None:
    for combiner in ("add", "argmin"):
        function = reduction(combiner, f32, 1, 10)
        assert not operations(function, "loop.splat")
        assert not operations(function, "loop.lane_reduce")
        loads = operations(function, "loop.load")
        assert {op.result.type for op in loads} == {ScalarType(f32)}
