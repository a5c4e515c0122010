"""Losses of classes, and steps of optimisers: of several tensors at a time, kind after kind."""

from __future__ import annotations

from typing import Any

import nets
from nets.nn import functional as F
from tests.acceptance.onnx_cases.graph import Node, operator

NOTHING = -1 << 40
"""No class: what is ignored where nothing is."""


def _ignored(node: Node) -> int:
    return NOTHING if node["ignore_index"] is None else node["ignore_index"]


@operator("NegativeLogLikelihoodLoss")
def nll_loss(node: Node, logs: Any, classes: Any, weight: Any = None) -> Any:
    return F.nll_loss(logs, classes, weight, _ignored(node), node["reduction"])


@operator("SoftmaxCrossEntropyLoss")
def cross_entropy(node: Node, scores: Any, classes: Any, weight: Any = None) -> Any:
    loss = F.cross_entropy(scores, classes, weight, _ignored(node), node["reduction"])
    return (loss, nets.log_softmax(scores, 1)) if node.wants(1) else loss


def _groups(tensors: tuple[Any, ...], size: int) -> list[tuple[Any, ...]]:
    """First all parameters, then all gradients, and so on → those of one parameter."""
    count = len(tensors) // size
    return [tensors[i::count] for i in range(count)]


def _ungrouped(results: list[tuple[Any, ...]]) -> list[Any]:
    return [x for kind in zip(*results, strict=True) for x in kind]


@operator("Adagrad")
def adagrad(node: Node, rate: Any, step: Any, *tensors: Any) -> Any:
    rate = rate / (1 + step * node["decay_factor"])

    def updated(x: Any, gradient: Any, squares: Any) -> tuple[Any, Any]:
        gradient = node["norm_coefficient"] * x + gradient
        squares = squares + gradient * gradient
        return x - rate * gradient / (nets.sqrt(squares) + node["epsilon"]), squares

    results = _ungrouped([updated(*group) for group in _groups(tensors, 3)])
    return [nets.astype(r, tensors[0].dtype) for r in results]


@operator("Adam")
def adam(node: Node, rate: Any, step: Any, *tensors: Any) -> Any:
    a, b = node["alpha"], node["beta"]
    corrected = nets.where(step > 0, rate * nets.sqrt(1 - b**step) / (1 - a**step), rate)

    def updated(x: Any, gradient: Any, mean: Any, squares: Any) -> tuple[Any, ...]:
        gradient = node["norm_coefficient"] * x + gradient
        mean = a * mean + (1 - a) * gradient
        squares = b * squares + (1 - b) * gradient * gradient
        new = x - corrected * mean / (nets.sqrt(squares) + node["epsilon"])
        return (1 - node["norm_coefficient_post"]) * new, mean, squares

    results = _ungrouped([updated(*group) for group in _groups(tensors, 4)])
    return [nets.astype(r, tensors[0].dtype) for r in results]


@operator("Momentum")
def momentum(node: Node, rate: Any, step: Any, *tensors: Any) -> Any:
    def updated(x: Any, gradient: Any, velocity: Any) -> tuple[Any, Any]:
        gradient = node["norm_coefficient"] * x + gradient
        share = nets.where(step > 0, node["beta"], 1.0)
        velocity = node["alpha"] * velocity + share * gradient
        move = velocity
        if node["mode"] == "nesterov":
            move = gradient + node["alpha"] * velocity
        return x - rate * move, velocity

    results = _ungrouped([updated(*group) for group in _groups(tensors, 3)])
    return [nets.astype(r, tensors[0].dtype) for r in results]
