"""Products of tensors that are no matrix products, sliding sums of products, and distances."""

from __future__ import annotations

import numpy as np

from nets.errors import ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import number_of
from nets.frontend.tensor.dispatch import TensorLike, as_float, as_tensor, promote, shape_text
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import one_of
from nets.ir.location import user_location


def inner(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum of products over the last axes of both; the product with a number.

    a and b are the tensors.
    """
    x, y = promote(a, b)
    return F.tensordot(x, y, ((-1,), (-1,))) if x.ndim and y.ndim else F.multiply(x, y)


def vdot(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum of products of all elements, in row-major order. ShapeError for other numbers of them.

    a and b are the tensors.
    """
    return F.dot(F.flatten(a), F.flatten(b))


def matvec(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Products of matrices, the last two axes of ``x1``, and vectors, the last of ``x2``; the other
    axes broadcast. ShapeError for sizes that differ."""
    return F.squeeze(F.matmul(x1, F.expand_dims(_vectors("matvec", x2), -1)), -1)


def vecmat(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Products of vectors, the last axis of ``x1``, and matrices, the last two of ``x2``; the other
    axes broadcast. ShapeError for sizes that differ."""
    return F.squeeze(F.matmul(F.expand_dims(_vectors("vecmat", x1), -2), x2), -2)


def _vectors(name: str, x: TensorLike) -> Tensor:
    tensor = as_tensor(x)
    if not tensor.ndim:
        raise ShapeError(f"{name} takes vectors, not {tensor.type}", user_location())
    return tensor


def kron(a: TensorLike, b: TensorLike) -> Tensor:
    """Kronecker product: each element of a times all of b, side by side."""
    x, y = promote(a, b)
    rank = max(x.ndim, y.ndim)
    of_x, of_y = ((1,) * (rank - t.ndim) + t.shape for t in (x, y))
    spread = F.reshape(x, [n for size in of_x for n in (size, 1)])
    inside = F.reshape(y, [n for size in of_y for n in (1, size)])
    shape = [n * m for n, m in zip(of_x, of_y, strict=True)]
    return F.reshape(F.multiply(spread, inside), shape)


def cross(
    a: TensorLike,
    b: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Cross products of vectors of three elements along an axis of each; the others broadcast.

    ``axis`` stands for all three axes. ShapeError for vectors of other sizes. Those of ``a`` lie
    along ``axisa``, those of ``b`` along ``axisb``, those of the result along ``axisc``.
    """
    x, y = promote(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    left, right = F.moveaxis(x, axisa, -1), F.moveaxis(y, axisb, -1)
    if left.shape[-1] != 3 or right.shape[-1] != 3:
        raise ShapeError(
            f"cross products are of vectors of 3 elements, not of {shape_text(x.shape)} and "
            f"{shape_text(y.shape)}",
            user_location(),
        )
    p, q = ([t[..., i] for i in range(3)] for t in (left, right))
    parts = [
        F.subtract(F.multiply(p[i], q[j]), F.multiply(p[j], q[i]))
        for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return F.moveaxis(F.stack(parts, -1), -1, axisc)


# ------------------------------------------------------------------------------ sliding sums


def convolve(a: TensorLike, v: TensorLike, mode: str = "full") -> Tensor:
    """The sums Σ a[k − i] · v[i], of tensors of one axis.

    ``mode`` "full" gives all that have a term, "same" as many as the longer tensor has elements,
    "valid" those that have all terms. ShapeError for other axes and no elements, ArgumentError for
    another mode.
    """
    x, y = _lines("convolve", a, v)
    long, short = (x, y) if x.shape[0] >= y.shape[0] else (y, x)
    return _slid(long, F.flip(short), mode, left=(short.shape[0] - 1) // 2)


def correlate(a: TensorLike, v: TensorLike, mode: str = "valid") -> Tensor:
    """The sums Σ a[k + i] · v[i], of tensors of one axis; see ``convolve``.

    ``mode`` is that of ``convolve``.
    """
    x, y = _lines("correlate", a, v)
    if x.shape[0] >= y.shape[0]:
        return _slid(x, y, mode, left=(y.shape[0] - 1) // 2)
    return F.flip(_slid(y, x, mode, left=(x.shape[0] - 1) // 2))


def _lines(name: str, a: TensorLike, v: TensorLike) -> list[Tensor]:
    lines = promote(a, v)
    lines = [F.reshape(x, (1,)) if not x.ndim else x for x in lines]
    if any(x.ndim != 1 or not x.shape[0] for x in lines):
        raise ShapeError(
            f"{name} takes tensors of one axis with elements, not of "
            f"{' and '.join(shape_text(x.shape) for x in lines)}",
            user_location(),
        )
    return lines


def _slid(long: Tensor, short: Tensor, mode: str, left: int) -> Tensor:
    """Sums of products of the short tensor and windows of the long one; those of "same" begin at
    ``left`` of those of "full"."""
    n, m = long.shape[0], short.shape[0]
    one_of(mode, ("full", "same", "valid"), "the mode")
    same = (m - 1 - left, left)
    margins = {"full": (m - 1, m - 1), "same": same, "valid": (0, 0)}[mode]
    if long.type.dtype.is_float:
        found = F.conv(F.reshape(long, (1, 1, n)), F.reshape(short, (1, 1, m)), padding=(margins,))
        return F.reshape(found, (-1,))
    padded = F.pad(long, (margins,))
    count = n + sum(margins) - m + 1
    windows = F.take(padded, np.arange(count)[:, None] + np.arange(m), 0)
    if long.type.dtype.is_bool:
        return F.any(F.logical_and(windows, short), 1)
    return F.sum(F.multiply(windows, short), 1, dtype=long.dtype)


# --------------------------------------------------------------------------------- distances


def cdist(x1: TensorLike, x2: TensorLike, p: float = 2.0) -> Tensor:
    """Distances of each row of x1 (..., P, M) from each of x2 (..., R, M): (..., P, R).

    They are norms of differences: of order ``p``, ``math.inf`` included, or with 0 the number of
    elements that differ. Its gradient is 0 where rows are the same. ShapeError for fewer than two
    axes.
    """
    x, y = promote(x1, x2, floating=True)
    if x.ndim < 2 or y.ndim < 2:
        raise ShapeError(
            f"cdist takes rows, not {shape_text(x.shape)} and {shape_text(y.shape)}",
            user_location(),
        )
    return _distance(F.subtract(F.expand_dims(x, -2), F.expand_dims(y, -3)), p)


def pdist(input: TensorLike, p: float = 2.0) -> Tensor:
    """Distances of the rows of a matrix (N, M) from each other, of the first from all after it,
    and so on: N · (N − 1) / 2 of them, as ``cdist`` has them. ShapeError for other axes.

    ``input`` is the matrix and ``p`` the order.
    """
    x = as_float(input)
    if x.ndim != 2:
        raise ShapeError(f"pdist takes a matrix, not {shape_text(x.shape)}", user_location())
    first, second = np.triu_indices(x.shape[0], 1)
    return _distance(F.subtract(F.take(x, first, 0), F.take(x, second, 0)), p)


def _distance(difference: Tensor, p: float) -> Tensor:
    if number_of(p, "the order of a distance") == 0:
        return F.astype(F.sum(F.not_equal(difference, 0), -1), difference.dtype)
    if not difference.shape[-1]:
        return F.sum(difference, -1)
    return F.norm(difference, p, -1)
