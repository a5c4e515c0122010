"""State and donated arguments are updated in their own memory, and nobody else can tell."""

from __future__ import annotations

import copy
import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import DonatedError, IndexOutOfBoundsError

pytest.importorskip("nets._dispatch")

rng = np.random.default_rng(0)
X = rng.normal(size=(16, 12)).astype("float32")
Y = rng.integers(0, 5, 16)


class Training:
    """A classifier, its optimiser and a traced step."""

    def __init__(self) -> None:
        nets.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
        criterion = nn.CrossEntropyLoss()

        def step(x: Any, y: Any) -> Any:
            self.optimizer.zero_grad()
            loss = criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

        self.eager = step
        self.step = nets.trace(step)

    def addresses(self) -> list[int]:
        values = [p._value for p in self.model.parameters()]
        moments = [m for ms in self.optimizer._states for s in ms for m in s.values()]
        arrays = [v.data for v in values] + [v.gradient for v in values]  # type: ignore[attr-defined]
        arrays += [m._value.data for m in moments]  # type: ignore[attr-defined]
        return [array.ctypes.data for array in arrays]

    def weights(self) -> list[Any]:
        return [p.numpy() for p in self.model.parameters()]


def same(x: list[Any], y: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(x, y, strict=True))


def test_a_step_writes_to_the_same_memory_and_allocates_nothing() -> None:
    training = Training()
    for _ in range(3):
        training.step(X, Y)
    before = training.addresses()
    gc.collect()
    tracemalloc.start()
    training.step(X, Y)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for _ in range(50):
        training.step(X, Y)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now - held < 512
    assert peak - held < 4096, "a step makes its loss and nothing else"
    assert training.addresses() == before


def test_the_bits_are_those_of_fresh_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, held = Training(), Training()
    for _ in range(5):
        kept = [p.data for p in held.model.parameters()]  # views: new memory at each step
        old = [array.copy() for array in kept]
        assert np.array_equal(fast.step(X, Y).data, held.step(X, Y).data)
        assert same(kept, old)
    assert same(fast.weights(), held.weights())


@pytest.mark.both_roads
def test_who_holds_elements_keeps_them() -> None:
    w = nets.Tensor(np.ones(4), requires_grad=True)

    @nets.trace
    def double(x: Any) -> Any:
        w.data = w * 2 + 0 * x
        return w.sum()

    zero = np.zeros(4)
    double(zero)
    double(zero)
    view, twin, taken = w.data, copy.copy(w), np.asarray(w.detach())
    product = (w * w).sum()  # keeps w for its gradient
    assert double(zero).item() == 32
    assert view.tolist() == taken.tolist() == twin.tolist() == [4.0] * 4
    assert w.tolist() == [8.0] * 4
    product.backward()
    del view, twin, taken, product
    assert double(w).item() == 64  # an argument that is the state itself
    assert double(w.data).item() == 128
    assert double(w.data[:1] * 0).item() == 256


def _slope_by(w: Any, product: Any) -> Any:
    """A product with w that is recorded now; later, its gradient by the other factor, which is w
    as it was."""
    x = nets.Tensor(np.zeros(4), requires_grad=True)
    y = product(x, w).sum()

    def slope() -> Any:
        y.backward()
        return x.grad

    return slope


HOLDERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "array": (lambda w: w.data, lambda held: held),
    "memory": (lambda w: memoryview(w.data), np.asarray),
    "numpy": (lambda w: np.asarray(w.detach()), lambda held: held),
    "copy": (copy.copy, lambda held: held),
    "detached": (lambda w: w.detach(), lambda held: held),
    "view": (lambda w: copy.copy(w)[::-1], lambda held: held[::-1]),
    "recorded": (lambda w: _slope_by(w, lambda x, w: x * w), lambda slope: slope()),
    "recorded call": (
        lambda w: _slope_by(w, nets.trace(lambda x, w: x * w)),
        lambda slope: slope(),
    ),
}
"""What holds the elements of a tensor, and how they are read from it."""


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_single_holder_keeps_the_elements(holder: str, trained: bool) -> None:
    """Whatever it is that holds them, and nothing else beside it."""
    hold, read = HOLDERS[holder]
    w = nets.Tensor(np.ones(4), requires_grad=trained)

    @nets.trace
    def double(x: Any) -> Any:
        if trained:
            (w * x).sum().backward()
        w.data = w * 2 + 0 * x
        return w.detach().sum()

    def place() -> Any:
        return w._value.data.ctypes.data  # type: ignore[attr-defined]

    zero = np.zeros(4)
    for _ in range(2):
        double(zero)
    before = place()
    double(zero)
    assert place() == before, "nobody held them"
    held = hold(w)
    assert double(zero).item() == 64
    assert read(held).tolist() == [8.0] * 4
    assert w.tolist() == [16.0] * 4


