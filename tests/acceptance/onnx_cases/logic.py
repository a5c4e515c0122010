"""Comparisons, truth and bits."""

from __future__ import annotations

from typing import Any

import nets
from tests.acceptance.onnx_cases.graph import Node, operator

FUNCTIONS = {
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
    "Not": "logical_not",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "BitwiseNot": "bitwise_invert",
    "IsNaN": "isnan",
    "Where": "where",
}


def _same(name: str) -> Any:
    return lambda node, *xs: getattr(nets, name)(*xs)


for _operator, _name in FUNCTIONS.items():
    operator(_operator)(_same(_name))


@operator("IsInf")
def is_inf(node: Node, x: Any) -> Any:
    """Infinities of the signs that are asked for."""
    signs = [x > 0] * node["detect_positive"] + [x < 0] * node["detect_negative"]
    wanted = nets.zeros(x.shape, "bool")
    for sign in signs:
        wanted = wanted | sign
    return nets.isinf(x) & wanted


@operator("BitShift")
def bit_shift(node: Node, x: Any, y: Any) -> Any:
    if node["direction"] == "LEFT":
        return nets.bitwise_left_shift(x, y)
    return nets.bitwise_right_shift(x, y)
