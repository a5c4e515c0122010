"""Sums, extremes and moments over axes, running sums, products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, operator
from tests.acceptance.onnx_cases.shapes import listed

Reduction = Callable[[Any, Any, bool], Any]


def _sum(x: Any, axis: Any, keepdims: bool) -> Any:
    return nets.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _least(x: Any) -> Any:
    return False if x.dtype == bool else limits(x.dtype)[0]


def _most(x: Any) -> Any:
    return True if x.dtype == bool else limits(x.dtype)[1]


def limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The least and the largest number, infinities included."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def _extreme(function: Any, of_nothing: Callable[[Any], Any]) -> Reduction:
    def reduce(x: Any, axis: Any, keepdims: bool) -> Any:
        axes = range(x.ndim) if axis is None else [a % x.ndim for a in axis]
        if all(x.shape[a] for a in axes):
            return function(x, axis=axis, keepdims=keepdims)
        sizes = [1 if i in axes else n for i, n in enumerate(x.shape)]
        kept = sizes if keepdims else [n for i, n in enumerate(x.shape) if i not in axes]
        return nets.full(tuple(kept), of_nothing(x), dtype=x.dtype)

    return reduce


def _log_sum_exp(x: Any, axis: Any, keepdims: bool) -> Any:
    axes = range(x.ndim) if axis is None else axis
    if not all(x.shape[a] for a in axes):
        return nets.log(_sum(nets.exp(x), axis, keepdims))
    return nets.logsumexp(x, axis=axis, keepdims=keepdims)


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceProd": lambda x, a, k: nets.prod(x, axis=a, keepdims=k, dtype=x.dtype),
    "ReduceMean": lambda x, a, k: nets.mean(x, axis=a, keepdims=k),
    "ReduceMax": _extreme(nets.max, _least),
    "ReduceMin": _extreme(nets.min, _most),
    "ReduceL1": lambda x, a, k: _sum(nets.abs(x), a, k),
    "ReduceL2": lambda x, a, k: nets.sqrt(_sum(x * x, a, k)),
    "ReduceLogSum": lambda x, a, k: nets.log(_sum(x, a, k)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": lambda x, a, k: _sum(x * x, a, k),
}


def _reduce(node: Node, x: Any, axes: np.ndarray | None = None) -> Any:
    given = node["axes"] if axes is None else listed(axes)
    if not given and node["noop_with_empty_axes"]:
        return REDUCTIONS[node.proto.op_type](x, (), True)
    return REDUCTIONS[node.proto.op_type](
        x, tuple(given) if given else None, bool(node["keepdims"])
    )


for _name in REDUCTIONS:
    operator(_name, known=[1])(_reduce)


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, x: Any) -> Any:
    """The first of equals, or the last one."""
    find = nets.argmax if node.proto.op_type == "ArgMax" else nets.argmin
    axis = node["axis"]
    if not node["select_last_index"]:
        return find(x, axis=axis, keepdims=bool(node["keepdims"]))
    last = find(nets.flip(x, axis), axis=axis, keepdims=bool(node["keepdims"]))
    return x.shape[axis] - 1 - last


@operator("CumSum", "CumProd", known=[1])
def running(node: Node, x: Any, axis: np.ndarray) -> Any:
    """Of what comes before alone where it is exclusive; from the end where reverse."""
    at = int(np.ravel(axis)[0]) % x.ndim
    is_sum = node.proto.op_type == "CumSum"
    x = nets.flip(x, at) if node["reverse"] else x
    if node["exclusive"]:
        widths = [(int(i == at), 0) for i in range(x.ndim)]
        x = nets.pad(x, widths, constant_values=0 if is_sum else 1)
        x = x[(slice(None),) * at + (slice(0, -1),)]
    result = (nets.cumsum if is_sum else nets.cumprod)(x, axis=at)
    result = nets.astype(result, x.dtype)
    return nets.flip(result, at) if node["reverse"] else result


@operator("MatMul")
def matmul(node: Node, x: Any, y: Any) -> Any:
    return nets.matmul(x, y)


@operator("Gemm")
def gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    a = a.T if node["transA"] else a
    b = b.T if node["transB"] else b
    product = node["alpha"] * (a @ b)
    return product if c is None else product + node["beta"] * c


@operator("Einsum")
def einsum(node: Node, *xs: Any) -> Any:
    return nets.einsum(node["equation"].replace(" ", ""), *xs)
