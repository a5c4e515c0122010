"""Averages of weights over training, and the schedule for them.

Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018; running
means: Polyak and Juditsky, 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import nets
from nets.nn import Module
from nets.nn.functional.arguments import check, check_count, check_number
from nets.nn.normalization import _BatchNorm
from nets.optim.optimizer import Optimizer
from nets.optim.schedule import LRScheduler, _per_group

Average = Callable[[nets.Tensor, nets.Tensor, nets.Tensor], nets.Tensor]
"""The new average of the old one, a parameter, and how many are in it."""
AverageOfAll = Callable[[list[nets.Tensor], list[nets.Tensor], nets.Tensor], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The running mean: decay · average + (1 − decay) · parameter. ArgumentError outside [0, 1]."""
    check_number("decay", decay, 0, 1)

    def ema(average: nets.Tensor, parameter: nets.Tensor, count: nets.Tensor) -> nets.Tensor:
        return average + (1 - decay) * (parameter - average)

    return ema


def get_swa_avg_fn() -> Average:
    """The mean of all."""

    def swa(average: nets.Tensor, parameter: nets.Tensor, count: nets.Tensor) -> nets.Tensor:
        return average + (parameter - average) / nets.astype(count + 1, average.dtype)

    return swa


def _of_all(one: Average) -> AverageOfAll:
    def update(averages: list[nets.Tensor], new: list[nets.Tensor], count: nets.Tensor) -> None:
        for average, parameter in zip(averages, new, strict=True):
            average.data = one(average, parameter, count)

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageOfAll:
    """``get_ema_avg_fn`` for all parameters at once.

    ``decay`` is the part of the average that is kept, in [0, 1].
    """
    return _of_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> AverageOfAll:
    """``get_swa_avg_fn`` for all parameters at once."""
    return _of_all(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a ``model`` whose parameters are averages: of all, or by ``avg_fn(average,
    parameter, count)``, or by ``multi_avg_fn`` for lists of them, which writes the averages.

    ``use_buffers``: average buffers, too; otherwise they are those of the model at the last update.
    ``device`` is the CPU. ``update_parameters`` may be part of a traced training step.
    """

    def __init__(
        self,
        model: Module,
        device: object = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageOfAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        check(avg_fn is None or multi_avg_fn is None, "either avg_fn or multi_avg_fn is given")
        check(device is None or str(device).startswith("cpu"), f"there is no device {device}")
        self.module = model.copy()
        self.register_buffer("n_averaged", nets.Tensor(0))
        self.avg_fn = get_swa_avg_fn() if avg_fn is None else avg_fn
        self.multi_avg_fn, self.use_buffers = multi_avg_fn, use_buffers

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the copy computes."""
        return self.module(*inputs, **options)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of the model into the averages."""
        own: list[nets.Tensor] = list(self.module.parameters())
        new: list[nets.Tensor] = list(model.parameters())
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if self.use_buffers:
            own += [a for a, _ in buffers if a.dtype.kind == "f"]
            new += [b for _, b in buffers if b.dtype.kind == "f"]
        count: nets.Tensor = self.n_averaged  # type: ignore[attr-defined]
        with nets.no_grad():
            # The first time the averages are the parameters themselves.
            start = [nets.where(count == 0, b, a) for a, b in zip(own, new, strict=True)]
            for average, value in zip(own, start, strict=True):
                average.data = value
            if self.multi_avg_fn is not None:
                self.multi_avg_fn(own, [nets.stop_gradient(x) for x in new], count)
            else:
                for average, parameter in zip(own, new, strict=True):
                    average.data = self.avg_fn(average, nets.stop_gradient(parameter), count)
            for average, buffer in buffers if not self.use_buffers else ():
                average.data = buffer.detach()
            count.data = count + 1


def update_bn(loader: Iterable[Any], model: Module, device: object = None) -> None:
    """Give the batch normalisations of a model the statistics of all batches of a loader.

    Of a batch that is a tuple or list, the first part is the input. ``device`` is the CPU.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    layers = [layer for layer in layers if layer.running_mean is not None]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    for layer in layers:
        layer.running_mean.data = nets.zeros_like(layer.running_mean)  # type: ignore[union-attr, arg-type]
        layer.running_var.data = nets.ones_like(layer.running_var)  # type: ignore[union-attr, arg-type]
        layer.num_batches_tracked.data = 0  # type: ignore[attr-defined]
        layer.momentum = None
    model.train()
    with nets.no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rate of the moment to ``swa_lr`` in ``anneal_epochs`` steps, then constant.

    ``anneal_strategy``: along a "cos" or "linear"; a list of rates has one for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
    ) -> None:
        check(anneal_strategy in ("cos", "linear"), "anneal_strategy is 'cos' or 'linear'")
        check_count("anneal_epochs", anneal_epochs, 0)
        self.swa_lrs = _per_group(optimizer, swa_lr, "swa_lr")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer)

    def _part(self, n: int) -> float:
        t = max(0.0, min(1.0, n / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def _set(self) -> None:
        """Go on from the rates that are there, whoever set them."""
        n = max(1, self.last_epoch) if self.anneal_epochs == 0 else self.last_epoch
        before, now = self._part(n - 1), self._part(n)
        for group, goal in zip(self.optimizer.param_groups, self.swa_lrs, strict=True):
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            group["lr"] = goal * now + start * (1 - now)
