"""Systems of equations: solutions, inverses, determinants, and the factors they come from."""

from __future__ import annotations

from typing import NamedTuple

import nets.frontend.tensor.functions as F
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    promote,
)
from nets.frontend.tensor.tensor import Tensor
from nets.linalg.arguments import as_squares, refuse
from nets.linalg.diagonals import diagonal

SINGULAR = "a matrix is singular"


class SlogdetResult(NamedTuple):
    """Signs of determinants, and logarithms of their magnitudes."""

    sign: Tensor
    logabsdet: Tensor


def solve(a: TensorLike, b: TensorLike, /) -> Tensor:
    """x with a @ x = b, for matrices a[…, n, n]; b is a vector [n], or matrices […, n, m].

    Leading axes broadcast; where the matrices are one for all, it is factored once. By elimination
    with partial pivoting (``lu``). The gradient solves the transposed system with the same factors.

    ShapeError where a is not square or b has other rows. A matrix with a pivot of 0 is a
    LinAlgError in eager code; in traced code the solution has infinities or NaN.
    """
    matrices, right = promote(as_squares("solve", a), b, floating=True)
    right, is_vector = _columns("solve", matrices, right)
    found = _solved(matrices, right, transpose=False)
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
    is a vector [n], or matrices […, n, m]. With ``trans`` of 1 or 2, or "T" or "C", Tᵀ @ x = b; with
    ``unit_diagonal`` the diagonal is taken to be 1. The rest of a is not read. Leading axes
    broadcast.

    ShapeError where a is not square or b has other rows; ArgumentError for another ``trans``. A 0
    on the diagonal is a LinAlgError in eager code; in traced code it gives infinities or NaN.
    """
    transpose = _is_transposed(trans)
    matrices, right = promote(as_squares("solve_triangular", a), b, floating=True)
    right, is_vector = _columns("solve_triangular", matrices, right)
    if not unit_diagonal:
        refuse(diagonal(matrices), _has_zero, f"solve_triangular: {SINGULAR}")
    matrices, right = _side_by_side(matrices, right)
    found = apply(
        "triangular_solve",
        *(matrices[0], right[0]),
        upper=not lower,
        transpose=transpose,
        unit_diagonal=bool(unit_diagonal),
    )
    found = right[1](found)
    return F.reshape(found, found.shape[:-1]) if is_vector else found
