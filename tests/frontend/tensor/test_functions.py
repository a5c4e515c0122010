"""The functions of nets against NumPy: values, shapes, dtypes, and errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError, IndexOutOfBoundsError, NetsError, ShapeError

RNG = np.random.default_rng(7)


def array(*shape: int, dtype: Any = np.float64, low: float = -3, high: float = 3) -> Any:
    drawn = RNG.uniform(low, high, shape)
    return np.asarray(drawn > 0 if dtype is bool else drawn.astype(dtype))


def check(found: nets.Tensor, expected: Any, exact: bool = True) -> None:
    """Same shape, dtype and elements."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if exact:
        np.testing.assert_array_equal(found.data, expected)
    else:
        tolerance = 1e-6 if expected.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(found.data, expected, rtol=tolerance, atol=tolerance)


NUMBERS = [
    (array(3, 4), array(3, 4)),
    (array(3, 4, dtype=np.float32), array(4, dtype=np.float32)),
    (array(3, 1, dtype=np.int32), array(2, 1, 4, dtype=np.int64)),
    (array(5, dtype=np.int8), array(1, dtype=np.float32)),
    (array(0, 3), array(3)),
    (array(), array(2, 2, dtype=np.float32)),
    (array(4, dtype=np.uint8, low=1), array(4, dtype=np.int16)),
    (array(2, 3, dtype=bool), array(3, dtype=np.int64)),
    (array(3, dtype=np.float32), 2),
    (array(3, dtype=np.float32), 2.5),
    (array(3, dtype=np.int64), 2.5),
    (array(3, dtype=np.uint8, low=1), 2),
    (2.5, array(3, dtype=np.int32)),
    (array(3, dtype=bool), 1.5),
]


@pytest.mark.parametrize(("x", "y"), NUMBERS)
@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "maximum", "minimum", "equal", "less", "greater_equal"]
)
@pytest.mark.sampled(3)
def test_binary_functions_promote_and_broadcast_as_numpy(name: str, x: Any, y: Any) -> None:
    check(getattr(nets, name)(x, y), getattr(np, name)(x, y))


@pytest.mark.parametrize(("x", "y"), NUMBERS)
def test_division_is_in_float64_unless_an_operand_is_a_float(x: Any, y: Any) -> None:
    with np.errstate(all="ignore"):
        expected = np.true_divide(x, y)
    if expected.dtype == np.float16:
        expected = np.true_divide(np.asarray(x, np.float64), y)
    found = nets.divide(x, y)
    assert found.dtype in (np.float32, np.float64)
    np.testing.assert_allclose(found.data, expected, rtol=1e-6)


def test_bool_arithmetic_is_logic() -> None:
    x, y = np.array([True, True, False]), np.array([True, False, False])
    check(nets.add(x, y), x | y)
    check(nets.multiply(x, y), x & y)
    check(nets.maximum(x, y), x | y)
    with pytest.raises(DTypeError):
        nets.subtract(x, y)


OPERATORS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    lambda x, y: x // y,
    lambda x, y: x % y,
    lambda x, y: x**y,
    lambda x, y: x == y,
    lambda x, y: x != y,
    lambda x, y: x < y,
    lambda x, y: x <= y,
    lambda x, y: x > y,
    lambda x, y: x >= y,
]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_operators_take_arrays_and_numbers_on_both_sides(
    operator: Callable[[Any, Any], Any], dtype: Any
) -> None:
    x, y = array(3, 4, dtype=dtype, low=1, high=5), array(4, dtype=dtype, low=1, high=5)
    tx, ty = nets.Tensor(x), nets.Tensor(y)
    exact = dtype is np.int64
    for found in (operator(tx, ty), operator(x, ty), operator(tx, y)):
        assert isinstance(found, nets.Tensor)
        check(found, operator(x, y), exact)
    check(operator(tx, 2), operator(x, 2), exact)
    check(operator(3, ty), operator(3, y), exact)
    check(operator(tx, 2.5), operator(x, 2.5), exact=False)


