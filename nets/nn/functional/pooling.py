"""Pooling: the largest element, the mean, or a norm, of each window of an image.

``input`` is a tensor or array (N, C, *space), or (C, *space) for a result without the axis N.
``kernel_size`` is the size of a window, ``stride`` how far apart windows begin (by default that
size), ``padding`` how far the image goes on on both sides: each one number for all axes of space,
or one for each. ``ceil_mode`` lets a last window reach beyond. ``count_include_pad`` says whether a
mean counts the zeros of the padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, overload

import nets
from nets.nn.functional.activation import relu
from nets.nn.functional.arguments import Sizes, TensorLike, check, check_number, pair
from nets.nn.functional.largest import Best, largest_of
from nets.nn.functional.windows import along, positions


class _MaxPool(Protocol):
    """A pooling that gives a tensor, or with ``return_indices`` also where its elements lay."""

    @overload
    def __call__(
        self,
        input: TensorLike,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: Literal[False] = False,
    ) -> nets.Tensor: ...
    @overload
    def __call__(
        self,
        input: TensorLike,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        return_indices: Literal[True],
    ) -> Best: ...


def _may_tell_indices(pool: Callable[..., nets.Tensor | Best]) -> _MaxPool:
    return cast(_MaxPool, pool)


@_may_tell_indices
def max_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nets.Tensor | Best:
    """Images (N, C, H, W) → the largest element of each window, in the dtype given; NaN wins.

    ``stride`` is by default the size of the window. With ``ceil_mode`` a last window may reach
    beyond the padding, if it begins before the end of the image. The gradient goes to the first of
    equals. With ``return_indices`` also where the elements lie in the flattened image, for
    ``max_unpool2d``. ShapeError for a ``padding`` of more than half the window, and where none of
    these windows, whose elements are ``dilation`` apart, fits.
    """
    options = kernel_size, stride, padding, dilation, ceil_mode
    result: nets.Tensor | Best = _max_pool(input, *options, return_indices, 2)
    return result


@_may_tell_indices
def max_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nets.Tensor | Best:
    """Sequences (N, C, L) → the largest element of each window; see ``max_pool2d``."""
    options = kernel_size, stride, padding, dilation, ceil_mode
    result: nets.Tensor | Best = _max_pool(input, *options, return_indices, 1)
    return result


@_may_tell_indices
def max_pool3d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nets.Tensor | Best:
    """Volumes (N, C, D, H, W) → the largest element of each window; see ``max_pool2d``."""
    options = kernel_size, stride, padding, dilation, ceil_mode
    result: nets.Tensor | Best = _max_pool(input, *options, return_indices, 3)
    return result


def avg_pool2d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> nets.Tensor:
    """Images (N, C, H, W) → the mean of each window; padding counts as zeros, or not at all.

    The means of integers are float64, as those of ``nets.mean``.
    With ``ceil_mode`` a last window may reach beyond the padding, if it begins before the end of
    the image; what lies there does not count. ``divisor_override`` divides the sum of every window.
    """
    options = ceil_mode, count_include_pad, divisor_override
    return _avg_pool(input, kernel_size, stride, padding, *options, 2)


def avg_pool3d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> nets.Tensor:
    """Volumes (N, C, D, H, W) → the mean of each window; see ``avg_pool2d``."""
    options = ceil_mode, count_include_pad, divisor_override
    return _avg_pool(input, kernel_size, stride, padding, *options, 3)


def avg_pool1d(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> nets.Tensor:
    """Sequences (N, C, L) → the mean of each window; see ``avg_pool2d``."""
    return _avg_pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


def lp_pool1d(
    input: TensorLike,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> nets.Tensor:
    """(N, C, *space) → (Σ x^p)^(1/p) of each window over 1 axis, p = ``norm_type``."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(
    input: TensorLike,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> nets.Tensor:
    """(N, C, *space) → (Σ x^p)^(1/p) of each window over 2 axes; see ``lp_pool1d``."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(
    input: TensorLike,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> nets.Tensor:
    """(N, C, *space) → (Σ x^p)^(1/p) of each window over 3 axes; see ``lp_pool1d``."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


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
    halves = any(2 * p > k for p, k in zip(margins, kernel, strict=True))
    if x.ndim != rank + 2 or halves or not all(x.shape[1:]):
        raise nets.errors.ShapeError(
            f"pooling takes (N, C, *space) with {rank} axes of space that are not empty, and "
            f"padding of at most half the window {kernel}; not "
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
    return_indices: bool,
    rank: int,
) -> Any:
    x = nets.as_tensor(input)
    options = kernel_size, stride, padding, dilation, ceil_mode, return_indices
    if x.ndim == rank + 1:
        batch = _max_pool(x[None], *options, rank)
        if not return_indices:
            return nets.squeeze(batch, 0)
        return Best(*(nets.squeeze(part, 0) for part in batch))
    windows = _windows(x, kernel_size, stride, padding, dilation, ceil_mode, rank)
    apart = pair(dilation, rank)
    if return_indices:
        return _with_indices(x, windows, apart)
    plane = rank if rank < 3 else 2
    axes = slice(-plane, None)
    shaped = x if rank < 3 else nets.reshape(x, (x.shape[0], -1, *x.shape[3:]))
    found = nets.max_pool(
        shaped, windows.kernel[axes], windows.steps[axes], windows.margins[axes], apart[axes]
    )
    if rank < 3:
        return found
    # The largest of the planes that are the largest: a window is a box.
    n, channels, depth = x.shape[:3]
    planes = nets.reshape(found, (n, channels, depth, -1))
    lines = nets.reshape(nets.swapaxes(planes, 2, 3), (n, -1, depth))
    deep = nets.max_pool(
        lines, windows.kernel[:1], windows.steps[:1], windows.margins[:1], apart[:1]
    )
    deep = nets.swapaxes(nets.reshape(deep, (n, channels, planes.shape[3], -1)), 2, 3)
    return nets.reshape(deep, (n, channels, -1, *found.shape[2:]))


