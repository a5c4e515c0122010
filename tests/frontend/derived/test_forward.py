"""jvp, linearize, hvp, jacfwd, jacrev, jacobian, hessian: values, nests, nesting, refusals."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, DTypeError, GradientError, ShapeError


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


BOTH = pytest.mark.parametrize("wrap", [plain, nets.trace])
X = np.array([0.5, -1.0, 2.0])
T = np.array([1.0, 0.5, -2.0])


def curve(x: Any) -> Any:
    return nets.sin(x) * nets.exp(-x)


def slope(x: Any) -> Any:
    return (np.cos(x) - np.sin(x)) * np.exp(-x)


def doubled(s: Any) -> Any:
    return nets.while_loop(lambda s: s < 100.0, lambda s: s * s, s)


# ------------------------------------------------------------------------------- along one


@BOTH
def test_a_tangent_is_the_slope_along_the_direction(wrap: Any) -> None:
    value, tangent = nets.jvp(wrap(curve), (X,), (T,))
    np.testing.assert_array_equal(value.numpy(), nets.trace(curve)(X).numpy())
    np.testing.assert_allclose(tangent.numpy(), slope(X) * T, rtol=1e-14)


def test_the_complex_step_agrees() -> None:
    """f(x + ih) has h · f'(x) as its imaginary part, without cancellation."""
    h = 1e-200
    z = X + 1j * h * T
    expected = (np.sin(z) * np.exp(-z)).imag / h
    np.testing.assert_allclose(nets.jvp(curve, (X,), (T,))[1].numpy(), expected, rtol=1e-14)


def test_nests_keep_their_form_and_integers_have_no_tangent() -> None:
    def f(p: Any, n: Any) -> Any:
        return {"y": p["a"] * n, "n": n + 1}

    value, tangent = nets.jvp(f, ({"a": X}, 3), ({"a": T}, None))
    np.testing.assert_array_equal(value["y"].numpy(), X * 3)
    np.testing.assert_array_equal(tangent["y"].numpy(), T * 3)
    assert value["n"].item() == 4
    assert tangent["n"] is None
    assert nets.jvp(f, ({"a": X}, 3), ({"a": T}, 7))[1]["n"] is None


def test_aux_comes_last() -> None:
    value, tangent, aux = nets.jvp(lambda x: (x * x, x + 1), (3.0,), (1.0,), has_aux=True)
    assert (value.item(), tangent.item(), aux.item()) == (9, 6, 4)


def test_forward_mode_goes_through_a_while_loop() -> None:
    value, tangent = nets.jvp(doubled, (3.0,), (1.0,))
    assert (value.item(), tangent.item()) == (6561, 8 * 3.0**7)
    assert nets.jacobian(doubled)(3.0).item() == 8 * 3.0**7
    with pytest.raises(GradientError, match="checkpoints"):
        nets.jacrev(doubled)(3.0)


@BOTH
def test_linearize_gives_the_same_tangents_again_and_again(wrap: Any) -> None:
    value, tangent_of = nets.linearize(wrap(curve), X)
    np.testing.assert_allclose(value.numpy(), np.sin(X) * np.exp(-X), rtol=1e-14)
    for direction in (T, 2 * T, np.zeros(3)):
        expected = nets.jvp(curve, (X,), (direction,))[1]
        np.testing.assert_allclose(tangent_of(direction).numpy(), expected.numpy(), rtol=1e-14)


def test_linearize_keeps_its_point_and_goes_through_loops() -> None:
    x = X.copy()
    _, tangent_of = nets.linearize(lambda x: nets.scan(lambda c, a: (c * a, c), 1.0, x), x)
    before = tangent_of(T)
    x[:] = 7
    (carry, rows), (again, _) = before, tangent_of(T)
    assert carry.item() == again.item()
    np.testing.assert_allclose(rows.numpy(), [0, T[0], T[0] * X[1] + X[0] * T[1]])
    _, by_jvp = nets.linearize(doubled, 3.0)
    assert by_jvp(1.0).item() == 8 * 3.0**7


def test_a_hessian_times_a_direction() -> None:
    def f(x: Any) -> Any:
        return (x**3).sum() * x[0]

    expected = nets.hessian(f)(X).numpy() @ T
    np.testing.assert_allclose(nets.hvp(f, (X,), (T,)).numpy(), expected, rtol=1e-13)
    first, second = nets.hvp(lambda a, b: (a * b * b).sum(), (X, X), (T, T))
    np.testing.assert_allclose(first.numpy(), 2 * X * T)
    np.testing.assert_allclose(second.numpy(), 2 * X * T + 2 * X * T)