def test_bit_operators() -> None:
    x, y = array(6, dtype=np.int32, low=-9, high=9), np.array([1, 2, 3, 0, 1, 2], np.int32)
    tx = nets.Tensor(x)
    check(tx & y, x & y)
    check(y | tx, y | x)
    check(tx ^ 5, x ^ 5)
    check(~tx, ~x)
    check(tx << y, x << y)
    check(tx >> 1, x >> 1)
    check(1 << nets.Tensor(y), 1 << y)
    check(~nets.Tensor([True, False]), np.array([False, True]))


def test_unary_operators() -> None:
    x = array(4)
    t = nets.Tensor(x)
    check(-t, -x)
    check(+t, x)
    check(abs(t), abs(x))


UNARY = ["exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "floor", "ceil", "round",
         "trunc", "abs", "sign", "negative", "square"]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (2, 1, 4)])
@pytest.mark.sampled(3)
def test_unary_functions(name: str, dtype: Any, shape: tuple[int, ...]) -> None:
    x = array(*shape, dtype=dtype, low=0.1, high=3)
    check(getattr(nets, name)(x), getattr(np, name)(x), exact=False)


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh"])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, bool])
def test_math_of_integers_is_in_float64(name: str, dtype: Any) -> None:
    x = array(4, dtype=dtype, low=0, high=3)
    check(getattr(nets, name)(x), getattr(np, name)(x.astype(np.float64)), exact=False)


def test_rounding_keeps_integers() -> None:
    x = array(4, dtype=np.int32)
    for name in ("floor", "ceil", "round", "trunc"):
        check(getattr(nets, name)(x), x)


def test_scalar_functions_by_their_formulas() -> None:
    x = array(50, low=-6, high=6)
    check(nets.sigmoid(x), 1 / (1 + np.exp(-x)), exact=False)
    check(nets.erf(x), np.array([math.erf(v) for v in x]), exact=False)
    check(nets.rsqrt(np.abs(x)), 1 / np.sqrt(np.abs(x)), exact=False)
    check(nets.inverse(x), 1 / x, exact=False)
    check(nets.pow(x, 2), x * x)
    check(nets.pow(x, 1), x)
    check(nets.pow(np.abs(x), 0.5), np.abs(x) ** 0.5, exact=False)
    check(nets.pow(np.array([2, 3]), 3), np.array([8, 27]))
    with pytest.raises(DTypeError, match="negative power"):
        nets.pow(np.array([2, 3]), -1)


# --------------------------------------------------------------------------- activations


