"""nets.linalg against NumPy: values eagerly and traced, errors, derivatives, and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, LinAlgError, ShapeError
from nets.linalg import (
    cholesky,
    cross,
    det,
    diagonal,
    expm,
    inv,
    lu,
    lu_factor,
    lu_solve,
    matrix_norm,
    matrix_power,
    multi_dot,
    norm,
    outer,
    slogdet,
    solve,
    solve_triangular,
    trace,
    vector_norm,
)

RNG = np.random.default_rng(11)
A = RNG.normal(size=(2, 4, 4))
B = RNG.normal(size=(2, 4, 3))
P = A @ np.swapaxes(A, 1, 2) + np.eye(4)
V = RNG.normal(size=(5, 3))


def is_same(found: nets.Tensor, expected: Any) -> None:
    """In shape and dtype, too."""
    expected = np.asarray(expected)
    assert (found.shape, str(found.dtype)) == (expected.shape, str(expected.dtype))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (2, 1, 5, 5), (0, 2, 2), (2, 0, 0), (1, 1)])
def test_values_are_numpys(shape: tuple[int, ...]) -> None:
    a = np.random.default_rng(3).normal(size=shape)
    n = shape[-1]
    is_same(inv(a), np.linalg.inv(a))
    is_same(det(a), np.linalg.det(a))
    for found, expected in zip(slogdet(a), np.linalg.slogdet(a), strict=True):
        is_same(found, expected)
    for right in ((n,), (n, 2), (*shape[:-2], n, 1), (4, *(1,) * (len(shape) - 2), n, 2)):
        if len(shape) > 2 and len(right) == len(shape) + 1:
            right = right[1:]
        b = np.random.default_rng(4).normal(size=right)
        is_same(solve(a, b), np.linalg.solve(a, b))
    for offset in (-2, 0, 1, 9):
        is_same(diagonal(a, offset=offset), np.linalg.diagonal(a, offset=offset))
        is_same(trace(a, offset=offset), np.linalg.trace(a, offset=offset))
    for power in (0, 1, 3, -2):
        is_same(matrix_power(a, power), np.linalg.matrix_power(a, power))
    p, lower, upper = lu(a)
    is_same(p @ lower @ upper, a)


def test_factors_are_those_of_numpy_and_scipy() -> None:
    is_same(cholesky(P), np.linalg.cholesky(P))
    is_same(cholesky(P, upper=True), np.linalg.cholesky(P, upper=True))
    linalg = pytest.importorskip("scipy.linalg")
    factors = linalg.lu_factor(A[0])
    for found, expected in zip(lu_factor(A[0]), factors, strict=True):
        is_same(found, expected.astype(str(found.dtype)))
    for rows, columns in ((4, 2), (2, 4)):
        part = A[0, :rows, :columns]
        for found, expected in zip(lu(part), linalg.lu(part), strict=True):
            is_same(found, expected)
    for trans in (0, 1):
        found = lu_solve(lu_factor(A[0]), B[0], trans=trans)
        is_same(found, linalg.lu_solve(factors, B[0], trans=trans))
        for lower in (False, True):
            form = {"lower": lower, "trans": trans, "unit_diagonal": trans == 1}
            expected = linalg.solve_triangular(A[0], B[0, :, 0], **form)
            is_same(solve_triangular(A[0], B[0, :, 0], **form), expected)
    is_same(expm(4 * A), np.stack([linalg.expm(a) for a in 4 * A]))


def test_norms_and_products_are_numpys() -> None:
    for order in ("fro", 1, -1, np.inf, -np.inf):
        is_same(matrix_norm(A, ord=order), np.linalg.matrix_norm(A, ord=order))
        is_same(norm(A, order, (2, 0), True), np.linalg.norm(A, order, (2, 0), True))
    for order in (0, 1, 2, 3, -1, np.inf, -np.inf):
        for axis in (None, 0, (0, 1)):
            expected = np.linalg.vector_norm(V, ord=order, axis=axis, keepdims=True)
            is_same(vector_norm(V, ord=order, axis=axis, keepdims=True), expected)
    zeros = np.diag([0.0, 3.0])
    is_same(vector_norm(zeros, ord=-2, axis=1), [0.0, 0.0])
    is_same(vector_norm([0.0, np.nan], ord=-1), np.array(np.nan))
    is_same(nets.grad(lambda x: vector_norm(x, ord=-2, axis=1).sum())(zeros), 0 * zeros)
    is_same(nets.grad(lambda x: matrix_norm(x, ord=2))(0 * zeros), np.eye(2) / 2)
    is_same(norm(A), np.linalg.norm(A))
    is_same(norm(V, 3, 1), np.linalg.norm(V, 3, 1))
    is_same(cross(V, V[::-1]), np.linalg.cross(V, V[::-1]))
    is_same(cross(V.T, V.T[:, :1], axis=0), np.cross(V.T, V.T[:, :1], axis=0))
    is_same(outer(V[0], V[:, 0]), np.linalg.outer(V[0], V[:, 0]))
    parts = [B[0].T, A[0], A[1], V[0, [0, 1, 2, 0]]]
    is_same(multi_dot(parts), np.linalg.multi_dot(parts))


def everything(a: Any, p: Any, b: Any) -> tuple[Any, ...]:
    return (
        inv(a),
        det(a),
        *slogdet(a),
        solve(a, b),
        solve(a[0], b),
        *lu(a[0]),
        lu_solve(lu_factor(a), b, trans=1),
        cholesky(p),
        solve_triangular(p, b, lower=True),
        matrix_norm(a),
    )


def test_traces_and_libraries_give_what_eager_code_gives(tmp_path: Path) -> None:
    lowered = nets.trace(everything).lower(A, P, B)
    nets.export(tmp_path / "algebra", everything=lowered)
    library = nets.load(tmp_path / "algebra.so")
    traced = nets.trace(everything)(A, P, B)
    for eager, found, exported in zip(
        everything(*map(nets.Tensor, (A, P, B))), traced, library.everything(A, P, B), strict=True
    ):
        np.testing.assert_allclose(eager.numpy(), found.numpy(), rtol=1e-11, atol=1e-13)
        assert exported.tobytes() == found.numpy().tobytes()


def test_derivatives_are_those_of_differences() -> None:
    """What is put together; the operations in it have tests of their own, to second order."""

    def total(a: Any, b: Any) -> Any:
        return (
            (solve(a, b) * b).sum()
            + det(a).sum()
            + slogdet(a).logabsdet.sum()
            + (lu(a).L @ lu(a).U)[0].sum()
            + lu_solve(lu_factor(a), b).sum()
        )

    nets.check_grads(total, (A[:, :3, :3] + 2 * np.eye(3), B[:, :3]), order=1)
    nets.check_grads(lambda a: expm(a)[0], (A[0, :2, :2],), order=1)


def test_gradients_are_conventional() -> None:
    """Symmetric of Cholesky's factor; cofactors of a singular matrix."""
    slope = nets.grad(lambda p: cholesky(p).sum())(P[0]).numpy()
    np.testing.assert_allclose(slope, slope.T, rtol=1e-14)
    singular = np.array([[1.0, 2, 3], [4, 5, 6], [5, 7, 9]])
    cofactors = [[3, -6, 3], [3, -6, 3], [-3, 6, -3]]
    np.testing.assert_allclose(nets.grad(det)(singular).numpy(), cofactors, atol=1e-12)


