"""Fourier transforms by their sums, with complex numbers as pairs, and the bins of hearing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, dtype_of, operator


def transformed(x: Any, length: int, axis: int, inverse: bool, onesided: bool) -> Any:
    """(…, n, …, 1 or 2) → (…, length, …, 2) along the axis: sums of x · e^(∓2πi·jk / length).

    One-sided, the forward transform gives the first half, and the inverse takes it and gives real
    numbers.
    """
    rows = nets.moveaxis(x, axis, -2)
    rows = _of_length(rows, length // 2 + 1 if inverse and onesided else length)
    pairs = nets.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, 2 - rows.shape[-1])])
    if inverse and onesided:
        pairs = _mirrored(pairs, length)
    count = length // 2 + 1 if onesided and not inverse else length
    angle = nets.outer(nets.arange(count), nets.arange(length)) % length
    angle = nets.astype(angle, "float64") * (2 * math.pi / length)
    cos, sin = nets.cos(angle), nets.sin(angle) * (1 if inverse else -1)
    real, imaginary = nets.astype(pairs[..., 0], "float64"), nets.astype(pairs[..., 1], "float64")
    parts = [real @ cos.T - imaginary @ sin.T, real @ sin.T + imaginary @ cos.T]
    result = nets.stack(parts[:1] if inverse and onesided else parts, axis=-1)
    result = result / length if inverse else result
    return nets.moveaxis(nets.astype(result, x.dtype), -2, axis)


def _of_length(x: Any, length: int) -> Any:
    """Cut, or with zeros behind."""
    x = x[..., :length, :]
    return nets.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, length - x.shape[-2]), (0, 0)])


def _mirrored(pairs: Any, length: int) -> Any:
    """The second half, which is the first one turned round and conjugated."""
    behind = nets.flip(pairs[..., 1 : (length + 1) // 2, :], -2) * np.array([1, -1], pairs.dtype)
    ends = nets.concatenate([pairs, behind], axis=-2)
    keep = np.ones((length, 2))
    keep[[0] if length % 2 else [0, length // 2], 1] = 0  # real numbers stand there
    return ends * nets.as_tensor(keep.astype(pairs.dtype))


@operator("DFT", known=[1, 2])
def dft(node: Node, x: Any, length: np.ndarray | None = None, axis: Any = None) -> Any:
    at = int(axis) if axis is not None else node["axis"] if node.version < 20 else -2
    at %= x.ndim
    inverse, onesided = bool(node["inverse"]), bool(node["onesided"])
    size = 2 * (x.shape[at] - 1) if inverse and onesided else x.shape[at]
    return transformed(x, size if length is None else int(length), at, inverse, onesided)


@operator("STFT", known=[1, 3])
def stft(node: Node, x: Any, step: np.ndarray, window: Any = None, length: Any = None) -> Any:
    size = window.shape[0] if length is None else int(length)
    count = 1 + (x.shape[1] - size) // int(step)
    places = np.arange(count)[:, None] * int(step) + np.arange(size)
    frames = nets.take(x, places, axis=1)
    if window is not None:
        frames = frames * window[:, None]
    return transformed(frames, size, 2, False, bool(node["onesided"]))


@operator("MelWeightMatrix", known=[0, 1, 2, 3, 4])
def mel_weights(node: Node, bins: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    """Triangles over the lines of a spectrum, whose corners are even steps of pitch.

    The pitch of a frequency f in Hz is 2595 · log10(1 + f / 700).
    """
    count = int(bins)
    first, last = (2595 * math.log10(1 + float(edge) / 700) for edge in (low, high))
    pitch = first + nets.arange(count + 2, dtype="float64") * ((last - first) / (count + 2))
    hertz = 700 * nets.expm1(pitch * (math.log(10) / 2595))
    corners = nets.floor((int(length) + 1) * hertz / int(rate))
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    lines = nets.arange(int(length) // 2 + 1, dtype="float64")[:, None]
    rising = nets.where(middle > left, (lines - left) / nets.maximum(middle - left, 1), 1)
    falling = (right - lines) / nets.maximum(right - middle, 1)
    weights = nets.where(
        (lines >= left) & (lines <= middle),
        rising,
        nets.where((lines > middle) & (lines < right), falling, 0),
    )
    return nets.astype(weights, dtype_of(node["output_datatype"]))
