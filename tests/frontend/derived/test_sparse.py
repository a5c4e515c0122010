"""Sparse derivatives: matrices of patterns, and Jacobians and Hessians that are those matrices."""

from __future__ import annotations

import builtins
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    NetsError,
    ShapeError,
    UnsupportedObjectError,
)

X = np.linspace(0.3, 1.7, 6)


def neighbours(x: Any) -> Any:
    return nets.sin(x[1:]) * x[:-1] ** 2


def dense_of(f: Callable[..., Any], x: np.ndarray, *rest: Any) -> np.ndarray:
    """The Jacobian, row by row."""
    result, pull = nets.vjp(f, x, *rest)
    rows = []
    for i in range(result.size):
        ct = np.zeros(result.shape)
        ct.flat[i] = 1
        rows.append(np.asarray(pull(ct)[0]).ravel())
    return np.array(rows).reshape(result.size, x.size)


# ------------------------------------------------------------------------------ matrices


def test_a_pattern_is_a_small_picture() -> None:
    pattern = nets.sparsity(lambda x: x)(np.ones(16))
    assert (
        repr(pattern) == "SparsityPattern(16 × 16, nnz=16)\n⠑⢄⠀⠀⠀⠀⠀⠀\n⠀⠀⠑⢄⠀⠀⠀⠀\n⠀⠀⠀⠀⠑⢄⠀⠀\n⠀⠀⠀⠀⠀⠀⠑⢄"
    )
    large = repr(nets.sparsity(lambda x: x[1:] - x[:-1])(nets.spec("f64[100000]")))
    assert max(map(len, large.splitlines())) < 60


def test_conversions() -> None:
    pattern = nets.SparsityPattern([0, 0, 2], [1, 3, 0], (3, 4))
    matrix = pattern.matrix(np.array([1.0, 2, 3]))
    dense = np.array([[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0.0]])
    assert np.array_equal(matrix.todense(), dense)
    assert np.array_equal(pattern.todense(), dense != 0)
    data, indices, indptr = matrix.tocsr()
    assert (list(data), list(indices), list(indptr)) == ([1, 2, 3], [1, 3, 0], [0, 2, 2, 3])
    data, indices, indptr = matrix.tocsc()
    assert (list(data), list(indices), list(indptr)) == ([3, 1, 2], [2, 0, 0], [0, 1, 2, 2, 3])
    assert (matrix.nnz, matrix.shape, matrix.dtype) == (3, (3, 4), np.float64)
    assert repr(matrix) == "SparseMatrix(3 × 4, nnz=3, float64)\n⠌⠈"


def test_a_matrix_for_scipy() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    found = nets.sparse_jacobian(neighbours)(X).toscipy()
    assert isinstance(found, sparse.csr_array)
    assert np.array_equal(found.toarray(), nets.sparse_jacobian(neighbours)(X).todense())


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *rest)

    matrix = nets.SparsityPattern([0], [0], (1, 1)).matrix(np.ones(1))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedObjectError, match=re.escape("pip install nets[scipy]")):
        matrix.toscipy()


def test_patterns_are_compared_and_pickled_by_what_they_hold() -> None:
    first = nets.SparsityPattern([0, 1], [1, 0], (2, 2))
    assert first == nets.SparsityPattern(np.array([0, 1]), [1, 0], (2, 2))
    assert first != nets.SparsityPattern([0, 1], [1, 0], (2, 3))
    assert pickle.loads(pickle.dumps(first)) == first
    matrix = pickle.loads(pickle.dumps(first.matrix(np.array([1.0, 2]))))
    assert isinstance(matrix, nets.SparseMatrix)
    assert type(matrix) is type(first.matrix(np.zeros(2)))
    assert np.array_equal(matrix.todense(), [[0, 1], [2, 0]])


