"""Windows over axes: where they lie, their elements side by side, and their sums back in place.

``input`` is a tensor or array. ``kernel_size`` is the size of a window, ``dilation`` how far apart
its elements lie, ``padding`` how many zeros lie around, ``stride`` how far apart windows begin,
``output_size`` the size (H, W) that ``fold`` gives: each one number for both axes, or a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import nets
from nets.nn.functional.arguments import Sizes, TensorLike, check, pair

Places = npt.NDArray[np.int64]


def along(x: nets.Tensor, places: Places, axis: int) -> nets.Tensor:
    """The slices of x at these places along an axis; evenly spaced ones are cut out at once."""
    before = (slice(None),) * (axis % x.ndim)
    steps = np.diff(places)
    if len(places) and (len(places) == 1 or (steps[0] > 0 and (steps == steps[0]).all())):
        step = int(steps[0]) if len(steps) else 1
        return x[(*before, slice(int(places[0]), int(places[-1]) + 1, step))]
    return nets.take(x, places, axis)


def positions(size: int, kernel: int, step: int, padding: int, dilation: int) -> Places:
    """Where the elements of each window lie along an axis with ``padding`` on both sides:
    (windows, kernel), counted from the start of the padding."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // step + 1
    return np.arange(max(count, 0))[:, None] * step + np.arange(kernel) * dilation


def placed(x: nets.Tensor, axis: int, step: int, dilation: int, size: int) -> nets.Tensor:
    """The sum of windows put back: x has the taps of each on ``axis`` and windows on the axis after
    it. Tap k of window i is added at i · step + k · dilation of ``size`` places, which take the
    place of both axes."""
    taps, count = x.shape[axis], x.shape[axis + 1]
    before = (slice(None),) * axis
    widths = [(0, 0)] * (x.ndim - 1)
    total: Any = None
    for k in range(taps):
        tap = x[(*before, k)]
        if step > 1 and count:
            spread = [(0, 0)] * (axis + 1) + [(0, step - 1)] + [(0, 0)] * (tap.ndim - axis - 1)
            tap = nets.pad(nets.expand_dims(tap, axis + 1), spread)
            tap = nets.reshape(tap, (*x.shape[:axis], count * step, *x.shape[axis + 2 :]))
            tap = tap[(*before, slice(0, (count - 1) * step + 1))]
        start = k * dilation
        widths[axis] = (start, size - start - tap.shape[axis])
        part = nets.pad(tap, widths)
        total = part if total is None else total + part
    return total  # type: ignore[no-any-return]


def unfold(
    input: TensorLike,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> nets.Tensor:
    """Images (N, C, H, W) → the elements of each window as a column: (N, C · kH · kW, windows).

    ShapeError for other shapes and windows that do not fit. Without the axis N the result has none.
    """
    x = nets.as_tensor(input)
    if x.ndim == 3:
        return unfold(x[None], kernel_size, dilation, padding, stride)[0]
    kernel, apart = pair(kernel_size, 2, "kernel_size"), pair(dilation, 2, "dilation")
    margins, steps = pair(padding, 2, "padding", 0), pair(stride, 2, "stride")
    if x.ndim != 4 or not all(x.shape[1:]):
        _refuse("unfold takes images (N, C, H, W)", x.shape)
    tables = [
        positions(*axis) for axis in zip(x.shape[2:], kernel, steps, margins, apart, strict=True)
    ]
    if not all(len(table) for table in tables):
        _refuse(f"windows of {kernel} do not fit into images", x.shape)
    x = nets.pad(x, [(0, 0), (0, 0), *((p, p) for p in margins)])
    (rows, kh), (columns, kw) = (table.shape for table in tables)
    n, channels = x.shape[:2]
    parts = nets.take(nets.take(x, tables[1].T, 3), tables[0].T, 2)
    parts = nets.permute_dims(parts, (0, 1, 2, 4, 3, 5))
    return nets.reshape(parts, (n, channels * kh * kw, rows * columns))


def _refuse(what: str, shape: Sequence[int]) -> None:
    raise nets.errors.ShapeError(f"{what}, not {tuple(shape)}", nets.user_location())


def fold(
    input: TensorLike,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> nets.Tensor:
    """The columns of ``unfold`` added up where their windows lie: (N, C · kH · kW, windows) →
    (N, C, H, W). ShapeError where these are no such columns."""
    x = nets.as_tensor(input)
    if x.ndim == 2:
        return fold(x[None], output_size, kernel_size, dilation, padding, stride)[0]
    sizes, kernel = pair(output_size, 2, "output_size"), pair(kernel_size, 2, "kernel_size")
    apart, margins = pair(dilation, 2, "dilation"), pair(padding, 2, "padding", 0)
    steps = pair(stride, 2, "stride")
    counts = [
        len(positions(*axis)) for axis in zip(sizes, kernel, steps, margins, apart, strict=True)
    ]
    taps = kernel[0] * kernel[1]
    if x.ndim != 3 or x.shape[1] % taps or x.shape[2] != counts[0] * counts[1]:
        _refuse(f"fold takes columns (N, C · {taps}, {counts[0]} · {counts[1]})", x.shape)
    channels = x.shape[1] // taps
    parts = nets.reshape(x, (x.shape[0], channels, *kernel, *counts))
    parts = nets.permute_dims(parts, (0, 1, 2, 4, 3, 5))
    full = [size + 2 * p for size, p in zip(sizes, margins, strict=True)]
    rows = placed(parts, 2, steps[0], apart[0], full[0])
    image = placed(rows, 3, steps[1], apart[1], full[1])
    (top, left), (height, width) = margins, sizes
    check(all(counts), "fold takes at least one window")
    return image[:, :, top : top + height, left : left + width]
