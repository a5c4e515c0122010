"""Further schedules of the learning rate: constant, by powers, by products, in cycles, together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from nets.nn.functional.arguments import check, check_count, check_number
from nets.optim.optimizer import Optimizer
from nets.optim.schedule import LRScheduler, _per_group, refuse_in_trace


class ConstantLR(LRScheduler):
    """``factor`` times the first rate for ``total_iters`` steps, then that itself."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        check_number("factor", factor, 0, 1)
        check_count("total_iters", total_iters, 0)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        return self.factor if n < self.total_iters else 1.0


class PolynomialLR(LRScheduler):
    """The first rate times (1 − n / total_iters)^power, 0 from step ``total_iters`` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        check_count("total_iters", total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        return float((1 - min(n, self.total_iters) / self.total_iters) ** self.power)


class MultiplicativeLR(LRScheduler):
    """Multiplied by ``lr_lambda(n)`` at step n; a list has a function for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        self.lr_lambdas = _per_group(optimizer, lr_lambda, "lr_lambda")
        super().__init__(optimizer)

    def _set(self) -> None:
        groups = zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True)
        for group, base, function in groups:
            rate = base
            for n in range(1, self.last_epoch + 1):
                rate *= function(n)
            group["lr"] = rate


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a wave of the cosine from the first rate to ``eta_min``, again and again: in ``T_0``
    steps, then in ``T_mult`` times as many, and so on (Loshchilov and Hutter, 2017)."""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        check_count("T_0", T_0)
        check_count("T_mult", T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def _rate(self, base: float, n: int) -> float:
        length = self.T_0
        while n >= length:
            n, length = n - length, length * self.T_mult
        wave = (1 + math.cos(math.pi * n / length)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class CyclicLR(LRScheduler):
    """Up from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps, down in ``step_size_down``,
    again and again.

    ``mode``: "triangular", "triangular2" with half the height each time, "exp_range" with a height
    of ``gamma`` to the number of steps; or a ``scale_fn`` of the number of the cycle, or of the
    step, by ``scale_mode``. ``cycle_momentum`` moves the momentum (of Adam, the first beta) the
    other way, between ``base_momentum`` and ``max_momentum``. Smith, "Cyclical learning rates for
    training neural networks", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        check_count("step_size_up", step_size_up)
        check(mode in ("triangular", "triangular2", "exp_range") or scale_fn is not None, "no mode")
        self.up = step_size_up
        self.total = step_size_up + (step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma = mode, gamma
        self.scale_fn, self.scale_mode = scale_fn, scale_mode
        self.lows, self.highs = (
            _per_group(optimizer, rates, name)
            for rates, name in ((base_lr, "base_lr"), (max_lr, "max_lr"))
        )
        self.momenta = (base_momentum, max_momentum) if cycle_momentum else None
        has_momentum = all("betas" in g or "momentum" in g for g in optimizer.param_groups)
        check(not cycle_momentum or has_momentum, "cycle_momentum is for optimisers with momentum")
        super().__init__(optimizer)

    def _height(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "exp_range":
            return float(self.gamma**self.last_epoch)
        return 1 / 2.0 ** (cycle - 1) if self.mode == "triangular2" else 1.0

    def _set(self) -> None:
        cycle, place = divmod(self.last_epoch, self.total)
        down = self.total - self.up
        part = place / self.up if place <= self.up else (self.total - place) / down
        part *= self._height(cycle + 1)
        groups = zip(self.optimizer.param_groups, self.lows, self.highs, strict=True)
        for group, low, high in groups:
            group["lr"] = low + (high - low) * part
            if self.momenta is None:
                continue
            momentum = self.momenta[1] - (self.momenta[1] - self.momenta[0]) * part
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class ChainedScheduler:
    """Several schedules of one optimiser at once: their factors are multiplied.

    ``schedulers`` are at least one; ``optimizer`` is by default that of the first. ArgumentError
    where they are not all of one.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        check(len(schedulers) > 0, "ChainedScheduler takes at least one schedule")
        self.schedulers = list(schedulers)
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        same = all(s.optimizer is self.optimizer for s in schedulers)
        check(same, "the schedules of a ChainedScheduler are of one optimiser")
        self._set()

    def _set(self) -> None:
        groups, bases = self.optimizer.param_groups, self.schedulers[0].base_lrs
        rates = list(bases)
        for schedule in self.schedulers:
            schedule._set()
            for i, (group, base) in enumerate(zip(groups, bases, strict=True)):
                rates[i] *= group["lr"] / base if base else 1.0
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    def step(self) -> None:
        """Go on to the next learning rate."""
        refuse_in_trace()
        for schedule in self.schedulers:
            schedule.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, object]:
        """What is needed to go on from here."""
        return {"schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def load_state_dict(self, state: dict[str, list[dict[str, object]]]) -> None:
        """Go on where the state was taken."""
        for schedule, own in zip(self.schedulers, state["schedulers"], strict=True):
            schedule.load_state_dict(own)
