"""Cholesky's factor."""

from __future__ import annotations

from nets.frontend.tensor.dispatch import TensorLike, apply
from nets.frontend.tensor.tensor import Tensor
from nets.linalg.arguments import as_squares, has_nan, refuse


def cholesky(a: TensorLike, /, *, upper: bool = False) -> Tensor:
    """The lower triangle L with L Lᵀ = a, of symmetric positive definite matrices a[…, n, n]; with
    ``upper`` the upper triangle U = Lᵀ, with Uᵀ U = a.

    Where a is not symmetric, (a + aᵀ) / 2 is meant, so that the gradient is symmetric. Golub and
    Van Loan, 2013, "Matrix computations", 4.2; derivatives by Murray, 2016, "Differentiation of
    the Cholesky decomposition".

    ShapeError unless a is square. A matrix that is not positive definite is a LinAlgError in eager
    code; in traced code its triangle is NaN.
    """
    x = as_squares("cholesky", a)
    factor = apply("cholesky", x, upper=bool(upper))
    refuse(factor, has_nan, "cholesky: a matrix is not positive definite")
    return factor
