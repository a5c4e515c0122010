"""Shapes: new ones, parts, joins, and tensors that are made of sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper

import nets
from tests.acceptance.onnx_cases.graph import Node, dtype_of, operator


def listed(numbers: Any) -> list[int]:
    """Known integers as Python's."""
    return [int(n) for n in np.ravel(numbers)]


def whole(x: Any, axis: int, cut: slice) -> tuple[slice, ...]:
    """An index that cuts one axis."""
    return (slice(None),) * (axis % x.ndim) + (cut,)


@operator("Reshape", known=[1])
def reshape(node: Node, x: Any, shape: np.ndarray) -> Any:
    sizes = listed(shape)
    if not node["allowzero"]:
        sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return nets.reshape(x, tuple(sizes))


@operator("Flatten")
def flatten(node: Node, x: Any) -> Any:
    axis = node["axis"] + x.ndim if node["axis"] < 0 else node["axis"]
    return nets.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Transpose")
def transpose(node: Node, x: Any) -> Any:
    return nets.transpose(x, node["perm"])


@operator("Squeeze", known=[1])
def squeeze(node: Node, x: Any, axes: np.ndarray | None = None) -> Any:
    """Before version 13 the axes were an attribute."""
    given = node["axes"] if axes is None else listed(axes)
    return nets.squeeze(x, None if given is None else tuple(given))


@operator("Unsqueeze", known=[1])
def unsqueeze(node: Node, x: Any, axes: np.ndarray | None = None) -> Any:
    return nets.expand_dims(x, tuple(node["axes"] if axes is None else listed(axes)))


@operator("Expand", known=[1])
def expand(node: Node, x: Any, shape: np.ndarray) -> Any:
    sizes = np.broadcast_shapes(x.shape, tuple(listed(shape)))
    return nets.broadcast_to(x, sizes)


@operator("Concat")
def concat(node: Node, *xs: Any) -> Any:
    return nets.concatenate(xs, node["axis"])


