"""lower_to_loops: loops compute what the reference says, in every form a group can take."""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import IndexOutOfBoundsError
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ir.types import bool_, f32, f64, i64
from nets.ops.definition.registry import Array, lookup
from nets.passes.lowering.piece_loops import _margins
from nets.passes.pipelines import FUSE, LOWER
from tests.passes.lowered import (
    Program,
    operations,
    parallelize_everything,
    run_loops,
    run_passes,
    status_of,
    tensor,
)
from tests.property.programs import arguments, random_program
from tests.property.results import assert_matches, assert_same

LENGTHS = (0, 1, 2, 16, 17, 33, 64, 100, 1025)


@pytest.fixture(params=[False, True], ids=["serial", "parallel"])
def _sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        parallelize_everything(monkeypatch)


def draw(function: Function, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 9, a.type.shape).astype(a.type.dtype.numpy) for a in function.arguments]


def check(function: Function, *passes: str) -> Function:
    """Integral numbers make sums exact, so every bit can be compared."""
    loops = run_passes(function, *passes, *LOWER)
    arrays = draw(function)
    expected = evaluate(function, arrays)
    for backwards in (False, True):
        assert_same(expected, run_loops(loops, arrays, backwards), loops)
    return loops


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.sampled(5)
def test_random_programs(seed: int) -> None:
    function = random_program(seed, 8)
    arrays = arguments(function, np.random.default_rng(seed))
    if seed % 2:
        loops = run_passes(function, *FUSE, *LOWER)
    else:
        loops = run_passes(function, *LOWER)
    try:
        evaluate(function, arrays)
    except IndexOutOfBoundsError:
        assert status_of(loops, arrays)[0] > 0
        return
    status, found = status_of(loops, arrays, backwards=bool(seed % 4 // 2))
    assert status == 0
    if not operations(function, "reduce_prod"):  # may overflow in one order and not in another
        assert_matches(function, arrays, found)


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.sampled(5)
def test_sums_over_rows(length: int, dtype: object) -> None:
    p = Program(tensor(3, length, dtype=dtype))
    check(p.done(p.b.sum(p.arguments[0], (1,))))


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("rows", [0, 1, 2, 16, 17, 33, 100])
@pytest.mark.parametrize(("batch", "columns"), [(1, 5), (3, 2), (9, 3), (2, 0)])
@pytest.mark.sampled(5)
def test_sums_over_columns(rows: int, batch: int, columns: int) -> None:
    p = Program(tensor(batch, rows, columns))
    check(p.done(p.b.sum(p.arguments[0], (1,))))


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize(
    "axes", [(0, 2), (1,), (0, 1), (1, 2), (0, 1, 2), (0, 3), (1, 3), (0, 1, 3)]
)
def test_runs_of_axes(axes: tuple[int, ...]) -> None:
    p = Program(tensor(3, 2, 5, 7))
    check(p.done(p.b.sum(p.arguments[0], axes), p.b.emit("reduce_max", p.arguments[0], axes=axes)))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(name: str, axis: int) -> None:
    p = Program(tensor(4, 5, 6))
    check(p.done(p.b.emit(name, p.arguments[0], axis=axis)))


def test_axes_of_size_one_split_no_run() -> None:
    p = Program(tensor(4, 1, 6), tensor(20, 1))
    loops = check(p.done(p.b.sum(p.arguments[0], (0, 2)), p.b.sum(p.arguments[1], (0,))))
    assert len(operations(loops, "loop.reduce")) == 2
    assert not operations(loops, "loop.alloc")


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("shape", [(3, 40), (70, 10), (2, 1030), (1, 1030), (20, 1), (5, 0)])
@pytest.mark.sampled(5)
def test_softmax_and_statistics_share_rows(shape: tuple[int, int]) -> None:
    p = Program(tensor(*shape))
    (x,) = p.arguments
    if shape[1]:
        x = p.b.sub(x, p.b.broadcast(p.b.emit("reduce_max", x, axes=(1,)), shape, (0,)))
    e = p.b.emit("exp", x)
    total = p.b.sum(e, (1,))
    share = p.b.div(e, p.b.broadcast(p.b.reshape(total, (shape[0], 1)), shape, (0, 1)))
    function = p.done(share, total, p.b.sum(p.b.cast(x, f64), (1,)))
    loops = run_passes(function, *FUSE, *LOWER)
    arrays = draw(function)
    assert_matches(function, arrays, run_loops(loops, arrays))
    assert_matches(function, arrays, run_loops(loops, arrays, backwards=True))


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("rows", [3, 16, 40, 100])
def test_columns_with_what_feeds_and_follows(rows: int) -> None:
    p = Program(tensor(rows, 12), tensor(12))
    x, bias = p.arguments
    y = p.b.mul(x, p.b.broadcast(bias, (rows, 12), (1,)))
    total = p.b.sum(y, (0,))
    square = p.b.sum(p.b.mul(y, y), (0,))
    loops = check(p.done(y, p.b.sub(bias, total), square), "fuse")
    assert len(operations(loops, "loop.tree_combine")) == (2 if rows > 16 else 0)


@pytest.mark.parametrize("shape", [(3, 1), (3, 4), (3, 40), (3, 1030), (4, 3), (40, 3)])
def test_no_sum_is_minus_zero(shape: tuple[int, int]) -> None:
    p = Program(tensor(*shape))
    (x,) = p.arguments
    loops = run_passes(p.done(p.b.sum(x, (0,)), p.b.sum(x, (1,)), p.b.sum(x, (0, 1))), *LOWER)
    for total in run_loops(loops, [np.full(shape, -0.0, np.float32)]):
        assert not np.signbit(total).any()


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("shape", [(40, 7), (300, 3), (5, 6), (2, 2, 5)])
def test_short_rows_have_no_loop_of_their_own(shape: tuple[int, ...]) -> None:
    p = Program(tensor(*shape))
    (x,) = p.arguments
    axis = len(shape) - 1
    total = p.b.sum(x, (axis,))
    largest = p.b.emit("reduce_max", x, axes=(axis,))
    loops = check(p.done(p.b.add(total, largest), p.b.sum(p.b.mul(x, x), (axis,))), "fuse")
    assert not operations(loops, "loop.reduce")


@pytest.mark.usefixtures("_sharing")
@pytest.mark.parametrize("axes", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
@pytest.mark.sampled(3)
def test_transposes(axes: tuple[int, ...]) -> None:
    p = Program(tensor(34, 2, 33))
    check(p.done(p.b.transpose(p.arguments[0], axes)))


@pytest.mark.usefixtures("_sharing")
def test_neighbouring_axes_share_a_loop() -> None:
    p = Program(tensor(6, 7, 8), tensor(8))
    x, bias = p.arguments
    doubled = p.b.add(x, x)
    loops = check(p.done(doubled, p.b.add(x, p.b.broadcast(bias, (6, 7, 8), (2,)))))
    assert operations(loops, "loop.load")
    assert all(len(op.operands) <= 3 for op in operations(loops, "loop.load"))


def test_matrices_are_read_transposed() -> None:
    p = Program(tensor(5, 3), tensor(4, 3), tensor(5, 4))
    x, y, z = p.arguments
    xy = p.b.emit("matmul", x, p.b.transpose(y, (1, 0)))
    xz = p.b.emit("matmul", p.b.transpose(x, (1, 0)), z)
    loops = check(p.done(xy, xz), "fuse")
    flags = [tuple(op.attributes.values()) for op in operations(loops, "loop.gemm")]
    assert flags == [(False, True), (True, False)]
    assert not operations(loops, "loop.alloc")


def test_a_part_is_no_transpose_where_its_matrices_have_one_element() -> None:
    p = Program(tensor(6, 2, 1), tensor(6, 1, 1))
    x, y = p.arguments
    part = p.b.emit("slice", x, starts=(0, 0, 0), stops=(6, 1, 1), steps=(1, 1, 1))
    check(p.done(p.b.emit("matmul", part, y)))


def test_a_transpose_that_others_read_is_stored_once() -> None:
    p = Program(tensor(5, 3), tensor(4, 3, dtype=bool_))
    x, y = p.arguments
    t = p.b.transpose(x, (1, 0))
    u = p.b.transpose(y, (1, 0))
    product = p.b.emit("matmul", x, t)
    table = p.b.emit("matmul", y, u)
    loops = check(p.done(product, table, t))
    assert len(operations(loops, "loop.gemm")) == 1


def test_results_that_no_operation_makes() -> None:
    p = Program(tensor(4), tensor())
    x, y = p.arguments
    c = p.b.constant(np.arange(3), i64)
    one = p.b.constant(1, f32)
    z = p.b.add(x, x)
    function = p.done(x, z, z, p.b.reshape(z, (2, 2)), c, one, y, p.b.reshape(x, (4, 1)))
    assert not operations(check(function), "loop.alloc")


def test_a_failed_check_names_operation_and_axis() -> None:
    p = Program(tensor(4, 3), tensor(2, dtype=i64))
    function = p.done(p.b.emit("gather", *p.arguments, axis=0))
    loops = run_passes(function, *LOWER)
    arrays = draw(function)
    arrays[1][:] = (3, -4)
    assert status_of(loops, arrays)[0] == 0
    arrays[1][1] = 4
    assert status_of(loops, arrays)[0] == 1
    ((code, message, location, error),) = loops.attributes["checks"]
    assert (code, location, error) == (1, "", "IndexOutOfBoundsError")
    assert "axis 0 of size 4" in message


@pytest.mark.parametrize("seed", range(6))
def test_bits_do_not_depend_on_fusion_or_sharing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = random_program(1000 + seed)
    arrays = arguments(function, np.random.default_rng(seed))
    status, expected = status_of(run_passes(function, *LOWER), arrays)
    parallelize_everything(monkeypatch)
    found = status_of(run_passes(function, *FUSE, *LOWER), arrays)
    assert (found[0] > 0) == (status > 0)
    assert_same(expected, found[1], function)


def test_loops_are_left_alone() -> None:
    p = Program(tensor(4))
    loops = run_passes(p.done(p.b.neg(p.arguments[0])), *LOWER)
    assert str(run_passes(loops, "lower_to_loops")) == str(loops)


@pytest.mark.usefixtures("_sharing")
def test_whole_operands_are_copied_without_tests_per_element() -> None:
    p = Program(tensor(3, 40), tensor(3, 5), tensor())
    x, y, value = p.arguments
    joined = p.b.emit("concatenate", x, y, x, axis=1)
    padded = p.b.emit("pad", x, value, low=(2, 0), high=(0, 7))
    zeros = p.b.emit("pad", y, p.b.constant(0, f32), low=(0, 0), high=(0, 0))
    loops = check(p.done(joined, padded, zeros), "fuse")
    assert not operations(loops, "loop.select")
    assert not operations(loops, "loop.compare")


@pytest.mark.parametrize("low", [(0, 0), (1, 0), (0, 2), (2, 1)])
@pytest.mark.parametrize("high", [(0, 0), (1, 0), (0, 3), (1, 1)])
def test_margins_are_all_that_lies_around(low: tuple[int, int], high: tuple[int, int]) -> None:
    inner = (2, 3)
    shape = tuple(map(sum, zip(inner, low, high, strict=True)))
    written = np.zeros(shape, int)
    for sizes, first in _margins(shape, low, inner):
        written[tuple(slice(at, at + n) for at, n in zip(first, sizes, strict=True))] += 1
    around = np.ones(shape, int)
    around[tuple(slice(at, at + n) for at, n in zip(low, inner, strict=True))] = 0
    np.testing.assert_array_equal(written, around)


def test_a_result_takes_the_place_of_an_operand_that_dies() -> None:
    p = Program(tensor(8, 8), tensor(8))
    x, bias = p.arguments
    product = p.b.emit("matmul", x, x)
    active = p.b.emit("tanh", p.b.add(product, p.b.broadcast(bias, (8, 8), (1,))))
    share = p.b.div(active, p.b.broadcast(p.b.sum(active, (1,)), (8, 8), (0,)))
    loops = check_close(p.done(p.b.emit("matmul", share, x)))
    sizes = [op.result.type.size for op in operations(loops, "loop.alloc")]
    assert sizes == [64, 8], "the matrix, and a row of active values"


def test_a_result_stays_out_of_an_operand_that_is_read_elsewhere() -> None:
    p = Program(tensor(8, 8))
    (x,) = p.arguments
    product = p.b.emit("matmul", x, x)
    turned = p.b.add(product, p.b.transpose(product, (1, 0)))
    loops = check(p.done(p.b.emit("matmul", turned, x)), "fuse")
    assert len(operations(loops, "loop.alloc")) == 2


def check_close(function: Function) -> Function:
    loops = run_passes(function, *FUSE, *LOWER)
    arrays = draw(function)
    assert_matches(function, arrays, run_loops(loops, arrays))
    return loops


def test_fusions_may_yield_what_they_take_and_yield_twice() -> None:
    text = """
    func @f(%x: tensor<3x4xf32>) -> (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) {
      %0, %1, %2 = fusion %x (%x: tensor<3x4xf32>) {
        %3 = negative %x : tensor<3x4xf32>
        yield %3, %x, %3 : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>
      } : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>
      return %0, %1, %2 : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>
    }"""
    check(parse_function(text, lookup))


def test_fusions_without_common_loops_are_dissolved() -> None:
    text = """
    func @f(%x: tensor<3x4xf32>) -> (tensor<4x3xf32>, tensor<4xf32>, tensor<3xf32>) {
      %0, %1, %2 = fusion %x (%x: tensor<3x4xf32>) {
        %3 = negative %x : tensor<3x4xf32>
        %4 = transpose %3 {axes = [1, 0]} : tensor<4x3xf32>
        %5 = constant {value = dense<[[1.0, 2.0, 3.0]]>} : tensor<1x3xf32>
        %6 = broadcast %5 {axes = [0, 1]} : tensor<4x3xf32>
        %7 = add %4, %6 : tensor<4x3xf32>
        %8 = reduce_sum %3 {axes = [0]} : tensor<4xf32>
        %9 = reduce_sum %3 {axes = [1]} : tensor<3xf32>
        yield %7, %8, %9 : tensor<4x3xf32>, tensor<4xf32>, tensor<3xf32>
      } : tensor<4x3xf32>, tensor<4xf32>, tensor<3xf32>
      return %0, %1, %2 : tensor<4x3xf32>, tensor<4xf32>, tensor<3xf32>
    }"""
    check(parse_function(text, lookup))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_fusion_that_finds_positions_along_another_axis_is_dissolved(axis: int) -> None:
    size = (4, 3)[axis]
    text = f"""
    func @f(%x: tensor<3x4xf32>) -> (tensor<3x4xf32>, tensor<{size}xi64>) {{
      %0, %1 = fusion %x (%x: tensor<3x4xf32>) {{
        %2 = negative %x : tensor<3x4xf32>
        %3 = argmax %2 {{axis = {axis}}} : tensor<{size}xi64>
        yield %2, %3 : tensor<3x4xf32>, tensor<{size}xi64>
      }} : tensor<3x4xf32>, tensor<{size}xi64>
      return %0, %1 : tensor<3x4xf32>, tensor<{size}xi64>
    }}"""
    check(parse_function(text, lookup))


def test_what_others_read_is_not_a_part_of_memory_that_is_reused() -> None:
    """A row is a part of a padded tensor, whose negative takes its place."""
    p = Program(tensor(3, 7, dtype=f64))
    (x,) = p.arguments
    row = p.b.emit("slice", x, starts=(2, 1), stops=(3, 7), steps=(1, 1))
    padded = p.b.emit("pad", row, p.b.constant(0.5, f64), low=(0, 0), high=(2, 1))
    cut = p.b.emit("flip", p.b.neg(padded), axes=(0,))
    check(p.done(cut, p.b.neg(row)))
