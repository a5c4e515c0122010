"""What nets calls PyTorch's entries of linear algebra, and their arguments, which in nets are
NumPy's, for ``tests.acceptance.opinfo``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import nets
from nets import linalg


class Beyond(Exception):
    """What nets has not: a name, a dtype, a layout."""


def _solve(a: Any, b: Any, *, left: bool = True) -> Any:
    """PyTorch takes a batch of vectors, too, and solves x @ a = b."""
    is_vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    if is_vector:
        b = nets.expand_dims(b, -1)
    found = linalg.solve(a, b) if left else linalg.solve(a.mT, b.mT).mT
    return found[..., 0] if is_vector else found


def _lu_solve(
    factors: Any, pivots: Any, b: Any, *, left: bool = True, adjoint: bool = False
) -> Any:
    """PyTorch counts rows from 1."""
    pair = (factors, pivots - 1)
    if left:
        return linalg.lu_solve(pair, b, int(adjoint))
    return linalg.lu_solve(pair, b.mT, int(not adjoint)).mT


def _solve_triangular(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    options: Any = {"lower": not upper, "unit_diagonal": unitriangular}
    if left:
        return linalg.solve_triangular(a, b, **options)
    return linalg.solve_triangular(a, b.mT, trans=1, **options).mT


def _triangular_solve(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    found = linalg.solve_triangular(
        a, b, lower=not upper, trans=int(transpose), unit_diagonal=unitriangular
    )
    return found, a


def _norm(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    axis = tuple(dim) if isinstance(dim, list) else dim
    return linalg.norm(x, ord, axis, keepdim)


def _vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    axis = tuple(dim) if isinstance(dim, list) else dim if x.ndim else None
    return linalg.vector_norm(x, ord=ord, axis=axis, keepdims=keepdim)


def _matrix_norm(x: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Any:
    return linalg.norm(x, ord, tuple(dim), keepdim)


def _diagonal(x: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    return nets.diagonal(x, offset, dim1, dim2)


def _svd(x: Any, some: bool = True) -> Any:
    u, s, vh = linalg.svd(x, full_matrices=not some)
    return u, s, vh.mT


def _lstsq(a: Any, b: Any, *, driver: str | None = None) -> Any:
    """What PyTorch gives but for the singular values, which it has from other algorithms only."""
    if driver != "gelsd":
        raise Beyond(f"the residuals, rank and singular values of {driver}")
    return linalg.lstsq(a, b)


def _lstsq_grad(a: Any, b: Any, *, driver: str | None = None) -> Any:
    solution, residuals = linalg.lstsq(a, b)[:2]
    if driver == "gelsy":
        residuals = nets.zeros((0,))  # PyTorch has none from it
    return solution, residuals


def _pinv_singular(a: Any, b: Any) -> Any:
    return linalg.pinv(a @ b.mT)


MATRICES: Final[dict[str, Callable[..., Any]]] = {
    "linalg.solve": _solve,
    "linalg.lu_solve": _lu_solve,
    "lu_solve": lambda b, factors, pivots: _lu_solve(factors, pivots, b),
    "linalg.solve_triangular": _solve_triangular,
    "triangular_solve": _triangular_solve,
    "linalg.norm": _norm,
    "linalg.norm.subgradients_at_zero": _norm,
    "linalg.vector_norm": _vector_norm,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.diagonal": _diagonal,
    "linalg.cross": lambda x, y, *, dim=-1: linalg.cross(x, y, axis=dim),
    "cross": lambda x, y, *, dim=-1: linalg.cross(x, y, axis=dim),
    "linalg.vecdot": lambda x, y, *, dim=-1: linalg.vecdot(x, y, axis=dim),
    "linalg.pinv.singular": _pinv_singular,
    "linalg.pinv.hermitian": lambda a, hermitian: linalg.pinv(a + a.mT, hermitian=hermitian),
    "svd": _svd,
    "linalg.lstsq": _lstsq,
    "linalg.lstsq.grad_oriented": _lstsq_grad,
    "cholesky": lambda a, upper=False: linalg.cholesky(a, upper=upper),
    "matrix_exp": lambda a: linalg.expm(a),
    "linalg.matrix_exp": lambda a: linalg.expm(a),
    "pinverse": lambda a: linalg.pinv(a),
}
"""Entries by arguments that are PyTorch's."""

PROCESSED: Final = frozenset({"svd", "linalg.svd", "linalg.eigh"})
"""Entries whose results are free in their signs, and are compared as their samples say."""

SYMMETRIC: Final = frozenset({"linalg.pinv.hermitian"})
"""Entries whose matrices, which are not symmetric, are added to their transposes first."""
