"""Loops and branches whose functions draw random numbers or change tensors from outside.

Traced, they draw what they draw eagerly, bit for bit, and leave the same state behind.
"""

from __future__ import annotations

import random as python_random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import random
from nets.errors import MutatedArgumentError

F = nets.nn.functional
OWN = random.Generator(11)
KEPT = nets.Tensor(np.zeros(3, "f4"))
STEPS = np.arange(4, dtype="f4")

Program = Callable[[nets.Tensor], Any]


def scan(x):
    def step(c, v):
        c = F.dropout(c, 0.5) + random.uniform(c.shape) * v
        return c, random.uniform((2,), key=OWN.next_key())

    return nets.scan(step, x, STEPS)


def reverse(x):
    return nets.scan(
        lambda c, v: (c + random.uniform(c.shape), random.uniform(())), x, STEPS, reverse=True
    )


def no_step(x):
    return nets.scan(lambda c, v: (c + random.uniform(c.shape), random.uniform(())), x, STEPS[:0])


def mapped(x):
    return nets.map(lambda row: F.dropout(row, 0.3), x)


def counted(x):
    return nets.fori_loop(0, 5, lambda i, c: c + F.dropout(x, 0.5), x)


def counted_by_a_tensor(x):
    count = nets.astype(x[0, 0] * 0 + 3, "int64")
    return nets.fori_loop(0, count, lambda i, c: c + F.dropout(x, 0.5), x)


def while_body(x):
    return nets.while_loop(lambda c: c.sum() < 40, lambda c: c + F.dropout(x + 1, 0.5), x)


def while_condition(x):
    return nets.while_loop(lambda c: random.uniform(()) < 0.8, lambda c: c + F.dropout(x, 0.5), x)


def branch(x):
    return nets.cond(
        random.uniform(()) < 0.5,
        lambda v: F.dropout(v, 0.5),
        lambda v: v + random.uniform(v.shape) + random.uniform(v.shape, key=OWN.next_key()),
        x,
    )


def seeded_branch(x):
    def left(v):
        nets.manual_seed(3)
        return F.dropout(v, 0.5)

    found = nets.cond(random.uniform(()) < 0.5, left, lambda v: v, x)
    return found + random.uniform(x.shape)


def seeded_by_the_step(x):
    def body(i, c):
        nets.manual_seed(i)
        return c + random.uniform(c.shape)

    return nets.fori_loop(0, 3, body, x)


def nested(x):
    def body(i, c):
        c = nets.cond(random.uniform(()) < 0.5, lambda: mapped(c), lambda: c)
        return nets.fori_loop(0, 2, lambda j, d: d + random.uniform(c.shape), c)

    return nets.fori_loop(0, 3, body, x)


inner = nets.trace(lambda v: F.dropout(v, 0.5) + random.uniform(v.shape, key=OWN.next_key()))


def traced_inside(x):
    return nets.fori_loop(0, 3, lambda i, c: inner(c) + i, x) + inner(x)


def new_generator(x):
    def body(i, c):
        made = random.Generator(5)
        first = random.uniform(c.shape, key=made.next_key())
        return c + first + random.uniform(c.shape, key=made.next_key())

    return nets.fori_loop(0, 3, body, x)


def generator_of_the_trace(x):
    made = random.Generator(5)
    looped = nets.fori_loop(0, 3, lambda i, c: c + random.uniform(c.shape, key=made.next_key()), x)
    return looped + random.uniform(x.shape, key=made.next_key())


def changed_elements(x):
    def body(c, i):
        KEPT[1] += i
        KEPT.data = KEPT + random.uniform((3,))
        return c + KEPT[1], KEPT * 1

    return nets.scan(body, x, STEPS)


def overwritten(x):
    def body(i, c):
        KEPT[...] = c[0, :3] + i
        return c + 1

    return nets.fori_loop(0, 3, body, x)


def local_tensor(x):
    filled = nets.zeros((3,), "float32")
    other = nets.astype(filled, "float32")

    def body(i, c):
        filled[1] = filled[1] + i
        return c + filled[1] + other[1]

    found = nets.fori_loop(0, 4, body, x)
    return found, filled * 1, other * 1


PROGRAMS = [
    *(scan, reverse, no_step, mapped, counted, counted_by_a_tensor, while_body, while_condition),
    *(branch, seeded_branch, seeded_by_the_step, nested, traced_inside, new_generator),
    *(generator_of_the_trace, changed_elements, overwritten, local_tensor),
]


def run(f: Program, calls: int = 3) -> list[Any]:
    """Results and state of some calls; in three each branch is taken."""
    nets.manual_seed(1)
    OWN.manual_seed(11)
    KEPT.data = np.zeros(3)
    found = []
    for i in range(calls):
        result = f(nets.Tensor(np.full((2, 8), i + 1.0, "f4")))
        results = result if isinstance(result, tuple) else (result,)
        own, default = OWN.state_dict(), random.default_generator.state_dict()
        state = [own["counter"], default["key"], default["counter"], KEPT.numpy()]
        found.append([*(x.numpy() for x in results), *state])
    return found


