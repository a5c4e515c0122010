"""Iteration spaces, split reductions, and loops over several axes, by counting everything out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Value
from nets.ir.types import BufferType, f32
from nets.ops.loop.accesses import address, is_access
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.spaces.access_maps import is_index_change, reads_of
from nets.passes.spaces.iteration import (
    MIN_ROW_LENGTH,
    MIN_ROWS,
    Kind,
    common_space,
    crosses,
    map_space,
    reduced_runs,
    reduction_space,
)
from nets.passes.spaces.loop_nests import Extent, add_counter
from tests.passes.lowered import Program, operations, run_passes, tensor

SHAPES = [(2, 3, 4), (2, 1, 3), (1, 3, 1, 2), (2, 1, 1, 3), (2, 3, 1, 4, 1)]


def reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> Program:
    p = Program(tensor(*shape))
    p.done(p.b.emit("reduce_sum", p.arguments[0], axes=axes))
    return p


def space_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> object:
    (op,) = operations(reduced(shape, axes).function, "reduce_sum")
    return reduction_space(op)


def subsets(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    axes = range(len(shape))
    return [chosen for n in range(1, len(shape) + 1) for chosen in itertools.combinations(axes, n)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_set_of_axes(shape: tuple[int, ...]) -> None:
    """Axes of size 1 are on either side; what is left of a shape without them tells all."""
    for axes in subsets(shape):
        long = [axis for axis, size in enumerate(shape) if size != 1]
        flags = [axis in axes for axis in long]
        runs = [
            [axis for axis, _ in run]
            for is_reduced, run in itertools.groupby(zip(long, flags, strict=True), lambda x: x[1])
            if is_reduced
        ]
        assert reduced_runs(shape, axes) == runs
        space = space_of(shape, axes)
        assert (space is None) == (len(runs) > 1)
        if space is None:
            continue
        is_row = not runs or runs[0][-1] == long[-1]
        assert space.kind is (Kind.ROW if is_row else Kind.COLUMN)
        assert space.reduced == axes
        assert sorted((*space.kept, *space.reduced)) == list(range(len(shape)))
        assert space.result_shape == tuple(n for axis, n in enumerate(shape) if axis not in axes)


@pytest.mark.parametrize("shape", SHAPES)
def test_split_reductions_are_of_one_run_and_give_the_same(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for axes in subsets(shape):
        function = reduced(shape, axes).function
        split = run_passes(function, "split_reductions")
        assert all(reduction_space(op) is not None for op in operations(split, "reduce_sum"))
        np.testing.assert_array_equal(evaluate(split, [x])[0], x.sum(axes))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_are_found_along_the_last_axis(axis: int) -> None:
    p = Program(tensor(3, 4, 5))
    function = p.done(p.b.emit("argmax", p.arguments[0], axis=axis))
    split = run_passes(function, "split_reductions")
    assert [op.attributes["axis"] for op in operations(split, "argmax")] == [2]
    x = np.random.default_rng(0).permutation(60).reshape(3, 4, 5).astype(np.float32)
    np.testing.assert_array_equal(evaluate(split, [x])[0], x.argmax(axis))


def test_what_has_loops_in_common() -> None:
    shape = (MIN_ROWS, MIN_ROW_LENGTH)
    rows, columns, whole = space_of(shape, (1,)), space_of(shape, (0,)), map_space(shape)
    assert crosses(columns, rows)
    assert not crosses(rows, columns)
    assert common_space(rows, columns) == common_space(columns, rows) == rows
    assert common_space(whole, columns) == columns
    assert common_space(whole, whole) == whole
    for short in ((MIN_ROWS - 1, MIN_ROW_LENGTH), (MIN_ROWS, MIN_ROW_LENGTH - 1)):
        assert common_space(space_of(short, (1,)), space_of(short, (0,))) is None
    thick = (MIN_ROWS, 4, MIN_ROW_LENGTH)  # of which the columns take only one axis
    assert common_space(space_of(thick, (2,)), space_of(thick, (0,))) is None


# ------------------------------------------------------------------------------ index maps


def test_reads_through_changes_of_index() -> None:
    p = Program(tensor(3, 4))
    (x,) = p.arguments
    moved = {
        "transpose": (p.b.transpose(x, (1, 0)), lambda i, j: (j, i)),
        "flip": (p.b.emit("flip", x, axes=(1,)), lambda i, j: (i, 3 - j)),
        "slice": (
            p.b.emit("slice", x, starts=(1, 0), stops=(3, 4), steps=(1, 2)),
            lambda i, j: (i + 1, 2 * j),
        ),
        "broadcast": (p.b.broadcast(x, (2, 3, 4), (1, 2)), lambda k, i, j: (i, j)),
        "reshape": (p.b.reshape(x, (3, 1, 4)), lambda i, k, j: (i, j)),
    }
    for value, expected in moved.values():
        for place in np.ndindex(value.type.static_shape):
            reads, _ = reads_of(value.operation, tuple(map(Affine.of, place)))
            ((source, index),) = reads
            assert source is x
            assert [position.constant for position in index] == list(expected(*place))
            assert all(position.is_constant for position in index)
        assert is_index_change(value.operation)


def test_what_takes_a_test_per_element_is_no_mere_change_of_index() -> None:
    p = Program(tensor(3, 4))
    (x,) = p.arguments
    made = [
        p.b.emit("pad", x, p.b.constant(0, f32), low=(1, 0), high=(0, 0)),
        p.b.emit("concatenate", x, x, axis=0),
        p.b.emit("exp", x),
        p.b.sum(x, (1,)),
    ]
    assert not any(is_index_change(value.operation) for value in made)


# --------------------------------------------------------------------------------- extents


def stored(sizes: Sequence[int], strides: Sequence[int]) -> tuple[Extent, Block, Operation]:
    """The body of loops that store to an address with these strides along the axes."""
    block, extent = Block(), Extent(sizes)
    s = LoopBuilder(Builder(block))
    buffer = Value(BufferType((1000,), f32), None, 0)
    terms = zip(extent.index, strides, strict=True)
    place = sum((position * stride for position, stride in terms), Affine())
    s.store(s.const(0, f32), buffer, place)
    (op,) = (op for op in block if is_access(op))
    return extent, block, op


@pytest.mark.parametrize(
    ("sizes", "strides", "loops"),
    [
        ((3, 4, 5), (20, 5, 1), [60]),
        ((3, 4, 5), (40, 10, 2), [60]),
        ((3, 4, 5), (30, 5, 1), [3, 20]),
        ((3, 4, 5), (10, 5, 1), [3, 20]),
        ((3, 4, 5), (20, 6, 1), [3, 4, 5]),
        ((3, 4, 5), (24, 6, 1), [12, 5]),
        ((3, 4, 5), (1, 3, 12), [3, 4, 5]),
        ((3, 1, 5), (5, 77, 1), [15]),
        ((3, 4, 5), (0, 0, 0), [60]),
        ((1, 1), (7, 9), []),
    ],
)
def test_axes_share_a_counter_where_rows_lie_behind_each_other(
    sizes: tuple[int, ...], strides: tuple[int, ...], loops: list[int]
) -> None:
    extent, _, _ = stored(sizes, strides)
    assert [run.count for run in extent.runs()] == loops
    assert extent.count == np.prod(sizes)


@pytest.mark.parametrize("strides", [(20, 5, 1), (60, 5, 1), (1, 3, 12), (40, 10, 2)])
def test_one_counter_comes_to_every_address(strides: tuple[int, ...]) -> None:
    sizes = (3, 4, 5)
    extent, block, op = stored(sizes, strides)
    s = LoopBuilder(Builder(block))
    counter = add_counter(block)
    extent.resolve(s, block, counter)
    (number,) = block.arguments
    found = [value_of(address(op), {number: n}) for n in range(60)]
    assert found == [int(np.dot(place, strides)) for place in np.ndindex(sizes)]


def value_of(position: Affine, known: dict[Value, int]) -> int:
    """The number that an index expression of the counters comes to."""
    return position.constant + sum(c * number_of(v, known) for v, c in position.terms)


def number_of(value: Value, known: dict[Value, int]) -> int:
    if value in known:
        return known[value]
    op = value.operation
    assert op is not None
    if op.name == "loop.const":
        return int(op.attributes["value"])
    one, other = (number_of(operand, known) for operand in op.operands)
    return {"div": one // other, "rem": one % other, "add": one + other, "mul": one * other}[
        op.name.removeprefix("loop.")
    ]
