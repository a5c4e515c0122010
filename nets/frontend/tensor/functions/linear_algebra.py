"""Products of matrices and tensors, all in terms of matmul, transposes and reshapes.

``x`` and ``y`` are tensors, or what makes them; their leading axes broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.errors import ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import same_shape, same_size
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    expand,
    joined_shape,
    promote,
    resized,
    shape_text,
)
from nets.frontend.tensor.functions import reduction
from nets.frontend.tensor.functions.arithmetic import multiply
from nets.frontend.tensor.functions.shape import normal_axis, permute_dims, reshape, shape_of
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location


def matmul(x: TensorLike, y: TensorLike) -> Tensor:
    """Matrix product over the last two axes, the others broadcast.

    A one-dimensional operand counts as a row on the left, a column on the right, and its axis
    does not appear in the result. ShapeError for 0-d operands and sizes that differ.
    """
    a, b = promote(x, y)
    inner = -2 if b.ndim > 1 else 0
    if not a.ndim or not b.ndim or a.type.shape[-1] != b.type.shape[inner]:
        a = _with_columns(a, b, inner)
    if a.ndim > 2 and b.ndim == 2:  # one product of many rows, rather than many of a repeated b
        rows = apply("matmul", reshape(a, (math.prod(a.shape[:-1]), a.shape[-1])), b)
        return reshape(rows, (*a.shape[:-1], b.shape[-1]))
    left = a if a.ndim > 1 else reshape(a, (1, *a.shape))
    right = b if b.ndim > 1 else reshape(b, (*b.shape, 1))
    batch = joined_shape(left.shape[:-2], right.shape[:-2])
    result = apply(
        "matmul",
        expand(left, (*batch, *left.shape[-2:])),
        expand(right, (*batch, *right.shape[-2:])),
    )
    of_rows = left.shape[-2:-1] if a.ndim > 1 else ()
    of_columns = right.shape[-1:] if b.ndim > 1 else ()
    return reshape(result, (*batch, *of_rows, *of_columns))


def _with_columns(a: Tensor, b: Tensor, inner: int) -> Tensor:
    """``a`` with as many columns as b has rows, where each call is checked for that; ShapeError
    where they are sure to differ."""
    shapes = f"shapes {shape_text(a.shape)} and {shape_text(b.shape)}"
    have, need = (x.shape[at] if x.ndim else None for x, at in ((a, -1), (b, inner)))
    if have is None or need is None or not same_size(have, need, f"matmul of {shapes}"):
        raise ShapeError(f"matmul: {shapes} do not fit together", user_location())
    return resized(a, (*a.type.shape[:-1], b.type.shape[inner]))


def dot(x: TensorLike, y: TensorLike) -> Tensor:
    """NumPy's dot: a matrix product, a product with a number, or for higher ranks the sum over
    the last axis of x and the second to last of y."""
    a, b = promote(x, y)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def outer(x: TensorLike, y: TensorLike) -> Tensor:
    """The matrix of all products of an element of x and an element of y, both flattened."""
    a, b = promote(x, y)
    return multiply(reshape(a, (a.size, 1)), reshape(b, (1, b.size)))


def tensordot(x: TensorLike, y: TensorLike, axes: int | Sequence[object] = 2) -> Tensor:
    """Sum of products over pairs of axes: the last ``axes`` of x with the first of y, or the two
    lists of axes in ``axes``."""
    a, b = promote(x, y)
    of_a, of_b = _pairs(axes, a, b)
    shared, others = (tuple(x.shape[i] for i in axes) for x, axes in ((a, of_a), (b, of_b)))
    if not same_shape(shared, others, f"tensordot over axes {of_a} and {of_b}"):
        raise ShapeError(
            f"tensordot: axes {of_a} of shape {shape_text(a.shape)} and {of_b} of shape "
            f"{shape_text(b.shape)} differ in size",
            user_location(),
        )
    free_a = [i for i in range(a.ndim) if i not in of_a]
    free_b = [i for i in range(b.ndim) if i not in of_b]
    inner = math.prod(shared)
    rows, columns = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    b = resized(b, tuple(shared[of_b.index(i)] if i in of_b else n for i, n in enumerate(b.shape)))
    left = reshape(permute_dims(a, [*free_a, *of_a]), (math.prod(rows), inner))
    right = reshape(permute_dims(b, [*of_b, *free_b]), (inner, math.prod(columns)))
    return reshape(apply("matmul", left, right), (*rows, *columns))


def _pairs(axes: int | Sequence[object], a: Tensor, b: Tensor) -> tuple[list[int], list[int]]:
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: there are no {axes} axes to share", user_location())
        return list(range(a.ndim - axes, a.ndim)), list(range(axes))
    if not isinstance(axes, (tuple, list)) or len(axes) != 2:
        raise ShapeError("tensordot takes a number of axes or two lists", user_location())
    of_a = [normal_axis(i, a.ndim) for i in shape_of(axes[0])]
    of_b = [normal_axis(i, b.ndim) for i in shape_of(axes[1])]
    if len(of_a) != len(of_b) or len(set(of_a)) != len(of_a) or len(set(of_b)) != len(of_b):
        raise ShapeError("tensordot takes two lists of as many different axes", user_location())
    return of_a, of_b


def vecdot(x: TensorLike, y: TensorLike, axis: int = -1) -> Tensor:
    """Sum of products along one axis of both, in the dtype they promote to; of bools, whether
    any product is true. ShapeError where the axis has not the same size in both."""
    a, b = promote(x, y)
    at = integer_of(axis, "an axis")
    if at < 0 or a.ndim == b.ndim:
        first, second = (t.shape[normal_axis(at, t.ndim)] for t in (a, b))
        shapes = f"{shape_text(a.shape)} and {shape_text(b.shape)}"
        if not same_size(first, second, f"vecdot of {shapes}"):
            raise ShapeError(f"vecdot: axis {at} of {shapes} differs in size", user_location())
    product = multiply(a, b)
    if product.type.dtype.is_bool:
        return product.any(axis)
    return reduction.sum(product, axis, dtype=product.dtype)
