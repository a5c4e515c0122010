"""Elementwise ops against independent models: Python's integers, correctly rounded functions."""

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from single_op import program, type_of

from nets.backend.numpy.interpreter import evaluate
from nets.errors import DTypeError
from nets.ir.builder import Builder
from nets.ir.core import Function, Trait
from nets.ir.types import TENSOR_DTYPES, TensorType, f32, f64, i8, i64, u8, u64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import REGISTRY, Array
from nets.passes.derivatives.vjp import vjp
from tests.property.results import assert_same

NAN, INF = math.nan, math.inf


def run(name: str, *arrays: Array, **attributes: Any) -> Array:
    """The reference result of the op, whose inferred type must be that of the array."""
    function = program(name, [type_of(array) for array in arrays], **attributes)
    (result,) = evaluate(function, arrays)
    assert function.returned[0].type == type_of(result)
    return result


def wrap(n: int, dtype: type) -> int:
    """n modulo two to the width, in the range of the dtype."""
    info = np.iinfo(dtype)
    return (n - info.min) % (1 << info.bits) + info.min


# ------------------------------------------------------------------------------- integers


def _int_power(x: int, y: int) -> int:
    if y >= 0:
        return x**y
    return math.trunc(Fraction(x) ** y) if x else 0


def _int_shift_left(x: int, y: int) -> int:
    return x << y if 0 <= y < 8 else 0


def _int_shift_right(x: int, y: int) -> int:
    return x >> (y if 0 <= y < 8 else 8)


MODELS: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "floor_divide": lambda x, y: x // y if y else 0,
    "remainder": lambda x, y: x % y if y else 0,
    "power": _int_power,
    "maximum": max,
    "minimum": min,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "bitwise_left_shift": _int_shift_left,
    "bitwise_right_shift": _int_shift_right,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.sampled(5)
def test_every_pair_of_bytes(name: str, dtype: type) -> None:
    info = np.iinfo(dtype)
    numbers = range(info.min, info.max + 1)
    x, y = np.meshgrid(np.array(numbers, dtype), np.array(numbers, dtype), indexing="ij")
    found = run(name, x, y)
    if name == "power":  # its model is slow: every base, exponents around what matters
        columns = [i for i, n in enumerate(numbers) if abs(n) < 12 or n > info.max - 3]
        numbers_y, found = [numbers[i] for i in columns], found[:, columns]
    else:
        numbers_y = list(numbers)
    model = MODELS[name]
    expected = [[model(a, b) for b in numbers_y] for a in numbers]
    if found.dtype != np.bool_:
        expected = [[wrap(n, dtype) for n in row] for row in expected]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "floor_divide", "remainder"])
def test_wide_integers_wrap(name: str, dtype: type) -> None:
    info = np.iinfo(dtype)
    edges = [info.min, info.min + 1, info.max, info.max - 1, info.max // 3, 0, 1, 2, 7]
    numbers = [wrap(n, dtype) for n in (*edges, -1, -3)]
    x, y = np.meshgrid(np.array(numbers, dtype), np.array(numbers, dtype), indexing="ij")
    model = MODELS[name]
    expected = [[wrap(model(a, b), dtype) for b in numbers] for a in numbers]
    assert run(name, x, y).tolist() == expected


def test_unary_integers() -> None:
    x = np.arange(-128, 128).astype(np.int8)
    assert run("negative", x).tolist() == [wrap(-n, np.int8) for n in range(-128, 128)]
    assert run("abs", x).tolist() == [wrap(abs(n), np.int8) for n in range(-128, 128)]
    assert run("sign", x).tolist() == [(n > 0) - (n < 0) for n in range(-128, 128)]
    assert run("bitwise_invert", x).tolist() == [~n for n in range(-128, 128)]
    u = np.arange(256).astype(np.uint8)
    assert run("negative", u).tolist() == [-n % 256 for n in range(256)]
    assert run("abs", u).tolist() == list(range(256))


def test_power_of_large_exponents() -> None:
    x = np.array([3, -3, 2, -2, -1, 1, 0, 5], np.int64)
    y = np.array([2**62 + 1, 2**62 + 1, 2**62, 63, -(2**63), -5, -1, -1], np.int64)
    exact = [pow(int(a), int(b), 2**64) for a, b in zip(x[:4], y[:4], strict=True)]
    assert run("power", x, y).tolist() == [wrap(n, np.int64) for n in exact] + [1, 1, 0, 0]


# ----------------------------------------------------------------------------------- bools


def test_bools() -> None:
    x, y = np.array([[False, False, True, True], [False, True, False, True]])
    assert run("bitwise_and", x, y).tolist() == [False, False, False, True]
    assert run("bitwise_or", x, y).tolist() == [False, True, True, True]
    assert run("bitwise_xor", x, y).tolist() == [False, True, True, False]
    assert run("bitwise_invert", x).tolist() == [True, True, False, False]
    assert run("maximum", x, y).tolist() == [False, True, True, True]
    assert run("minimum", x, y).tolist() == [False, False, False, True]
    assert run("less", x, y).tolist() == [False, True, False, False]


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "negative", "abs", "power"])
def test_arithmetic_takes_no_bools(name: str) -> None:
    x = np.array([True, False])
    count = len(REGISTRY[name].operand_names)
    with pytest.raises(DTypeError, match=f"{name} takes numbers, not tensor<2xbool>"):
        run(name, *[x] * count)


