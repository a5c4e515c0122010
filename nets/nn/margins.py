"""Losses with a margin, and likelihoods, as modules."""

from __future__ import annotations

from typing import Any

import nets
from nets.nn import functional as F
from nets.nn.functional.loss import Reduction
from nets.nn.functional.margins import Distance
from nets.nn.loss import _Loss, _Weighted
from nets.nn.module import Module


class _Margin(_Loss):
    """A loss with a ``margin``; ``reduction`` is "mean", "sum" or "none"."""

    def __init__(self, margin: float, reduction: Reduction) -> None:
        super().__init__(reduction)
        self.margin = margin

    def extra_repr(self) -> str:
        return f"margin={self.margin}"


class HingeEmbeddingLoss(_Margin):
    """x where the target is 1, max(0, margin − x) where it is −1."""

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


class MarginRankingLoss(_Margin):
    """max(0, margin − y · (x1 − x2))."""

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> nets.Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


class CosineEmbeddingLoss(_Margin):
    """1 − cos(x1, x2) where the target is 1, max(0, cos(x1, x2) − margin) where it is −1."""

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> nets.Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class TripletMarginLoss(_Margin):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin).

    d: the ``p``-norm of differences, ``eps`` added; ``swap``: d(positive, negative) where smaller.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(margin, reduction)
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> nets.Tensor:
        options = self.margin, self.p, self.eps, self.swap, self.reduction
        return F.triplet_margin_loss(anchor, positive, negative, *options)


class TripletMarginWithDistanceLoss(_Margin):
    """``TripletMarginLoss`` with any ``distance_function``; ``swap`` as there."""

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(margin, reduction)
        self.distance_function, self.swap = distance_function, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> nets.Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class SoftMarginLoss(_Loss):
    """log(1 + exp(−y · x)) for targets 1 and −1."""

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.soft_margin_loss(input, target, self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Margins of right classes, listed before a −1, over wrong ones."""

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.multilabel_margin_loss(input, target, self.reduction)


class MultiMarginLoss(_Weighted):
    """Margins of the right class over all others, to the power ``p``; ``weight`` of each class."""

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.p, self.margin = p, margin

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        options = self.p, self.margin, self.weight, self.reduction
        return F.multi_margin_loss(input, target, *options)


class MultiLabelSoftMarginLoss(_Weighted):
    """Whether each class is right, by its score; ``weight`` of each class."""

    def __init__(self, weight: Any = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self._keep("weight", weight)

    def forward(self, input: Any, target: Any) -> nets.Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)


class PoissonNLLLoss(_Loss):
    """Counts by their mean, or its logarithm with ``log_input``; see
    ``nets.nn.functional.poisson_nll_loss`` for ``full`` and ``eps``."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Any, target: Any) -> nets.Tensor:
        options = self.log_input, self.full, self.eps, self.reduction
        return F.poisson_nll_loss(log_input, target, *options)


class GaussianNLLLoss(_Loss):
    """Numbers by their mean and variance, at least ``eps``; ``full`` adds the constant."""

    def __init__(
        self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Any, target: Any, var: Any) -> nets.Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class CTCLoss(_Loss):
    """Sequences by the log-probabilities of classes and ``blank`` at each time.

    ``zero_infinity``: what cannot be spelt loses nothing. See ``nets.nn.functional.ctc_loss``.
    """

    def __init__(
        self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> nets.Tensor:
        options = self.blank, self.reduction, self.zero_infinity
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, *options)


class CosineSimilarity(Module):
    """The cosine of the angles between vectors along ``dim``; lengths count as at least ``eps``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> nets.Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The ``p``-norm of x1 − x2 + ``eps`` along the last axis, kept with ``keepdim``."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> nets.Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
