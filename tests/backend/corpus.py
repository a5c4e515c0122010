"""Programs as users write them, for tests of bits and of memory: name, program, arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nets
from nets.ir.core import Function
from nets.ops.definition.registry import Array

Tensor = Any


@dataclass(frozen=True)
class Entry:
    """A traced Python function and the types of its arguments, as ``nets.spec`` writes them."""

    function: Callable[..., Any]
    specs: tuple[str, ...]

    def program(self) -> Function:
        lowered = nets.trace(self.function).lower(*map(nets.spec, self.specs))
        function: Function = lowered.function
        return function

    def arrays(self, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        return [_draw(argument.type, rng) for argument in self.program().arguments]


def _draw(type: Any, rng: np.random.Generator) -> Array:
    if type.dtype.is_float:
        return rng.normal(size=type.static_shape).astype(type.dtype.numpy)
    high = 2 if type.dtype.is_bool else 100
    return rng.integers(0, high, type.static_shape).astype(type.dtype.numpy)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = nets.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)
    return centred / deviation * gain + bias


def perceptron(w: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
    hidden = nets.relu(x @ w)
    return ((nets.tanh(hidden @ v) - y) ** 2).mean()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(nets.log_softmax(logits, axis=-1) * targets).sum(axis=-1).mean()


def mathematics(x: Tensor) -> Tensor:
    curves = nets.exp(x), nets.sin(x) * nets.cos(x), nets.erf(x), nets.sigmoid(x), nets.expm1(x)
    return [*curves, nets.log1p(nets.abs(x)), nets.sqrt(nets.abs(x)), nets.abs(x) ** 0.3]


def extremes(x: Tensor) -> Tensor:
    rows = x.max(axis=1), nets.argmax(x, axis=1), x.min(axis=1)
    return [*rows, x.max(axis=0), nets.argmax(x, axis=0), x.max()]


def sums(x: Tensor) -> Tensor:
    return [x.sum(), *(x.sum(axis=axis) for axis in range(x.ndim) if x.ndim > 1)]


def softmaxes(x: Tensor, y: Tensor) -> Tensor:
    return nets.softmax(x, axis=-1), nets.softmax(y, axis=0)


def scattered(*xs: Tensor) -> Tensor:
    """Of each row, in turn, how far apart its softmax lies: a row of scratch memory each."""
    return [(nets.softmax(x, axis=-1) ** 2).sum(axis=-1) for x in xs]


def totals(*xs: Tensor) -> Tensor:
    return [x.sum() for x in xs]


def products(*xs: Tensor) -> Tensor:
    return [x @ y for x, y in zip(xs[::2], xs[1::2], strict=True)]


def transposed_products(x: Tensor, y: Tensor) -> Tensor:
    return x.T @ y.T, y @ x


def attention(x: Tensor, out: Tensor) -> Tensor:
    """Three heads of a causal attention whose queries, keys and values lie in the rows of x."""
    parts = x.reshape(*x.shape[:2], 3, 3, -1)
    q, k, v = (nets.permute_dims(parts[:, :, i], (0, 2, 1, 3)) for i in range(3))
    past = nets.tril(nets.ones((x.shape[1], x.shape[1]), dtype=bool))
    scores = nets.where(past, q @ nets.permute_dims(k, (0, 1, 3, 2)), -1e30)
    mixed = nets.softmax(scores, axis=-1) @ v
    return (nets.permute_dims(mixed, (0, 2, 1, 3)).reshape(*x.shape[:2], -1) @ out).sum()


def statistics(x: Tensor) -> Tensor:
    return x.mean(axis=1), (x * x).sum(), x.max(), nets.argmax(x), x.sum(axis=0)


CORPUS = {
    "softmax": Entry(softmaxes, ("f32[7, 1000]", "f64[70, 33]")),
    "rows of scratch memory": Entry(
        scattered, ("f32[24, 9001]", "f32[24, 5001]", "f64[24, 301]", "f32[24, 6001]")
    ),
    "layer norm": Entry(layer_norm, ("f32[13, 257]", "f32[257]", "f32[257]")),
    "layer norm, gradient": Entry(
        nets.grad(lambda *a: layer_norm(*a).sum(), argnums=(0, 1, 2)),
        ("f32[5, 67]", "f32[67]", "f32[67]"),
    ),
    "attention": Entry(
        nets.value_and_grad(attention, argnums=(0, 1)), ("f32[3, 50, 72]", "f32[24, 5]")
    ),
    "perceptron": Entry(
        nets.value_and_grad(perceptron, argnums=(0, 1)),
        ("f32[17, 33]", "f32[33, 5]", "f32[64, 17]", "f32[64, 5]"),
    ),
    "cross entropy": Entry(nets.value_and_grad(cross_entropy), ("f64[32, 10]", "f64[32, 10]")),
    "products with a vector": Entry(
        products,
        (
            "f32[1, 1025]",
            "f32[1025, 1]",
            "f64[67, 513]",
            "f64[513, 1]",
            "f32[1, 385]",
            "f32[385, 131]",
        ),
    ),
    "products": Entry(products, ("f32[17, 1025]", "f32[1025, 33]", "f64[9, 5, 7]", "f64[9, 7, 2]")),
    "transposed products": Entry(transposed_products, ("f64[300, 19]", "f64[19, 300]")),
    "mathematics": Entry(mathematics, ("f32[1003]",)),
    "mathematics in f64": Entry(mathematics, ("f64[201]",)),
    "extremes": Entry(extremes, ("f32[37, 129]",)),
    "sums": Entry(totals, ("f32[17]", "f64[1000]", "f32[1025]", "f64[70001]", "f32[1000003]")),
    "sums of long rows": Entry(lambda x: x.sum(axis=1), ("f32[3, 70001]",)),
    "sums of columns": Entry(
        lambda x, y: (x.sum(axis=0), y.sum(axis=0)), ("f32[70001, 3]", "f64[131, 1000]")
    ),
    "sums over axes": Entry(sums, ("f32[19, 33, 17]",)),
    "statistics": Entry(statistics, ("f32[300, 301]",)),
}
"""By name."""
