"""Padding: what lies around a tensor, constant or made of its own elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np

import nets
from nets.nn.functional.arguments import TensorLike, check
from nets.nn.functional.windows import Places, along


def pad(
    input: TensorLike,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float | None = None,
) -> nets.Tensor:
    """The last axes with so many elements before and after them: pairs, from the last axis on.

    Negative numbers take elements away. "constant" pads by ``value``, 0 by default, on any axes;
    "reflect" by what lies behind the edge, "replicate" by the edge, "circular" by the other end:
    on the last 1 to 3 of at least one axis more. ArgumentError for other modes and numbers;
    ShapeError where a reflection or a circle is longer than the tensor.

    ``input`` is a tensor or array, ``pad`` (before, after) of the last axis, then of the one before
    it, and so on; the ``mode`` says what lies around.
    """
    x = nets.as_tensor(input)
    pairs = _pairs(pad, x)
    if mode == "constant":
        return _constant(x, pairs, 0.0 if value is None else value)
    check(mode in _SOURCES, f"a mode of pad is constant, {', '.join(_SOURCES)}, not {mode!r}")
    check(value in (None, 0), f"{mode} padding takes no value")
    if not len(pairs) < x.ndim <= len(pairs) + 2 or len(pairs) > 3:
        raise nets.errors.ShapeError(
            f"{mode} padding of {len(pairs)} axes does not take shape {x.shape}",
            nets.user_location(),
        )
    for i, (before, after) in enumerate(pairs):
        x = _around(x, x.ndim - 1 - i, before, after, mode)
    return nets.positive(x)


def _pairs(pad: Any, x: nets.Tensor) -> list[tuple[int, int]]:
    """(before, after) of the axes, from the last one on."""
    listed = pad if isinstance(pad, tuple | list) else (pad,)
    are_counts = all(isinstance(n, int | np.integer) for n in listed)
    check(are_counts and len(listed) % 2 == 0, f"pad is a list of pairs of numbers, not {pad!r}")
    if len(listed) > 2 * x.ndim:
        raise nets.errors.ShapeError(
            f"{len(listed) // 2} pairs are more than the axes of shape {x.shape}",
            nets.user_location(),
        )
    return [(int(listed[i]), int(listed[i + 1])) for i in range(0, len(listed), 2)]


def _cut(x: nets.Tensor, axis: int, before: int, after: int) -> nets.Tensor:
    """x without what negative numbers take away."""
    size = x.shape[axis]
    start, stop = max(-before, 0), size - max(-after, 0)
    if size + before + after < 0 or start > size or stop < 0:
        raise nets.errors.ShapeError(
            f"padding by {before} and {after} takes away more than the {size} elements there are",
            nets.user_location(),
        )
    if (start, stop) == (0, size):
        return x
    return x[(*(slice(None),) * axis, slice(start, max(start, stop)))]


def _constant(x: nets.Tensor, pairs: list[tuple[int, int]], value: float) -> nets.Tensor:
    widths = [(0, 0)] * x.ndim
    for i, (before, after) in enumerate(pairs):
        axis = x.ndim - 1 - i
        # Elements that are taken away may be those that the other side put there.
        x = _cut(x, axis, min(before, 0), min(after, 0)) if min(before, after) < 0 else x
        widths[axis] = (max(before, 0), max(after, 0))
    return nets.pad(x, widths, value) if any(map(any, widths)) else nets.positive(x)


def _reflected(size: int, before: int, after: int) -> Places:
    if max(before, after) >= size:
        _refuse("reflect", size, before, after, "fewer than")
    places = np.abs(np.arange(-before, size + after))
    return np.where(places < size, places, 2 * (size - 1) - places)


def _replicated(size: int, before: int, after: int) -> Places:
    if not size:
        _refuse("replicate", size, before, after, "an edge of")
    return np.clip(np.arange(-before, size + after), 0, size - 1)


def _circular(size: int, before: int, after: int) -> Places:
    if max(before, after) > size:
        _refuse("circular", size, before, after, "no more than")
    return np.arange(-before, size + after) % max(size, 1)


def _refuse(mode: str, size: int, before: int, after: int, what: str) -> None:
    raise nets.errors.ShapeError(
        f"{mode} padding by {before} and {after} takes {what} the {size} elements there are",
        nets.user_location(),
    )


_SOURCES: Final[dict[str, Callable[[int, int, int], Places]]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _circular,
}
"""Which elements stand where along an axis."""


def _around(x: nets.Tensor, axis: int, before: int, after: int, mode: str) -> nets.Tensor:
    if before == after == 0:
        return x
    part = _cut(x, axis, before, after)  # refuses to take away too much
    if mode == "circular":  # goes around what is left
        x, before, after = part, max(before, 0), max(after, 0)
    places = _SOURCES[mode](x.shape[axis], max(before, 0), max(after, 0))
    places = places[max(-before, 0) : len(places) - max(-after, 0)]
    return along(x, places, axis)