def test_activations_by_their_formulas() -> None:
    x = array(60, low=-6, high=6)
    sigmoid = 1 / (1 + np.exp(-x))
    normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    check(nets.relu(x), np.maximum(x, 0))
    check(nets.leaky_relu(x), np.where(x > 0, x, 0.01 * x))
    check(nets.leaky_relu(x, 0.2), np.where(x > 0, x, 0.2 * x))
    check(nets.silu(x), x * sigmoid, exact=False)
    check(nets.gelu(x), x * normal, exact=False)
    check(nets.gelu(x, approximate="tanh"), 0.5 * x * (1 + np.tanh(inner)), exact=False)
    check(nets.softplus(x), np.log1p(np.exp(x)), exact=False)
    check(nets.softplus(x, beta=2.0), np.log1p(np.exp(2 * x)) / 2, exact=False)
    with pytest.raises(NetsError, match="approximate"):
        nets.gelu(x, approximate="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2)])
def test_softmax_and_relatives(axis: Any) -> None:
    x = array(3, 4, 5)
    total = np.exp(x).sum(axis=axis, keepdims=True)
    check(nets.softmax(x, axis), np.exp(x) / total, exact=False)
    check(nets.log_softmax(x, axis), x - np.log(total), exact=False)
    check(nets.logsumexp(x, axis, keepdims=True), np.log(total), exact=False)
    check(nets.logsumexp(x, axis), np.log(np.squeeze(total, axis)), exact=False)


def test_stable_at_the_ends() -> None:
    far = np.array([-1e4, 0.0, 1e4])
    assert nets.softmax(far).tolist() == [0.0, 0.0, 1.0]
    assert nets.log_softmax(far).tolist() == [-2e4, -1e4, 0.0]
    assert nets.logsumexp(far).item() == 1e4
    assert nets.logsumexp(np.array([-np.inf, -np.inf])).item() == -np.inf
    assert nets.logsumexp(np.array([0.0, np.inf])).item() == np.inf
    assert nets.softplus(far).tolist() == [0.0, math.log(2), 1e4]
    assert nets.sigmoid(far).tolist() == [0.0, 0.5, 1.0]


def test_nan_passes_through() -> None:
    x = np.array([np.nan, 1.0])
    for f in (nets.relu, nets.leaky_relu, nets.silu, nets.gelu, nets.softplus, nets.abs):
        assert math.isnan(f(x).tolist()[0])
    assert np.isnan(nets.softmax(x).data).all()
    assert np.isnan(nets.maximum(x, 0.0).data).tolist() == [True, False]
    assert np.isnan(nets.clip(x, 0, 1).data).tolist() == [True, False]
    assert math.isnan(nets.max(x).item())
    assert nets.argmax(x).item() == 0


# ----------------------------------------------------------------------------- selection


def test_where_and_clip() -> None:
    x, y = array(3, 4), array(4)
    check(nets.where(x > 0, x, y), np.where(x > 0, x, y))
    check(nets.where(np.array([1, 0, 2, 0]), x, 0), np.where([True, False, True, False], x, 0))
    check(nets.where(x > 0, 1, 0), np.where(x > 0, 1, 0))
    check(nets.clip(x, -1, 1), np.clip(x, -1, 1))
    check(nets.clip(x, max=y), np.minimum(x, y))
    check(nets.clip(x, min=y), np.maximum(x, y))
    check(nets.clip(np.array([1, 5]), 2, 3), np.array([2, 3]))


def test_comparing_with_numbers_a_dtype_does_not_hold() -> None:
    small, large = np.array([1, 200], np.uint8), np.array([0, 2**64 - 1], np.uint64)
    assert (nets.Tensor(small) < 300).tolist() == [True, True]
    assert (nets.Tensor(small) == -1).tolist() == [False, False]
    assert (nets.Tensor(small) < 300).tolist() == [True, True]
    assert (nets.Tensor(large) > -1).tolist() == [True, True]
    assert (nets.Tensor([1, 2]) != 2**70).tolist() == [True, True]
    assert (nets.Tensor([1, 2]) == None) is False  # noqa: E711


def test_logic_and_classification() -> None:
    x = np.array([0.0, 1.0, np.nan, np.inf, -np.inf])
    y = np.array([1, 0, 0, 2, 3])
    check(nets.logical_and(x, y), np.logical_and(x, y))
    check(nets.logical_or(x, y), np.logical_or(x, y))
    check(nets.logical_xor(x, y), np.logical_xor(x, y))
    check(nets.logical_not(x), np.logical_not(x))
    for name in ("isnan", "isinf", "isfinite"):
        check(getattr(nets, name)(x), getattr(np, name)(x))
        check(getattr(nets, name)(y), getattr(np, name)(y))


# ---------------------------------------------------------------------------- reductions

AXES = [None, 0, -1, (0, 2), (1,), (-1, 0), ()]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "std", "any", "all"])
@pytest.mark.sampled(5)
def test_reductions_over_axes(name: str, axis: Any, keepdims: bool) -> None:
    x = array(2, 3, 4)
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    check(getattr(nets, name)(x, axis=axis, keepdims=keepdims), expected, exact=False)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64, np.float32])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean"])
def test_reductions_of_every_kind_of_number(name: str, dtype: Any) -> None:
    x = array(5, dtype=dtype, low=0)
    check(getattr(nets, name)(x), getattr(np, name)(x), exact=dtype is not np.float32)


def test_reductions_of_nothing_and_of_scalars() -> None:
    check(nets.sum(np.zeros((0, 3)), 0), np.zeros(3))
    check(nets.prod(np.zeros((2, 0))), np.array(1.0))
    assert math.isnan(nets.mean(np.zeros(0)).item())
    check(nets.sum(np.array(2.0)), np.array(2.0))
    check(nets.max(np.array(2)), np.array(2))
    with pytest.raises(ShapeError):
        nets.max(np.zeros((0, 3)), 0)


