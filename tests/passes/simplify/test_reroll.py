"""Loops that Python has unrolled become loops again, and no bit changes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.ir.clone import clone_function
from nets.ir.core import Function, Operation
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives import vjp
from nets.passes.derivatives.vjp import split_vjp
from nets.passes.manager import Options, find_pass, run_pipeline
from nets.passes.pipelines import OPTIMIZE
from nets.passes.simplify import reroll as pass_of_that_name
from tests.property.results import assert_same

Array = npt.NDArray[Any]

STEPS = 23
RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def of_short_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are made of programs that are short enough for a test."""
    monkeypatch.setattr(pass_of_that_name, "SAVED", 20)
    monkeypatch.setattr(vjp, "LONG", 20)


def carried(x: Any, w: Any) -> Any:
    h = x[0]
    for _ in range(STEPS):
        h = nets.tanh(h @ w + 0.5)
    return h


def rows(x: Any, w: Any) -> Any:
    h = x[0] * 0
    for t in range(STEPS):
        h = nets.sin(h + x[t]) * 1.5
    return h


def rows_from_the_end(x: Any, w: Any) -> Any:
    h, found = x[0] * 0, []
    for t in reversed(range(STEPS)):
        h = nets.sin(h - x[t]) * 1.5
        found.append(h)
    return nets.stack(found)


def both_ways(x: Any, w: Any) -> Any:
    h = x[0] * 0
    for t in range(STEPS):
        h = h * x[t] + x[STEPS - 1 - t]
    return h