# ---------------------------------------------------------------------------------- floats


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_choose_the_first_only_where_it_wins(dtype: type) -> None:
    x = np.array([1, NAN, 2, NAN, 0.0, -0.0, INF, -INF], dtype)
    y = np.array([2, 1, NAN, NAN, -0.0, 0.0, 3, NAN], dtype)
    assert_same([np.array([2, NAN, NAN, NAN, -0.0, 0.0, INF, NAN], dtype)], [run("maximum", x, y)])
    assert_same([np.array([1, NAN, NAN, NAN, -0.0, 0.0, 3, NAN], dtype)], [run("minimum", x, y)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype: type) -> None:
    def check(name: str, expected: list[float], *operands: list[float]) -> None:
        found = run(name, *(np.array(x, dtype) for x in operands))
        assert_same([np.array(expected, dtype)], [found], name)

    check("sign", [NAN, 0.0, 0.0, 1, -1], [NAN, -0.0, 0.0, INF, -1e-40])
    check("abs", [NAN, 0.0, INF], [NAN, -0.0, -INF])
    check("negative", [-0.0, 0.0, -INF], [0.0, -0.0, INF])
    check("round", [0.0, 2.0, 2.0, -0.0, -2.0, NAN], [0.5, 1.5, 2.5, -0.5, -1.5, NAN])
    check("floor", [-0.0, -1.0, INF], [-0.0, -0.5, INF])
    check("ceil", [-0.0, 1.0, -INF], [-0.5, 0.5, -INF])
    check("trunc", [-0.0, 1.0, -1.0], [-0.5, 1.5, -1.5])
    check("divide", [INF, -INF, NAN, 0.0], [1.0, -1.0, 0.0, 1.0], [0.0, 0.0, 0.0, INF])
    check("sqrt", [-0.0, INF, NAN], [-0.0, INF, -1.0])
    check("rsqrt", [INF, 0.0, NAN], [0.0, INF, -1.0])
    check("log", [-INF, INF, NAN], [0.0, INF, -1.0])
    check("exp", [0.0, INF, NAN, INF], [-INF, INF, NAN, 1e4])
    check("expm1", [-1.0, INF, -0.0], [-INF, INF, -0.0])
    check("log1p", [-INF, INF, -0.0, NAN], [-1.0, INF, -0.0, -2.0])
    check("tanh", [-1.0, 1.0, NAN], [-INF, INF, NAN])
    check("sigmoid", [0.0, 1.0, NAN, 0.5], [-INF, INF, NAN, 0.0])
    check("erf", [-1.0, 1.0, NAN, -0.0], [-INF, INF, NAN, -0.0])
    check("sin", [NAN, NAN, -0.0], [INF, NAN, -0.0])
    check("floor_divide", [INF, NAN, 0.0, -1.0, NAN], [1, 0, 1, -1, INF], [0, 0, INF, INF, 2])
    check("remainder", [NAN, 1.0, INF, -0.0, 0.0], [1, 1, -1, 2, -2], [0, INF, INF, -2, 2])
    check("power", [1, 1, INF, 0, NAN, -8], [0, NAN, 0, INF, -8, -2], [0, 0, -1, -1, 0.5, 3])


def _float32_samples(low: float, high: float) -> Array:
    rng = np.random.default_rng(5)
    return np.concatenate([rng.uniform(low, high, 4000), rng.normal(0, 1e-3, 1000)]).astype("f")


@pytest.mark.parametrize(
    ("name", "function", "low", "high"),
    [
        ("exp", np.exp, -80, 80),
        ("log", np.log, 1e-3, 1e6),
        ("log1p", np.log1p, -0.99, 50),
        ("expm1", np.expm1, -20, 80),
        ("sin", np.sin, -1000, 1000),
        ("cos", np.cos, -1000, 1000),
        ("tanh", np.tanh, -12, 12),
        ("rsqrt", lambda x: 1 / np.sqrt(x), 1e-3, 1e6),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), -80, 80),
    ],
)
def test_float32_is_correctly_rounded(
    name: str, function: Callable[[Any], Any], low: float, high: float
) -> None:
    x = _float32_samples(low, high)
    x = x[(x > 0) | (low < 0)]
    exact = function(x.astype(np.longdouble))
    found = run(name, x)
    ulps = np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(found))
    assert float(np.max(ulps)) < 0.5 + 1e-6