def test_one_matrix_for_all_examples_is_factored_once() -> None:
    rows = nets.vmap(solve, in_axes=(None, 0))(A[0], B.swapaxes(1, 2)[:, 0])
    np.testing.assert_allclose(rows.numpy(), np.linalg.solve(A[0], B[:, :, 0].T).T)
    each = nets.vmap(cholesky)(P)
    assert each.numpy().tobytes() == cholesky(P).numpy().tobytes()


def test_any_number_of_matrices() -> None:
    """A batch whose size a call tells."""
    batched = nets.trace(lambda a, b: (solve(a, b), cholesky(a @ nets.matrix_transpose(a))))
    batch = nets.dim(0, 99)
    specs = [nets.spec(form, batch=batch) for form in ("f64[batch, 4, 4]", "f64[batch, 4, 3]")]
    open_batch = batched.lower(*specs)
    for size in (0, 1, 2):
        solved, factor = open_batch.compile()(A[:size], B[:size])
        np.testing.assert_allclose(solved.numpy(), np.linalg.solve(A[:size], B[:size]), rtol=1e-9)
        np.testing.assert_allclose(
            factor.numpy(), np.linalg.cholesky(A[:size] @ A[:size].swapaxes(1, 2)), rtol=1e-9
        )


@pytest.mark.parametrize(
    ("error", "function"),
    [
        (LinAlgError, lambda: inv(np.zeros((3, 3)))),
        (LinAlgError, lambda: solve(np.ones((2, 2)), np.ones(2))),
        (LinAlgError, lambda: cholesky(-np.eye(2))),
        (LinAlgError, lambda: solve_triangular(np.zeros((2, 2)), np.ones(2))),
        (ShapeError, lambda: inv(np.ones((2, 3)))),
        (ShapeError, lambda: det(np.ones(3))),
        (ShapeError, lambda: solve(np.eye(3), np.ones(2))),
        (ShapeError, lambda: cross(np.ones(2), np.ones(2))),
        (ShapeError, lambda: outer(np.eye(2), np.ones(2))),
        (ShapeError, lambda: norm(np.ones((2, 2, 2)), 1)),
        (ShapeError, lambda: multi_dot([np.eye(2), np.ones((2, 2, 2))])),
        (ShapeError, lambda: lu_solve((np.eye(2), np.zeros(3)), np.ones(2))),
        (ArgumentError, lambda: multi_dot([np.eye(2)])),
        (ArgumentError, lambda: matrix_power(np.eye(2), 0.5)),
        (ArgumentError, lambda: matrix_norm(np.eye(2), ord=7)),
        (ArgumentError, lambda: vector_norm(np.ones(2), ord="fro")),
        (ArgumentError, lambda: solve_triangular(np.eye(2), np.ones(2), trans=5)),
    ],
)
def test_what_is_refused(error: type[Exception], function: Callable[[], Any]) -> None:
    with pytest.raises(error):
        function()


def test_numpys_error_is_met() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        cholesky(np.array([[1.0, 2], [2, 1]]))
