"""Resize: along each axis a matrix of weights, which depend on sizes and options alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, operator
from tests.acceptance.onnx_cases.shapes import listed

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Axis:
    """What is to become of an axis."""

    size: int
    new: int
    scale: float
    start: float = 0.0
    end: float = 1.0
    """The part of it that is looked at, for ``tf_crop_and_resize``."""


def _sources(axis: Axis, mode: str) -> Array:
    """Where the new elements lie among the old ones."""
    places = np.arange(axis.new, dtype=np.float64)
    length = axis.scale * axis.size
    if mode == "align_corners":
        return places * ((axis.size - 1) / (length - 1) if length != 1 else 0)
    if mode == "asymmetric":
        return places / axis.scale
    if mode == "tf_crop_and_resize":
        part = (axis.end - axis.start) * (axis.size - 1)
        within = places * part / (length - 1) if length != 1 else part / 2
        return axis.start * (axis.size - 1) + within
    centres = (places + 0.5) / axis.scale - 0.5
    if mode == "pytorch_half_pixel":
        return centres if length > 1 else np.full(axis.new, -0.5)
    if mode == "half_pixel_symmetric":
        return centres + axis.size / 2 * (1 - axis.new / length)
    return centres


def _nearest(sources: Array, mode: str) -> Array:
    return {
        "round_prefer_floor": lambda: np.ceil(sources - 0.5),
        "round_prefer_ceil": lambda: np.floor(sources + 0.5),
        "floor": lambda: np.floor(sources),
        "ceil": lambda: np.ceil(sources),
    }[mode]()


def _triangle(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: Array, a: float) -> Array:
    """The kernel of Keys, Cubic convolution interpolation, 1981, with the slope a at 1."""
    x = np.abs(x)
    inside = ((a + 2) * x - (a + 3)) * x * x + 1
    outside = ((x - 5) * x + 8) * a * x - 4 * a
    return np.where(x <= 1, inside, np.where(x < 2, outside, 0))


def weights(axis: Axis, node: Node) -> Array:
    """(new, size): how much of each element there is in each new one."""
    sources = _sources(axis, node["coordinate_transformation_mode"])
    if node["mode"] == "nearest":
        picked = _nearest(sources, node["nearest_mode"])[:, None]
        return _gathered(picked, np.ones_like(picked), axis.size)
    reach, narrow = (2 if node["mode"] == "cubic" else 1), 1.0
    if node["antialias"]:
        narrow = min(axis.scale, 1.0)
    wide = int(np.ceil(reach / narrow))
    places = np.floor(sources)[:, None] + np.arange(1 - wide, wide + 1)
    apart = (places - sources[:, None]) * narrow
    cubic = node["mode"] == "cubic"
    values = _cubic(apart, node["cubic_coeff_a"]) if cubic else _triangle(apart)
    if node["exclude_outside"]:
        values = np.where((places < 0) | (places >= axis.size), 0, values)
    if node["exclude_outside"] or node["antialias"]:
        values = values / values.sum(axis=1, keepdims=True)
    return _gathered(places, values, axis.size)


def _gathered(places: Array, values: Array, size: int) -> Array:
    """Weights of places, which beyond the ends are those of the ends, as a matrix."""
    held = np.clip(places, 0, size - 1)
    return np.einsum("ok,oki->oi", values, (held[..., None] == np.arange(size)).astype(float))


def _axes(node: Node, x: Any, roi: Any, scales: Any, sizes: Any) -> dict[int, Axis]:
    """The axes that are given, by their numbers."""
    at = [a % x.ndim for a in node["axes"] or range(x.ndim)]
    count = len(at)
    if scales is not None and scales.size:
        factors = [float(s) for s in scales]
        new = [int(np.floor(x.shape[a] * s)) for a, s in zip(at, factors, strict=True)]
    else:
        new, factors = _fitting(node, [x.shape[a] for a in at], listed(sizes))
    edges = [0.0] * count + [1.0] * count if roi is None or not roi.size else list(map(float, roi))
    return {
        a: Axis(x.shape[a], new[i], factors[i], edges[i], edges[count + i])
        for i, a in enumerate(at)
    }


def _fitting(node: Node, old: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], list[float]]:
    """The new sizes, or the nearest ones in the same proportion, and the factors."""
    factors = [n / o for n, o in zip(sizes, old, strict=True)]
    policy = node["keep_aspect_ratio_policy"] or "stretch"
    if policy == "stretch":
        return list(sizes), factors
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [int(np.floor(factor * o + 0.5)) for o in old], [factor] * len(old)


@operator("Resize", known=[1, 2, 3])
def resize(node: Node, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    result = nets.astype(x, "float64")
    axes = _axes(node, x, roi, scales, sizes)
    crops = node["coordinate_transformation_mode"] == "tf_crop_and_resize"
    for number, axis in axes.items():
        if (axis.new, axis.scale, axis.start, axis.end) == (axis.size, 1.0, 0.0, 1.0):
            continue
        rows = nets.moveaxis(result, number, -1) @ weights(axis, node).T
        if crops:
            sources = _sources(axis, "tf_crop_and_resize")
            outside = (sources < 0) | (sources > axis.size - 1)
            rows = nets.where(outside, node["extrapolation_value"], rows)
        result = nets.moveaxis(rows, -1, number)
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        result = nets.clip(nets.round(result), limits.min, limits.max)
    return nets.astype(result, x.dtype)


@operator("Upsample", known=[1])
def upsample(node: Node, x: Any, scales: Any) -> Any:
    """The forerunner of Resize: places are divided by the scale."""
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    inner = Node(node.proto, node.version, node.attributes | options)
    return resize(inner, x, None, scales)
