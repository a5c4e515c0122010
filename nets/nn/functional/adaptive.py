"""Adaptive pooling: as many windows as are asked for, whatever the size of the image.

``input`` is a tensor or array; without the axis N the result has none. ``output_size`` is how many
windows there are: one number for all axes of space, or one for each, where None keeps the size.
ShapeError for other ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, cast, overload

import numpy as np

import nets
from nets.nn.functional.arguments import TensorLike, check, check_count
from nets.nn.functional.largest import Best, largest_of
from nets.nn.functional.windows import Places

OutputSize = int | Sequence[int | None] | None


def _output(x: nets.Tensor, size: OutputSize, rank: int, name: str) -> tuple[int, ...]:
    """The new size of each axis of space; None stands for the old one."""
    if x.ndim not in (rank + 1, rank + 2) or not all(x.shape[-rank:]):
        raise nets.errors.ShapeError(
            f"{name} takes (N, C, *space) with {rank} axes of space that are not empty, not shape "
            f"{x.shape}",
            nets.user_location(),
        )
    listed: Any = size if isinstance(size, tuple | list) else (size,) * rank
    check(len(listed) == rank, f"output_size is one number or {rank}, not {size}")
    found = [n if k is None else k for n, k in zip(x.shape[-rank:], listed, strict=True)]
    for n in found:
        check_count("output_size", n, 0)
    return tuple(map(int, found))


def _bounds(size: int, new: int) -> tuple[Places, Places]:
    """Where each window begins and ends."""
    places = np.arange(new)
    return places * size // max(new, 1), -(-(places + 1) * size // max(new, 1))


def adaptive_pool(x: nets.Tensor, sizes: Sequence[int], rank: int) -> nets.Tensor:
    """The mean of each window of the last axes, one axis after the other."""
    for i, new in enumerate(sizes):
        x = _means(x, x.ndim - rank + i, new)
    return nets.positive(x)


def _means(x: nets.Tensor, axis: int, new: int) -> nets.Tensor:
    size = x.shape[axis]
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if new and size % new == 0:
        return nets.mean(nets.reshape(x, (*before, new, size // new, *after)), axis + 1)
    starts, ends = _bounds(size, new)
    counts = ends - starts
    offsets = np.arange(int(counts.max(initial=1)))
    places = np.minimum(starts[:, None] + offsets, size - 1)
    shape = (1,) * len(after)
    taken = nets.take(x, places, axis)
    inside = (offsets < counts[:, None]).reshape(*places.shape, *shape)
    total = nets.sum(nets.where(inside, taken, 0), axis + 1)
    return total / counts.astype(total.dtype).reshape(-1, *shape)


def adaptive_avg_pool1d(input: TensorLike, output_size: OutputSize) -> nets.Tensor:
    """(N, C, L) → (N, C, output_size): the mean of as many windows, which may overlap."""
    x = nets.as_tensor(input)
    return adaptive_pool(x, _output(x, output_size, 1, "adaptive_avg_pool1d"), 1)


def adaptive_avg_pool2d(input: TensorLike, output_size: OutputSize) -> nets.Tensor:
    """(N, C, H, W) → (N, C, *output_size): means; one number is for both axes, None keeps one."""
    x = nets.as_tensor(input)
    return adaptive_pool(x, _output(x, output_size, 2, "adaptive_avg_pool2d"), 2)


def adaptive_avg_pool3d(input: TensorLike, output_size: OutputSize) -> nets.Tensor:
    """(N, C, D, H, W) → (N, C, *output_size): means; see ``adaptive_avg_pool2d``."""
    x = nets.as_tensor(input)
    return adaptive_pool(x, _output(x, output_size, 3, "adaptive_avg_pool3d"), 3)


def _taps(size: int, new: int) -> list[Places]:
    starts, ends = _bounds(size, new)
    reach = int((ends - starts).max(initial=1))
    return [np.minimum(starts + k, ends - 1) for k in range(reach)]


def _largest(input: TensorLike, output_size: OutputSize, rank: int, with_indices: bool) -> Any:
    x = nets.as_tensor(input)
    sizes = _output(x, output_size, rank, f"adaptive_max_pool{rank}d")
    tables = [_taps(n, new) for n, new in zip(x.shape[-rank:], sizes, strict=True)]
    found = largest_of(x, tables)
    return found if with_indices else found.values


class _MaxPool(Protocol):
    """A pooling that gives a tensor, or with ``return_indices`` also where its elements lay."""

    @overload
    def __call__(
        self, input: TensorLike, output_size: OutputSize, return_indices: Literal[False] = False
    ) -> nets.Tensor: ...
    @overload
    def __call__(
        self, input: TensorLike, output_size: OutputSize, return_indices: Literal[True]
    ) -> Best: ...


def _may_tell_indices(pool: Callable[..., nets.Tensor | Best]) -> _MaxPool:
    return cast(_MaxPool, pool)


@_may_tell_indices
def adaptive_max_pool1d(
    input: TensorLike, output_size: OutputSize, return_indices: bool = False
) -> nets.Tensor | Best:
    """(N, C, L) → (N, C, output_size): the largest of as many windows, which may overlap.

    With ``return_indices`` also their positions along the axis. The gradient goes to these.
    """
    result: nets.Tensor | Best = _largest(input, output_size, 1, return_indices)
    return result


@_may_tell_indices
def adaptive_max_pool2d(
    input: TensorLike, output_size: OutputSize, return_indices: bool = False
) -> nets.Tensor | Best:
    """(N, C, H, W) → (N, C, *output_size): the largest elements; with ``return_indices`` also
    their positions in the flattened image."""
    result: nets.Tensor | Best = _largest(input, output_size, 2, return_indices)
    return result


@_may_tell_indices
def adaptive_max_pool3d(
    input: TensorLike, output_size: OutputSize, return_indices: bool = False
) -> nets.Tensor | Best:
    """(N, C, D, H, W) → (N, C, *output_size): the largest elements; with ``return_indices`` also
    their positions in the flattened volume."""
    result: nets.Tensor | Best = _largest(input, output_size, 3, return_indices)
    return result
