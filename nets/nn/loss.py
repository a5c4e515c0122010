"""Losses as modules: the functions of ``nets.nn.functional`` with their options kept.

``reduction`` gives "mean" or "sum" of the losses, or with "none" each. ``weight`` multiplies the
loss of each class (C,), or of each element where there are no classes; None stands for ones.
"""

from __future__ import annotations

from typing import Any, Literal

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import TensorLike
from nets.nn.functional.loss import Reduction
from nets.nn.module import Module


class _Loss(Module):
    """Base of the losses; ``reduction`` is "mean", "sum" or "none"."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction


class MSELoss(_Loss):
    """Squared differences."""

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """Magnitudes of the differences."""

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """Squares of differences below beta, magnitudes above."""

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Squares of differences below delta, delta times magnitudes above."""

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class _Weighted(_Loss):
    """A loss whose terms have weights, kept as a buffer."""

    weight: nets.Tensor | None = None

    def _keep(self, name: str, weight: TensorLike | None) -> None:
        if weight is not None:
            self.register_buffer(name, nets.Tensor(weight))


class CrossEntropyLoss(_Weighted):
    """Scores (N, C, …) against class indices, or probabilities such as one-hot rows.

    See ``nets.nn.functional.cross_entropy``.

    Targets ``ignore_index`` lose nothing; ``label_smoothing``, in [0, 1], is the part of each
    target that is spread over all classes.
    """

    def __init__(
        self,
        weight: TensorLike | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(_Weighted):
    """Minus the log-probabilities (N, C, …) of the classes whose indices are given.

    Targets ``ignore_index`` lose nothing. See ``nets.nn.functional.nll_loss``.
    """

    def __init__(
        self,
        weight: TensorLike | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_Weighted):
    """Binary cross-entropy of probabilities."""

    def __init__(self, weight: TensorLike | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self._keep("weight", weight)

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Weighted):
    """Binary cross-entropy of sigmoid(x), computed from x.

    ``pos_weight`` multiplies the loss of positive targets.
    """

    pos_weight: nets.Tensor | None = None

    def __init__(
        self,
        weight: TensorLike | None = None,
        reduction: Reduction = "mean",
        pos_weight: TensorLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self._keep("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


class KLDivLoss(Module):
    """The divergence of probabilities from log-probabilities; see ``functional.kl_div``.

    With ``log_target`` the targets are logarithms, too; the reduction "batchmean" divides the sum
    by the size of the first axis.
    """

    def __init__(
        self,
        reduction: Literal["mean", "sum", "none", "batchmean"] = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__()
        self.reduction: Literal["mean", "sum", "none", "batchmean"] = reduction
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.kl_div(input, target, self.reduction, self.log_target)
