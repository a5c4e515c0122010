"""vmap: entries have the bits of single calls; axes, nests, control flow, state, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, IndexOutOfBoundsError, MutatedArgumentError, ShapeError


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


BOTH = pytest.mark.parametrize("wrap", [plain, nets.trace])
RNG = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def assert_as_alone(f: Callable[..., Any], *stacks: np.ndarray) -> None:
    """The bits of the traced function for each entry."""
    alone = nets.trace(f)
    found = nets.vmap(f)(*stacks).numpy()
    for i, entry in enumerate(found):
        expected = alone(*(x[i] for x in stacks)).numpy()
        assert entry.tobytes() == expected.tobytes(), i


PROGRAMS: dict[str, Callable[..., Any]] = {
    "softmax": lambda x: nets.exp(x - x.max()) / nets.exp(x - x.max()).sum(),
    "layer_norm": lambda x: (x - x.mean()) / nets.sqrt(x.var() + 1e-5),
    "gradient": nets.grad(lambda x: (nets.tanh(x) ** 3).sum()),
    "matrix": lambda x: x.reshape(13, 1) @ x.reshape(1, 13),
    "scan": lambda x: nets.scan(lambda c, a: (c * 0.5 + a, nets.sin(c)), x.sum(), x)[1],
    "branch": lambda x: nets.cond(x[0] > 0, lambda x: x * 2, lambda x: nets.exp(x), x),
    "loop": lambda x: nets.while_loop(lambda s: s.sum() < 40, lambda s: s * 1.5 + 1, x),
    "gather": lambda x: x[nets.argmax(x)] + x[np.array([3, -1])],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_entries_have_the_bits_of_single_calls(name: str) -> None:
    assert_as_alone(PROGRAMS[name], drawn(5, 13))


def test_each_example_is_gathered_from_at_its_own_places() -> None:
    def f(x: Any, i: Any) -> Any:
        return x[i]

    x, i = drawn(4, 6, 3), RNG.integers(-6, 6, (4, 5))
    assert_as_alone(f, x, i)
    assert_as_alone(nets.grad(lambda x, i: (x[i] ** 2).sum()), x, i)
    i[2, 3] = 6
    with pytest.raises(IndexOutOfBoundsError):
        nets.vmap(f)(x, i)


def test_windows_at_places_of_their_own() -> None:
    def f(x: Any, start: Any) -> Any:
        return nets.dynamic_slice(x, (start,), (3,))

    assert_as_alone(f, drawn(4, 9), np.array([0, 2, 8, -4]))


@BOTH
def test_axes_of_arguments_and_results(wrap: Any) -> None:
    a, b = drawn(2, 5, 3), drawn(3, 4)
    f = wrap(lambda a, b: a @ b)
    found = nets.vmap(f, in_axes=(1, None), out_axes=2)(a, b)
    np.testing.assert_allclose(found.numpy(), np.einsum("ijk,kl->ilj", a, b), rtol=1e-5)
    found = nets.vmap(f, in_axes=(-2, None), out_axes=-1)(a, b)
    assert found.shape == (2, 4, 5)


def test_nests_of_axes() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"y": p["w"] * x + p["b"], "b": p["b"]}

    p, x = {"w": drawn(4, 3), "b": drawn(3)}, drawn(4, 3)
    axes = ({"w": 0, "b": None}, 0)
    found = nets.vmap(f, in_axes=axes, out_axes={"y": 0, "b": None})(p, x)
    np.testing.assert_array_equal(found["y"].numpy(), p["w"] * x + p["b"])
    assert found["b"].shape == (3,)
    assert nets.vmap(f, in_axes=axes)(p, x)["b"].shape == (4, 3)
    named = nets.vmap(lambda x, scale: x * scale)(x, scale=np.arange(4.0, dtype=np.float32))
    np.testing.assert_array_equal(named.numpy(), x * np.arange(4, dtype=np.float32)[:, None])


def test_the_axis_may_be_empty_or_there_for_its_size_alone() -> None:
    assert nets.vmap(lambda x: x.sum())(np.zeros((0, 3))).shape == (0,)
    found = nets.vmap(lambda x: x * 2, in_axes=None, axis_size=3)(1.5)
    np.testing.assert_array_equal(found.numpy(), [3, 3, 3])


def test_maps_nest() -> None:
    x, y = drawn(3, 4), drawn(5, 4)
    pairs = nets.vmap(nets.vmap(lambda a, b: (a * b).sum(), (None, 0)), (0, None))
    np.testing.assert_allclose(pairs(x, y).numpy(), x @ y.T, rtol=1e-5)


def test_gradients_of_each_example() -> None:
    """Their mean is the gradient of the mean loss."""
    model = nets.nn.Linear(3, 2)
    x, y = drawn(6, 3), drawn(6, 2)

    def loss(w: Any, b: Any, x: Any, y: Any) -> Any:
        return ((x @ w.T + b - y) ** 2).sum()

    w, b = model.weight.numpy(), model.bias.numpy()
    each, _ = nets.vmap(nets.grad(loss, (0, 1)), (None, None, 0, 0))(w, b, x, y)
    assert each.shape == (6, 2, 3)
    ((model(nets.Tensor(x)) - y) ** 2).sum().backward()
    np.testing.assert_allclose(each.numpy().sum(0), model.weight.grad.numpy(), rtol=1e-5)


def test_the_tape_goes_through_a_map() -> None:
    x = nets.Tensor(drawn(4, 3), requires_grad=True)
    nets.vmap(lambda x: (x**2).sum())(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy(), rtol=1e-6)


def test_random_numbers_are_asked_about() -> None:
    def noisy(x: Any) -> Any:
        return x + nets.random.normal(x.shape)

    x = np.zeros((3, 4))
    with pytest.raises(ArgumentError, match="randomness='same'"):
        nets.vmap(noisy)(x)
    same = nets.vmap(noisy, randomness="same")(x).numpy()
    assert (same[0] == same[1]).all()
    different = nets.vmap(noisy, randomness="different")(x).numpy()
    assert (different[0] != different[1]).all()
    with pytest.raises(ArgumentError, match="randomness is one of"):
        nets.vmap(noisy, randomness="other")


def test_what_it_refuses() -> None:
    total = nets.Tensor(np.zeros(3))

    def adds(x: Any) -> Any:
        total[...] = total + x
        return x

    with pytest.raises(MutatedArgumentError, match="return it instead"):
        nets.vmap(adds)(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"different numbers of entries: 3 \(a\), 4 \(b\)"):
        nets.vmap(lambda a, b: a + b)(np.ones(3), np.ones(4))
    with pytest.raises(ShapeError, match="maps axis 2 of a"):
        nets.vmap(lambda a: a, in_axes=2)(np.ones(3))
    with pytest.raises(ArgumentError, match="in_axes is None for all"):
        nets.vmap(lambda a: a, in_axes=None)(np.ones(3))
    with pytest.raises(ArgumentError, match="has 1 entries for 2 positional"):
        nets.vmap(lambda a, b: a, in_axes=(0,))(np.ones(3), np.ones(3))
    with pytest.raises(ArgumentError, match="differs from entry to entry"):
        nets.vmap(lambda a: a, out_axes=None)(np.ones(3))
    with pytest.raises(ArgumentError, match="an axis, None, or a nest"):
        nets.vmap(lambda a: a, in_axes="x")(np.ones(3))