def test_matrices_go_through_traced_functions() -> None:
    pattern = nets.SparsityPattern([0, 1], [1, 0], (2, 2))

    @nets.trace
    def double(matrix: Any) -> Any:
        return {"twice": matrix.pattern.matrix(matrix.values * 2), "dense": matrix.todense()}

    for _ in range(3):
        found = double(pattern.matrix(np.array([1.0, 2])))
        assert np.array_equal(found["twice"].todense(), 2 * found["dense"])
    other = nets.SparsityPattern([0, 1], [0, 1], (2, 2)).matrix(np.array([1.0, 2]))
    assert np.array_equal(double(other)["dense"], np.diag([1.0, 2]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nets.SparsityPattern([0], [0, 1], (2, 2)), ArgumentError, "1 rows and 2 columns"),
        (lambda: nets.SparsityPattern([0.5], [0], (2, 2)), ArgumentError, "lists of integers"),
        (lambda: nets.SparsityPattern([1, 0], [0, 1], (2, 2)), ShapeError, "sorted by row"),
        (lambda: nets.SparsityPattern([0, 0], [1, 1], (2, 2)), ShapeError, "each pair once"),
        (lambda: nets.SparsityPattern([2], [0], (2, 2)), ShapeError, "inside"),
        (lambda: nets.SparsityPattern([0], [0], (2, 2)).matrix(X), ShapeError, "1 elements"),
    ],
)
def test_errors_of_patterns(
    make: Callable[[], object], error: type[NetsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


# --------------------------------------------------------------------------- derivatives


FUNCTIONS = [
    neighbours,
    lambda x: nets.exp(x),
    lambda x: x.sum() * x[:2],
    lambda x: nets.stack([x[:3].sum() ** 2, nets.sin(x[3:]).sum()]),
    lambda x: nets.scan(lambda c, y: (c * y, c + y**2), x[0], x)[1],
    lambda x: nets.tanh(x.reshape(2, 3)) @ np.array([[1.0, 0], [0, 2], [3, 0]]),
    lambda x: nets.fori_loop(0, 5, lambda i, c: c + x[i] * x[i + 1], x[0]),
    lambda x: nets.maximum(x, x[::-1]) * x,
    lambda x: nets.cond(x[0] > 0, lambda y: y**2, lambda y: y[::-1], x),
    lambda x: 1.0 + 0 * nets.floor(x),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_jacobian_is_what_rows_of_it_are(function: Callable[..., Any]) -> None:
    expected = dense_of(function, X)
    found = nets.sparse_jacobian(function)(X)
    assert np.allclose(found.todense(), expected, rtol=1e-12, atol=1e-14)
    assert found.pattern == nets.sparsity(function)(X)
    inside = nets.trace(lambda x: nets.sparse_jacobian(function)(x))(X)
    assert np.allclose(inside.values, found.values, rtol=1e-14)
    assert type(inside) is type(found)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_hessian_is_the_jacobian_of_the_gradient(function: Callable[..., Any]) -> None:
    def total(x: Any) -> Any:
        return nets.sin(function(x)).sum()

    expected = dense_of(nets.grad(total), X)
    found = nets.sparse_hessian(total)(X)
    assert np.allclose(found.todense(), expected, rtol=1e-12, atol=1e-14)
    assert np.array_equal(found.pattern.todense(), found.pattern.todense().T)


def test_code_does_not_grow_with_colours() -> None:
    def operations(count: int) -> int:
        jacobian = nets.sparse_jacobian(lambda x: x * x.sum())
        return sum(1 for _ in jacobian.lower(nets.spec(f"f64[{count}]")).function.walk())

    x = np.linspace(0.1, 2, 24)
    found = nets.sparse_jacobian(lambda x: x * x.sum())(x)
    assert np.allclose(found.todense(), np.diag([x.sum()] * 24) + x[:, None])
    assert operations(100) == operations(30)


def test_custom_rules_tell_the_pattern() -> None:
    @nets.custom_jvp
    def forward(x: Any) -> Any:
        return x.sum() * x

    @forward.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return x.sum() * x, nets.pad(t[1:], ((0, 1),)) * 2.0

    @nets.custom_vjp
    def backward(x: Any) -> Any:
        return x.sum() * x

    backward.defvjp(lambda x: (backward(x), None), lambda _, ct: (nets.pad(ct[1:], ((0, 1),)),))
    for function, k in ((forward, 1), (backward, -1)):
        found = nets.sparse_jacobian(lambda x, f=function: f(x) ** 2)(X)
        assert np.array_equal(found.pattern.todense(), np.eye(6, k=k))
        assert np.allclose(found.todense(), dense_of(lambda x, f=function: f(x) ** 2, X))


def test_other_arguments_and_captures() -> None:
    a, w = np.arange(6.0), nets.Tensor(np.full(6, 3.0))

    def function(a: Any, x: Any, *, power: Any) -> Any:
        return a * w * x**power

    jacobian = nets.sparse_jacobian(function, argnums=1)
    for _ in range(3):
        found = jacobian(a, X, power=2)
        assert np.allclose(found.todense(), np.diag(a * 3 * 2 * X))
    assert nets.sparse_jacobian(function, argnums=-2)(a, X, power=2).nnz == 6


def test_a_derivative_of_a_sparse_derivative() -> None:
    def energy(x: Any) -> Any:
        return (nets.sparse_jacobian(neighbours)(x).values ** 2).sum()

    step, found = 1e-6, np.asarray(nets.grad(energy)(X))
    for i in range(6):
        e = np.eye(6)[i] * step
        assert np.isclose(found[i], (energy(X + e) - energy(X - e)) / (2 * step), rtol=1e-5)


def test_a_library_gives_the_values(tmp_path: Path) -> None:
    jacobian = nets.sparse_jacobian(neighbours)
    nets.export(tmp_path / "sparse", jacobian=jacobian.lower(X))
    found = nets.load(tmp_path / "sparse.so").jacobian(X)
    assert np.array_equal(found["values"], jacobian(X).values)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nets.sparse_jacobian(lambda x: x)(np.arange(3)), DTypeError, "floating-point"),
        (lambda: nets.sparse_jacobian(lambda x: x)((X, X)), ArgumentError, "argument of .* nest"),
        (lambda: nets.sparse_jacobian(lambda x: (x, x))(X), ArgumentError, "result of .* nest"),
        (lambda: nets.sparsity(lambda x: (x, x))(X), ArgumentError, "result of .* nest"),
        (lambda: nets.sparsity(lambda x: x["a"])({"a": X}), ArgumentError, "argument of .* nest"),
        (lambda: nets.sparse_jacobian(lambda x: x, argnums=2)(X), ArgumentError, "no argument 2"),
        (lambda: nets.sparse_jacobian(lambda x: x, argnums=(0,)), ArgumentError, "an int"),
        (lambda: nets.sparse_hessian(lambda x: x)(X), GradientError, "scalar"),
    ],
)
def test_errors(call: Callable[[], object], error: type[NetsError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
