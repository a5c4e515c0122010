"""Broadcast, reshape, transpose, flip and iota against NumPy, with derivatives and errors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from single_op import check_derivatives, lowered, program, run

from nets.errors import DTypeError, NetsError, ShapeError, VerifyError
from nets.ir.sizes import symbol
from nets.ir.types import DTYPES, TensorType, bool_, f32, i64

N = symbol("n")
SHAPES = [(), (1,), (7,), (0,), (3, 5), (1, 5), (3, 0), (2, 3, 4), (2, 0, 3), (2, 1, 3, 1)]


def draw(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(0, 9, shape).astype(dtype)


BROADCASTS: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
    ((), (), ()),
    ((), (2, 3), ()),
    ((), (0,), ()),
    ((3,), (3,), (0,)),
    ((3,), (2, 3), (1,)),
    ((3,), (3, 2), (0,)),
    ((1,), (3, 2), (0,)),
    ((1,), (3, 0), (1,)),
    ((0,), (0, 2), (0,)),
    ((3, 1), (3, 4, 5), (0, 1)),
    ((1, 1), (1, 4, 1), (0, 2)),
    ((2, 3), (2, 7, 3), (0, 2)),
]


@pytest.mark.parametrize(("source", "shape", "axes"), BROADCASTS)
def test_broadcast(source: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    for dtype in ("bool", "int8", "float32", "float64"):
        x = draw(source, dtype)
        aligned = np.expand_dims(x, tuple(a for a in range(len(shape)) if a not in axes))
        result = run("broadcast", x, shape=shape, axes=axes)
        np.testing.assert_array_equal(result, np.broadcast_to(aligned, shape))
    check_derivatives("broadcast", draw(source), shape=shape, axes=axes)


RESHAPES = [
    ((), (1, 1)),
    ((1,), ()),
    ((6,), (2, 3)),
    ((2, 3), (6,)),
    ((4, 6), (3, 8)),
    ((2, 1, 3), (1, 2, 3, 1)),
    ((0, 3), (5, 0)),
    ((2, 3, 5, 7), (6, 35)),
]


@pytest.mark.parametrize(("source", "shape"), RESHAPES)
def test_reshape(source: tuple[int, ...], shape: tuple[int, ...]) -> None:
    for dtype in ("bool", "uint16", "float64"):
        x = draw(source, dtype)
        np.testing.assert_array_equal(run("reshape", x, shape=shape), x.reshape(shape))
    check_derivatives("reshape", draw(source), shape=shape)


@pytest.mark.parametrize(
    ("source", "shape", "divides"),
    [
        ((3, 1, 5), (3, 5), False),
        ((35,), (5, 7), False),
        ((6, 35), (2, 3, 1, 5, 7), False),
        ((5, 7), (35,), True),
        ((9, 4, 6), (9, 3, 8), True),
    ],
)
def test_reshape_divides_only_to_split(source: tuple, shape: tuple, divides: bool) -> None:
    function = lowered("reshape", [TensorType(source, f32)], shape=shape)
    assert any(op.name == "loop.div" for op in function.walk()) == divides


@pytest.mark.parametrize("shape", SHAPES)
def test_transpose(shape: tuple[int, ...]) -> None:
    for axes in itertools.permutations(range(len(shape))):
        x = draw(shape, "int32")
        np.testing.assert_array_equal(run("transpose", x, axes=axes), np.transpose(x, axes))
        check_derivatives("transpose", draw(shape), axes=axes)


@pytest.mark.parametrize("shape", SHAPES)
def test_flip(shape: tuple[int, ...]) -> None:
    for count in range(len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            x = draw(shape, "int32")
            np.testing.assert_array_equal(run("flip", x, axes=axes), np.flip(x, axes))
            check_derivatives("flip", draw(shape), axes=axes)


@pytest.mark.parametrize("name", [name for name in DTYPES if name not in ("bool", "index")])
def test_iota(name: str) -> None:
    dtype = DTYPES[name]
    for shape, axis in [((5,), 0), ((300,), 0), ((2, 3), 0), ((2, 3), 1), ((0, 3), 1), ((0,), 0)]:
        expected = np.indices(shape)[axis].astype(dtype.numpy)
        result = run("iota", shape=shape, dtype=dtype, axis=axis)
        np.testing.assert_array_equal(result, expected)


def test_results_share_no_memory_with_operands() -> None:
    x = draw((2, 3))
    for name, attributes in {
        "broadcast": {"shape": (2, 3), "axes": (0, 1)},
        "reshape": {"shape": (3, 2)},
        "transpose": {"axes": (0, 1)},
        "flip": {"axes": ()},
    }.items():
        result = run(name, x, **attributes)
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert not np.shares_memory(result, x)


X = TensorType((3, 1), f32)
ERRORS: list[tuple[str, TensorType | None, dict[str, Any], type[NetsError], str]] = [
    ("broadcast", X, {"shape": (4, 1), "axes": (0, 1)}, ShapeError, "axis 0 has size 3 in x"),
    ("broadcast", X, {"shape": (3, 1), "axes": (0,)}, ShapeError, r"needs 2 axes, not \(0,\)"),
    ("broadcast", X, {"shape": (3, 3), "axes": (1, 0)}, ShapeError, "needs ascending axes of "),
    ("broadcast", X, {"shape": (3, 3), "axes": (1, 2)}, ShapeError, r"not \(1, 2\)"),
    ("broadcast", X, {"shape": (3, -1), "axes": (0, 1)}, ShapeError, "is negative"),
    ("reshape", X, {"shape": (2,)}, ShapeError, "tensor<3x1xf32> to tensor<2xf32>"),
    ("reshape", X, {"shape": (-3, -1)}, ShapeError, "a dimension is negative"),
    ("reshape", X, {"shape": [3]}, VerifyError, "shape is a tuple of dimensions, not"),
    ("transpose", X, {"axes": (0, 0)}, ShapeError, r"an order of its 2 axes, not \(0, 0\)"),
    ("transpose", X, {"axes": (0,)}, ShapeError, "an order of its 2 axes"),
    ("transpose", X, {"axes": (0, 1.0)}, VerifyError, "axes is a tuple of integers"),
    ("flip", X, {"axes": (2,)}, ShapeError, "flip needs ascending axes of tensor<3x1xf32>"),
    ("flip", X, {"axes": 1}, VerifyError, "axes is a tuple of integers, not 1"),
    ("iota", None, {"shape": (), "dtype": i64, "axis": 0}, ShapeError, "has no axis 0"),
    ("iota", None, {"shape": (2,), "dtype": bool_, "axis": 0}, DTypeError, "not in bool"),
    ("iota", None, {"shape": (2,), "dtype": "i64", "axis": 0}, VerifyError, "dtype is a dtype"),
    ("iota", None, {"shape": (-2,), "dtype": i64, "axis": 0}, ShapeError, "is negative"),
]


@pytest.mark.parametrize(("name", "x", "attributes", "error", "message"), ERRORS)
def test_errors(
    name: str, x: TensorType | None, attributes: dict, error: type[NetsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        program(name, [x] if x is not None else [], **attributes)


def test_symbolic_dimensions_pass_through() -> None:
    x = TensorType((N, 3), f32)
    for name, attributes, shape in [
        ("broadcast", {"shape": (2, N, 3), "axes": (1, 2)}, (2, N, 3)),
        ("reshape", {"shape": (3, 1, N)}, (3, 1, N)),
        ("transpose", {"axes": (1, 0)}, (3, N)),
        ("flip", {"axes": (0,)}, (N, 3)),
    ]:
        assert program(name, [x], **attributes).returned[0].type.shape == shape
    with pytest.raises(ShapeError, match="numbers of elements differ"):
        program("reshape", [x], shape=(3, N + 1))


def test_reshape_may_change_sizes_that_a_requirement_makes_equal() -> None:
    x = TensorType((N, 3), f32)
    for shape in ((3, symbol("m")), (12,), (2, 6), (N * 3 // 2, 2)):
        assert program("reshape", [x], shape=shape).returned[0].type.shape == shape
    with pytest.raises(ShapeError, match="numbers of elements differ"):
        program("reshape", [x], shape=(4,))


def test_rank_eight() -> None:
    shape = (1, 2, 1, 3, 2, 1, 2, 1)
    x = draw(shape)
    assert math.prod(shape) == run("reshape", x, shape=(24,)).size
    order = (7, 3, 1, 0, 2, 6, 5, 4)
    np.testing.assert_array_equal(run("transpose", x, axes=order), np.transpose(x, order))
