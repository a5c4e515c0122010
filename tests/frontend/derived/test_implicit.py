"""implicit and check_grads: derivatives of equations, and derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, GradientError, ShapeError


def newton(a: Any) -> Any:
    """The square root, by a loop that has no derivative in reverse."""
    return nets.while_loop(
        lambda x: nets.abs(x * x - a) > 1e-14, lambda x: 0.5 * (x + a / x), 1.0 + 0 * a
    )


root = nets.implicit(newton, lambda x, a: x * x - a)


def test_a_root_has_derivatives_to_any_order() -> None:
    nets.check_grads(root, (2.0,), order=2, modes=("fwd", "rev"))


def test_values_of_derivatives() -> None:
    assert root(2.0).item() == newton(2.0).item()
    np.testing.assert_allclose(nets.grad(root)(2.0).item(), 0.5 * 2**-0.5, rtol=1e-13)
    third = nets.grad(nets.grad(nets.grad(root)))(2.0).item()
    np.testing.assert_allclose(third, 3 / 8 * 2**-2.5, rtol=1e-11)
    second = nets.jacfwd(nets.jacfwd(root))(2.0).item()
    np.testing.assert_allclose(second, -0.25 * 2**-1.5, rtol=1e-12)


def test_entries_of_a_map_have_the_bits_of_single_calls() -> None:
    points = np.array([0.3, 2.0, 50.0])
    each = nets.vmap(nets.grad(root))(points).numpy()
    alone = nets.trace(nets.grad(root))
    assert [x.tobytes() for x in each] == [alone(x).numpy().tobytes() for x in points]


def test_nests_of_unknowns_and_arguments() -> None:
    """x + y = p, x − y = q; and a fixed point."""
    f = nets.implicit(
        lambda p, q: {"x": (p + q) / 2, "y": (p - q) / 2},
        lambda u, p, q: (u["x"] + u["y"] - p, u["x"] - u["y"] - q),
    )
    found = nets.jacrev(f, argnums=(0, 1))(np.ones(2), np.zeros(2))
    np.testing.assert_allclose(found["x"][0].numpy(), np.eye(2) / 2, atol=1e-15)
    np.testing.assert_allclose(found["y"][1].numpy(), -np.eye(2) / 2, atol=1e-15)

    def step(x: Any, a: Any) -> Any:
        return nets.cos(a * x)

    def fixed(a: Any) -> Any:
        return nets.fori_loop(0, 200, lambda _, x: step(x, a), 0.7)

    g = nets.implicit(fixed, lambda x, a: x - step(x, a))
    nets.check_grads(g, (0.8,), order=2)
    through = nets.grad(fixed)(0.8).item()
    np.testing.assert_allclose(nets.grad(g)(0.8).item(), through, rtol=1e-10)


def test_what_is_refused() -> None:
    with pytest.raises(ShapeError, match="for 2 unknowns"):
        nets.grad(lambda a: nets.implicit(lambda a: a, lambda x, a: (x - a)[:1])(a).sum())(
            np.ones(2)
        )


def test_a_wrong_rule_is_found() -> None:
    wrong = nets.custom_jvp(lambda x: x * x)
    wrong.defjvp(lambda primals, tangents: (primals[0] ** 2, 3 * primals[0] * tangents[0]))
    with pytest.raises(GradientError, match=r"by forward mode the derivative .* by differences"):
        nets.check_grads(wrong, (1.5,))
    with pytest.raises(GradientError, match="by reverse mode"):
        nets.check_grads(wrong, (1.5,), modes=("rev",))
    nets.check_grads(lambda x, y: nets.sin(x["a"]) * y, ({"a": np.ones(2)}, 2.0), order=3)
    nets.check_grads(lambda x: nets.exp(x).sum(), (np.ones(3, np.float32),), order=2)
    with pytest.raises(ArgumentError, match="modes are"):
        nets.check_grads(nets.sin, (1.0,), modes=("both",))
