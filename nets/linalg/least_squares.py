"""Least squares, and what singular values tell: pseudoinverses, ranks, condition numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    known_elements,
    promote,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg.arguments import as_matrices, as_squares, has_nan, refuse
from nets.linalg.norms import Order, matrix_norm
from nets.linalg.spectral import NO_VALUES, svdvals, with_triangle


class LstsqResult(NamedTuple):
    """Solutions, sums of squares of what is left, ranks, and singular values."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


def pinv(
    a: TensorLike,
    /,
    rcond: TensorLike | None = None,
    hermitian: bool = False,
    *,
    atol: TensorLike | None = None,
    rtol: TensorLike | None = None,
) -> Tensor:
    """The Moore-Penrose inverse […, n, m] of matrices a[…, m, n].

    Singular values that are not above ``rtol``, or NumPy's older word ``rcond``, times the largest
    one count as 0, nor those that are not above ``atol``; max(m, n) · ε times the largest one where
    none is given. All are numbers or tensors, one for each matrix. ``hermitian`` takes the
    symmetric matrix with the lower triangle of a.

    The derivative is that at a constant rank (Golub and Pereyra, 1973, "The differentiation of
    pseudo-inverses and nonlinear least squares problems whose variables separate").

    ShapeError for less than two axes; ArgumentError for both tolerances. Elements that are not
    finite are a LinAlgError in eager code; in traced code all is NaN.
    """
    if rcond is not None and rtol is not None:
        raise ArgumentError("pinv takes rtol or rcond, not both", user_location())
    x = as_matrices("pinv", a)
    if hermitian:
        x = with_triangle(as_squares("pinv", x), "L")
    rtol = rcond if rtol is None else rtol
    if atol is not None and x.shape[-1] and x.shape[-2]:
        least = as_tensor(atol) / F.stop_gradient(svdvals(x)[..., 0])
        rtol = least if rtol is None else F.maximum(least, rtol)
    return _inverse("pinv", x, rtol)


def _inverse(name: str, x: Tensor, rtol: TensorLike | None) -> Tensor:
    if x.shape[-2] < x.shape[-1]:
        return F.matrix_transpose(_inverse(name, F.matrix_transpose(x), rtol))
    limit = F.stop_gradient(_limits(x, rtol))
    found = apply("pinv", x, limit)
    refuse(found, has_nan, NO_VALUES.format(name))
    return found


def _limits(x: Tensor, rtol: TensorLike | None) -> Tensor:
    """The part of the largest singular value of each matrix, […, 1, 1]."""
    part = as_tensor(_rounding(x) if rtol is None else rtol)
    wide = F.broadcast_to(F.astype(part, x.dtype), x.shape[:-2])
    return F.reshape(wide, (*x.shape[:-2], 1, 1))


def _rounding(x: Tensor) -> float:
    return float(max(x.shape[-2:]) * np.finfo(x.dtype).eps)


def lstsq(a: TensorLike, b: TensorLike, /, rcond: TensorLike | None = None) -> LstsqResult:
    """The shortest of the x that make the sum of squares of a @ x − b least, for matrices
    a[…, m, n]; b is a vector [m], or matrices […, m, k].

    Singular values that are not above ``rcond`` times the largest one count as 0; max(m, n) · ε
    unless it is given. By the pseudoinverse, with its derivative. Also gives ``residuals``, these
    sums, where m > n (in eager code, as in NumPy, none where a rank is less than n); ``rank``;
    and ``s``, the singular values.

    ShapeError where a and b do not fit. Elements that are not finite are a LinAlgError in eager
    code; in traced code all is NaN.
    """
    matrices, right = promote(as_matrices("lstsq", a), b, floating=True)
    is_vector = right.ndim == 1
    right = F.expand_dims(right, -1) if is_vector else right
    if not right.ndim or right.shape[-2] != matrices.shape[-2]:
        raise ShapeError(
            f"lstsq: matrices of shape {shape_text(matrices.shape)} do not fit a right side of "
            f"shape {shape_text(right.shape)}",
            user_location(),
        )
    x = F.matmul(_inverse("lstsq", matrices, rcond), right)
    values = svdvals(matrices)
    limit = F.reshape(_limits(matrices, rcond), (*matrices.shape[:-2], 1))
    rank = _count_above(values, limit)
    residuals = _residuals(matrices, right, x, rank)
    if is_vector:
        return LstsqResult(F.reshape(x, x.shape[:-1]), residuals, rank, values)
    return LstsqResult(x, residuals, rank, values)


