"""Windows of images: ONNX's margins, and sums over windows of any number of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node

Margins = list[tuple[int, int]]


@dataclass(frozen=True)
class Windows:
    """Windows over the axes of space: a number for each axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Margins
    beyond: Margins
    """The margins with what windows need behind them, where the last one may reach out."""

    @property
    def reaches(self) -> list[int]:
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]

    def places(self, space: Sequence[int]) -> list[int]:
        """How many windows fit along each axis."""
        axes = zip(space, self.beyond, self.reaches, self.strides, strict=True)
        return [(n + a + b - reach) // step + 1 for n, (a, b), reach, step in axes]


def pairs(pads: Sequence[int]) -> Margins:
    """ONNX's margins, all beginnings and then all ends, as (before, after) of each axis."""
    half = len(pads) // 2
    return list(zip(map(int, pads[:half]), map(int, pads[half:]), strict=True))


def windows_of(node: Node, space: Sequence[int], kernel: Sequence[int]) -> Windows:
    """What the attributes of a convolution or a pooling say of an image."""
    rank = len(space)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    pads = pairs(node["pads"] or [0] * 2 * rank)
    plain = Windows(tuple(kernel), tuple(strides), tuple(dilations), pads, pads)
    if (node["auto_pad"] or "NOTSET").startswith("SAME"):
        pads = [
            _same(n, step, reach, node["auto_pad"])
            for n, step, reach in zip(space, strides, plain.reaches, strict=True)
        ]
        return replace(plain, pads=pads, beyond=pads)
    if not node["ceil_mode"]:
        return plain
    axes = zip(space, strides, plain.reaches, pads, strict=True)
    return replace(plain, beyond=[(pad[0], _end(n, s, r, pad)) for n, s, r, pad in axes])


def _same(size: int, step: int, reach: int, side: str) -> tuple[int, int]:
    """Margins that give one window for each ``step`` elements."""
    total = max((-(-size // step) - 1) * step + reach - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if side == "SAME_UPPER" else (large, small)


def _end(size: int, step: int, reach: int, pad: tuple[int, int]) -> int:
    """The margin behind an axis for a last window that begins before the end of the image."""
    last = -(-(size + sum(pad) - reach) // step)
    if last * step >= size + pad[0]:
        last -= 1
    return max(pad[1], last * step + reach - size - pad[0])


def taken(x: Any, windows: Windows, fill: Any = 0) -> Any:
    """(N, C, *space) → (N, C, *places, *kernel): the elements of each window."""
    rank = len(windows.kernel)
    padded = nets.pad(x, [(0, 0), (0, 0), *windows.beyond], constant_values=fill)
    for i, count in enumerate(windows.places(x.shape[2:])):
        starts = np.arange(count)[:, None] * windows.strides[i]
        within = np.arange(windows.kernel[i]) * windows.dilations[i]
        padded = nets.take(padded, starts + within, axis=2 + 2 * i)
    order = [0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 3 + 2 * rank, 2)]
    return nets.transpose(padded, order)


def convolved(x: Any, weight: Any, windows: Windows, groups: int = 1) -> Any:
    """(N, C, *space) with weight (O, C / groups, *kernel), without a bias."""
    rank = len(windows.kernel)
    if rank < 3:
        return nets.conv(x, weight, windows.strides, windows.beyond, windows.dilations, groups)
    parts = taken(x, windows)
    n, _, *rest = parts.shape
    parts = nets.reshape(parts, (n, groups, -1, *rest))
    w = nets.reshape(weight, (groups, -1, *weight.shape[1:]))
    letters, taps = "xyzuvw"[:rank], "abcdef"[:rank]
    result = nets.einsum(f"ngi{letters}{taps},goi{taps}->ngo{letters}", parts, w)
    return nets.reshape(result, (n, -1, *rest[:rank]))


def summed(x: Any, windows: Windows) -> Any:
    """The sums of the windows of each channel."""
    n, channels, *space = x.shape
    images = nets.reshape(x, (n * channels, 1, *space))
    sums = convolved(images, nets.ones((1, 1, *windows.kernel), dtype=x.dtype), windows)
    return nets.reshape(sums, (n, channels, *sums.shape[2:]))


def transposed(x: Any, weight: Any, windows: Windows, more: Sequence[int], groups: int = 1) -> Any:
    """(N, C, *places) with weight (C, O / groups, *kernel): ``convolved`` turned round.

    Beyond two axes of space: zeros between the places, and the kernel turned.
    """
    rank = len(windows.kernel)
    if rank < 3:
        return nets.conv_transpose(
            x, weight, windows.strides, windows.pads, tuple(more), groups, windows.dilations
        )
    for axis, step in enumerate(windows.strides, 2):
        x = _apart(x, axis, step)
    axes = zip(windows.pads, windows.reaches, more, strict=True)
    margins = [(reach - 1 - a, reach - 1 - b + m) for (a, b), reach, m in axes]
    w = nets.flip(weight, tuple(range(2, 2 + rank)))
    w = nets.reshape(w, (groups, -1, *w.shape[1:]))
    w = nets.reshape(nets.swapaxes(w, 1, 2), (-1, w.shape[1], *w.shape[3:]))
    plain = replace(windows, strides=(1,) * rank, pads=margins, beyond=margins)
    return convolved(x, w, plain, groups)


def _apart(x: Any, axis: int, step: int) -> Any:
    """x with step − 1 zeros between its elements along the axis."""
    size = x.shape[axis]
    parts = nets.expand_dims(x, axis + 1)
    widths = [(0, step - 1 if i == axis + 1 else 0) for i in range(parts.ndim)]
    spread = nets.reshape(
        nets.pad(parts, widths), (*x.shape[:axis], size * step, *x.shape[axis + 1 :])
    )
    return spread[(slice(None),) * axis + (slice(0, (size - 1) * step + 1),)]


def flat_places(space: Sequence[int], column_major: bool) -> np.ndarray:
    """For each element of an image its number in memory."""
    numbers = np.arange(math.prod(space))
    return numbers.reshape(space, order="F" if column_major else "C")
