"""Modules as functions of their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ArgumentError, ShapeError
from nets.nn import functional_call

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 4)).astype("float32")
Y = np.array([0, 2, 1, 1, 0, 2])


class Tied(nn.Module):
    """One weight in two places, a buffer, and a method kept as an attribute."""

    def __init__(self) -> None:
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("shift", np.ones(4, np.float32))
        self.last = self.scaled

    def scaled(self, x: Any) -> Any:
        return x * self.shift

    def forward(self, x: Any, *, twice: bool = False) -> Any:
        return self.last(self.second(nets.tanh(self.first(x)))) * (2 if twice else 1)


def network(kind: str) -> nn.Module:
    nets.manual_seed(0)
    match kind:
        case "mlp":
            return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        case "norm":
            return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3))
        case "batch norm":
            return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).eval()
        case _:
            return nn.Sequential(nn.Flatten(), Tied(), nn.Linear(4, 3))


KINDS = ("mlp", "norm", "batch norm", "tied")


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_single_examples(kind: str) -> None:
    """They are what backward gives for each alone; vmap's bits are those of single calls."""
    model = network(kind)
    parameters = dict(model.named_parameters())

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(functional_call(model, parameters, x[None]), y[None])

    each = nets.vmap(nets.grad(loss), in_axes=(None, 0, 0))
    found = nets.trace(each)(parameters, X, Y)
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        alone = nets.grad(loss)(parameters, x, y)
        model.zero_grad()
        nn.functional.cross_entropy(model(x[None]), y[None]).backward()
        for path, parameter in model.named_parameters():
            entry = found[path].detach().numpy()[i]
            assert entry.tobytes() == alone[path].detach().numpy().tobytes()
            np.testing.assert_allclose(entry, parameter.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_the_module_is_as_it_was() -> None:
    model = network("tied")
    before = {path: id(value) for path, value in model.named_state()}
    functional_call(model, {"2.bias": np.zeros(3, np.float32)}, X)
    with pytest.raises(nets.errors.NetsError):
        functional_call(model, {"2.bias": np.zeros(3, np.float32)}, X[:, :2])
    assert {path: id(value) for path, value in model.named_state()} == before


def test_other_parameters_and_buffers() -> None:
    model, other = network("tied"), network("tied")
    state = {path: value + 1 for path, value in other.state_dict().items()}
    other.load_state_dict(state)
    expected = other(X).detach().numpy()
    assert np.array_equal(functional_call(model, state, X).detach(), expected)
    parameters = {path: x for path, x in state.items() if path != "1.shift"}
    both = functional_call(model, (parameters, {"1.shift": state["1.shift"]}), (X,))
    assert np.array_equal(both.detach(), expected)


def test_tied_weights() -> None:
    model = Tied()
    weight = {"first.weight": np.eye(4, dtype=np.float32)}
    both = functional_call(model, weight, X)
    first = functional_call(model, weight, X, tie_weights=False)
    each = functional_call(model, weight | {"second.weight": weight["first.weight"]}, X)
    assert np.array_equal(both.detach(), each.detach())
    assert not np.array_equal(first.detach(), both.detach())


def test_keywords() -> None:
    model = Tied()
    twice = functional_call(model, {}, (X,), {"twice": True})
    assert np.array_equal(twice.detach(), 2 * model(X).detach().numpy())


def test_forward_mode_and_second_order() -> None:
    model = network("mlp")
    parameters = {path: x.astype(np.float64) for path, x in model.state_dict().items()}
    x = X.astype(np.float64)

    def loss(parameters: Any) -> Any:
        return (functional_call(model, parameters, x) ** 2).mean()

    nets.check_grads(loss, (parameters,), order=2, modes=("fwd", "rev"))


def test_the_mode_of_the_module_counts_at_each_call() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    parameters = dict(model.named_parameters())
    call = nets.trace(lambda parameters, x: functional_call(model, parameters, x))
    dropped = call(parameters, X)
    assert (dropped.detach().numpy() == 0).any()
    model.eval()
    kept = call(parameters, X).detach().numpy()
    np.testing.assert_allclose(kept, model(X).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"bias": X}, ArgumentError, "no parameter or buffer 'bias'; it has 0.weight, 0.bias"),
        ({"0.bias": np.zeros(4)}, ShapeError, r"0.bias of the module has shape \(5,\), not \(4,\)"),
        ([{"0.bias": np.zeros(5)}] * 2, ArgumentError, "two values for '0.bias'"),
        ([1], ArgumentError, "a mapping of paths to tensors"),
    ],
)
def test_refusals(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        functional_call(network("mlp"), given, X)


def test_strict() -> None:
    model = network("mlp")
    state = model.state_dict()
    functional_call(model, state, X, strict=True)
    del state["2.bias"]
    with pytest.raises(ArgumentError, match=r"needs '2.bias' as well"):
        functional_call(model, state, X, strict=True)