def every_second_row(x: Any, w: Any) -> Any:
    h = x[0] * 0
    for t in range(STEPS // 2):
        h = nets.sin(h) * x[2 * t] + x[2 * t + 1]
    return h


def columns(x: Any, w: Any) -> Any:
    h = x[:, 0] * 0
    for t in range(x.shape[1] - 2):
        h = nets.exp(-h) + x[:, t] * x[:, t + 2]
    return h


def windows(x: Any, w: Any) -> Any:
    total = x[0:3] * 0
    for t in range(STEPS - 3):
        total = total * 0.5 + nets.sin(x[t : t + 3])
    return total


def numbers(x: Any, w: Any) -> Any:
    h = x[0]
    for t in range(STEPS):
        h = h * (1 + 0.01 * t) + nets.Tensor(np.full(3, t % 4, np.float64))[0]
    return h


def two_back(x: Any, w: Any) -> Any:
    a, b = x[0], x[1]
    for _ in range(STEPS):
        a, b = b, nets.sin(a) + b * 0.5
    return a - b


def three_back(x: Any, w: Any) -> Any:
    found = [x[0], x[1], x[2]]
    for _ in range(STEPS):
        found.append(nets.sin(found[-3]) + found[-1] * found[-2])
    return found[-1], found[7]


def swapped(x: Any, w: Any) -> Any:
    a, b = x[0], x[1]
    for _ in range(STEPS):
        a, b = nets.cos(b) * 1.25, nets.sin(a) - 0.5
    return a, b


def invariants(x: Any, w: Any) -> Any:
    h = x[0]
    for _ in range(STEPS):
        h = h @ nets.exp(w.T * 0.1) + nets.sum(x, 0) * 0.01
    return h


def every_step(x: Any, w: Any) -> Any:
    h, total, found = x[0], 0, []
    for _ in range(STEPS):
        h = nets.sin(h) + 0.25
        total = total + nets.sum(h)
        found.append(h)
    return nets.stack(found), total, found[3]


def nested(x: Any, w: Any) -> Any:
    h = x[0]
    for t in range(6):
        for _ in range(5):
            h = nets.sin(h) * 1.5
        h = nets.tanh(h @ w) + x[t]
    return h


def one_after_the_other(x: Any, w: Any) -> Any:
    h, found = x[0], []
    for _ in range(STEPS):
        h = nets.sin(h) * 1.5
        found.append(h)
    for earlier in reversed(found):
        h = nets.exp(-h * h) + earlier
    return h


def nothing_carried(x: Any, w: Any) -> Any:
    return nets.stack([nets.sin(x[t] @ w) * (t + 1) for t in range(STEPS)])


def conditions(x: Any, w: Any) -> Any:
    h = x[0]
    for t in range(STEPS):
        h = nets.where(h > x[t], nets.sin(h), h * 0.5)
    return h


LOOPS = (
    *(carried, rows, rows_from_the_end, both_ways, every_second_row, columns, windows, numbers),
    *(two_back, three_back, swapped, invariants, every_step, nested, one_after_the_other),
    *(nothing_carried, conditions),
)


def total(loop: Callable[..., Any]) -> Callable[..., Any]:
    def function(x: Any, w: Any) -> Any:
        found = loop(x, w)
        return sum(nets.sum(y * y) for y in (found if isinstance(found, tuple) else (found,)))

    function.__name__ = loop.__name__
    return function


def traced(function: Callable[..., Any], *arrays: Array) -> Function:
    return nets.trace(function).lower(*map(nets.Tensor, arrays)).compilation.function


def arguments() -> tuple[Array, Array]:
    return RNG.standard_normal((STEPS + 2, 12)), RNG.standard_normal((12, 12)) * 0.25


def rolled(function: Function) -> Function:
    found = find_pass("reroll")(clone_function(function), Options())
    verify_function(found)
    return found


def names(function: Function) -> Sequence[str]:
    return [op.name for op in function.body]


def useful(function: Function) -> int:
    """How many operations there are, but for those that cut rows out of stacks."""
    return sum(name not in ("slice", "reshape") for name in names(function))


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
@pytest.mark.parametrize("is_gradient", [False, True], ids=["value", "gradient"])
@pytest.mark.sampled(5)
def test_bits_stay(loop: Callable[..., Any], is_gradient: bool) -> None:
    arrays = arguments()
    function = nets.value_and_grad(total(loop), argnums=(0, 1)) if is_gradient else loop
    before = traced(function, *arrays)
    after = rolled(before)
    assert "scan" in names(after)
    assert useful(after) < useful(before)
    expected = evaluate(before, arrays)
    assert_same(expected, evaluate(after, arrays), after)
    whole = run_pipeline(before, OPTIMIZE)
    assert_same(expected, evaluate(whole, arrays), whole)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
@pytest.mark.sampled(4)
def test_both_halves_of_a_gradient(
    loop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = arguments()
    function = traced(total(loop), *arrays)

    def results() -> list[Array]:
        split = split_vjp(function, (0, 1))
        outputs = evaluate(split.forward, arrays)
        sources = {"argument": arrays, "result": outputs}
        kept = [sources[kind][i] for kind, i in split.residuals]
        return [outputs[0], *evaluate(split.backward, [*kept, np.array(1.0)])]

    found = results()
    monkeypatch.setattr(pass_of_that_name, "SAVED", 10**9)
    assert_same(results(), found)


def test_what_is_kept_for_the_way_back_is_a_few_stacks() -> None:
    split = split_vjp(traced(total(carried), *arguments()), (0,))
    assert len(split.residuals) < 10
    assert "scan" in names(split.forward)
    assert "scan" in names(split.backward)


def is_like(op: Operation, array: Array) -> bool:
    return any(tensor_type(result).shape == array.shape for result in op.results)


def test_sums_of_windows_change_only_the_windows() -> None:
    arrays = arguments()
    found = rolled(traced(nets.grad(total(rows)), *arrays))
    bodies = [op.regions[0].block for op in found.body if op.name == "scan"]
    whole = [op.name for body in bodies for op in body if is_like(op, arrays[0])]
    assert whole.count("dynamic_update_slice") >= 1
    assert "add" not in whole


def test_minus_zero_in_a_sum_of_windows() -> None:
    def function(x: Any) -> Any:
        h = x[0] * 0
        for t in range(STEPS):
            h = x[t] * -0.0 + h * 0.5
        return nets.sum(h)

    x = np.abs(RNG.standard_normal((STEPS, 3)))
    before = traced(nets.grad(function), x)
    after = rolled(before)
    assert "scan" in names(after)
    assert_same(evaluate(before, [x]), evaluate(after, [x]))


def test_short_programs_and_what_does_not_repeat_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_of_that_name, "SAVED", 400)
    short = traced(rows, *arguments())
    assert "scan" not in names(rolled(short))

    def growing(x: Any) -> Any:
        for _ in range(58):
            x = nets.sin(nets.concatenate((x, x[:1]))) * 2.0
        return x

    monkeypatch.setattr(pass_of_that_name, "SAVED", 20)
    assert "scan" not in names(rolled(traced(growing, np.ones(3))))


def test_the_code_of_long_chains_is_short() -> None:
    """A thousand operations, value and gradient, become a few loops."""

    def chain(x: Any) -> Any:
        for _ in range(333):
            x = nets.sin(x) * 1.01 + 0.001
        return nets.sum(x)

    function = traced(nets.value_and_grad(chain), np.ones(7, np.float32))
    assert len(run_pipeline(function, OPTIMIZE).body) < 40
