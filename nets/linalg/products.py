"""Products of matrices and vectors, and diagonals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy.typing as npt

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, promote, shape_text
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words import products, triangles
from nets.ir.estimates import about
from nets.ir.location import user_location
from nets.ir.sizes import Dim
from nets.ir.types import DType
from nets.linalg.arguments import at_least_matrices


def diagonal(x: TensorLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices x[…, m, n], or those ``offset`` places above them (below, where it
    is negative). ShapeError for fewer than two axes."""
    return triangles.diagonal(at_least_matrices("diagonal", x), offset, -2, -1)


def trace(
    x: TensorLike, /, *, offset: int = 0, dtype: npt.DTypeLike | DType | None = None
) -> Tensor:
    """The sums of the diagonals of matrices x[…, m, n], or of those ``offset`` places above them,
    in ``dtype``; narrow integers add up in 64 bits. ShapeError for fewer than two axes."""
    return triangles.trace(at_least_matrices("trace", x), offset, -2, -1, dtype)


def outer(x1: TensorLike, x2: TensorLike, /) -> Tensor:
    """All products of an element of a vector ``x1`` and one of a vector ``x2``, [n, m]. ShapeError
    for tensors of another number of axes than one."""
    vectors = promote(x1, x2)
    if any(x.ndim != 1 for x in vectors):
        shapes = " and ".join(shape_text(x.shape) for x in vectors)
        raise ShapeError(f"outer takes two vectors, not shapes {shapes}", user_location())
    return F.outer(*vectors)


def cross(x1: TensorLike, x2: TensorLike, /, *, axis: int = -1) -> Tensor:
    """The cross products of vectors of three elements along an axis, of ``x1`` and ``x2``, whose
    other axes broadcast.

    ShapeError where the axis has another size."""
    return products.cross(x1, x2, axis=axis)


def multi_dot(arrays: Sequence[TensorLike]) -> Tensor:
    """The product of two or more matrices, ``arrays``, in the order of the fewest multiplications;
    the first and the last may be vectors, a row and a column (Cormen et al., "Introduction to
    Algorithms", 15.2).

    ArgumentError for fewer than two; ShapeError where shapes do not fit together."""
    factors = [as_tensor(x) for x in arrays]
    if len(factors) < 2:
        raise ArgumentError("multi_dot takes at least two matrices", user_location())
    is_row, is_column = factors[0].ndim == 1, factors[-1].ndim == 1
    matrices = list(factors)
    if is_row:
        matrices[0] = F.expand_dims(factors[0], 0)
    if is_column:
        matrices[-1] = F.expand_dims(factors[-1], 1)
    if any(x.ndim != 2 for x in matrices):
        shapes = ", ".join(shape_text(x.shape) for x in factors)
        raise ShapeError(f"multi_dot takes matrices, not shapes {shapes}", user_location())
    sizes = [matrices[0].shape[0], *(x.shape[1] for x in matrices)]
    found = _in_order(matrices, _splits(sizes), 0, len(matrices) - 1)
    kept = found.shape[int(is_row) : 2 - int(is_column)]
    return F.reshape(found, kept)


def _splits(sizes: Sequence[Dim]) -> dict[tuple[int, int], int]:
    """Behind which factor to split the product of those from i to j."""
    count = len(sizes) - 1
    cost: dict[tuple[int, int], float] = {(i, i): 0 for i in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j] = math.inf
            for k in range(i, j):
                own = math.prod(map(about, (sizes[i], sizes[k + 1], sizes[j + 1])))
                price = cost[i, k] + cost[k + 1, j] + own
                if price < cost[i, j]:
                    cost[i, j], splits[i, j] = price, k
    return splits


def _in_order(
    matrices: Sequence[Tensor], splits: dict[tuple[int, int], int], i: int, j: int
) -> Tensor:
    if i == j:
        return matrices[i]
    k = splits[i, j]
    return F.matmul(_in_order(matrices, splits, i, k), _in_order(matrices, splits, k + 1, j))
