"""Distances and angles between vectors."""

from __future__ import annotations

import nets
from nets.nn.functional.arguments import TensorLike, check_number


def cosine_similarity(
    x1: TensorLike, x2: TensorLike, dim: int = 1, eps: float = 1e-8
) -> nets.Tensor:
    """The cosine of the angles between vectors along an axis; both broadcast to each other.

    Lengths count as at least ``eps``.

    ``x1`` and ``x2`` are tensors or arrays; ``dim``, the axis of the vectors, is left out of the
    result. AxisError where there is none, ArgumentError for a negative ``eps``.
    """
    check_number("eps", eps, 0)
    a, b = nets.broadcast_arrays(*(nets.as_tensor(x) for x in (x1, x2)))
    a, b = (x / nets.clip(x.norm(2, dim, keepdim=True), eps) for x in (a, b))
    return nets.sum(a * b, dim) if a.ndim else nets.positive(a * b)


def pairwise_distance(
    x1: TensorLike, x2: TensorLike, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> nets.Tensor:
    """The ``p``-norm of x1 − x2 + eps along the last axis, which ``keepdim`` keeps with size 1.

    ``x1`` and ``x2`` are tensors or arrays (…, d) whose shapes broadcast; ``eps`` keeps the
    derivative finite where they are equal.
    """
    check_number("p", p)
    check_number("eps", eps)
    return (nets.as_tensor(x1) - x2 + eps).norm(p, -1, keepdim=keepdim)
