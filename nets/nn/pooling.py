"""Pooling layers: of windows of a size, or of as many windows as are asked for.

``kernel_size`` is the size of a window, ``stride`` how far apart windows begin (by default that
size), ``padding`` how far the image goes on on both sides, ``dilation`` how far apart the elements
of a window lie: each one number for all axes of space, or one for each. ``ceil_mode`` lets a last
window reach beyond the padding; ``count_include_pad`` says whether a mean counts the zeros of the
padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nets
from nets.nn import functional as F
from nets.nn.functional.adaptive import OutputSize
from nets.nn.functional.arguments import Sizes
from nets.nn.module import Module


class _MaxPool(Module):
    """The largest element of each window; ``stride`` is by default the size of the window.

    With ``ceil_mode`` a last window may reach beyond the padding; with ``return_indices`` it gives
    also where the elements lie.
    """

    rank: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.return_indices = kernel_size, stride, return_indices
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(
            stride=None, padding=0, dilation=1, ceil_mode=False
        )

    def forward(self, x: Any) -> Any:
        function: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.rank - 1]
        options = self.stride, self.padding, self.dilation, self.ceil_mode
        return function(x, self.kernel_size, *options, return_indices=self.return_indices)


class MaxPool1d(_MaxPool):
    """(N, C, L) → the largest element of each window."""

    rank = 1


class MaxPool2d(_MaxPool):
    """(N, C, H, W) → the largest element of each window."""

    rank = 2


class MaxPool3d(_MaxPool):
    """(N, C, D, H, W) → the largest element of each window."""

    rank = 3


class _AvgPool(Module):
    """The mean of each window; ``stride`` is by default the size of the window.

    With ``ceil_mode`` a last window may reach beyond the padding. ``divisor_override`` divides the
    sums over two and three axes.
    """

    rank: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.divisor_override = divisor_override
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(
            stride=None, padding=0, ceil_mode=False, count_include_pad=True
        )

    def forward(self, x: Any) -> nets.Tensor:
        options = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        if self.rank == 1:
            return F.avg_pool1d(x, self.kernel_size, *options)
        function = F.avg_pool2d if self.rank == 2 else F.avg_pool3d
        return function(x, self.kernel_size, *options, self.divisor_override)


class AvgPool1d(_AvgPool):
    """(N, C, L) → the mean of each window."""

    rank = 1


class AvgPool2d(_AvgPool):
    """(N, C, H, W) → the mean of each window."""

    rank = 2


class AvgPool3d(_AvgPool):
    """(N, C, D, H, W) → the mean of each window."""

    rank = 3


class _Unpool(Module):
    """Elements put back where a max pooling of the same options took them, among zeros."""

    rank: int

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(
        self, x: Any, indices: Any, output_size: Sequence[int] | None = None
    ) -> nets.Tensor:
        """The elements x at their ``indices``; ``output_size`` as in ``F.max_unpool2d``."""
        function = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.rank - 1]
        return function(x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(stride=None, padding=0)


class MaxUnpool1d(_Unpool):
    """What ``MaxPool1d`` took, put back; see ``nets.nn.functional.max_unpool1d``."""

    rank = 1


class MaxUnpool2d(_Unpool):
    """What ``MaxPool2d`` took, put back; see ``nets.nn.functional.max_unpool2d``."""

    rank = 2


class MaxUnpool3d(_Unpool):
    """What ``MaxPool3d`` took, put back; see ``nets.nn.functional.max_unpool3d``."""

    rank = 3


class _LPPool(Module):
    """(Σ x^p)^(1/p) of each window, p = ``norm_type``; other options are those of a max pooling."""

    rank: int

    def __init__(
        self,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, x: Any) -> nets.Tensor:
        function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.rank - 1]
        return function(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"{self.norm_type}, {self.kernel_size}" + self._unlike(stride=None, ceil_mode=False)


class LPPool1d(_LPPool):
    """(N, C, L) → a norm of each window."""

    rank = 1


class LPPool2d(_LPPool):
    """(N, C, H, W) → a norm of each window."""

    rank = 2


class LPPool3d(_LPPool):
    """(N, C, D, H, W) → a norm of each window."""

    rank = 3


class _Adaptive(Module):
    """As many windows as ``output_size`` says, one number or one for each axis; None keeps one."""

    rank: int

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"{self.output_size}"


class _AdaptiveAvgPool(_Adaptive):
    def forward(self, x: Any) -> nets.Tensor:
        pools = F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d
        return pools[self.rank - 1](x, self.output_size)


class _AdaptiveMaxPool(_Adaptive):
    """``return_indices``: give also where the largest elements lie."""

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Any) -> Any:
        pools: Any = F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d
        return pools[self.rank - 1](x, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """(N, C, L) → the mean of each of ``output_size`` windows."""

    rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """(N, C, H, W) → the mean of each of ``output_size`` windows."""

    rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """(N, C, D, H, W) → the mean of each of ``output_size`` windows."""

    rank = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """(N, C, L) → the largest element of each of ``output_size`` windows."""

    rank = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """(N, C, H, W) → the largest element of each of ``output_size`` windows."""

    rank = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """(N, C, D, H, W) → the largest element of each of ``output_size`` windows."""

    rank = 3