def test_variance_takes_ddof_and_correction() -> None:
    x = array(3, 4)
    check(nets.var(x, 1, ddof=1), np.var(x, 1, ddof=1), exact=False)
    check(nets.std(x, correction=1), np.std(x, ddof=1), exact=False)
    check(nets.Tensor(x).var(0, ddof=1), np.var(x, 0, ddof=1), exact=False)
    for ddof, axis in itertools.product((0, 0.5, 1, 2), (None, 0, 1, (0, 1))):
        expected = np.var(x, axis, ddof=ddof)
        check(nets.var(x, axis, ddof=ddof), expected, exact=False)
        for other in (0, 1, 3):  # the correction counts, where both are given
            check(nets.var(x, axis, ddof=other, correction=ddof), expected, exact=False)
            found = nets.std(x, axis, ddof=other, correction=ddof, keepdims=True)
            check(found, np.std(x, axis, ddof=ddof, keepdims=True), exact=False)


def _axes(rank: int, counts: Sequence[int]) -> list[Any]:
    """Every choice of that many axes, in every order, counted from either end."""
    found = [p for n in counts for p in itertools.permutations(range(rank), n)]
    return [*found, *(tuple(a - rank for a in p) for p in found)]


AXES: dict[str, list[tuple[Any, ...]]] = {
    "moveaxis": [
        (source, place)
        for n in (1, 2, 3)
        for source, place in itertools.product(_axes(3, [n]), repeat=2)
    ],
    "transpose": [(axes,) for axes in _axes(3, [3])],
    "swapaxes": list(itertools.product(range(-3, 3), repeat=2)),
    "expand_dims": [(axis,) for axis in (*range(-4, 4), *_axes(5, [2]))],
    "flip": [(axes,) for axes in (None, *range(-3, 3), *_axes(3, [1, 2, 3]))],
    "roll": [
        *((shift, axis) for shift in (-9, -1, 0, 2, 5) for axis in (None, *range(-3, 3))),
        *(((1, -2), axes) for axes in _axes(3, [2])),
        *(((1, 2), (axis, axis)) for axis in range(3)),
        *((1, axes) for axes in _axes(3, [2, 3])),
    ],
    "tile": [(counts,) for n in range(5) for counts in itertools.product((1, 2), repeat=n)],
    "repeat": [(count, axis) for count in (0, 1, 3) for axis in (None, *range(-3, 3))],
    "cumsum": [(axis,) for axis in (None, *range(-3, 3))],
    "triu": [(k,) for k in range(-4, 5)],
    "tril": [(k,) for k in range(-4, 5)],
}
"""Functions, and all there are of small arguments beside a tensor of shape (2, 3, 4)."""


@pytest.mark.parametrize("name", AXES)
def test_every_choice_of_axes_is_numpys(name: str) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for arguments in AXES[name]:
        found = getattr(nets, name)(x, *arguments).numpy()
        expected = getattr(np, name)(x, *arguments)
        assert found.shape == expected.shape, arguments
        assert np.array_equal(found, expected), arguments


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_positions_of_extremes(name: str, axis: Any) -> None:
    for x in (array(3, 4, 2), array(3, 4, 2, dtype=np.int8), array(3, 4, 2, dtype=bool)):
        for keepdims in (False, True):
            expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
            check(getattr(nets, name)(x, axis, keepdims), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 13])
def test_cumsum(n: int) -> None:
    x, counts = array(n, 3), array(3, n, dtype=np.int8)
    check(nets.cumsum(x, 0), np.cumsum(x, 0), exact=False)
    check(nets.cumsum(counts, 1), np.cumsum(counts, 1))
    check(nets.cumsum(counts), np.cumsum(counts))


def test_axes_that_do_not_exist() -> None:
    for axis in (2, -3, (0, 0), (0, 5)):
        with pytest.raises(ShapeError):
            nets.sum(array(2, 2), axis)
    with pytest.raises(DTypeError):
        nets.sum(array(2, 2), 0.5)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- shapes


