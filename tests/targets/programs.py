"""Programs whose results must have the same bits on every target, with what they are called with.

Together they call all that is told apart by targets: every function of the math library, on any
bits; roundings and casts; products, convolutions, reductions, scans, gradients, random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nets
from nets import nn, optim
from nets.ops.definition.registry import Array

Tensor = Any


@dataclass(frozen=True)
class Portable:
    """A function and the arrays that it is called with."""

    function: Callable[..., Any]
    arrays: tuple[Array, ...]

    def lowered(self) -> Any:
        return nets.trace(self.function).lower(*self.arrays)

    def results(self, numerics: str = "strict") -> list[Array]:
        """What it gives here."""
        found = nets.trace(numerics=numerics)(self.function)(*self.arrays)
        return [tensor.numpy() for tensor in (found if isinstance(found, list) else [found])]


rng = np.random.default_rng(5)


def normal(*shape: int, dtype: str = "float32") -> Array:
    return rng.normal(size=shape).astype(dtype)


def any_bits(size: int, dtype: str) -> Array:
    """Numbers of any exponent, NaN, infinities, subnormals and zeros among them, and usual ones."""
    kind = np.dtype(dtype)
    bits = rng.integers(0, 1 << (8 * kind.itemsize), size, f"u{kind.itemsize}").view(kind)
    least = np.finfo(kind).smallest_subnormal
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, least, -least, 1.0, 0.5, -1.5, 2.5, 1e22]
    bits[: len(special)] = special
    bits[len(special) :: 2] = rng.normal(size=bits[len(special) :: 2].size) * 4
    return bits


def curves(x: Tensor, y: Tensor) -> Tensor:
    once = (nets.exp, nets.expm1, nets.log, nets.log1p, nets.sin, nets.cos, nets.tanh)
    once += (nets.sigmoid, nets.erf, nets.rsqrt)
    return [*(function(x) for function in once), nets.abs(x) ** y, x % y]


def roundings(x: Tensor) -> Tensor:
    found = [nets.sqrt(x), nets.floor(x), nets.ceil(x), nets.round(x), nets.trunc(x)]
    return [*found, nets.sign(x), nets.abs(x), x // 3, nets.maximum(x, 1), x / 3]


def casts(x: Tensor, y: Tensor) -> Tensor:
    words = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
    whole = [x.astype(word) for word in words]
    floats = [y.astype(word) for word in ("float32", "float64", "int32", "int8")]
    return [*whole, *floats, x.astype("float64").astype("float32"), (y * y).astype("float64")]


def integers(x: Tensor, y: Tensor) -> Tensor:
    found = [x + y, x * y, x // y, x % y, x // 7, x % 8, nets.abs(x), -x, x >> 3, x << 2]
    return [*found, x & y, x | y, x ^ y, nets.maximum(x, y), x.sum(), (x < y).sum()]


def products(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    small = [a @ b, b.T @ a.T, a[0] @ b, (a @ b)[:, 0], a.T @ a, b @ b.T]
    return [*small, c @ d, nets.swapaxes(d, 1, 2) @ nets.swapaxes(c, 1, 2)]


def convolved(x: Tensor, w: Tensor) -> Tensor:
    return nn.functional.conv2d(x, w, padding=1, stride=2)


def convolution(x: Tensor, w: Tensor) -> Tensor:
    y = nn.functional.max_pool2d(convolved(x, w), 2)
    dx, dw = nets.grad(lambda x, w: (convolved(x, w) ** 2).sum(), argnums=(0, 1))(x, w)
    return [y, dx, dw]


def reductions(x: Tensor) -> Tensor:
    found = [x.sum(), x.sum(axis=0), x.mean(axis=1), x.max(axis=0), x.min(), x[0].prod()]
    found += [nets.argmax(x, axis=1), nets.logsumexp(x, axis=1), x.std(axis=0)]
    return [*found, nets.softmax(x, axis=1), nets.cumsum(x, axis=1)]


def recurrence(x: Tensor) -> Tensor:
    def step(h: Tensor, row: Tensor) -> Tensor:
        h = nets.tanh(0.5 * h + row)
        return h, h.sum()

    last, sums = nets.scan(step, nets.zeros(x.shape[1], x.dtype), x)
    root = nets.while_loop(
        lambda v: nets.abs(v * v - 2) > 1e-6, lambda v: (v + 2 / v) / 2, x[0, 0] + 9
    )
    return [last, sums, root]


def chosen(x: Tensor, places: Tensor) -> Tensor:
    y = x[places]
    return [y, nets.where(y > 0, y, -y), nets.flip(x, axis=0), nets.concat([x, y], axis=0)[::2]]


def network(w: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
    def loss(w: Tensor, v: Tensor) -> Tensor:
        logits = nets.tanh(x @ w) @ v
        return -(nets.log_softmax(logits, axis=-1) * y).sum(axis=-1).mean()

    value, (dw, dv) = nets.value_and_grad(loss, argnums=(0, 1))(w, v)
    return [value, dw, dv]


def _programs() -> dict[str, Portable]:
    whole = rng.integers(-100, 100, 37)
    other = np.where(whole[::-1] == 0, 3, whole[::-1])
    found = {
        "casts": Portable(casts, (any_bits(53, "float32"), whole)),
        "casts64": Portable(casts, (any_bits(53, "float64"), whole << 40)),
        "int64s": Portable(integers, (whole * 10**15, other * 10**6)),
        "int32s": Portable(integers, (whole.astype("int32") << 20, other.astype("int32"))),
        "int8s": Portable(integers, (whole.astype("int8"), other.astype("int8"))),
        "chosen": Portable(chosen, (normal(6, 5), np.array([5, 0, 3]))),
    }
    for word, dtype in (("", "float32"), ("64", "float64")):
        found |= {
            f"curves{word}": Portable(
                curves, (any_bits(77, dtype), any_bits(77, dtype)[::-1].copy())
            ),
            f"roundings{word}": Portable(roundings, (any_bits(131, dtype),)),
            f"products{word}": Portable(
                products,
                tuple(
                    normal(*s, dtype=dtype) for s in ((7, 19), (19, 9), (2, 5, 401), (2, 401, 3))
                ),
            ),
            f"convolution{word}": Portable(
                convolution, (normal(2, 3, 9, 10, dtype=dtype), normal(5, 3, 3, 3, dtype=dtype))
            ),
            f"reductions{word}": Portable(reductions, (normal(5, 301, dtype=dtype),)),
            f"recurrence{word}": Portable(recurrence, (normal(9, 6, dtype=dtype),)),
        }
    labels = np.eye(4, dtype="float32")[[0, 3, 1, 2, 2, 0]]
    data = normal(6, 7), labels
    found["network"] = Portable(network, (normal(7, 8), normal(8, 4), *data))
    return found


PROGRAMS = _programs()
"""By name."""

FEW = ("casts", "curves", "products", "reductions64", "network")
"""Some of them, for machines whose code is nearly that of another one."""

STEPS = 3
"""How often a training step is taken."""

POINTS = normal(6, 4)
KINDS = np.array([0, 2, 1, 1, 0, 2])
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adam": lambda parameters: optim.Adam(parameters, lr=0.05),
    "sgd": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9),
}


class Training:
    """A network that learns. The one that Adam trains draws random numbers."""

    def __init__(self, name: str) -> None:
        nets.manual_seed(3)
        dropout = [nn.Dropout(0.3)] * (name == "adam")
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *dropout, nn.Linear(8, 3))
        optimizer = OPTIMIZERS[name](self.model.parameters())
        criterion = nn.CrossEntropyLoss()

        @nets.trace
        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = criterion(self.model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        self.step = step

    def lowered(self) -> Any:
        return self.step.lower(POINTS, KINDS)

    def losses(self) -> list[Array]:
        return [self.step(POINTS, KINDS).numpy() for _ in range(STEPS)]
