"""Optimisers against their formulas, written out in NumPy: every option, eager and compiled.

``test_curves.py`` compares them with PyTorch as well, where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn, optim
from tests.optim.test_optimizers import wave

Array = npt.NDArray[Any]
Steps = Iterator[Array]
"""The parameter after each step."""

OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.02, "momentum": 0.9, "dampening": 0.3}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.05, "amsgrad": True, "betas": (0.8, 0.95)}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.001, "centered": True, "momentum": 0.5, "weight_decay": 0.01}),
    ("Adagrad", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.01, "initial_accumulator_value": 0.1}),
    ("SGD", {"lr": 0.01, "maximize": True}),
]
"""Those that PyTorch has, too."""

MORE: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.01, "eps": 0.1, "maximize": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.5, "eps": 0.1, "momentum": 0.9, "maximize": True}),
    ("Adagrad", {"lr": 0.05, "eps": 0.1, "weight_decay": 0.1, "lr_decay": 0.5, "maximize": True}),
    ("Lion", {"lr": 0.01}),
    ("Lion", {"lr": 0.01, "betas": (0.5, 0.8), "weight_decay": 0.2, "maximize": True}),
]


def sgd(
    p: Array,
    gradients: list[Array],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Steps:
    v = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        d = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = d if t == 1 else momentum * v + (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        p = p - lr * d
        yield p


def adam(
    p: Array,
    gradients: list[Array],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled: bool = False,
) -> Steps:
    m = v = most = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        g = -g if maximize else g
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        most = np.maximum(most, v)
        mean, square = m / (1 - betas[0] ** t), (most if amsgrad else v) / (1 - betas[1] ** t)
        p = p - lr * mean / (np.sqrt(square) + eps)
        yield p


def adamw(
    p: Array, gradients: list[Array], lr: float, weight_decay: float = 0.01, **options: Any
) -> Steps:
    return adam(p, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    p: Array,
    gradients: list[Array],
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> Steps:
    square = mean = moved = np.zeros_like(p)
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        size = np.sqrt(square - mean**2 if centered else square) + eps
        moved = momentum * moved + g / size
        p = p - lr * moved
        yield p


def adagrad(
    p: Array,
    gradients: list[Array],
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> Steps:
    total = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(gradients, 1):
        g = (-g if maximize else g) + weight_decay * p
        total = total + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps)
        yield p


def lion(
    p: Array,
    gradients: list[Array],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> Steps:
    m = np.zeros_like(p)
    for g in gradients:
        g = -g if maximize else g
        direction = np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        p = p - lr * (direction + weight_decay * p)
        yield p


FORMULAS: dict[str, Callable[..., Steps]] = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": adamw,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Lion": lion,
}


@pytest.mark.parametrize(("name", "options"), [*OPTIMISERS, *MORE])
@pytest.mark.sampled(4)
def test_steps_are_those_of_the_formula(name: str, options: dict[str, Any]) -> None:
    gradients = [wave((7,), t) * 10.0 ** (np.arange(7) - 5) for t in range(6)]
    expected = list(FORMULAS[name](wave((7,), 0.5), gradients, **options))
    for traced in (False, True):
        p = nn.Parameter(wave((7,), 0.5))
        optimizer = getattr(optim, name)([p], **options)

        def step(g: Any, p: nn.Parameter = p, optimizer: optim.Optimizer = optimizer) -> None:
            p.grad = g
            optimizer.step()

        run: Callable[[Any], Any] = nets.trace(step) if traced else step
        for t, gradient in enumerate(gradients):
            run(nets.Tensor(gradient))
            np.testing.assert_allclose(
                p.data, expected[t], rtol=1e-11, atol=1e-14, err_msg=f"{traced}, step {t + 1}"
            )


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_a_plateau_counts_by_the_definition(mode: Any, threshold_mode: Any) -> None:
    """One step more than ``patience`` without a number that is better by the threshold."""
    sign = 1 if mode == "min" else -1
    values = [
        sign * x for x in (3.0, 2.875, 2.5, 2.5, 2.25, 2.5, 2.5, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0)
    ]
    for patience, cooldown in ((0, 0), (1, 0), (2, 1), (0, 2)):
        rate, best, bad, waiting = 1.0, values[0], 0, 0
        sgd = optim.SGD([nn.Parameter([0.0])], lr=1.0)
        schedule = optim.ReduceLROnPlateau(
            sgd, mode, 0.5, patience, 0.125, threshold_mode, cooldown, min_lr=0.2
        )
        for t, value in enumerate(values):
            margin = 0.125 * (abs(best) if threshold_mode == "rel" else 1)
            better = t == 0 or sign * (best - value) > margin
            best, bad = (value, 0) if better else (best, bad + 1)
            if waiting:
                waiting, bad = waiting - 1, 0
            if bad > patience:
                rate, bad, waiting = max(rate / 2, 0.2), 0, cooldown
            schedule.step(value)
            assert sgd.lr == rate, (patience, cooldown, t)