def test_shapes_as_numpy() -> None:
    x = array(2, 3, 4)
    t = nets.Tensor(x)
    check(nets.reshape(x, (4, -1)), x.reshape(4, -1))
    check(t.reshape(6, 4), x.reshape(6, 4))
    check(t.reshape((-1,)), x.reshape(-1))
    check(nets.flatten(x), x.reshape(-1))
    check(nets.transpose(x), x.T)
    check(t.T, x.T)
    check(t.mT, x.mT)
    check(t.transpose(1, 0, 2), x.transpose(1, 0, 2))
    check(nets.permute_dims(x, (2, 0, -2)), x.transpose(2, 0, 1))
    check(nets.swapaxes(x, 0, -1), x.swapaxes(0, -1))
    check(nets.moveaxis(x, 0, -1), np.moveaxis(x, 0, -1))
    check(nets.moveaxis(x, (0, 1), (2, 0)), np.moveaxis(x, (0, 1), (2, 0)))
    check(nets.expand_dims(x, 1), np.expand_dims(x, 1))
    check(nets.expand_dims(x, (0, -1)), np.expand_dims(x, (0, -1)))
    check(nets.squeeze(x[:1]), np.squeeze(x[:1]))
    check(nets.squeeze(x[:1], 0), np.squeeze(x[:1], 0))
    check(nets.broadcast_to(x[0], (5, 3, 4)), np.broadcast_to(x[0], (5, 3, 4)))
    check(nets.broadcast_to(2.0, (2, 0)), np.broadcast_to(2.0, (2, 0)))
    check(nets.flip(x), np.flip(x))
    check(nets.flip(x, (0, -1)), np.flip(x, (0, -1)))


def test_shapes_that_do_not_fit() -> None:
    x = array(2, 3)
    attempts: list[Callable[[], Any]] = [
        lambda: nets.reshape(x, (4, -1)),
        lambda: nets.reshape(x, (-1, -1)),
        lambda: nets.reshape(x, (-2, 3)),
        lambda: nets.reshape(x, 7),
        lambda: nets.permute_dims(x, (0, 0)),
        lambda: nets.squeeze(x, 0),
        lambda: nets.broadcast_to(x, (2, 2)),
        lambda: nets.broadcast_to(x, (3,)),
        lambda: nets.expand_dims(x, (0, 0)),
        lambda: nets.add(x, array(4)),
        lambda: nets.matrix_transpose(array(3)),
        lambda: nets.zeros((2, -1)),
    ]
    for attempt in attempts:
        with pytest.raises(ShapeError, match=r"test_functions\.py"):
            attempt()


def test_joining_as_numpy() -> None:
    x, y = array(2, 3), array(4, 3, dtype=np.float32)
    check(nets.concatenate([x, y]), np.concatenate([x, y]))
    check(nets.concatenate([x, x], axis=-1), np.concatenate([x, x], axis=-1))
    check(nets.concatenate([x, y], axis=None), np.concatenate([x, y], axis=None))
    check(nets.append(x, y, 0), np.append(x, y, 0))
    check(nets.append(x, y), np.append(x, y))
    check(nets.stack([x, x]), np.stack([x, x]))
    check(nets.stack([x, 2 * x], -1), np.stack([x, 2 * x], -1))
    check(nets.pad(x, 1), np.pad(x, 1))
    check(nets.pad(x, (1, 2), 5.0), np.pad(x, (1, 2), constant_values=5.0))
    check(nets.pad(x, ((0, 1), (2, 0))), np.pad(x, ((0, 1), (2, 0))))
    check(nets.tile(x, 2), np.tile(x, 2))
    check(nets.tile(x, (3, 1, 2)), np.tile(x, (3, 1, 2)))
    check(nets.repeat(x, 3), np.repeat(x, 3))
    check(nets.repeat(x, 2, 0), np.repeat(x, 2, 0))
    check(nets.repeat(x, 0, 1), np.repeat(x, 0, 1))


@pytest.mark.parametrize(
    ("shift", "axis"), [(1, None), (-5, None), (2, 1), (-1, 0), ((1, 2), (0, 1)), (7, (0, 1))]
)
def test_roll(shift: Any, axis: Any) -> None:
    x = array(3, 4)
    check(nets.roll(x, shift, axis), np.roll(x, shift, axis))


def test_split() -> None:
    x = array(6, 4)
    for parts, axis in ((3, 0), (2, 1), ([1, 4], 0), ([], 0), ([2, 2, 9], 0)):
        for found, expected in zip(
            nets.split(x, parts, axis), np.split(x, parts, axis), strict=True
        ):
            check(found, expected)
    with pytest.raises(ShapeError):
        nets.split(x, 4)


