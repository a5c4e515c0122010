"""Learning rates that change in the course of training.

A schedule sets the learning rate of each group of an optimiser when it is made, and at every
``step()``, which is called after the optimiser's, once per epoch or once per batch. The rate is a
Tensor of the optimiser, so a compiled step goes on with it as it is; ``step()`` itself is called
outside the traced function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import nets
from nets.nn.functional.arguments import Reading, check, check_count, check_number, counts
from nets.optim.optimizer import Optimizer, item


class LRScheduler:
    """Base of the schedules: ``_factor(n)`` is the rate after n steps, in terms of the first.

    The first rate is the one the optimiser had when its first schedule was made. Rates depend on
    the number of steps alone, so of two schedules on one optimiser the last to step counts; see
    SequentialLR.

    ``optimizer`` is the one whose rates are set.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs: list[float] = []
        for group in optimizer.param_groups:
            group.initial_lr = group["lr"] if group.initial_lr is None else group.initial_lr
            self.base_lrs.append(group.initial_lr)
        self.last_epoch = 0
        self._set()

    def _factor(self, n: int) -> float:
        raise NotImplementedError

    def _rate(self, base: float, n: int) -> float:
        return base * self._factor(n)

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self._rate(base, self.last_epoch)

    def step(self) -> None:
        """Go on to the next learning rate."""
        refuse_in_trace()
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on from here."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken; learning rates come with the optimiser's state."""
        what = "the state of a schedule"
        last_epoch, base_lrs = item(state, "last_epoch", what), item(state, "base_lrs", what)
        check_count("last_epoch", last_epoch, 0)
        with Reading(what):
            rates = [float(lr) for lr in base_lrs]
        check(len(rates) == len(self.base_lrs), "the state is of a schedule of other groups")
        self.last_epoch, self.base_lrs = int(last_epoch), rates


def _per_group(optimizer: Optimizer, value: Any, name: str) -> list[Any]:
    """One value for each group of an optimiser, given as a list or once for all."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise nets.errors.ArgumentError(
            f"{name} has {len(value)} entries; the optimiser has {count} parameter groups",
            nets.user_location(),
        )
    return list(value)


def refuse_in_trace() -> None:
    """TraceError inside a trace, where Python's counting would happen only once."""
    if nets.Tensor(0.0).is_traced:
        raise nets.errors.TraceError(
            "a schedule counts in Python: call its step() outside the traced function",
            nets.user_location(),
        )


class LambdaLR(LRScheduler):
    """The first rate times ``lr_lambda(n)``; a list has a function for each group."""

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
            group["lr"] = base * function(self.last_epoch)


class StepLR(LRScheduler):
    """Multiplied by gamma every ``step_size`` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        check_count("step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        return float(self.gamma ** (n // self.step_size))


class MultiStepLR(LRScheduler):
    """Multiplied by gamma at each of the milestones."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        return float(self.gamma ** sum(n >= milestone for milestone in self.milestones))


