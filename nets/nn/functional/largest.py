"""The largest elements of windows and where they lie, and elements put back where they lay.

``input`` has the elements, ``indices`` their positions in the flattened axes of space of the
output, both (N, C, *places) or (C, *places). ``stride`` is by default the ``kernel_size``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import nets
from nets.nn.functional.arguments import Sizes, TensorLike, check, pair
from nets.nn.functional.windows import Places, along


class Best(NamedTuple):
    """The largest element of each window, and its position in the flattened axes of space."""

    values: nets.Tensor
    indices: nets.Tensor


def largest_of(
    x: nets.Tensor,
    tables: Sequence[Sequence[Places]],
    margins: Sequence[tuple[int, int]] | None = None,
) -> Best:
    """The largest elements of windows over the last axes; of equals the first, of NaN the last.

    ``tables`` has for each axis, by element of a window, its place in every window, counted from
    the start of the margin; what lies in the margins takes no part. Windows are boxes, so one axis
    is dealt with after the other.
    """
    rank, space = len(tables), x.shape[-len(tables) :]
    numbers: Any = nets.reshape(nets.arange(math.prod(space)), space)
    values: Any = nets.stop_gradient(x)
    if margins is not None and any(map(any, margins)):
        lead = [(0, 0)] * (x.ndim - rank)
        values = nets.pad(values, [*lead, *margins], _least(x.dtype))
        numbers = nets.pad(numbers, list(margins), -1)
    numbers = nets.broadcast_to(numbers, values.shape)
    for i in reversed(range(rank)):
        values, numbers = _along_axis(values, numbers, x.ndim - rank + i, tables[i])
    return Best(_at(x, numbers, rank), nets.positive(numbers))


def _least(dtype: np.dtype[Any]) -> float:
    return -math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _along_axis(
    values: nets.Tensor, numbers: nets.Tensor, axis: int, taps: Sequence[Places]
) -> tuple[nets.Tensor, nets.Tensor]:
    best, where = along(values, taps[0], axis), along(numbers, taps[0], axis)
    for places in taps[1:]:
        value, number = along(values, places, axis), along(numbers, places, axis)
        is_better = (value > best) | nets.isnan(value) | (where < 0)
        best, where = nets.where(is_better, value, best), nets.where(is_better, number, where)
    return best, where


def _at(x: nets.Tensor, numbers: nets.Tensor, rank: int) -> nets.Tensor:
    """The elements at positions in the flattened axes of space."""
    lead, size = x.shape[:-rank], math.prod(x.shape[-rank:])
    flat = nets.reshape(x, (*lead, size))
    count = math.prod(numbers.shape[-rank:])
    found = nets.take_along_axis(flat, nets.reshape(numbers, (*lead, count)), -1)
    return nets.reshape(found, numbers.shape)


# ------------------------------------------------------------------------------ put back


def _unpool(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Sequence[int] | None,
    rank: int,
) -> nets.Tensor:
    x, numbers = nets.as_tensor(input), nets.as_tensor(indices)
    kernel, margins = pair(kernel_size, rank, "kernel_size"), pair(padding, rank, "padding", 0)
    steps = pair(kernel if stride is None else stride, rank, "stride")
    if x.ndim not in (rank + 1, rank + 2) or x.shape != numbers.shape:
        raise nets.errors.ShapeError(
            f"max_unpool{rank}d takes (N, C, *places) and as many indices, not {x.shape} and "
            f"{numbers.shape}",
            nets.user_location(),
        )
    axes = zip(x.shape[-rank:], kernel, steps, margins, strict=True)
    usual = tuple((n - 1) * step - 2 * p + k for n, k, step, p in axes)
    space = usual if output_size is None else tuple(output_size)[-rank:]
    near = all(abs(n - own) < step for n, own, step in zip(space, usual, steps, strict=False))
    check(len(space) == rank and near, f"output_size is about {usual}, not {output_size}")
    lead, size = x.shape[:-rank], math.prod(space)
    flat = nets.check_positions(nets.reshape(numbers, (-1,)), size, "an index of max_unpool")
    entries, each = math.prod(lead), math.prod(x.shape[-rank:])
    starts = np.repeat(np.arange(entries) * size, each)
    empty = nets.zeros((entries * size,), x.dtype)
    at, elements = (flat + starts,), nets.reshape(x, (-1,))
    full = nets.index_put(empty, at, nets.stop_gradient(elements))
    # Where windows overlap one element is put there for all of them, and all get its gradient.
    added = nets.index_put(empty, at, elements, accumulate=True)
    added = nets.where(nets.isfinite(added), added, 0)
    return nets.reshape(full + (added - nets.stop_gradient(added)), (*lead, *space))


def max_unpool1d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> nets.Tensor:
    """(N, C, places) put where the ``indices`` of ``max_pool1d`` say, among zeros: (N, C, L).

    ``output_size`` may differ from the usual one by less than the ``stride``; ``kernel_size`` and
    ``padding`` are those of the pooling. IndexOutOfBoundsError for indices beyond the output.
    """
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> nets.Tensor:
    """(N, C, *places) put where ``indices`` of ``max_pool2d`` say; see ``max_unpool1d``."""
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: TensorLike,
    indices: TensorLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> nets.Tensor:
    """(N, C, *places) put where ``indices`` of ``max_pool3d`` say; see ``max_unpool1d``."""
    return _unpool(input, indices, kernel_size, stride, padding, output_size, 3)
