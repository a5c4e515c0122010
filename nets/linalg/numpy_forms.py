"""NumPy's functions of linear algebra, where they mean something else than those of the same name
here: what ``np.linalg.f(tensor)`` calls (``nets.frontend.tensor.numpy_functions``).

Where NumPy reads one triangle of a matrix, so do these, and the derivative is that of what it
computes: the elements of the other triangle have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dispatch import (
    TensorLike,
    as_float,
    as_tensor,
    known_elements,
    shape_text,
)
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg import cholesky as _cholesky
from nets.linalg import least_squares, orthogonal, spectral, systems
from nets.linalg.arguments import as_squares
from nets.linalg.least_squares import LstsqResult
from nets.linalg.spectral import EighResult

_CUT = 1e-15
"""The part of the largest singular value below which NumPy's pinv takes others for 0."""


def cholesky(a: TensorLike, /, *, upper: bool = False) -> Tensor:
    """The factor of the symmetric matrices with the lower triangle of a, or the ``upper`` one."""
    return _cholesky.cholesky(_mirrored("cholesky", a, "U" if upper else "L"), upper=upper)


def eigh(a: TensorLike, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of the symmetric matrices with one triangle of a."""
    return spectral.eigh(_mirrored("eigh", a, UPLO))


def eigvalsh(a: TensorLike, UPLO: str = "L") -> Tensor:
    """Eigenvalues of the symmetric matrices with one triangle of a."""
    return spectral.eigvalsh(_mirrored("eigvalsh", a, UPLO))


def _mirrored(name: str, a: TensorLike, uplo: str) -> Tensor:
    x, word = as_squares(name, a), uplo.upper() if isinstance(uplo, str) else uplo
    if word not in ("L", "U"):
        raise ArgumentError(f"UPLO is 'L' or 'U', not {uplo!r}", user_location())
    lower = np.tri(x.shape[-1], dtype=np.bool_)
    return F.where(lower if word == "L" else lower.T, x, F.matrix_transpose(x))


def pinv(
    a: TensorLike,
    rcond: TensorLike | None = None,
    hermitian: bool = False,
    *,
    rtol: Any = np._NoValue,
) -> Tensor:
    """The pseudoinverse; without a tolerance, 1e-15 is the part of the largest singular value that
    is none, and max(m, n) · ε with an ``rtol`` of None."""
    if rtol is np._NoValue:
        return least_squares.pinv(a, _CUT if rcond is None else rcond, hermitian)
    return least_squares.pinv(a, rcond, hermitian, rtol=rtol)


def lstsq(a: TensorLike, b: TensorLike, rcond: Any = None) -> LstsqResult:
    """The solution of least squares, with a rank in int32. A number ``rcond`` that is no part of a
    whole stands for the rounding error, as in LAPACK (dlalsd)."""
    x = as_float(a)
    if isinstance(rcond, int | float) and not 0 < rcond < 1:
        rcond = float(np.finfo(x.dtype).eps) / 2
    found = least_squares.lstsq(x, b, rcond)
    return found._replace(rank=F.astype(found.rank, np.int32))


def matrix_rank(
    A: TensorLike,
    tol: TensorLike | None = None,
    hermitian: bool = False,
    *,
    rtol: TensorLike | None = None,
) -> Tensor | int:
    """The ranks; Python's number for a vector whose elements are known."""
    found = least_squares.matrix_rank(A, tol, hermitian, rtol=rtol)
    known = known_elements(found)
    return found if known is None or as_tensor(A).ndim > 1 else int(known)


def qr(a: TensorLike, mode: str = "reduced") -> Any:
    """Q and R; NotImplemented for reflections as LAPACK keeps them."""
    return NotImplemented if mode == "raw" else orthogonal.qr(a, mode)


def tensorinv(a: TensorLike, ind: int = 2) -> Tensor:
    """The inverse of a, with its first ``ind`` axes as rows and the others as columns, which change
    places."""
    x = as_float(a)
    if ind < 1:
        raise ArgumentError(f"ind is a positive number of axes, not {ind!r}", user_location())
    rows, columns = x.shape[:ind], x.shape[ind:]
    matrix = F.reshape(x, (math.prod(rows), math.prod(columns)))
    return F.reshape(systems.inv(matrix), (*columns, *rows))


def tensorsolve(a: TensorLike, b: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """x with tensordot(a, x, x.ndim) = b; ``axes`` of a go to its end first. ShapeError where a is
    not square but for the shapes of x and b."""
    x, right = as_float(a), as_tensor(b)
    if axes is not None:
        x = F.moveaxis(x, tuple(axes), tuple(range(-len(axes), 0)))
    shape = x.shape[right.ndim :]
    rows, columns = math.prod(right.shape), math.prod(shape)
    if math.prod(x.shape) != rows * columns or rows != columns:
        raise ShapeError(
            f"tensorsolve: a of shape {shape_text(x.shape)} is no system for a right side of shape "
            f"{shape_text(right.shape)}",
            user_location(),
        )
    found = systems.solve(F.reshape(x, (rows, columns)), F.flatten(right))
    return F.reshape(found, shape)
