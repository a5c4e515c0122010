"""root: systems with known solutions, by Newton's and Broyden's methods and by least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.optimize import RootResult, root
from tests.optimize import problems

METHODS = ["newton", "broyden1", "lm"]
INNER = np.arange(1, 11) / 11
SYSTEMS = {
    "powell badly scaled": (problems.powell_badly_scaled, [0.0, 1.0]),
    "powell singular": (problems.powell_singular, [3.0, -1.0, 0.0, 1.0]),
    "rosenbrock": (problems.rosenbrock_residuals, [-1.2, 1.0]),
    "freudenstein roth": (problems.freudenstein_roth, [6.0, 3.0]),
    "broyden tridiagonal": (problems.broyden_tridiagonal, [-1.0] * 20),
    "discrete boundary value": (problems.discrete_boundary_value, INNER * (INNER - 1)),
    "chandrasekhar": (problems.chandrasekhar, [1.0] * 30),
}


PAIRS = [(METHODS[(i + j) % 3], name) for i, name in enumerate(SYSTEMS) for j in range(2)]
"""Each system by two methods; the next one by others."""


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_known_systems(method: str, name: str) -> None:
    function, start = SYSTEMS[name]
    found = root(function, np.array(start), method=method)
    assert found.success.item(), found.message
    assert np.abs(function(found.x).numpy()).max() <= 4e-11
    np.testing.assert_allclose(found.fun, function(found.x).numpy(), atol=1e-12)
    assert found.nit.item() < found.nfev.item()


def test_a_hard_one_takes_jacobians_again() -> None:
    """Broyden's method by the first Jacobian alone makes no progress from here."""
    found = root(problems.trigonometric, np.full(10, 0.1), method="broyden1")
    assert found.success.item()
    assert 1 < found.njev.item() < found.nit.item()


def test_solutions_that_are_known() -> None:
    newton = root(problems.rosenbrock_residuals, np.array([-1.2, 1.0]))
    np.testing.assert_allclose(newton.x, np.ones(2), atol=1e-12)
    for method in METHODS:
        found = root(problems.freudenstein_roth, np.array([6.0, 3.0]), method=method)
        np.testing.assert_allclose(found.x, [5, 4], atol=1e-9)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", METHODS)
def test_nests_dtypes_and_jacobians(method: str) -> None:
    def equations(x: Any, p: Any) -> Any:
        return x["a"] + x["b"].sum() - p, [x["b"] - x["a"] * np.array([1.0, 2.0], "float32")]

    def slopes(x: Any, p: Any) -> Any:
        by_b = np.eye(2, dtype="float32"), np.array([-1.0, -2.0], "float32")
        return {"a": 1.0, "b": np.ones(2, "float32")}, [{"a": by_b[1], "b": by_b[0]}]

    start = {"a": np.float32(0), "b": np.ones(2, "float32")}
    for jac in (None, slopes):
        found = root(equations, start, np.float32(8), method, jac=jac)
        assert found.success.item()
        assert found.x["b"].dtype == np.float32
        np.testing.assert_allclose(found.x["a"], 2, rtol=1e-5)
        assert found.fun[1][0].shape == (2,)


ENDS = {1: problems.rosenbrock_residuals, 2: lambda x: x * x + 1, 3: lambda x: nets.log(x)}
ENDING = problems.one_of(*ENDS.values())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", METHODS)
def test_how_it_ends(method: str) -> None:
    for number, status in enumerate(ENDS):
        options = {"maxiter": 2} if status == 1 else {}
        found = root(ENDING, np.array([-1.2, 1.0]), (number,), method, options=options)
        if (method, status) == ("broyden1", 2):
            status = found.status.item() or 2  # it creeps on, so its steps may end before
        assert found.status.item() == status
        assert found.message == RootResult.messages[status]
        assert found.success.item() is (status == 0)


def test_a_jacobian_that_is_singular_at_the_start() -> None:
    assert root(lambda x: x * x - 1, np.zeros(2)).status.item() == 2
    assert root(lambda x: x**3 - 8, np.full(2, 1e-3), tol=1e-9).success.item()
