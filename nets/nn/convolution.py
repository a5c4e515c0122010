"""Convolution and pooling layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import check_count
from nets.nn.functional.convolution import Sizes, pair
from nets.nn.linear import parameter, reset_affine
from nets.nn.module import Module

Padding = Sizes | Literal["valid", "same"]


class _Kernels(Module):
    """Trained kernels from ``in_channels`` to ``out_channels``, with or without a bias."""

    _is_transposed = False
    _defaults: ClassVar[dict[str, int]]
    """Options that ``repr`` shows where a layer has another value."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        groups: int,
        bias: bool,
        dtype: npt.DTypeLike,
    ) -> None:
        check_count("in_channels", in_channels, 0)
        check_count("out_channels", out_channels, 0)
        check_count("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise nets.errors.ArgumentError(
                f"{in_channels} and {out_channels} channels do not form {groups} groups",
                nets.user_location(),
            )
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.groups = kernel_size, groups
        rows, columns = out_channels, in_channels
        if self._is_transposed:
            rows, columns = columns, rows
        self.weight = parameter((rows, columns // groups, *kernel_size), dtype)
        self.bias = parameter((out_channels,), dtype) if bias else None
        reset_affine(self.weight, self.bias)

    def extra_repr(self) -> str:
        more = self._unlike(**self._defaults)
        bias = "" if self.bias is not None else ", bias=False"
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{more}{bias}"
        )


class _Convolution(_Kernels):
    """A correlation of ``in_channels`` with trained kernels, one per output channel."""

    rank: int
    _defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        kernel = pair(kernel_size, self.rank, "kernel_size")
        super().__init__(in_channels, out_channels, kernel, groups, bias, dtype)
        self.stride, self.padding, self.dilation = stride, padding, dilation


class Conv1d(_Convolution):
    """(N, C, L) → (N, out_channels, L′); see ``nets.nn.functional.conv1d``."""

    rank = 1

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv1d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv2d(_Convolution):
    """(N, C, H, W) → (N, out_channels, H′, W′); see ``nets.nn.functional.conv2d``."""

    rank = 2

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ConvTranspose2d(_Kernels):
    """(N, C, H, W) → (N, out_channels, H′, W′), larger for a stride above 1.

    See ``nets.nn.functional.conv_transpose2d``.
    """

    _is_transposed = True
    _defaults = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        kernel = pair(kernel_size, 2, "kernel_size")
        super().__init__(in_channels, out_channels, kernel, groups, bias, dtype)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.dilation = dilation

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class _MaxPool(Module):
    """The largest element of each window; ``stride`` is by default the size of the window.

    With ``ceil_mode`` a last window may reach beyond the padding.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(
            stride=None, padding=0, dilation=1, ceil_mode=False
        )

    def _options(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode


class MaxPool1d(_MaxPool):
    """(N, C, L) → the largest element of each window."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.max_pool1d(x, *self._options())


class MaxPool2d(_MaxPool):
    """(N, C, H, W) → the largest element of each window."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.max_pool2d(x, *self._options())


class _AvgPool(Module):
    """The mean of each window; ``stride`` is by default the size of the window.

    With ``ceil_mode`` a last window may reach beyond the padding.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(
            stride=None, padding=0, ceil_mode=False, count_include_pad=True
        )

    def _options(self) -> tuple[Any, ...]:
        margins = self.padding, self.ceil_mode, self.count_include_pad
        return self.kernel_size, self.stride, *margins


class AvgPool1d(_AvgPool):
    """(N, C, L) → the mean of each window."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.avg_pool1d(x, *self._options())


class AvgPool2d(_AvgPool):
    """(N, C, H, W) → the mean of each window."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.avg_pool2d(x, *self._options())
