"""Padding by the elements of a tensor: one axis after the other, as NumPy does.

What repeats or mirrors elements is one gather of known positions per axis.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import is_open
from nets.frontend.tensor.dispatch import TensorLike, apply, cast, fitted, shape_text
from nets.frontend.tensor.functions.shape import normal_axis
from nets.frontend.tensor.order.quantiles import median
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.ir.types import i64

_WORDS: Final = {"replicate": "edge", "circular": "wrap", "empty": "constant"}
"""PyTorch's words for modes, and what needs no elements: zeros."""

_TAKES: Final = {
    "constant": {"constant_values"},
    "edge": set(),
    "wrap": set(),
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "linear_ramp": {"end_values"},
    **{mode: {"stat_length"} for mode in ("maximum", "minimum", "mean", "median")},
}
"""The options of each mode."""

Pair = tuple[Any, Any]


def padded(x: Tensor, pad_width: Any, mode: str, options: Mapping[str, Any]) -> Tensor:
    """``nets.pad``, whose docstring says what this is."""
    mode = _WORDS.get(mode, mode)
    given = dict(options)
    if mode != "constant" and np.ndim(given["constant_values"]) == 0:
        given.pop("constant_values")  # the default, which other modes have no use for
    unknown = given.keys() - _TAKES.get(mode, set())
    if mode not in _TAKES or unknown:
        what = f"option {', '.join(sorted(unknown))}" if mode in _TAKES else "mode"
        raise ArgumentError(f"pad has no {what} for {mode!r}", user_location())
    for axis, (before, after) in enumerate(_widths(pad_width, x)):
        x = _cut(x, axis, before, after)
        width = builtins.max(before, 0), builtins.max(after, 0)
        if width != (0, 0):
            x = _along(x, axis, width, mode, given)
    return F.positive(x)


def _widths(pad_width: Any, x: Tensor) -> list[tuple[int, int]]:
    """Widths before and after each axis, by NumPy's broadcasting of ``pad_width``."""
    if isinstance(pad_width, dict):
        found = [(0, 0)] * x.ndim
        for axis, pair in pad_width.items():
            found[normal_axis(axis, x.ndim)] = tuple(np.broadcast_to(pair, (2,)).tolist())
        pad_width = found or 0
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    except ValueError:
        pairs = None
    if pairs is None or not all(type(n) is int for pair in pairs for n in pair):
        raise ShapeError(
            f"pad takes integer widths for the axes of shape {shape_text(x.shape)}, not "
            f"{pad_width!r}",
            user_location(),
        )
    return [(low, high) for low, high in pairs]


