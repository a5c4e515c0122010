"""Orthonormal columns times triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import TensorLike, apply
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg.arguments import as_matrices


class QRResult(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


def qr(x: TensorLike, /, mode: str = "reduced") -> QRResult | Tensor:
    """Q and R with x = Q @ R for matrices x[…, m, n], with k = min(m, n): Q[…, m, k] with
    orthonormal columns and R[…, k, n], upper triangles; in ``mode`` "complete", Q[…, m, m] and
    R[…, m, n]; in "r", R[…, k, n] alone.

    By Householder's reflections, with the signs of LAPACK (Golub and Van Loan, 2013, "Matrix
    computations", 5.2). The derivative (Walter and Lehmann, 2012) needs the first k columns of x to
    be independent; of the columns that "complete" adds, that of what depends on their span alone
    is right.

    ShapeError for less than two axes, ArgumentError for another mode. Elements that are not finite
    give NaN, as in NumPy.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"the mode of qr is 'reduced', 'complete' or 'r', not {mode!r}", user_location()
        )
    tensor = as_matrices("qr", x)
    q, r = _reduced(tensor)
    if mode == "r":
        return r
    if mode == "complete" and tensor.shape[-2] > tensor.shape[-1]:
        rest = tensor.shape[-2] - tensor.shape[-1]
        zeros = F.zeros((*tensor.shape[:-2], rest, tensor.shape[-1]), dtype=tensor.dtype)
        return QRResult(_with_the_rest(q, _all_columns(tensor)), F.concatenate([r, zeros], axis=-2))
    return QRResult(q, r)


def _reduced(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of wide matrices, the first columns tell Q."""
    rows, columns = x.shape[-2:]
    if rows < columns:
        q, r = _reduced(x[..., :rows])
        return q, F.concatenate([r, F.matmul(F.matrix_transpose(q), x[..., rows:])], axis=-1)
    packed = apply("qr", x)
    return packed[..., :rows, :], packed[..., rows:, :]


def completed(q: Tensor) -> Tensor:
    """Orthonormal columns, with more to the right that make them an orthogonal matrix."""
    if q.shape[-2] == q.shape[-1]:
        return q
    return _with_the_rest(q, _all_columns(q))


def _all_columns(x: Tensor) -> Tensor:
    """The product of all reflections of tall matrices: those of columns of zeros are nothing."""
    rows, columns = x.shape[-2:]
    zeros = F.zeros((*x.shape[:-2], rows, rows - columns), dtype=x.dtype)
    packed = apply("qr", F.stop_gradient(F.concatenate([x, zeros], axis=-1)))
    return packed[..., :rows, :]


def _with_the_rest(q: Tensor, all_columns: Tensor) -> Tensor:
    """q, and what a constant matrix has to the right of so many columns.

    What is added is C − q (qᵀ C), which is C but for rounding errors, and moves so as to stay
    orthogonal to q; a step towards orthonormal columns keeps their lengths to the third order.
    """
    rest = all_columns[..., q.shape[-1] :]
    turned = F.matrix_transpose(q)
    moved = rest - F.matmul(q, F.matmul(turned, rest))
    gram = F.matmul(F.matrix_transpose(moved), moved)
    eye = np.eye(gram.shape[-1], dtype=gram.dtype)
    return F.concatenate([q, F.matmul(moved, eye * 1.5 - gram * 0.5)], axis=-1)
