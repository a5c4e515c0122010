"""Tensors are values: nothing changes under a gradient, a result, or another name of an array."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

import nets

X = np.linspace(-1, 1, 12).reshape(3, 4)


def test_an_array_changed_between_forward_and_backward() -> None:
    for product in (lambda a, b: (a * b).sum(), nets.trace(lambda a, b: (a * b).sum())):
        weights, array = nets.Tensor(np.ones(3), requires_grad=True), np.array([1.0, 2.0, 3.0])
        loss = product(weights, array)
        array[:] = 0
        loss.backward()
        assert weights.grad is not None
        assert weights.grad.tolist() == [1, 2, 3]
    array = np.array([1.0, 2.0, 3.0])
    _, pull = nets.vjp(lambda a: a * a, array)
    array[:] = 0
    assert pull(np.ones(3))[0].tolist() == [2, 4, 6]


def test_the_same_tensor_passed_twice() -> None:
    x = nets.Tensor(X, requires_grad=True)
    nets.trace(lambda a, b: (a * b).sum())(x, x).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), 2 * X)
    a, b = nets.grad(lambda a, b: (a * b * b).sum(), (0, 1))(X, X)
    np.testing.assert_allclose(a.numpy(), X**2)
    np.testing.assert_allclose(b.numpy(), 2 * X**2)


def test_results_share_memory_with_nothing() -> None:
    array = np.ones(4)
    tensor = nets.Tensor(array)
    f = nets.trace(lambda x: (x, x, x.reshape(2, 2), x.T, x[1:], x[None]))
    results = [*f(array), *f(tensor)]
    for i, result in enumerate(results):
        for other in [array, tensor.data, *(r.data for r in results[:i])]:
            assert not np.shares_memory(result.data, other)
    array[:] = 5
    assert all(result.numpy().max() == 1 for result in results)
    part = tensor[:2]
    tensor[0] = 7.0
    assert part.tolist() == [7, 1]  # a view, as in NumPy


def test_results_outlive_what_made_them() -> None:
    def make() -> Any:
        return nets.trace(lambda x: x * 2)(np.ones(1000))

    data, capsule = make().data, np.from_dlpack(make())
    gc.collect()
    other = [np.zeros(1000) for _ in range(50)]
    assert data.sum() == capsule.sum() == 2000
    assert len(other) == 50


def test_arrays_of_every_layout() -> None:
    base = np.arange(24.0).reshape(4, 6)
    raw = np.zeros(8 * 3 + 1, np.uint8)[1:].view(np.float64)
    readonly = np.arange(3.0)
    readonly.flags.writeable = False
    records = np.zeros(3, [("a", float), ("b", np.int8)])
    f = nets.trace(lambda x: x * 2 + x.sum())
    for array in (
        base.T, base[::2, ::-1], base[:, 1:4], np.asfortranarray(base), base.astype(">f8"),
        np.broadcast_to(base[0], (3, 6)), raw, readonly, records["a"], base[:0], base[1, 1],
        base.view(type("Subclass", (np.ndarray,), {})),
    ):  # fmt: skip
        for _ in range(2):  # the second call takes the short way
            np.testing.assert_array_equal(f(array).numpy(), np.asarray(array) * 2 + array.sum())
        np.testing.assert_array_equal(nets.Tensor(array).numpy(), array)


def test_extreme_values() -> None:
    rows = np.array([
        [1e4, -1e4, 0.0], [1e300, -1e300, 3.0], [5e-324, -0.0, 1e-310],
        [np.inf, 1.0, 0.0], [-np.inf] * 3, [np.nan, 1.0, 2.0],
    ])  # fmt: skip
    softmax = [[1, 0, 0], [1, 0, 0], [1 / 3] * 3, [np.nan] * 3, [np.nan] * 3, [np.nan] * 3]
    total = [1e4, 1e300, np.log(3), np.inf, -np.inf, np.nan]
    softplus = [[1e4, 0, np.log(2)], [1e300, 0, np.log1p(np.exp(3))], [np.log(2)] * 3]
    for call in (lambda f: f(nets.Tensor(rows)), lambda f: nets.trace(f)(rows)):
        np.testing.assert_allclose(call(nets.softmax).numpy(), softmax, rtol=1e-15)
        np.testing.assert_allclose(call(lambda x: nets.logsumexp(x, -1)).numpy(), total, rtol=1e-15)
        np.testing.assert_allclose(call(nets.softplus).numpy()[:3], softplus, rtol=1e-15)
        np.testing.assert_array_equal(call(lambda x: x.max(1)).numpy(), rows.max(1))
        np.testing.assert_array_equal(call(lambda x: x.argmin(1)).numpy(), rows.argmin(1))
        assert np.isfinite(call(nets.log_softmax).numpy()[:3]).all()
        assert np.isnan(call(lambda x: x[:0].mean()).item())


def test_derivatives_of_any_order_keep_their_variables_apart() -> None:
    f = nets.grad(nets.trace(nets.grad(nets.grad(lambda x: x**4 + nets.sin(x)))))
    assert f(0.5).item() == pytest.approx(24 * 0.5 - np.cos(0.5), rel=1e-14)
    apart = nets.grad(lambda x: x * nets.grad(lambda y: x + y)(1.0))
    assert apart(1.0).item() == 1.0

    def outer(a: Any) -> Any:
        return nets.grad(lambda b: (a * b**2).sum())(a).sum()

    np.testing.assert_allclose(nets.grad(outer)(X).numpy(), 4 * X, rtol=1e-15)


# ----------------------------------------------------------------------------- size


@pytest.mark.long
def test_many_arguments_and_results_and_deep_nests() -> None:
    limit = sys.getrecursionlimit()
    many = [np.full(2, float(i)) for i in range(300)]

    @nets.trace
    def add_up(*xs: Any) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return [total, *(x * 2 for x in xs[:100])]

    assert add_up(*many)[0].tolist() == [44850, 44850]
    gradients = nets.grad(lambda xs: (add_up(*xs)[0] * xs[0]).sum())(many)
    assert len(gradients) == 300
    assert gradients[0].tolist() == [44850, 44850]

    nest: Any = [1.0]
    for _ in range(5000):
        nest = [nest]
    for found in (nets.trace(lambda nest: nest)(nest), nets.grad(_innermost_squared)(nest)):
        assert _innermost(found).item() in (1, 2)
    assert sys.getrecursionlimit() == limit


def _innermost(nest: Any) -> Any:
    while isinstance(nest, list):
        (nest,) = nest
    return nest


def _innermost_squared(nest: Any) -> Any:
    return _innermost(nest) ** 2


@pytest.mark.long
def test_a_long_chain_and_a_deep_diamond() -> None:
    limit = sys.getrecursionlimit()
    x = nets.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(200):
        y = y + y
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 2.0**200
    x = nets.Tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y * 1.0001
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 1.0001**10_000, rtol=1e-11)
    del y
    assert sys.getrecursionlimit() == limit
