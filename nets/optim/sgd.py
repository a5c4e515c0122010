"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import nets
from nets.optim.optimizer import Moments, Optimizer, ParameterGroup, same_dtype


class SGD(Optimizer):
    """p ← p − lr · d, d the gradient or, with momentum, its running sum.

    The running sum is v ← momentum · v + (1 − dampening) · grad, beginning with the first
    gradient itself; ``nesterov`` goes on from there: d = grad + momentum · v (Sutskever et al.,
    2013). ``weight_decay`` adds that part of p to the gradient. Momentum cannot be switched on
    later: give it a number above 0 from the start.
    """

    _live: ClassVar[frozenset[str]] = frozenset({"lr", "momentum"})

    def __init__(
        self,
        params: Iterable[nets.Tensor] | Iterable[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        if nesterov and not (momentum > 0 and dampening == 0):
            raise nets.errors.ArgumentError(
                "Nesterov's method needs momentum and no dampening", nets.user_location()
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        if not group["momentum"]:
            return {}
        moments = {"momentum_buffer": nets.zeros(p.shape, p.dtype)}
        if group["dampening"]:
            moments["step"] = nets.Tensor(0)
        return moments

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        if group.static("maximize"):
            grad = -grad
        if decay := group.static("weight_decay"):
            grad = grad + decay * p
        if "momentum_buffer" in state:
            momentum = same_dtype(group.tensor("momentum"), p)
            moved = momentum * state["momentum_buffer"]
            summed = moved + (1 - group.static("dampening")) * grad
            if "step" in state:  # the first gradient counts in full
                summed = nets.where(state["step"] == 0, grad, summed)
                state["step"].data = state["step"] + 1
            state["momentum_buffer"].data = summed
            grad = grad + momentum * summed if group.static("nesterov") else summed
        p.data = p - same_dtype(group.tensor("lr"), p) * grad