def assert_same_bits(first: list[Any], second: list[Any]) -> None:
    for xs, ys in zip(first, second, strict=True):
        for x, y in zip(xs, ys, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


COMPILED = (scan, while_condition, branch, nested, changed_elements)
"""Those that are compiled as well; the others run on the reference interpreter."""


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.sampled(11)
def test_traced_calls_draw_what_eager_ones_do(f: Program, monkeypatch: Any) -> None:
    expected = run(f)
    if f in COMPILED:
        assert_same_bits(run(nets.trace(f)), expected)
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    assert_same_bits(run(nets.trace(f)), expected)


def composed(seed: int) -> Program:
    """A random nest of loops and branches that draw."""
    chosen = python_random.Random(seed)

    def block(depth: int) -> Program:
        kind = chosen.choice(["drop", "add", "seed", *["scan", "fori", "cond", "both"] * depth])
        if kind == "drop":
            return lambda x: F.dropout(x, 0.5) + 1
        if kind == "add":
            return lambda x: x * random.uniform(x.shape, key=OWN.next_key())
        if kind == "seed":
            number = chosen.randrange(9)
            return lambda x: (nets.manual_seed(number), x)[1]
        first, second = block(depth - 1), block(depth - 1)
        if kind == "scan":
            return lambda x: nets.scan(lambda c, v: (first(c), second(c).sum()), x, STEPS[:2])[0]
        if kind == "fori":
            return lambda x: nets.fori_loop(0, 3, lambda i, c: second(first(c)) - i, x)
        if kind == "cond":
            return lambda x: nets.cond(random.uniform(()) < 0.5, first, second, x)
        return lambda x: second(first(x))

    return block(2)


@pytest.mark.parametrize("seed", [3, 6, 10, 12, 13, 17])
@pytest.mark.sampled(3)
def test_random_nests_draw_what_eager_ones_do(seed: int, monkeypatch: Any) -> None:
    f = composed(seed)
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    assert_same_bits(run(nets.trace(f), 2), run(f, 2))


# ------------------------------------------------------------------------------ gradients

WEIGHT = np.random.default_rng(0).normal(size=(4, 4)) * 0.4
ROWS = np.random.default_rng(1).normal(size=(2, 3, 4))


def loss(w: Any, xs: Any) -> Any:
    """A recurrent net with dropout, a branch that draws, and a tensor changed on the way."""
    kept = nets.zeros((3, 4))

    def step(c: Any, x: Any) -> Any:
        c = nets.tanh(F.dropout(c, 0.4) @ w + x + kept)
        kept[0] += c[1]
        c = nets.cond(random.uniform(()) < 0.5, lambda v: F.dropout(v, 0.5), lambda v: v * 2, c)
        return c, nets.map(lambda r: F.dropout(r, 0.3).sum(), c)

    c, ys = nets.scan(step, nets.zeros((3, 4)), xs)
    return (c * c).sum() + (ys * ys).mean() + (kept * w[:3]).sum()


def by_backward(f: Any) -> Any:
    def run_eagerly(w: Any, xs: Any) -> Any:
        leaf = nets.Tensor(w, requires_grad=True)
        value = f(leaf, xs)
        value.backward()
        return value, leaf.grad

    return run_eagerly


def by_pull(w: Any, xs: Any) -> Any:
    value, pull = nets.vjp(loss, w, xs)
    return value, pull(1.0)[0]


def in_one_trace() -> Any:
    w = nets.Tensor(WEIGHT, requires_grad=True)

    @nets.trace
    def step(xs: Any) -> Any:
        w.zero_grad()
        value = loss(w, xs)
        value.backward()
        return value, w.grad

    return lambda _, xs: step(xs)


@pytest.mark.long
def test_gradients_through_loops_that_draw(monkeypatch: Any) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    ways = {
        "recorded": by_backward(nets.trace(loss)),
        "one trace": in_one_trace(),
        "transform": nets.value_and_grad(loss),
        "nested": nets.trace(lambda w, xs: nets.value_and_grad(loss)(w, xs)),
        "vjp": by_pull,
        "nested vjp": nets.trace(by_pull),
    }
    nets.manual_seed(3)
    expected = [by_backward(loss)(WEIGHT, ROWS) for _ in range(2)]
    count = random.default_generator.counter.item()
    for name, way in ways.items():
        nets.manual_seed(3)
        for value, slope in expected:
            found, gradient = way(WEIGHT, ROWS)
            np.testing.assert_allclose(found.numpy(), value.numpy(), rtol=1e-12, err_msg=name)
            np.testing.assert_allclose(gradient.numpy(), slope.numpy(), rtol=1e-9, err_msg=name)
        assert random.default_generator.counter.item() == count, name


@pytest.mark.long
def test_two_gradients_in_one_trace_draw_one_after_the_other() -> None:
    def twice(x: Any) -> Any:
        slope = nets.grad(lambda v: F.dropout(v, 0.5).sum())
        return slope(x), slope(x), random.uniform((2,))

    x = np.ones(16)
    nets.manual_seed(0)
    expected = [twice(x) for _ in range(3)]
    nets.manual_seed(0)
    traced = nets.trace(twice)
    for one in expected:
        for a, b in zip(one, traced(x), strict=True):
            assert a.tolist() == b.tolist()


def test_branches_refuse_to_change_other_tensors() -> None:
    def change(v: Any) -> Any:
        KEPT[0] = v
        return v

    KEPT.data = np.zeros(3)
    f = nets.trace(lambda x: nets.cond(x > 0, change, lambda v: v, x))
    with pytest.raises(MutatedArgumentError, match="cond"):
        f(np.array(1.0))
    assert KEPT.tolist() == [0, 0, 0]
