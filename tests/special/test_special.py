"""Special functions: values to a few units in the last place, ends, derivatives, dtypes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import special
from nets.errors import ArgumentError, GradientError
from nets.ops.definition.registry import Array

INF, NAN = float("inf"), float("nan")


def values() -> dict[str, Array]:
    """By function, rows of arguments and the value."""
    found: dict[str, list[list[float]]] = {}
    text = Path(__file__).with_name("values.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        name, *numbers = line.split()
        found.setdefault(name, []).append([float(n) for n in numbers])
    return {name: np.array(rows) for name, rows in found.items()}


VALUES = values()


def every(arguments: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: getattr(special, name)(*args) for name, args in arguments.items()}


def distance(name: str, found: Array, expected: Array) -> float:
    """In ulps, of the largest part of a sum where that cancels."""
    size = np.abs(expected)
    if name in ("betaln", "gammaln", "digamma"):
        size = np.maximum(size, np.where(VALUES[name][:, 0] < 0, 20.0, 2.0) * (name != "gammaln"))
        size = np.maximum(size, np.where(VALUES[name][:, 0] < 0, 20.0, 0.0))
    ulp = np.spacing(np.maximum(size, np.finfo(found.dtype).smallest_normal).astype(found.dtype))
    return float(np.max(np.abs(found.astype(np.float64) - expected) / ulp))


@pytest.mark.parametrize("traced", [False, True])
def test_values(traced: bool) -> None:
    arguments = {name: list(rows.T[:-1]) for name, rows in VALUES.items()}
    found = (nets.trace(every) if traced else every)(arguments)
    for name, rows in VALUES.items():
        assert distance(name, found[name].numpy(), rows[:, -1]) <= 4.0, name


def test_gamma_is_exact_for_integers() -> None:
    n = np.arange(1.0, 24.0)
    expected = [math.factorial(k) for k in range(23)]
    for function in (special.gamma, nets.trace(special.gamma)):
        np.testing.assert_array_equal(function(n).numpy(), expected)
        below = function(np.array([-0.0, -1e-300])).numpy()
        np.testing.assert_allclose(below, [-INF, -1e300], 1e-15)


def test_float32_stays_float32() -> None:
    x = np.array([0.25, 0.5], np.float32)
    for name in ("entr", "logit", "log_expit", "sinc", "expit", "gamma", "digamma", "erfcx"):
        assert getattr(special, name)(x).dtype == np.float32, name
    for name in ("rel_entr", "kl_div", "xlogy", "xlog1py", "beta", "betaln", "gammainc", "zeta"):
        assert getattr(special, name)(x, x).dtype == np.float32, name


def test_float32_is_float64_rounded() -> None:
    x = np.concatenate([np.linspace(-9, 9, 181), [1e-20, 1e20, -1e20, INF, -INF, NAN]])
    short = x.astype(np.float32)
    some = nets.trace(lambda x: [getattr(special, name)(x) for name in ("erfc", "gammaln", "i1")])
    for narrow, wide in zip(some(short), some(short.astype(np.float64)), strict=True):
        assert narrow.dtype == np.float32
        with np.errstate(over="ignore"):
            expected = wide.numpy().astype(np.float32)
        np.testing.assert_array_equal(narrow.numpy(), expected)


ENDS: dict[str, dict[Any, float]] = {
    "erfc": {INF: 0, -INF: 2, NAN: NAN, 0.0: 1, 30.0: 0},
    "erfcx": {INF: 0, -INF: INF, NAN: NAN, 0.0: 1, -30.0: INF},
    "erfinv": {1.0: INF, -1.0: -INF, 1.5: NAN, NAN: NAN, 0.0: 0},
    "ndtr": {INF: 1, -INF: 0, NAN: NAN, 0.0: 0.5, -40.0: 0},
    "log_ndtr": {INF: 0, -INF: -INF, NAN: NAN},
    "ndtri": {0.0: -INF, 1.0: INF, -0.1: NAN, 1.1: NAN, NAN: NAN, 0.5: 0},
    "gammaln": {0.0: INF, -3.0: INF, 1.0: 0, 2.0: 0, INF: INF, -INF: INF, NAN: NAN, 1e306: INF},
    "digamma": {0.0: -INF, -2.0: NAN, INF: INF, NAN: NAN},
    "i0": {0.0: 1, INF: INF, -INF: INF, NAN: NAN, 800.0: INF},
    "i1": {0.0: 0, INF: INF, -INF: -INF, NAN: NAN, -800.0: -INF},
    "i0e": {0.0: 1, INF: 0, NAN: NAN},
    "i1e": {0.0: 0, INF: 0, NAN: NAN},
    "zeta": {(1.0, 2.0): INF, (0.5, 2.0): NAN, (2.0, -1.0): INF, (2.0, -1.5): NAN, (2.0, INF): 0},
    "betaln": {(0.0, 1.0): INF, (-1.0, 2.0): NAN, (1.0, 1.0): 0, (INF, 2.0): -INF},
    "gamma": {
        5.0: 24,
        0.0: INF,
        -1.0: NAN,
        INF: INF,
        -INF: NAN,
        NAN: NAN,
        171.7: INF,
        171.6: 1.5858969096672565e308,
        -170.5: -3.3127395215386074e-308,
        -200.5: 0,
        1e-308: 1e308,
        5e-324: INF,
    },
    "beta": {
        (0.0, 1.0): INF,
        (0.0, 0.0): INF,
        (-1.0, 2.0): NAN,
        (2.0, 3.0): 1 / 12,
        (INF, 2.0): 0,
        (1e300, 0.5): 1.7724538509055159e-150,
        (1e-308, 1e300): 1e308,
        (1e9, 40.0): 2.0397866173e-314,
        (NAN, 1.0): NAN,
    },
    "gammainc": {
        (2.0, 0.0): 0,
        (2.0, INF): 1,
        (0.0, 1.0): 1,
        (INF, 1.0): 0,
        (-1.0, 1.0): NAN,
        (2.0, -1.0): NAN,
        (0.0, 0.0): NAN,
        (INF, INF): NAN,
        (NAN, 1.0): NAN,
        (0.0, NAN): NAN,
    },
    "gammaincc": {(2.0, 0.0): 1, (2.0, INF): 0, (INF, 1.0): 1, (0.0, 0.0): NAN, (2.0, NAN): NAN},
    "betainc": {
        (2.0, 3.0, 0.0): 0,
        (2.0, 3.0, 1.0): 1,
        (1.0, 1.0, 0.25): 0.25,
        (1e6, 1e6, 0.5): 0.5,
        (0.0, 1.0, 0.5): 1,
        (0.0, 1.0, 0.0): 0,
        (1.0, 0.0, 0.5): 0,
        (0.0, 0.0, 0.5): NAN,
        (INF, 1.0, 0.5): 0,
        (1.0, INF, 0.5): 1,
        (INF, INF, 0.5): NAN,
        (2.0, 3.0, 1.5): NAN,
        (-1.0, 1.0, 0.5): NAN,
        (1.0, 1.0, NAN): NAN,
        (1e15, 1e15, 0.5): 0.5,
        (1e9, 1e9, 0.49999): 0.18554668476708924,
        (1e300, 1.0, 0.5): NAN,
    },
    "xlogy": {(0.0, 0.0): 0, (0.0, INF): 0, (0.0, NAN): NAN, (0.0, -1.0): 0, (1.0, -1.0): NAN},
    "xlog1py": {(0.0, -1.0): 0, (2.0, -1.0): -INF, (0.0, NAN): NAN},
    "entr": {0.0: 0, 1.0: 0, -1.0: -INF, INF: -INF, NAN: NAN},
    "rel_entr": {(0.0, 0.0): 0, (0.0, 2.0): 0, (1.0, 0.0): INF, (-1.0, 1.0): INF, (NAN, 1.0): NAN},
    "kl_div": {(0.0, 2.0): 2, (1.0, 1.0): 0, (1.0, -1.0): INF},
    "logit": {0.0: -INF, 1.0: INF, 0.5: 0, -0.5: NAN, NAN: NAN},
    "log_expit": {800.0: 0, -800.0: -800, INF: 0},
}


def test_ends() -> None:
    for name, table in ENDS.items():
        keys = [key if isinstance(key, tuple) else (key,) for key in table]
        columns = [np.array(column) for column in zip(*keys, strict=True)]
        expected = np.array(list(table.values()))
        for function in (getattr(special, name), nets.trace(getattr(special, name))):
            found = function(*columns).numpy()
            np.testing.assert_allclose(found, expected, 1e-14, 0, err_msg=name)


def test_relations() -> None:
    a = np.array([0.7, 2.5, 11.0])
    np.testing.assert_allclose(special.polygamma(0, a), special.digamma(a), 0)
    np.testing.assert_allclose(special.polygamma(1, [1.0]), [np.pi**2 / 6], 1e-15)
    np.testing.assert_allclose(special.polygamma(2, [1.0]), [-2 * 1.2020569031595942], 1e-15)
    np.testing.assert_allclose(special.zeta([2.0, 4.0]), [np.pi**2 / 6, np.pi**4 / 90], 1e-15)
    np.testing.assert_allclose(special.beta(a, 3.0), 2 / (a * (a + 1) * (a + 2)), 1e-14)
    np.testing.assert_allclose(special.multigammaln(3.0, 1), special.gammaln(3.0), 0)
    two = np.log(np.pi) / 2 + special.gammaln(3.0).numpy() + special.gammaln(2.5).numpy()
    np.testing.assert_allclose(special.multigammaln(3.0, 2), two, 1e-15)
    p = np.array([1e-300, 1e-5, 0.2, 0.4999999, 0.6, 0.999])
    np.testing.assert_allclose(special.expit(special.logit(p)), p, 1e-13)
    np.testing.assert_allclose(special.logit(0.0, eps=0.1), np.log(0.1 / 0.9), 1e-15)
    close = special.rel_entr(1.0, 1.0 + 2.0**-40).numpy()
    np.testing.assert_allclose(close, -(2.0**-40) + 2.0**-81, 1e-15)
    assert special.psi is special.digamma
    assert special.erf(np.float32(0.5)).dtype == np.float32
    assert special.gammaln(3).dtype == np.float64
    for bad in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="polygamma"):
            special.polygamma(bad, 1.0)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="multigammaln"):
            special.multigammaln(2.0, bad)  # type: ignore[arg-type]


POLYGAMMA = (  # at −4.8, −0.3, −20.25
    (1, (28.378725056480643, 13.945160267805722, 19.69102535100871)),
    (4, (-74935.52101947654, 9731.83495623352, 24481.57475051974)),
)


def test_polygamma_of_negative_numbers() -> None:
    x = np.array([-4.8, -0.3, -20.25])
    for n, expected in POLYGAMMA:
        np.testing.assert_allclose(special.polygamma(n, x), expected, 1e-14)
    slope = nets.trace(nets.grad(lambda x: special.digamma(x).sum()))
    np.testing.assert_allclose(slope(x), POLYGAMMA[0][1], 1e-14)
    assert np.isfinite(special.polygamma(150, [-40.5]).numpy()).all()
    np.testing.assert_array_equal(special.polygamma(2, [-1.0, np.nan]), [-np.inf, np.nan])
    np.testing.assert_array_equal(special.polygamma(151, [-0.5]), [np.nan])


# ------------------------------------------------------------------------------ derivatives

SLOPES: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("gammaln", lambda x: special.digamma(x)),
    ("digamma", lambda x: special.polygamma(1, x)),
    ("i0", lambda x: special.i1(x)),
    ("ndtr", lambda x: nets.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)),
)


def test_derivatives_are_of_the_family() -> None:
    x = np.array([0.3, 1.0, 2.5, 7.0])
    for name, slope in SLOPES:
        found = nets.grad(lambda x, name=name: getattr(special, name)(x).sum())(x)
        np.testing.assert_allclose(
            found.numpy(), slope(nets.Tensor(x)).numpy(), 1e-14, err_msg=name
        )
    trigamma = nets.grad(nets.grad(special.gammaln))(2.5)
    np.testing.assert_allclose(trigamma, special.polygamma(1, 2.5).numpy(), 1e-14)


def test_derivatives_of_compositions_agree_with_differences() -> None:
    """Those of the ops are compared in tests/ops."""

    def everything(x: Any) -> Any:
        total = special.entr(x) + special.logit(x) + special.log_expit(x)
        return total + special.xlogy(x, x + 1) + special.xlog1py(x, x) + special.kl_div(x, 0.4)

    nets.check_grads(everything, (np.array([0.23, 0.55, 0.81]),), order=2)


KINKS = (
    ("i1", 0.0, 0.5),
    ("i1e", 0.0, 0.5),
    ("i0e", 0.0, 0.0),
    ("erfinv", 1.0, INF),
    ("log_ndtr", -1e10, 1e10),
    ("log_ndtr", 50.0, 0.0),
    ("entr", 0.0, 0.0),
)


def test_derivatives_at_ends() -> None:
    for name, x, expected in KINKS:
        found = float(nets.grad(getattr(special, name))(np.float64(x)))
        assert found == pytest.approx(expected, rel=1e-9), name
    both = nets.grad(special.xlogy, argnums=(0, 1))
    assert tuple(map(float, both(0.0, 0.0))) == (0.0, 0.0)
    assert tuple(map(float, both(0.0, 2.0))) == pytest.approx((np.log(2.0), 0.0))


def test_functions_are_mapped_and_broadcast() -> None:
    a, x = np.array([[1.5], [3.0]]), np.array([0.2, 1.0, 4.0])
    whole = special.zeta(a, x)
    assert whole.shape == (2, 3)
    mapped = nets.vmap(special.zeta, in_axes=(0, None))(a[:, 0], x)
    np.testing.assert_allclose(mapped.numpy(), whole.numpy(), 1e-15)


# ----------------------------------------------------------------------- incomplete functions


def incomplete(a: Any, b: Any, x: Any) -> list[Any]:
    found = [special.gammainc(a, x), special.gammaincc(a, x)]
    return [*found, special.betainc(a, b, x / (1 + x))]


def test_native_incomplete_functions_are_those_of_the_reference() -> None:
    """In any number of elements, which do not depend on those beside them, and of any layout."""
    rng = np.random.default_rng(1)
    a, b, x = np.exp(rng.uniform(-3, 9, (3, 2 * 19)))
    a[0], b[0] = 4e5, 3e5
    traced = nets.trace(incomplete)
    whole = [y.numpy() for y in traced(a, b, x)]
    for found, expected in zip(whole, incomplete(a, b, x), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), 1e-11, 0)
    for part in (np.s_[:0], np.s_[3:4], np.s_[::-2], np.s_[5:18]):
        for found, expected in zip(traced(a[part], b[part], x[part]), whole, strict=True):
            np.testing.assert_array_equal(found.numpy(), expected[part])
    short = [y.astype(np.float32) for y in (a, b, x)]
    wide = [y.numpy() for y in traced(*(y.astype(np.float64) for y in short))][:2]
    for narrow, expected in zip(traced(*short), wide, strict=False):
        assert narrow.dtype == np.float32
        with np.errstate(under="ignore"):
            np.testing.assert_array_equal(narrow.numpy(), expected.astype(np.float32))


def test_incomplete_functions_have_derivatives_by_x() -> None:
    def total(x: Any) -> Any:
        gammas = special.gammainc(2.5, 3 * x) - 2 * special.gammaincc(0.5, x)
        return gammas + special.betainc(2.0, 3.5, x)

    nets.check_grads(total, (np.array([0.23, 0.55, 0.81]),), order=2)
    slope = nets.grad(special.gammainc, argnums=1)(3.0, 2.0)
    assert float(slope) == pytest.approx(2 * np.exp(-2.0), rel=1e-14)


def slopes() -> dict[tuple[str, int], Array]:
    """By function and number of a parameter, rows of arguments and the derivative."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    text = Path(__file__).with_name("slopes.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        name, number, *numbers = line.split()
        found.setdefault((name, int(number)), []).append([float(n) for n in numbers])
    return {key: np.array(rows) for key, rows in found.items()}


