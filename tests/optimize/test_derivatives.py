"""Derivatives of solutions by the arguments: closed forms, differences, both modes and orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import GradientError
from nets.optimize import least_squares, minimize, root

A = np.array([1.0, 2.0])


def bowl(x: Any, a: Any) -> Any:
    """Its minimum is at a / 2, where it is |a|² / 2."""
    return ((x - a) ** 2).sum() + (x * x).sum()


def bent(x: Any, a: Any) -> Any:
    return ((x - a) ** 2).sum() + (x[0] * x[1]) ** 2


def cubes(x: Any, a: Any) -> Any:
    """The root is that of a, to the third."""
    return x**3 - a


def growth(p: Any, t: Any, y: Any) -> Any:
    return p[0] * nets.exp(p[1] * t) - y


T = np.linspace(0, 1, 6)
Y = 2 * np.exp(0.5 * T) + 0.3 * np.sin(9 * T)


def central(function: Callable[..., Any], at: np.ndarray, h: float = 1e-4) -> np.ndarray:
    steps = h * np.eye(at.size)
    pairs = [(function(at + e).numpy(), function(at - e).numpy()) for e in steps]
    return np.stack([(one - other) / (2 * h) for one, other in pairs], axis=-1)


# The methods share one rule of derivatives, so each of them is taken in one mode.
FORWARD, REVERSE = nets.jacfwd, nets.jacrev


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("method", "jacobian"),
    [("BFGS", FORWARD), ("L-BFGS", REVERSE), ("Newton-CG", FORWARD), ("trust-ncg", REVERSE)],
)
def test_minima(method: str, jacobian: Callable[..., Any]) -> None:
    def found(a: Any) -> Any:
        result = minimize(bowl, np.zeros(2), (a,), method, tol=1e-9)
        return result.x, result.fun

    by_x, by_fun = jacobian(found)(A)
    np.testing.assert_allclose(by_x, np.eye(2) / 2, atol=1e-12)
    np.testing.assert_allclose(by_fun, A, atol=1e-7)


@pytest.mark.long
def test_minima_against_differences() -> None:
    @nets.trace
    def x(a: Any) -> Any:
        return minimize(bent, np.zeros(2), (a,), tol=1e-11).x

    slopes = nets.trace(nets.jacrev(x))
    np.testing.assert_allclose(slopes(A), central(x, A), rtol=1e-6, atol=1e-6)
    second = nets.jacfwd(nets.jacrev(x))(A)
    np.testing.assert_allclose(second, central(slopes, A), rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("modes", [("fwd",), ("rev",)])
def test_all_derivatives_of_a_minimum(modes: tuple[str, ...]) -> None:
    def both(a: Any) -> Any:
        found = minimize(bent, np.zeros(2), (a,), tol=1e-11)
        return found.x, found.fun

    nets.check_grads(both, (A,), order=2, modes=modes)


def test_second_derivatives_in_reverse() -> None:
    """Of the third root of a: 1/3 a^(−2/3), then −2/9 a^(−5/3)."""

    def x(a: Any) -> Any:
        return root(lambda x, a: x**3 - a, 1.0, (a,), tol=1e-13).x

    np.testing.assert_allclose(nets.grad(nets.grad(x))(2.0), -2 / 9 * 2 ** (-5 / 3), rtol=1e-12)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("method", "jacobian"), [("newton", REVERSE), ("broyden1", FORWARD), ("lm", REVERSE)]
)
def test_roots(method: str, jacobian: Callable[..., Any]) -> None:
    def x(a: Any) -> Any:
        return root(cubes, np.ones(2), (a,), method, tol=1e-13).x

    np.testing.assert_allclose(jacobian(x)(A), np.diag(A ** (-2 / 3) / 3), atol=1e-12)


@nets.trace
def fitted(y: Any) -> Any:
    return least_squares(growth, A, args=(T, y), gtol=0, ftol=0, xtol=1e-13)


def test_fits() -> None:
    x, y = fitted(Y).x.numpy(), Y
    slopes = nets.jacrev(lambda y: fitted(y).x)(y)
    np.testing.assert_allclose(slopes, central(lambda y: fitted(y).x, y), rtol=1e-4, atol=1e-5)
    # That of the cost by y is by the residuals alone, for x moves along a valley.
    gradient = nets.grad(lambda y: fitted(y).cost)(y)
    np.testing.assert_allclose(gradient, -growth(x, T, y).numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.long
def test_residuals_of_fits_and_their_jacobian() -> None:
    y = Y
    np.testing.assert_allclose(
        nets.jacrev(lambda y: fitted(y).fun)(y),
        central(lambda y: fitted(y).fun, y),
        rtol=1e-4,
        atol=1e-5,
    )
    along = nets.jvp(lambda y: fitted(y).jac, (y,), (np.ones(6),))[1]
    ends = [fitted(y + h).jac.numpy() for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(along, (ends[0] - ends[1]) / 2e-4, rtol=1e-4, atol=1e-6)


def test_the_start_has_no_influence() -> None:
    slopes = nets.grad(lambda x0: minimize(bowl, x0, (A,)).x.sum())(np.zeros(2))
    np.testing.assert_array_equal(slopes, np.zeros(2))
    slopes = nets.jacfwd(lambda x0: root(cubes, x0, (A,)).x)(np.ones(2))
    np.testing.assert_array_equal(slopes, np.zeros((2, 2)))


def test_eager_gradients() -> None:
    a, start = nets.Tensor(A, requires_grad=True), nets.Tensor(np.zeros(2), requires_grad=True)
    found = minimize(bowl, start, (a,), tol=1e-9)
    (found.x.sum() + found.fun).backward()
    np.testing.assert_allclose(a.grad, 0.5 + A, atol=1e-7)
    np.testing.assert_array_equal(start.grad, np.zeros(2))


def test_integers_and_texts_of_keys_may_stand_beside() -> None:
    def power(x: Any, p: Any) -> Any:
        return ((x - p["a"]) ** 2).sum() * p["n"]

    def x(a: Any) -> Any:
        return minimize(power, np.zeros(2), ({"a": a, "n": 3},)).x

    np.testing.assert_allclose(nets.jacrev(x)(A), np.eye(2), atol=1e-12)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("transform", [nets.jacrev, nets.jacfwd])
@pytest.mark.parametrize("result", ["x", "fun", "root"])
def test_what_a_function_closes_over_is_refused(transform: Any, result: str) -> None:
    """Never a derivative that leaves it out."""

    def solved(a: Any) -> Any:
        if result == "root":
            return root(lambda x: cubes(x, a), np.ones(2)).x
        return getattr(minimize(lambda x: bowl(x, a), np.zeros(2)), result)

    with pytest.raises(GradientError, match="closes over"):
        transform(solved)(A)


def test_functions_without_a_second_derivative_are_minimised() -> None:
    """The rule of the solution asks for it; who does not differentiate does not need it."""

    def halved(x: Any, a: Any) -> Any:
        small = nets.while_loop(lambda v: v[0] > 1, lambda v: 0.5 * v, x, checkpoints=4)
        return ((small - a) ** 2).sum()

    def x(a: Any) -> Any:
        return minimize(halved, np.full(2, 0.25), (a,)).x

    np.testing.assert_allclose(x(A / 2), A / 2, atol=1e-6)
    with pytest.raises(GradientError):
        nets.jacfwd(x)(A / 2)
