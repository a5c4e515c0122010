"""One program for all sizes: native code that a call tells sizes has the bits of the code that was
compiled for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nets
from nets.compiler.compile import Compilation, CompileOptions
from nets.errors import IndexOutOfBoundsError, ShapeError
from nets.ir.core import Function
from nets.ir.fixed_sizes import with_sizes
from nets.nn import functional as F

SIZES = (0, 1, 33)


def mlp(x: Any, w: Any, v: Any) -> Any:
    return nets.softmax(nets.relu(x @ w) @ v, axis=1)


def loss(w: Any, v: Any, x: Any, kind: Any) -> Any:
    picked = nets.take_along_axis(mlp(x, w, v), kind[:, None], axis=1)
    return -nets.log(picked).mean()


def step(w: Any, v: Any, x: Any, kind: Any) -> Any:
    value, slopes = nets.value_and_grad(loss, argnums=(0, 1))(w, v, x, kind)
    return value, [x - 0.1 * slope for x, slope in zip((w, v), slopes, strict=True)]


def recurrent(x: Any) -> Any:
    def follow(carry: Any, row: Any) -> Any:
        carry = nets.tanh(carry * 0.5 + row)
        return carry, carry.sum()

    return nets.scan(follow, nets.zeros(5, "f32"), x)


def attention(q: Any, k: Any, v: Any) -> Any:
    return nets.softmax(q @ nets.transpose(k, (0, 2, 1)), axis=2) @ v


PROGRAMS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "chain": (lambda x, y: nets.exp(x) * y + x, ["f32[n, 7]", "f32[7]"]),
    "line": (lambda x: nets.tanh(x) * x, ["f64[n]"]),
    "softmax": (lambda x: nets.softmax(x, axis=1), ["f32[n, 10]"]),
    "sums": (lambda x: (x.sum(axis=0), x.sum(axis=1), x.sum()), ["f32[n, 70]"]),
    "line sums": (lambda x: (x.sum(), (x * x).prod(), nets.exp(x - x.sum())), ["f32[n]"]),
    "inner axis": (lambda x: nets.exp(x) / nets.exp(x).sum(axis=1, keepdims=True), ["f32[5, n]"]),
    "sums of columns": (lambda x: (x.sum(axis=0), x - x.mean(axis=0)), ["f32[40, n]"]),
    "transposed": (lambda x: (nets.transpose(x) + 1, x.reshape(-1) * 2), ["f32[n, 33]"]),
    "pieces": (lambda x, y: nets.concatenate([x * 2, y], axis=0) + 1, ["f32[n, 6]", "f32[3, 6]"]),
    "rows of x": (lambda x, w: x @ w, ["f32[n, 784]", "f32[784, 30]"]),
    "columns of y": (lambda x, y: x @ y, ["f64[20, 300]", "f64[300, n]"]),
    "terms": (lambda x, y: nets.transpose(x) @ y, ["f32[n, 50]", "f32[n, 24]"]),
    "turned y": (lambda x, y: x @ nets.transpose(y), ["f32[30, 20]", "f32[n, 20]"]),
    "gram": (lambda x: x @ nets.transpose(x), ["f32[n, 20]"]),
    "stacks": (lambda x, y: x @ y, ["f32[n, 5, 7]", "f32[n, 7, 9]"]),
    "integers": (lambda x, w: x @ w, ["i32[n, 20]", "i32[20, 10]"]),
    "mlp": (mlp, ["f32[n, 40]", "f32[40, 24]", "f32[24, 10]"]),
    "training": (step, ["f32[40, 24]", "f32[24, 10]", "f32[n, 40]", "i64[n]"]),
    "conv": (
        nets.grad(lambda w, x: (F.max_pool2d(F.relu(F.conv2d(x, w)), 2) ** 2).sum()),
        ["f32[4, 2, 3, 3]", "f32[n, 2, 8, 8]"],
    ),
    "lanes of groups": (
        nets.grad(lambda w, x: (F.conv2d(x, w, groups=8) ** 2).sum()),
        ["f32[8, 1, 3, 3]", "f32[n, 8, 6, 6]"],
    ),
    "scan": (recurrent, ["f32[n, 5]"]),
    "scan back": (nets.grad(lambda x: (recurrent(x)[0] ** 2).sum()), ["f32[n, 5]"]),
    "gather": (lambda x, rows: x[rows], ["f32[50, 5]", "i64[n]"]),
    "scatter": (nets.grad(lambda x, rows: (x[rows] ** 2).sum()), ["f32[50, 5]", "i64[n]"]),
}

NEVER_EMPTY = {
    "attention": (attention, ["f32[4, n, 16]"] * 3),
    "window": (lambda x, at: nets.dynamic_slice(x, (at, 0), (2, 5)), ["f32[n, 5]", "i64[]"]),
    "window put in": (
        nets.grad(lambda y, x, at: (nets.dynamic_update_slice(x, y, (at, 0)) ** 2).sum()),
        ["f32[2, n]", "f32[7, n]", "i64[]"],
    ),
    "gather from n": (lambda x, rows: x[rows], ["f32[n, 5]", "i64[7]"]),
}
"""Of nothing there is no maximum, and no element to take."""


def lowered(make: Callable[..., Any], specs: list[str], **limits: int) -> Function:
    limits = {"lowest": 0, "highest": 4096, **limits}
    dim = nets.dim(limits["lowest"], limits["highest"])
    traced = nets.trace(make) if not hasattr(make, "lower") else make
    given = [nets.spec(text, n=dim) if "n" in text else nets.spec(text) for text in specs]
    return traced.lower(*given).function


def native(function: Function, threads: int) -> Any:
    return Compilation(function, CompileOptions(backend="llvm", threads=threads)).native


def arrays_for(function: Function) -> Iterator[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    for argument in function.arguments:
        type = argument.type
        if type.dtype.is_float:
            yield rng.uniform(-2, 2, type.static_shape).astype(type.dtype.numpy)
        else:
            yield rng.integers(0, 3, type.static_shape).astype(type.dtype.numpy)


def bits(array: np.ndarray[Any, Any]) -> bytes:
    """The bits of the elements, every NaN being the same: CPUs differ in the sign of theirs."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return array.tobytes()


