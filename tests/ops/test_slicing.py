"""Slice, pad and concatenate against NumPy, with derivatives and errors."""

from typing import Any

import numpy as np
import pytest
from single_op import check_derivatives, program, run

from nets.backend.numpy.interpreter import evaluate
from nets.errors import DTypeError, NetsError, ShapeError
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, f32, f64
from nets.passes.derivatives.vjp import vjp

N = symbol("n")


def draw(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0, 9, shape).astype(dtype)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 7])
@pytest.mark.sampled(3)
def test_every_slice_of_a_row(size: int) -> None:
    x = draw((size,))
    for start in range(size + 1):
        for stop in range(start, size + 1):
            for step in (1, 2, 3, 4, 9):
                cut = {"starts": (start,), "stops": (stop,), "steps": (step,)}
                np.testing.assert_array_equal(run("slice", x, **cut), x[start:stop:step])
                check_derivatives("slice", x, **cut)


@pytest.mark.parametrize(
    ("shape", "starts", "stops", "steps"),
    [
        ((), (), (), ()),
        ((3, 5), (1, 0), (3, 5), (1, 2)),
        ((7, 5), (1, 0), (7, 4), (3, 3)),
        ((2, 3, 4), (0, 1, 0), (2, 3, 4), (2, 1, 3)),
        ((2, 0, 4), (0, 0, 1), (1, 0, 4), (1, 2, 2)),
        ((3, 4), (3, 0), (3, 4), (2, 2)),
    ],
)
def test_slices(shape: tuple, starts: tuple, stops: tuple, steps: tuple) -> None:
    cut = {"starts": starts, "stops": stops, "steps": steps}
    expected = draw(shape)[tuple(map(slice, starts, stops, steps))]
    np.testing.assert_array_equal(run("slice", draw(shape), **cut), expected)
    for dtype in ("bool", "int16", "float32"):
        assert run("slice", draw(shape, dtype), **cut).dtype == dtype
    check_derivatives("slice", draw(shape), **cut)


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        ((), (), ()),
        ((0,), (2,), (1,)),
        ((1,), (0,), (0,)),
        ((7,), (0,), (3,)),
        ((3, 5), (1, 0), (0, 2)),
        ((3, 0), (1, 1), (0, 2)),
        ((2, 3, 4), (1, 2, 3), (3, 2, 1)),
    ],
)
def test_pad(shape: tuple, low: tuple, high: tuple) -> None:
    widths = list(zip(low, high, strict=True))
    for dtype in ("bool", "uint8", "int64", "float32", "float64"):
        x, value = draw(shape, dtype), np.array(7, dtype)
        expected = np.pad(x, widths, constant_values=value) if shape else x
        np.testing.assert_array_equal(run("pad", x, value, low=low, high=high), expected)
    check_derivatives("pad", draw(shape), np.array(2.0), low=low, high=high)


def test_an_infinity_inside_leaves_the_gradient_of_the_padding_alone() -> None:
    function = program("pad", [TensorType((2,), f64), TensorType((), f64)], low=(1,), high=(1,))
    ct = np.array([2.0, np.inf, np.nan, 3.0])
    (gradient,) = evaluate(vjp(function, [1]), [np.zeros(2), np.array(0.0), ct])
    assert gradient == 5


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(3,)], 0),
        ([(3,), (1,), (2,)], 0),
        ([(0,), (2,)], 0),
        ([(2,), (0,)], 0),
        ([(0,), (0,)], 0),
        ([(2, 3), (2, 1)], 1),
        ([(2, 3), (5, 3), (1, 3), (7, 3)], 0),
        ([(2, 0), (3, 0)], 0),
        ([(2, 1, 3), (2, 0, 3), (2, 2, 3)], 1),
    ],
)
def test_concatenate(shapes: list[tuple[int, ...]], axis: int) -> None:
    for dtype in ("bool", "int8", "float32", "float64"):
        xs = [draw(shape, dtype) for shape in shapes]
        np.testing.assert_array_equal(
            run("concatenate", *xs, axis=axis), np.concatenate(xs, axis=axis)
        )
    check_derivatives("concatenate", *map(draw, shapes), axis=axis)