class ExponentialLR(LRScheduler):
    """Multiplied by gamma at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        return float(self.gamma**n)


class LinearLR(LRScheduler):
    """Warm-up: from ``start_factor`` to ``end_factor`` times the first rate in ``total_iters``."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        check_number("start_factor", start_factor, 0, 1, above=True)
        check_number("end_factor", end_factor, 0, 1)
        check_count("total_iters", total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def _factor(self, n: int) -> float:
        part = min(n, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class CosineAnnealingLR(LRScheduler):
    """Half a wave of the cosine from the first rate to ``eta_min`` in ``T_max`` steps.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        check_count("T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _rate(self, base: float, n: int) -> float:
        wave = (1 + math.cos(math.pi * n / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * wave


class OneCycleLR(LRScheduler):
    """Up to ``max_lr`` in the first part of all steps, down to almost nothing in the rest.

    How many steps there are say ``total_steps``, or ``epochs`` and ``steps_per_epoch`` together.
    Begins at max_lr / div_factor, ends at that / final_div_factor. ``cycle_momentum`` moves the
    momentum (of Adam, the first beta) the other way. A list of ``max_lr`` has one for each group.
    Smith and Topin, "Super-convergence", 2018.

    ``pct_start`` is the part of the steps that goes up, in [0, 1], ``anneal_strategy`` "cos" or
    "linear" the way between; the momentum is ``max_momentum`` at both ends and ``base_momentum``
    where the rate is highest. ArgumentError for other strategies, where the number of steps is not
    given, and for a step beyond the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise nets.errors.ArgumentError(
                f"anneal_strategy is 'cos' or 'linear', not {anneal_strategy!r}",
                nets.user_location(),
            )
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise nets.errors.ArgumentError(
                    "OneCycleLR needs total_steps, or epochs and steps_per_epoch",
                    nets.user_location(),
                )
            total_steps = epochs * steps_per_epoch
        check_count("total_steps", total_steps)
        check_number("pct_start", pct_start, 0, 1)
        check_number("div_factor", div_factor, 0, above=True)
        check_number("final_div_factor", final_div_factor, 0, above=True)
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        self.peak = pct_start * total_steps - 1
        self.rates = [
            (most / div_factor, most, most / div_factor / final_div_factor)
            for most in _per_group(optimizer, max_lr, "max_lr")
        ]
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer)

    def _set(self) -> None:
        if self.last_epoch >= self.total_steps:
            raise nets.errors.ArgumentError(
                f"the cycle of {self.total_steps} steps is over", nets.user_location()
            )
        for group, rates in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = self._between(rates)
            if self.momenta is not None and "betas" in group:
                group["betas"] = (self._between(self.momenta), *group["betas"][1:])
            elif self.momenta is not None and group.get("momentum"):
                group["momentum"] = self._between(self.momenta)

    def _between(self, stations: tuple[float, float, float]) -> float:
        """The value now, on the way between three stations."""
        n, last = self.last_epoch, self.total_steps - 1
        if n <= self.peak:
            start, end, part = stations[0], stations[1], n / self.peak if self.peak else 1.0
        else:
            start, end = stations[1:]
            part = (n - self.peak) / (last - self.peak)
        if self.anneal_strategy == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins at each milestone, counting from 0.

    ``schedulers`` are of the one ``optimizer``, ``milestones`` ascending numbers of steps, one
    fewer: ArgumentError for others.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        if len(schedulers) != len(milestones) + 1:
            raise nets.errors.ArgumentError(
                "SequentialLR needs one milestone between each two schedules",
                nets.user_location(),
            )
        counts("milestones", list(milestones), 0)
        check(list(milestones) == sorted(milestones), f"milestones ascend, unlike {milestones}")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer)

    def _set(self) -> None:
        now = sum(self.last_epoch >= milestone for milestone in self.milestones)
        begin = self.milestones[now - 1] if now else 0
        self.schedulers[now].last_epoch = self.last_epoch - begin
        self.schedulers[now]._set()


class ReduceLROnPlateau:
    """Multiplied by ``factor`` when a number has not become better for ``patience`` steps.

    Better is lower (mode "min") or higher ("max"), by more than ``threshold``: relative to the
    best ("rel") or absolute ("abs"). After a change, ``cooldown`` steps are not counted.

    ``optimizer`` is the one whose rates change; ``step`` takes the number. ``threshold_mode`` is
    "rel" or "abs". No rate falls below ``min_lr``, one number or one for each group, and none
    changes by less than ``eps``. ArgumentError for other modes and a ``factor`` outside [0, 1).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        check_count("patience", patience, 0)
        check_count("cooldown", cooldown, 0)
        is_factor = 0 <= factor < 1
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs") or not is_factor:
            raise nets.errors.ArgumentError(
                "mode is 'min' or 'max', threshold_mode 'rel' or 'abs', the factor in [0, 1)",
                nets.user_location(),
            )
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.patience, self.cooldown = patience, cooldown
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.min_lrs, self.eps = _per_group(optimizer, min_lr, "min_lr"), eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        if math.isinf(self.best):
            return sign * value < sign * self.best
        return sign * value < sign * self.best - margin

    def step(self, metrics: float | nets.Tensor) -> None:
        """Take the number of this epoch, and change the learning rates if it is time."""
        refuse_in_trace()
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            new = max(group["lr"] * self.factor, least)
            if group["lr"] - new > self.eps:
                group["lr"] = new

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on from here."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        found = [item(state, name, "the state of a schedule") for name in names]
        with Reading("the state of a schedule"):
            best, (bad, cooldown, last) = float(found[0]), map(int, found[1:])
        self.best, self.num_bad_epochs = best, bad
        self.cooldown_counter, self.last_epoch = cooldown, last
