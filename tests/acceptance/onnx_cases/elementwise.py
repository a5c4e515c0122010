"""Element by element: arithmetic, functions, activations."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import nets
from nets.nn import functional as F
from tests.acceptance.onnx_cases.graph import Node, dtype_of, operator

UNARY = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Identity": "positive",
    "Log": "log",
    "Neg": "negative",
    "Reciprocal": "inverse",
    "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
"""Operators that are a function of nets of the same operand."""

BINARY = {"Add": "add", "Sub": "subtract", "Mul": "multiply"}

MANY = {"Max": "maximum", "Min": "minimum", "Sum": "add"}

LAYERS = {"HardSwish": "hardswish", "Mish": "mish", "Softsign": "softsign"}


def _unary(name: str) -> Any:
    return lambda node, x: getattr(nets, name)(x)


def _binary(name: str) -> Any:
    return lambda node, x, y: getattr(nets, name)(x, y)


def _many(name: str) -> Any:
    return lambda node, *xs: functools.reduce(getattr(nets, name), xs)


def _layer(name: str) -> Any:
    return lambda node, x: getattr(F, name)(x)


for _table, _made in ((UNARY, _unary), (BINARY, _binary), (MANY, _many), (LAYERS, _layer)):
    for _operator, _name in _table.items():
        operator(_operator)(_made(_name))


@operator("Div")
def div(node: Node, x: Any, y: Any) -> Any:
    """Integers are divided towards 0."""
    if x.dtype.kind == "f":
        return x / y
    quotient = x // y
    if x.dtype.kind == "u":
        return quotient
    upward = (quotient * y != x) & ((x < 0) != (y < 0))
    return quotient + nets.astype(upward, x.dtype)


@operator("Mod")
def mod(node: Node, x: Any, y: Any) -> Any:
    return nets.fmod(x, y) if node["fmod"] else nets.remainder(x, y)


@operator("Pow")
def power(node: Node, x: Any, y: Any) -> Any:
    return nets.astype(nets.pow(x, y), x.dtype)


@operator("Mean")
def mean(node: Node, *xs: Any) -> Any:
    return functools.reduce(nets.add, xs) / len(xs)


@operator("Clip")
def clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    return nets.clip(x, low if low is not None else node["min"],
                     high if high is not None else node["max"])  # fmt: skip


@operator("Cast")
def cast(node: Node, x: Any) -> Any:
    return nets.astype(x, dtype_of(node["to"]))


@operator("CastLike")
def cast_like(node: Node, x: Any, target: Any) -> Any:
    return nets.astype(x, target.dtype)


@operator("BitCast")
def bit_cast(node: Node, x: Any) -> Any:
    if x.dtype == bool:  # whose bits are those of 0 and 1
        x = nets.astype(x, "uint8")
    return nets.bitcast_convert_type(x, dtype_of(node["to"]))


@operator("Dropout")
def dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """Of these cases none drops anything."""
    return nets.positive(x), nets.ones(x.shape, "bool")


@operator("Elu")
def elu(node: Node, x: Any) -> Any:
    return F.elu(x, node["alpha"])


@operator("Celu")
def celu(node: Node, x: Any) -> Any:
    return F.celu(x, node["alpha"])


@operator("Selu")
def selu(node: Node, x: Any) -> Any:
    return node["gamma"] * F.elu(x, node["alpha"])


@operator("LeakyRelu")
def leaky_relu(node: Node, x: Any) -> Any:
    return F.leaky_relu(x, node["alpha"])


@operator("PRelu")
def prelu(node: Node, x: Any, slope: Any) -> Any:
    return nets.where(x < 0, slope * x, x)


@operator("ThresholdedRelu")
def thresholded_relu(node: Node, x: Any) -> Any:
    return nets.where(x > node["alpha"], x, 0)


@operator("Shrink")
def shrink(node: Node, x: Any) -> Any:
    bias, edge = node["bias"], node["lambd"]
    return nets.where(x < -edge, x + bias, nets.where(x > edge, x - bias, 0))


@operator("HardSigmoid")
def hard_sigmoid(node: Node, x: Any) -> Any:
    return nets.clip(node["alpha"] * x + node["beta"], 0, 1)


@operator("Gelu")
def gelu(node: Node, x: Any) -> Any:
    return F.gelu(x, approximate=node["approximate"])


@operator("Swish")
def swish(node: Node, x: Any) -> Any:
    return x * nets.sigmoid(node["alpha"] * x)


@operator("SwiGLU")
def swi_glu(node: Node, a: Any, b: Any) -> Any:
    return a * nets.sigmoid((1.0 if node["alpha"] is None else node["alpha"]) * a) * b


@operator("Det")
def det(node: Node, x: Any) -> Any:
    return nets.linalg.det(x)


@operator("Binarizer")
def binarizer(node: Node, x: Any) -> Any:
    return nets.astype(x > node["threshold"], x.dtype)


@operator("HannWindow", "HammingWindow", "BlackmanWindow", known=[0])
def window(node: Node, size: np.ndarray) -> Any:
    """Of ``size`` points, or, where it is periodic, as many of one point more."""
    weights = {
        "HannWindow": (0.5, 0.5),
        "HammingWindow": (25 / 46, 21 / 46),
        "BlackmanWindow": (0.42, 0.5, 0.08),
    }[node.proto.op_type]
    count = int(size)
    turn = 2 * math.pi / (count if node["periodic"] else count - 1)
    angle = nets.arange(count, dtype="float64") * turn
    terms = [(-1) ** k * w * nets.cos(k * angle) for k, w in enumerate(weights)]
    return nets.astype(functools.reduce(nets.add, terms), dtype_of(node["output_datatype"]))