def test_erf_is_accurate_everywhere() -> None:
    x = np.linspace(-7, 7, 501)
    assert run("erf", x).tolist() == [math.erf(value) for value in x]
    small = x.astype(np.float32)
    expected = np.array([math.erf(value) for value in small.tolist()]).astype(np.float32)
    assert_same([expected], [run("erf", small)])


# ----------------------------------------------------------------------------------- casts


def test_float_to_integer_saturates() -> None:
    x = np.array([NAN, INF, -INF, 1e30, -1e30, 2.9, -2.9, -0.5])
    assert run("cast", x, dtype=i8).tolist() == [0, 127, -128, 127, -128, 2, -2, 0]
    assert run("cast", x, dtype=u8).tolist() == [0, 255, 0, 255, 0, 2, 0, 0]
    top, bottom = 2**63 - 1, -(2**63)
    assert run("cast", x, dtype=i64).tolist() == [0, top, bottom, top, bottom, 2, -2, 0]
    assert run("cast", x, dtype=u64).tolist() == [0, 2**64 - 1, 0, 2**64 - 1, 0, 2, 0, 0]


@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_casts_at_the_limits_of_integers(source: type) -> None:
    for dtype in TENSOR_DTYPES:
        if dtype.kind not in "iu":
            continue
        info = np.iinfo(dtype.numpy.name)
        limits = np.array([float(info.max), float(info.min)]).astype(source)
        near = [np.nextafter(limits, source(side * np.inf)) for side in (-1, 1)]
        for value in np.concatenate([limits, *near]):
            expected = min(max(math.trunc(value.item()), int(info.min)), int(info.max))
            assert run("cast", np.array(value), dtype=dtype).item() == expected


def test_other_casts() -> None:
    assert run("cast", np.array([300, -1, 256]), dtype=u8).tolist() == [44, 255, 0]
    wide = np.array([2**53 + 1, 2**63 - 1])
    assert run("cast", wide, dtype=f64).tolist() == [float(2**53), float(2**63)]
    assert run("cast", np.array([1e300, 1e-300]), dtype=f32).tolist() == [INF, 0.0]
    to_bool = run("cast", np.array([0.0, -0.0, NAN, 0.1]), dtype=TENSOR_DTYPES[0])
    assert to_bool.tolist() == [False, False, True, True]
    x = np.array([1.0, 2.0])
    assert not np.shares_memory(run("cast", x, dtype=f64), x)


# ------------------------------------------------------------------------------ derivatives


def slope(name: str, *operands: list[float], wrt: int = 0, ct: float = 1.0) -> list[float]:
    """The derivative of the op by one operand, at these values."""
    arrays = [np.array(x, np.float64) for x in operands]
    types = [TensorType(x.shape, f64) for x in arrays]
    function = Function("f", types)
    b = GraphEmitter(Builder(function.body))
    b.emit_all("return", b.emit(name, *function.arguments))
    (gradient,) = evaluate(vjp(function, [wrt]), [*arrays, np.full(arrays[0].shape, ct)])
    result: list[float] = gradient.tolist()
    return result


