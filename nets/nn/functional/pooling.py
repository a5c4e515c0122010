"""Pooling: the largest element, or the mean, of each window of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import nets
from nets.nn.functional.convolution import Sizes, padded, pair, windows
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


def _met(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    rank: int,
    outside: float,
) -> list[nets.Tensor]:
    """For each offset in the window, what it meets."""
    x = nets.as_tensor(input)
    kernel = pair(kernel_size, rank)
    margins = pair(padding, rank)
    if x.ndim != rank + 2 or any(2 * p > k for p, k in zip(margins, kernel, strict=True)):
        raise nets.errors.ShapeError(
            f"pooling takes {rank + 2} axes, and padding of at most half the window {kernel}; not "
            f"shape {x.shape} with padding {margins}",
            nets.user_location(),
        )
    x = padded(x, [(p, p) for p in margins], outside)
    steps = pair(kernel if stride is None else stride, rank)
    return windows(x, kernel, steps, pair(dilation, rank))


def _max_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    rank: int,
) -> nets.Tensor:
    first, *others = _met(input, kernel_size, stride, padding, dilation, rank, -math.inf)
    for other in others:
        # Not nets.maximum, which shares the gradient between equals.
        first = nets.where((other > first) | nets.isnan(other), other, first)
    return first


def _avg_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    count_include_pad: bool,
    rank: int,
) -> nets.Tensor:
    total = _sum(_met(input, kernel_size, stride, padding, 1, rank, 0.0))
    if count_include_pad or not any(pair(padding, rank)):
        return total / math.prod(pair(kernel_size, rank))
    ones = nets.ones_like(input)[:1, :1]
    return total / _sum(_met(ones, kernel_size, stride, padding, 1, rank, 0.0))


def _sum(parts: Sequence[nets.Tensor]) -> nets.Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
