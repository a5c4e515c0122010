"""Factorisations: native code has the bits of the reference, whatever way a size and a batch go;
and the reference gives factors, or NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.llvm.target import host
from nets.frontend.tensor.dispatch import apply
from nets.machine.table import LEVELS
from nets.ops.definition.registry import Array
from tests.property.results import assert_same

CPUS = [level.cpu for level in LEVELS if level.level <= host().level]

SIZES = [(3, 11), (7, 40), (2, 1), (6, 1), (17, 3), (1, 4), (32, 9)]
"""Rows and matrices: in registers, in lanes, one number at a time, by blocks of rows."""


def drawn(rng: np.random.Generator, n: int, batch: int, dtype: str) -> Array:
    """Matrices, of which some are singular or have NaN."""
    a = rng.normal(size=(batch, n, n))
    if batch > 2 and n > 1:
        a[0, 0] = a[0, 1]
        a[1] = 0
        a[2, :, 1] = np.nan
    return a.astype(dtype)


def everything(a: Any, b: Any, transpose: bool, upper: bool, unit: bool) -> tuple[Any, ...]:
    """What all ops make of matrices and right sides."""
    packed, turned = apply("lu", a), nets.matrix_transpose(a)
    form = {"transpose": transpose, "upper": upper, "unit_diagonal": unit}
    turns = nets.astype(packed[..., -1, :], "int32")
    size = nets.eye(a.shape[-1], dtype=a.dtype)
    return (
        packed,
        apply("lu_solve", a, packed, b, transpose=transpose, refuses=True),
        apply("eliminate", a, b, refuses=True),
        apply("triangular_solve", a, b, **form, refuses=True),
        apply("lu_det", a, packed),
        apply("exchange_rows", b, turns, reverse=transpose),
        apply("cholesky", 5 * (a + turned) * size + a + turned, upper=upper),
        apply("cholesky_cotangent", a + 3 * size, turned, upper=upper),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.sampled(5)
def test_native_code_has_the_bits_of_the_reference(
    cpu: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CPU", cpu)
    rng = np.random.default_rng(len(cpu))
    for i, (n, batch) in enumerate(SIZES):
        a = drawn(rng, n, batch, dtype)
        b = rng.normal(size=(batch, n, 1 + 4 * (i % 2))).astype(dtype)
        flags = [bool(flag) for flag in rng.integers(0, 2, 3)]
        expected = everything(nets.Tensor(a), nets.Tensor(b), *flags)
        native = nets.trace(lambda a, b, flags=flags: everything(a, b, *flags))(a, b)
        assert_same([x.numpy() for x in expected], [x.numpy() for x in native], (n, batch, flags))


def test_factors_of_a_large_matrix_have_small_residuals() -> None:
    """Within 8 n ε, by blocks of rows, of random and of graded matrices."""
    n = 50
    rng = np.random.default_rng(7)
    scales = np.logspace(-8, 8, n)
    for a in (rng.normal(size=(n, n)), rng.normal(size=(n, n)) * scales[:, None]):
        packed = nets.trace(lambda x: apply("lu", x))(a).numpy()
        lower, upper = np.tril(packed[:n], -1) + np.eye(n), np.triu(packed[:n])
        error = np.abs(lower @ upper - a[packed[n].astype(int)])
        assert (error <= 8 * n * 2.0**-52 * (np.abs(lower) @ np.abs(upper))).all()
        square = (a @ a.T) + np.diag(np.abs(a).max(1) ** 2)
        factor = nets.trace(lambda x: apply("cholesky", x, upper=False))(square).numpy()
        error = np.abs(factor @ factor.T - square)
        assert (error <= 8 * n * 2.0**-52 * (np.abs(factor) @ np.abs(factor.T))).all()


def test_a_matrix_that_is_not_positive_definite_gives_a_triangle_of_nan() -> None:
    square = np.array([[[2.0, 1], [1, 3]], [[1.0, 2], [2, 1]], [[1.0, 1], [1, 1]]])
    found = nets.trace(lambda x: apply("cholesky", x, upper=False))(square).numpy()
    np.testing.assert_allclose(found[0], np.linalg.cholesky(square[0]), rtol=1e-15)
    for bad in found[1:]:
        np.testing.assert_array_equal(bad, [[np.nan, 0], [np.nan, np.nan]])


def test_a_subnormal_pivot_is_divided_by() -> None:
    """Its inverse would be infinite."""
    tiny = 2.0**-1060
    packed = apply("lu", nets.Tensor(np.array([[tiny, tiny], [tiny / 2, tiny]]))).numpy()
    np.testing.assert_array_equal(packed[:2], [[tiny, tiny], [0.5, tiny / 2]])
