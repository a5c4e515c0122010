"""Convolution (in truth, correlation) under PyTorch's argument names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import nets
from nets.nn.functional.arguments import TensorLike, check_count, check_shape, counts

Sizes = int | Sequence[int]


def pair(value: Sizes, count: int = 2, name: str = "it", least: int = 1) -> tuple[int, ...]:
    """One number for each axis of the image; ArgumentError for those below ``least``."""
    sizes = counts(name, value, least)
    sizes = sizes if isinstance(value, tuple | list) else sizes * count
    if len(sizes) != count:
        raise nets.errors.ArgumentError(
            f"one number or {count} are needed, not {sizes}", nets.user_location()
        )
    return sizes


def conv2d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["valid", "same"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> nets.Tensor:
    """Images (N, C, H, W) with weight (O, C / groups, kH, kW) and bias (O,) give (N, O, H′, W′).

    H′ = (H + 2 · padding − dilation · (kH − 1) − 1) // stride + 1. "same" keeps the size, for
    stride 1. An image without the axis N gives one without it. ShapeError where the shapes do not
    go together, ArgumentError for sizes that are no whole numbers from 1 on, and paddings from 0.
    """
    return _convolve(input, weight, bias, stride, padding, dilation, groups, 2)


def conv1d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["valid", "same"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> nets.Tensor:
    """Sequences (N, C, L) with weight (O, C / groups, k) and bias (O,) give (N, O, L′)."""
    return _convolve(input, weight, bias, stride, padding, dilation, groups, 1)


def _convolve(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
    rank: int,
) -> nets.Tensor:
    x, w = nets.as_tensor(input), nets.as_tensor(weight)
    check_count("groups", groups)
    if x.ndim == rank + 1:
        batch = _convolve(x[None], w, bias, stride, padding, dilation, groups, rank)
        return nets.squeeze(batch, 0)
    _check(x, w, groups, rank)
    check_shape("bias", bias, w.shape[:1])
    kernel = w.shape[2:]
    steps, dilations = pair(stride, rank, "stride"), pair(dilation, rank, "dilation")
    margins = _padding(padding, kernel, steps, dilations)
    result = nets.conv(x, w, steps, margins, dilations, groups)
    return result if bias is None else result + nets.reshape(bias, (-1,) + (1,) * rank)


def _check(x: nets.Tensor, w: nets.Tensor, groups: int, rank: int) -> None:
    fits = x.ndim == w.ndim == rank + 2
    if not fits or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise nets.errors.ShapeError(
            f"conv{rank}d: an input of shape {x.shape} does not go with a weight of shape "
            f"{w.shape} in {groups} groups",
            nets.user_location(),
        )


def _padding(
    padding: Sizes | str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        if any(step != 1 for step in stride):
            raise nets.errors.ArgumentError("padding='same' is for stride 1", nets.user_location())
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    if isinstance(padding, str):
        raise nets.errors.ArgumentError(
            f"padding is numbers, 'valid' or 'same', not {padding!r}", nets.user_location()
        )
    return [(p, p) for p in pair(padding, len(kernel), "padding", 0)]


def conv_transpose2d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> nets.Tensor:
    """What the gradient of ``conv2d`` with respect to its input computes.

    (N, C, H, W) with weight (C, O / groups, kH, kW) and bias (O,) gives (N, O, H′, W′),
    H′ = (H − 1) · stride − 2 · padding + dilation · (kH − 1) + output_padding + 1.
    """
    x, w = nets.as_tensor(input), nets.as_tensor(weight)
    check_count("groups", groups)
    if x.ndim == 3:
        batch = conv_transpose2d(
            x[None], w, bias, stride, padding, output_padding, groups, dilation
        )
        return nets.squeeze(batch, 0)
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise nets.errors.ShapeError(
            f"conv_transpose2d: an input of shape {x.shape} does not go with a weight of shape "
            f"{w.shape} in {groups} groups",
            nets.user_location(),
        )
    check_shape("bias", bias, (w.shape[1] * groups,))
    margins, more = pair(padding, 2, "padding", 0), pair(output_padding, 2, "output_padding", 0)
    steps, dilations = pair(stride, 2, "stride"), pair(dilation, 2, "dilation")
    result = nets.conv_transpose(x, w, steps, margins, more, groups, dilations)
    return result if bias is None else result + nets.reshape(bias, (-1, 1, 1))
