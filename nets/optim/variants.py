"""Relatives of Adam, Adagrad and gradient descent: NAdam, RAdam, Adamax, Adadelta, ASGD, Rprop.

``betas`` are the parts of both running means that are kept at each step; ``eps`` keeps quotients
finite.
"""

from __future__ import annotations

from typing import ClassVar

import nets
from nets.nn.functional.arguments import check
from nets.optim.adaptive import (
    Averaging,
    Params,
    _counted,
    _decayed,
    _step_count,
    _zeros,
)
from nets.optim.optimizer import Moments, Optimizer, ParameterGroup, same_dtype


class NAdam(Averaging):
    """Adam that looks ahead, as Nesterov's momentum does: Dozat, "Incorporating Nesterov momentum
    into Adam", 2016.

    The momentum of step t is betas[0] · (1 − 0.96^(t · ``momentum_decay``) / 2).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return super()._start(p, group) | {"mu_product": nets.Tensor(1.0, dtype="float64")}

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        step = _counted(state)
        lr, beta1, beta2 = group.tensor("lr"), group.tensor("betas")[0], group.tensor("betas")[1]
        start, grad = self._averaged(p, grad, state, group, (lr, beta1, beta2))
        decay = group.static("momentum_decay")
        now = beta1 * (1 - 0.5 * 0.96 ** (step * decay))
        ahead = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * decay))
        product = state["mu_product"]
        product.data = product * now
        size = nets.sqrt(state["exp_avg_sq"] / same_dtype(1 - beta2**step, p))
        size = size + group.static("eps")
        of_grad = same_dtype(lr * (1 - now) / (1 - product), p)
        of_mean = same_dtype(lr * ahead / (1 - product * ahead), p)
        p.data = start - of_grad * (grad / size) - of_mean * (state["exp_avg"] / size)


class RAdam(Averaging):
    """Adam that divides by √v only once v is known well enough: Liu et al., "On the variance of the
    adaptive learning rate and beyond", 2020."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        step = _counted(state)
        lr, beta1, beta2 = group.tensor("lr"), group.tensor("betas")[0], group.tensor("betas")[1]
        start, grad = self._averaged(p, grad, state, group, (lr, beta1, beta2))
        faded = beta2**step
        most = 2 / (1 - beta2) - 1
        length = most - 2 * step * faded / (1 - faded)
        is_known = length > 5
        known = nets.where(is_known, length, 6.0)
        shrunk = (known - 4) * (known - 2) * most / ((most - 4) * (most - 2) * known)
        size = nets.sqrt(state["exp_avg_sq"]) + group.static("eps")
        factor = same_dtype(nets.sqrt(nets.where(is_known, shrunk, 0.0) * (1 - faded)), p) / size
        mean = state["exp_avg"] / same_dtype(1 - beta1**step, p)
        p.data = start - same_dtype(lr, p) * mean * nets.where(is_known, factor, 1)


class Adamax(Optimizer):
    """Adam by the largest gradient so far, which fades, in place of √v: Kingma and Ba, 2015,
    section 7.1."""

    _live: ClassVar[frozenset[str]] = frozenset({"lr", "betas"})

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {"step": _step_count(), "exp_avg": _zeros(p), "exp_inf": _zeros(p)}

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad, step = _decayed(grad, p, group), _counted(state)
        beta1, beta2 = group.tensor("betas")[0], same_dtype(group.tensor("betas")[1], p)
        mean, largest = state["exp_avg"], state["exp_inf"]
        mean.data = mean + same_dtype(1 - beta1, p) * (grad - mean)
        largest.data = nets.maximum(beta2 * largest, nets.abs(grad) + group.static("eps"))
        size = same_dtype(group.tensor("lr") / (1 - beta1**step), p)
        p.data = p - size * (mean / largest)


class Adadelta(Optimizer):
    """Steps in the units of the parameter, by running means (``rho``) of squared gradients and
    squared steps: Zeiler, "ADADELTA: an adaptive learning rate method", 2012."""

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        check(0 <= rho <= 1, f"rho lies between 0 and 1, not {rho}")
        super().__init__(
            params,
            {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {"square_avg": _zeros(p), "acc_delta": _zeros(p)}

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad, rho, eps = _decayed(grad, p, group), group.static("rho"), group.static("eps")
        square, moved = state["square_avg"], state["acc_delta"]
        square.data = rho * square + (1 - rho) * (grad * grad)
        delta = nets.sqrt(moved + eps) / nets.sqrt(square + eps) * grad
        moved.data = rho * moved + (1 - rho) * (delta * delta)
        p.data = p - same_dtype(group.tensor("lr"), p) * delta


class ASGD(Optimizer):
    """Gradient descent whose parameters are averaged, as ``ax`` in the state, from step ``t0`` on.

    The rate is lr / (1 + lambd · lr · t)^alpha; parameters shrink by ``lambd`` times that. Polyak
    and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {
            "step": _step_count(),
            "eta": nets.Tensor(group["lr"], dtype="float64"),
            "mu": nets.Tensor(1.0, dtype="float64"),
            "ax": _zeros(p),
        }

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad, step = _decayed(grad, p, group), _counted(state)
        lr, lambd, eta, mu = group.tensor("lr"), group.static("lambd"), state["eta"], state["mu"]
        mean = state["ax"]
        new = p * same_dtype(1 - lambd * eta, p) - same_dtype(eta, p) * grad
        p.data = new
        mean.data = nets.where(mu == 1, new, mean + (new - mean) * same_dtype(mu, p))
        eta.data = lr / (1 + lambd * lr * step) ** group.static("alpha")
        mu.data = 1 / nets.maximum(1.0, step - group.static("t0"))


class Rprop(Optimizer):
    """Steps by the sign of the gradient alone: longer by etas[1] where it stays, shorter by etas[0]
    where it turns, and none at the turn, within ``step_sizes``; ``lr`` is the first length.

    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning", 1993.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        maximize: bool = False,
    ) -> None:
        check(0 < etas[0] < 1 < etas[1], f"etas lie in (0, 1) and above 1, not {etas}")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": tuple(etas),
                "step_sizes": tuple(step_sizes),
                "maximize": maximize,
            },
        )

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        return {"prev": _zeros(p), "step_size": nets.full(p.shape, group["lr"], p.dtype)}

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        grad = -grad if group.static("maximize") else grad
        previous, size = state["prev"], state["step_size"]
        (shorter, longer), limits = group.static("etas"), group.static("step_sizes")
        agreement = grad * previous
        factor = nets.where(agreement > 0, longer, nets.where(agreement < 0, shorter, 1.0))
        size.data = nets.clip(size * same_dtype(factor, p), *limits)
        grad = nets.where(agreement < 0, 0, grad)
        p.data = p - nets.sign(grad) * size
        previous.data = grad
