"""Losses with a margin: what is right is to be apart from what is wrong, and no further.

``input``, or ``input1`` and ``input2``, is what a model predicts, x in the formulas, ``target``
what is right, y: tensors or arrays whose shapes go together. ``margin`` is how far apart what is
right and what is wrong are to be. ``reduction`` gives "mean" or "sum" of the losses, or with "none"
each; ArgumentError for others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import nets
from nets.nn.functional.arguments import TensorLike, check, check_number, check_shape
from nets.nn.functional.distance import pairwise_distance
from nets.nn.functional.loss import Reduction, reduced


def _together(name: str, *tensors: TensorLike) -> list[nets.Tensor]:
    """The tensors, which must broadcast to each other."""
    found = [nets.as_tensor(x) for x in tensors]
    try:
        np.broadcast_shapes(*(x.shape for x in found))
    except ValueError:
        shapes = " and ".join(str(x.shape) for x in found)
        raise nets.errors.ShapeError(
            f"{name}: shapes {shapes} do not correspond", nets.user_location()
        ) from None
    return found


def _above_zero(x: nets.Tensor) -> nets.Tensor:
    return nets.clip(x, 0)


def hinge_embedding_loss(
    input: TensorLike, target: TensorLike, margin: float = 1.0, reduction: Reduction = "mean"
) -> nets.Tensor:
    """x where the target is 1, max(0, margin − x) where it is −1: of distances."""
    x, y = _together("hinge_embedding_loss", input, target)
    far = nets.where(y != 1, _above_zero(margin - x), 0)
    return reduced(far + nets.where(y != -1, x, 0), reduction)


def margin_ranking_loss(
    input1: TensorLike,
    input2: TensorLike,
    target: TensorLike,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """max(0, margin − y · (x1 − x2)): for y = 1 ``input1`` is to be larger, for −1 smaller.

    ShapeError for tensors of different ranks.
    """
    a, b, y = _together("margin_ranking_loss", input1, input2, target)
    if not a.ndim == b.ndim == y.ndim:
        raise nets.errors.ShapeError(
            f"margin_ranking_loss takes tensors of one rank, not {a.shape}, {b.shape} and "
            f"{y.shape}",
            nets.user_location(),
        )
    return reduced(_above_zero(margin - y * (a - b)), reduction)


def soft_margin_loss(
    input: TensorLike, target: TensorLike, reduction: Reduction = "mean"
) -> nets.Tensor:
    """log(1 + exp(−y · x)) for targets 1 and −1."""
    x, y = _together("soft_margin_loss", input, target)
    return reduced(nets.softplus(-y * x), reduction)


def multi_margin_loss(
    input: TensorLike,
    target: TensorLike,
    p: int = 1,
    margin: float = 1.0,
    weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """Σ max(0, margin − x[y] + x[i])^p / C over the other classes i, of scores (N, C) or (C,).

    ``target``: the index y of the right class, in [0, C); ``weight`` (C,) multiplies the losses of
    each. ArgumentError for a ``p`` other than 1 and 2.
    """
    check(p in (1, 2), f"multi_margin_loss takes p = 1 or 2, not {p}")
    x, classes = nets.as_tensor(input), nets.as_tensor(target)
    x = x if x.ndim else nets.reshape(x, (1,))
    if x.ndim not in (1, 2) or classes.shape not in (x.shape[:-1], (1,) * (x.ndim == 1)):
        raise nets.errors.ShapeError(
            f"multi_margin_loss takes scores (N, C) and classes (N,), not {x.shape} and "
            f"{classes.shape}",
            nets.user_location(),
        )
    count = x.shape[-1]
    check_shape("the weight of classes", weight, (count,))
    y = nets.check_positions(nets.reshape(classes, x.shape[:-1]), count, "a class")
    right = nets.take_along_axis(x, nets.expand_dims(y, -1), -1)
    loss = _above_zero(margin - right + x)
    loss = loss * loss if p == 2 else loss
    if weight is not None:
        loss = loss * nets.expand_dims(nets.take(weight, y, axis=0), -1)
    others = nets.expand_dims(y, -1) != nets.arange(count)
    return reduced(nets.sum(nets.where(others, loss, 0), -1) / count, reduction)


def multilabel_margin_loss(
    input: TensorLike, target: TensorLike, reduction: Reduction = "mean"
) -> nets.Tensor:
    """Σ max(0, 1 − x[y] + x[i]) / C over right classes y and wrong ones i, of scores (N, C), (C,).

    ``target``, of the same shape: the indices of the right classes, and −1 behind them.
    """
    x, classes = nets.as_tensor(input), nets.as_tensor(target)
    if x.shape != classes.shape or x.ndim > 2:
        raise nets.errors.ShapeError(
            f"multilabel_margin_loss takes scores (N, C) and as many classes, not {x.shape} and "
            f"{classes.shape}",
            nets.user_location(),
        )
    if classes.dtype.kind not in "iu":
        raise nets.errors.DTypeError(
            f"class indices are integers, not {classes.dtype}", nets.user_location()
        )
    scores, own = nets.reshape(x, (-1, x.size)) if x.ndim < 2 else x, classes
    own = nets.reshape(own, scores.shape)
    count = scores.shape[-1]
    is_listed = nets.cumsum(nets.astype(own < 0, "int64"), 1) == 0
    y = nets.check_positions(nets.where(is_listed, own, 0), max(count, 1), "a class")
    hits = (nets.expand_dims(y, -1) == nets.arange(count)) & nets.expand_dims(is_listed, -1)
    is_right = nets.any(hits, 1, keepdims=True)
    apart = nets.expand_dims(nets.take_along_axis(scores, y, 1), -1) - nets.expand_dims(scores, 1)
    counted = nets.expand_dims(is_listed, -1) & ~is_right
    loss = nets.sum(nets.where(counted, _above_zero(1 - apart), 0), (1, 2)) / max(count, 1)
    return reduced(loss if x.ndim == 2 else loss[0], reduction)


def multilabel_soft_margin_loss(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """The mean over classes of −(y log σ(x) + (1 − y) log σ(−x)), each multiplied by ``weight``.

    ``target`` has the shape (N, C) of the scores, 1 where a class is right and 0 elsewhere;
    ``weight`` (C,) has a factor for each class, None for ones.
    """
    x, y = _together("multilabel_soft_margin_loss", input, target)
    loss = y * nets.softplus(-x) + (1 - y) * nets.softplus(x)
    loss = loss if weight is None else loss * weight
    return reduced(nets.mean(loss, -1) if loss.ndim else loss, reduction)


Distance = Callable[[nets.Tensor, nets.Tensor], nets.Tensor]


def triplet_margin_loss(
    anchor: TensorLike,
    positive: TensorLike,
    negative: TensorLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin), d of ``pairwise_distance``.

    ``p`` and ``eps`` are those of the distance; ``swap`` takes d(positive, negative) where it is
    smaller (Balntas et al., "Learning shallow convolutional feature descriptors with triplet
    losses", 2016). ArgumentError for a ``margin`` that is not positive.
    """
    tensors = _together("triplet_margin_loss", anchor, positive, negative)
    if len({x.ndim for x in tensors}) > 1:
        raise nets.errors.ShapeError(
            "triplet_margin_loss takes tensors of one rank, not "
            + ", ".join(str(x.shape) for x in tensors),
            nets.user_location(),
        )
    return triplet_margin_with_distance_loss(
        *tensors,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: TensorLike,
    positive: TensorLike,
    negative: TensorLike,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """``triplet_margin_loss`` with any ``distance_function``, by default ``pairwise_distance``.

    ``anchor``, ``positive`` and ``negative`` are tensors of one shape; the function takes two of
    them and gives their distances. ``swap`` takes that of positive and negative where it is
    smaller. ArgumentError for a ``margin`` that is not positive.
    """
    check_number("margin", margin, 0, above=True)
    is_function = distance_function is None or callable(distance_function)
    check(is_function, f"distance_function is a function, not {distance_function!r}")
    a, near, far = _together("triplet_margin_loss", anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    apart = distance(a, far)
    if swap:
        apart = nets.minimum(apart, distance(near, far))
    return reduced(_above_zero(distance(a, near) - apart + margin), reduction)


def cosine_embedding_loss(
    input1: TensorLike,
    input2: TensorLike,
    target: TensorLike,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """1 − cos(x1, x2) where the target is 1, max(0, cos(x1, x2) − margin) where it is −1.

    Vectors (N, d) with targets (N,), or (d,) with one. ShapeError for others.
    """
    a, b, y = (nets.as_tensor(x) for x in (input1, input2, target))
    if y.ndim not in (0, 1) or (a.ndim, b.ndim) != (y.ndim + 1, y.ndim + 1):
        raise nets.errors.ShapeError(
            f"cosine_embedding_loss takes vectors (N, d) and targets (N,), not {a.shape}, "
            f"{b.shape} and {y.shape}",
            nets.user_location(),
        )
    _together("cosine_embedding_loss", a, b)
    lengths = (nets.sum(a * a, -1) + 1e-12) * (nets.sum(b * b, -1) + 1e-12)
    cosine = nets.sum(a * b, -1) / nets.sqrt(lengths)
    near = nets.where(y == 1, 1 - cosine, 0)
    return reduced(near + nets.where(y == -1, _above_zero(cosine - margin), 0), reduction)
