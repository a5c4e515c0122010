"""Calls of functions whose sizes each call tells, by C and by Python: the same results, the same
errors, and by C all but the first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets

pytestmark = pytest.mark.both_roads

ANY = nets.dim()


def rows(x: Any, y: Any) -> Any:
    return {"sum": (x @ y).sum(0), "all": [nets.tanh(x), y * x.shape[0]]}


def pieces(x: Any) -> Any:
    return x.reshape(-1, 4).sum(1), x[1:] - x[:-1], x.shape[0] // 3


def windows(x: Any, y: Any) -> Any:
    return x[: y.shape[0]] + y, nets.zeros(min_of(x.shape[0], 5))


def min_of(n: Any, limit: int) -> Any:
    return n if n <= limit else limit


DIMS: dict[Callable[..., Any], dict[str, Any]] = {
    rows: {"x": "n, m", "y": "m, 3", "n": ANY, "m": nets.dim(1, 40)},
    pieces: {"x": "n", "n": nets.dim(1, 4096, multiple_of=2)},
    windows: {"x": "2*n + 3", "y": "n", "n": nets.dim(5, 99)},
}


def made(rng: Any, *shape: int) -> Any:
    return rng.normal(size=shape).astype("f4")


def arguments(function: Callable[..., Any], *sizes: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(sizes)
    n, m = (*sizes, 0)[:2]
    if function is rows:
        return made(rng, n, m), made(rng, m, 3)
    if function is pieces:
        return (made(rng, n),)
    return made(rng, 2 * n + 3), made(rng, n)


FITTING = {
    rows: [(0, 1), (3, 2), (3, 40), (700, 7), (1, 1), (64, 33)],
    pieces: [(4,), (8,), (4096,), (4,), (400,)],
    windows: [(5,), (99,), (17,), (5,)],
}


def leaves(result: Any) -> list[tuple[Any, ...]]:
    """Everything of the tensors in a result."""
    return [(x.numpy().tobytes(), x.shape, str(x.dtype)) for x in _leaves(result)]


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, nets.Tensor):
        return [result]
    parts = result.values() if isinstance(result, dict) else result
    return [leaf for part in parts for leaf in _leaves(part)]


@pytest.mark.parametrize("function", DIMS, ids=lambda f: f.__name__)
def test_results_are_those_of_the_fixed_size(function: Any, road: str) -> None:
    of_call = nets.trace(dims=DIMS[function])(function)
    for sizes in FITTING[function]:
        given = arguments(function, *sizes)
        assert leaves(of_call(*given)) == leaves(nets.trace(function)(*given))
        assert leaves(of_call(*map(nets.asarray, given))) == leaves(of_call(*given))
    stats = of_call.stats()
    assert (stats["traces"], stats["native_calls"]) == (1, 3 * len(FITTING[function]))
    assert road == "python" or stats["python_calls"] == 1


REFUSED = {
    rows: [
        (np.zeros((2, 3), "f4"), np.zeros((4, 3), "f4")),
        (np.zeros((2, 0), "f4"), np.zeros((0, 3), "f4")),
        (np.zeros((2, 41), "f4"), np.zeros((41, 3), "f4")),
        (np.zeros((2, 3), "f4"), np.zeros((3, 4), "f4")),
        (np.zeros(2, "f4"), np.zeros((3, 3), "f4")),
    ],
    pieces: [(np.zeros(size, "f4"),) for size in (0, 2, 6, 7, 4098)],
    windows: [
        (np.zeros(2 * n + more, "f4"), np.zeros(m, "f4"))
        for n, m, more in ((5, 6, 3), (5, 5, 4), (4, 4, 3), (100, 100, 3), (7, 0, 3))
    ],
}
SAID = {
    rows: ["m is 3 in x and 4 in y", "m is 0 in", "m is 41 in", "has shape", "has shape"],
    pieces: ["n is 0 in", "needs n to be a multiple of 4", "multiple of 4", "n is 7 in", "4098"],
    windows: ["n is 5 in x and 6 in y", "2*n + 3", "n is 4", "n is 100", "n is 7 in x and 0"],
}


@pytest.mark.parametrize("function", DIMS, ids=lambda f: f.__name__)
def test_errors(function: Any) -> None:
    """The same sentences at the same line, and the next call is as before."""
    of_call = nets.trace(dims=DIMS[function])(function)
    given = arguments(function, *FITTING[function][1])
    expected = leaves(of_call(*given))
    for wrong, said in zip(REFUSED[function], SAID[function], strict=True):
        with pytest.raises(nets.errors.ShapeError) as caught:
            of_call(*wrong)
        assert said in str(caught.value)
        assert caught.value.location is not None
        assert caught.value.location.file == __file__
        assert leaves(of_call(*given)) == expected


def test_other_dtypes_layouts_and_ranks_find_their_program() -> None:
    doubled = nets.trace(dims={"x": {0: "n"}, "n": ANY})(lambda x: x * 2)
    for x in (
        np.ones((3, 2), "f4"),
        np.ones((2, 3), "f4").T,
        np.ones((5, 2), "f8"),
        np.ones((5, 2), ">f8"),
        np.ones(4, "i4"),
        np.ones((9, 2), "f4")[::2],
        np.frombuffer(b"\0" * 33, "u1", 32, 1).view("f4").reshape(4, 2),
    ):
        assert (doubled(x).numpy() == np.asarray(x) * 2).all()
        assert doubled(x).shape == x.shape
    assert doubled.stats()["traces"] == 3


def test_sizes_that_one_axis_alone_does_not_tell() -> None:
    product = nets.trace(dims={"x": "m*n, 2", "y": "n + m", "z": "n", "n": ANY, "m": ANY})
    summed = product(lambda x, y, z: x.sum() + y.sum() + z.sum())
    for n, m in ((2, 3), (1, 1), (4, 2)):
        assert summed(np.ones((m * n, 2)), np.ones(n + m), np.ones(n)).item() == (
            2 * m * n + 2 * n + m
        )
    with pytest.raises(nets.errors.ShapeError, match=r"takes m\*n"):
        summed(np.ones((7, 2)), np.ones(5), np.ones(2))


def test_donated_arguments() -> None:
    step = nets.trace(donate_argnums=0, dims={"x": "n", "n": ANY})(lambda x: x + 1)
    for n in (3, 0, 5000, 3):
        x = nets.Tensor(np.arange(n, dtype="f4"))
        assert step(x).tolist() == [*range(1, n + 1)]
        with pytest.raises(nets.errors.NetsError):
            x.tolist()


def test_state_and_gradients() -> None:
    w = nets.Tensor(np.ones(3), requires_grad=True)

    @nets.trace(dims={"x": "n, 3", "n": nets.dim(1)})
    def step(x: Any) -> Any:
        nonlocal w
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        with nets.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        return loss

    found = []
    for n in (1, 4, 2, 300):
        rng = np.random.default_rng(n)
        found.append(step(rng.normal(size=(n, 3))).item())
    plain = np.ones(3)
    for n, loss in zip((1, 4, 2, 300), found, strict=True):
        x = np.random.default_rng(n).normal(size=(n, 3))
        assert loss == pytest.approx(((x @ plain) ** 2).mean(), rel=1e-12)
        plain = plain - 0.1 * 2 * (x @ plain) @ x / n
    assert step.stats()["traces"] == 1


def test_threads_with_workspaces_of_their_own() -> None:
    """A workspace grows, or is another call's, while others run."""

    @nets.trace(dims={"x": "n, 8", "n": ANY})
    def gram(x: Any) -> Any:
        return (nets.tanh(x @ x.T) @ x).sum(0)

    inputs = [np.random.default_rng(n).normal(size=(n, 8)) for n in (1, 300, 7, 120, 40)]
    expected = [nets.trace(gram.__wrapped__)(x).numpy().tobytes() for x in inputs]
    found: list[list[bytes]] = [[] for _ in inputs]

    def work(first: int) -> None:
        for i in range(first, first + 60):
            found[first].append(gram(inputs[i % 5]).numpy().tobytes())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[expected[i % 5] for i in range(first, first + 60)] for first in range(5)]


def test_what_no_memory_holds_leaves_all_as_it_was() -> None:
    outer = nets.trace(dims={"x": "n", "y": "m", "n": ANY, "m": ANY})(
        lambda x, y: (nets.tanh(x[:, None] * y) @ nets.tanh(y[:, None] * y), x * 2)
    )
    small, large = np.ones(3, "f8"), np.ones(1 << 21, "f8")
    before = leaves(outer(small, small))
    for _ in range(3):
        with pytest.raises(MemoryError):
            outer(large, large)
        assert leaves(outer(small, small)) == before


def test_checks_of_elements() -> None:
    picked = nets.trace(dims={"x": "n", "i": "m", "n": ANY, "m": ANY})(lambda x, i: x[i])
    for n in (3, 9, 4):
        x = np.arange(n)
        assert picked(x, np.array([n - 1, 0])).tolist() == [n - 1, 0]
        with pytest.raises(nets.errors.IndexOutOfBoundsError) as caught:
            picked(x, np.array([0, 1, n]))
        assert caught.value.location is not None
        assert caught.value.location.file == __file__
