"""Reductions against NumPy, with their derivatives, ties, zeros, NaN and errors."""

import itertools
import math

import numpy as np
import pytest
from single_op import check_derivatives, program, run

from nets.backend.numpy.interpreter import evaluate
from nets.errors import DTypeError, GradientError, ShapeError
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, bool_, f32, f64, i32
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.vjp import vjp

SHAPES = [(1,), (7,), (0,), (3, 5), (1, 5), (0, 3), (3, 0), (2, 3, 4), (2, 0, 3), (1, 1, 1)]
OVER = [
    (shape, axes)
    for shape in SHAPES
    for count in range(1, len(shape) + 1)
    for axes in itertools.combinations(range(len(shape)), count)
]
DTYPES = ["int8", "int64", "uint8", "uint64", "float32", "float64"]


def draw(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(math.prod(shape)).uniform(0, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_and_products_keep_the_dtype(dtype: str) -> None:
    for shape, axes in OVER:
        x = draw(shape, dtype)
        for name, ufunc in (("reduce_sum", np.add), ("reduce_prod", np.multiply)):
            expected = ufunc.reduce(x, axis=axes, dtype=x.dtype)
            np.testing.assert_allclose(run(name, x, axes=axes), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", *DTYPES])
def test_extremes_and_their_positions(dtype: str) -> None:
    for shape, axes in OVER:
        if any(shape[axis] == 0 for axis in axes):
            continue
        x = draw(shape, dtype)
        np.testing.assert_array_equal(run("reduce_max", x, axes=axes), x.max(axes))
        np.testing.assert_array_equal(run("reduce_min", x, axes=axes), x.min(axes))
        if len(axes) == 1:
            np.testing.assert_array_equal(run("argmax", x, axis=axes[0]), x.argmax(axes[0]))
            np.testing.assert_array_equal(run("argmin", x, axis=axes[0]), x.argmin(axes[0]))


def test_any_and_all() -> None:
    for shape, axes in OVER:
        x = draw(shape) > 4
        np.testing.assert_array_equal(run("reduce_any", x, axes=axes), x.any(axes))
        np.testing.assert_array_equal(run("reduce_all", x, axes=axes), x.all(axes))


def test_integers_wrap_around() -> None:
    x = np.array([100, 100, 100], np.int8)
    assert run("reduce_sum", x, axes=(0,)) == np.int8(44)
    assert run("reduce_prod", x, axes=(0,)) == np.int8(1_000_000 % 256)


def test_a_sum_of_floats_is_rounded_once() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    expected = [np.float32(math.fsum(column)) for column in x.T.astype(float)]
    np.testing.assert_array_equal(run("reduce_sum", x, axes=(0,)), expected)
    wide = x.astype(np.float64) * 1e8 + 1
    expected = [math.fsum(column) for column in wide.T]
    np.testing.assert_array_equal(run("reduce_sum", wide, axes=(0,)), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 3, 300])
def test_no_sum_is_minus_zero(dtype: str, count: int) -> None:
    assert not np.signbit(run("reduce_sum", np.full(count, -0.0, dtype), axes=(0,)))
    assert not np.signbit(lookup("reduce_sum").identity(f32))


def test_identities_change_nothing() -> None:
    for name, values in {"reduce_max": (False, True), "reduce_min": (False, True)}.items():
        identity = lookup(name).identity
        choose = max if name == "reduce_max" else min
        assert all(choose(identity(bool_), value) == value for value in values)
        assert all(choose(identity(i32), value) == value for value in (-(2**31), 2**31 - 1))
        assert all(choose(identity(f32), value) == value for value in (-math.inf, math.inf))


def test_nan_wins() -> None:
    x = np.array([1, np.nan, np.inf, np.nan, -np.inf])
    assert np.isnan(run("reduce_max", x, axes=(0,)))
    assert np.isnan(run("reduce_min", x, axes=(0,)))
    assert run("argmax", x, axis=0) == 1
    assert run("argmin", x, axis=0) == 1
    assert np.isnan(run("reduce_sum", np.array([np.inf, -np.inf]), axes=(0,)))


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_prod", "reduce_max", "reduce_min"])
def test_derivatives(name: str) -> None:
    for shape, axes in OVER:
        if name in ("reduce_max", "reduce_min") and any(shape[axis] == 0 for axis in axes):
            continue
        check_derivatives(name, draw(shape) / 3 - 1, axes=axes)


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_a_product_is_differentiable_at_zeros(zeros: int) -> None:
    x = draw((2, 5)) / 3 - 1
    x[:, :zeros] = 0
    check_derivatives("reduce_prod", x, axes=(1,), orders=3)
    check_derivatives("reduce_prod", x, axes=(0, 1), orders=3)


def gradient_of_extreme(name: str, x: np.ndarray) -> np.ndarray:
    function = program(name, [TensorType(x.shape, f64)], axes=(x.ndim - 1,))
    (gradient,) = evaluate(vjp(function, [0]), [x, np.ones(x.shape[:-1])])
    return gradient


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_ties_share_the_cotangent(name: str) -> None:
    nan = np.nan
    x = np.array([[2.0] * 4, [-0.0, 0.0, -0.0, 0.0], [1.0, nan, 1.0, 0.0], [nan, 1.0, 0.0, nan]])
    expected = [[0.25] * 4, [0.25] * 4, [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]]
    np.testing.assert_array_equal(gradient_of_extreme(name, x), expected)


@pytest.mark.parametrize(
    ("name", "x", "attributes", "error", "message"),
    [
        ("reduce_sum", TensorType((3,), bool_), {"axes": (0,)}, DTypeError, "takes numbers, not t"),
        ("reduce_any", TensorType((3,), f32), {"axes": (0,)}, DTypeError, "takes bools, not tens"),
        ("reduce_sum", TensorType((3,), f32), {"axes": (1,)}, ShapeError, "between 0 and 0, not "),
        ("reduce_sum", TensorType((3,), f32), {"axes": ()}, ShapeError, "needs ascending axes"),
        ("reduce_prod", TensorType((3, 4), f32), {"axes": (1, 0)}, ShapeError, r"not \(1, 0\)"),
        ("reduce_min", TensorType((3, 4), f32), {"axes": (1, 1)}, ShapeError, r"not \(1, 1\)"),
        ("reduce_max", TensorType((3, 0), f32), {"axes": (1,)}, ShapeError, "axis 1 is empty"),
        ("argmax", TensorType((0,), f32), {"axis": 0}, ShapeError, "tensor<0xf32> has no element"),
        ("argmin", TensorType((), f32), {"axis": 0}, ShapeError, "argmin of tensor<f32> needs"),
    ],
)
def test_errors(name: str, x: TensorType, attributes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        program(name, [x], **attributes)


def test_a_symbolic_dimension_passes_through() -> None:
    x = TensorType((symbol("n"), 3), f32)
    assert program("reduce_max", [x], axes=(1,)).returned[0].type.shape == (symbol("n"),)
    assert program("argmax", [x], axis=0).returned[0].type.shape == (3,)


def test_a_bool_has_no_derivative() -> None:
    assert "bool" in (lookup("reduce_any").derivative_reason or "")
    with pytest.raises(GradientError):
        vjp(program("reduce_all", [TensorType((3,), bool_)], axes=(0,)), [0])
