"""Dropout layers: elements or channels left out at random in training."""

from __future__ import annotations

from typing import Any

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import check_number
from nets.nn.module import Module, also_named


class Dropout(Module):
    """In training, each element with probability p replaced by 0, the others divided by 1 − p.

    ``inplace`` is taken and makes no difference.
    """

    @also_named(prob="p")
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_number("the probability p", p, 0, 1)
        self.p = p

    def forward(self, x: Any) -> nets.Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Dropout):
    """In training, each channel of (N, C, L) replaced by 0 with probability p, the others
    divided by 1 − p."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(Dropout):
    """In training, each channel of (N, C, H, W) replaced by 0 with probability p, the others
    divided by 1 − p."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(Dropout):
    """In training, each channel of (N, C, D, H, W) replaced by 0 with probability p, the others
    divided by 1 − p."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.dropout3d(x, self.p, self.training)


class AlphaDropout(Dropout):
    """In training, elements replaced by what ``SELU`` goes to, with probability p; mean 0 and
    variance 1 stay."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """In training, channels of (N, C, …) replaced by what ``SELU`` goes to, with probability p;
    mean 0 and variance 1 stay."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.feature_alpha_dropout(x, self.p, self.training)
