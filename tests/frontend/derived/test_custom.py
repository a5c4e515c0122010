"""custom_jvp and custom_vjp: rules in both modes, at every order, in loops and maps; refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, DTypeError, GradientError, ShapeError


@nets.custom_jvp
def softplus(x: Any) -> Any:
    return nets.log(1.0 + nets.exp(x))


@softplus.defjvp
def _softplus_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return softplus(x), (1 - 1 / (1 + nets.exp(x))) * t


@nets.custom_vjp
def product(x: Any, y: Any) -> Any:
    return nets.sin(x) * y


product.defvjp(
    lambda x, y: (product(x, y), (nets.cos(x), nets.sin(x), y)),
    lambda kept, ct: (kept[0] * kept[2] * ct, kept[1] * ct),
)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_a_rule_is_used_at_every_order_and_in_both_modes() -> None:
    assert nets.grad(softplus)(1000.0).item() == 1.0  # by itself it is inf / inf
    s = sigmoid(2.0)
    expected = [s, s * (1 - s), s * (1 - s) * (1 - 2 * s)]
    forward = reverse = softplus
    for slope in expected:
        forward, reverse = nets.jacfwd(forward), nets.grad(reverse)
        for f in (forward, reverse):
            np.testing.assert_allclose(f(2.0).numpy(), slope, rtol=1e-12)
    mixed = nets.jacfwd(nets.grad(nets.jacfwd(softplus)))
    np.testing.assert_allclose(mixed(2.0).numpy(), expected[2], rtol=1e-12)


def test_a_pull_back_is_transposed_for_forward_mode() -> None:
    x, y = 1.0, 2.0
    first, second = nets.grad(product, (0, 1))(x, y)
    np.testing.assert_allclose([first.item(), second.item()], [np.cos(x) * y, np.sin(x)])
    value, tangent = nets.jvp(product, (x, y), (1.0, 0.5))
    np.testing.assert_allclose(tangent.item(), np.cos(x) * y + 0.5 * np.sin(x))
    assert value.item() == product(x, y).item()
    v, expected = np.array([x, y]), [[-np.sin(x) * y, np.cos(x)], [np.cos(x), 0]]
    for outer in (nets.jacfwd, nets.jacrev):
        for inner in (nets.jacfwd, nets.jacrev):
            found = outer(inner(lambda v: product(v[0], v[1])))(v).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-15)


def test_a_rule_may_say_what_it_likes() -> None:
    """As clipped gradients do, which are no derivative."""

    @nets.custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, ct: (nets.clip(ct, -1, 1),))
    found = nets.grad(lambda x: (clipped(x) * np.array([5.0, 0.5])).sum())(np.ones(2))
    np.testing.assert_array_equal(found.numpy(), [1, 0.5])
    with pytest.raises(GradientError, match="not linear in what it is given"):
        nets.jvp(clipped, (1.0,), (1.0,))


def test_in_loops_maps_traces_and_on_the_tape() -> None:
    xs = np.array([0.5, 1.0, 2.0])

    def chained(x: Any) -> Any:
        return nets.scan(lambda c, _: (product(c, c), None), x, length=3)[0]

    plainly = nets.grad(lambda x: nets.scan(lambda c, _: (nets.sin(c) * c, None), x, length=3)[0])
    np.testing.assert_allclose(nets.trace(nets.grad(chained))(1.5).item(), plainly(1.5).item())
    each = nets.vmap(nets.grad(softplus))(xs).numpy()
    assert [x.tobytes() for x in each] == [nets.grad(softplus)(x).numpy().tobytes() for x in xs]
    x = nets.Tensor(xs, requires_grad=True)
    softplus(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), sigmoid(xs), rtol=1e-12)


def test_a_rule_within_a_loop_within_a_rule() -> None:
    """What such a function holds is compiled as if it stood alone, however deep."""

    @nets.custom_jvp
    def looped(x: Any) -> Any:
        return nets.scan(lambda c, _: (softplus(c), None), x, length=2)[0]

    looped.defjvp(lambda primals, tangents: (looped(*primals), 3.0 * tangents[0]))
    np.testing.assert_allclose(looped(1.0).item(), np.log1p(np.exp(np.log1p(np.e))), rtol=1e-14)
    assert nets.grad(looped)(1.0).item() == 3


def test_plain_arguments_come_first_and_have_no_derivative() -> None:
    @partial(nets.custom_jvp, nondiff_argnums=(0,))
    def apply(f: Any, x: Any) -> Any:
        return f(x)

    apply.defjvp(lambda f, primals, tangents: (f(primals[0]), 2.0 * tangents[0]))
    assert nets.grad(lambda x: apply(nets.sin, x))(1.0).item() == 2

    @partial(nets.custom_vjp, nondiff_argnums=(1,))
    def power(x: Any, n: int) -> Any:
        return x**n

    power.defvjp(lambda x, n: (x**n, x), lambda n, x, ct: (n * x ** (n - 1) * ct,))
    assert nets.grad(lambda x: power(x, 3))(2.0).item() == 12


def test_nests_and_integers() -> None:
    @nets.custom_vjp
    def scaled(p: Any, n: Any) -> Any:
        return {"y": p["w"] * n, "n": n}

    scaled.defvjp(
        lambda p, n: (scaled(p, n), {"n": n}),
        lambda kept, ct: ({"w": ct["y"] * kept["n"]}, None),
    )
    found = nets.grad(lambda p: scaled(p, 3)["y"].sum())({"w": np.ones(2), "unused": 1.0})
    np.testing.assert_array_equal(found["w"].numpy(), [3, 3])
    assert found["unused"].item() == 0


def test_what_is_refused() -> None:
    def over(w: Any) -> Any:
        @nets.custom_jvp
        def closed(x: Any) -> Any:
            return x * w

        closed.defjvp(lambda primals, tangents: (closed(*primals), tangents[0] * w))
        return closed(2.0)

    with pytest.raises(GradientError, match="closes over"):
        nets.grad(over)(3.0)
    with pytest.raises(ArgumentError, match="has no rule"):
        nets.custom_jvp(lambda x: x)(1.0)

    def with_rule(rule: Any) -> Any:
        f = nets.custom_jvp(lambda x: x)
        f.defjvp(rule)
        return f

    for rule, error, words in (
        (lambda p, t: p[0], ArgumentError, "a pair"),
        (lambda p, t: ((p[0],), t[0]), ArgumentError, "for its result"),
        (lambda p, t: (p[0], (t[0], t[0])), ArgumentError, "for the tangent"),
        (lambda p, t: (p[0], nets.stack([t[0], t[0]])), ShapeError, "the tangent"),
        (lambda p, t: (p[0], t[0].astype("float32")), DTypeError, "the tangent"),
    ):
        with pytest.raises(error, match=words):
            nets.jvp(with_rule(rule), (np.float64(1),), (1.0,))
    with pytest.raises(GradientError, match="not linear"):
        nets.grad(with_rule(lambda p, t: (p[0], t[0] * t[0])))(1.0)
    g = nets.custom_vjp(lambda x, y: x * y)
    g.defvjp(lambda x, y: (x * y, ()), lambda _, ct: (ct,))
    with pytest.raises(ArgumentError, match="each of 2 arguments, not a tuple of 1"):
        nets.grad(g)(1.0, 2.0)
