"""fuse: what becomes one group, what stays apart, and that programs keep their meaning."""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import IndexOutOfBoundsError
from nets.ir.core import Function, Value
from nets.ir.types import DType, f32, f64
from nets.ops.definition.emitter import GraphEmitter
from nets.passes.derivatives.vjp import pull_back
from nets.passes.fusion.fusion_groups import MAX_OPERATIONS
from nets.passes.fusion.inline_unfit_fusions import FITTING
from nets.passes.pipelines import FUSE
from tests.passes.lowered import Program, operations, run_passes, tensor
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program
from tests.property.results import assert_same


def fused(function: Function) -> tuple[Function, list[set[str]]]:
    """The function after fuse, and the names of the operations in each fusion."""
    result = run_passes(function, "fuse")
    groups = [{op.name for op in f.walk_regions()} for f in operations(result, "fusion")]
    return result, groups


def softmax(b: GraphEmitter, x: Value) -> Value:
    shape = x.type.shape
    shifted = b.sub(x, b.broadcast(b.emit("reduce_max", x, axes=(1,)), shape, (0,)))
    e = b.emit("exp", shifted)
    return b.div(e, b.broadcast(b.sum(e, (1,)), shape, (0,)))


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.sampled(5)
def test_random_programs_keep_their_bits(seed: int) -> None:
    function = random_program(seed, 20)
    arrays = arguments(function, np.random.default_rng(seed))
    result = run_passes(function, "fuse")
    FITTING.check(result, "fuse ensures")
    FITTING.check(run_passes(function, *FUSE), "FUSE ensures")
    try:
        expected = evaluate(function, arrays)
    except IndexOutOfBoundsError:
        with pytest.raises(IndexOutOfBoundsError):
            evaluate(result, arrays)
    else:
        assert_same(expected, evaluate(result, arrays), function)


def test_a_softmax_is_one_fusion() -> None:
    p = Program(tensor(8, 20))
    _, groups = fused(p.done(softmax(p.b, p.arguments[0])))
    assert len(groups) == 1
    assert {"reduce_max", "exp", "reduce_sum", "divide"} <= groups[0]


def test_the_gradient_of_a_softmax_joins_it() -> None:
    p = Program(tensor(8, 20), tensor(8, 20))
    x, ct = p.arguments
    y = softmax(p.b, x)
    cts = {y: ct}
    pull_back(p.b, list(p.function.body), cts, [x])
    result, groups = fused(p.done(y, cts[x]))
    assert len(groups) == 1
    assert len(list(result.body)) == 2


def test_kept_axes_of_size_one_do_not_hinder() -> None:
    p = Program(tensor(8, 20))
    (x,) = p.arguments
    mean = p.b.reshape(p.b.scale(p.b.sum(x, (1,)), 1 / 20), (8, 1))
    centred = p.b.sub(x, p.b.broadcast(p.b.neg(p.b.neg(mean)), (8, 20), (0, 1)))
    _, groups = fused(p.done(centred, mean))
    assert len(groups) == 1


def test_column_sums_take_producers_and_followers() -> None:
    p = Program(tensor(32, 10), tensor(32, 10), tensor(10))
    x, y, bias = p.arguments
    product = p.b.mul(x, y)
    step = p.b.sub(bias, p.b.sum(product, (0,)))
    result, groups = fused(p.done(product, step))
    assert groups == [{"multiply", "reduce_sum", "subtract", "yield"}]
    assert len(operations(result, "fusion")[0].results) == 2


def test_the_same_sum_spread_over_its_columns_is_another_group() -> None:
    p = Program(tensor(32, 10))
    (x,) = p.arguments
    centred = p.b.sub(x, p.b.broadcast(p.b.sum(x, (0,)), (32, 10), (1,)))
    result, _ = fused(p.done(centred))
    assert len(list(result.body)) == 3


def test_what_is_read_shifted_is_stored() -> None:
    p = Program(tensor(16))
    (x,) = p.arguments
    e = p.b.emit("exp", x)
    result, _ = fused(p.done(p.b.add(e, p.b.emit("flip", e, axes=(0,)))))
    assert [op.name for op in result.body] == ["exp", "fusion", "return"]


@pytest.mark.parametrize("moves", [1, 2])
def test_what_a_kernel_reads_through_changes_of_index_is_stored(moves: int) -> None:
    p = Program(tensor(6, 6))
    (x,) = p.arguments
    powers = p.b.emit("exp", x)
    read = p.b.emit("flip", powers, axes=(0,))
    if moves == 2:
        read = p.b.transpose(read, (1, 0))
    function = p.done(p.b.mul(p.b.neg(powers), x), p.b.emit("matmul", read, read))
    result, _ = fused(function)
    (e,) = operations(result, "exp")
    (of_exp,) = (op for op in operations(result, "fusion") if e in op.walk_regions())
    assert len(of_exp.results) == 2
    arrays = [np.random.default_rng(0).random((6, 6), np.float32)]
    assert_same(evaluate(function, arrays), evaluate(result, arrays), result)