def compare(function: Function, sizes: tuple[int, ...], threads: int) -> None:
    for_all = native(function, threads)
    for n in sizes:
        fixed = with_sizes(function, {"n": n})
        arrays = list(arrays_for(fixed))
        pairs = zip(for_all(arrays), native(fixed, threads)(arrays), strict=True)
        for found, expected in pairs:
            assert found.shape == expected.shape
            assert bits(found) == bits(expected), n


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.sampled(7)
def test_bits_are_those_of_fixed_sizes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_VERIFY", "2")
    compare(lowered(*PROGRAMS[name]), SIZES, threads=1)


@pytest.mark.parametrize("name", ["sums", "terms", "training"])
def test_threads_change_no_bit(name: str) -> None:
    compare(lowered(*PROGRAMS[name]), (0, 1000), threads=2)


@pytest.mark.parametrize("name", NEVER_EMPTY)
def test_bits_of_what_takes_a_maximum(name: str) -> None:
    compare(lowered(*NEVER_EMPTY[name], lowest=1), (3, 15), threads=2)


@pytest.mark.parametrize(
    "make",
    [lambda x, rows: x[rows] * 2, nets.grad(lambda x, rows: (x[rows] ** 2).sum())],
    ids=["gather", "scatter"],
)
def test_nothing_is_read_where_nothing_is(make: Callable[..., Any]) -> None:
    for_all = native(lowered(make, ["f32[n, 5]", "i64[7]"]), 1)
    with pytest.raises(IndexOutOfBoundsError):
        for_all([np.ones((0, 5), "f4"), np.zeros(7, "i8")])


def test_other_sizes_are_refused() -> None:
    for_all = native(lowered(lambda x, y: x + y, ["f32[n]", "f32[n]"], highest=8), 1)
    (found,) = for_all([np.ones(8, "f4"), np.ones(8, "f4")])
    assert found.shape == (8,)
    for sizes, words in (((9, 9), "n is 9"), ((2, 3), "n is 2")):
        with pytest.raises(ShapeError, match=words):
            for_all([np.ones(size, "f4") for size in sizes])
