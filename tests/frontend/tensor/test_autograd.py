"""Eager gradients: accumulation, integers, numerical comparison, refusals, long and deep graphs."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError, GradientError, ShapeError
from nets.frontend.tensor.autograd import record_call
from nets.frontend.tensor.scope import Scope, enter
from nets.frontend.tensor.variable import Variable
from nets.ir.core import Function
from tests.frontend.tensor.small_stack import LONG, on_a_small_stack

Composite = Callable[..., nets.Tensor]

A = np.array([[0.3, -1.2, 0.8], [1.7, 0.4, -0.6]])
B = np.array([[1.1, 0.5, -0.9], [-0.2, 1.3, 0.7]])
POSITIVE = np.abs(A) + 0.5
PICKS = np.array([[2, 0, 1, 0], [1, 1, 0, 2]])


def numerical(function: Composite, operands: list[Any], which: int, ct: Any) -> Any:
    """⟨ct, ∂function/∂operand⟩ by central differences in float64."""
    step = 1e-6
    gradient = np.zeros_like(operands[which])
    for place in np.ndindex(gradient.shape):
        sides = []
        for sign in (1, -1):
            moved = [x.copy() for x in operands]
            moved[which][place] += sign * step
            sides.append((function(*map(nets.Tensor, moved)).numpy() * ct).sum())
        gradient[place] = (sides[0] - sides[1]) / (2 * step)
    return gradient


def check_gradients(function: Composite, *operands: Any) -> None:
    """Gradients of all operands for a random cotangent, against central differences."""
    tensors = [nets.Tensor(x, requires_grad=True) for x in operands]
    result = function(*tensors)
    ct = np.random.default_rng(3).normal(size=result.shape)
    result.backward(ct)
    for i, tensor in enumerate(tensors):
        assert tensor.grad is not None
        expected = numerical(function, list(operands), i, ct)
        np.testing.assert_allclose(tensor.grad.data, expected, rtol=2e-6, atol=2e-8)


def assigned(x: nets.Tensor, key: Any, value: nets.Tensor) -> nets.Tensor:
    t = x * 1
    t[key] = value
    return t


ONE: dict[str, Composite] = {
    "arithmetic": lambda x: (2 * x + 1) / (x * x + 2) - x / 3,
    "mixed powers": lambda x: x**3 - x**2 + 2**x,
    "gelu": nets.gelu,
    "gelu by tanh": lambda x: nets.gelu(x, approximate="tanh"),
    "silu": nets.silu,
    "softplus": nets.softplus,
    "relu": nets.relu,
    "leaky_relu": lambda x: nets.leaky_relu(x, 0.1),
    "softmax": nets.softmax,
    "softmax over rows": lambda x: nets.softmax(x, axis=0),
    "log_softmax": nets.log_softmax,
    "logsumexp": lambda x: nets.logsumexp(x, axis=1),
    "functions": lambda x: nets.sin(x) * nets.cos(x) + nets.erf(x) + nets.expm1(x) + nets.abs(x),
    "mean and var": lambda x: x.mean(0) * x.var(axis=0, ddof=1) + x.var(),
    "sum and prod": lambda x: x.sum(axis=1, keepdims=True) * x.prod(axis=0),
    "max and min": lambda x: x.max(axis=1) - x.min(),
    "clip": lambda x: nets.clip(x, -0.5, 1.0),
    "cumsum": lambda x: nets.cumsum(x, 1) * nets.cumsum(x).reshape(x.shape),
    "shapes": lambda x: x.T.reshape(2, 3).expand_dims(0).squeeze(0).flatten() * np.arange(6.0),
    "flip roll tile": lambda x: nets.flip(x, 1) * nets.roll(x, 1, 1) + nets.tile(x, (1, 2))[:, 1:4],
    "repeat pad split": lambda x: nets.pad(nets.repeat(x, 2, 0), ((1, 0), (0, 2)))[::2] * 3,
    "split": lambda x: nets.split(x, 3, 1)[1] * nets.split(x, [1], 1)[1],
    "triangles": lambda x: nets.triu(x) * 2 + nets.tril(x, -1),
    "slices": lambda x: x[:, ::-1] * x[::-1, :] + x[0, 1] * x[1:, :],
    "index arrays": lambda x: x[[0, 1, 1], [2, 0, 0]] * x[[1], [1]],
    "masks": lambda x: x[A > 0] * 2,
    "take": lambda x: nets.take(x, [0, 0, -1], axis=1),
    "take_along_axis": lambda x: nets.take_along_axis(x, PICKS, axis=1) ** 2,
    "broadcast": lambda x: nets.broadcast_to(x, (4, 2, 3)) * x,
    "einsum diagonal": lambda x: nets.einsum("ij,ij->", x, x) * nets.einsum("ii->i", x[:, :2]),
    "iteration": lambda x: sum((row * i for i, row in enumerate(x)), nets.zeros(3)),
}


@pytest.mark.parametrize("name", ONE)
def test_gradients_of_functions_of_one_tensor(name: str) -> None:
    check_gradients(ONE[name], A)


TWO: dict[str, tuple[Composite, Any, Any]] = {
    "power": (lambda x, y: x**y, POSITIVE, B),
    "where": (lambda x, y: nets.where(A > 0.5, x * y, x - y), A, B),
    "maximum": (lambda x, y: nets.maximum(x, y) * nets.minimum(x, y), A, B),
    "remainder": (lambda x, y: x % y, A + 5.05, POSITIVE),
    "matmul": (lambda x, y: x @ y.T, A, B),
    "matmul of a vector": (lambda x, y: x @ y[0], A, B),
    "batched matmul": (lambda x, y: x[None] @ y.reshape(3, 2)[None, :] @ x, A, B),
    "einsum": (lambda x, y: nets.einsum("ij,kj->ik", x, y) @ x, A, B),
    "outer": (lambda x, y: nets.outer(x, y[0]), A, B),
    "tensordot": (lambda x, y: nets.tensordot(x, y, ((0, 1), (0, 1))) * x, A, B),
    "concatenate": (lambda x, y: nets.concatenate([x, y * 2], 1) ** 2, A, B),
    "stack": (lambda x, y: nets.stack([x, y, x]).prod(0), A, B),
    "append": (lambda x, y: nets.append(x, y) ** 2, A, B),
    "broadcasting": (lambda x, y: x[:, :1] * y + x[0] / POSITIVE, A, B),
    "assign a slice": (lambda x, y: assigned(x, (slice(None), slice(0, 2)), y[:, 1:]) ** 2, A, B),
    "assign an element": (lambda x, y: assigned(x, (0, -1), y[1, 1]) * x, A, B),
    "assign by index": (lambda x, y: assigned(x, ([0, 1], [2, 2]), y[:, 0]) * 2, A, B),
    "assign by mask": (lambda x, y: assigned(x, x > 0, y[0, 0]) * 2, A, B),
}


@pytest.mark.parametrize("name", TWO)
def test_gradients_of_functions_of_two_tensors(name: str) -> None:
    function, x, y = TWO[name]
    check_gradients(function, x, y)


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_traced_values_and_gradients_have_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    function, *arrays = TWO[name] if name in TWO else (ONE[name], A)
    tensors = [nets.Tensor(x, requires_grad=True) for x in arrays]

    def total(*operands: nets.Tensor) -> nets.Tensor:
        return function(*operands).sum()

    result = total(*tensors)
    result.backward()
    argnums = tuple(range(len(arrays)))
    value, gradients = nets.value_and_grad(total, argnums)(*map(nets.Tensor, arrays))
    assert value.numpy().tobytes() == result.numpy().tobytes()
    for eager, traced in zip(tensors, gradients, strict=True):
        assert eager.grad is not None
        np.testing.assert_array_equal(eager.grad.data, traced.data)


# --------------------------------------------------------------------- bookkeeping


def grads(*tensors: nets.Tensor) -> list[Any]:
    return [None if t.grad is None else t.grad.tolist() for t in tensors]


def test_every_tensor_of_the_way_keeps_its_gradient() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    z = y.sum()
    assert grads(x, y, z) == [[0.0, 0.0], [0.0, 0.0], 0.0]
    z.backward()
    assert grads(x, y, z) == [[3.0, 3.0], [1.0, 1.0], 1.0]
    z.backward(2.0)
    assert grads(x, y, z) == [[9.0, 9.0], [3.0, 3.0], 3.0]
    x.zero_grad()
    assert grads(x, y) == [[0.0, 0.0], [3.0, 3.0]]


def test_who_requires_a_gradient() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    constant = nets.Tensor([1.0, 2.0])
    assert (x * constant).requires_grad
    assert not (constant * 2).requires_grad
    assert not (x > 0).requires_grad
    assert not nets.argmax(x).requires_grad
    assert not x.astype(int).requires_grad
    assert not x.detach().requires_grad
    assert not nets.stop_gradient(x).requires_grad
    assert constant.grad is None
    assert x.is_leaf
    assert constant.is_leaf
    assert not (x * 2).is_leaf


def test_integers_have_float_gradients() -> None:
    x = nets.Tensor([1, 3], requires_grad=True)
    y = nets.Tensor([2, 4], requires_grad=True)
    z = ((x * y + 4) / 2).sum() + (x**2).sum() + nets.exp(x).sum() + x.max()
    z.backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float64
    expected = np.array([2, 4]) / 2 + 2 * np.array([1, 3]) + np.exp([1, 3]) + [0, 1]
    np.testing.assert_allclose(x.grad.data, expected)
    assert grads(y) == [[0.5, 1.5]]


def test_integers_pass_gradients_through_shapes_products_and_indices() -> None:
    x = nets.Tensor([[1, 2], [3, 4]], requires_grad=True)
    y = (x @ np.array([[1, 0], [2, 1]])).T[0][[1, 1, 0]] * 2
    assert y.dtype == np.int64
    y.backward([1, 2, 3])
    assert grads(x) == [[[6.0, 12.0], [6.0, 12.0]]]
    z = nets.Tensor([5, 6], dtype=np.uint8, requires_grad=True)
    nets.where(np.array([True, False]), z, -z).sum().backward()
    assert grads(z) == [[1.0, -1.0]]


def test_stop_gradient_is_a_constant() -> None:
    x = nets.Tensor([3.0], requires_grad=True)
    (x * nets.stop_gradient(x)).backward()
    assert grads(x) == [[3.0]]


def test_float32_gradients_are_float32() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True, dtype="f32")
    (x * 2.5).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


def test_a_gradient_of_minus_zero_prints_as_zero() -> None:
    x = nets.Tensor([1.0], requires_grad=True)
    (x * -0.0).backward()
    assert math.copysign(1.0, x.grad.item()) == 1.0  # type: ignore[union-attr]


def test_no_grad_and_enable_grad() -> None:
    x = nets.Tensor([1.0], requires_grad=True)
    with nets.no_grad():
        assert not nets.is_grad_enabled()
        assert not (x * 2).requires_grad
        with nets.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @nets.no_grad()
    def frozen(t: nets.Tensor) -> nets.Tensor:
        return t * 2

    assert not frozen(x).requires_grad


def test_updates_of_a_parameter() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    with nets.no_grad():
        x[:] = x - 0.1 * x.grad
    assert x.is_leaf
    assert x.requires_grad
    np.testing.assert_allclose(x.data, [0.8, 1.6])
    assert grads(x) == [[2.0, 4.0]]


def test_index_assignment_leaves_what_was_computed_before() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    double = y * 2
    y[0] = 10.0
    (double.sum() + (y * 3).sum()).backward()
    assert grads(x) == [[2.0, 5.0]]


def test_gradients_may_be_set() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    x.grad = [1, 2]
    assert grads(x) == [[1.0, 2.0]]
    x.grad = None
    assert grads(x) == [[0.0, 0.0]]
    with pytest.raises(ShapeError):
        x.grad = [1.0]


def test_requires_grad_may_be_set_on_leaves() -> None:
    x = nets.Tensor([1.0])
    x.requires_grad = True
    y = x * 2
    with pytest.raises(GradientError):
        y.requires_grad = False
    with pytest.raises(DTypeError):
        nets.Tensor([True]).requires_grad = True


def test_backward_that_cannot_start() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    with pytest.raises(GradientError, match="needs its gradient"):
        y.backward()
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        y.backward([1.0, 2.0, 3.0])
    with pytest.raises(GradientError, match="requires a gradient"):
        y.detach().sum().backward()
    with pytest.raises(GradientError, match="requires a gradient"):
        nets.Tensor(1.0).backward()
    scope = Scope(Function("f"))
    with enter(scope), pytest.raises(GradientError, match="inside a trace"):
        nets.Tensor(1.0).backward()
    assert grads(x) == [[0.0, 0.0]]


def test_a_leaf_starts_with_its_own_gradient() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    x.backward([3.0, 4.0])
    assert grads(x) == [[3.0, 4.0]]


def test_numpy_arrays_changed_between_forward_and_backward() -> None:
    data = np.array([1.0, 2.0])
    x = nets.Tensor([3.0, 4.0], requires_grad=True)
    y = (x * data).sum()
    data[:] = 100.0
    y.backward()
    assert grads(x) == [[1.0, 2.0]]


# ----------------------------------------------------------------------- recorded calls


def test_a_call_with_a_pull_back_of_its_own() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = nets.Tensor([3, 4], requires_grad=True)
    operands = [t._value for t in (x, y)]
    assert all(isinstance(v, Variable) for v in operands)
    seen = []

    def pull(cts: list[Any]) -> list[Any]:
        seen.append(cts)
        return [cts[1] * 10, cts[1] * 100]

    arrays = [np.zeros(2), x.data + y.data, np.zeros(2, np.int64)]
    results = record_call("call", operands, arrays, pull, [True] * 3)  # type: ignore[arg-type]
    first, second, third = map(nets.Tensor._of, results)
    assert [t.requires_grad for t in (first, second, third)] == [True, True, False]
    (second * 2).sum().backward()
    assert len(seen) == 1
    assert seen[0][0] is None
    assert seen[0][2] is None
    assert grads(x, y) == [[20.0, 20.0], [200.0, 200.0]]


# --------------------------------------------------------------------- size and depth


@on_a_small_stack
def test_a_chain_of_many_operations() -> None:
    x = nets.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(LONG):
        y = y + x
    y.backward()
    assert grads(x) == [[LONG + 1.0]]


@on_a_small_stack
def test_a_chain_is_freed_at_once_and_without_recursion() -> None:
    x = nets.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(LONG):
        y = -y
    last = weakref.ref(y._value)
    first = weakref.ref(x._value)
    gc.disable()
    try:
        del x, y
        assert last() is None
        assert first() is None
    finally:
        gc.enable()


def test_a_deep_diamond() -> None:
    x = nets.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(200):
        y = y + y
    y.backward()
    assert grads(x) == [[2.0**200]]


def test_gradients_are_the_same_bits_every_time() -> None:
    def run() -> bytes:
        x = nets.Tensor(A, requires_grad=True)
        y = nets.softmax(x @ B.T)
        (y * nets.log(y) + nets.tanh(x[:, :2]) * y).sum().backward()
        assert x.grad is not None
        return x.grad.data.tobytes()

    assert len({run() for _ in range(3)}) == 1


def test_new_elements_between_forward_and_backward_lose_no_gradient() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    first = (w * w).sum()
    w.data = np.array([5.0, 6.0])
    second = (w * w).sum()
    with nets.no_grad():
        w -= 1
        w[0] = 7
    (w * 10).sum().backward()
    second.backward()
    first.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [10 + 10 + 2, 10 + 12 + 4]
    third = (w * w).sum()
    w.zero_grad()
    w.data = np.array([0.0, 0.0])
    third.backward()
    assert w.grad.tolist() == [14, 10]


def test_a_traced_update_between_forward_and_backward_loses_no_gradient() -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)

    @nets.trace
    def double() -> None:
        w.data = w * 2

    scaled = nets.trace(lambda x: (w * w * x).sum())
    for _ in range(3):
        before = w.numpy()
        first, second = (w * w).sum(), scaled(np.array([1.0, 3.0]))
        w.zero_grad()
        double()
        first.backward()
        second.backward()
        assert w.grad is not None
        assert w.grad.tolist() == (2 * before + 2 * before * [1, 3]).tolist()
