"""Losses that are the negative logarithm of a probability: of counts, of numbers, of sequences.

``reduction`` gives "mean" or "sum" of the losses, or with "none" each. ``input`` is what a model
predicts, ``target`` what is right: tensors or arrays whose shapes go together. ``eps`` keeps
logarithms and quotients finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import nets
from nets.nn.functional.arguments import TensorLike, check, check_number
from nets.nn.functional.loss import Reduction, reduced


def poisson_nll_loss(
    input: TensorLike,
    target: TensorLike,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """exp(x) − y · x for counts y, x the logarithm of their mean; x − y · log(x + eps) for the mean
    itself, where ``log_input`` is false. ``full`` adds log y! by Stirling's formula where y > 1."""
    x, y = nets.as_tensor(input), nets.as_tensor(target)
    loss = nets.exp(x) - y * x if log_input else x - y * nets.log(x + eps)
    if full:
        many = nets.where(y > 1, y, 1)
        stirling = many * nets.log(many) - many + 0.5 * nets.log(2 * math.pi * many)
        loss = loss + nets.where(y > 1, stirling, 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: TensorLike,
    target: TensorLike,
    var: TensorLike,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> nets.Tensor:
    """(log v + (x − y)² / v) / 2 for numbers y of mean x and variance v = max(var, eps).

    ``var`` has the shape of the input, or without its last axis, or with size 1 there, or is a
    number. ``full`` adds log(2π) / 2. ArgumentError for negative variances, from a traced function
    when it runs; ShapeError for other shapes.
    """
    check_number("eps", eps, 0, above=True)
    x, y, v = nets.as_tensor(input), nets.as_tensor(target), nets.as_tensor(var)
    if v.ndim and v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = nets.expand_dims(v, -1)
        elif v.shape != (*x.shape[:-1], 1):
            raise nets.errors.ShapeError(
                f"gaussian_nll_loss: var of shape {v.shape} is not of an input {x.shape}",
                nets.user_location(),
            )
    v = nets.check_range(v, 0, math.inf, "a variance of gaussian_nll_loss")
    # The gradient is that of the variance, also where eps takes its place.
    v = v + nets.stop_gradient(nets.clip(v, eps) - v)
    loss = 0.5 * (nets.log(v) + nets.square(x - y) / v)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def ctc_loss(
    log_probs: TensorLike,
    targets: TensorLike,
    input_lengths: TensorLike | Sequence[int],
    target_lengths: TensorLike | Sequence[int],
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> nets.Tensor:
    """−log of the probability that sequences (T, N, C) of log-probabilities spell the targets.

    ``targets`` (N, S) are classes other than ``blank``, or (ΣS,) all one after the other;
    ``input_lengths`` and ``target_lengths`` (N,) say how much of each counts. Without the axis N,
    one sequence. "mean" divides each loss by the length of its target. What cannot be spelt loses
    inf, or 0 without a gradient with ``zero_infinity``. ShapeError for other shapes,
    IndexOutOfBoundsError for classes and lengths that are not there.

    Graves et al., "Connectionist temporal classification", 2006, sections 4.1 and 4.2.

    ``log_probs`` (T, N, C) are such as ``log_softmax`` gives; with "mean" the mean over N is taken
    of the quotients.
    """
    logs, classes = nets.as_tensor(log_probs), nets.as_tensor(targets)
    single = logs.ndim == 2
    if single:
        logs = nets.expand_dims(logs, 1)
        classes = nets.reshape(classes, (1, -1))
    if logs.ndim != 3 or not logs.size or classes.ndim not in (1, 2):
        raise nets.errors.ShapeError(
            f"ctc_loss takes log-probabilities (T, N, C) and targets (N, S), not {logs.shape} and "
            f"{classes.shape}",
            nets.user_location(),
        )
    times, count, letters = logs.shape
    check(0 <= blank < letters, f"blank is one of {letters} classes, not {blank}")
    lengths = _lengths("input_lengths", input_lengths, count, times)
    most = classes.shape[-1]
    wanted = _lengths("target_lengths", target_lengths, count, most)
    if classes.ndim == 1:
        classes = _apart(classes, wanted, _largest(target_lengths, most))
    loss = _negative_log(logs, classes, lengths, wanted, blank)
    if zero_infinity:
        loss = nets.where(nets.isinf(loss), 0, loss)
    if reduction == "mean":
        return nets.mean(loss / nets.maximum(wanted, 1).astype(loss.dtype))
    return reduced(loss[0] if single else loss, reduction)


def _lengths(name: str, lengths: Any, count: int, most: int) -> nets.Tensor:
    found = nets.reshape(nets.as_tensor(lengths), (-1,))
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise nets.errors.ShapeError(
            f"{name} are {count} integers, not {found.dtype} {found.shape}", nets.user_location()
        )
    return nets.check_positions(found, most + 1, f"one of {name}")


def _largest(lengths: Any, most: int) -> int:
    """The largest length, where it is known by now."""
    try:
        return int(np.max(nets.as_tensor(lengths).numpy(), initial=0))
    except nets.errors.ControlFlowError:
        return most


def _apart(classes: nets.Tensor, lengths: nets.Tensor, most: int) -> nets.Tensor:
    """Targets that stand one after the other as rows, with anything behind each."""
    starts = nets.cumsum(lengths) - lengths
    places = nets.expand_dims(starts, -1) + nets.arange(max(most, 1))
    if not classes.size:
        return nets.zeros(places.shape, "int64")
    return nets.take(classes, nets.minimum(places, classes.size - 1))


def _negative_log(
    logs: nets.Tensor,
    classes: nets.Tensor,
    lengths: nets.Tensor,
    wanted: nets.Tensor,
    blank: int,
) -> nets.Tensor:
    """The loss of each sequence, by the sums over all ways to every prefix of its target with
    blanks around each class."""
    times, count, letters = logs.shape
    size = classes.shape[1]
    behind = nets.arange(size) >= nets.expand_dims(wanted, -1)
    classes = nets.check_positions(nets.where(behind, blank, classes), letters, "a class")
    blanks = nets.full((count, size, 1), blank, "int64")
    pairs = nets.concatenate([blanks, nets.expand_dims(nets.astype(classes, "int64"), -1)], 2)
    spelt = (
        nets.concatenate([nets.reshape(pairs, (count, -1)), blanks[:, :1, 0]], 1)
        if size
        else (nets.full((count, 1), blank, "int64"))
    )
    states = 2 * size + 1
    places = nets.broadcast_to(spelt, (times, count, states))
    said = nets.take_along_axis(logs, places, 2)
    # From one class straight to another one.
    skips = (spelt != blank) & nets.pad(
        spelt[:, 2:] != spelt[:, :-2], [(0, 0), (min(2, states), 0)]
    )
    never = -math.inf
    first = nets.where(nets.arange(states) < 2, said[0], never)
    runs = nets.expand_dims(nets.arange(1, times), -1) < lengths

    def step(ways: nets.Tensor, now: Any) -> tuple[nets.Tensor, int]:
        heard, goes_on = now
        one = nets.pad(ways[:, :-1], [(0, 0), (1, 0)], never)
        two = nets.pad(ways[:, :-2], [(0, 0), (min(2, states), 0)], never)
        both = nets.logsumexp(nets.stack([ways, one, nets.where(skips, two, never)]), 0)
        return nets.where(nets.expand_dims(goes_on, -1), both + heard, ways), 0

    ways, _ = nets.scan(step, first, (said[1:], runs))
    last = nets.expand_dims(2 * wanted, -1)
    ends = nets.arange(states)
    is_end = (ends == last) | (ends == last - 1)
    total = nets.logsumexp(nets.where(is_end, ways, never), 1)
    # No time at all spells nothing, and nothing else.
    nothing = nets.where(wanted == 0, 0.0, never)
    return -nets.where(lengths == 0, nothing.astype(total.dtype), total)
