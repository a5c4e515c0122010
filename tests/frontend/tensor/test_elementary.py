"""Elementary functions against NumPy: exact values to the bit, the others nearly; derivatives."""

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError
from nets.ops.definition.registry import Array

INF, NAN = float("inf"), float("nan")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

OF_ONE = (
    *("tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "arcsinh", "arccosh", "arctanh"),
    *("exp2", "log2", "log10", "cbrt", "deg2rad", "rad2deg", "sinc", "fabs", "nan_to_num"),
    *("signbit", "spacing", "isposinf", "isneginf", "modf", "frexp", "rint", "fix", "positive"),
)
OF_TWO = (
    *("arctan2", "hypot", "logaddexp", "logaddexp2", "copysign", "nextafter", "heaviside", "fmod"),
    *("fmax", "fmin", "float_power", "divmod"),
)
EXACT = {
    *("fabs", "nan_to_num", "signbit", "spacing", "isposinf", "isneginf", "modf", "frexp", "rint"),
    *("fix", "positive", "copysign", "nextafter", "heaviside", "fmod", "fmax", "fmin", "divmod"),
}


def numbers(dtype: str) -> Array:
    """Ordinary numbers, and those at the ends of the dtype."""
    info = np.finfo(dtype)
    some = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 0.7, 1e-3, 100.0, 17.3, info.max, info.tiny]
    ends = [info.smallest_subnormal, info.smallest_subnormal * 12345, info.eps, INF]
    positive = np.array([*some, *ends], dtype)
    return np.concatenate([positive, -positive, [dtype and np.float32(NAN)]]).astype(dtype)