def test_gradients_are_added_up_in_place() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    accumulate = nets.trace(lambda x: (w * x).sum().backward())
    x = np.array([1.0, 10.0])
    for _ in range(3):
        accumulate(x)
    place = w._value.gradient.ctypes.data  # type: ignore[attr-defined]
    held = w.grad
    accumulate(x)
    assert held.tolist() == [3.0, 30.0]  # type: ignore[union-attr]
    assert w.grad.tolist() == [4.0, 40.0]  # type: ignore[union-attr]
    del held
    w.zero_grad()
    accumulate(x)
    assert w.grad.tolist() == [1.0, 10.0]  # type: ignore[union-attr]
    place = w._value.gradient.ctypes.data  # type: ignore[attr-defined]
    accumulate(x)
    assert w._value.gradient.ctypes.data == place  # type: ignore[attr-defined]


@pytest.mark.both_roads
def test_a_refused_call_leaves_state_as_it_was() -> None:
    training = Training()
    for _ in range(2):
        training.step(X, Y)
    before = training.weights()
    with pytest.raises(IndexOutOfBoundsError):
        training.step(X, np.full_like(Y, 7))
    assert same(training.weights(), before)
    training.step(X, Y)
    assert not same(training.weights(), before)


def test_a_thread_that_reads_meanwhile_sees_whole_updates() -> None:
    w = nets.Tensor(np.zeros(300_000))

    @nets.trace(threads=1)
    def count(x: Any) -> Any:
        w.data = w + x
        return x

    count(1.0)
    stop, torn = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found = w.numpy()
            if found.min() != found.max():
                torn.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(200):
        count(1.0)
    stop.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert w.numpy().max() == 201