def test_derivatives_by_parameters() -> None:
    for (name, number), rows in slopes().items():
        *arguments, expected = rows.T
        slope = nets.vmap(nets.grad(getattr(special, name), argnums=number))
        for found in (slope(*arguments), nets.trace(slope)(*arguments)):
            np.testing.assert_allclose(found.numpy(), expected, 1e-13, 0, err_msg=name)
    a, x = np.array(2.5), np.array(1.25)
    upper = nets.grad(special.gammaincc)(a, x).numpy()
    np.testing.assert_array_equal(upper, -nets.grad(special.gammainc)(a, x).numpy())
    ahead, slope = nets.jvp(special.betainc, (a, a, 0.25), (1.0, 0.0, 0.0))
    assert ahead.shape == slope.shape == ()
    np.testing.assert_array_equal(slope, nets.grad(special.betainc)(a, a, 0.25).numpy())


def test_second_derivatives_by_parameters() -> None:
    """One of them by x is there; by the parameters alone they are refused, in words."""
    for name, arguments, last in (
        ("gammainc", (2.5, 1.25), 1),
        ("betainc", (2.5, 3.5, 0.25), 2),
        ("zeta", (2.5, 1.25), 1),
    ):
        function = getattr(special, name)
        both = nets.grad(nets.grad(function, argnums=0), argnums=last)(*arguments)
        again = nets.grad(nets.grad(function, argnums=last), argnums=0)(*arguments)
        np.testing.assert_allclose(both.numpy(), again.numpy(), 1e-13)
        with pytest.raises(GradientError, match=f"{name} has no second derivative"):
            nets.grad(nets.grad(function))(*arguments)


