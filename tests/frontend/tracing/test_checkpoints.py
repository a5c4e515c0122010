"""Loops with ``checkpoints=``: native code, memory, second derivatives, export, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, GradientError

RNG = np.random.default_rng(11)
START = RNG.uniform(0.2, 0.9, (2, 3))
SQUARE = RNG.normal(size=(3, 3)) * 0.4
ROWS = RNG.normal(size=(23, 2, 3)) * 0.2


def scanned(slots: int | None, reverse: bool = False) -> Any:
    """Exact operations only; carries of several dtypes, one of which stays what it is."""

    def loss(start: Any, square: Any, rows: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            state, (weight, count) = carry
            following = state * weight + row * state - state * state * 0.1
            scaled = following * (count % 3).astype("float64")
            return (following, (weight, count + 1)), (scaled, state[0, 0])

        carry = (start, (square[:2] * 0.5, 0))
        (last, (_, count)), (a, b) = nets.scan(step, carry, rows, None, reverse, checkpoints=slots)
        return (last**2).sum() + (a * rows).sum() + (b * b).sum() + count

    return loss


def looped(slots: int | None) -> Any:
    def loss(start: Any, square: Any, rows: Any) -> Any:
        def body(i: Any, x: Any) -> Any:
            return x @ square + rows[i] + 0.01 * i

        return (nets.fori_loop(2, 21, body, start, checkpoints=slots) ** 2).sum()

    return loss


def gradients(loss: Any) -> Any:
    return nets.trace(nets.grad(loss, argnums=(0, 1, 2)))


def bits(nest: Any) -> list[bytes]:
    return [np.asarray(x).tobytes() for x in nest]


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 23, 100])
def test_native_gradients_have_the_bits_of_all_others(slots: int) -> None:
    args = START, SQUARE, ROWS
    for reverse in (False, True):
        expected = bits(gradients(scanned(None, reverse))(*args))
        kept = gradients(scanned(slots, reverse))
        assert bits(kept(*args)) == expected
        assert bits(nets.evaluate(kept.lower(*args), *args)) == expected


def test_matrices_have_their_gradients() -> None:
    """Their sums over the steps are not one product, so bits may differ from those without."""
    args = START, SQUARE, ROWS
    found = [bits(gradients(looped(slots))(*args)) for slots in (1, 3, 50)]
    assert found[0] == found[1] == found[2]
    for x, y in zip(gradients(looped(4))(*args), gradients(looped(None))(*args), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13)


def test_gradients_are_slopes() -> None:
    for loss in (scanned(3), looped(3), halved(3)):
        args = [START, SQUARE, ROWS]
        found = gradients(loss)(*args)
        for i, x in enumerate(args):
            way = RNG.normal(size=x.shape) * 1e-5
            ends = [[*args[:i], x + sign * way, *args[i + 1 :]] for sign in (1, -1)]
            up, down = (nets.trace(loss)(*end).item() for end in ends)
            assert (np.asarray(found[i]) * way).sum() == pytest.approx((up - down) / 2, rel=1e-5)


def test_second_derivatives_are_those_without() -> None:
    def second(loss: Any) -> np.ndarray:
        first = nets.grad(loss, argnums=1)
        return nets.grad(lambda w: (first(START, w, nets.Tensor(ROWS)) ** 2).sum())(SQUARE).numpy()

    np.testing.assert_allclose(second(scanned(3)), second(scanned(None)), rtol=1e-12)
    np.testing.assert_allclose(second(looped(3)), second(looped(None)), rtol=1e-12)


def test_eager_gradients_through_traced_loops() -> None:
    found = []
    for slots in (None, 3):
        start = nets.Tensor(START, requires_grad=True)
        nets.trace(scanned(slots))(start, SQUARE, ROWS).backward()
        found.append(start.grad.numpy().tobytes())
        start.grad = None
        scanned(slots)(start, SQUARE, ROWS).backward()  # no trace: the tape keeps everything
        np.testing.assert_allclose(start.grad, np.frombuffer(found[-1]).reshape(2, 3))
    assert found[0] == found[1]


def test_two_ways_back_through_one_loop() -> None:
    def both(start: Any, square: Any) -> Any:
        def run(start: Any, square: Any) -> Any:
            step = lambda s, _: (nets.sin(s @ square), s)  # noqa: E731
            return nets.scan(step, start, None, length=9, checkpoints=3)

        (last, stacked), pull = nets.vjp(run, start, square)
        return pull((last, stacked)), pull((stacked[0], stacked * 0))

    first, second = nets.trace(both)(START, SQUARE)
    assert np.isfinite(first[0]).all()
    assert not np.array_equal(first[1], second[1])


def test_nested_loops() -> None:
    def loss(slots: int | None) -> Any:
        def run(x: Any) -> Any:
            inner = lambda s: nets.fori_loop(  # noqa: E731
                0, 5, lambda i, s: s * s - 0.3 * s, s, checkpoints=slots
            )
            return nets.scan(lambda s, _: (inner(s), s), x, None, length=7, checkpoints=slots)

        return lambda x: run(x)[1].sum()

    expected = nets.trace(nets.grad(loss(None)))(START).numpy()
    for slots in (1, 2, 4):
        found = nets.trace(nets.grad(loss(slots)))(START).numpy()
        assert found.tobytes() == expected.tobytes()


def test_memory_is_that_of_the_slots() -> None:
    def peak(steps: int, slots: int | None) -> int:
        def loss(x: Any, a: Any) -> Any:
            step = lambda s, _: (s + 0.001 * nets.sin(s * a), None)  # noqa: E731
            return nets.scan(step, x, None, length=steps, checkpoints=slots)[0].sum()

        x = nets.spec("f64[8]")
        return nets.grad(loss, argnums=(0, 1)).lower(x, x).cost()["peak_bytes"]

    carry = 64
    assert peak(10**6, None) >= 10**6 * carry
    assert peak(10**6, 64) <= 64 * carry + 32 * carry
    assert peak(10**6, 64) - peak(10**6, 32) <= 32 * (carry + 8)
    assert peak(10**9, 64) <= peak(10**6, 64) + carry


def test_a_program_of_sizes_that_a_call_tells() -> None:
    loss = scanned(4)
    open_one = nets.trace(
        nets.grad(loss, argnums=(0, 2)), dims={"rows": "steps, ...", "steps": nets.dim(1, 64)}
    )
    for steps in (1, 2, 9, 23):
        args = START, SQUARE, ROWS[:steps]
        expected = bits(nets.trace(nets.grad(scanned(None), argnums=(0, 2)))(*args))
        assert bits(open_one(*args)) == expected


# -------------------------------------------------------------------------- while loops


def halved(slots: int | None) -> Any:
    """A loop that ends by what it computes."""

    def loss(start: Any, square: Any, rows: Any) -> Any:
        def body(state: Any) -> Any:
            x, n = state
            return x * 0.8 + square[:2] * x * 0.1 + rows[0] * 0.001, n + 1

        go_on = lambda state: (state[0] ** 2).sum() > 1e-3  # noqa: E731
        last, _ = nets.while_loop(go_on, body, (start, 0), checkpoints=slots)
        return (last * rows[1]).sum() * 1000

    return loss


def test_a_while_loop_has_the_same_bits_with_any_number_of_slots() -> None:
    args = START, SQUARE, ROWS
    found = [bits(gradients(halved(slots))(*args)) for slots in (1, 2, 3, 8, 64)]
    assert all(x == found[0] for x in found)
    low = gradients(halved(3)).lower(*args)
    assert bits(nets.evaluate(low, *args)) == found[0]


def test_bounds_that_a_call_tells() -> None:
    def loss(slots: int | None) -> Any:
        def run(x: Any, n: Any) -> Any:
            return nets.fori_loop(0, n, lambda i, s: s * s - 0.3 * s, x, checkpoints=slots).sum()

        return run

    native = nets.trace(nets.grad(loss(5)))
    for steps in (0, 1, 2, 6, 30):
        expected = nets.trace(nets.grad(lambda x, n=steps: loss(None)(x, n)))(START)
        assert native(START, steps).numpy().tobytes() == expected.numpy().tobytes()


def test_without_slots_it_is_refused_and_the_error_says_what_to_write() -> None:
    with pytest.raises(GradientError, match="with checkpoints=64, say"):
        gradients(halved(None))(START, SQUARE, ROWS)


def squared(x: Any) -> Any:
    """A loop of which there are all derivatives but the second in reverse mode."""
    go_on = lambda state: state.sum() > 1e-3  # noqa: E731
    return nets.while_loop(go_on, lambda x: nets.sin(x * x) * 0.5, x, checkpoints=2).sum()


def squared_as_often(steps: int) -> Any:
    return lambda x: nets.fori_loop(0, steps, lambda i, x: nets.sin(x * x) * 0.5, x).sum()


def test_a_while_loop_has_derivatives_in_forward_mode_on_both_sides() -> None:
    x = np.array([0.9, 1.3, 0.4])
    state, steps = x, 0
    while state.sum() > 1e-3:
        state, steps = np.sin(state * state) * 0.5, steps + 1
    counted = squared_as_often(steps)
    ways: list[Any] = [
        nets.hessian,
        lambda f: nets.jacfwd(nets.jacrev(f)),
        lambda f: nets.jacrev(nets.jacfwd(f)),
        lambda f: lambda x: nets.hvp(f, (x,), (x,)),
        lambda f: nets.jacfwd(lambda x: nets.hvp(f, (x,), (x,))),
        lambda f: nets.vmap(lambda x: nets.hvp(f, (x,), (x,)), in_axes=None, axis_size=2),
    ]
    for way in ways:
        staged, expected = nets.trace(way(squared)), nets.trace(way(counted))(x).numpy()
        np.testing.assert_allclose(staged(x).numpy(), expected, rtol=1e-12)
        np.testing.assert_allclose(nets.evaluate(staged.lower(x), x), expected, rtol=1e-12)


def test_a_while_loop_has_no_second_derivative_in_reverse_mode_and_says_so() -> None:
    with pytest.raises(GradientError, match=r"before or behind any in forward mode"):
        nets.grad(lambda x: nets.grad(squared)(x).sum())(START)


@pytest.mark.parametrize("slots", [0, -1, 2.0, True, "all"])
def test_slots_are_a_count(slots: Any) -> None:
    for run in (lambda: scanned(slots)(START, SQUARE, ROWS), lambda: halved(slots)(START, 1, ROWS)):
        with pytest.raises(ArgumentError, match="checkpoints is how many carries to keep"):
            run()


# ------------------------------------------------------------------------------- export


def test_exported_gradients_have_the_same_bits(tmp_path: Path) -> None:
    args = START, SQUARE, ROWS
    functions = {
        "scanned": nets.grad(scanned(3), argnums=(0, 1, 2)).lower(*args),
        "halved": nets.grad(halved(3), argnums=(0, 1, 2)).lower(*args),
        "through": nets.grad(
            lambda x, w: nets.checkpoint(lambda x: nets.sin(x @ w))(x).sum(), argnums=(0, 1)
        ).lower(START, SQUARE),
    }
    nets.export(tmp_path / "library", **functions)
    library = nets.load(tmp_path / "library.so")
    for name, low in functions.items():
        given = args[: len(low.parameter_names)]
        assert bits(getattr(library, name)(*given)) == bits(low.compile()(*given))
