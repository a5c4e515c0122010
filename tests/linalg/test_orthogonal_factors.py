"""qr, eigh and svd: small residuals and orthonormal vectors of matrices of every kind, native code
with the bits of the reference, NumPy's names and shapes, errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import linalg
from nets.errors import ArgumentError, LinAlgError, ShapeError
from nets.ops.definition.registry import Array, lookup


def stack(rows: int, columns: int, dtype: type) -> Array:
    """Random, ill-conditioned, graded both ways, clustered, deficient, huge, tiny, equal, zero."""
    rng = np.random.default_rng(rows)
    k = min(rows, columns)
    x = rng.normal(size=(rows, columns))
    u = np.linalg.qr(rng.normal(size=(rows, k)))[0]
    v = np.linalg.qr(rng.normal(size=(columns, k)))[0].T
    deep = -14 if dtype == np.float64 else -6
    grades = np.logspace(0, deep, rows)[:, None]
    limits = np.finfo(dtype)
    found = [
        x,
        (u * np.logspace(0, deep, k)) @ v,
        grades * x,
        grades[::-1] * x,
        (u * np.round(np.linspace(1, 3, k))) @ v,
        rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns)),
        x * float(limits.max / 99),
        x * float(limits.tiny * 99),
        np.ones((rows, columns)),
        np.zeros((rows, columns)),
    ]
    return np.stack(found).astype(dtype)


def symmetric(x: Array) -> Array:
    """Symmetric matrices of the same kinds: the graded ones are so in rows and columns."""
    half = x.dtype.type(0.5)
    return x * half + np.swapaxes(x, 1, 2) * half


def assert_bits(name: str, operand: Array) -> Array:
    """The result of native code, which has the bits of the reference."""
    native = nets.trace(lambda x: nets.frontend.tensor.dispatch.apply(name, x))(operand)
    (expected,) = lookup(name).evaluate([operand], {})
    found = np.asarray(native.numpy())
    assert found.tobytes() == expected.tobytes()
    return found


def size_of(x: Array) -> Array:
    """The largest singular values, without overflow."""
    top = np.abs(x).max(axis=(1, 2))
    top[top == 0] = 1
    return np.linalg.norm(x / top[:, None, None], 2, axis=(1, 2)) * top + (top == 1) * 1e-300


def assert_small(error: Array, x: Array, dtype: type) -> None:
    """Residuals within 8 n ε."""
    limit = 8 * x.shape[-1] * float(np.finfo(dtype).eps)
    assert (np.abs(error).max(axis=(1, 2)) <= limit * size_of(x)).all()


def assert_orthonormal(q: Array, dtype: type) -> None:
    n = q.shape[-1]
    error = np.abs(np.swapaxes(q, 1, 2) @ q - np.eye(n)).max()
    assert error <= 8 * n * np.finfo(dtype).eps


CASES = [
    pytest.param(rows, columns, dtype, cpu, marks=[pytest.mark.long] if is_long else [])
    for rows, columns, dtype, cpu, is_long in (
        (6, 6, np.float64, "", False),
        (7, 3, np.float32, "", False),
        (37, 37, np.float64, "", False),
        (6, 6, np.float32, "x86-64-v2", True),
        (37, 37, np.float32, "x86-64-v3", True),
        (17, 9, np.float64, "x86-64-v3", True),
        (2, 2, np.float64, "", True),
        (50, 1, np.float32, "", True),
    )
]


@pytest.mark.parametrize(("rows", "columns", "dtype", "cpu"), CASES)
def test_factors_of_matrices_of_every_kind(
    rows: int, columns: int, dtype: Any, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cpu:
        monkeypatch.setenv("NETS_CPU", cpu)
    x = stack(rows, columns, dtype)
    if rows > 32:
        x = x[[1, 2, 5, 9]]
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble)
        packed = assert_bits("qr", x).astype(np.float64)
        q, r = packed[:, :rows], packed[:, rows:]
        assert_orthonormal(q, dtype)
        assert_small(np.float64(q @ r.astype(np.longdouble) - wide), np.float64(x), dtype)
        assert (np.tril(r, -1) == 0).all()
        packed = assert_bits("svd", x).astype(np.float64)
        u, s, v = packed[:, :rows], packed[:, rows], packed[:, rows + 1 :]
        assert_orthonormal(u, dtype)
        assert_orthonormal(np.swapaxes(v, 1, 2), dtype)
        error = (u * s[:, None, :].astype(np.longdouble)) @ v - wide
        assert_small(np.float64(error), np.float64(x), dtype)
        assert (np.diff(s, axis=1) <= 0).all()
        assert (s >= 0).all()


@pytest.mark.parametrize(("rows", "columns", "dtype", "cpu"), CASES)
def test_eigenvectors_of_matrices_of_every_kind(
    rows: int, columns: int, dtype: Any, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cpu:
        monkeypatch.setenv("NETS_CPU", cpu)
    x = symmetric(stack(rows, rows, dtype))
    if rows > 32:
        x = x[[1, 2, 5, 9]]
    packed = assert_bits("eigh", x).astype(np.float64)
    w, v = packed[:, 0], packed[:, 1:]
    assert_orthonormal(v, dtype)
    error = x.astype(np.longdouble) @ v - v * w[:, None, :].astype(np.longdouble)
    assert_small(np.float64(error), np.float64(x), dtype)
    assert (np.diff(w, axis=1) >= 0).all()
    if rows < 7:
        np.testing.assert_array_equal(assert_bits("eigvalsh", x)[:, 0], packed[:, 0].astype(dtype))
        np.testing.assert_array_equal(
            assert_bits("svdvals", x)[:, 0], assert_bits("svd", x)[:, rows]
        )


def test_what_is_not_finite_touches_its_matrix_alone() -> None:
    x = stack(4, 4, np.float64)[:6]
    x[1, 3, 0], x[3, 0, 0] = np.nan, np.inf
    for name in ("eigh", "svd"):
        found = assert_bits(name, x)
        assert np.isnan(found[[1, 3]]).all()
        assert np.isfinite(found[[0, 2, 4, 5]]).all()
    for function in (linalg.eigh, linalg.eigvalsh, linalg.svd, linalg.svdvals, linalg.pinv):
        with pytest.raises(LinAlgError, match="not finite"):
            function(x)
    assert np.isnan(linalg.qr(x).Q.numpy()[[1, 3]]).all()


SHAPES = ((3, 3), (5, 3), (3, 5), (2, 3, 1, 4), (0, 3, 2), (2, 0, 0), (3, 0), (0, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_and_values_are_numpys(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).normal(size=shape)
    k = min(shape[-2:])
    for mode in ("reduced", "complete"):
        for found, expected in zip(linalg.qr(x, mode), np.linalg.qr(x, mode), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(linalg.qr(x, "r"), np.linalg.qr(x, "r"), atol=1e-14)
    for full in (False, True):
        u, s, v = (part.numpy() for part in linalg.svd(x, full))
        expected = np.linalg.svd(x, full)
        assert (u.shape, v.shape) == (expected.U.shape, expected.Vh.shape)
        np.testing.assert_allclose(s, expected.S, atol=1e-14)
        np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ v[..., :k, :], x, atol=1e-14)
        np.testing.assert_allclose(
            np.swapaxes(u, -1, -2) @ u, expected.U.swapaxes(-1, -2) @ expected.U, atol=1e-14
        )
        np.testing.assert_allclose(
            v @ np.swapaxes(v, -1, -2), expected.Vh @ expected.Vh.swapaxes(-1, -2), atol=1e-14
        )
    np.testing.assert_allclose(linalg.pinv(x), np.linalg.pinv(x), atol=1e-13)
    if shape[-1] == shape[-2]:
        for triangle in ("L", "U"):
            found = linalg.eigvalsh(x, triangle)
            np.testing.assert_allclose(found, np.linalg.eigvalsh(x, triangle), atol=1e-14)


def test_what_singular_values_tell() -> None:
    rng = np.random.default_rng(5)
    x = np.stack([rng.normal(size=(4, 3)), rng.normal(size=(4, 1)) @ rng.normal(size=(1, 3))])
    np.testing.assert_array_equal(linalg.matrix_rank(x), [3, 1])
    np.testing.assert_array_equal(linalg.matrix_rank(x, rtol=2.0), [0, 0])
    np.testing.assert_array_equal(linalg.matrix_rank(x, [0.0, 99.0]), [3, 0])
    np.testing.assert_array_equal(linalg.matrix_rank(x, atol=1e-9, rtol=0.0), [3, 1])
    np.testing.assert_array_equal(linalg.matrix_rank(x, atol=99.0), [0, 0])
    assert linalg.matrix_rank(np.zeros(3)).item() == 0
    half = np.tril(x[0, :3])
    for hermitian in (
        linalg.svd(half, hermitian=True).S,
        linalg.svdvals(half + np.tril(half, -1).T),
    ):
        np.testing.assert_allclose(hermitian, np.linalg.svd(half, hermitian=True).S, atol=1e-14)
    np.testing.assert_allclose(
        linalg.pinv(half, hermitian=True), np.linalg.pinv(half, hermitian=True), atol=1e-13
    )
    np.testing.assert_array_equal(linalg.pinv(x, atol=99.0), np.zeros((2, 3, 4)))
    np.testing.assert_allclose(linalg.pinv(x, atol=1e-9), np.linalg.pinv(x), atol=1e-13)
    for ord in (2, -2, "nuc"):
        for keepdims in (False, True):
            expected = np.linalg.norm(x, ord, (-2, -1), keepdims)
            found = linalg.matrix_norm(x, ord=ord, keepdims=keepdims)
            np.testing.assert_allclose(found, expected, atol=1e-14)
        np.testing.assert_allclose(linalg.norm(x, ord, (2, 0)), np.linalg.norm(x, ord, (2, 0)))
    for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf):
        np.testing.assert_allclose(linalg.cond(x[:, :3], p)[0], np.linalg.cond(x[0, :3], p))
        assert linalg.cond(np.zeros((2, 2)), p).item() == np.inf


def test_least_squares_are_numpys() -> None:
    rng = np.random.default_rng(7)
    deficient = rng.normal(size=(4, 2)) @ rng.normal(size=(2, 3))
    for a in (rng.normal(size=(5, 3)), rng.normal(size=(3, 5)), deficient):
        for b in (rng.normal(size=len(a)), rng.normal(size=(len(a), 2))):
            found, expected = linalg.lstsq(a, b), np.linalg.lstsq(a, b, rcond=None)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-12)
    traced = nets.trace(linalg.lstsq)(a, b)
    np.testing.assert_allclose(traced.x, expected[0], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linalg.svd(np.ones(3)), ShapeError, "two axes"),
        (lambda: linalg.qr(1.0), ShapeError, "two axes"),
        (lambda: linalg.eigh(np.ones((2, 3))), ShapeError, "square"),
        (lambda: linalg.lstsq(np.eye(2), np.ones(3)), ShapeError, "do not fit"),
        (lambda: linalg.cond(np.ones((0, 0))), ShapeError, "elements"),
        (lambda: linalg.qr(np.eye(2), "raw"), ArgumentError, "'raw'"),
        (lambda: linalg.eigh(np.eye(2), "X"), ArgumentError, "'X'"),
        (lambda: linalg.pinv(np.eye(2), 0.1, rtol=0.1), ArgumentError, "not both"),
        (lambda: linalg.matrix_rank(np.eye(2), 0.1, rtol=0.1), ArgumentError, "not both"),
        (lambda: linalg.matrix_norm(np.eye(2), ord=3), ArgumentError, "not 3"),
    ],
)
def test_what_is_refused(call: Callable[[], object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_an_exported_library_has_the_bits_for_any_batch(tmp_path: Path) -> None:
    @nets.trace(dims={"x": "batch, 4, 4", "batch": nets.dim(1, 99)})
    def factors(x: nets.Tensor) -> object:
        return (*linalg.eigh(x), *linalg.svd(x, full_matrices=False), *linalg.qr(x))

    nets.export(
        tmp_path / "factors",
        factors=factors.lower(nets.spec("f64[batch, 4, 4]", batch=nets.dim(1, 99))),
    )
    library = nets.load(tmp_path / "factors.so")
    for batch in (1, 11):
        x = np.random.default_rng(batch).normal(size=(batch, 4, 4))
        for found in (library.factors(x), factors(x)):
            for one, other in zip(found, _eager(x), strict=True):
                np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def _eager(x: Array) -> list[nets.Tensor]:
    return [*linalg.eigh(x), *linalg.svd(x, full_matrices=False), *linalg.qr(x)]