def test_derivatives_by_parameters_at_ends() -> None:
    for name, arguments in (
        ("gammainc", (2.0, 0.0)),
        ("gammainc", (2.0, INF)),
        ("gammainc", (INF, 2.0)),
        ("betainc", (2.0, 3.0, 0.0)),
        ("betainc", (2.0, 3.0, 1.0)),
        ("betainc", (INF, 3.0, 0.5)),
    ):
        assert float(nets.grad(getattr(special, name))(*arguments)) == 0.0, name
    for name, arguments in (("gammainc", (-1.0, 2.0)), ("betainc", (1.0, 2.0, 1.5))):
        assert np.isnan(float(nets.grad(getattr(special, name))(*arguments))), name
    assert float(nets.grad(special.zeta)(1.0, 2.0)) == -INF
    assert np.isnan(float(nets.grad(special.zeta)(0.5, 2.0)))


def test_incomplete_functions_are_mapped_and_broadcast() -> None:
    a, x = np.array([[0.5], [3.0]]), np.array([0.2, 1.0, 4.0])
    whole = special.gammainc(a, x)
    assert whole.shape == (2, 3)
    mapped = nets.vmap(special.gammainc, in_axes=(0, None))(a[:, 0], x)
    np.testing.assert_allclose(mapped.numpy(), whole.numpy(), 1e-15)
    mixed = special.betainc(2, np.float32(3), x / 5)
    assert mixed.dtype == np.float64
