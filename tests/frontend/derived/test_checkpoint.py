"""checkpoint: the same bits, fewer of them kept; wherever it stands."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError

RNG = np.random.default_rng(3)
WEIGHTS = [RNG.normal(size=(64, 64)).astype(np.float32) / 8 for _ in range(6)]
X = RNG.normal(size=(256, 64)).astype(np.float32)
policies = nets.checkpoint_policies


def block(x: Any, w: Any) -> Any:
    y = nets.exp(nets.sin(x @ w))
    return nets.tanh(y) * nets.sqrt(y) + nets.log(1 + y)


def deep(one: Any) -> Any:
    def loss(weights: Any, x: Any) -> Any:
        for w in weights:
            x = one(x, w)
        return (x * x).mean()

    return loss


def gradient_bits(function: Any, *args: Any) -> list[bytes]:
    gradients = nets.trace(nets.grad(function))(*args)
    nest = gradients if isinstance(gradients, list) else [gradients]
    return [x.numpy().tobytes() for x in nest]


@pytest.mark.parametrize(
    "policy",
    [None, policies.nothing_saveable, policies.dots_saveable, policies.everything_saveable],
)
def test_gradients_have_the_same_bits(policy: Any) -> None:
    kept = nets.checkpoint(block, policy=policy)
    assert gradient_bits(deep(kept), WEIGHTS, X) == gradient_bits(deep(block), WEIGHTS, X)


def peak(one: Any) -> int:
    return nets.grad(deep(one)).lower(WEIGHTS, X).cost()["peak_bytes"]


def test_less_is_kept_and_policies_lie_between() -> None:
    size = X.nbytes
    everything, nothing = peak(block), peak(nets.checkpoint(block))
    products = peak(nets.checkpoint(block, policy=policies.dots_saveable))
    assert nothing + 6 * size <= everything
    assert nothing + 4 * size <= products < everything
    assert peak(nets.checkpoint(block, policy=policies.everything_saveable)) >= everything


def test_the_halves_of_an_eager_gradient_hand_over_the_arguments_alone() -> None:
    kept = nets.checkpoint(block)
    x, w = nets.Tensor(X, requires_grad=True), nets.Tensor(WEIGHTS[0], requires_grad=True)
    kept(x, w).sum().backward()
    found = x.grad.numpy().tobytes(), w.grad.numpy().tobytes()
    x.grad = w.grad = None
    nets.trace(block)(x, w).sum().backward()
    assert found == (x.grad.numpy().tobytes(), w.grad.numpy().tobytes())
    _, pull = nets.vjp(kept, x, w)
    assert sorted(np.shape(r) for r in pull._backward.residuals) == [(64, 64), (256, 64)]


def test_nested_and_in_loops_with_second_derivatives() -> None:
    def inner(x: Any) -> Any:
        return nets.sin(x) * x

    def outer(one: Any) -> Any:
        return lambda x: nets.cos(one(x) + one(one(x)))

    def loss(one: Any, whole: Any) -> Any:
        def run(x: Any) -> Any:
            return nets.scan(lambda s, _: (whole(outer(one))(s), s), x, None, length=4)[1].sum()

        return run

    plain = loss(inner, lambda f: f)
    kept = loss(nets.checkpoint(inner), nets.checkpoint)
    x = RNG.normal(size=5)
    assert gradient_bits(plain, x) == gradient_bits(kept, x)
    for f in (plain, kept):
        assert np.isfinite(nets.grad(f)(x).numpy()).all()
    second = [
        nets.grad(lambda x, f=f: (nets.grad(f)(x) ** 2).sum())(x).numpy() for f in (plain, kept)
    ]
    np.testing.assert_allclose(second[1], second[0], rtol=1e-12)
    low = nets.grad(lambda x: (nets.grad(kept)(x) ** 2).sum()).lower(x)
    np.testing.assert_allclose(nets.evaluate(low, x), second[0], rtol=1e-12)


def test_a_scan_of_checkpoints_stacks_carries_alone() -> None:
    def peak_of(step: Any) -> int:
        def loss(x: Any) -> Any:
            return nets.scan(lambda s, _: (step(s), None), x, None, length=100)[0].sum()

        return nets.grad(loss).lower(X[0]).cost()["peak_bytes"]

    def step(s: Any) -> Any:
        return nets.exp(nets.sin(nets.exp(s * 0.1)) * nets.tanh(s)) / (1 + s * s)

    assert peak_of(nets.checkpoint(step)) < 110 * X[0].nbytes < peak_of(step)


def test_what_is_drawn_and_printed_happens_once(capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(x: Any) -> Any:
        nets.debug_print("here")
        return nets.sin(x * nets.random.normal(x.shape))

    found = []
    for f in (noisy, nets.checkpoint(noisy)):
        nets.manual_seed(4)
        found.append(nets.grad(lambda x, f=f: f(x).sum())(X[0]).numpy().tobytes())
        found.append(nets.random.default_generator.counter.numpy().tobytes())
        assert capsys.readouterr().out == "here\n"
    assert found[:2] == found[2:]


def test_captured_parameters_have_gradients() -> None:
    w = nets.Tensor(WEIGHTS[0], requires_grad=True)
    found = []
    for f in (lambda x: block(x, w), nets.checkpoint(lambda x: block(x, w))):
        w.grad = None
        nets.trace(lambda x, f=f: f(x).sum())(X).backward()
        found.append(w.grad.numpy().tobytes())
        w.grad = None
        f(X).sum().backward()
        np.testing.assert_allclose(
            w.grad.numpy(), np.frombuffer(found[-1], np.float32).reshape(64, 64), rtol=1e-3
        )
    assert found[0] == found[1]


def test_it_is_a_function_like_any_other() -> None:
    kept = nets.checkpoint(block)
    assert kept is nets.checkpoint(block)
    assert copy.deepcopy(kept) is kept
    assert kept(X, w=WEIGHTS[0]).numpy().tobytes() == kept(X, WEIGHTS[0]).numpy().tobytes()
    with pytest.raises(ArgumentError, match="policy is a function of the name of an operation"):
        nets.checkpoint(block, policy="all")  # type: ignore[arg-type]
