"""Weights that are computed from other tensors: PyTorch's values, names and steps."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ArgumentError, AxisError, DTypeError, ShapeError
from nets.nn import utils
from nets.nn.utils import parametrizations, parametrize

RNG = np.random.default_rng(0)

LAYERS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "linear": ("Linear", (3, 4), (5, 3)),
    "square": ("Linear", (4, 4), (5, 4)),
    "wide": ("Linear", (5, 2), (3, 5)),
    "conv": ("Conv2d", (2, 3, 2), (1, 2, 4, 4)),
    "transposed": ("ConvTranspose1d", (2, 3, 2), (2, 2, 5)),
}


def same(found: Any, expected: Any, rtol: float = 0, atol: float = 0) -> None:
    found, expected = (x.numpy() if isinstance(x, nets.Tensor) else x for x in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def layer(package: Any, kind: str, float64: Any) -> Any:
    name, sizes, _ = LAYERS[kind]
    return getattr(package, name)(*sizes, dtype=float64)


CASES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "old lengths": ("linear", lambda u, m: u.weight_norm(m)),
    "old lengths of columns": ("conv", lambda u, m: u.weight_norm(m, dim=1)),
    "one old length": ("linear", lambda u, m: u.weight_norm(m, dim=None)),
    "old lengths of a bias": ("linear", lambda u, m: u.weight_norm(m, "bias")),
    "old largest value": ("linear", lambda u, m: u.spectral_norm(m)),
    "old largest value of a stack": ("transposed", lambda u, m: u.spectral_norm(m, "weight", 3)),
    "lengths": ("conv", lambda u, m: u.parametrizations.weight_norm(m)),
    "lengths of rows": ("linear", lambda u, m: u.parametrizations.weight_norm(m, dim=-2)),
    "one length": ("linear", lambda u, m: u.parametrizations.weight_norm(m, dim=-1)),
    "largest value": ("linear", lambda u, m: u.parametrizations.spectral_norm(m)),
    "largest of columns": (
        "transposed",
        lambda u, m: u.parametrizations.spectral_norm(m, n_power_iterations=2),
    ),
    "largest of a bias": ("linear", lambda u, m: u.parametrizations.spectral_norm(m, "bias")),
    "orthogonal": ("square", lambda u, m: u.parametrizations.orthogonal(m)),
    "orthogonal rows": ("wide", lambda u, m: u.parametrizations.orthogonal(m)),
    "orthogonal columns": (
        "linear",
        lambda u, m: u.parametrizations.orthogonal(m, use_trivialization=False),
    ),
    "cayley": (
        "linear",
        lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="cayley"),
    ),
    "exponential": (
        "wide",
        lambda u, m: u.parametrizations.orthogonal(
            m, orthogonal_map="matrix_exp", use_trivialization=False
        ),
    ),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_pytorch(name: str) -> None:
    """From one state, some steps of training, and the result after them in evaluation."""
    torch = pytest.importorskip("torch")
    kind, norm = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = norm(torch.nn.utils, layer(torch.nn, kind, torch.float64))
    own = norm(utils, layer(nn, kind, "float64"))
    state = {path: tensor.numpy() for path, tensor in theirs.state_dict().items()}
    assert list(own.state_dict()) == list(state)
    assert [n for n, _ in own.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    own.load_state_dict(state)
    x = RNG.normal(size=LAYERS[kind][2])
    optimizer = nets.optim.SGD(own.parameters(), lr=0.05)

    @nets.trace
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (nets.sin(own(x)) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    other = torch.optim.SGD(theirs.parameters(), lr=0.05)
    for _ in range(3):
        other.zero_grad()
        loss = (torch.sin(theirs(torch.tensor(x))) ** 2).sum()
        loss.backward()
        other.step()
        same(step(x), loss.item(), rtol=1e-9)
    for path, tensor in theirs.state_dict().items():
        same(own.state_dict()[path], tensor.numpy(), rtol=1e-8, atol=1e-11)
    own.eval()
    theirs.eval()
    expected = theirs(torch.tensor(x)).detach().numpy()
    same(own(x), expected, rtol=1e-8, atol=1e-11)


def test_a_weight_keeps_its_value_and_can_be_stored_again() -> None:
    for of_value in (utils.weight_norm, parametrizations.weight_norm):
        made = nn.Linear(3, 4)
        weight, before = made.weight, made.weight.numpy()
        of_value(made)
        same(made.weight, before, rtol=1e-6)
        assert any(part is weight for part in made.parameters()) is (of_value is utils.weight_norm)
        remove = utils.remove_weight_norm
        if of_value is parametrizations.weight_norm:
            remove = lambda m: parametrize.remove_parametrizations(m, "weight")  # noqa: E731
        assert remove(made) is made
        assert type(made) is nn.Linear
        assert isinstance(made.weight, nn.Parameter)
        assert sorted(made.state_dict()) == ["bias", "weight"]
    made = utils.spectral_norm(nn.Linear(3, 4)).eval()
    value = made.weight.numpy()
    same(utils.remove_spectral_norm(made).weight, value)
    made = parametrizations.spectral_norm(nn.Linear(3, 4)).eval()
    stored, value = made.parametrizations["weight"].original, made.weight.numpy()
    parametrize.remove_parametrizations(made, "weight")
    assert made.weight is stored
    same(made.weight, value)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (2, 5), (2, 4, 3)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.sampled(5)
def test_orthogonal_matrices(kind: str, shape: tuple[int, ...]) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(RNG.normal(size=shape))

    few = min(shape[-2:])
    for is_free in (True, False):
        made: Any = parametrizations.orthogonal(
            Holder(), orthogonal_map=kind, use_trivialization=is_free
        )
        found = made.weight.numpy()
        turned = np.swapaxes(found, -1, -2)
        product = found @ turned if shape[-2] == few else turned @ found
        same(product, np.broadcast_to(np.eye(few), product.shape), atol=1e-12)
        given = np.linalg.qr(RNG.normal(size=(*shape[:-2], max(shape), max(shape))))[0]
        given = given[..., : shape[-2], : shape[-1]]
        if is_free or kind == "householder":
            made.weight = given
            same(made.weight, given, atol=1e-12)
        else:
            with pytest.raises(ArgumentError, match="nothing can be assigned"):
                made.weight = given


def test_parametrizations_of_the_user() -> None:
    class Symmetric(nn.Module):
        def forward(self, x: Any) -> Any:
            return nets.triu(x) + nets.matrix_transpose(nets.triu(x, 1))

    class Doubled(nn.Module):
        def forward(self, x: Any) -> Any:
            return 2 * x

        def right_inverse(self, x: Any) -> Any:
            return x / 2

    made: Any = nn.Linear(3, 3, bias=False)
    assert not parametrize.is_parametrized(made)
    parametrize.register_parametrization(made, "weight", Symmetric())
    parametrize.register_parametrization(made, "weight", Doubled())
    assert parametrize.is_parametrized(made, "weight")
    assert not parametrize.is_parametrized(made, "bias")
    given = np.arange(9.0, dtype="float32").reshape(3, 3)
    made.weight = given + given.T
    same(made.weight, given + given.T)
    slopes = nets.grad(lambda w: nn.functional_call(made, w, np.eye(3, dtype="float32")).sum())
    (slope,) = slopes(dict(made.named_parameters())).values()
    same(slope, [[2, 4, 4], [0, 2, 4], [0, 0, 2]])
    for other in (made.copy(), copy.copy(made)):
        same(other.weight, made.weight)
    parametrize.remove_parametrizations(made, "weight", leave_parametrized=False)
    same(made.weight, (given + given.T) / 2)


def test_copies_and_pickles() -> None:
    for norm in (utils.spectral_norm, parametrizations.weight_norm):
        made = norm(nn.Linear(3, 4)).eval()
        for other in (made.copy(), pickle.loads(pickle.dumps(made))):
            assert type(other) is type(made)
            same(other.weight, made.weight)
            first, own = next(other.parameters()), next(made.parameters())
            assert first is not own


def test_refusals() -> None:
    linear = nn.Linear(2, 3)
    for norm in (utils.weight_norm, utils.spectral_norm):
        with pytest.raises(ArgumentError, match="no parameter or buffer named 'nope'"):
            norm(linear, "nope")
        with pytest.raises(ArgumentError, match="weight of this Linear has a norm already"):
            norm(norm(nn.Linear(2, 3)))
    for name in ("weight_norm", "spectral_norm", "orthogonal"):
        with pytest.raises(ArgumentError, match="no parameter or buffer named 'nope'"):
            getattr(parametrizations, name)(linear, "nope")
    with pytest.raises(AxisError, match="has no axis 2"):
        parametrizations.weight_norm(linear, dim=2)
    with pytest.raises(ArgumentError, match="n_power_iterations"):
        parametrizations.spectral_norm(linear, n_power_iterations=0)
    with pytest.raises(ShapeError, match="only matrices are orthogonal"):
        parametrizations.orthogonal(linear, "bias")
    with pytest.raises(ArgumentError, match="orthogonal_map is one of"):
        parametrizations.orthogonal(linear, orthogonal_map="qr")
    with pytest.raises(ArgumentError, match="not computed by what is to be removed"):
        utils.remove_weight_norm(linear)
    with pytest.raises(ArgumentError, match="has no parametrization of weight"):
        parametrize.remove_parametrizations(linear, "weight")
    with pytest.raises(ArgumentError, match="is a module, not"):
        parametrize.register_parametrization(linear, "weight", nets.tanh)  # type: ignore[arg-type]

    class Flat(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.reshape(-1)

    class Whole(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.astype("float64")

    before = linear.weight.numpy()
    for kind, error in ((Flat, ShapeError), (Whole, DTypeError)):
        with pytest.raises(error, match=r"weight .*, parametrised"):
            parametrize.register_parametrization(linear, "weight", kind())
    assert type(linear) is nn.Linear
    same(linear.weight, before)
    parametrizations.weight_norm(linear)
    with pytest.raises(ArgumentError, match="what follows takes one tensor"):
        parametrizations.weight_norm(linear)
    with pytest.raises(ArgumentError, match="cannot be left as it is stored"):
        parametrize.remove_parametrizations(linear, "weight", leave_parametrized=False)
