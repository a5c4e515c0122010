"""scan, fori_loop, while_loop, cond, map: eager, traced, differentiated, and what they refuse."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DTypeError,
    GradientError,
    MutatedArgumentError,
    ShapeError,
)

RNG = np.random.default_rng(5)
SQUARE = RNG.normal(size=(4, 4)) * 0.5
STATE = RNG.normal(size=(3, 4))
ROWS = RNG.normal(size=(6, 3, 4))


def leaves(nest: Any) -> list[np.ndarray]:
    if isinstance(nest, (tuple, list)):
        return [leaf for part in nest for leaf in leaves(part)]
    return [] if nest is None else [np.asarray(nest)]


def assert_same(first: Any, second: Any, tolerance: float = 1e-9) -> None:
    for x, y in zip(leaves(first), leaves(second), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=tolerance)


def unrolled(f: Any, init: Any, xs: Any, reverse: bool = False) -> Any:
    """A scan written out."""
    carry, ys = init, []
    steps = range(xs.shape[0])
    for i in steps[::-1] if reverse else steps:
        carry, y = f(carry, xs[i])
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, [nets.stack(list(parts)) for parts in zip(*ys, strict=True)]


# Programs of every form; each takes (w, u, xs).
def several_carries(w, u, xs):
    def step(carry, x):
        a, (b, count) = carry
        return (nets.tanh(a @ w + x), (a, count + 1)), (b, a.sum(), b.T)

    return nets.scan(step, (u, (u * 2, 0)), xs)


def rotating_carries(w, u, xs):
    def step(carry, r):
        a, b, c = carry
        return (b, c, a * 2 + b), (a[r], nets.cond(r > 1, lambda: a.sum(), lambda: b.max()))

    return nets.scan(step, (u, u * 2, u + 1), nets.arange(3))


def numbers(w, u, xs):
    (a, b), ys = nets.scan(
        lambda c, x: ((c[0] * 0.5 + x * w[0, 0], c[1] + c[0]), c[0] + c[1]),
        (1.0, 2.0),
        xs[:, 0, 0],
        reverse=True,
    )
    last = nets.while_loop(lambda v: v[0] < 10, lambda v: (v[0] + 1.5, v[1] * 2), (a * 0, 1))
    return a, b, ys, last, nets.cond(a > b, lambda v: v + 1, lambda v: v * 3, b)


def nested(w, u, xs):
    def outer(i, carry):
        a, b = carry
        a, _ = nets.scan(lambda c, x: (c * 0.5 + x, None), a, xs)
        return nets.while_loop(
            lambda c: c[0].sum() < 20, lambda c: (c[0] + nets.abs(b) + 1, c[1] @ w), (a, b)
        )

    return nets.fori_loop(0, 5, outer, (u, u + 2))


def in_place(w, u, xs):
    """Next values that may, and that may not, be stored over the old ones."""

    def step(carry, x):
        a, _, c = carry
        return (a + x, a[::-1] * 2, nets.transpose(w @ nets.transpose(c))), (c, a)

    return nets.scan(step, (u, u, u), xs)


def no_steps(w, u, xs):
    return nets.scan(lambda c, x: (c + x.sum(), c * x), 0.0, xs[:0])


def mapped(w, u, xs):
    return nets.map(lambda x: (x * x, nets.argmax(x)), xs)


PROGRAMS = [several_carries, rotating_carries, numbers, nested, in_place, no_steps, mapped]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.sampled(3)
def test_native_and_eager_agree_with_the_reference(program, dtype):
    arguments = [x.astype(dtype) for x in (SQUARE, STATE, ROWS)]
    low = nets.trace(program).lower(*arguments)
    reference = nets.evaluate(low, *arguments)
    tolerance = 1e-9 if dtype is np.float64 else 1e-4
    assert_same(low.compile()(*arguments), reference, tolerance)
    assert_same(low.compile(threads=2)(*arguments), reference, tolerance)
    assert_same(program(*map(nets.Tensor, arguments)), reference, tolerance)


@pytest.mark.parametrize("program", PROGRAMS)
def test_text_is_parsed_back(program):
    text = nets.trace(program).lower(SQUARE, STATE, ROWS).ir("optimized")
    assert str(nets.parse_ir(text)).strip() == text.strip()


def loss_of(scan: Any, reverse: bool) -> Any:
    def loss(w, u, xs, v):
        def step(carry, x):
            h, k = carry
            n = nets.tanh(h @ w + x * v + k)
            return (n, k * 0.9 + n.sum()), (n * h,)

        (h, k), (ys,) = scan(step, (u, 1.0), xs, reverse=reverse)
        return (h * h).sum() + k + (ys * ys).sum()

    return loss


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.long
def test_gradients_of_a_scan_are_those_of_the_steps_written_out(reverse):
    arguments = (SQUARE, STATE, ROWS, STATE[0])
    kept, written = (loss_of(scan, reverse) for scan in (nets.scan, unrolled))
    assert_same(
        nets.value_and_grad(kept, argnums=(0, 1, 2, 3))(*arguments),
        nets.value_and_grad(written, argnums=(0, 1, 2, 3))(*arguments),
    )

    def second(loss):
        return nets.grad(lambda w: (nets.grad(loss)(w, *arguments[1:]) ** 2).sum())(SQUARE)

    assert_same(second(kept), second(written), 1e-8)


def test_gradients_of_nested_scans():
    def loss_of(scan):
        def loss(w, u):
            def outer(c, x):
                d, (zs,) = scan(lambda p, r: (nets.sin(p * r) + x.sum(), (p @ w,)), c, x)
                return d, (zs.sum(),)

            c, (ys,) = scan(outer, u, nets.Tensor(ROWS))
            return (c * c).sum() + ys.sum()

        return nets.grad(loss, argnums=(0, 1))

    assert_same(loss_of(nets.scan)(SQUARE, STATE), loss_of(unrolled)(SQUARE, STATE), 1e-8)


def looped(u, w):
    def step(i, h):
        return nets.cond(h.sum() > 0, lambda: nets.tanh(h @ w) * i, lambda: nets.exp(h) @ w)

    return nets.fori_loop(1, 4, step, u)


def test_tensors_that_require_gradients_get_them_through_loops_and_branches():
    found = []
    for function in (looped, nets.trace(looped)):
        w = nets.Tensor(SQUARE, requires_grad=True)
        (function(nets.Tensor(STATE), w) ** 2).sum().backward()
        found.append(w.grad)
    assert_same(*found)


def test_captured_parameters_take_part_in_backward():
    w = nets.Tensor(SQUARE, requires_grad=True)

    def step():
        c, ys = nets.scan(lambda h, x: (nets.tanh(h @ w + x), h.sum()), nets.Tensor(STATE), ROWS)
        loss = (c**2).sum() + ys.sum()
        loss.backward()
        return loss

    found = []
    for function in (step, nets.trace(step)):
        w.zero_grad()
        found.append((function().detach(), np.array(w.grad)))
    assert_same(*found)


def test_vjp_through_a_scan():
    def last(w):
        return nets.scan(lambda h, _: (h @ w, h), nets.Tensor(STATE), None, length=3)[0]

    value, pull = nets.vjp(last, SQUARE)
    assert_same(value, STATE @ SQUARE @ SQUARE @ SQUARE)
    shift = np.zeros_like(SQUARE)
    shift[1, 2] = 1e-6
    difference = (last(nets.Tensor(SQUARE + shift)) - last(nets.Tensor(SQUARE - shift))).sum()
    (found,) = pull(np.ones_like(STATE))
    assert_same(found[1, 2], np.asarray(difference) / 2e-6, 1e-5)


def test_bounds_known_only_at_run_time():
    power = nets.trace(lambda n, x: nets.fori_loop(0, n, lambda i, v: v * 1.5 + i, x))
    for n in (0, 1, 7):
        assert_same(power(n, STATE), nets.fori_loop(0, n, lambda i, v: v * 1.5 + i, STATE))


def test_numbers_give_way_to_what_a_step_gives():
    xs = ROWS[:, 0, 0].astype(np.float32)
    total, _ = nets.trace(lambda xs: nets.scan(lambda c, x: (c + x, None), 0, xs))(xs)
    assert total.dtype == np.float32
    assert_same(total, nets.scan(lambda c, x: (c + x, None), 0, xs)[0], 1e-6)


def test_python_runs_once_whatever_the_number_of_steps():
    calls = queue.SimpleQueue()

    def step(c, x):
        calls.put(1)
        return c + x, None

    nets.trace(lambda xs: nets.scan(step, 0.0, xs))(np.arange(1000.0))
    assert calls.qsize() == 1


def test_an_index_out_of_bounds_is_found_in_a_loop():
    @nets.trace
    def pick(xs, at):
        return nets.scan(lambda c, i: (c + xs[i], None), xs[0], at)[0]

    assert_same(pick(STATE, np.array([0, 2])), STATE[0] * 2 + STATE[2])
    with pytest.raises(nets.errors.IndexOutOfBoundsError):
        pick(STATE, np.array([0, 3]))


BAD = {
    "nest": (lambda: nets.scan(lambda c, x: ((c, c), None), 1.0, ROWS), ArgumentError, "nest"),
    "dtype": (
        lambda: nets.scan(lambda c, x: (c < 0, None), nets.Tensor(STATE), ROWS),
        DTypeError,
        "float64.*bool|f64.*bool",
    ),
    "shape": (
        lambda: nets.scan(lambda c, x: ({"h": c["h"][0]}, None), {"h": nets.Tensor(STATE)}, ROWS),
        ShapeError,
        r"init\['h'\].*3,4.*\[4\]",
    ),
    "pair": (lambda: nets.scan(lambda c, x: c, 1.0, ROWS), ArgumentError, "pair"),
    "length": (
        lambda: nets.scan(lambda c, x: (c, None), 1.0, (ROWS, STATE)),
        ShapeError,
        r"xs\[1\]",
    ),
    "no length": (lambda: nets.scan(lambda c, x: (c, None), 1.0), ArgumentError, "length"),
    "predicate": (
        lambda: nets.cond(nets.Tensor(STATE) > 0, lambda: 1, lambda: 2),
        ShapeError,
        "scalar",
    ),
    "condition": (lambda: nets.while_loop(lambda v: v, lambda v: v, 1.0), DTypeError, "bool"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("traced", [False, True])
def test_bad_bodies_are_refused_at_the_line_of_the_user(name, traced):
    program, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as caught:
        nets.trace(lambda: program())() if traced else program()
    assert __file__ in str(caught.value)


def test_branches_that_differ_are_refused():
    x = nets.Tensor(STATE)
    with pytest.raises(ShapeError, match="different types"):
        nets.trace(lambda x: nets.cond(x.sum() > 0, lambda: x, lambda: x[0]))(x)
    with pytest.raises(ArgumentError, match="different nests"):
        nets.trace(lambda x: nets.cond(x.sum() > 0, lambda: (x,), lambda: x))(x)


def test_effects_and_leaks_are_refused():
    state, kept = nets.Tensor(STATE), []

    def assigns(x):
        state.data = state.data + 1
        return x

    def leaks(c, x):
        kept.append(c)
        return c, None

    with pytest.raises(MutatedArgumentError, match="cond"):
        nets.trace(lambda x: nets.cond(x > 0, assigns, lambda x: x, x))(1.0)
    assert_same(state, STATE)
    with pytest.raises(MutatedArgumentError, match="a list"):
        nets.trace(lambda: (nets.scan(leaks, 0.0, ROWS), kept[0] + 1))()
    with pytest.raises(ControlFlowError):
        nets.trace(lambda: nets.scan(lambda c, x: (c if c > 0 else x, None), 0.0, ROWS))()


def test_a_while_loop_says_that_it_has_no_derivative():
    with pytest.raises(GradientError, match=r"nets\.scan"):
        nets.grad(lambda x: nets.while_loop(lambda v: v < 10, lambda v: v * 2, x))(1.0)
    w = nets.Tensor(2.0, requires_grad=True)

    f = nets.trace(lambda x: nets.while_loop(lambda v: v < 10, lambda v: v * w, x))
    for _ in range(2):  # only who asks for the gradient is refused
        found = f(1.0)
        assert found.item() == 16.0
        with pytest.raises(GradientError, match=r"nets\.scan"):
            found.backward()


def test_the_steps_of_a_loop_are_counted_in_no_memory():
    loop = nets.trace(lambda x: nets.fori_loop(2, 1_000_000, lambda i, v: v + i, x))
    low = loop.lower(0.0)
    assert low.cost()["peak_bytes"] < 1000
    assert_same(low.compile()(0.0), np.float64(sum(range(2, 1_000_000))))
    backwards = nets.trace(
        lambda xs: nets.scan(
            lambda c, x: (c + x[0] * x[1], x), 0.0, (xs, nets.arange(6)), reverse=True
        )
    ).lower(ROWS[:, 0, 0])
    assert_same(backwards.compile()(ROWS[:, 0, 0]), nets.evaluate(backwards, ROWS[:, 0, 0]))
