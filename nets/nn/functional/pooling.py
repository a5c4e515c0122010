"""Pooling: the largest element, or the mean, of each window of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import nets
from nets.nn.functional.arguments import TensorLike
from nets.nn.functional.convolution import Sizes, pair


def max_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> nets.Tensor:
    """Images (N, C, H, W) → the largest element of each window, in the dtype given; NaN wins.

    ``stride`` is by default the size of the window. With ``ceil_mode`` a last window may reach
    beyond the padding, if it begins before the end of the image. The gradient goes to the first of
    equals.
    """
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 2)


def max_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> nets.Tensor:
    """Sequences (N, C, L) → the largest element of each window; see ``max_pool2d``."""
    return _max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, 1)


def avg_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> nets.Tensor:
    """Images (N, C, H, W) → the mean of each window; padding counts as zeros, or not at all.

    The means of integers are float64, as those of ``nets.mean``.
    With ``ceil_mode`` a last window may reach beyond the padding, if it begins before the end of
    the image; what lies there does not count.
    """
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, 2)


def avg_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> nets.Tensor:
    """Sequences (N, C, L) → the mean of each window; see ``avg_pool2d``."""
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, 1)


@dataclass(frozen=True)
class _Windows:
    """Windows over the axes of space: numbers for each axis."""

    kernel: tuple[int, ...]
    steps: tuple[int, ...]
    padding: tuple[int, ...]
    margins: list[tuple[int, int]]
    """Before and after each axis, such that all windows fit."""

    @property
    def beyond(self) -> list[tuple[int, int]]:
        """What the windows need behind the padding."""
        return [(0, high - p) for (_, high), p in zip(self.margins, self.padding, strict=True)]


def _windows(
    x: nets.Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    rank: int,
) -> _Windows:
    kernel, margins = pair(kernel_size, rank, "kernel_size"), pair(padding, rank, "padding", 0)
    if x.ndim != rank + 2 or any(2 * p > k for p, k in zip(margins, kernel, strict=True)):
        raise nets.errors.ShapeError(
            f"pooling takes {rank + 2} axes, and padding of at most half the window {kernel}; not "
            f"shape {x.shape} with padding {margins}",
            nets.user_location(),
        )
    steps = pair(kernel if stride is None else stride, rank, "stride")
    apart = pair(dilation, rank, "dilation")
    ends = margins
    if ceil_mode:
        axes = zip(x.shape[2:], kernel, steps, margins, apart, strict=True)
        ends = tuple(_end(*axis) for axis in axes)
    return _Windows(kernel, steps, margins, list(zip(margins, ends, strict=True)))


def _end(size: int, kernel: int, step: int, padding: int, dilation: int) -> int:
    """The margin behind an axis that lets the last window that begins before its end fit."""
    reach = dilation * (kernel - 1) + 1
    last = -(-(size + 2 * padding - reach) // step)
    if last * step >= size + padding:
        last -= 1
    return max(padding, last * step + reach - size - padding)


def _max_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    rank: int,
) -> nets.Tensor:
    x = nets.as_tensor(input)
    if x.ndim == rank + 1:
        batch = _max_pool(x[None], kernel_size, stride, padding, dilation, ceil_mode, rank)
        return nets.squeeze(batch, 0)
    windows = _windows(x, kernel_size, stride, padding, dilation, ceil_mode, rank)
    apart = pair(dilation, rank)
    return nets.max_pool(x, windows.kernel, windows.steps, windows.margins, apart)


def _avg_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    rank: int,
) -> nets.Tensor:
    """Sums are convolutions of each channel alone with ones; of one window over all, a mean."""
    x = nets.as_tensor(input)
    if x.ndim == rank + 1:
        batch = _avg_pool(x[None], kernel_size, stride, padding, ceil_mode, count_include_pad, rank)
        return nets.squeeze(batch, 0)
    windows = _windows(x, kernel_size, stride, padding, 1, ceil_mode, rank)
    n, channels, *space = x.shape
    if windows.kernel == tuple(space) and not any(map(any, windows.margins)):
        return nets.mean(x, axis=tuple(range(2, 2 + rank)), keepdims=True)
    window = nets.ones((1, 1, *windows.kernel), x.dtype)
    images = nets.reshape(x, (n * channels, 1, *space))
    total = nets.conv(images, window, windows.steps, windows.margins)
    total = nets.reshape(total, (n, channels, *total.shape[2:]))
    margins = windows.margins
    if count_include_pad:
        margins = windows.beyond
        space = [size + 2 * p for size, p in zip(space, windows.padding, strict=True)]
    if not any(map(any, margins)):
        return total / math.prod(windows.kernel)
    counts = nets.conv(nets.ones((1, 1, *space), x.dtype), window, windows.steps, margins)
    return total / counts
