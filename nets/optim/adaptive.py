"""Optimisers that choose the size of the step for each element by its past gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import nets
from nets.optim.optimizer import Moments, Optimizer, ParameterGroup, same_dtype

Params = Iterable[nets.Tensor] | Iterable[Mapping[str, Any]]


def _zeros(p: nets.Tensor) -> nets.Tensor:
    return nets.zeros(p.shape, p.dtype)


def _step_count() -> nets.Tensor:
    return nets.Tensor(0.0, dtype="float64")


def _counted(state: Moments) -> nets.Tensor:
    """The number of this step, from 1."""
    step = state["step"]
    step.data = step + 1
    return step


def _decayed(grad: nets.Tensor, p: nets.Tensor, group: ParameterGroup) -> nets.Tensor:
    """The gradient to go down: its sign turned to maximise, a part of p added to it."""
    if group.static("maximize"):
        grad = -grad
    decay = group.static("weight_decay")
    return grad + decay * p if decay else grad


class Averaging(Optimizer):
    """What keeps running means m of the gradient and v of its square.

    ``decoupled_weight_decay`` shrinks the parameter by lr · weight_decay, as AdamW does, instead of
    adding to the gradient.
    """

    _live: ClassVar[frozenset[str]] = frozenset({"lr", "betas"})

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {"step": _step_count(), "exp_avg": _zeros(p), "exp_avg_sq": _zeros(p)}

    def _is_decoupled(self, group: ParameterGroup) -> bool:
        """Whether ``weight_decay`` shrinks the parameter."""
        return bool(group.static("decoupled_weight_decay"))

    def _averaged(
        self,
        p: nets.Tensor,
        grad: nets.Tensor,
        state: Moments,
        group: ParameterGroup,
        numbers: tuple[nets.Tensor, nets.Tensor, nets.Tensor],
    ) -> tuple[nets.Tensor, nets.Tensor]:
        """Where the step begins, and the gradient, after both means have taken it in.

        ``numbers`` are lr and betas.
        """
        start: nets.Tensor = p
        (lr, beta1, beta2), decay = numbers, group.static("weight_decay")
        if self._is_decoupled(group):
            grad = -grad if group.static("maximize") else grad
            start = p * same_dtype(1 - lr * decay, p) if decay else p
        else:
            grad = _decayed(grad, p, group)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.data = mean + same_dtype(1 - beta1, p) * (grad - mean)
        square.data = same_dtype(beta2, p) * square + same_dtype(1 - beta2, p) * (grad * grad)
        return start, grad


class Adam(Averaging):
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015.

    Running means m of the gradient and v of its square, corrected for their start at 0, move a
    parameter by lr · m / (√v + eps). ``weight_decay`` adds that part of p to the gradient;
    ``amsgrad`` uses the largest v so far (Reddi, Kale and Kumar, 2018).

    ``betas`` are the parts of m and v that are kept at each step; ``eps`` keeps the quotient
    finite.
    """

    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        moments = super()._start(p, group)
        if group["amsgrad"]:
            moments["max_exp_avg_sq"] = _zeros(p)
        return moments

    def _is_decoupled(self, group: ParameterGroup) -> bool:
        return self._decoupled

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        lr, beta1, beta2 = group.tensor("lr"), group.tensor("betas")[0], group.tensor("betas")[1]
        step = _counted(state)
        start, _ = self._averaged(p, grad, state, group, (lr, beta1, beta2))
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        if "max_exp_avg_sq" in state:
            largest = state["max_exp_avg_sq"]
            largest.data = nets.maximum(largest, square)
            square = largest
        size = same_dtype(lr / (1 - beta1**step), p)
        correction = same_dtype(nets.sqrt(1 - beta2**step), p)
        p.data = start - size * mean / (nets.sqrt(square) / correction + group.static("eps"))


class AdamW(Adam):
    """Adam with the decay of weights apart from the gradient: p ← p · (1 − lr · weight_decay).

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize)


class RMSprop(Optimizer):
    """The gradient divided by the root of the running mean of its square (Tieleman, Hinton, 2012).

    ``centered`` divides by the standard deviation instead; ``momentum`` sums up what results.
    The first steps are lr / √(1 − alpha) long in every element, also where the gradient is no more
    than what rounding left of zero. Two runs that round differently part faster than with other
    methods, then; a larger eps (1e-3) keeps such elements still.
    """

    _live: ClassVar[frozenset[str]] = frozenset({"lr", "momentum"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        moments = {"square_avg": _zeros(p)}
        if group["momentum"]:
            moments["momentum_buffer"] = _zeros(p)
        if group["centered"]:
            moments["grad_avg"] = _zeros(p)
        return moments

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad, alpha = _decayed(grad, p, group), group.static("alpha")
        square = state["square_avg"]
        square.data = alpha * square + (1 - alpha) * (grad * grad)
        variance: nets.Tensor = square
        if "grad_avg" in state:
            mean = state["grad_avg"]
            mean.data = mean + (1 - alpha) * (grad - mean)
            variance = square - mean * mean
        move = grad / (nets.sqrt(variance) + group.static("eps"))
        if "momentum_buffer" in state:
            buffer = state["momentum_buffer"]
            buffer.data = same_dtype(group.tensor("momentum"), p) * buffer + move
            move = buffer
        p.data = p - same_dtype(group.tensor("lr"), p) * move


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares (Duchi et al., 2011).

    The rate at step t is ``lr`` / (1 + (t − 1) · ``lr_decay``), the sum starts at
    ``initial_accumulator_value``; ``eps`` is added to the root.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {
            "step": _step_count(),
            "sum": nets.full(p.shape, group["initial_accumulator_value"], p.dtype),
        }

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad, step, total = _decayed(grad, p, group), _counted(state), state["sum"]
        total.data = total + grad * grad
        lr = group.tensor("lr") / (1 + (step - 1) * group.static("lr_decay"))
        p.data = p - same_dtype(lr, p) * (grad / (nets.sqrt(total) + group.static("eps")))


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a running mean of gradients.

    Chen et al., "Symbolic discovery of optimization algorithms", 2023. ``weight_decay`` acts as in
    AdamW.

    The direction is that of betas[0] · mean + (1 − betas[0]) · gradient; betas[1] is the part of
    the mean that is then kept. Its length in every element is ``lr``.
    """

    _live: ClassVar[frozenset[str]] = frozenset({"lr", "betas"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {"exp_avg": _zeros(p)}

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad = -grad if group.static("maximize") else grad
        lr, decay, mean = group.tensor("lr"), group.static("weight_decay"), state["exp_avg"]
        beta1, beta2 = (same_dtype(group.tensor("betas")[i], p) for i in (0, 1))
        direction = nets.sign(beta1 * mean + (1 - beta1) * grad)
        start = p * same_dtype(1 - lr * decay, p) if decay else p
        mean.data = beta2 * mean + (1 - beta2) * grad
        p.data = start - same_dtype(lr, p) * direction
