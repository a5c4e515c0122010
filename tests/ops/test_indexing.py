"""gather and scatter_add against NumPy, with derivatives, duplicates and bad indices."""

import numpy as np
import pytest
from single_op import check_derivatives, program, run, run_lowered

from nets.errors import DTypeError, IndexOutOfBoundsError, NetsError, ShapeError
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, bool_, f32, f64, i32, i64

CASES: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((7,), (), 0),
    ((7,), (3,), 0),
    ((7,), (0,), 0),
    ((1,), (5,), 0),
    ((3, 5), (2,), 0),
    ((3, 5), (11,), 1),
    ((3, 5), (), 1),
    ((3, 5), (2, 4), 0),
    ((0, 5), (4,), 1),
    ((5, 0), (4,), 0),
    ((0, 5), (0,), 0),
    ((2, 3, 4), (5, 1), 1),
    ((2, 3, 4), (0, 2), 2),
]


def draw(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0, 99, shape).astype(dtype)


def draw_indices(shape: tuple[int, ...], size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(-size, max(size, 1), shape)


def updates_shape(shape: tuple[int, ...], indices: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *indices, *shape[axis + 1 :])


@pytest.mark.parametrize(("shape", "picks", "axis"), CASES)
def test_gather(shape: tuple[int, ...], picks: tuple[int, ...], axis: int) -> None:
    indices = draw_indices(picks, shape[axis])
    for dtype in ("bool", "int8", "uint64", "float32", "float64"):
        x = draw(shape, dtype)
        result = run("gather", x, indices, axis=axis)
        np.testing.assert_array_equal(result, np.take(x, indices, axis=axis))
    check_derivatives("gather", draw(shape), indices, axis=axis)


@pytest.mark.parametrize(("shape", "picks", "axis"), CASES)
def test_scatter_add(shape: tuple[int, ...], picks: tuple[int, ...], axis: int) -> None:
    indices = draw_indices(picks, shape[axis])
    updates_of = updates_shape(shape, picks, axis)
    for dtype in ("int8", "uint64", "float32", "float64"):
        x, updates = draw(shape, dtype), draw(updates_of, dtype)
        before = x.copy()
        expected = np.moveaxis(x.copy(), axis, 0)
        rows = np.moveaxis(updates, range(axis, axis + len(picks)), range(len(picks)))
        for place in np.ndindex(*picks):
            expected[indices[place], ...] += rows[place]
        result = run("scatter_add", x, indices, updates, axis=axis)
        np.testing.assert_array_equal(result, np.moveaxis(expected, 0, axis))
        np.testing.assert_array_equal(x, before)
    check_derivatives("scatter_add", draw(shape), indices, draw(updates_of), axis=axis)


@pytest.mark.parametrize("bad", [3, -4, 2**62, -(2**63)])
def test_an_index_out_of_range(bad: int) -> None:
    x, indices = np.zeros((2, 3), np.float32), np.array([0, bad, 1])
    message = f"index {bad} is out of bounds for axis 1 of size 3"
    with pytest.raises(IndexOutOfBoundsError, match=f"gather: {message}"):
        run("gather", x, indices, axis=1)
    with pytest.raises(IndexOutOfBoundsError, match=f"scatter_add: {message}"):
        run("scatter_add", x, indices, x, axis=1)
    with pytest.raises(IndexOutOfBoundsError, match=f"pick: {message}"):
        run("pick", np.zeros((3, 3), np.float32), indices[:, None], axis=1)
    assert run_lowered("gather", x, indices, axis=1)[1] == 1
    assert run_lowered("pick", np.zeros((3, 3)), indices[:, None], axis=1)[1] == 1
    assert run_lowered("scatter_add", x, indices, x, axis=1)[1] == 1


def test_nothing_can_be_gathered_from_an_empty_axis() -> None:
    with pytest.raises(IndexOutOfBoundsError, match="index 0 is out of bounds for axis 0 of size"):
        run("gather", np.zeros((0, 3)), np.zeros(1, np.int64), axis=0)
    result, status = run_lowered("gather", np.zeros((0, 3)), np.zeros(1, np.int64), axis=0)
    assert (result.shape, status) == ((1, 3), 1)
    assert run_lowered("pick", np.zeros((0, 3)), np.zeros((1, 3), np.int64), axis=0)[1] == 1
    places = np.zeros((0, 3)), np.zeros(1, np.int64), np.zeros((1, 3))
    assert run_lowered("scatter_add", *places, axis=0)[1] == 1


X = TensorType((3, 4), f32)
PICKS = TensorType((2,), i64)


@pytest.mark.parametrize(
    ("name", "types", "axis", "error", "message"),
    [
        ("gather", [X, TensorType((2,), i32)], 0, DTypeError, "dtype i64, not tensor<2xi32>"),
        ("gather", [X, PICKS], 2, ShapeError, "gather of tensor<3x4xf32> has no axis 2"),
        ("gather", [X, PICKS], -1, ShapeError, "has no axis -1"),
        (
            "scatter_add",
            [X, PICKS, X],
            0,
            ShapeError,
            "takes updates of type tensor<2x4xf32>, not tensor<3x4xf32>",
        ),
        ("scatter_add", [X, PICKS, TensorType((2, 4), f64)], 0, DTypeError, "tensor<2x4xf64>"),
        ("scatter_add", [X.with_dtype(bool_), PICKS, X], 0, DTypeError, "one numeric dtype"),
        ("scatter_add", [X, X, X], 0, DTypeError, "dtype i64, not tensor<3x4xf32>"),
        ("pick", [X, X], 0, DTypeError, "dtype i64, not tensor<3x4xf32>"),
        ("pick", [X, PICKS], 2, ShapeError, "pick of tensor<3x4xf32> has no axis 2"),
        ("pick", [X, PICKS], 1, ShapeError, "takes indices for rows along 1, not tensor<2xi64>"),
    ],
)
def test_errors(
    name: str, types: list[TensorType], axis: int, error: type[NetsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        program(name, types, axis=axis)


def test_symbolic_dimensions_pass_through() -> None:
    n = symbol("n")
    x, indices = TensorType((3, n), f32), TensorType((n, 2), i64)
    assert program("gather", [x, indices], axis=0).returned[0].type.shape == (n, 2, n)
