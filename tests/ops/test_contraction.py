"""matmul against NumPy, with derivatives and errors."""

import numpy as np
import pytest
from single_op import check_derivatives, program, run

from nets.errors import DTypeError, NetsError, ShapeError
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, f32, f64

SHAPES = [
    ((1, 1), (1, 1)),
    ((3, 5), (5, 4)),
    ((7, 1), (1, 7)),
    ((1, 11), (11, 1)),
    ((0, 3), (3, 2)),
    ((3, 0), (0, 2)),
    ((3, 2), (2, 0)),
    ((0, 0), (0, 0)),
    ((2, 3, 4), (2, 4, 5)),
    ((0, 3, 4), (0, 4, 5)),
    ((2, 1, 3, 4), (2, 1, 4, 5)),
]
DTYPES = ["bool", "int8", "int64", "uint8", "uint32", "float32", "float64"]


def draw(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(shape[-1])
    if dtype == "bool":
        return rng.integers(0, 3, shape) == 0
    return rng.uniform(0 if dtype.startswith("u") else -99, 99, shape).astype(dtype)


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        x, y = draw(left, dtype), draw(right, dtype)
        np.testing.assert_allclose(run("matmul", x, y), np.matmul(x, y), rtol=1e-4, atol=1e-2)
    check_derivatives("matmul", draw(left) / 9, draw(right) / 9)


def test_floats_are_rounded_once() -> None:
    x, y = draw((5, 1000), "float32"), draw((1000, 3), "float32")
    expected = np.matmul(x.astype(float), y.astype(float)).astype(np.float32)
    np.testing.assert_array_equal(run("matmul", x, y), expected)


def test_integers_wrap_around() -> None:
    x = np.full((1, 3), 100, np.uint8)
    assert run("matmul", x, x.T) == (3 * 100 * 100) % 256


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (((3,), f32), ((3,), f32), ShapeError, "equal ranks of at least 2, not tensor<3xf32> and"),
        (((3, 3), f32), ((2, 3, 3), f32), ShapeError, "not tensor<3x3xf32> and tensor<2x3x3xf32>"),
        (((3, 4), f32), ((5, 6), f32), ShapeError, "rows of 4 elements meet columns of 5"),
        (((2, 3, 4), f32), ((3, 4, 6), f32), ShapeError, "batch dimensions differ"),
        (((3, 4), f32), ((4, 6), f64), DTypeError, "one dtype, not tensor<3x4xf32> and tensor<4x6"),
    ],
)
def test_errors(x: tuple, y: tuple, error: type[NetsError], message: str) -> None:
    with pytest.raises(error, match=message):
        program("matmul", [TensorType(*x), TensorType(*y)])


def test_symbolic_dimensions_pass_through() -> None:
    n = symbol("n")
    function = program("matmul", [TensorType((n, 3), f32), TensorType((3, 4), f32)])
    assert function.returned[0].type.shape == (n, 4)
