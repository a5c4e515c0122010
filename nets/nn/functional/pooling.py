"""Pooling: the largest element, or the mean, of each window of an image."""

from __future__ import annotations

import math

import numpy as np

import nets
from nets.nn.functional.convolution import Sizes, pair
from nets.nn.module import TensorLike


def max_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> nets.Tensor:
    """Images (N, C, H, W) → the largest element of each window; NaN wins.

    ``stride`` is by default the size of the window. The gradient goes to the first of equals.
    """
    return _max_pool(input, kernel_size, stride, padding, dilation, 2)


def max_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> nets.Tensor:
    """Sequences (N, C, L) → the largest element of each window; see ``max_pool2d``."""
    return _max_pool(input, kernel_size, stride, padding, dilation, 1)


def avg_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    count_include_pad: bool = True,
) -> nets.Tensor:
    """Images (N, C, H, W) → the mean of each window; padding counts as zeros, or not at all."""
    return _avg_pool(input, kernel_size, stride, padding, count_include_pad, 2)


def avg_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    count_include_pad: bool = True,
) -> nets.Tensor:
    """Sequences (N, C, L) → the mean of each window."""
    return _avg_pool(input, kernel_size, stride, padding, count_include_pad, 1)


def _windows(
    x: nets.Tensor, kernel_size: Sizes, padding: Sizes, rank: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The window and its margins, one number for each axis."""
    kernel, margins = pair(kernel_size, rank), pair(padding, rank)
    if x.ndim != rank + 2 or any(2 * p > k for p, k in zip(margins, kernel, strict=True)):
        raise nets.errors.ShapeError(
            f"pooling takes {rank + 2} axes, and padding of at most half the window {kernel}; not "
            f"shape {x.shape} with padding {margins}",
            nets.user_location(),
        )
    return kernel, margins


def _max_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    rank: int,
) -> nets.Tensor:
    x = nets.as_tensor(input)
    kernel, margins = _windows(x, kernel_size, padding, rank)
    steps = pair(kernel if stride is None else stride, rank)
    return nets.max_pool(x, kernel, steps, margins, pair(dilation, rank))


def _avg_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    count_include_pad: bool,
    rank: int,
) -> nets.Tensor:
    """Sums are convolutions of each channel alone with ones."""
    x = nets.as_tensor(input)
    kernel, margins = _windows(x, kernel_size, padding, rank)
    steps = pair(kernel if stride is None else stride, rank)
    n, channels, *space = x.shape
    images = nets.reshape(x, (n * channels, 1, *space))
    total = nets.conv(images, np.ones((1, 1, *kernel), x.dtype), steps, margins)
    total = nets.reshape(total, (n, channels, *total.shape[2:]))
    if count_include_pad or not any(margins):
        return total / math.prod(kernel)
    ones = np.ones((1, 1, *space), x.dtype)
    return total / nets.conv(ones, np.ones((1, 1, *kernel), x.dtype), steps, margins)
