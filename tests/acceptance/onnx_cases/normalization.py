"""Normalisation, and what is shared out over an axis."""

from __future__ import annotations

import math
from typing import Any

import nets
from nets.nn import functional as F
from tests.acceptance.onnx_cases.graph import Node, operator


def _channels(x: Any, values: Any) -> Any:
    return nets.reshape(values, (-1,) + (1,) * (x.ndim - 2))


def _standard(x: Any, axes: tuple[int, ...], epsilon: float) -> tuple[Any, Any, Any]:
    """x with mean 0 and variance 1 over the axes, the mean, and what x was multiplied by."""
    mean = nets.mean(x, axis=axes, keepdims=True)
    scale = nets.rsqrt(nets.var(x, axis=axes, keepdims=True) + epsilon)
    return (x - mean) * scale, mean, scale


@operator("BatchNormalization")
def batch_normalization(node: Node, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    if not node["training_mode"]:
        return F.batch_norm(x, mean, variance, scale, bias, eps=node["epsilon"])
    axes = tuple(i for i in range(x.ndim) if i != 1)
    kept, momentum = node["momentum"], 1 - node["momentum"]
    own, spread = nets.mean(x, axis=axes), nets.var(x, axis=axes)
    y = F.batch_norm(x, own, spread, scale, bias, eps=node["epsilon"])
    return y, mean * kept + own * momentum, variance * kept + spread * momentum


@operator("InstanceNormalization")
def instance_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    y, *_ = _standard(x, tuple(range(2, x.ndim)), node["epsilon"])
    return y * _channels(x, scale) + _channels(x, bias)


@operator("GroupNormalization")
def group_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    return F.group_norm(x, node["num_groups"], scale, bias, eps=node["epsilon"])


@operator("LayerNormalization")
def layer_normalization(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    axes = tuple(range(node["axis"] % x.ndim, x.ndim))
    y, mean, factor = _standard(x, axes, node["epsilon"])
    y = y * scale
    return y if bias is None else y + bias, mean, factor


@operator("RMSNormalization")
def rms_normalization(node: Node, x: Any, scale: Any) -> Any:
    axes = tuple(range(node["axis"] % x.ndim, x.ndim))
    mean = nets.mean(x * x, axis=axes, keepdims=True)
    return x * nets.rsqrt(mean + node["epsilon"]) * scale


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, x: Any) -> Any:
    axes = tuple(node["axes"])
    mean = nets.mean(x, axis=axes, keepdims=True)
    return (x - mean) / (nets.std(x, axis=axes, keepdims=True) + 1e-9)


@operator("LpNormalization")
def lp_normalization(node: Node, x: Any) -> Any:
    """Rows of zeros stay."""
    axis = node["axis"]
    size = nets.norm(x, ord=node["p"], axis=axis, keepdims=True)
    return nets.where(size == 0, 0, x / nets.where(size == 0, 1, size))


@operator("LRN")
def lrn(node: Node, x: Any) -> Any:
    """Divided by a power of the squares of the channels around."""
    size = node["size"]
    before = (size - 1) // 2
    n, channels, *space = x.shape
    rows = nets.reshape(x * x, (n, 1, channels, math.prod(space)))
    window = nets.ones((1, 1, size, 1), dtype=x.dtype)
    sums = nets.conv(rows, window, padding=[(before, size - 1 - before), (0, 0)])
    sums = nets.reshape(sums, x.shape)
    return x / (node["bias"] + node["alpha"] / size * sums) ** node["beta"]


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, x: Any) -> Any:
    function = nets.softmax if node.proto.op_type == "Softmax" else nets.log_softmax
    return function(x, node["axis"])
