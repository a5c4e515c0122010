"""Sampling: images read at places between their elements."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import nets
from nets.nn.functional.arguments import Reading, TensorLike, check


def grid_sample(
    input: TensorLike,
    grid: TensorLike,
    mode: Literal["bilinear", "nearest", "bicubic"] = "bilinear",
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros",
    align_corners: bool | None = None,
) -> nets.Tensor:
    """(N, C, H, W) read at the places ``grid`` (N, H′, W′, 2): (N, C, H′, W′); volumes likewise.

    Places are (x, y), or (x, y, z), from −1 to 1 over the image: from edge to edge, or with
    ``align_corners`` from centre to centre. Beyond lie zeros, the elements at the border, or a
    reflection. "bicubic" is for images. ArgumentError for other modes, ShapeError where the shapes
    do not go together. Jaderberg et al., "Spatial transformer networks", 2015.

    ``input`` is a tensor or array of floats. ``mode`` says how elements around a place are
    weighted, "bilinear", "bicubic", or the "nearest" alone; ``padding_mode`` what lies beyond:
    "zeros", "border" or "reflection".
    """
    x, places = nets.as_tensor(input), nets.as_tensor(grid)
    rank = x.ndim - 2
    check(mode in ("bilinear", "nearest", "bicubic"), f"grid_sample has no mode {mode!r}")
    check(padding_mode in ("zeros", "border", "reflection"), f"no padding_mode {padding_mode!r}")
    fits = rank in (2, 3) and places.ndim == x.ndim and places.shape[-1] == rank
    if not fits or places.shape[0] != x.shape[0] or not all(x.shape[2:]):
        raise nets.errors.ShapeError(
            f"grid_sample takes (N, C, H, W) and (N, H′, W′, 2), or volumes, not {x.shape} and "
            f"{places.shape}",
            nets.user_location(),
        )
    check(mode != "bicubic" or rank == 2, "bicubic sampling is for images")
    align = bool(align_corners)
    at = [_unscaled(places[..., rank - 1 - i], x.shape[2 + i], align) for i in range(rank)]
    if mode == "bicubic":
        return _cubic(x, at, padding_mode, align)
    at = [_moved(p, n, padding_mode, align) for p, n in zip(at, x.shape[2:], strict=True)]
    if mode == "nearest":
        return _read(x, [nets.round(nets.stop_gradient(p)) for p in at])
    low = [nets.floor(nets.stop_gradient(p)) for p in at]
    total: Any = 0.0
    for corner in itertools.product((0, 1), repeat=rank):
        weight: Any = 1.0
        for end, p, below in zip(corner, at, low, strict=True):
            weight = weight * ((p - below) if end else (below + 1 - p))
        found = _read(x, [below + end for below, end in zip(low, corner, strict=True)])
        total = total + found * nets.expand_dims(weight, 1)
    return total  # type: ignore[no-any-return]


def _unscaled(p: nets.Tensor, size: int, align: bool) -> nets.Tensor:
    """Places from −1 to 1 as places among the elements."""
    return (p + 1) / 2 * (size - 1) if align else ((p + 1) * size - 1) / 2


def _moved(p: nets.Tensor, size: int, padding_mode: str, align: bool) -> nets.Tensor:
    """Places beyond the image brought back into it; those that are stay give no gradient."""
    if padding_mode == "zeros":
        return p
    if padding_mode == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        p = _reflected(p, low, high)
    inside = nets.where(p > 0, p, 0)  # and 0 for NaN
    return nets.where(inside < size - 1, inside, size - 1)


def _reflected(p: nets.Tensor, low: float, high: float) -> nets.Tensor:
    span = high - low
    if span == 0:
        return p * 0
    distance = nets.where(p >= low, p - low, low - p)
    turns = nets.floor(nets.stop_gradient(distance) / span)
    rest = distance - turns * span
    return nets.where(nets.remainder(turns, 2) == 0, rest + low, high - rest)


def _read(x: nets.Tensor, at: Sequence[nets.Tensor]) -> nets.Tensor:
    """The elements at whole places (N, *places) of all channels; 0 beyond the image."""
    n, channels, *space = x.shape
    inside: Any = True
    number: Any = 0
    for p, size in zip(at, space, strict=True):
        inside = inside & (p >= 0) & (p <= size - 1)
        number = number * size + nets.clip(p, 0, size - 1)
    number = nets.where(inside, number, 0)  # and where p is NaN
    shape = number.shape
    flat = nets.reshape(nets.astype(number, "int64"), (n, 1, math.prod(shape[1:])))
    flat = nets.broadcast_to(flat, (n, channels, flat.shape[2]))
    found = nets.take_along_axis(nets.reshape(x, (n, channels, math.prod(space))), flat, 2)
    found = nets.reshape(found, (n, channels, *shape[1:]))
    return nets.where(nets.expand_dims(inside, 1), found, 0)


_BENT: Final = -0.75


def _cubic_weights(part: nets.Tensor) -> list[nets.Tensor]:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    near: Callable[[Any], Any] = lambda d: ((_BENT + 2) * d - (_BENT + 3)) * d * d + 1  # noqa: E731
    far: Callable[[Any], Any] = lambda d: (((d - 5) * d + 8) * d - 4) * _BENT  # noqa: E731
    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _cubic(
    x: nets.Tensor, at: Sequence[nets.Tensor], padding_mode: str, align: bool
) -> nets.Tensor:
    low = [nets.floor(nets.stop_gradient(p)) for p in at]
    weights = [_cubic_weights(p - below) for p, below in zip(at, low, strict=True)]
    total: Any = 0.0
    for i, j in itertools.product(range(4), repeat=2):
        places = [
            _moved(below + k - 1, size, padding_mode, align)
            for below, k, size in zip(low, (i, j), x.shape[2:], strict=True)
        ]
        weight = nets.expand_dims(weights[0][i] * weights[1][j], 1)
        total = total + _read(x, [nets.round(p) for p in places]) * weight
    return total  # type: ignore[no-any-return]


def affine_grid(
    theta: TensorLike, size: Sequence[int], align_corners: bool | None = None
) -> nets.Tensor:
    """Places for ``grid_sample``: those of an image of shape ``size`` (N, C, H, W) moved by the
    matrices ``theta`` (N, 2, 3), or (N, 3, 4) for volumes. ``align_corners`` as there. ShapeError
    where the shapes do not go together."""
    with Reading("a size (N, C, H, W)"):
        shape = tuple(operator.index(n) for n in size)
    matrices = nets.as_tensor(theta)
    rank = len(shape) - 2
    if rank not in (2, 3) or matrices.shape != (shape[0], rank, rank + 1):
        raise nets.errors.ShapeError(
            f"affine_grid takes matrices (N, 2, 3) and a size (N, C, H, W), or those of volumes, "
            f"not {matrices.shape} and {shape}",
            nets.user_location(),
        )
    lines = []
    for n in shape[2:]:
        line = nets.linspace(-1, 1, n) if n > 1 else nets.zeros((1,))
        lines.append(line if align_corners else line * ((n - 1) / n))
    space = shape[2:]
    at = [
        nets.broadcast_to(nets.reshape(line, (-1,) + (1,) * (rank - 1 - i)), space)
        for i, line in enumerate(lines)
    ]
    points = nets.astype(nets.stack([*reversed(at), nets.ones(space)], -1), matrices.dtype)
    flat = nets.reshape(points, (-1, rank + 1))
    moved = nets.matmul(flat, nets.matrix_transpose(matrices))
    return nets.reshape(moved, (shape[0], *space, rank))
