"""least_squares: the problems of Moré, Garbow and Hillstrom, and fits of curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ShapeError
from nets.optimize import LeastSquaresResult, least_squares
from tests.optimize.problems import LEAST_SQUARES, LeastSquares, rosenbrock_residuals


@pytest.mark.sampled(4)
@pytest.mark.parametrize("problem", LEAST_SQUARES, ids=lambda p: p.residuals.__name__)
def test_known_sums(problem: LeastSquares) -> None:
    start = np.array(problem.start)
    found = least_squares(problem.residuals, start)
    assert found.success.item(), found.message
    np.testing.assert_allclose(2 * found.cost.numpy(), problem.least, rtol=3e-7, atol=2e-12)
    residuals = problem.residuals(found.x)
    np.testing.assert_allclose(found.fun, residuals.numpy(), rtol=1e-6, atol=1e-9)
    slopes = nets.jacobian(problem.residuals)(found.x).numpy()
    np.testing.assert_allclose(found.jac, slopes, rtol=1e-9, atol=1e-9)
    gradient = slopes.T @ residuals.numpy()
    scale = np.abs(slopes).max() * (1 + np.abs(residuals.numpy()).max())
    np.testing.assert_allclose(found.grad, gradient, rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(found.optimality, np.abs(gradient).max(), atol=1e-9 * scale)


def decay(p: Any, t: Any, y: Any) -> Any:
    return p["size"] * nets.exp(-p["rates"][0] * t) + p["rates"][1] - y


def test_a_fit_of_noisy_samples_is_a_minimum() -> None:
    rng = np.random.default_rng(3)
    t = np.linspace(0, 3, 40)
    y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.05 * rng.normal(size=40)
    start = {"size": 1.0, "rates": np.array([1.0, 0.0])}
    found = least_squares(decay, start, args=(t, y))
    assert found.status.item() in (1, 2, 3, 4)
    np.testing.assert_allclose(found.x["size"], 2.5, atol=0.1)
    assert found.grad["rates"].shape == (2,)
    assert found.jac.shape == (40, 3)

    def cost(p: Any) -> Any:
        return 0.5 * (decay(p, t, y) ** 2).sum()

    slopes = nets.grad(cost)(found.x)
    assert max(np.abs(slopes["size"].numpy()), *np.abs(slopes["rates"].numpy())) < 1e-5
    single = {key: np.asarray(value, "float32") for key, value in start.items()}
    rough = least_squares(
        decay, single, args=(t.astype("float32"), y.astype("float32")), ftol=1e-6, xtol=1e-5
    )
    assert rough.x["size"].dtype == np.float32
    assert rough.success.item()
    np.testing.assert_allclose(rough.x["rates"], found.x["rates"], atol=1e-3)


def test_ill_conditioned_problems_keep_their_digits() -> None:
    """The condition of the Jacobian is 1e7; that of its square would be all digits there are."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(20, 5)))[0] for _ in range(2))
    matrix = left * np.logspace(0, -7, 5) @ right[:5]
    target = matrix @ np.ones(5)
    found = least_squares(lambda x: matrix @ x - target, np.zeros(5), ftol=0, xtol=1e-14, gtol=0)
    np.testing.assert_allclose(found.x, np.ones(5), atol=1e-6)


def test_the_jacobian_of_the_user_and_the_scale() -> None:
    def slopes(x: Any) -> Any:
        return nets.stack([nets.stack([-20 * x[0], 10 + 0 * x[0]]), np.array([-1.0, 0.0])])

    start = np.array([-1.2, 1.0])
    own = least_squares(rosenbrock_residuals, start)
    given = least_squares(rosenbrock_residuals, start, jac=slopes, x_scale=1.0)
    for found in (own, given):
        np.testing.assert_allclose(found.x, np.ones(2), atol=1e-8)
    with pytest.raises(ShapeError, match=r"jac gives f64\[2\], which should have the shape"):
        least_squares(rosenbrock_residuals, start, jac=lambda x: x)


@pytest.mark.parametrize(
    ("function", "given", "status"),
    [
        (rosenbrock_residuals, {"max_nfev": 4}, 0),
        (lambda x: nets.log(x), {}, -1),
        (lambda x: nets.concatenate([x + 1.2, x - 1]), {"gtol": 0.0, "ftol": 0.0}, 3),
    ],
)
def test_how_it_ends(function: Any, given: dict[str, Any], status: int) -> None:
    found = least_squares(function, np.array([-1.2, 1.0]), **given)
    assert found.status.item() == status
    assert found.message == LeastSquaresResult.messages[status]
    assert found.success.item() is (status > 0)
