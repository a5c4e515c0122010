"""Convolution (in truth, correlation) under PyTorch's argument names.

Over volumes it is one over planes, with the planes that a kernel meets as further channels.

``input`` is a tensor or array (N, C, *space), or (C, *space) for a result without the axis N;
``bias`` is None for none. ``stride`` is how far apart windows begin, ``padding`` how many zeros lie
on both sides (for "valid" none, for "same" what keeps the size), ``dilation`` how far apart the
elements of a window lie: each one number for all axes of space, or one for each. ``groups`` splits
the channels into so many parts that see each other not at all; it divides C and O.
``output_padding`` makes a transposed result longer at its end, where several sizes have the same
convolution; it is below the stride or the dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import nets
from nets.nn.functional.arguments import Sizes, TensorLike, check_count, check_shape, pair
from nets.nn.functional.windows import placed


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


def conv3d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["valid", "same"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> nets.Tensor:
    """Volumes (N, C, D, H, W) with weight (O, C / groups, kD, kH, kW) and bias (O,) give
    (N, O, D′, H′, W′); ``stride``, ``padding`` and ``dilation`` as in ``conv2d``."""
    return _convolve(input, weight, bias, stride, padding, dilation, groups, 3)


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
    convolve = nets.conv if rank < 3 else _of_volumes
    result = convolve(x, w, steps, margins, dilations, groups)
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


def _of_volumes(
    x: nets.Tensor,
    w: nets.Tensor,
    steps: Sequence[int],
    margins: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> nets.Tensor:
    """``nets.conv`` over three axes."""
    (n, channels), (outputs, _, depth) = x.shape[:2], w.shape[:3]
    x = nets.pad(x, [(0, 0), (0, 0), margins[0], (0, 0), (0, 0)])
    reach = dilation[0] * (depth - 1)
    count = (x.shape[2] - reach - 1) // steps[0] + 1
    if count < 1:
        raise nets.errors.ShapeError(
            f"conv3d: a kernel of shape {w.shape} does not fit into shape {x.shape}",
            nets.user_location(),
        )
    starts = [k * dilation[0] for k in range(depth)]
    ends = [start + (count - 1) * steps[0] + 1 for start in starts]
    taps = [x[:, :, a : b : steps[0]] for a, b in zip(starts, ends, strict=True)]
    planes = nets.permute_dims(nets.stack(taps, 2), (0, 3, 1, 2, 4, 5))
    planes = nets.reshape(planes, (n * count, channels * depth, *x.shape[3:]))
    kernels = nets.reshape(w, (outputs, w.shape[1] * depth, *w.shape[3:]))
    made = nets.conv(planes, kernels, steps[1:], margins[1:], dilation[1:], groups)
    made = nets.reshape(made, (n, count, outputs, *made.shape[2:]))
    return nets.swapaxes(made, 1, 2)


def conv_transpose1d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> nets.Tensor:
    """What the gradient of ``conv1d`` with respect to its input computes: (N, C, L) with weight
    (C, O / groups, k) and bias (O,) gives (N, O, L′); see ``conv_transpose2d``."""
    options = stride, padding, output_padding, groups, dilation
    return _transposed(input, weight, bias, *options, 1)


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
    H′ = (H − 1) · stride − 2 · padding + dilation · (kH − 1) + output_padding + 1. ShapeError where
    the shapes do not go together, ArgumentError for sizes that are no whole numbers.
    """
    options = stride, padding, output_padding, groups, dilation
    return _transposed(input, weight, bias, *options, 2)


def conv_transpose3d(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> nets.Tensor:
    """What the gradient of ``conv3d`` with respect to its input computes: (N, C, D, H, W) with
    weight (C, O / groups, kD, kH, kW) and bias (O,) gives (N, O, D′, H′, W′); see
    ``conv_transpose2d``."""
    options = stride, padding, output_padding, groups, dilation
    return _transposed(input, weight, bias, *options, 3)


def _transposed(
    input: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
    rank: int,
) -> nets.Tensor:
    x, w = nets.as_tensor(input), nets.as_tensor(weight)
    check_count("groups", groups)
    if x.ndim == rank + 1:
        options = stride, padding, output_padding, groups, dilation
        return nets.squeeze(_transposed(x[None], w, bias, *options, rank), 0)
    fits = x.ndim == w.ndim == rank + 2
    if not fits or x.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise nets.errors.ShapeError(
            f"conv_transpose{rank}d: an input of shape {x.shape} does not go with a weight of "
            f"shape {w.shape} in {groups} groups",
            nets.user_location(),
        )
    check_shape("bias", bias, (w.shape[1] * groups,))
    margins = pair(padding, rank, "padding", 0)
    more = pair(output_padding, rank, "output_padding", 0)
    steps, dilations = pair(stride, rank, "stride"), pair(dilation, rank, "dilation")
    transpose = nets.conv_transpose if rank < 3 else _to_volumes
    result = transpose(x, w, steps, margins, more, groups, dilations)
    return result if bias is None else result + nets.reshape(bias, (-1,) + (1,) * rank)


def _to_volumes(
    x: nets.Tensor,
    w: nets.Tensor,
    steps: Sequence[int],
    margins: Sequence[int],
    more: Sequence[int],
    groups: int,
    dilation: Sequence[int],
) -> nets.Tensor:
    """``nets.conv_transpose`` over three axes: planes by planes, which are added up in depth."""
    n, channels, count = x.shape[:3]
    outputs, depth = w.shape[1], w.shape[2]
    size = (count - 1) * steps[0] + dilation[0] * (depth - 1) + more[0] + 1
    if size <= 2 * margins[0] or more[0] >= max(steps[0], dilation[0]):
        raise nets.errors.ArgumentError(
            f"conv_transpose3d: nothing is left of a depth of {count}, or an output_padding of "
            f"{more[0]} is not below the stride or dilation",
            nets.user_location(),
        )
    planes = nets.reshape(nets.swapaxes(x, 1, 2), (n * count, channels, *x.shape[3:]))
    kernels = nets.reshape(w, (channels, outputs * depth, *w.shape[3:]))
    made = nets.conv_transpose(
        planes, kernels, steps[1:], margins[1:], more[1:], groups, dilation[1:]
    )
    parts = nets.reshape(made, (n, count, outputs * groups, depth, *made.shape[2:]))
    parts = nets.permute_dims(parts, (0, 2, 3, 1, 4, 5))
    full = placed(parts, 2, steps[0], dilation[0], size)
    return full[:, :, margins[0] : size - margins[0]]
