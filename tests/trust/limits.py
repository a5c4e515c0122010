"""Programs at the limits of size: ``python -m tests.trust.limits``.

Long chains, deep nests, thousands of arguments, more than 2³¹ elements, shapes that no memory
holds. Each is right, or refused by an error of nets or MemoryError; what is to be linear in the
size of a program is timed at two sizes.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import nets
from nets.errors import NetsError

CHECKS: Final[list[Callable[[], str | None]]] = []


def check(function: Callable[[], str | None]) -> Callable[[], str | None]:
    CHECKS.append(function)
    return function


def seconds(work: Callable[[], Any]) -> float:
    """Of the CPU, for others may work on this machine."""
    start = time.process_time()
    work()
    return time.process_time() - start


def refused_or(work: Callable[[], Any], is_right: Callable[[Any], bool]) -> str:
    try:
        found = work()
    except (NetsError, MemoryError) as error:
        return type(error).__name__
    assert is_right(found)
    return "right"


@check
def eager_chain() -> str:
    """80,000 operations forward, backward and freed."""

    def work() -> None:
        x = nets.Tensor(np.ones(3), requires_grad=True)
        y = x
        for _ in range(80_000):
            y = -y
        y.sum().backward()
        assert x.grad is not None
        assert np.all(x.grad.numpy() == 1)

    taken = seconds(work)
    assert taken < 10
    return f"{taken:.1f} s"


@check
def diamonds() -> str:
    """A value used twice, 200 times over."""
    x = nets.Tensor(np.array(1.0), requires_grad=True)
    y = x
    for _ in range(200):
        y = (y + y) * 0.5
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 1
    traced = nets.trace(nets.grad(lambda x: _folded(x)))
    assert traced(np.array(1.0)).item() == 1
    return "200 deep"


def _folded(x: Any) -> Any:
    for _ in range(200):
        x = (x + x) * 0.5
    return x


def _compiled(operations: int, step: Callable[[Any, int], Any]) -> float:
    def function(x: Any) -> Any:
        for i in range(operations // 3):
            x = step(x, i)
        return nets.sum(x)

    both = nets.trace(nets.value_and_grad(function))
    return seconds(lambda: both(np.linspace(0, 1, 64, dtype=np.float32)))


@check
def long_traces() -> str:
    """10,000 operations, value and gradient, linear: alike, and each with numbers of its own."""
    told = []
    for step in (
        lambda x, i: nets.sin(x) * 1.01 + 0.001,
        lambda x, i: (nets.sin(x), nets.tanh(x), nets.exp(-x))[i * i % 7 % 3] * (1 + i / 1e4) + i,
    ):
        # The shorter of two: whatever else the machine does can only make one longer.
        times = [(_compiled(5_000, step), _compiled(10_000, step)) for _ in range(2)]
        half, whole = (min(found) for found in zip(*times, strict=True))
        assert whole < 60
        assert whole / half <= 2.3
        told.append(f"{half:.1f} and {whole:.1f} s")
    return "; ".join(told)


@check
def many_arguments() -> str:
    """2,000 arguments and results."""
    arrays = [np.full(3, float(i)) for i in range(2_000)]
    traced = nets.trace(lambda xs: [x * 2 + i for i, x in enumerate(xs)])
    for found, array in zip(traced(arrays), arrays, strict=True):
        assert np.array_equal(found.numpy(), array * 2 + array[0])
    gradient = nets.grad(lambda xs: sum((x * x).sum() for x in xs))(arrays)
    assert all(np.array_equal(g.numpy(), 2 * x) for g, x in zip(gradient, arrays, strict=True))
    return "2,000"


@check
def deep_nests() -> str:
    """1,000 containers in each other, 1,000 functions calling each other, 1,000 branches."""
    nest: Any = np.array(2.0)
    for i in range(1_000):
        nest = [nest] if i % 2 else {"in": nest}

    def innermost(nest: Any) -> Any:
        while not hasattr(nest, "shape"):
            nest = nest[0] if isinstance(nest, list) else nest["in"]
        return nest * 3

    told = [refused_or(lambda: nets.trace(innermost)(nest), lambda y: y.item() == 6)]
    told.append(refused_or(lambda: innermost(nets.grad(innermost)(nest)), lambda y: y.item() == 9))

    function: Any = lambda x: x + 1  # noqa: E731
    for _ in range(1_000):
        function = nets.trace(lambda x, inner=function: inner(x))
    told.append(refused_or(lambda: function(np.array(1.0)), lambda y: y.item() == 2))

    branch: Any = lambda x: x * 2  # noqa: E731
    for _ in range(1_000):
        branch = lambda x, inner=branch: nets.cond(x.sum() > 0, inner, lambda y: y, x)  # noqa: E731
    told.append(refused_or(lambda: nets.trace(branch)(np.ones(2)), lambda y: y.numpy()[0] == 2))
    return ", ".join(told)


@check
def deep_texts() -> str:
    """1,000 regions in each other, as text."""
    inner = "func @f(%x: tensor<f32>) -> tensor<f32> {\n"
    head = "%{0} = fusion %x{1} (%x{0}: tensor<f32>) {{\n"
    for i in range(1_000):
        inner += head.format(i, "" if i == 0 else i - 1)
    return refused_or(lambda: nets.parse_ir(inner + "yield %x999 : tensor<f32>\n"), lambda _: False)


@check
def more_than_31_bits() -> str:
    """2³¹ + 64 elements, elementwise, summed and cut."""
    size = 2**31 + 64
    x = np.zeros(size, np.int8)
    x[-3:] = 1, 2, 3
    double = nets.trace(lambda x: x + x)(x).numpy()
    assert double[-3:].tolist() == [2, 4, 6]
    assert not double[:-3].any()
    del double
    assert nets.trace(lambda x: nets.max(x[2**31 :]))(x).item() == 3
    assert nets.trace(lambda x: nets.sum(x.astype(np.int64)))(x[-(2**20) :]).item() == 6
    return f"{size:,}"


@check
def absurd_shapes() -> str:
    """Shapes that no memory holds."""
    told = [
        refused_or(lambda: nets.zeros((2**40, 2**40)), lambda _: False),
        refused_or(lambda: nets.zeros((2**55,)).numpy(), lambda _: False),
        refused_or(lambda: nets.trace(lambda: nets.ones((2**55,)))().numpy(), lambda _: False),
        refused_or(lambda: nets.zeros((-1,)), lambda _: False),
    ]
    return ", ".join(told)


@check
def recursion_limit() -> str:
    limit = sys.getrecursionlimit()
    nets.trace(lambda x: nets.sin(x))(np.ones(2))
    assert sys.getrecursionlimit() == limit
    return f"untouched at {limit}"


def main() -> None:
    os.environ["NETS_CACHE"] = "0"  # what is timed is compiled
    wrong = []
    for function in CHECKS:
        print(f"{function.__name__}: ", end="", flush=True)
        try:
            print(function(), flush=True)
        except Exception:
            wrong.append(function.__name__)
            print(f"\n{traceback.format_exc(limit=-4)}", flush=True)
    print(f"{len(CHECKS)} limits; wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
