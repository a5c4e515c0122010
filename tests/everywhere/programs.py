"""The programs: what users write, on numbers that are hard for their operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import nets
from nets import nn, optim
from nets.ops.definition.registry import Array
from tests.backend.corpus import attention, layer_norm, perceptron

Tensor = Any


@dataclass(frozen=True)
class Program:
    """A function and its arguments; ``calls`` is how often it is called, one after the other."""

    function: Callable[..., Any]
    arguments: tuple[Array, ...]
    calls: int = 1

    @functools.cached_property
    def lowered(self) -> Any:
        """As it is to be exported, before any call."""
        traced = self.function if hasattr(self.function, "lower") else nets.trace(self.function)
        return traced.lower(*self.arguments)


def programs() -> dict[str, Program]:
    """All of them anew, by names that C can have."""
    draw = np.random.default_rng(3)

    def normal(*shape: int, dtype: str = "float32") -> Array:
        return draw.standard_normal(shape).astype(dtype)

    found: dict[str, Program] = {}
    for dtype in ("float32", "float64"):
        x = hard_numbers(dtype)
        found[f"mathematics_{dtype}"] = Program(mathematics, (x,))
        found[f"powers_{dtype}"] = Program(powers, (x, np.roll(x, 7)))
        found[f"arithmetic_{dtype}"] = Program(arithmetic, (x, np.roll(x, 5)))
        a, b, c = normal(7, 401), normal(401, 13), normal(2, 5, 13)
        found[f"products_{dtype}"] = Program(products, tuple(x.astype(dtype) for x in (a, b, c)))
        image, kernel = normal(2, 3, 9, 11), normal(4, 3, 3, 3)
        found[f"convolution_{dtype}"] = Program(
            nets.value_and_grad(convolution, argnums=(0, 1)),
            (image.astype(dtype), kernel.astype(dtype)),
        )
        found[f"reductions_{dtype}"] = Program(reductions, (normal(33, 301).astype(dtype),))
    found["integers"] = Program(integers, (draw.integers(-99, 99, 61), draw.integers(-9, 9, 61)))
    found["small_integers"] = Program(
        small_integers,
        (draw.integers(0, 256, 61).astype("u1"), draw.integers(-128, 128, 61).astype("i1")),
    )
    found["indexing"] = Program(indexing, (normal(17, 9), draw.integers(0, 17, 23)))
    found["loops"] = Program(loops, (normal(21), normal(6, 6) * 0.3))
    found["recurrence"] = Program(
        nets.value_and_grad(recurrence, argnums=(0, 1)), (normal(8, 8) * 0.4, normal(12, 8))
    )
    found["random_numbers"] = Program(random_numbers, (np.float32([0.5]),), calls=3)
    found["layer_norm"] = Program(layer_norm, (normal(5, 67), normal(67), normal(67)))
    found["attention"] = Program(
        nets.value_and_grad(attention, argnums=(0, 1)), (normal(2, 9, 27), normal(9, 5))
    )
    found["perceptron"] = Program(
        nets.value_and_grad(perceptron, argnums=(0, 1)),
        (normal(17, 33), normal(33, 5), normal(19, 17), normal(19, 5)),
    )
    found["adam"] = Program(training(), (normal(16, 9), draw.integers(0, 4, 16)), calls=3)
    found["systems"] = Program(
        nets.value_and_grad(systems, argnums=(0, 1)),
        (normal(11, 5, 5, dtype="float64"), normal(20, 20)),
    )
    return found


def hard_numbers(dtype: str) -> Array:
    """Ends of the format, neighbours of round numbers, long arguments of sine, plain numbers."""
    limits, draw = np.finfo(dtype), np.random.default_rng(1)
    ends = [0.0, np.inf, limits.max, limits.tiny, limits.smallest_subnormal, limits.tiny * 0.375]
    marks = [0.5, 1.0, 1.5, 2.0, 88.7, 104.0, 709.7, 745.1, 1e5, 1e9, 1e22, 1.5707963267948966]
    with np.errstate(over="ignore"):
        some = np.array([*ends, *marks]).astype(dtype)
        more = np.nextafter(some, np.array(1, dtype))
        drawn = [draw.uniform(-w, w, 40).astype(dtype) for w in (1, 8, 90, 1e4)]
    positive = np.concatenate([some, more])
    return np.concatenate([positive, -positive, np.array([np.nan], dtype), *drawn])


def mathematics(x: Tensor) -> Tensor:
    curves = (nets.exp, nets.expm1, nets.log, nets.log1p, nets.sin, nets.cos, nets.tanh)
    return [f(x) for f in (*curves, nets.sigmoid, nets.erf, nets.sqrt, nets.rsqrt)]


def powers(x: Tensor, y: Tensor) -> Tensor:
    return x**y, nets.abs(x) ** y, nets.remainder(x, y), nets.floor_divide(x, y)


def arithmetic(x: Tensor, y: Tensor) -> Tensor:
    exact = x + y, x - y, x * y, x / y, x * y + x, nets.maximum(x, y), nets.minimum(x, y)
    rounded = nets.floor(x), nets.ceil(y), nets.round(x), nets.trunc(y), nets.sign(x)
    return [
        *exact,
        *rounded,
        x < y,
        nets.where(x > y, x, y),
        x.astype("int32"),
        nets.clip(x, -1, 1),
    ]


def products(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    rows = a @ b, a[0] @ b, b.T @ a[1], (a @ b).T @ (a @ b)
    return [*rows, c @ nets.permute_dims(c, (0, 2, 1)), nets.einsum("bij,kj->bki", c, c[0])]


def convolution(image: Tensor, kernel: Tensor) -> Tensor:
    found = nn.functional.conv2d(image, kernel, padding=1)
    return (nn.functional.max_pool2d(found, 2) ** 2).mean() + found.sum()


def reductions(x: Tensor) -> Tensor:
    sums = x.sum(), x.sum(axis=0), x.sum(axis=1), x.mean(), nets.std(x, axis=1), nets.prod(x[0])
    ends = x.max(axis=0), x.min(), nets.argmax(x, axis=1), nets.argmin(x)
    return [*sums, *ends, nets.cumsum(x[:, 0]), nets.logsumexp(x, axis=1), nets.softmax(x, axis=0)]


def integers(x: Tensor, y: Tensor) -> Tensor:
    whole = x + y, x * y, x // y, x % y, nets.maximum(x, y), x & y, x ^ y, x << 3, x >> 2
    return [*whole, x.sum(), nets.prod(y), x @ y, (x == y), x.astype("float32") / 3]


def small_integers(x: Tensor, y: Tensor) -> Tensor:
    return x + x, x * 3, x // 7, y * y, y // 5, y % 5, y >> 1, x.sum(), x.astype("float32") * 0.1


def indexing(x: Tensor, places: Tensor) -> Tensor:
    taken = x[places], x[::2, 1:], nets.take_along_axis(x, x.astype("int64") % 9, axis=1)
    window = nets.dynamic_slice(x, (places[0], 2), (3, 4))
    spread = nets.grad(lambda x: (x[places] ** 2).sum())(x)
    return [*taken, window, spread, nets.roll(x, 3, axis=0), nets.pad(x, ((1, 2), (0, 3)))]


def loops(x: Tensor, w: Tensor) -> Tensor:
    total, steps = nets.scan(lambda c, v: (nets.tanh(c * 0.5 + v), c), x[0], x)
    power = nets.fori_loop(0, 7, lambda i, m: m @ w + i * 0.125, w)
    root = nets.while_loop(lambda v: (v * v - 2 > 1e-6).any(), lambda v: (v + 2 / v) / 2, x * 0 + 2)
    chosen = nets.cond(x[0] > 0, lambda v: v + 1, lambda v: v * 2, x)
    return total, steps, power, root, chosen, nets.map(lambda v: nets.exp(v).sum(), w)


def recurrence(w: Tensor, xs: Tensor) -> Tensor:
    last, _ = nets.scan(lambda h, x: (nets.tanh(h @ w + x), h), xs[0] * 0, xs)
    return (last**2).sum()


def random_numbers(scale: Tensor) -> Tensor:
    key = nets.random.key(7)
    drawn = nets.random.normal((31,)), nets.random.uniform((9,)), nets.random.randint(0, 50, (8,))
    return [drawn[0] * scale, *drawn[1:], nets.random.normal((5,), key=key)]


def systems(a: Tensor, b: Tensor) -> Tensor:
    """Factors and solutions: of small matrices side by side, and of a larger one."""
    square = a @ nets.matrix_transpose(a) + nets.eye(5)
    small = nets.linalg.solve(a, square) + nets.linalg.cholesky(square)
    large = nets.linalg.inv(b) @ nets.linalg.lu(b).U
    return small.sum() + nets.linalg.det(a).sum() + large.sum()


def training() -> Callable[..., Any]:
    """A step of Adam that gives the loss and what it has learnt."""
    nets.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 4))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    criterion = nn.CrossEntropyLoss()

    @nets.trace
    def step(x: Tensor, kind: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), kind)
        loss.backward()
        optimizer.step()
        return loss, [parameter * 1 for parameter in model.parameters()]

    return step


# --------------------------------------------------------------------------------- hashes

_START, _FACTOR, _WORD = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def hash_of(results: Sequence[Array]) -> int:
    """FNV-1a of the bytes of all results, of which every NaN is the same."""
    total = _START
    for result in results:
        for byte in _plain(np.asarray(result)).tobytes():
            total = (total ^ byte) * _FACTOR & _WORD
    return total


def _plain(x: Array) -> Array:
    """With a NaN of no sign and no payload in the place of each."""
    return np.where(np.isnan(x), np.array(np.nan, x.dtype), x) if x.dtype.kind == "f" else x


def leaves(nest: Any) -> list[Array]:
    """The arrays of a nest of results, in order."""
    if isinstance(nest, (list, tuple)):
        return [leaf for part in nest for leaf in leaves(part)]
    return [nest if isinstance(nest, np.ndarray) else np.asarray(nest.numpy())]


def hashes_in_process(wanted: Mapping[str, Program]) -> dict[str, int]:
    """Of each program by the code of this process, for NETS_CPU or this CPU."""
    found = {}
    for name, program in wanted.items():
        call = program.lowered.compile(threads=1)
        results: list[Array] = []
        for _ in range(program.calls):
            results += leaves(call(*program.arguments))
        found[name] = hash_of(results)
    return found