def _with_indices(x: nets.Tensor, windows: _Windows, dilation: tuple[int, ...]) -> Best:
    tables = []
    axes = zip(x.shape[2:], windows.kernel, windows.steps, windows.margins, dilation, strict=True)
    for size, kernel, step, (before, after), apart in axes:
        table = positions(size + before + after, kernel, step, 0, apart)
        if not len(table):
            raise nets.errors.ShapeError(
                f"no window of {windows.kernel} fits into shape {x.shape}", nets.user_location()
            )
        tables.append(list(table.T))
    return largest_of(x, tables, windows.margins)


def _avg_pool(
    input: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    rank: int,
) -> nets.Tensor:
    """Sums are convolutions of each channel alone with ones; of one window over all, a mean."""
    x = nets.as_tensor(input)
    check_number("divisor_override", 1 if divisor_override is None else divisor_override)
    check(divisor_override is None or bool(divisor_override), "the divisor_override is not 0")
    options = ceil_mode, count_include_pad, divisor_override
    if x.ndim == rank + 1:
        return nets.squeeze(_avg_pool(x[None], kernel_size, stride, padding, *options, rank), 0)
    windows = _windows(x, kernel_size, stride, padding, 1, ceil_mode, rank)
    space = x.shape[2:]
    is_whole = windows.kernel == tuple(space) and not any(map(any, windows.margins))
    if is_whole and divisor_override is None:
        return nets.mean(x, axis=tuple(range(2, 2 + rank)), keepdims=True)
    total = _summed(x, windows, windows.margins)
    if divisor_override is not None:
        return total / divisor_override
    margins, ones = windows.margins, space
    if count_include_pad:
        margins = windows.beyond
        ones = tuple(size + 2 * p for size, p in zip(space, windows.padding, strict=True))
    if not any(map(any, margins)):
        return total / math.prod(windows.kernel)
    return total / _summed(nets.ones((1, 1, *ones), total.dtype), windows, margins)


def _summed(x: nets.Tensor, windows: _Windows, margins: list[tuple[int, int]]) -> nets.Tensor:
    """The sum of each window."""
    n, channels, *space = x.shape
    if len(space) == 3:
        x = nets.pad(x, [(0, 0), (0, 0), margins[0], (0, 0), (0, 0)])
        table = positions(x.shape[2], windows.kernel[0], windows.steps[0], 0, 1)
        x = sum((along(x, places, 2) for places in table.T[1:]), along(x, table[:, 0], 2))
    depth = x.shape[2:-2] if len(space) == 3 else ()
    plane = x.shape[2 + len(depth) :]
    axes = slice(-len(plane), None)
    window = nets.ones((1, 1, *windows.kernel[axes]), x.dtype)
    images = nets.reshape(x, (n * channels * math.prod(depth), 1, *plane))
    total = nets.conv(images, window, windows.steps[axes], margins[axes])
    return nets.reshape(total, (n, channels, *depth, *total.shape[2:]))


def _lp_pool(
    input: TensorLike,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None,
    ceil_mode: bool,
    rank: int,
) -> nets.Tensor:
    powers = nets.pow(nets.as_tensor(input), norm_type)
    means = _avg_pool(powers, kernel_size, stride, 0, ceil_mode, True, None, rank)
    total = nets.sign(means) * relu(nets.abs(means)) * math.prod(pair(kernel_size, rank))
    return nets.pow(total, 1.0 / norm_type)
