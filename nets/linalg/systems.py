"""Systems of equations: solutions, inverses, determinants, and the factors they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    expand,
    joined_shape,
    promote,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.ir.location import user_location
from nets.linalg.arguments import as_matrices, as_squares, refuse
from nets.linalg.products import diagonal

SINGULAR = "a matrix is singular"


class SlogdetResult(NamedTuple):
    """Signs of determinants, and logarithms of their magnitudes."""

    sign: Tensor
    logabsdet: Tensor


class LUResult(NamedTuple):
    """The factors of matrices: P @ L @ U."""

    P: Tensor
    L: Tensor
    U: Tensor


def solve(a: TensorLike, b: TensorLike, /) -> Tensor:
    """x with a @ x = b, for matrices a[…, n, n]; b is a vector [n], or matrices […, n, m].

    Leading axes broadcast; where the matrices are one for all, it is factored once. By elimination
    with partial pivoting (``lu``). The gradient solves the transposed system with the same factors.

    ShapeError where a is not square or b has other rows. A matrix with a pivot of 0 is a
    LinAlgError in eager code; in traced code the solution has infinities or NaN.
    """
    matrices, right = promote(as_squares("solve", a), b, floating=True)
    right, is_vector = _columns("solve", matrices, right)
    found = _solved("solve", matrices, right)
    return F.reshape(found, found.shape[:-1]) if is_vector else found


def solution(a: Tensor, b: Tensor) -> Tensor:
    """``solve`` of matrices of one dtype; infinities or NaN where a is singular, in eager code
    too."""
    right, is_vector = _columns("solve", a, b)
    found = _solved(None, a, right)
    return F.reshape(found, found.shape[:-1]) if is_vector else found


def solve_triangular(
    a: TensorLike,
    b: TensorLike,
    *,
    lower: bool = False,
    trans: int | str = 0,
    unit_diagonal: bool = False,
) -> Tensor:
    """x with T @ x = b, for the upper triangles T of matrices a[…, n, n], or the ``lower`` ones; b
    is a vector [n], or matrices […, n, m]. With ``trans`` of 1 or 2, or "T" or "C", Tᵀ @ x = b;
    with ``unit_diagonal`` the diagonal is taken to be 1. The rest of a is not read. Leading axes
    broadcast.

    ShapeError where a is not square or b has other rows; ArgumentError for another ``trans``. A 0
    on the diagonal is a LinAlgError in eager code; in traced code it gives infinities or NaN.
    """
    transpose = _is_transposed(trans)
    matrices, right = promote(as_squares("solve_triangular", a), b, floating=True)
    right, is_vector = _columns("solve_triangular", matrices, right)
    if not unit_diagonal:
        refuse(matrices, _has_zero_pivot, f"solve_triangular: {SINGULAR}")

    def solved(parts: Sequence[Tensor], right: Tensor) -> Tensor:
        return apply(
            "triangular_solve",
            *(*parts, right),
            upper=not lower,
            transpose=transpose,
            unit_diagonal=bool(unit_diagonal),
            refuses=not unit_diagonal,
        )

    found = _over_batches(solved, [matrices], right)
    return F.reshape(found, found.shape[:-1]) if is_vector else found


def inv(a: TensorLike, /) -> Tensor:
    """The inverses of matrices a[…, n, n], by elimination with partial pivoting.

    ``solve(a, b)`` is faster and more accurate than ``inv(a) @ b``. ShapeError where a is not
    square; a singular matrix is a LinAlgError in eager code, infinities or NaN in traced code.
    """
    matrices = as_squares("inv", a)
    n = matrices.shape[-1]
    return _solved("inv", matrices, F.eye(n, dtype=matrices.dtype))


def det(a: TensorLike, /) -> Tensor:
    """The determinants of matrices a[…, n, n]; 1 of a matrix of no rows. ShapeError where a is not
    square.

    The product of the pivots of ``lu``. The gradient is the matrix of the cofactors, also of a
    singular matrix whose last pivot alone is 0; where another one is 0, it has NaN.
    """
    matrices = as_squares("det", a)
    return apply("lu_det", matrices, apply("lu", matrices))


def slogdet(a: TensorLike, /) -> SlogdetResult:
    """The signs of the determinants of matrices a[…, n, n], and the logarithms of their magnitudes,
    which do not overflow: 0 and −∞ for singular matrices. ShapeError where a is not square.

    The gradient of the logarithm is a⁻ᵀ; that of the sign is 0.
    """
    matrices = as_squares("slogdet", a)
    packed = apply("lu", apply("stop_gradient", matrices))
    n = matrices.shape[-1]
    signs = F.where(F.less(diagonal(packed[..., :n, :]), 0), -1.0, 1.0)
    is_zero = F.equal(diagonal(packed[..., :n, :]), 0).any(-1)
    moved = F.not_equal(packed[..., n + 1, :], F.arange(n))
    sign = F.prod(F.where(moved, -signs, signs), axis=-1)
    sign = F.where(F.isnan(diagonal(packed[..., :n, :])).any(-1), np.nan, sign)
    sign = F.astype(F.where(is_zero, 0.0, sign), matrices.dtype)
    return SlogdetResult(sign, apply("lu_log_det", matrices, packed))


def logdet(a: TensorLike, /) -> Tensor:
    """The logarithms of the determinants of matrices a[…, n, n], which do not overflow: −∞ where
    one is 0, NaN where it is negative (PyTorch's). ShapeError where a is not square."""
    sign, size = slogdet(a)
    return F.where(F.less(sign, 0), np.nan, size)


# -------------------------------------------------------------------------------- factors


def lu(a: TensorLike) -> LUResult:
    """(P, L, U) with P @ L @ U = a for matrices a[…, m, n]: a permutation [m, m], a lower triangle
    [m, k] of ones on its diagonal, an upper one [k, n], where k is the smaller of m and n.

    By elimination with partial pivoting (Golub and Van Loan, 2013, "Matrix computations", 3.4).
    """
    matrices = as_matrices("lu", a)
    m, n = matrices.shape[-2:]
    size, least = max(m, n), min(m, n)
    packed = apply("lu", _padded(matrices, size - m, size - n))
    square = packed[..., :size, :]
    lower = F.tril(square, -1)[..., :m, :least] + F.eye(m, least, dtype=matrices.dtype)
    order = packed[..., size, :m]
    rows = F.expand_dims(F.arange(m, dtype=matrices.dtype), -1)
    permutation = F.astype(F.equal(F.expand_dims(order, -2), rows), matrices.dtype)
    return LUResult(permutation, lower, F.triu(square)[..., :least, :n])


def lu_factor(a: TensorLike) -> tuple[Tensor, Tensor]:
    """(lu, piv) of matrices a[…, n, n], for ``lu_solve``: U and, below its diagonal, L without its
    ones; and for each row, the row it changed places with in its turn, as int32 (SciPy's order).

    ShapeError where a is not square. A singular matrix has a 0 on the diagonal of U.
    """
    matrices = as_squares("lu_factor", a)
    packed, n = apply("lu", matrices), matrices.shape[-1]
    turns = apply("stop_gradient", packed[..., n + 1, :])
    return packed[..., :n, :], F.astype(turns, "int32")


def lu_solve(lu_and_piv: tuple[TensorLike, TensorLike], b: TensorLike, trans: int = 0) -> Tensor:
    """x with a @ x = b, of ``lu_and_piv``, what ``lu_factor`` gives of a; with ``trans`` of 1 or 2,
    aᵀ @ x = b. b is a vector [n], or matrices […, n, m].

    ShapeError where shapes do not fit; ArgumentError for another ``trans``.
    """
    factors, turns = lu_and_piv
    square, right = promote(as_squares("lu_solve", factors), b, floating=True)
    right, is_vector = _columns("lu_solve", square, right)
    order = F.astype(as_tensor(turns), "int32")
    if order.shape != square.shape[:-1]:
        raise ShapeError(
            f"lu_solve: pivots of shape {shape_text(order.shape)} for factors of shape "
            f"{shape_text(square.shape)}",
            user_location(),
        )
    transpose = _is_transposed(trans)
    rows = F.expand_dims(order, -2)

    def solved(parts: Sequence[Tensor], right: Tensor) -> Tensor:
        square, rows = parts
        return _by_factors(square, rows[..., 0, :], right, transpose)

    found = _over_batches(solved, [square, rows], right)
    return F.reshape(found, found.shape[:-1]) if is_vector else found


def _by_factors(square: Tensor, turns: Tensor, right: Tensor, transpose: bool) -> Tensor:
    """The solution by triangles that have derivatives of their own."""

    def triangle(right: Tensor, upper: bool) -> Tensor:
        return apply(
            "triangular_solve",
            *(square, right),
            upper=upper,
            transpose=transpose,
            unit_diagonal=not upper,
            refuses=False,
        )

    if transpose:
        half = triangle(triangle(right, upper=True), upper=False)
        return apply("exchange_rows", half, turns, reverse=True)
    half = apply("exchange_rows", right, turns, reverse=False)
    return triangle(triangle(half, upper=False), upper=True)


# --------------------------------------------------------------------------------- inside


def _solved(name: str | None, matrices: Tensor, right: Tensor) -> Tensor:
    # The factors say nothing of a that the derivatives of the equation do not.
    packed = apply("lu", apply("stop_gradient", matrices))
    if name is not None:
        refuse(packed, lambda x: _has_zero_pivot(x[..., : x.shape[-1], :]), f"{name}: {SINGULAR}")

    def solved(parts: Sequence[Tensor], right: Tensor) -> Tensor:
        return apply("lu_solve", *parts, right, transpose=False, refuses=name is not None)

    return _over_batches(solved, [matrices, packed], right)


def _over_batches(
    solved: Callable[[Sequence[Tensor], Tensor], Tensor], parts: Sequence[Tensor], right: Tensor
) -> Tensor:
    """The solution where leading axes broadcast. One matrix for many right sides takes these side
    by side."""
    own, others = parts[0].shape[:-2], right.shape[:-2]
    if not own and others:
        moved = F.moveaxis(right, -2, 0)
        rows = F.reshape(moved, (moved.shape[0], math.prod(moved.shape[1:])))
        return F.moveaxis(F.reshape(solved(parts, rows), moved.shape), 0, -2)
    batch = joined_shape(own, others)
    wide = [expand(x, (*batch, *x.shape[-2:])) for x in parts]
    return solved(wide, expand(right, (*batch, *right.shape[-2:])))


def _columns(name: str, matrices: Tensor, right: Tensor) -> tuple[Tensor, bool]:
    """The right sides as matrices, and whether they are a vector; ShapeError for other rows."""
    is_vector = right.ndim == 1
    found = F.expand_dims(right, -1) if is_vector else right
    if found.ndim < 2 or found.shape[-2] != matrices.shape[-1]:
        raise ShapeError(
            f"{name}: a right side of shape {shape_text(right.shape)} does not fit matrices of "
            f"shape {shape_text(matrices.shape)}",
            user_location(),
        )
    return found, is_vector


def _is_transposed(trans: object) -> bool:
    if trans in (0, "N"):
        return False
    if trans in (1, 2, "T", "C"):
        return True
    raise ArgumentError(f"trans is 0, 1, 2, 'N', 'T' or 'C', not {trans!r}", user_location())


def _has_zero_pivot(x: Array) -> bool:
    return bool((np.diagonal(x, axis1=-2, axis2=-1) == 0).any())


def _padded(x: Tensor, rows: int, columns: int) -> Tensor:
    """Zeros below and behind matrices."""
    if not rows and not columns:
        return x
    return F.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, rows), (0, columns)])
