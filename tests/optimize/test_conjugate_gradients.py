"""Conjugate gradients, and derivatives that need no matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError, ShapeError
from nets.optimize import cg, minimize, unknowns

rng = np.random.default_rng(0)


def positive(size: int) -> np.ndarray:
    rows = rng.normal(size=(size, size))
    return rows @ rows.T / size + np.eye(size)


MATRIX, RIGHT = positive(12), rng.normal(size=12)


@pytest.mark.parametrize("way", ["matrix", "function"])
def test_systems(way: str) -> None:
    given: Any = MATRIX if way == "matrix" else lambda x: nets.asarray(MATRIX) @ x
    x, info = cg(given, RIGHT, tol=1e-12)
    np.testing.assert_allclose(x, np.linalg.solve(MATRIX, RIGHT), rtol=1e-9)
    assert info == 0
    again, _ = cg(given, RIGHT, x, tol=1e-12)
    np.testing.assert_allclose(again, x, rtol=1e-9)


def test_how_it_ends() -> None:
    assert cg(MATRIX, RIGHT, tol=0.0, maxiter=3)[1] == 3
    assert cg(MATRIX, np.zeros(12))[1] == 0
    x, info = cg(MATRIX, RIGHT, atol=1e6)
    assert not x.numpy().any()
    assert info == 0
    assert cg(MATRIX * np.nan, RIGHT)[1] > 0


def test_right_sides_of_any_shape() -> None:
    x, _ = cg(lambda x: 3 * x, np.ones((2, 3)))
    np.testing.assert_allclose(x, np.full((2, 3), 1 / 3))
    many = nets.vmap(lambda b: cg(MATRIX, b, tol=1e-10)[0])(np.stack([RIGHT, -RIGHT]))
    np.testing.assert_allclose(many[0], -many[1].numpy())


def test_refusals() -> None:
    with pytest.raises(DTypeError, match="b of cg is floating-point"):
        cg(MATRIX, np.arange(12))
    with pytest.raises(ShapeError, match="x0 of cg has shape"):
        cg(MATRIX, RIGHT, np.zeros(3))
    with pytest.raises(ShapeError, match=r"A\(x\) of cg has shape"):
        cg(lambda x: x[:3], RIGHT)


def by_products(product: Any, right: Any) -> Any:
    return cg(product, right, tol=1e-13)[0]


def test_an_equation_without_its_matrix() -> None:
    """(M + diag a²) x = b, in both modes and to the second order."""

    def solve(a: Any, b: Any) -> Any:
        return nets.stop_gradient(
            cg(lambda x: nets.asarray(MATRIX) @ x + a * a * x, b, tol=1e-13)[0]
        )

    def residual(x: Any, a: Any, b: Any) -> Any:
        return nets.asarray(MATRIX) @ x + a * a * x - b

    a = rng.normal(size=12)
    plain = nets.implicit(solve, residual)
    free = nets.implicit(solve, residual, by_products)

    def total(f: Any) -> Any:
        return lambda a, b: (nets.sin(f(a, b)) * nets.asarray(RIGHT)).sum()

    gradient = nets.trace(nets.grad(total(free)))
    want = nets.trace(nets.grad(total(plain)))(a, RIGHT).numpy()
    np.testing.assert_allclose(gradient(a, RIGHT), want, rtol=1e-8, atol=1e-10)
    hessian = nets.trace(nets.hessian(total(free)))(a, RIGHT).numpy()
    for i, h in enumerate(1e-5 * np.eye(12)):
        slope = (gradient(a + h, RIGHT).numpy() - gradient(a - h, RIGHT).numpy()) / 2e-5
        np.testing.assert_allclose(hessian[i], slope, rtol=1e-5, atol=1e-8)


def test_minima_of_many_unknowns_need_no_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    def chain(x: Any, a: Any) -> Any:
        return (nets.exp(x) + nets.exp(-x)).sum() + ((x[1:] - x[:-1]) ** 2 - a * x[1:]).sum()

    def solution(a: Any) -> Any:
        return minimize(chain, np.zeros(8), (a,), method="L-BFGS", tol=1e-12).x.sum()

    expected = nets.grad(solution)(0.7).item()
    monkeypatch.setattr(unknowns, "MOST_DENSE", 4)
    found = nets.grad(lambda a: solution(a))(0.7).item()
    np.testing.assert_allclose(found, expected, rtol=1e-8)

    def large(a: Any) -> Any:
        return minimize(chain, np.zeros(3000), (a,), method="L-BFGS").x.sum()

    low = nets.grad(large).lower(0.7)
    assert low.cost()["peak_bytes"] < 3000 * 3000
