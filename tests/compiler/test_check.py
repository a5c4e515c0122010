"""NETS_CHECK=1: planted errors are found where they are; nothing else raises an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nets
from nets.compiler.compile import Compilation
from nets.errors import CheckError, IndexOutOfBoundsError
from nets.ir.core import Function, Value
from nets.ops.definition.registry import lookup
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes import manager
from nets.passes.manager import Options


@pytest.fixture(autouse=True)
def checking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CHECK", "1")
    monkeypatch.setenv("NETS_CACHE", "0")  # it knows nothing of planted errors


# ------------------------------------------------------------------------ planted errors


@pytest.fixture
def wrong_tanh(monkeypatch: pytest.MonkeyPatch) -> None:
    """tanh that is off by less than anybody would see."""

    def lower(s: LoopBuilder, x: Value) -> Value:
        return s.binary("mul", s.math("tanh", x), s.const(1.00001, x.type.dtype))

    monkeypatch.setattr(lookup("tanh").rules, "lower_scalar", lower)


@pytest.mark.usefixtures("wrong_tanh")
def test_names_the_operation_and_the_line() -> None:
    @nets.trace
    def f(x: Any) -> Any:
        y = nets.exp(x) + 1
        z = nets.tanh(y - 1)  # the line
        return nets.sum(z * y)

    with pytest.raises(CheckError) as caught:
        f(np.linspace(0, 1, 50, dtype=np.float32))
    text = str(caught.value)
    assert "disagree on tanh: tensor<50xf32>" in text
    assert "# the line" in text
    assert "50 of 50 elements differ" in text


@pytest.mark.usefixtures("wrong_tanh")
def test_finds_what_only_the_gradient_uses() -> None:
    gradient = nets.grad(lambda x: nets.sum(nets.tanh(x)))
    with pytest.raises(CheckError, match="disagree on tanh"):
        nets.trace(gradient)(np.ones(3, np.float32))


@pytest.mark.usefixtures("wrong_tanh")
def test_looks_into_loops_and_branches() -> None:
    def step(carry: Any, x: Any) -> Any:
        return nets.cond(x > 1, lambda: nets.tanh(carry), lambda: carry + x), carry

    f = nets.trace(lambda xs: nets.scan(step, 0.0, xs))
    with pytest.raises(CheckError, match="disagree on tanh") as caught:
        f(np.arange(4.0))
    assert "nets.tanh(carry)" in str(caught.value)
    f(np.ones(4))  # where the branch with the error is not taken


def test_a_single_wrong_element_of_an_exact_op(monkeypatch: pytest.MonkeyPatch) -> None:
    def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
        limit = s.const(9, x.type.dtype)
        return s.select(s.compare("eq", y, limit), x, s.binary("add", x, y))

    monkeypatch.setattr(lookup("add").rules, "lower_scalar", lower)
    f = nets.trace(lambda x, y: x + y)
    x = np.arange(9, dtype=np.int32)
    f(x, x)
    with pytest.raises(CheckError, match=r"(?s)at \[4\]: native .*4.*1 of 5 elements differ"):
        f(x[:5], np.array([0, 1, 2, 3, 9], np.int32))


@pytest.fixture
def broken_pass() -> Iterator[str]:
    """A pass that makes subtract out of add."""

    def run(function: Function, options: Options) -> Function:
        for op in function.body:
            if op.name == "add":
                op.definition = lookup("subtract")
        return function

    manager.register_pass("broken")(run)
    yield "broken"
    del manager.PASSES["broken"]


def test_a_pass_that_changes_the_result(broken_pass: str) -> None:
    low = nets.trace(lambda x, y: (x + y) * 2).lower(np.ones(3), np.ones(3), pipeline=broken_pass)
    with pytest.raises(CheckError, match="the passes of pipeline 'broken' changed the result"):
        low.compile()(np.ones(3), np.ones(3))


# ----------------------------------------------------------------------- no false alarms

rng = np.random.default_rng(0)
F32 = rng.normal(size=(31, 37)).astype(np.float32)
ODD = np.array([0, -0.0, 1, np.nan, np.inf, -np.inf, 1e-45, 3e38, -3e38, 88.7, -103.9], np.float32)


def cancelling(x: Any) -> Any:
    large = nets.exp(x) + 1e6
    return (large - 1e6) - nets.exp(x), (nets.sin(x) ** 2 + nets.cos(x) ** 2) - 1


def chain(x: Any) -> Any:
    for _ in range(6):
        x = nets.tanh(nets.exp(x * 0.5) - 0.9)
    return x


def decided_by_rounding(x: Any) -> Any:
    y = nets.log(nets.exp(x))
    return nets.where(y > x, 1.0, -1.0), nets.argmax(y - x, axis=1), nets.floor(y * 1e6)


def losses(x: Any) -> Any:
    p = nets.softmax(x, axis=1)
    return nets.sum(p * nets.log_softmax(x, axis=0)), nets.mean(1 / (p + 1e-6))


def sums(x: Any) -> Any:
    y = x - nets.mean(x)
    return nets.sum(y), nets.sum(y, axis=0), nets.prod(x, axis=1), y @ y.T, nets.max(y, axis=1)


CORPUS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cancelling": (cancelling, (F32,)),
    "chain": (chain, (F32,)),
    "decided by rounding": (decided_by_rounding, (F32,)),
    "losses": (losses, (F32,)),
    "gradient": (nets.grad(lambda x: losses(x)[0] + losses(x)[1]), (F32,)),
    "sums": (sums, (F32,)),
    "long sums": (sums, (rng.normal(size=(3, 100_003)).astype(np.float32),)),
    "sums that overflow": (sums, (np.sign(F32) * np.float32(3e38),)),
    "products of large": (lambda x: x @ x.T, (F32 * np.float32(1e19),)),
    "odd values": (lambda x: (nets.exp(x), nets.log(x), x * x, nets.sqrt(x)), (ODD,)),
    "odd sums": (lambda x: (nets.sum(x), nets.max(x), nets.argmin(x), nets.cumsum(x)), (ODD,)),
    "integers": (
        lambda x: (x // 3, x % 3, x @ x.T, nets.sum(x)),
        (np.arange(-6, 6).reshape(3, 4),),
    ),
    "bools": (lambda x: (~x, x @ x, nets.any(x, axis=0)), (np.eye(3, dtype=np.bool_),)),
    "0-d": (lambda x: nets.exp(x) + 1, (np.float32(0.5),)),
    "empty": (lambda x: (nets.sum(x), x + 1, x @ x.T), (np.zeros((0, 3), np.float32),)),
    "constants": (lambda x: nets.exp(np.linspace(0, 3, 7)) * x + nets.tanh(2.0), (np.ones(7),)),
    "only constants": (lambda: nets.exp(np.linspace(0, 3, 7)), ()),
    "arguments returned": (lambda x, y: (y, x, x, nets.zeros(3)), (np.ones(2), np.zeros(3))),
    "indices": (
        lambda x, i: nets.grad(lambda x: nets.sum(x[i] ** 2))(x),
        (F32, np.array([3, 3, -1])),
    ),
}


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.sampled(7)
def test_right_programs_raise_no_alarm(name: str) -> None:
    function, arguments = CORPUS[name]
    nets.trace(function)(*arguments)


def test_run_time_checks_come_first() -> None:
    with pytest.raises(IndexOutOfBoundsError):
        nets.trace(lambda x, i: x[i])(np.ones(3), np.array([7]))


def test_results_are_those_of_native_code(monkeypatch: pytest.MonkeyPatch) -> None:
    low = nets.trace(sums).lower(F32)
    expected = Compilation(low.function).native([F32])
    found = low.compile()(F32)
    assert [x.numpy().tobytes() for x in found] == [x.tobytes() for x in expected]