# ---------------------------------------------------------------------------- all of them


@BOTH
@pytest.mark.parametrize("transform", [nets.jacfwd, nets.jacrev, nets.jacobian])
def test_jacobians_by_either_mode(transform: Any, wrap: Any) -> None:
    def f(x: Any) -> Any:
        return nets.stack([x[0] * x[1], x[2] ** 2])

    expected = [[X[1], X[0], 0], [0, 0, 2 * X[2]]]
    np.testing.assert_allclose(transform(wrap(f))(X).numpy(), expected)


@pytest.mark.parametrize("transform", [nets.jacfwd, nets.jacrev])
def test_the_nest_of_the_result_holds_those_of_the_arguments(transform: Any) -> None:
    def f(p: Any, y: Any) -> Any:
        return (p["w"] * y, y.sum()), y

    found, aux = transform(f, argnums=(0, 1), has_aux=True)({"w": X}, X)
    np.testing.assert_allclose(found[0][0]["w"].numpy(), np.diag(X))
    np.testing.assert_allclose(found[0][1].numpy(), np.diag(X))
    np.testing.assert_array_equal(found[1][0]["w"].numpy(), np.zeros(3))
    np.testing.assert_array_equal(found[1][1].numpy(), np.ones(3))
    np.testing.assert_array_equal(aux.numpy(), X)


@pytest.mark.parametrize("transform", [nets.jacfwd, nets.jacrev])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
def test_odd_shapes(transform: Any, shape: tuple[int, ...]) -> None:
    x = np.linspace(1, 2, int(np.prod(shape))).reshape(shape)
    found = np.asarray(transform(lambda x: x * x)(x))
    expected = np.zeros((x.size, x.size))
    np.fill_diagonal(expected, 2 * x.ravel())
    np.testing.assert_array_equal(found, expected.reshape((*shape, *shape)))


def test_hessians_by_every_pair_of_modes() -> None:
    def f(x: Any) -> Any:
        return (nets.sin(x) * x[0]).sum()

    expected = nets.hessian(f)(X).numpy()
    for outer in (nets.jacfwd, nets.jacrev):
        for inner in (nets.jacfwd, nets.jacrev, nets.grad):
            np.testing.assert_allclose(outer(inner(f))(X).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(expected, expected.T, rtol=1e-12)


def test_third_derivatives() -> None:
    third = nets.jacfwd(nets.hessian(lambda x: (x**4).sum()))(X).numpy()
    np.testing.assert_allclose(third[1, 1, 1], 24 * X[1])
    assert third[0, 1, 2] == 0


def test_derived_functions_are_traced_lowered_and_pickled() -> None:
    jacobian = nets.trace(nets.jacfwd(curve))
    np.testing.assert_allclose(jacobian(X).numpy(), np.diag(slope(X)), rtol=1e-13)
    low = nets.trace(lambda x, t: nets.jvp(curve, (x,), (t,))).lower(X, T)
    np.testing.assert_allclose(low.compile()(X, T)[1].numpy(), slope(X) * T, rtol=1e-13)
    again = pickle.loads(pickle.dumps(nets.jacrev(curve)))
    np.testing.assert_array_equal(again(X).numpy(), nets.jacrev(curve)(X).numpy())


def test_a_tangent_has_a_gradient_on_the_tape() -> None:
    x = nets.Tensor(X, requires_grad=True)
    nets.jvp(lambda x: x**3, (x,), (np.ones(3),))[1].sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X)


# --------------------------------------------------------------------------------- errors


def test_what_forward_mode_refuses() -> None:
    with pytest.raises(ArgumentError, match="tuple of primals"):
        nets.jvp(curve, X, (T,))
    with pytest.raises(ShapeError, match=r"tangents\[0\] is f64\[2\]; its primal is f64\[3\]"):
        nets.jvp(curve, (X,), (T[:2],))
    with pytest.raises(ArgumentError, match=r"tangents\[0\] is missing"):
        nets.jvp(curve, (X,), (None,))
    with pytest.raises(ArgumentError, match="a nest like primals"):
        nets.jvp(curve, (X,), (T, T))
    with pytest.raises(DTypeError, match="by floating-point arguments; x is i64"):
        nets.jacfwd(curve)(np.arange(3))
    with pytest.raises(DTypeError, match="floating-point results; result is i64"):
        nets.jacrev(lambda x: nets.argmax(x))(X)
    with pytest.raises(ArgumentError, match="differentiates by argument 2"):
        nets.jacfwd(curve, argnums=2)(X)
