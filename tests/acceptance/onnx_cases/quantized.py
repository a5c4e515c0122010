"""Integers that stand for numbers: a scale and a zero."""

from __future__ import annotations

from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, dtype_of, operator
from tests.acceptance.onnx_cases.images import with_bias
from tests.acceptance.onnx_cases.windows import convolved, windows_of


def _along(values: Any, node: Node, x: Any) -> Any:
    """Scales or zeros for x: one for all, one for each entry of an axis, or one for each block."""
    axis = node["axis"] % max(x.ndim, 1) if node["axis"] is not None else 0
    if not values.ndim or values.size == 1:
        return nets.reshape(values, ())
    if node["block_size"]:
        wide = nets.repeat(values, node["block_size"], axis=axis)
        return wide[(slice(None),) * axis + (slice(0, x.shape[axis]),)]
    return nets.reshape(values, (-1,) + (1,) * (x.ndim - 1 - axis))


def _rounded(x: Any, zero: Any, dtype: np.dtype[Any]) -> Any:
    """The nearest integer from a zero, moved into the range of the dtype."""
    limits = np.iinfo(dtype)
    whole = nets.round(x)
    whole = whole if zero is None else whole + nets.astype(zero, whole.dtype)
    return nets.astype(nets.clip(whole, limits.min, limits.max), dtype)


@operator("QuantizeLinear")
def quantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    number = node["output_dtype"] or 0
    dtype = np.dtype(np.uint8) if not number else dtype_of(number)
    if zero is not None:
        dtype, zero = zero.dtype, _along(zero, node, x)
    if node["precision"]:
        x, scale = (nets.astype(v, dtype_of(node["precision"])) for v in (x, scale))
    return _rounded(x / _along(scale, node, x), zero, dtype)


@operator("DequantizeLinear")
def dequantize(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    number = nets.astype(x, "int32")
    if zero is not None:
        number = number - nets.astype(_along(zero, node, x), "int32")
    return nets.astype(number, scale.dtype) * _along(scale, node, x)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(node: Node, x: Any) -> Any:
    low, high = nets.minimum(nets.min(x), 0), nets.maximum(nets.max(x), 0)
    scale = nets.where(low == high, 1, high - low) / 255
    zero = nets.clip(nets.round(-low / scale), 0, 255)
    y = nets.astype(nets.clip(nets.round(x / scale) + zero, 0, 255), "uint8")
    return y, scale, nets.astype(zero, "uint8")


def _from_zero(x: Any, zero: Any, is_row: bool = False) -> Any:
    """The integers above a zero; zeros of rows stand in a column."""
    x = nets.astype(x, "int32")
    if zero is None:
        return x
    zero = nets.astype(zero, "int32")
    return x - (zero[:, None] if is_row and zero.ndim == 1 else zero)


@operator("MatMulInteger")
def matmul_integer(node: Node, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return _from_zero(a, a_zero, is_row=True) @ _from_zero(b, b_zero)


@operator("QLinearMatMul")
def qlinear_matmul(node: Node, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any,
                   b_zero: Any, scale: Any, zero: Any) -> Any:  # fmt: skip
    product = _from_zero(a, a_zero, is_row=True) @ _from_zero(b, b_zero)
    factor = a_scale * b_scale / scale
    return _rounded(nets.astype(product, "float64") * factor, zero, zero.dtype)


def _of_filters(weight: Any, zero: Any) -> Any:
    """Weights above a zero for all filters, or one for each."""
    weight = nets.astype(weight, "int32")
    if zero is None:
        return weight
    rows = (-1,) + (1,) * (weight.ndim - 1)
    return weight - nets.reshape(nets.astype(zero, "int32"), rows)


@operator("ConvInteger")
def conv_integer(node: Node, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
    windows = windows_of(node, x.shape[2:], w.shape[2:])
    weight = _of_filters(w, w_zero)
    total = convolved(_from_zero(x, x_zero), weight, windows, node["group"])
    return nets.astype(total, "int32")  # nets adds integers up as float64


@operator("QLinearConv")
def qlinear_conv(node: Node, x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any,
                 scale: Any, zero: Any, bias: Any = None) -> Any:  # fmt: skip
    windows = windows_of(node, x.shape[2:], w.shape[2:])
    weight = _of_filters(w, w_zero)
    total = convolved(_from_zero(x, x_zero), weight, windows, node["group"])
    factor = nets.reshape(x_scale * w_scale / scale, (-1,) + (1,) * (w.ndim - 2))
    sums = nets.astype(with_bias(total, bias), "float64")
    return _rounded(sums * factor, zero, zero.dtype)