def test_kinks() -> None:
    assert slope("abs", [-2, 0, -0.0, 3]) == [-1, 0, 0, 1]
    for wrt, expected in ((0, [0, 0.5, 1, 1, 0]), (1, [1, 0.5, 0, 0, 1])):
        assert slope("maximum", [1, 2, 3, NAN, 1], [2, 2, 2, 2, NAN], wrt=wrt) == expected
    for wrt, expected in ((0, [1, 0.5, 0, 1, 0]), (1, [0, 0.5, 1, 0, 1])):
        assert slope("minimum", [1, 2, 3, NAN, 1], [2, 2, 2, 2, NAN], wrt=wrt) == expected
    assert slope("sign", [-2, 0, 3]) == [0, 0, 0]
    assert slope("remainder", [5, -5, 5], [3, 3, -3], wrt=1) == [-1, 2, 2]


def test_power_has_no_nan_at_zero() -> None:
    assert slope("power", [0, 0, 0, 0, 2], [0, 1, 2, 3, 0]) == [0, 1, 0, 0, 0]
    assert slope("power", [0, 0, 0, 1], [0, 1, 2, 5], wrt=1) == [0, 0, 0, 0]
    assert slope("power", [-2, -3], [2, 3]) == [-4, 27]
    assert slope("power", [0, -0.0], [-1, 0.5]) == [-INF, INF]


def test_mixed_derivative_of_power_at_exponent_zero() -> None:
    """∂/∂y of y·x^(y−1) is 1/x at y = 0, though the first derivative is 0 there."""
    type = TensorType((), f64)
    function = Function("f", [type, type])
    b = GraphEmitter(Builder(function.body))
    b.emit_all("return", b.emit("power", *function.arguments))
    mixed = vjp(vjp(function, [0]), [1])
    arrays = [np.array(4.0), np.array(0.0), np.array(1.0), np.array(1.0)]
    assert evaluate(mixed, arrays)[0] == 0.25


def test_an_infinite_cotangent_makes_no_nan_where_select_did_not_choose() -> None:
    types = [TensorType((2,), TENSOR_DTYPES[0]), *[TensorType((2,), f64)] * 2]
    function = Function("f", types)
    b = GraphEmitter(Builder(function.body))
    b.emit_all("return", b.select(*function.arguments))
    ct = np.array([INF, 3.0])
    x, y = evaluate(vjp(function, [1, 2]), [np.array([True, False]), ct, ct, ct])
    assert x.tolist() == [INF, 0]
    assert y.tolist() == [0, 3]


def test_analytic_derivatives_by_complex_step() -> None:
    """Im f(x + ih) / h has no cancellation, so it shows the last digits of a derivative."""
    x = np.linspace(0.15, 2.9, 23)
    functions: dict[str, Callable[[Any], Any]] = {
        "exp": np.exp,
        "log": np.log,
        "log1p": np.log1p,
        "expm1": np.expm1,
        "sqrt": np.sqrt,
        "rsqrt": lambda z: 1 / np.sqrt(z),
        "sin": np.sin,
        "cos": np.cos,
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "negative": np.negative,
    }
    for name, function in functions.items():
        expected = function(x + 1e-200j).imag / 1e-200
        np.testing.assert_allclose(slope(name, x.tolist()), expected, rtol=2e-14, err_msg=name)
    expected = (2 / math.sqrt(math.pi)) * np.exp(-x * x)
    np.testing.assert_allclose(slope("erf", x.tolist()), expected, rtol=2e-15)


# -------------------------------------------------------------------------------- registry


def test_commutative_ops_commute() -> None:
    values = np.array([0.0, -0.0, NAN, INF, -INF, 1.5, -2.0, 1e-320])
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    for definition in REGISTRY.values():
        if definition.traits & Trait.COMMUTATIVE:
            arrays = (x, y) if definition.derivative_reason is None else (x > 0, y > 0)
            assert_same([run(definition.name, *arrays)], [run(definition.name, *arrays[::-1])])
