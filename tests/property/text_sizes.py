"""Every operation that has sizes, by one of its sizes, and how long its LLVM IR is.

``ROWS`` names each operation together with the size that varies; a row makes a function and its
arguments for that size. ``python -m tests.property.text_sizes [WORD…]`` prints a table: characters
of LLVM IR at each of ``SIZES``, of the value and of each gradient, and marks what grows.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import nets
import nets.nn.functional as F
from nets.compiler.compile import Compilation, CompileOptions
from nets.ir.core import Function

Made = tuple[Callable[..., Any], list[Any]]
ROWS: dict[str, Callable[[int], Made]] = {}

SIZES = (8, 16, 32)
LATER = (64, 128)
MOST = 1.6
"""How many times the text may be as long for twice the size."""

BY_SIZE = (
    *("matmul", "matrix", "linear", "einsum", "outer", "broadcast", "broadcast_to", "scan width"),
    *("columns", "repeat rows", "tile", "argmax", "stencil of planes", "transpose"),
    "permute_dims",
)
"""What has other code for small sizes: kernels for matrices of a few vectors, columns of up to 16
rows in one loop body, all lanes of the reduction tree at once, no loop where there is one vector
and a rest. From 64 on it has one."""


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def row(name: str, make: Callable[[int], Made]) -> None:
    ROWS[name] = make


def over(
    name: str, function: Callable[..., Any], *shapes: Callable[[int], tuple[int, ...]]
) -> None:
    """A row whose function does not depend on the size."""
    row(name, lambda n: (function, [zeros(*shape(n)) for shape in shapes]))


# ------------------------------------------------------------------------- convolutions


def convolution(
    *,
    image: int,
    kernel: int,
    channels: int = 2,
    out: int = 3,
    batch: int = 2,
    space: int = 2,
    transposed: bool = False,
    groups: int = 1,
    **options: Any,
) -> Made:
    """A convolution over ``space`` axes; ``stride``, ``padding`` and ``dilation`` are options."""
    call = nets.conv_transpose if transposed else nets.conv
    x = zeros(batch, channels, *[image] * space)
    if transposed:
        w = zeros(channels, out // groups, *[kernel] * space)
    else:
        w = zeros(out, channels // groups, *[kernel] * space)
    return lambda x, w: call(x, w, groups=groups, **options), [x, w]


LARGE = 170
"""An image in which every kernel, step and dilation has room."""

CONVOLUTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "image": lambda n: {"image": n, "kernel": 3, "padding": 1},
    "image by stride 2": lambda n: {"image": n, "kernel": 3, "padding": 1, "stride": 2},
    "kernel": lambda n: {"image": LARGE, "kernel": n},
    "kernel with padding": lambda n: {"image": LARGE, "kernel": n, "padding": n // 2},
    "stride": lambda n: {"image": 12 * n + 3, "kernel": 3, "stride": n},  # always 13 places
    "stride and kernel": lambda n: {"image": 13 * n, "kernel": n, "stride": n},
    "stride and larger kernel": lambda n: {"image": 14 * n, "kernel": 2 * n, "stride": n},
    "dilation": lambda n: {"image": LARGE, "kernel": 3, "dilation": n},
    "dilation and stride": lambda n: {"image": LARGE, "kernel": 3, "dilation": n, "stride": 3},
    "padding": lambda n: {"image": 5, "kernel": 3 * n, "padding": 2 * n},
    "image and kernel": lambda n: {"image": n, "kernel": n},
    "channels": lambda n: {"image": 12, "kernel": 3, "channels": n},
    "features": lambda n: {"image": 12, "kernel": 3, "out": n},
    "batch": lambda n: {"image": 12, "kernel": 3, "batch": n},
    "groups": lambda n: {"image": 12, "kernel": 3, "channels": n, "out": n, "groups": n},
    "groups by kernel": lambda n: {**_groups(4), "kernel": n},
    "groups by stride and kernel": lambda n: {**_groups(4), "kernel": n, "stride": n},
}
TRANSPOSED = ("image", "kernel", "stride", "stride and kernel", "features")
"""Their gradients are what gradients of convolutions are, with the operands in other places."""


def _groups(n: int) -> dict[str, Any]:
    return {"image": LARGE, "channels": n, "out": n, "groups": n}


for space, (size, options) in itertools.product((1, 2), CONVOLUTIONS.items()):
    row(
        f"conv{space}d {size}",
        lambda n, space=space, options=options: convolution(space=space, **options(n)),
    )
    if size in TRANSPOSED:
        row(
            f"conv_transpose{space}d {size}",
            lambda n, space=space, options=options: convolution(
                space=space, transposed=True, **{**options(n), "image": min(20, n)}
            ),
        )


# -------------------------------------------------------------------------------- pools


def pool(call: Callable[..., Any], space: int, image: int, *options: Any, **more: Any) -> Made:
    return lambda x: call(x, *options, **more), [zeros(2, 3, *[image] * space)]


POOLS: dict[str, Callable[[int], tuple[int, ...]]] = {
    "image": lambda n: (n, 2),
    "image, windows over windows": lambda n: (n, 3, 1, 1),
    "kernel and stride": lambda n: (LARGE, n),
    "kernel": lambda n: (LARGE, n, 1),
    "kernel with padding": lambda n: (LARGE, n, 1, n // 2),
    "stride": lambda n: (LARGE, 2, n),
    "stride and larger kernel": lambda n: (LARGE, 2 * n, n),
    "image and kernel": lambda n: (n, n),
}
"""Image, kernel, stride and padding."""

for calls in ((F.max_pool1d, F.max_pool2d), (F.avg_pool1d, F.avg_pool2d)):
    for (space, call), (size, given) in itertools.product(enumerate(calls, 1), POOLS.items()):
        row(
            f"{call.__name__} {size}",
            lambda n, call=call, space=space, given=given: pool(call, space, *given(n)),
        )
row("max_pool2d dilation", lambda n: pool(nets.max_pool, 2, LARGE, 3, 1, 0, n))

# ------------------------------------------------------------- shapes, reductions, the rest

over("add", lambda x, y: x + y, lambda n: (n, 3), lambda n: (n, 3))
over("exp", nets.exp, lambda n: (3, n))
over("sum rows", lambda x: x.sum(1), lambda n: (5, n))
over("sum columns", lambda x: x.sum(0), lambda n: (n, 5))
over("sum all", lambda x: x.sum(), lambda n: (n, n))
over("sum across", lambda x: x.sum((0, 2)), lambda n: (n, 5, n))
over("max rows", lambda x: x.max(1), lambda n: (5, n))
over("max columns", lambda x: x.max(0), lambda n: (n, 5))
over("prod rows", lambda x: x.prod(1), lambda n: (5, n))
over("prod columns", lambda x: x.prod(0), lambda n: (n, 5))
over("argmax", lambda x: nets.argmax(x, axis=1), lambda n: (5, n))
over("mean", lambda x: x.mean(1), lambda n: (5, n))
over("var", lambda x: nets.var(x, axis=1), lambda n: (5, n))
over("std columns", lambda x: nets.std(x, axis=0), lambda n: (n, 5))
over("softmax", lambda x: nets.softmax(x, axis=1), lambda n: (5, n))
over("softmax of columns", lambda x: nets.softmax(x, axis=0), lambda n: (n, 5))
over("logsumexp", lambda x: nets.logsumexp(x, axis=1), lambda n: (5, n))
over("log_softmax", lambda x: nets.log_softmax(x, axis=1), lambda n: (5, n))
over("cumsum", lambda x: nets.cumsum(x, axis=0), lambda n: (n, 5))
over("cumsum of rows", lambda x: nets.cumsum(x, axis=1), lambda n: (5, n))
over("layer_norm", lambda x: F.layer_norm(x, x.shape[1:]), lambda n: (5, n))
over("rms_norm", lambda x: F.rms_norm(x, x.shape[1:]), lambda n: (5, n))
over("group_norm channels", lambda x: F.group_norm(x, 2), lambda n: (3, 2 * n, 5))
over("group_norm space", lambda x: F.group_norm(x, 2), lambda n: (3, 4, n))
row("group_norm groups", lambda n: (lambda x: F.group_norm(x, n), [zeros(3, 2 * n, 5)]))
over(
    "batch_norm",
    lambda x: F.batch_norm(x, None, None, training=True),
    lambda n: (4, n, 5),
)
over(
    "batch_norm space",
    lambda x: F.batch_norm(x, None, None, training=True),
    lambda n: (4, 3, n, n),
)
over("reshape", lambda x: x.reshape((-1,)) * 2, lambda n: (n, 3))
over("transpose", lambda x: x.T * 2, lambda n: (n, 2 * n))
over("permute_dims", lambda x: nets.permute_dims(x, (2, 0, 1)), lambda n: (n, 3, n))
over("flip", lambda x: nets.flip(x, axis=0), lambda n: (n, 3))
over("flip rows", lambda x: nets.flip(x, axis=1), lambda n: (3, n))
over("broadcast", lambda x, y: x[:, None] * y[None], lambda n: (n,), lambda n: (n,))
row("broadcast_to", lambda n: (lambda x: nets.broadcast_to(x, (n, 5)), [zeros(5)]))
row("broadcast_to columns", lambda n: (lambda x: nets.broadcast_to(x, (5, n)), [zeros(5, 1)]))
row("repeat", lambda n: (lambda x: nets.repeat(x, n), [zeros(5)]))
row("repeat rows", lambda n: (lambda x: nets.repeat(x, n, axis=0), [zeros(5, 3)]))
row("repeat columns", lambda n: (lambda x: nets.repeat(x, n, axis=1), [zeros(5, 3)]))
over("repeat axis", lambda x: nets.repeat(x, 3, axis=0), lambda n: (n, 3))
over("repeat 2", lambda x: nets.repeat(x, 2), lambda n: (n,))
row("repeat twice", lambda n: (lambda x: nets.repeat(nets.repeat(x, n, 1), n, 2), [zeros(2, 5, 5)]))
row("tile", lambda n: (lambda x: nets.tile(x, n), [zeros(5)]))
row("tile both", lambda n: (lambda x: nets.tile(x, (n, n)), [zeros(3, 5)]))
over("tile axis", lambda x: nets.tile(x, (2, 3)), lambda n: (n, n))
row("roll shift", lambda n: (lambda x: nets.roll(x, n // 2, 0), [zeros(LARGE, 3)]))
row("roll rows", lambda n: (lambda x: nets.roll(x, n // 2, 1), [zeros(3, LARGE)]))
over("roll axis", lambda x: nets.roll(x, 3, 1), lambda n: (3, n))
row("pad width", lambda n: (lambda x: nets.pad(x, n), [zeros(5, 3)]))
over("pad axis", lambda x: nets.pad(x, 2), lambda n: (n, n))
row("slice step", lambda n: (lambda x: x[:, ::n] * 2, [zeros(5, LARGE)]))
row("slice rows step", lambda n: (lambda x: x[::n] * 2, [zeros(LARGE, 5)]))
row("slice backwards", lambda n: (lambda x: x[:, ::-n] * 2, [zeros(5, LARGE)]))
row("slice start", lambda n: (lambda x: x[:, n:] * 2, [zeros(5, LARGE)]))
over("slice axis", lambda x: x[:, 1::2] * 2, lambda n: (5, n))
row("slice assigned", lambda n: (lambda x: _filled(x, n), [zeros(5, LARGE)]))
over("concatenate", lambda x, y: nets.concatenate([x, y, x]), lambda n: (n, 3), lambda n: (5, 3))
over(
    "concatenate rows", lambda x, y: nets.concatenate([x, y], 1), lambda n: (3, n), lambda n: (3, 5)
)
over("stack", lambda x, y: nets.stack([x, y]), lambda n: (n, 3), lambda n: (n, 3))
over("stack last", lambda x, y: nets.stack([x, y], -1), lambda n: (n, 3), lambda n: (n, 3))
over("split", lambda x: nets.split(x, 2)[0] * 2, lambda n: (2 * n, 3))
over("matmul m", lambda x, y: x @ y, lambda n: (n, 5), lambda n: (5, 7))
over("matmul k", lambda x, y: x @ y, lambda n: (5, n), lambda n: (n, 7))
over("matmul n", lambda x, y: x @ y, lambda n: (5, 7), lambda n: (7, n))
over("matmul", lambda x, y: x @ y, lambda n: (n, n), lambda n: (n, n))
over("matmul stack", lambda x, y: x @ y, lambda n: (n, 5, 5), lambda n: (n, 5, 5))
over("matmul of stacks", lambda x, y: x @ y, lambda n: (3, n, n), lambda n: (3, n, n))
over("matrix and vector", lambda x, y: x @ y, lambda n: (n, n), lambda n: (n,))
over("dot", lambda x, y: x @ y, lambda n: (n,), lambda n: (n,))
over("outer", nets.outer, lambda n: (n,), lambda n: (n,))
over(
    "linear", lambda x, w, b: F.linear(x, w, b), lambda n: (4, n), lambda n: (n, n), lambda n: (n,)
)
over("einsum", lambda x, y: nets.einsum("ij,kj->ik", x, y), lambda n: (n, n), lambda n: (n, n))
over(
    "einsum batches",
    lambda x, y: nets.einsum("bij,bjk->bik", x, y),
    lambda n: (n, 3, n),
    lambda n: (n, n, 3),
)
over("einsum diagonal", lambda x: nets.einsum("ii->i", x), lambda n: (n, n))
over("tensordot", lambda x, y: nets.tensordot(x, y, 2), lambda n: (3, n, n), lambda n: (n, n, 3))
over("tril", nets.tril, lambda n: (n, n))
over("take", lambda x: nets.take(x, np.array([0, 2, 1]), axis=0), lambda n: (n, 3))
row("take indices", lambda n: (lambda x: nets.take(x, np.arange(n) % 5, axis=0), [zeros(5, 3)]))
row(
    "gather",
    lambda n: (lambda x, i: nets.take(x, i, axis=0), [zeros(5, 3), zeros(n, dtype="int64")]),
)
row(
    "take_along_axis",
    lambda n: (
        lambda x, i: nets.take_along_axis(x, i, axis=1),
        [zeros(5, n), zeros(5, n, dtype="int64")],
    ),
)
row("one_hot", lambda n: (lambda i: nets.one_hot(i, n) * 2.0, [zeros(5, dtype="int64")]))
row(
    "embedding",
    lambda n: (lambda i, w: F.embedding(i, w), [zeros(n, dtype="int64"), zeros(2 * n, 3)]),
)
row(
    "cross_entropy",
    lambda n: (lambda x, t: F.cross_entropy(x, t), [zeros(4, n), zeros(4, dtype="int64")]),
)
over("where", lambda x, y: nets.where(x > 0, x, y), lambda n: (n, 3), lambda n: (n, 3))
row("arange", lambda n: (lambda x: x + nets.arange(n), [zeros(n)]))
row("eye", lambda n: (lambda x: x + nets.eye(n), [zeros(n, n)]))
row("linspace", lambda n: (lambda x: x + nets.linspace(0, 1, n), [zeros(n)]))
over(
    "dynamic_slice",
    lambda x, y: nets.dynamic_slice(x, (y.sum().astype("int64"), 0), (3, 2)),
    lambda n: (n, 3),
    lambda n: (2,),
)
over(
    "dynamic_update_slice",
    lambda x, y: nets.dynamic_update_slice(x, y, (x.sum().astype("int64"), 0)),
    lambda n: (2 * n, 3),
    lambda n: (n, 3),
)
over("scan", lambda x, w: nets.scan(_step(w), x[0], x), lambda n: (n, 4), lambda n: (4, 4))
over("scan width", lambda x, w: nets.scan(_step(w), x[0], x), lambda n: (5, n), lambda n: (n, n))
over("map", lambda x: nets.map(lambda r: nets.exp(r).sum(), x), lambda n: (n, 4))
row("fori_loop", lambda n: (lambda x: nets.fori_loop(0, n, lambda i, v: v * x + i, x), [zeros(4)]))
over("stencil", lambda x: x[:-2] + x[1:-1] * 2 + x[2:], lambda n: (n,))
over("stencil of planes", lambda x: _stencil(x), lambda n: (n, n))
over(
    "attention",
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
    *[lambda n: (2, 3, n, 8)] * 3,
)
over(
    "attention width",
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
    *[lambda n: (2, 3, 5, n)] * 3,
)
over(
    "attention causal",
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    *[lambda n: (2, 3, n, 8)] * 3,
)


def _filled(x: Any, n: int) -> Any:
    y = x * 1
    y[:, ::n] = 0.0
    return y


def _step(w: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        new = nets.tanh(carry @ w + x)
        return new, new.sum()

    return step


def _stencil(x: Any) -> Any:
    y = nets.pad(x, 1)
    return y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:] - 4 * x


# ------------------------------------------------------------------------------ measuring


def weighted(result: Any, weights: list[Any]) -> Any:
    parts = result if isinstance(result, (tuple, list)) else [result]
    return sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True))


def functions(name: str, n: int) -> dict[str, Function]:
    """The value, and the gradient by each float argument, in the tensor dialect."""
    function, arguments = ROWS[name](n)
    found = {"value": nets.trace(function).lower(*arguments).function}
    types = [value.type for value in found["value"].returned]
    if not all(type.dtype.is_float for type in types):
        return found
    weights = [np.zeros(type.static_shape, type.dtype.numpy) for type in types]
    for i in (i for i, x in enumerate(arguments) if x.dtype.kind == "f"):
        slope = nets.grad(lambda weights, *a: weighted(function(*a), weights), argnums=1 + i)
        found[f"gradient {i}"] = nets.trace(slope).lower(weights, *arguments).function
    return found


def text_sizes(name: str, n: int, cpu: str = "") -> dict[str, int]:
    """Characters of LLVM IR of each of ``functions``."""
    return {part: _text(function, cpu) for part, function in functions(name, n).items()}


def _text(function: Function, cpu: str) -> int:
    return len(Compilation(function, CompileOptions(threads=2, cpu=cpu)).llvm())


def sizes_of(name: str) -> tuple[int, ...]:
    """The sizes from which on the code of an operation is to stay as long as it is."""
    return LATER if any(f" {word} " in f" {name} " for word in BY_SIZE) else SIZES


def growth(name: str, cpu: str = "") -> dict[str, tuple[float, list[int]]]:
    """Of the value and each gradient: how many times longer the text of a size is than the longest
    of smaller ones, at most; and all lengths."""
    sizes = sizes_of(name)
    found = [text_sizes(name, n, cpu) for n in (sizes[0], sizes[-1])]
    if any(found[-1][part] > MOST * size for part, size in found[0].items()):  # by steps, or at all
        found[1:1] = [text_sizes(name, n, cpu) for n in sizes[1:-1]]
    lengths = {part: [sizes[part] for sizes in found] for part in found[0]}
    return {part: (_most(sizes), sizes) for part, sizes in lengths.items()}


def _most(sizes: list[int]) -> float:
    return max(size / max(sizes[:i]) for i, size in enumerate(sizes) if i)


def main() -> None:
    words = sys.argv[1:]
    for name in ROWS:
        if all(word in name for word in words):
            for part, (times, sizes) in growth(name).items():
                mark = "  GROWS" if times > MOST else ""
                numbers = " ".join(f"{size:9,}" for size in sizes)
                print(f"{name:36} {part:11} {numbers}  {times:.2f} ×{mark}", flush=True)


if __name__ == "__main__":
    main()
