"""Resizing: images of another size, and channels that become places.

``input`` is a tensor or array. ``size`` is one number for all axes of space, or one for each;
``scale_factor`` likewise, and one of both is given. ``upscale_factor`` and ``downscale_factor`` are
the r of the shapes. ShapeError for channels or sizes that do not divide so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import nets
from nets.nn.functional.adaptive import adaptive_pool
from nets.nn.functional.arguments import TensorLike, check, check_count, check_number
from nets.nn.functional.windows import along

Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""For each place of an axis the places it is made of, and their weights: (places, taps) each."""

_RANKS: Final = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
}
"""How many axes of space each mode is for."""


def interpolate(
    input: TensorLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> nets.Tensor:
    """(N, C, *space) of another size, or by a factor: (N, C, *size).

    ``mode`` is "nearest", "nearest-exact" or "area" for one to three axes of space, "linear" for
    one, "bilinear" or "bicubic" for two, "trilinear" for three. ``align_corners`` lets the centres
    of the corners meet, instead of their edges. Places are found by the ``scale_factor`` itself, or
    with ``recompute_scale_factor`` by the sizes. ``antialias`` widens the filter where it gets
    smaller (bilinear and bicubic). ArgumentError for what does not go together, ShapeError for
    other shapes.
    """
    x = nets.as_tensor(input)
    rank = x.ndim - 2
    check(mode in _RANKS, f"a mode of interpolate is {', '.join(_RANKS)}, not {mode!r}")
    if rank not in _RANKS[mode] or not all(x.shape[1:]):
        raise nets.errors.ShapeError(
            f"{mode} interpolation takes (N, C, *space) with {_RANKS[mode]} axes of space, not "
            f"shape {x.shape}",
            nets.user_location(),
        )
    is_linear = mode in ("linear", "bilinear", "bicubic", "trilinear")
    check(align_corners is None or is_linear, f"{mode} interpolation takes no align_corners")
    check(not antialias or mode in ("bilinear", "bicubic"), f"{mode} is without antialias")
    sizes, scales = _sizes(x.shape[2:], size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return adaptive_pool(x, sizes, rank)
    for i, (new, scale) in enumerate(zip(sizes, scales, strict=True)):
        taps = _taps(mode, x.shape[2 + i], new, scale, bool(align_corners), antialias, x.dtype)
        x = _weighted(x, 2 + i, taps, is_linear)
    return nets.positive(x)


def _sizes(
    space: Sequence[int],
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    recompute: bool | None,
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The new sizes, and the factors that places are found by."""
    check(
        (size is None) is not (scale_factor is None), "interpolate takes a size or a scale_factor"
    )
    if size is not None:
        check(not recompute, "recompute_scale_factor goes with a scale_factor")
        sizes: tuple[Any, ...]
        sizes = tuple(size) if isinstance(size, tuple | list) else (size,) * len(space)
        check(len(sizes) == len(space), f"{len(space)} axes have {len(space)} sizes, not {sizes}")
        for n in sizes:
            check_count("size", n)
        return tuple(map(int, sizes)), (None,) * len(space)
    listed: Any = scale_factor if isinstance(scale_factor, tuple | list) else None
    factors: tuple[Any, ...]
    factors = tuple(listed) if listed is not None else (scale_factor,) * len(space)
    check(len(factors) == len(space), f"{len(space)} axes take as many factors, not {factors}")
    for factor in factors:
        check_number("scale_factor", factor, 0, above=True)
    sizes = tuple(math.floor(n * float(f)) for n, f in zip(space, factors, strict=True))
    check(min(sizes) > 0, f"nothing is left of {tuple(space)} by {factors}")
    return sizes, (None,) * len(space) if recompute else tuple(map(float, factors))


def _weighted(x: nets.Tensor, axis: int, taps: Taps, is_weighted: bool) -> nets.Tensor:
    """The axis made of others of its places, each with a weight."""
    places, weights = taps
    if not is_weighted:
        return along(x, places[:, 0], axis)
    shape = (-1,) + (1,) * (x.ndim - axis - 1)
    total: Any = None
    for k in range(places.shape[1]):
        part = along(x, places[:, k], axis) * weights[:, k].astype(x.dtype).reshape(shape)
        total = part if total is None else total + part
    return total  # type: ignore[no-any-return]


def _taps(
    mode: str,
    size: int,
    new: int,
    scale: float | None,
    align: bool,
    antialias: bool,
    dtype: np.dtype[Any],
) -> Taps:
    if mode.startswith("nearest"):
        return _nearest(size, new, scale, 0.5 if mode == "nearest-exact" else 0.0)
    if align:
        step = (size - 1) / (new - 1) if new > 1 else 0.0
    else:
        step = 1 / scale if scale is not None else size / new
    step = float(np.float32(step)) if dtype == np.float32 else step
    filter = _CUBIC if mode == "bicubic" else _LINEAR
    if antialias:
        return _smoothed(size, new, step, *filter)
    if mode == "bicubic":
        return _cubic_taps(size, new, step, align)
    return _linear_taps(size, new, step, align)


def _nearest(size: int, new: int, scale: float | None, shift: float) -> Taps:
    """PyTorch counts places in float32."""
    step = np.float32(1 / scale if scale is not None else size / new)
    found = np.floor((np.arange(new, dtype=np.float32) + np.float32(shift)) * step)
    places = np.arange(new) if size == new else np.minimum(found.astype(np.int64), size - 1)
    return places[:, None], np.ones((new, 1))


def _centres(new: int, step: float, align: bool) -> Any:
    return np.arange(new) * step if align else (np.arange(new) + 0.5) * step - 0.5


def _linear_taps(size: int, new: int, step: float, align: bool) -> Taps:
    at = np.maximum(_centres(new, step, align), 0)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    part = np.clip(at - low, 0, 1)
    return np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - part, part], 1)


def _cubic_taps(size: int, new: int, step: float, align: bool) -> Taps:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, a = −3/4."""
    at = _centres(new, step, align)
    low = np.floor(at).astype(np.int64)
    distance = (at - low)[:, None] - np.array([-1, 0, 1, 2])
    places = np.clip(low[:, None] + np.array([-1, 0, 1, 2]), 0, size - 1)
    return places, _cubic(np.abs(distance), -0.75)


def _cubic(x: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    found: npt.NDArray[np.float64] = np.where(x < 1, near, np.where(x < 2, far, 0))
    return found


def _triangle(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum(1 - x, 0)


Filter = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
_LINEAR: Final[tuple[Filter, int]] = (_triangle, 1)
_CUBIC: Final[tuple[Filter, int]] = (lambda x: _cubic(x, -0.5), 2)
"""A filter of the distance, and how far it reaches."""


def _smoothed(size: int, new: int, step: float, filter: Filter, reach: int) -> Taps:
    """A filter as wide as the places are apart, of weights that add up to 1."""
    wide = max(step, 1.0)
    support = reach * wide
    centre = step * (np.arange(new) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), size) - first
    offsets = np.arange(int(count.max()))
    distance = (offsets + first[:, None] - centre[:, None] + 0.5) / wide
    weights = np.where(offsets < count[:, None], filter(np.abs(distance)), 0)
    places = np.minimum(first[:, None] + offsets, size - 1)
    return places, weights / weights.sum(1, keepdims=True)


def upsample(
    input: TensorLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> nets.Tensor:
    """``interpolate`` under its former name.

    ``mode`` and ``align_corners`` are those of ``interpolate``.
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: TensorLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> nets.Tensor:
    """``interpolate`` with the mode "nearest", to a ``size`` or by a ``scale_factor``."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: TensorLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> nets.Tensor:
    """``interpolate`` with the mode "bilinear", to a ``size`` or by a ``scale_factor``, with the
    centres of the corners meeting."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# -------------------------------------------------------------------- channels and places


def pixel_shuffle(input: TensorLike, upscale_factor: int) -> nets.Tensor:
    """(…, C · r², H, W) → (…, C, H · r, W · r): Shi et al., "Real-time single image and video
    super-resolution using an efficient sub-pixel convolutional neural network", 2016."""
    x = nets.as_tensor(input)
    check_count("upscale_factor", upscale_factor)
    r = upscale_factor
    if x.ndim < 3 or x.shape[-3] % (r * r):
        _refuse(f"pixel_shuffle takes (…, C · {r * r}, H, W)", x)
    *lead, channels, height, width = x.shape
    parts = nets.reshape(x, (*lead, channels // (r * r), r, r, height, width))
    n = len(lead)
    parts = nets.permute_dims(parts, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    made = nets.reshape(parts, (*lead, channels // (r * r), height * r, width * r))
    return nets.positive(made)


def pixel_unshuffle(input: TensorLike, downscale_factor: int) -> nets.Tensor:
    """(…, C, H · r, W · r) → (…, C · r², H, W): ``pixel_shuffle`` undone."""
    x = nets.as_tensor(input)
    check_count("downscale_factor", downscale_factor)
    r = downscale_factor
    if x.ndim < 3 or x.shape[-1] % r or x.shape[-2] % r:
        _refuse(f"pixel_unshuffle takes (…, C, H · {r}, W · {r})", x)
    *lead, channels, height, width = x.shape
    parts = nets.reshape(x, (*lead, channels, height // r, r, width // r, r))
    n = len(lead)
    parts = nets.permute_dims(parts, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    made = nets.reshape(parts, (*lead, channels * r * r, height // r, width // r))
    return nets.positive(made)


def channel_shuffle(input: TensorLike, groups: int) -> nets.Tensor:
    """The channels of axis 1 dealt to the groups by turns (Zhang et al., "ShuffleNet", 2018)."""
    x = nets.as_tensor(input)
    check_count("groups", groups)
    if x.ndim < 3 or x.shape[1] % groups:
        _refuse(f"channel_shuffle takes (N, C, …) with channels for {groups} groups", x)
    parts = nets.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return nets.positive(nets.reshape(nets.swapaxes(parts, 1, 2), x.shape))


def _refuse(what: str, x: nets.Tensor) -> None:
    raise nets.errors.ShapeError(f"{what}, not {x.shape}", nets.user_location())