def _cut(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Without what negative widths take away."""
    size = x.shape[axis]
    start, stop = builtins.max(-before, 0), size - builtins.max(-after, 0)
    if before >= 0 and after >= 0:
        return x
    if start > stop:
        raise ShapeError(
            f"pad takes more than all of axis {axis} of {shape_text(x.shape)}", user_location()
        )
    return x[(*(slice(None),) * axis, slice(start, stop))]


def _along(x: Tensor, axis: int, width: tuple[int, int], mode: str, given: Any) -> Tensor:
    if mode in ("edge", "wrap", "reflect", "symmetric"):
        return _repeating(x, axis, width, mode, given.get("reflect_type", "even"))
    if mode == "constant":
        values = [fitted(v, x.type.dtype) for v in _pair(given.get("constant_values", 0), x, axis)]
        return _beside(x, axis, width, values)
    if mode == "linear_ramp":
        return _ramp(x, axis, width, _pair(given.get("end_values", 0), x, axis))
    return _statistic(x, axis, width, mode, _pair(given.get("stat_length"), x, axis))


def _pair(values: Any, x: Tensor, axis: int) -> Pair:
    """What an option has for the two sides of an axis: it broadcasts as widths do."""
    if values is None or np.ndim(values) == 0:
        return values, values
    try:
        pairs = np.broadcast_to(np.asarray(values), (x.ndim, 2))
    except ValueError:
        raise ShapeError(f"pad has no two values per axis in {values!r}", user_location()) from None
    return pairs[axis][0].item(), pairs[axis][1].item()


def _beside(x: Tensor, axis: int, width: tuple[int, int], values: Any) -> Tensor:
    """x between as many slices of numbers, or of slices of size 1."""
    parts = [x]
    for place, (count, value) in zip((0, 2), zip(width, values, strict=True), strict=True):
        if count:
            shape = [count if i == axis else n for i, n in enumerate(x.shape)]
            parts.insert(place, F.broadcast_to(value, shape))
    return F.concatenate(parts, axis)


# ------------------------------------------------------------------------------------- modes


def _repeating(x: Tensor, axis: int, width: tuple[int, int], mode: str, kind: str) -> Tensor:
    if kind not in ("even", "odd"):
        raise ArgumentError(f'reflect_type is "even" or "odd", not {kind!r}', user_location())
    size = x.shape[axis]
    if is_open((size,)) and kind == "even":
        return F.take(x, _open_picks(size, width, mode), axis)
    if not size:
        raise ShapeError(f"pad: axis {axis} has no element to repeat", user_location())
    if kind == "odd" and not (mode == "reflect" and size == 1):
        return _odd(x, axis, width, mode)
    picks = np.pad(np.arange(size), width, mode=mode)  # type: ignore[call-overload]
    return F.take(x, picks, axis)


def _open_picks(size: Any, width: tuple[int, int], mode: str) -> Tensor:
    """The positions to repeat of an axis whose size a call tells."""
    place = apply("iota", shape=(size + sum(width),), dtype=i64, axis=0) - width[0]
    if mode == "edge":
        return F.clip(place, 0, size - 1)
    if mode == "wrap":
        return F.remainder(place, size)
    period = 2 * size if mode == "symmetric" else F.maximum(2 * size - 2, 1)
    there = F.remainder(place, period)
    back = 2 * size - (1 if mode == "symmetric" else 2) - there
    return F.where(F.less(there, size), there, back)


def _odd(x: Tensor, axis: int, width: tuple[int, int], mode: str) -> Tensor:
    """Mirrored at the points at the ends: twice an end minus what is mirrored, again and again."""
    low, high = width
    skip = 1 if mode == "reflect" else 0
    while low or high:
        size = x.shape[axis]
        most = size - skip
        left, right = builtins.min(low, most), builtins.min(high, most)
        picks = np.arange(size)
        ends = [F.take(x, picks[:1], axis), F.take(x, picks[-1:], axis)]
        before = F.take(x, picks[skip : skip + left][::-1], axis)
        after = F.take(x, picks[: size - skip][::-1][:right], axis)
        parts = [
            F.subtract(F.multiply(ends[0], 2), before),
            x,
            F.subtract(F.multiply(ends[1], 2), after),
        ]
        x = F.concatenate(parts, axis)
        low, high = low - left, high - right
    return x


def _ramp(x: Tensor, axis: int, width: tuple[int, int], ends: Pair) -> Tensor:
    """Numbers evenly spaced from the ends to the edges."""
    if not x.shape[axis]:
        raise ShapeError(f"pad: axis {axis} has no element to start from", user_location())
    parts = [x]
    for place, count, end in ((0, width[0], ends[0]), (2, width[1], ends[1])):
        if not count:
            continue
        edge = F.take(x, np.array([0 if place == 0 else -1]), axis)
        line = F.linspace(end, F.squeeze(edge, axis), count, endpoint=False, axis=axis)
        line = F.floor(line) if x.type.dtype.is_integer else line
        line = cast(line, x.type.dtype)
        parts.insert(place, line if place == 0 else F.flip(line, axis))
    return F.concatenate(parts, axis)


def _statistic(x: Tensor, axis: int, width: tuple[int, int], mode: str, lengths: Pair) -> Tensor:
    """A number computed of the elements at each end."""
    size = integer_of(x.shape[axis], "the size of an axis")
    if not size:
        raise ShapeError(f"pad: axis {axis} has no elements", user_location())
    if any(n is not None and n < 1 for n in lengths):
        raise ArgumentError("pad takes a stat_length of 1 or more", user_location())
    counts = [size if n is None else builtins.min(n, size) for n in lengths]
    places = [np.arange(counts[0]), np.arange(size - counts[1], size)]
    values = [_of_some(F.take(x, at, axis), axis, mode) for at in places]
    return _beside(x, axis, width, values)


def _of_some(x: Tensor, axis: int, mode: str) -> Tensor:
    simple: dict[str, Callable[..., TensorLike]] = {"maximum": F.max, "minimum": F.min}
    if mode in simple:
        return F.positive(simple[mode](x, axis, keepdims=True))
    middle = F.mean if mode == "mean" else median
    found = middle(x, axis, keepdims=True)
    return cast(found if x.type.dtype.is_float else F.round(found), x.type.dtype)
