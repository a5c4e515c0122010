"""Eigenvalues of symmetric matrices, and singular values, with vectors and without."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import TensorLike, apply
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg.arguments import as_matrices, as_squares, has_nan, refuse
from nets.linalg.orthogonal import completed

NO_VALUES = "{}: an element is not finite, or the iteration does not converge"


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """Left vectors as columns, singular values in descending order, right vectors as rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def eigh(a: TensorLike, /, UPLO: str | None = None) -> EighResult:
    """Eigenvalues w and orthonormal eigenvectors V of symmetric matrices a[…, n, n] = V diag(w) Vᵀ.

    Of a matrix that is not symmetric, (a + aᵀ) / 2 is meant; with ``UPLO`` of "L" or "U", the
    symmetric matrix with that triangle. The gradient is symmetric in each case. A vector has the
    sign with which its product with one fixed vector of positive numbers is positive.

    By tridiagonal form and implicit QL steps (Golub and Van Loan, 2013, "Matrix computations",
    8.3), with rounding errors as small as those of the largest elements. Derivatives (Giles, 2008,
    "An extended collection of matrix derivative results", 3.1) have 0 in the place of
    1 / (wⱼ − wᵢ) where eigenvalues are equal and a result does not depend on the choice of their
    vectors, up to rounding errors. What would need the limit of a difference quotient there, as
    V diag(f(w)) Vᵀ and second derivatives of functions of w do, lacks it at equal eigenvalues.

    ShapeError unless a is square; ArgumentError for another ``UPLO``. Elements that are not finite
    are a LinAlgError in eager code; in traced code all is NaN.
    """
    x = with_triangle(as_squares("eigh", a), UPLO)
    packed = apply("eigh", x)
    refuse(packed, has_nan, NO_VALUES.format("eigh"))
    return EighResult(packed[..., 0, :], packed[..., 1:, :])


def eigvalsh(a: TensorLike, /, UPLO: str | None = None) -> Tensor:
    """The eigenvalues of symmetric matrices a[…, n, n] in ascending order, those of ``eigh``; its
    arguments and errors. The gradient takes the vectors of ``eigh``, and is finite where
    eigenvalues are equal."""
    values = apply("eigvalsh", with_triangle(as_squares("eigvalsh", a), UPLO))
    refuse(values, has_nan, NO_VALUES.format("eigvalsh"))
    return values[..., 0, :]


def with_triangle(x: Tensor, UPLO: str | None) -> Tensor:
    """The symmetric matrix with one triangle of x, and the gradient of (x + xᵀ) / 2."""
    if UPLO is None:
        return x
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"UPLO is 'L' or 'U', not {UPLO!r}", user_location())
    lower = np.tri(x.shape[-1], dtype=np.bool_)
    turned = F.matrix_transpose(x)
    mirrored = F.where(lower if UPLO.upper() == "L" else lower.T, x, turned)
    middle = (x + turned) * 0.5
    return middle + F.stop_gradient(mirrored - middle)


def svd(
    x: TensorLike, /, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> SVDResult | Tensor:
    """U, S and Vh with x = U @ diag(S) @ Vh for matrices x[…, m, n], with k = min(m, n) singular
    values in descending order, which are not negative.

    U[…, m, m] and Vh[…, n, n] are orthogonal; unless ``full_matrices``, U[…, m, k] and
    Vh[…, k, n]. Without ``compute_uv``, S alone. ``hermitian`` takes the symmetric matrix with the
    lower triangle of x. A pair of vectors has the sign with which the product of that of the
    shorter side with one fixed vector of positive numbers is positive.

    By rotations from one side (Hestenes, 1958; Demmel and Veselić, 1992, "Jacobi's method is more
    accurate than QR"), for a shorter side beyond 16 by bidiagonal form and implicit QR steps (Golub
    and Reinsch, 1970, "Singular value decomposition and least squares solutions").

    Derivatives (Townsend, 2016, "Differentiating the singular value decomposition"; Wan and Zhang,
    2019, arXiv 1909.02659) are finite at equal and zero singular values for what does not depend on
    the choice of the vectors there. Of the vectors that ``full_matrices`` adds, those of what
    depends on their span alone are right.

    ShapeError for less than two axes. Elements that are not finite are a LinAlgError in eager code;
    in traced code all is NaN.
    """
    tensor = as_matrices("svd", x)
    if hermitian:
        tensor = with_triangle(as_squares("svd", tensor), "L")
    if not compute_uv:
        return svdvals(tensor)
    rows, columns = tensor.shape[-2:]
    if rows < columns:
        left, values, right = _tall(F.matrix_transpose(tensor))
        u, v = F.matrix_transpose(right), F.matrix_transpose(left)
        if full_matrices:
            v = F.matrix_transpose(completed(left))
        return SVDResult(u, values, v)
    left, values, right = _tall(tensor)
    return SVDResult(completed(left) if full_matrices else left, values, right)


def _tall(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and Vh of matrices of at least as many rows as columns."""
    rows = x.shape[-2]
    packed = apply("svd", x)
    refuse(packed, has_nan, NO_VALUES.format("svd"))
    return packed[..., :rows, :], packed[..., rows, :], packed[..., rows + 1 :, :]


def svdvals(x: TensorLike, /) -> Tensor:
    """The singular values of matrices x[…, m, n] in descending order, those of ``svd``; its errors.
    The gradient takes the vectors of ``svd``, and is finite where values are equal or 0."""
    tensor = as_matrices("svdvals", x)
    if tensor.shape[-2] < tensor.shape[-1]:
        tensor = F.matrix_transpose(tensor)
    values = apply("svdvals", tensor)
    refuse(values, has_nan, NO_VALUES.format("svdvals"))
    return values[..., 0, :]
