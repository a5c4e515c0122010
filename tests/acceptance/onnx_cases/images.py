"""Images: convolutions and pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, operator
from tests.acceptance.onnx_cases.reductions import limits
from tests.acceptance.onnx_cases.shapes import listed
from tests.acceptance.onnx_cases.windows import (
    Windows,
    convolved,
    flat_places,
    pairs,
    summed,
    taken,
    transposed,
    windows_of,
)


def with_bias(result: Any, bias: Any) -> Any:
    """A number for each channel added."""
    if bias is None:
        return result
    return result + nets.reshape(bias, (-1,) + (1,) * (result.ndim - 2))


@operator("Conv")
def conv(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    windows = windows_of(node, x.shape[2:], weight.shape[2:])
    return with_bias(convolved(x, weight, windows, node["group"]), bias)


@operator("ConvTranspose")
def conv_transpose(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    kernel, places = weight.shape[2:], x.shape[2:]
    rank = len(kernel)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    more = node["output_padding"] or [0] * rank
    plain = Windows(tuple(kernel), tuple(strides), tuple(dilations), [], [])
    sides = (node["auto_pad"] or "NOTSET", node["pads"], node["output_shape"])
    pads = _margins(plain, places, more, *sides)
    more = _longer(plain, places, pads, more, node["output_shape"])
    windows = Windows(plain.kernel, plain.strides, plain.dilations, pads, pads)
    return with_bias(transposed(x, weight, windows, more, node["group"]), bias)


def _margins(
    windows: Windows, places: Any, more: Any, side: str, pads: Any, sizes: Any
) -> list[tuple[int, int]]:
    """What is cut off at each end: given, or such that an image of a given size stays."""
    if side == "NOTSET" and not sizes:
        return pairs(pads or [0] * 2 * len(places))
    if side == "VALID":
        return [(0, 0)] * len(places)
    if not sizes:
        sizes = [n * step for n, step in zip(places, windows.strides, strict=True)]
    found = []
    for n, step, m, reach, size in zip(
        places, windows.strides, more, windows.reaches, sizes[-len(places) :], strict=True
    ):
        total = max(step * (n - 1) + m + reach - size, 0)
        small, large = total // 2, total - total // 2
        found.append((small, large) if side == "SAME_UPPER" else (large, small))
    return found


def _longer(windows: Windows, places: Any, pads: Any, more: Any, sizes: Any) -> list[int]:
    """The rows behind the image that a given size asks for."""
    if not sizes:
        return list(more)
    axes = zip(places, windows.strides, windows.reaches, pads, sizes[-len(places) :], strict=True)
    return [size - (step * (n - 1) + reach - a - b) for n, step, reach, (a, b), size in axes]


@operator("Col2Im", known=[1, 2])
def col2im(node: Node, x: Any, image: np.ndarray, block: np.ndarray) -> Any:
    """The sum of all blocks, each at its place: a transposed convolution with unit kernels."""
    kernel, space = listed(block), listed(image)
    windows = windows_of(node, space, kernel)
    taps, places = math.prod(kernel), windows.places(space)
    columns = nets.reshape(x, (-1, taps, *places))
    units = nets.reshape(nets.eye(taps, dtype=x.dtype), (taps, 1, *kernel))
    more = _longer(windows, places, windows.pads, [0] * len(space), space)
    images = transposed(columns, units, windows, more)
    return nets.reshape(images, (x.shape[0], x.shape[1] // taps, *space))


@operator("CausalConvWithState")
def causal_conv(node: Node, x: Any, weight: Any, bias: Any = None, state: Any = None) -> Any:
    """Each channel alone, with what came before the sequence; and what comes before the next."""
    before = weight.shape[2] - 1
    if state is None:
        state = nets.zeros((*x.shape[:2], before), dtype=x.dtype)
    padded = nets.concatenate([state, x], axis=2)
    result = with_bias(nets.conv(padded, weight, groups=x.shape[1]), bias)
    if node["activation"] in ("silu", "swish"):
        result = nets.silu(result)
    return result, padded[:, :, padded.shape[2] - before :]


# ------------------------------------------------------------------------------ pooling


@operator("MaxPool")
def max_pool(node: Node, x: Any) -> Any:
    windows = windows_of(node, x.shape[2:], node["kernel_shape"])
    if node.wants(1):
        return _max_with_places(x, windows, bool(node["storage_order"]))
    if len(windows.kernel) < 3:
        return nets.max_pool(x, windows.kernel, windows.strides, windows.beyond, windows.dilations)
    axes = tuple(range(-len(windows.kernel), 0))
    return nets.max(taken(x, windows, limits(x.dtype)[0]), axis=axes)


def _max_with_places(x: Any, windows: Windows, column_major: bool) -> Any:
    """The largest elements, and where each stands in the whole of x."""
    n, channels, *space = x.shape
    rank = len(space)
    parts = taken(x, windows, limits(x.dtype)[0])
    flat = nets.reshape(parts, (*parts.shape[: 2 + rank], -1))
    numbers = flat_places(space, column_major)[None, None]
    sources = taken(nets.as_tensor(numbers), windows)
    sources = nets.broadcast_to(nets.reshape(sources, (1, 1, *flat.shape[2:])), flat.shape)
    best = nets.expand_dims(nets.argmax(flat, axis=-1), -1)
    images = np.arange(n * channels).reshape((n, channels) + (1,) * rank) * math.prod(space)
    places = nets.squeeze(nets.take_along_axis(sources, best, -1), -1)
    return nets.squeeze(nets.take_along_axis(flat, best, -1), -1), places + images


@operator("MaxUnpool", known=[2])
def max_unpool(node: Node, x: Any, places: Any, sizes: np.ndarray | None = None) -> Any:
    """Each element at its place in an image of zeros; places count in an image without margins."""
    strides = node["strides"] or [1] * (x.ndim - 2)
    pads = pairs(node["pads"] or [0] * 2 * (x.ndim - 2))
    axes = zip(x.shape[2:], strides, node["kernel_shape"], pads, strict=True)
    plain = (*x.shape[:2], *((n - 1) * s - a - b + k for n, s, k, (a, b) in axes))
    flat = nets.zeros((math.prod(plain),), dtype=x.dtype)
    flat[nets.flatten(places)] = nets.flatten(x)
    image = nets.reshape(flat, plain)
    if sizes is None:
        return image
    wider = zip(plain, listed(sizes), strict=True)
    return nets.pad(image, [(0, size - n) for n, size in wider])


@operator("AveragePool")
def average_pool(node: Node, x: Any) -> Any:
    """Margins count as zeros or not at all; what lies behind them never counts."""
    windows = windows_of(node, x.shape[2:], node["kernel_shape"])
    total = summed(x, windows)
    ones = nets.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if node["count_include_pad"]:
        ones = nets.pad(ones, [(0, 0), (0, 0), *windows.pads], constant_values=1)
        behind = [(0, b - p) for (_, p), (_, b) in zip(windows.pads, windows.beyond, strict=True)]
        windows = Windows(windows.kernel, windows.strides, windows.dilations, behind, behind)
    return total / summed(ones, windows)


@operator("LpPool")
def lp_pool(node: Node, x: Any) -> Any:
    windows = windows_of(node, x.shape[2:], node["kernel_shape"])
    p = node["p"]
    return nets.pow(summed(nets.pow(nets.abs(x), p), windows), 1 / p)


@operator("GlobalAveragePool")
def global_average_pool(node: Node, x: Any) -> Any:
    return nets.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(node: Node, x: Any) -> Any:
    return nets.max(x, axis=tuple(range(2, x.ndim)), keepdims=True)