def test_absurd_shapes_and_arguments() -> None:
    x = array(2, 3)
    attempts: list[Callable[[], Any]] = [
        lambda: nets.zeros(10**20),
        lambda: nets.zeros((2**31, 2**31)),
        lambda: nets.broadcast_to(x, (1,) * 100),
        lambda: nets.reshape(x, (1,) * 64 + (6,)),
        lambda: nets.arange(1e30),
        lambda: nets.concatenate(5),  # type: ignore[arg-type]
        lambda: nets.stack(None),  # type: ignore[arg-type]
        lambda: nets.permute_dims(x, 0),  # type: ignore[arg-type]
        lambda: nets.einsum(x, x),  # type: ignore[arg-type]
        lambda: nets.repeat(x, [1, 2]),  # type: ignore[arg-type]
        lambda: nets.reshape(x, "ab"),
        lambda: nets.pad(x, "ab"),
        lambda: nets.split(x, None),
        lambda: nets.full(2, None),  # type: ignore[arg-type]
        lambda: nets.sum(x, "a"),  # type: ignore[arg-type]
        lambda: nets.take(x, 0.5),
        lambda: nets.clip(x, "a"),
    ]
    for attempt in attempts:
        with pytest.raises(NetsError, match=r"test_functions\.py"):
            attempt()


def test_joining_that_does_not_fit() -> None:
    x = array(2, 3)
    for attempt in (
        lambda: nets.concatenate([]),
        lambda: nets.concatenate([x, array(2, 2)]),
        lambda: nets.stack([x, array(3, 3)]),
        lambda: nets.pad(x, -2),
        lambda: nets.pad(x, ((1, 2), (3, 4), (5, 6))),
        lambda: nets.roll(x, (1, 2), 0),
    ):
        with pytest.raises(ShapeError):
            attempt()


# -------------------------------------------------------------------------------- products


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3, 4)),
     ((2, 1, 2, 3), (4, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 2)), ((3,), (5, 3, 2))],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_matmul(a: tuple[int, ...], b: tuple[int, ...], dtype: Any) -> None:
    x, y = array(*a, dtype=dtype), array(*b, dtype=dtype)
    check(nets.matmul(x, y), x @ y, exact=False)
    check(nets.Tensor(x) @ y, x @ y, exact=False)
    check(x @ nets.Tensor(y), x @ y, exact=False)