@pytest.mark.both_roads
def test_steps_from_several_threads_are_whole() -> None:
    w = nets.Tensor(np.zeros(100_000))

    @nets.trace(threads=1)
    def count() -> None:
        w.data = w + 1

    count()
    runners = [threading.Thread(target=lambda: [count() for _ in range(50)]) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    found = w.numpy()
    assert found.min() == found.max() <= 151


# ---------------------------------------------------------------------- donated arguments


def update(state: Any, x: Any) -> Any:
    return {"w": state["w"] + x, "n": state["n"] + 1}, (state["w"] * x).sum()


def fresh() -> Any:
    return {"w": nets.Tensor(np.ones(6)), "n": nets.Tensor(0)}


@pytest.mark.parametrize("options", [{"donate_argnums": 0}, {"donate_argnames": "state"}])
def test_results_take_the_memory_of_donated_arguments(options: Any) -> None:
    step = nets.trace(**options)(update)
    x = np.ones(6)
    state, _ = step(fresh(), x)
    place = state["w"].data.ctypes.data
    for i in range(3):
        before = state
        state, total = step(state, x)
        assert total.item() == 6 * (i + 2)
        assert state["w"].data.ctypes.data == place
        for use in (lambda t=before["w"]: t + 1, lambda t=before["w"]: t.shape, before["w"].numpy):
            with pytest.raises(DonatedError, match="donated"):
                use()
        with pytest.raises(DonatedError):
            step(before, x)
        assert "donated" in repr(before["w"])
    assert state["n"].item() == 4


@pytest.mark.both_roads
def test_donated_arguments_that_others_hold_are_copied() -> None:
    step = nets.trace(donate_argnums=0)(update)
    x = np.ones(6)
    for _ in range(3):
        state = fresh()
        view = state["w"].data
        new, _ = step(state, x)
        assert view.tolist() == [1.0] * 6
        assert new["w"].tolist() == [2.0] * 6
    arrays = {"w": np.ones(6), "n": np.array(0)}
    for _ in range(3):
        step(arrays, x)  # arrays of the caller's own stay
    assert arrays["w"].tolist() == [1.0] * 6
    twice = nets.Tensor(np.ones(6))
    assert step({"w": twice, "n": 0}, twice)[0]["w"].tolist() == [2.0] * 6
    with pytest.raises(DonatedError):
        twice.sum()


@pytest.mark.both_roads
def test_a_refused_call_gives_donated_arguments_back() -> None:
    @nets.trace(donate_argnums=0)
    def put(x: Any, i: Any) -> Any:
        return x + x[i]

    x = put(nets.Tensor(np.ones(4)), 1)
    for _ in range(2):
        with pytest.raises(IndexOutOfBoundsError):
            put(x, 9)
        assert x.tolist() == [2.0] * 4
    assert put(x, 0).tolist() == [4.0] * 4


@pytest.mark.both_roads
def test_donation_with_keywords_statics_and_gradients() -> None:
    @nets.trace(static_argnums=0, donate_argnames="b")
    def f(kind: str, a: Any, b: Any) -> Any:
        return b - a if kind == "less" else b + a

    a = nets.Tensor(np.ones(3))
    for _ in range(3):
        b = nets.Tensor(np.ones(3))
        assert f("less", a, b=b).tolist() == [0.0] * 3
        with pytest.raises(DonatedError):
            b.sum()
    assert a.tolist() == [1.0] * 3
    w = nets.Tensor(np.ones(3), requires_grad=True)
    f("more", a, w).sum().backward()


def test_stats_show_that_a_step_is_one_native_call() -> None:
    training = Training()
    for _ in range(3):
        training.step(X, Y)
    before = training.step.stats()
    for _ in range(10):
        training.step(X, Y)
    after = training.step.stats()
    done = {k: after[k] - before[k] for k in after if isinstance(after[k], int)}
    assert done.pop("native_calls") == 10
    assert done.pop("arrays") == 10, "of the losses"
    assert done.pop("fresh_bytes") == 40
    assert not any(done.values())
    assert (after["traces"], after["compilations"], after["reasons"]) == (1, 1, [])
    assert after["state_bytes"] > 4 * 4 * (12 * 8 + 8 * 5)  # weights, gradients, two moments
    training.step(X[:8], Y[:8])
    found = training.step.stats()
    assert (found["traces"], found["compilations"], found["python_calls"]) == (2, 2, 2)
    assert found["reasons"] == ["x: f32[16,12] → f32[8,12]", "y: i64[16] → i64[8]"]


def test_large_arrays_begin_at_cache_lines() -> None:
    negate = nets.trace(lambda x: -x)
    source = np.ones(2 * 5000 + 1, np.float32)[1::2]
    for x in (nets.Tensor(source), nets.Tensor(source, dtype="float64"), negate(source)):
        assert x.data.ctypes.data % 64 == 0
        assert x.data.flags.c_contiguous
        assert np.abs(x.data).tolist() == source.tolist()


def test_large_results_use_memory_again_when_nobody_can_see_it() -> None:
    negate = nets.trace(lambda x: -x)
    x = np.ones(1 << 19)
    kept = [negate(i * x) for i in range(3)]
    places = {y.data.ctypes.data for y in kept}
    assert len(places) == 3
    view = kept[0].data[5:7]
    before = negate.stats()["fresh_bytes"]
    del kept[1:]
    for i in range(5):
        y = negate(i * x)
        assert y.data.ctypes.data in places
        assert y.data[-1] == -i
    kept.clear()
    for _ in range(5):
        negate(x * 7)
    assert view.tolist() == [0, 0]
    assert negate.stats()["fresh_bytes"] == before


def test_memory_of_results_stays_bounded() -> None:
    count = (1 << 19) + 24  # a size that no other test has left in the pool
    fill = nets.trace(lambda x: nets.broadcast_to(x, (count,)) * 1.0)
    kept = [fill(1.0 * i) for i in range(40)]
    assert [y.data[3] for y in kept] == list(range(40))
    kept.clear()
    for i in range(40):
        fill(1.0 * i)
    assert fill.stats()["fresh_bytes"] == 40 * 8 * count
