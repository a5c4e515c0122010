"""Images looked at between their elements: grids, regions, and convolutions whose taps move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nets
from nets.nn import functional as F
from tests.acceptance.onnx_cases.graph import Node, operator
from tests.acceptance.onnx_cases.shapes import listed
from tests.acceptance.onnx_cases.windows import pairs

MODES = {"linear": "bilinear", "cubic": "bicubic"}


@operator("GridSample")
def grid_sample(node: Node, x: Any, grid: Any) -> Any:
    mode = MODES.get(node["mode"], node["mode"])
    return F.grid_sample(x, grid, mode, node["padding_mode"], bool(node["align_corners"]))


@operator("AffineGrid", known=[1])
def affine_grid(node: Node, theta: Any, size: np.ndarray) -> Any:
    """The places of an image from −1 to 1, innermost axis first, moved by matrices."""
    space = listed(size)[2:]
    axes = []
    for n in space:
        edge = 1.0 if node["align_corners"] else 1 - 1 / n
        axes.append(nets.linspace(-edge, edge, n) if n > 1 or not node["align_corners"]
                    else nets.zeros((1,)))  # fmt: skip
    numbers = np.indices(space)
    places = [nets.take(axis, i, axis=0) for axis, i in zip(axes, numbers, strict=True)]
    points = nets.stack([*reversed(places), nets.ones(tuple(space))], axis=-1)
    flat = nets.astype(nets.reshape(points, (-1, len(space) + 1)), theta.dtype)
    moved = flat @ nets.matrix_transpose(theta)
    return nets.reshape(moved, (theta.shape[0], *space, len(space)))


def between(x: Any, ys: Any, xs: Any) -> Any:
    """(N, C, H, W) at places (N, P): the mean of four elements by nearness, and 0 outside."""
    height, width = x.shape[2:]
    flat = nets.reshape(x, (*x.shape[:2], height * width))
    low_y, low_x = nets.floor(ys), nets.floor(xs)
    part_y, part_x = ys - low_y, xs - low_x
    result: Any = 0
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = low_y + dy, low_x + dx
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = (part_y if dy else 1 - part_y) * (part_x if dx else 1 - part_x)
            place = nets.where(inside, row * width + column, 0)
            place = nets.broadcast_to(
                nets.astype(place, "int64")[:, None], (*x.shape[:2], *place.shape[1:])
            )
            picked = nets.take_along_axis(flat, place, -1)
            result = result + picked * nets.where(inside, weight, 0)[:, None]
    return result


@operator("DeformConv")
def deform_conv(node: Node, x: Any, weight: Any, offset: Any, bias: Any = None,
                mask: Any = None) -> Any:  # fmt: skip
    """A convolution each of whose taps looks at a place of its own."""
    n, channels = x.shape[:2]
    kernel, out = weight.shape[2:], offset.shape[2:]
    groups, count = node["offset_group"], math.prod(kernel)
    strides, dilations = node["strides"] or [1, 1], node["dilations"] or [1, 1]
    pads = pairs(node["pads"] or [0] * 4)
    taps, places = np.indices(kernel).reshape(2, count, 1, 1), np.indices(out)[:, None]
    moves = nets.reshape(offset, (n * groups, count, 2, *out))
    ys, xs = (
        moves[:, :, i] + (places[i] * strides[i] + taps[i] * dilations[i] - pads[i][0])
        .astype(x.dtype)
        for i in range(2)
    )  # fmt: skip
    images = nets.reshape(x, (n * groups, channels // groups, *x.shape[2:]))
    flat = (n * groups, -1)
    parts = between(images, nets.reshape(ys, flat), nets.reshape(xs, flat))
    parts = nets.reshape(parts, (n, groups, channels // groups, count, *out))
    if mask is not None:
        parts = parts * nets.reshape(mask, (n, groups, 1, count, *out))
    parts = nets.reshape(parts, (n, node["group"], -1, count, *out))
    rows = nets.reshape(weight, (node["group"], -1, weight.shape[1], count))
    result = nets.reshape(nets.einsum("ngikyx,goik->ngoyx", parts, rows), (n, -1, *out))
    return result if bias is None else result + nets.reshape(bias, (-1, 1, 1))


@operator("RoiAlign", known=[1])
def roi_align(node: Node, x: Any, rois: np.ndarray, images: Any) -> Any:
    """Regions cut into bins, in each of which so many points are looked at."""
    half = 0.5 if node["coordinate_transformation_mode"] == "half_pixel" else 0.0
    found = [_region(node, x, roi * node["spatial_scale"] - half, images[i], half)
             for i, roi in enumerate(np.asarray(rois, np.float64))]  # fmt: skip
    return nets.astype(nets.stack(found), x.dtype)


def _region(node: Node, x: Any, edges: np.ndarray, image: Any, half: float) -> Any:
    bins = (node["output_height"], node["output_width"])
    start = edges[[1, 0]]
    sides = edges[[3, 2]] - start
    sides = sides if half else np.maximum(sides, 1.0)
    ratio = node["sampling_ratio"]
    counts = [ratio if ratio > 0 else math.ceil(s / b) for s, b in zip(sides, bins, strict=True)]
    ys, xs = (
        start[i] + (np.arange(bins[i] * counts[i]) + 0.5) * (sides[i] / bins[i] / counts[i])
        for i in range(2)
    )
    inside = [(p >= -1) & (p <= n) for p, n in zip((ys, xs), x.shape[2:], strict=True)]
    ys, xs = (np.clip(p, 0, n - 1) for p, n in zip((ys, xs), x.shape[2:], strict=True))
    grid = [g.reshape(1, -1) for g in np.meshgrid(ys, xs, indexing="ij")]
    picked = nets.take(x, nets.reshape(image, (1,)), axis=0)
    if node["mode"] == "max":
        return _largest_corners(picked, grid, inside, bins, counts)
    values = between(picked, nets.as_tensor(grid[0]), nets.as_tensor(grid[1]))
    values = nets.reshape(values[0], (-1, len(ys), len(xs))) * np.outer(*inside)
    return nets.mean(_binned(values, bins, counts), axis=(2, 4))


def _binned(values: Any, bins: Any, counts: Any) -> Any:
    return nets.reshape(values, (-1, bins[0], counts[0], bins[1], counts[1]))


def _largest_corners(x: Any, grid: Any, inside: Any, bins: Any, counts: Any) -> Any:
    """The largest of the four elements around a point, each by its nearness, and of all points."""
    flat = nets.reshape(x[0], (x.shape[1], -1))
    height, width = x.shape[2:]
    best = []
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = np.floor(grid[0]) + dy, np.floor(grid[1]) + dx
            weight = (1 - np.abs(grid[0] - row)) * (1 - np.abs(grid[1] - column))
            place = np.minimum(row, height - 1) * width + np.minimum(column, width - 1)
            best.append(nets.take(flat, place[0].astype(np.int64), axis=1) * weight)
    values = nets.max(nets.stack(best), axis=0)
    values = nets.reshape(values, (-1, len(inside[0]), len(inside[1]))) * np.outer(*inside)
    return nets.max(_binned(values, bins, counts), axis=(2, 4))