@pytest.mark.parametrize(
    ("a", "b"),
    [((), (2, 3)), ((3,), (3,)), ((2, 3), (3,)), ((4, 2, 3), (5, 3, 2)), ((2, 3), (4, 3, 2))],
)
def test_dot(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = array(*a), array(*b)
    check(nets.dot(x, y), np.dot(x, y), exact=False)


def test_tensordot_outer_vecdot() -> None:
    x, y = array(2, 3, 4), array(4, 3, 5)
    check(nets.tensordot(x, y, 1), np.tensordot(x, y, 1), exact=False)
    check(nets.tensordot(x, y, ((1, 2), (1, 0))), np.tensordot(x, y, ((1, 2), (1, 0))), exact=False)
    check(nets.tensordot(x, y, 0), np.tensordot(x, y, 0))
    check(nets.outer(x, y), np.outer(x, y))
    check(nets.vecdot(x, x), np.vecdot(x, x), exact=False)
    for attempt in (
        lambda: nets.tensordot(x, y, 2),
        lambda: nets.tensordot(x, y, 9),
        lambda: nets.matmul(x, array(2)),
        lambda: nets.matmul(x, array()),
    ):
        with pytest.raises(ShapeError):
            attempt()


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,ij", (2, 3), (2, 3)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("i,j->ji", (2,), (3,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("...ij,...jk->...ik", (7, 2, 3), (7, 3, 4)),
    ("...ij,jk", (7, 2, 3), (3, 4)),
    ("...i,...i->...", (2, 1, 3), (4, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("ijk->ki", (2, 3, 4)),
    ("ba", (2, 3)),
    ("...ij->...", (2, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("i,j,k->kji", (2,), (3,), (4,)),
    ("ij,kj->ik", (2, 1), (3, 4)),
    (",i->i", (), (3,)),
    ("ij,jk->ik", (0, 3), (3, 2)),
    ("ii->i", (0, 0)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=[f"{c[0]}-{len(c[1])}d" for c in EINSUMS])
def test_einsum(case: tuple[Any, ...]) -> None:
    subscripts, *shapes = case
    operands = [array(*shape) for shape in shapes]
    check(nets.einsum(subscripts, *operands), np.einsum(subscripts, *operands), exact=False)


def test_einsum_that_cannot_be() -> None:
    x = array(2, 3)
    for subscripts, operands in (
        ("ij,jk", (x,)),
        ("ijk", (x,)),
        ("ij->ijj", (x,)),
        ("ij->k", (x,)),
        ("ij,ij", (x, x.T)),
        ("ii", (x,)),
        ("i1", (x,)),
        ("", ()),
    ):
        with pytest.raises(ShapeError):
            nets.einsum(subscripts, *operands)


# -------------------------------------------------------------------------------- creation


def test_creation_as_numpy() -> None:
    check(nets.zeros((2, 3)), np.zeros((2, 3)))
    check(nets.zeros(3, dtype=np.int32), np.zeros(3, np.int32))
    check(nets.ones((2, 0)), np.ones((2, 0)))
    check(nets.full((2, 2), 7), np.full((2, 2), 7))
    check(nets.full(3, 2.5, dtype="f32"), np.full(3, 2.5, np.float32))
    check(nets.eye(3), np.eye(3))
    check(nets.eye(2, 4, k=1, dtype=bool), np.eye(2, 4, k=1, dtype=bool))
    check(nets.arange(5), np.arange(5))
    check(nets.arange(2, 9, 3), np.arange(2, 9, 3))
    check(nets.arange(5, 0, -2), np.arange(5, 0, -2))
    check(nets.arange(0, 1, 0.1), np.arange(0, 1, 0.1))
    check(nets.arange(3, dtype=np.float32), np.arange(3, dtype=np.float32))
    check(nets.linspace(0, 1, 7), np.linspace(0, 1, 7))
    check(nets.linspace(0, 1, 5, endpoint=False), np.linspace(0, 1, 5, endpoint=False))
    x = array(2, 3, dtype=np.float32)
    check(nets.zeros_like(x), np.zeros_like(x))
    check(nets.ones_like(x, dtype=np.int8), np.ones_like(x, dtype=np.int8))
    check(nets.full_like(x, 3), np.full_like(x, 3))
    assert nets.zeros(3, requires_grad=True).requires_grad


@pytest.mark.parametrize("k", [-2, 0, 1, 5])
def test_triangles(k: int) -> None:
    for x in (array(3, 4), array(2, 4, 3, dtype=np.int16), array(3, 3, dtype=bool)):
        check(nets.triu(x, k), np.triu(x, k))
        check(nets.tril(x, k), np.tril(x, k))
    with pytest.raises(ShapeError):
        nets.triu(array(3))


def test_one_hot() -> None:
    check(nets.one_hot(np.array([0, 2]), 3), np.eye(3, dtype=np.int64)[[0, 2]])
    check(nets.one_hot([[1], [0]], dtype="f32"), np.eye(2, dtype=np.float32)[[[1], [0]]])
    for bad in (np.array([3]), np.array([-1])):
        with pytest.raises(IndexOutOfBoundsError):
            nets.one_hot(bad, 3)
    with pytest.raises(DTypeError):
        nets.one_hot(np.array([0.5]), 3)


# -------------------------------------------------------------------------------- indexing

KEYS: list[Any] = [
    0, -1, (1, 2), slice(None), slice(1, None), slice(None, None, -1), slice(5, 0, -2),
    slice(3, 1), (slice(None), 1), (..., 0), (0, ...), None, (None, 0), (slice(None), None, 1),
    (..., None), slice(-100, 100), (slice(None, None, 2), slice(2, None, -1), 3),
    [0, 2], [[0, 1], [2, 0]], ([0, 1], [1, 2]), ([0, 1], slice(None), [1, 2]),
    (0, slice(None), [1, 2]), (slice(None), [0, 2], [1, 3]), (slice(None), [[0], [2]], [1, 3]),
    ([-1, 0], None, 1), ([0], ..., [2]), (slice(1, 3), [0, 0, 1]), np.int64(1), (), ...,
    [], (slice(None), []), np.array([True, False, True, True]), np.array(2),
    (np.array([True, False, True, True]), slice(None), 1), (None, [1, 2], None, 0),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_reading_by_index(key: Any) -> None:
    x = array(4, 3, 4)
    as_array = np.array(key, np.int64) if isinstance(key, list) and not key else key
    check(nets.Tensor(x)[key], x[as_array])


@pytest.mark.parametrize("key", KEYS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.int32])
@pytest.mark.sampled(3)
def test_assigning_by_index(key: Any, dtype: Any) -> None:
    x = array(4, 3, 4, dtype=dtype)
    t, expected = nets.Tensor(x), x.copy()
    value = array(*x[key].shape, dtype=dtype)
    t[key] = value
    expected[key] = value
    check(t, expected)
    t[key] = 7
    expected[key] = 7
    check(t, expected)


@pytest.mark.parametrize("indices", [([1, 1, 0], [2, 2, 1]), ([-1], [0])])
def test_assigning_by_index_arrays_inside_a_trace(
    indices: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    x, value = array(3, 4), array(len(indices[0]))
    rows, columns = map(np.array, indices)

    def assign(x: Any, rows: Any, columns: Any, value: Any) -> Any:
        t = x * 1
        t[rows, columns] = value
        return t

    expected = x.copy()
    expected[rows, columns] = value
    check(nets.trace(assign)(x, rows, columns, value), expected)
    with pytest.raises(IndexOutOfBoundsError):
        nets.trace(assign)(x, rows, columns + 4, value)


def test_masks() -> None:
    x = array(4, 3)
    mask = x > 0
    t = nets.Tensor(x)
    check(t[t > 0], x[mask])
    t[t > 0] = 0.0
    x[mask] = 0.0
    check(t, x)
    rows = np.array([True, False, True, False])
    t[rows] = np.array([1.0, 2.0, 3.0])
    x[rows] = np.array([1.0, 2.0, 3.0])
    check(t, x)
    t[mask] = np.arange(mask.sum())
    x[mask] = np.arange(mask.sum())
    check(t, x)


def test_the_last_assignment_to_an_element_stays() -> None:
    t = nets.Tensor([0.0, 0.0, 0.0])
    t[[1, 1, 2]] = np.array([5.0, 6.0, 7.0])
    assert t.tolist() == [0.0, 6.0, 7.0]


def test_indices_that_are_refused() -> None:
    t = nets.Tensor(array(3, 4))
    for key in (3, -4, (0, 4), (0, 0, 0), ([0, 3],), ([0, 1], [0, -5]), (..., ...),
                slice(None, None, 0)):  # fmt: skip
        with pytest.raises(IndexOutOfBoundsError, match=r"test_functions\.py"):
            t[key]
        with pytest.raises(IndexOutOfBoundsError):
            t[key] = 0
    for key in (0.5, np.array([0.0, np.nan]), np.nan, slice(0.5, None), "a"):
        with pytest.raises(DTypeError):
            t[key]
    with pytest.raises(NetsError):
        t[True, 0]
    with pytest.raises(NetsError):
        t[np.array([True, False])]
    with pytest.raises(ShapeError):
        t[0] = np.zeros(3)


def test_take() -> None:
    x = array(3, 4)
    check(nets.take(x, [0, 2], axis=0), np.take(x, [0, 2], axis=0))
    check(nets.take(x, [[0], [-1]], axis=1), np.take(x, [[0], [-1]], axis=1))
    check(nets.take(x, 5), np.take(x, 5))
    order = np.argsort(x, axis=1)
    check(nets.take_along_axis(x, order, axis=1), np.take_along_axis(x, order, axis=1))
    first = x.argmax(0)[None]
    check(nets.take_along_axis(x, first, axis=0), np.take_along_axis(x, first, axis=0))
    check(
        nets.take_along_axis(x, np.array([5, 0]), None),
        np.take_along_axis(x, np.array([5, 0]), None),
    )
    with pytest.raises(ShapeError):
        nets.take_along_axis(x, np.array([0]))
    with pytest.raises(IndexOutOfBoundsError):
        nets.take_along_axis(x, np.array([[4]]))
    check(nets.slice(x, (0, slice(1, 3))), x[0, 1:3])