@operator("Split", known=[1])
def split(node: Node, x: Any, parts: np.ndarray | None = None) -> Any:
    axis, sizes = node["axis"], node["split"] if parts is None else listed(parts)
    if sizes is None:
        each = -(-x.shape[axis] // node.counts)
        sizes = [each] * node.counts
    bounds = [0, *itertools.accumulate(sizes)]
    return [x[whole(x, axis, slice(a, b))] for a, b in itertools.pairwise(bounds)]


@operator("Slice", known=[1, 2, 3, 4])
def slices(node: Node, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    count = len(listed(starts))
    at = range(count) if axes is None else listed(axes)
    by = [1] * count if steps is None else listed(steps)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(at, listed(starts), listed(ends), by, strict=True):
        beyond = step < 0 and end < -x.shape[axis]  # before the first element
        index[axis] = slice(start, None if beyond else end, step)
    return x[tuple(index)]


@operator("Tile", known=[1])
def tile(node: Node, x: Any, repeats: np.ndarray) -> Any:
    return nets.tile(x, tuple(listed(repeats)))


@operator("Pad", known=[1, 2, 3])
def pad(node: Node, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    """Negative margins are cut off."""
    at = range(x.ndim) if axes is None else [a % x.ndim for a in listed(axes)]
    margins = listed(pads)
    widths = [(0, 0)] * x.ndim
    for k, axis in enumerate(at):
        before, after = margins[k], margins[k + len(margins) // 2]
        cut = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
        x = x[whole(x, axis, cut)]
        widths[axis] = (max(before, 0), max(after, 0))
    if node["mode"] == "constant":
        fill = 0 if value is None else np.ravel(value)[0].item()
        return nets.pad(x, widths, constant_values=fill)
    return nets.pad(x, widths, mode=node["mode"])


@operator("Shape")
def shape(node: Node, x: Any) -> Any:
    return nets.as_tensor(np.array(x.shape[slice(node["start"], node["end"])], np.int64))


@operator("Size")
def size(node: Node, x: Any) -> Any:
    return nets.as_tensor(np.array(math.prod(x.shape), np.int64))


@operator("Constant")
def constant(node: Node) -> Any:
    (kind,) = (k for k in node.attributes if k.startswith("value") or k == "sparse_value")
    if kind == "value":
        return nets.as_tensor(numpy_helper.to_array(node["value"]))
    dtype = np.float32 if "float" in kind else np.int64
    return nets.as_tensor(np.array(node[kind], dtype))


@operator("ConstantOfShape", known=[0])
def constant_of_shape(node: Node, sizes: np.ndarray) -> Any:
    value = node["value"]
    fill = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    return nets.full(tuple(listed(sizes)), fill.ravel()[0].item(), dtype=fill.dtype)


@operator("Range", known=[0, 1, 2])
def numbers(node: Node, start: Any, limit: Any, step: Any) -> Any:
    return nets.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


@operator("EyeLike")
def eye_like(node: Node, x: Any) -> Any:
    dtype = x.dtype if node["dtype"] is None else dtype_of(node["dtype"])
    return nets.eye(*x.shape, k=node["k"], dtype=dtype)


@operator("Trilu", known=[1])
def trilu(node: Node, x: Any, k: np.ndarray | None = None) -> Any:
    diagonal = 0 if k is None else int(k)
    return nets.triu(x, diagonal) if node["upper"] else nets.tril(x, diagonal)


@operator("DepthToSpace")
def depth_to_space(node: Node, x: Any) -> Any:
    n, channels, *space = x.shape
    block, rank = node["blocksize"], len(space)
    inner = channels // block**rank
    blocks = (block,) * rank
    at = range(2, 2 + rank)
    if node["mode"] == "DCR":
        parts = nets.reshape(x, (n, *blocks, inner, *space))
        order = [0, rank + 1, *_between([i + rank for i in at], range(1, 1 + rank))]
    else:
        parts = nets.reshape(x, (n, inner, *blocks, *space))
        order = [0, 1, *_between([i + rank for i in at], at)]
    return nets.reshape(nets.transpose(parts, order), (n, inner, *(s * block for s in space)))


def _between(first: Sequence[int], second: Sequence[int]) -> list[int]:
    return [i for pair in zip(first, second, strict=True) for i in pair]


@operator("SpaceToDepth")
def space_to_depth(node: Node, x: Any) -> Any:
    n, channels, *space = x.shape
    block, rank = node["blocksize"], len(space)
    parts = nets.reshape(x, (n, channels, *_between([s // block for s in space], [block] * rank)))
    order = [0, *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2)]
    sizes = (n, channels * block**rank, *(s // block for s in space))
    if node["mode"] == "CRD":
        order = [0, 1, *range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2)]
    return nets.reshape(nets.transpose(parts, order), sizes)


@operator("CenterCropPad", known=[1])
def center_crop_pad(node: Node, x: Any, sizes: np.ndarray) -> Any:
    axes = range(x.ndim) if node["axes"] is None else node["axes"]
    for axis, wanted in zip(axes, listed(sizes), strict=True):
        more = wanted - x.shape[axis]
        if more < 0:
            start = -more // 2
            x = x[whole(x, axis, slice(start, start + wanted))]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(more, 0) // 2, max(more, 0) - max(more, 0) // 2)
        x = nets.pad(x, widths)
    return x


@operator("ReverseSequence")
def reverse_sequence(node: Node, x: Any, lengths: Any) -> Any:
    time, batch = node["time_axis"], node["batch_axis"]
    rows = nets.moveaxis(x, (batch, time), (0, 1))
    steps, size = nets.arange(rows.shape[1]), lengths[:, None]
    places = nets.where(steps < size, size - 1 - steps, steps)
    places = nets.reshape(places, (*rows.shape[:2], *(1,) * (x.ndim - 2)))
    turned = nets.take_along_axis(rows, nets.broadcast_to(places, rows.shape), 1)
    return nets.moveaxis(turned, (0, 1), (batch, time))
