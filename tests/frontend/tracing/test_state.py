"""State captured by a trace: tensors that a compiled function reads and changes outside itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import GradientError, ShapeError

pytestmark = pytest.mark.both_roads

rng = np.random.default_rng(0)
X = rng.normal(size=(32, 8)).astype("float32")
Y = rng.normal(size=(32, 3)).astype("float32")


class Network:
    """A small network with momentum, written imperatively."""

    def __init__(self) -> None:
        draw = np.random.default_rng(1)
        shapes = [(8, 16), (16,), (16, 3)]
        self.parameters = [
            nets.Tensor(draw.normal(size=shape).astype("float32"), requires_grad=True)
            for shape in shapes
        ]
        self.moments = [nets.Tensor(np.zeros(shape, "float32")) for shape in shapes]
        self.rate = nets.Tensor(np.float32(0.05))
        self.steps = nets.Tensor(0)

    def __call__(self, x: Any) -> Any:
        w1, b1, w2 = self.parameters
        return nets.tanh(x @ w1 + b1) @ w2

    def step(self, x: Any, y: Any) -> Any:
        for p in self.parameters:
            p.zero_grad()
        loss = ((self(x) - y) ** 2).mean()
        loss.backward()
        with nets.no_grad():
            for p, m in zip(self.parameters, self.moments, strict=True):
                m.data = 0.9 * m + p.grad
                p.data = p - self.rate * m
        self.steps.data = self.steps + 1
        return loss


def test_a_traced_training_step_is_the_eager_one() -> None:
    eager, compiled = Network(), Network()
    step = nets.trace(compiled.step)
    for i in range(6):
        if i == 3:  # a scheduler changes the rate; nothing is traced again
            eager.rate.data = compiled.rate.data = np.float32(0.01)
        expected, found = eager.step(X, Y), step(X, Y)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
        assert not found.requires_grad
    for p, q in zip(eager.parameters, compiled.parameters, strict=True):
        np.testing.assert_allclose(q.numpy(), p.numpy(), atol=1e-6)
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), atol=1e-6)  # type: ignore[union-attr]
        assert q.requires_grad
        assert q.is_leaf
    assert compiled.steps.item() == 6


def test_a_new_rate_does_not_retrace(capsys: pytest.CaptureFixture[str]) -> None:
    network = Network()
    step = nets.trace(network.step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETS_LOG", "trace")
        for rate in (0.1, 0.2, 0.3):
            network.rate.data = np.float32(rate)
            step(X, Y)
    assert capsys.readouterr().err.count("nets trace") == 1


def test_gradients_add_up_to_what_was_there() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    accumulate = nets.trace(lambda x: (w * x).sum().backward())
    (w * 3).sum().backward()
    accumulate(np.array([1.0, 10.0]))
    accumulate(np.array([1.0, 10.0]))
    assert w.grad.tolist() == [5.0, 23.0]  # type: ignore[union-attr]


def test_backward_twice_in_one_trace() -> None:
    w = nets.Tensor([2.0], requires_grad=True)

    @nets.trace
    def f() -> Any:
        (w * w).sum().backward()
        first = w.grad
        (w * 3).sum().backward()
        return first, w.grad

    first, second = f()
    assert (first.item(), second.item(), w.grad.item()) == (4.0, 7.0, 7.0)  # type: ignore[union-attr]


def test_two_steps_in_one_trace() -> None:
    def two(network: Network) -> Callable[..., Any]:
        def run(x: Any, y: Any) -> Any:
            network.step(x, y)
            return network.step(x, y)

        return run

    eager, compiled = Network(), Network()
    expected = two(eager)(X, Y)
    found = nets.trace(two(compiled))(X, Y)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
    assert compiled.steps.item() == 2


def test_assignments_of_elements_and_of_data() -> None:
    history = nets.Tensor(np.zeros((3, 2)))
    position = nets.Tensor(0)

    @nets.trace
    def push(x: Any) -> Any:
        history[1:] = history[:-1]
        history[0] = x
        position.data = position + 1
        return history.sum()

    assert [push(np.full(2, v)).item() for v in (1.0, 2.0, 3.0, 4.0)] == [2.0, 6.0, 12.0, 18.0]
    assert history.tolist() == [[4.0, 4.0], [3.0, 3.0], [2.0, 2.0]]
    assert position.item() == 4


def test_running_statistics_beside_eager_gradients() -> None:
    mean = nets.Tensor(0.0)
    w = nets.Tensor(3.0, requires_grad=True)

    @nets.trace
    def layer(x: Any) -> Any:
        mean.data = 0.5 * mean + 0.5 * x.mean()
        return (x * w).sum()

    layer(np.array([2.0, 4.0])).backward()
    assert mean.item() == 1.5
    assert w.grad.item() == 6.0  # type: ignore[union-attr]


def test_an_exception_leaves_all_state_as_it_was() -> None:
    network = Network()
    before = [p.numpy() for p in network.parameters]

    @nets.trace
    def fails(x: Any, y: Any) -> Any:
        network.step(x, y)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        fails(X, Y)
    for p, array in zip(network.parameters, before, strict=True):
        assert np.array_equal(p.numpy(), array)
        assert p.grad.numpy().sum() == 0  # type: ignore[union-attr]
    network.step(X, Y)


def test_attributes_retrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_LOG", "retrace")

    class Layer:
        training = True

        def __call__(self, x: Any) -> Any:
            return x * 2 if self.training else x

    layer = Layer()
    f = nets.trace(lambda x: layer(x))
    assert f(1.0).item() == 2
    layer.training = False
    assert f(1.0).item() == 1
    told = "nets retrace: lambda: Layer.training was nothing and is False now\n"
    assert capsys.readouterr().err == told
    layer.training = True
    assert f(1.0).item() == 2


def test_a_cast_to_the_same_dtype_still_sees_new_elements() -> None:
    rate = nets.Tensor(1.0)
    f = nets.trace(lambda x: x * nets.astype(rate, "float64"))
    assert f(2.0).item() == 2
    rate.data = 5.0
    assert f(2.0).item() == 10


def test_refusals() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match="cannot take data of shape"):
        nets.trace(lambda x: setattr(w, "data", x))(np.zeros(3))
    with pytest.raises(GradientError, match=r"nets\.grad"):
        nets.trace(lambda x: (x * x).sum().backward())(np.ones(2))
    with pytest.raises(GradientError, match="only for one element"):
        nets.trace(lambda x: (w * x).backward())(np.ones(2))


def test_backward_in_a_function_that_is_differentiated() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)

    def differentiates(x: Any) -> Any:
        (w * x).sum().backward()
        return (x * x).sum()

    twice = nets.trace(lambda x: nets.grad(differentiates)(x) + nets.grad(differentiates)(x))
    assert twice(np.array([3.0, 4.0])).tolist() == [12, 16]
    assert w.grad is not None
    assert w.grad.tolist() == [6, 8]


def training(w: nets.Tensor, optimizer: Any) -> Callable[[Any], Any]:
    """Some steps of training in a loop, and what the parameters were on the way."""

    def step(total: Any, x: Any) -> Any:
        optimizer.zero_grad()
        loss = (w * w * x).sum()
        loss.backward()
        optimizer.step()
        return total + loss.detach(), w * 1

    return lambda xs: [x.detach() for x in nets.scan(step, 0.0, xs)]


def test_a_loop_trains() -> None:
    found = []
    for wrap in (lambda f: f, nets.trace):
        w = nets.Tensor([1.0, 2.0], requires_grad=True)
        optimizer = nets.optim.SGD([w], lr=0.01, momentum=0.9)
        run = wrap(training(w, optimizer))
        for xs in (X[:4, :2], X[4:8, :2]):
            total, steps = run(xs.astype("float64"))
            found.append((total.numpy(), steps.numpy(), w.numpy(), w.grad.numpy()))
    for eager, traced in zip(found[:2], found[2:], strict=True):
        for one, other in zip(eager, traced, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def updated_between(w: nets.Tensor, x: Any) -> Any:
    first = (w * w * x).sum()
    w.data = w - 1
    return first + (w * x).sum()


def updated_in_a_loop(w: nets.Tensor, x: Any) -> Any:
    def step(total: Any, v: Any) -> Any:
        loss = (w * w * v).sum()
        with nets.no_grad():
            w[...] = w * 0.5 + v
        return total + loss, None

    return nets.scan(step, 0.0, x)[0] + (w * w).sum()


@pytest.mark.parametrize("f", [updated_between, updated_in_a_loop])
def test_updates_in_a_recorded_call_lose_no_gradient(f: Any) -> None:
    found = []
    for wrap in (lambda f: f, nets.trace):
        w = nets.Tensor([1.0, 2.0], requires_grad=True)
        run = wrap(lambda x, w=w: f(w, x))
        for i in range(3):
            w.zero_grad()
            run(np.array([3.0, 4.0]) + i).backward()
            found.append((w.tolist(), w.grad.tolist()))
    assert found[:3] == found[3:]


def test_state_changes_in_a_function_that_is_differentiated() -> None:
    mean = nets.Tensor(0.0)

    def f(x: Any) -> Any:
        mean.data = x.mean()
        return (x * x).sum()

    assert nets.grad(f)(np.array([1.0, 3.0])).tolist() == [2.0, 6.0]
    assert mean.item() == 2.0
    nested = nets.trace(lambda x: nets.grad(f)(x) + mean)
    assert nested(np.array([2.0, 6.0])).tolist() == [8.0, 16.0]
    assert mean.item() == 4.0


@pytest.mark.parametrize(
    "seed",
    [np.array([1.0, 2.0]), [1.0, 2.0], (1, 2), np.array([1, 2]), np.array([1.0, 2.0], "f4")],
    ids=["f64", "list", "tuple", "i64", "f32"],
)
def test_gradients_given_as_arrays(seed: Any) -> None:
    w = nets.Tensor(np.array([3.0, 4.0], "f4"), requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = seed
        w.grad += x
        (w * x).backward(seed)
        return w.grad * 1

    x = np.array([5.0, 6.0])
    for f in (step, nets.trace(step)):
        for _ in range(2):
            assert f(x).tolist() == [1 + 5 + 5, 2 + 6 + 12]
            assert w.grad is not None
            assert (w.grad.dtype, w.grad.tolist()) == ("float32", [11, 20])


def test_gradients_given_as_arrays_are_refused_where_they_do_not_fit() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    for f in (lambda x: (w * x).backward([1.0]), lambda x: setattr(w, "grad", np.ones(3))):
        with pytest.raises(ShapeError, match="cannot have shape"):
            nets.trace(f)(np.ones(2))


def test_loops_and_nested_functions_read_the_gradient_of_the_moment() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)

    def step(x: Any) -> Any:
        w.zero_grad()
        (w * x).sum().backward()
        looped = nets.scan(lambda c, i: (c + (w.grad * i).sum(), None), 0.0, x)[0]
        return looped, nets.grad(lambda v: (v * w.grad).sum())(x)

    for x in (np.array([3.0, 4.0]), np.array([5.0, 6.0])):
        for f in (step, nets.trace(step)):
            total, slope = f(x)
            assert total.item() == x.sum() ** 2
            assert slope.tolist() == x.tolist()
