"""Losses: one number, or one per element, that says how far predictions are from targets.

``input`` is what a model predicts, x in the formulas, ``target`` what is right, y: tensors or
arrays, of the same shape where nothing else is said (ShapeError for others). ``weight`` multiplies
the loss of each class, or of each element where there are no classes; None stands for ones.
``reduction`` gives "mean" or "sum" of the losses, or with "none" each; ArgumentError for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import nets
from nets.nn.functional.arguments import TensorLike, check_number, check_shape
from nets.nn.functional.linear import linear

Reduction = Literal["mean", "sum", "none"]

_STEEP: Final = 1e-12
"""Closer than this to 0 or 1, the logarithm of a probability is continued by a line."""


def reduced(loss: nets.Tensor, reduction: str) -> nets.Tensor:
    if reduction == "mean":
        return nets.mean(loss)
    if reduction == "sum":
        return nets.sum(loss)
    if reduction == "none":
        return loss
    raise nets.errors.ArgumentError(
        f"reduction is 'mean', 'sum' or 'none', not {reduction!r}", nets.user_location()
    )


def difference(input: TensorLike, target: TensorLike) -> nets.Tensor:
    x, y = nets.as_tensor(input), nets.as_tensor(target)
    if x.shape != y.shape:
        raise nets.errors.ShapeError(
            f"predictions of shape {x.shape} and targets of shape {y.shape} do not correspond",
            nets.user_location(),
        )
    return x - y


def mse_loss(input: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> nets.Tensor:
    """Squared differences."""
    return reduced(nets.square(difference(input, target)), reduction)


def l1_loss(input: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> nets.Tensor:
    """Magnitudes of the differences."""
    return reduced(nets.abs(difference(input, target)), reduction)


def huber_loss(
    input: TensorLike, target: TensorLike, reduction: Reduction = "mean", delta: float = 1.0
) -> nets.Tensor:
    """d²/2 for differences below delta, delta · (|d| − delta/2) above (Huber, 1964).

    ArgumentError for a ``delta`` that is not positive.
    """
    check_number("delta", delta, 0, above=True)
    apart = nets.abs(difference(input, target))
    square = 0.5 * apart * apart
    return reduced(nets.where(apart < delta, square, delta * (apart - 0.5 * delta)), reduction)


def smooth_l1_loss(
    input: TensorLike, target: TensorLike, reduction: Reduction = "mean", beta: float = 1.0
) -> nets.Tensor:
    """``huber_loss`` divided by its delta, here beta; ``l1_loss`` for 0.

    ArgumentError for a negative ``beta``.
    """
    check_number("beta", beta, 0)
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


def cross_entropy(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> nets.Tensor:
    """−log of the probability that the scores (N, C, …) or (C,) give to the right class.

    ``target``: class indices, without the axis C; or probabilities (such as one-hot rows) of the
    shape of the scores. ``weight`` (C,): of each class; the mean over indices is divided by the
    weights of the targets. ``label_smoothing``: the part of each target spread over all classes.
    Indices are those of ``nll_loss``, which are refused outside [0, C); a ``label_smoothing``
    outside [0, 1] is an ArgumentError.
    """
    check_number("label_smoothing", label_smoothing, 0, 1)
    scores, wanted = nets.as_tensor(input), nets.as_tensor(target)
    axis = _class_axis(scores)
    check_shape("the weight of classes", weight, (scores.shape[axis],))
    logs = nets.log_softmax(scores, axis)
    if wanted.shape == scores.shape:
        return _cross_entropy_of_probabilities(
            logs, wanted, weight, reduction, label_smoothing, axis
        )
    loss = nll_loss(logs, wanted, weight, ignore_index, reduction)
    if not label_smoothing:
        return loss
    everywhere = -nets.sum(_weighted(logs, weight, axis), axis)
    smooth = _reduced_of_classes(everywhere, wanted, weight, ignore_index, reduction)
    return (1 - label_smoothing) * loss + label_smoothing / scores.shape[axis] * smooth


def linear_cross_entropy(
    input: TensorLike,
    linear_weight: TensorLike,
    target: TensorLike,
    *,
    linear_bias: TensorLike | None = None,
    weight: TensorLike | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> nets.Tensor:
    """``cross_entropy`` of the scores ``linear(input, linear_weight, linear_bias)``.

    ``linear_weight`` (C, in), or (C, …, in) for scores (N, C, …); ``linear_bias`` of its shape
    without the last axis. ``ignore_index`` and ``label_smoothing`` are those of
    ``cross_entropy``, but that no index is ignored by default. ShapeError for other shapes;
    ArgumentError for an ``ignore_index`` beside probabilities.
    """
    x, table = nets.as_tensor(input), nets.as_tensor(linear_weight)
    if table.ndim < 2 or not x.ndim or x.shape[-1] != table.shape[-1]:
        raise nets.errors.ShapeError(
            f"a linear_weight (C, …, in) and an input (N, in) are needed, not {table.shape} and "
            f"{x.shape}",
            nets.user_location(),
        )
    classes = table.shape[:-1]
    check_shape("linear_bias", linear_bias, classes)
    rows = nets.reshape(table, (math.prod(classes), table.shape[-1]))
    bias = None if linear_bias is None else nets.reshape(linear_bias, (-1,))
    scores = nets.reshape(linear(x, rows, bias), (*x.shape[:-1], *classes))
    if table.ndim > 2 and x.ndim < 2:
        raise nets.errors.ShapeError(
            f"classes with further axes, {classes}, are of an input (N, in), not {x.shape}",
            nets.user_location(),
        )
    is_probability = nets.as_tensor(target).shape == scores.shape
    if ignore_index is not None and is_probability:
        raise nets.errors.ArgumentError(
            "an ignore_index is one of class indices, not of probabilities", nets.user_location()
        )
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, ignored, reduction, label_smoothing)


def _class_axis(scores: nets.Tensor) -> int:
    if not scores.ndim:
        raise nets.errors.ShapeError(
            "scores have an axis of classes: (N, C, …) or (C,), not ()", nets.user_location()
        )
    return 1 if scores.ndim > 1 else 0


def _cross_entropy_of_probabilities(
    logs: nets.Tensor,
    target: nets.Tensor,
    weight: TensorLike | None,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> nets.Tensor:
    wanted = nets.astype(target, logs.dtype)
    if label_smoothing:
        wanted = wanted * (1 - label_smoothing) + label_smoothing / logs.shape[axis]
    return reduced(-nets.sum(_weighted(logs, weight, axis) * wanted, axis), reduction)


def _weighted(logs: nets.Tensor, weight: TensorLike | None, axis: int) -> nets.Tensor:
    if weight is None:
        return logs
    return logs * nets.reshape(weight, (-1,) + (1,) * (logs.ndim - axis - 1))


def nll_loss(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """Minus the log-probabilities (N, C, …) or (C,) of the classes whose indices are given.

    Nothing is lost for the targets ``ignore_index``. IndexOutOfBoundsError for others outside
    [0, C): at once, from a traced function when it runs, by a status from an exported one.
    """
    logs, classes = nets.as_tensor(input), nets.as_tensor(target)
    axis = _class_axis(logs)
    check_shape("the weight of classes", weight, (logs.shape[axis],))
    if classes.shape != logs.shape[:axis] + logs.shape[axis + 1 :]:
        raise nets.errors.ShapeError(
            f"class indices of shape {classes.shape} do not belong to scores of shape {logs.shape}",
            nets.user_location(),
        )
    if classes.dtype.kind not in "iu":
        raise nets.errors.DTypeError(
            f"class indices are integers, not {classes.dtype}; probabilities have the shape of "
            "the scores",
            nets.user_location(),
        )
    # What is ignored must still be read somewhere.
    read = nets.where(classes == ignore_index, 0, classes)
    read = nets.check_positions(
        read, logs.shape[axis], f"a class other than ignore_index {ignore_index}"
    )
    picked = nets.take_along_axis(logs, nets.expand_dims(read, axis), axis)
    loss = -nets.squeeze(picked, axis)
    if weight is not None:
        loss = loss * nets.take(weight, read, axis=0)
    return _reduced_of_classes(loss, classes, weight, ignore_index, reduction)


def _reduced_of_classes(
    loss: nets.Tensor,
    classes: nets.Tensor,
    weight: TensorLike | None,
    ignore_index: int,
    reduction: str,
) -> nets.Tensor:
    """Losses of class indices reduced; the mean is over the weights of what is not ignored."""
    ignored = classes == ignore_index
    counted = nets.where(ignored, 0, loss)
    if reduction != "mean":
        return reduced(counted, reduction)
    if weight is None:
        of_each = nets.ones_like(loss)
    else:
        of_each = nets.take(weight, nets.where(ignored, 0, classes), axis=0)
    return nets.sum(counted) / nets.sum(nets.where(ignored, 0, of_each))


def binary_cross_entropy(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """−(y log p + (1 − y) log(1 − p)) of probabilities p; logarithms are kept above −100.

    Their slopes are kept below 1e12, so that a probability of 0 or 1 has a gradient, too.
    ArgumentError for probabilities outside [0, 1], from a traced function when it runs.
    """
    p, y = nets.as_tensor(input), nets.as_tensor(target)
    difference(p, y)
    p = nets.check_range(p, 0, 1, "a probability of binary_cross_entropy")
    hit = _bounded(nets.log, p, p < _STEEP, 1 / _STEEP)
    miss = _bounded(lambda p: nets.log1p(-p), p, 1 - p < _STEEP, -1 / _STEEP)
    loss = -(y * hit + (1 - y) * miss)
    return reduced(loss if weight is None else loss * weight, reduction)


def _bounded(
    log: Callable[[nets.Tensor], nets.Tensor], p: nets.Tensor, at_end: nets.Tensor, slope: float
) -> nets.Tensor:
    """``log(p)``; at the end of [0, 1] where it is steep kept above −100, and of that slope."""
    held = nets.stop_gradient(p)
    line = nets.clip(log(held), -100.0) + (p - held) * slope
    return nets.where(at_end, line, log(nets.where(at_end, 0.5, p)))


def binary_cross_entropy_with_logits(
    input: TensorLike,
    target: TensorLike,
    weight: TensorLike | None = None,
    reduction: Reduction = "mean",
    pos_weight: TensorLike | None = None,
) -> nets.Tensor:
    """``binary_cross_entropy`` of sigmoid(x), computed from x without overflow.

    ``pos_weight`` multiplies the loss of positive targets.
    """
    x, y = nets.as_tensor(input), nets.as_tensor(target)
    difference(x, y)
    missed = nets.softplus(-x)  # −log(sigmoid(x))
    if pos_weight is not None:
        missed = missed * ((nets.as_tensor(pos_weight) - 1) * y + 1)
    loss = (1 - y) * x + missed
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: TensorLike,
    target: TensorLike,
    reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
    log_target: bool = False,
) -> nets.Tensor:
    """y · (log y − x): the divergence of probabilities y from log-probabilities x.

    "batchmean" divides the sum by the size of the first axis, which is what mathematics means.
    ``log_target``: the targets are given as logarithms, too.
    """
    x, y = nets.as_tensor(input), nets.as_tensor(target)
    difference(x, y)
    if log_target:
        loss = nets.exp(y) * (y - x)
    else:
        positive = y > 0
        loss = nets.where(positive, y * (nets.log(nets.where(positive, y, 1)) - x), 0)
    if reduction == "batchmean":
        return nets.sum(loss) / (x.shape[0] if x.ndim else 1)
    return reduced(loss, reduction)