def test_no_cycle_through_a_kernel() -> None:
    p = Program(tensor(4, 4))
    (x,) = p.arguments
    first = p.b.neg(x)
    product = p.b.emit("matmul", first, x)
    result, groups = fused(p.done(p.b.add(first, product)))
    assert [op.name for op in result.body] == ["negative", "matmul", "add", "return"]
    assert not groups


def test_a_group_waits_for_a_kernel_it_does_not_feed() -> None:
    p = Program(tensor(4, 4))
    (x,) = p.arguments
    first = p.b.neg(x)
    product = p.b.emit("matmul", x, x)
    result, groups = fused(p.done(p.b.add(first, product)))
    assert [op.name for op in result.body] == ["matmul", "fusion", "return"]
    assert groups == [{"negative", "add", "yield"}]


def test_two_groups_meet_in_their_consumer() -> None:
    p = Program(tensor(4), tensor(4))
    x, y = p.arguments
    _, groups = fused(p.done(p.b.add(p.b.neg(x), p.b.emit("abs", y))))
    assert groups == [{"negative", "abs", "add", "yield"}]


def test_siblings_share_a_loop_over_what_both_read() -> None:
    p = Program(tensor(4), tensor(4))
    x, y = p.arguments
    _, groups = fused(p.done(p.b.mul(x, y), p.b.neg(x)))
    assert groups == [{"multiply", "negative", "yield"}]


def test_broadcasts_are_repeated_where_they_are_read() -> None:
    p = Program(tensor(10), tensor(32, 10), tensor(32, 10))
    bias, x, y = p.arguments
    spread = p.b.broadcast(bias, (32, 10), (1,))
    product = p.b.emit("matmul", p.b.transpose(x, (1, 0)), p.b.add(x, spread))
    late = p.b.add(p.b.sub(y, spread), p.b.broadcast(p.b.sum(product, (0, 1)), (32, 10), ()))
    result, _ = fused(p.done(late))
    assert all(op.block is not result.body for op in operations(result, "broadcast"))


def test_no_group_grows_without_bound() -> None:
    p = Program(tensor(4))
    value = p.arguments[0]
    for _ in range(500):
        value = p.b.add(value, p.arguments[0])
    result, _ = fused(p.done(value))
    sizes = [sum(1 for _ in f.walk_regions()) for f in operations(result, "fusion")]
    assert max(sizes) <= MAX_OPERATIONS + 1
    assert len(sizes) == -(-500 // MAX_OPERATIONS)


@pytest.mark.long
def test_long_chains_and_wide_programs_take_linear_time() -> None:
    p = Program(tensor(4), *[tensor(4) for _ in range(1000)])
    value = p.arguments[0]
    for argument in p.arguments[1:]:
        value = p.b.emit("matmul", p.b.reshape(value, (2, 2)), p.b.reshape(argument, (2, 2)))
        value = p.b.emit("tanh", p.b.reshape(value, (4,)))
    run_passes(p.done(value), "fuse")


def test_fusing_twice_changes_nothing_more() -> None:
    p = Program(tensor(8, 20), tensor(20, 8))
    x, y = p.arguments
    result = run_passes(p.done(p.b.emit("matmul", softmax(p.b, x), y)), "fuse")
    assert str(run_passes(result, "fuse")) == str(result)


def test_the_step_of_a_parameter_follows_its_gradient() -> None:
    p = Program(tensor(8, 8), tensor(8, 8), tensor(8, 8))
    x, v, w = p.arguments
    first, second = p.b.emit("matmul", x, v), p.b.emit("matmul", x, w)
    result, _ = fused(p.done(p.b.sub(v, first), p.b.sub(w, second)))
    names = [op.name for op in result.body]
    assert names == ["matmul", "subtract", "matmul", "subtract", "return"]


def norm(b: GraphEmitter, x: Value, weight: Value) -> Value:
    """x less its mean along the last axis, over its deviation, scaled."""
    shape, last = x.type.shape, len(x.type.shape) - 1
    kept = tuple(range(last))
    mean = b.scale(b.sum(x, (last,)), 1 / shape[last])
    centred = b.sub(x, b.broadcast(mean, shape, kept))
    squares = b.sum(b.mul(centred, centred), (last,))
    scale = b.broadcast(b.emit("sqrt", squares), shape, kept)
    return b.mul(b.div(centred, scale), b.broadcast(weight, shape, (last,)))


@pytest.mark.parametrize("shape", [(40, 64), (33, 67), (3, 11, 70)], ids=str)
@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.sampled(4)
def test_sums_of_rows_and_across_them_share_loops_and_keep_their_bits(
    shape: tuple[int, ...], dtype: DType
) -> None:
    p = Program(*(tensor(*sizes, dtype=dtype) for sizes in (shape, shape[-1:], shape)))
    x, weight, ct = p.arguments
    y = norm(p.b, x, weight)
    cts = {y: ct}
    pull_back(p.b, list(p.function.body), cts, [x, weight])
    function = p.done(y, cts[x], cts[weight])
    assert len(operations(run_passes(function, "canonicalize", "fuse"), "fusion")) == 1
    arrays = arguments(function, np.random.default_rng(0))
    apart = Way("canonicalize").compile(function)(arrays)
    for way in (Way(), Way(threads=2), Way(vector_bytes=64)):
        assert_same(apart, way.compile(function)(arrays), way)