def _residuals(a: Tensor, b: Tensor, x: Tensor, rank: Tensor) -> Tensor:
    rows, columns = a.shape[-2:]
    known = known_elements(rank)
    if rows <= columns or (known is not None and bool((known < columns).any())):
        return F.zeros((0,), dtype=a.dtype)
    left = F.matmul(a, x) - b
    return F.sum(left * left, axis=-2)


def _count_above(values: Tensor, limit: Tensor) -> Tensor:
    """How many singular values are above a part of the largest one."""
    if not values.shape[-1]:
        return F.sum(F.greater(values, 0.0), axis=-1)
    return F.sum(F.greater(values, limit * values[..., :1]), axis=-1)


def matrix_rank(
    A: TensorLike,
    /,
    tol: TensorLike | None = None,
    hermitian: bool = False,
    *,
    atol: TensorLike | None = None,
    rtol: TensorLike | None = None,
) -> Tensor:
    """How many singular values of matrices A[…, m, n] are above ``rtol`` times the largest one and
    above ``atol``, or NumPy's older word ``tol``; above max(m, n) · ε times the largest one where
    none is given. All are numbers or tensors, one for each matrix. A vector, or a number, has the
    rank 1 unless all of it is 0. ``hermitian`` takes the symmetric matrix with the lower triangle
    of A.

    ArgumentError for ``tol`` beside another one. Elements that are not finite are a LinAlgError in
    eager code; in traced code nothing is above a NaN.
    """
    if tol is not None and (rtol is not None or atol is not None):
        raise ArgumentError("matrix_rank takes tol or rtol and atol, not both", user_location())
    tensor = as_tensor(A)
    if tensor.ndim < 2:
        return F.astype(F.any(F.not_equal(tensor, 0)), np.int64)
    x = as_matrices("matrix_rank", tensor)
    if hermitian:
        x = with_triangle(as_squares("matrix_rank", x), "L")
    values, least = svdvals(x), atol if tol is None else tol
    if least is None:
        return _count_above(values, F.reshape(_limits(x, rtol), (*x.shape[:-2], 1)))
    limit = F.expand_dims(as_tensor(least), -1)
    if rtol is not None:
        part = F.reshape(_limits(x, rtol), (*x.shape[:-2], 1))
        limit = F.maximum(limit, part * values[..., :1])
    return F.sum(F.greater(values, limit), axis=-1)


def cond(x: TensorLike, /, p: Order = None) -> Tensor:
    """The condition numbers of matrices x[…, m, n]: with ``p`` of None or 2, the largest singular
    value over the smallest one, −2 the other way round; with "fro", "nuc", 1, −1, inf or −inf, that
    norm of x times that of its inverse, of square matrices.

    Infinite for singular matrices, NaN where an element is NaN. ShapeError for less than two axes,
    no elements, or another norm of matrices that are not square; ArgumentError for a norm that
    there is not. Elements that are not finite are a LinAlgError in eager code where singular values
    are asked for.
    """
    tensor = as_matrices("cond", x)
    if not tensor.shape[-1] or not tensor.shape[-2]:
        raise ShapeError("cond takes matrices that have elements", user_location())
    if p in (None, 2, -2):
        values = svdvals(tensor)
        largest, smallest = values[..., 0], values[..., -1]
        found = smallest / largest if p == -2 else largest / smallest
    elif p == "nuc":
        values = svdvals(as_squares("cond", tensor))
        found = F.sum(values, axis=-1) * F.sum(1.0 / values, axis=-1)
    else:
        squares = as_squares("cond", tensor)
        found = matrix_norm(squares, ord=p) * matrix_norm(_inverse_or_nan(squares), ord=p)
    is_known = F.logical_not(F.any(F.isnan(tensor), axis=(-2, -1)))
    return F.where(F.logical_and(F.isnan(found), is_known), math.inf, found)


def _inverse_or_nan(x: Tensor) -> Tensor:
    """Inverses, infinities or NaN for singular matrices in eager code, too."""
    packed = apply("lu", F.stop_gradient(x))
    eye = F.broadcast_to(F.eye(x.shape[-1], dtype=x.dtype), x.shape)
    return apply("lu_solve", x, packed, eye, transpose=False, refuses=False)