X = TensorType((3, 4), f32)
ERRORS: list[tuple[str, list[TensorType], dict[str, Any], type[NetsError], str]] = [
    ("slice", [X], {"starts": (0,), "stops": (3,), "steps": (1,)}, ShapeError, "needs 2 starts"),
    (
        "slice",
        [X],
        {"starts": (0, 0), "stops": (3, 5), "steps": (1, 1)},
        ShapeError,
        "tensor<3x4xf32>: 0:5:1 does not fit axis 1",
    ),
    ("slice", [X], {"starts": (0, 2), "stops": (3, 1), "steps": (1, 1)}, ShapeError, "2:1:1"),
    ("slice", [X], {"starts": (-1, 0), "stops": (3, 1), "steps": (1, 1)}, ShapeError, "-1:3:1"),
    ("slice", [X], {"starts": (0, 0), "stops": (3, 1), "steps": (0, 1)}, ShapeError, "0:3:0"),
    ("pad", [X, X], {"low": (0, 0), "high": (0, 0)}, DTypeError, "a value of type tensor<f32>"),
    (
        "pad",
        [X, TensorType((), f64)],
        {"low": (0, 0), "high": (0, 0)},
        DTypeError,
        "pad of tensor<3x4xf32> takes a value of type tensor<f32>, not tensor<f64>",
    ),
    ("pad", [X, TensorType((), f32)], {"low": (0,), "high": (0, 0)}, ShapeError, "needs 2 widths"),
    ("pad", [X, TensorType((), f32)], {"low": (0, -1), "high": (0, 0)}, ShapeError, "is negative"),
    ("concatenate", [], {"axis": 0}, ShapeError, "at least one operand"),
    ("concatenate", [X], {"axis": 2}, ShapeError, "has no axis 2"),
    ("concatenate", [X, X.with_dtype(f64)], {"axis": 0}, DTypeError, "one dtype, not tensor<3x4x"),
    (
        "concatenate",
        [X, TensorType((3, 5), f32)],
        {"axis": 0},
        ShapeError,
        "tensor<3x4xf32> and tensor<3x5xf32> along axis 0: other dimensions differ",
    ),
    ("concatenate", [X, TensorType((3,), f32)], {"axis": 0}, ShapeError, "other dimensions"),
]


@pytest.mark.parametrize(("name", "types", "attributes", "error", "message"), ERRORS)
def test_errors(
    name: str, types: list[TensorType], attributes: dict, error: type[NetsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        program(name, types, **attributes)


def test_symbolic_dimensions_pass_through() -> None:
    x, y, value = TensorType((N, 3), f32), TensorType((7, 3), f32), TensorType((), f32)
    for name, operands, attributes, shape in [
        ("slice", [x], {"starts": (0, 1), "stops": (N, 3), "steps": (1, 2)}, (N, 1)),
        ("pad", [x, value], {"low": (0, 1), "high": (0, 0)}, (N, 4)),
        ("concatenate", [x, x], {"axis": 1}, (N, 6)),
        ("concatenate", [x], {"axis": 0}, (N, 3)),
        ("slice", [x], {"starts": (1, 0), "stops": (N, 3), "steps": (2, 1)}, (N // 2, 3)),
        ("slice", [x], {"starts": (N - 1, 0), "stops": (N, 3), "steps": (1, 1)}, (1, 3)),
        ("slice", [x], {"starts": (0, 0), "stops": (2, 3), "steps": (1, 1)}, (2, 3)),
        ("pad", [x, value], {"low": (1, 0), "high": (N, 0)}, (2 * N + 1, 3)),
        ("concatenate", [x, x, y], {"axis": 0}, (2 * N + 7, 3)),
    ]:
        assert program(name, operands, **attributes).returned[0].type.shape == shape
    with pytest.raises(ShapeError, match="does not fit axis 0"):
        program("slice", [x], starts=(0, 0), stops=(N + 1, 3), steps=(1, 1))
    with pytest.raises(ShapeError, match="is negative"):
        program("pad", [x, value], low=(-N - 1, 0), high=(0, 0))