def leaves(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def assert_agrees(name: str, found: Any, expected: Any) -> None:
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        array = x.numpy()
        assert array.dtype == y.dtype, name
        assert array.shape == y.shape, name
        if name in EXACT or y.dtype.kind != "f":
            np.testing.assert_array_equal(array, y, name)
            ordered = ~np.isnan(y)
            same = np.signbit(array) == np.signbit(y) if y.dtype.kind == "f" else ordered
            ties = name in ("fmax", "fmin")  # of −0 and 0 either is good
            assert ties or np.all(same[ordered]), name
        else:
            eps = np.finfo(y.dtype).eps
            np.testing.assert_allclose(array, y, 8 * eps, 2 * eps, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_numpy(dtype: str) -> None:
    x = numbers(dtype)
    y, z = (w.ravel() for w in np.meshgrid(x, x))

    def compute(x: Any, y: Any, z: Any) -> list[Any]:
        ones = [getattr(nets, name)(x) for name in OF_ONE]
        return ones + [getattr(nets, name)(y, z) for name in OF_TWO]

    eager, traced = (f(*map(nets.Tensor, (x, y, z))) for f in (compute, nets.trace(compute)))
    with np.errstate(all="ignore"):
        wide = y.astype(np.float64), z.astype(np.float64)
        expected = [getattr(np, name)(x) for name in OF_ONE]
        expected += [getattr(np, name)(y, z) for name in OF_TWO]
        sums = np.logaddexp(*wide), np.logaddexp2(*wide)
    small = np.abs(x) < 50
    for i, name in enumerate((*OF_ONE, *OF_TWO)):
        want = expected[i]
        if name == "sinc":  # NumPy's has the rounding error of πx
            got = [leaf.numpy()[small] for leaf in (eager[i], traced[i])]
            for array in got:
                np.testing.assert_allclose(array, want[small], 1e-6, 1e-7)
            continue
        if name.startswith("logadd"):
            want = sums[name.endswith("2")].astype(dtype)
        for found in (eager[i], traced[i]):
            assert_agrees(name, found, want)


def test_sinc_vanishes_at_integers_and_has_all_digits_elsewhere() -> None:
    x = np.array([-3.0, 1.0, 2.0, 1e15, 2.0**60, 0.0, 0.5, 1.5, 1e-200])
    expected = [0, 0, 0, 0, 0, 1, 2 / np.pi, -2 / (3 * np.pi), 1]
    np.testing.assert_allclose(nets.sinc(x).numpy(), expected, 5e-16, 0)
    curved = nets.grad(nets.grad(nets.sinc))
    assert float(curved(0.0)) == pytest.approx(-(np.pi**2) / 3, rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ldexp_rounds_once(dtype: str) -> None:
    x = numbers(dtype)
    n = np.array([0, 1, -1, 20, -20, 120, -140, -160, 900, -1000, -1060, 1100, -2200, 2**31 - 1])
    x, n = (w.ravel() for w in np.meshgrid(x, n.astype(np.int32)))
    with np.errstate(all="ignore"):
        expected = np.ldexp(x, n)
    for function in (nets.ldexp, nets.trace(nets.ldexp)):
        found = function(nets.Tensor(x), nets.Tensor(n)).numpy()
        np.testing.assert_array_equal(found, expected)
        ordered = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[ordered], np.signbit(expected)[ordered])
    with pytest.raises(DTypeError):
        nets.ldexp(1.0, 0.5)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.sampled(3)
def test_divisors_of_integers(dtype: str) -> None:
    info = np.iinfo(dtype)
    some = [0, 1, 2, 3, 12, 18, 35, 96, 120, info.max, info.max - 1, info.max // 3]
    some += [info.min, info.min + 1, -1, -12, -54] if info.min else []
    x, y = (np.array(w.ravel()) for w in np.meshgrid(*[np.array(some, dtype)] * 2))

    def compute(x: Any, y: Any) -> Any:
        return nets.gcd(x, y), nets.lcm(x, y), nets.fmod(x, y)

    with np.errstate(all="ignore"):
        expected = np.gcd(x, y), np.lcm(x, y), np.fmod(x, y)
    for function in (compute, nets.trace(compute)):
        for found, want in zip(function(nets.Tensor(x), nets.Tensor(y)), expected, strict=True):
            np.testing.assert_array_equal(found.numpy(), want)
            assert found.dtype == want.dtype


def test_dtypes_promote_as_in_numpy() -> None:
    for first in ("bool", *INTEGERS, "float32", "float64"):
        x = np.ones(3, first)
        for name in ("arctan2", "hypot", "fmod", "fmax", "float_power", "gcd", "copysign"):
            for second in ("bool", "int8", "int32", "uint64", "float32", "float64"):
                pair = np.array(1, second)
                try:
                    want = getattr(np, name)(x, pair[None])
                except TypeError:
                    with pytest.raises(DTypeError):
                        getattr(nets, name)(nets.Tensor(x), nets.Tensor(pair))
                    continue
                got = getattr(nets, name)(nets.Tensor(x), nets.Tensor(pair))
                if want.dtype.kind == "f" and "float" not in first and "float" not in second:
                    assert got.dtype == np.float64  # integers are float64 in nets
                else:
                    assert got.dtype == want.dtype, (name, first, second)
    assert nets.frexp(3).__class__ is tuple
    assert nets.hypot(nets.Tensor(np.float32(3)), 4).dtype == np.float32
    for bad in (1.5, nets.Tensor([1.0])):
        with pytest.raises(DTypeError, match="gcd takes integers"):
            nets.gcd(bad, 2)


def test_numpy_functions_of_tensors() -> None:
    x = nets.Tensor([0.25, 0.5], requires_grad=True)
    for name in ("tan", "arcsin", "log2", "cbrt", "signbit", "sinc", "deg2rad", "spacing"):
        result = getattr(np, name)(x)
        assert isinstance(result, nets.Tensor), name
        np.testing.assert_allclose(result.numpy(), getattr(np, name)(x.numpy()), 1e-14)
    assert isinstance(np.arctan2(x, 2), nets.Tensor)
    assert isinstance(np.gcd(nets.Tensor([4, 6]), 10), nets.Tensor)
    aliases = {"acos": "arccos", "asinh": "arcsinh", "atan2": "arctan2", "radians": "deg2rad"}
    assert all(getattr(nets, short) is getattr(nets, long) for short, long in aliases.items())


# ------------------------------------------------------------------------------ derivatives

KINKS = (
    ("hypot", (0.0, 0.0), (0.0, 0.0)),
    ("hypot", (3.0, -4.0), (0.6, -0.8)),
    ("arctan2", (1.0, -2.0), (-0.4, -0.2)),
    ("copysign", (2.0, -1.0), (-1.0, 0.0)),
    ("copysign", (0.0, -1.0), (0.0, 0.0)),
    ("fmod", (7.5, -2.0), (1.0, 3.0)),
    ("fmod", (-7.5, 2.0), (1.0, 3.0)),
    ("fmax", (1.0, NAN), (1.0, 0.0)),
    ("fmax", (NAN, 1.0), (0.0, 1.0)),
    ("fmax", (NAN, NAN), (1.0, 0.0)),
    ("fmin", (2.0, 2.0), (1.0, 0.0)),
    ("heaviside", (0.0, 0.5), (0.0, 1.0)),
    ("heaviside", (3.0, 0.5), (0.0, 0.0)),
    ("logaddexp", (INF, INF), (0.5, 0.5)),
    ("logaddexp", (-INF, -INF), (0.5, 0.5)),
    ("logaddexp2", (1.0, -INF), (1.0, 0.0)),
    ("nextafter", (1.0, 2.0), (1.0, 0.0)),
    ("nextafter", (2.0, 2.0), (0.0, 1.0)),
    ("nextafter", (INF, 2.0), (0.0, 0.0)),
)


def test_derivatives_at_kinks() -> None:
    for name, arguments, expected in KINKS:
        found = nets.grad(getattr(nets, name), argnums=(0, 1))(*map(np.float64, arguments))
        assert tuple(map(float, found)) == pytest.approx(expected, nan_ok=True), (name, arguments)


def test_derivatives_of_parts_of_a_number() -> None:
    x = np.array([-2.0, -1.5, 0.0, 0.75, 3.0, INF])
    fraction = nets.grad(lambda x: nets.modf(x)[0].sum())(x).numpy()
    np.testing.assert_array_equal(fraction, [1, 1, 1, 1, 1, 0])
    mantissa = nets.grad(lambda x: nets.frexp(x)[0].sum())(x).numpy()
    np.testing.assert_array_equal(mantissa, [0.25, 0.5, 1, 1, 0.25, 1])
    scaled = nets.grad(lambda x: nets.ldexp(x, -3).sum())(x[:-1]).numpy()
    np.testing.assert_array_equal(scaled, np.full(5, 0.125))


def test_second_derivatives() -> None:
    at_tie = nets.hessian(lambda p: nets.logaddexp(p[0], p[1]))(np.array([1.0, 1.0])).numpy()
    np.testing.assert_allclose(at_tie, [[0.25, -0.25], [-0.25, 0.25]], 1e-15)
    names = ("tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "arcsinh", "arctanh", "cbrt")

    def everything(x: Any) -> Any:
        return sum(getattr(nets, name)(x) for name in (*names, "exp2", "log2", "log10", "sinc"))

    nets.check_grads(everything, (np.array([0.3, 0.6, 0.81]),), order=2)
    nets.check_grads(nets.arccosh, (np.array([1.3, 4.0]),), order=2)


def test_functions_are_mapped_over_an_axis() -> None:
    x = np.linspace(-0.9, 0.9, 15).reshape(5, 3)

    def both(x: Any, y: Any) -> Any:
        return nets.arctan2(x, y), nets.frexp(nets.sinc(x)), nets.fmod(x, y), nets.signbit(x)

    mapped, whole = nets.vmap(both, in_axes=(0, None))(x, x[0]), both(x, x[0])
    for found, want in zip(
        [mapped[0], *mapped[1], *mapped[2:]], [whole[0], *whole[1], *whole[2:]], strict=True
    ):
        np.testing.assert_allclose(found.numpy(), want.numpy(), 1e-15)
