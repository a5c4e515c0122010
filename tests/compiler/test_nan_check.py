"""NETS_CHECK=nan: the first NaN that matters is found where it was made; others are let pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import CheckError


@pytest.fixture(autouse=True)
def checking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CHECK", "nan")


def training(scale: float) -> tuple[Callable[[], Any], nn.Parameter]:
    """A step whose loss is NaN backward for scale 0, forward for a negative one."""
    p = nn.Parameter(np.array([0.0, 1.0, 2.0], np.float32))
    optimizer = optim.SGD([p], lr=0.1)

    def step() -> nets.Tensor:
        optimizer.zero_grad()
        root = nets.sqrt(p + scale - scale * 1.0)  # the root
        logs = nets.log(p * scale + 1.5)  # the logarithm
        loss = nets.sum(root * 0 + logs)
        loss.backward()
        optimizer.step()
        return loss

    return step, p


@pytest.mark.parametrize("stage", [lambda f: f, nets.trace], ids=["eager", "traced"])
@pytest.mark.parametrize(
    ("scale", "said", "line"),
    [
        (0.0, r"comes from multiply, backward through sqrt: 1 of 3 .* at \[0\]", "# the root"),
        (-1.0, r"comes from log: 1 of 3 elements, the first at \[2\]", "# the logarithm"),
    ],
)
def test_a_step_is_stopped_and_changes_nothing(
    stage: Callable[[Any], Any], scale: float, said: str, line: str
) -> None:
    step, p = training(scale)
    with pytest.raises(CheckError, match=said) as caught:
        stage(step)()
    assert line in str(caught.value)
    assert p.tolist() == [0, 1, 2]
    assert p.grad is not None
    assert p.grad.tolist() == [0, 0, 0]


def test_says_what_the_operands_were() -> None:
    with pytest.raises(CheckError, match=r"operand 0 there: inf\n +operand 1 there: inf"):
        nets.trace(lambda x: nets.exp(x) - nets.exp(x + 1))(np.float32(800))
    with pytest.raises(CheckError, match=r"from log\n"):
        nets.trace(lambda x: nets.sum(nets.log(x)))(np.float32(-1))


def test_in_the_backward_half_of_a_traced_function() -> None:
    root = nets.trace(lambda x: nets.sum(nets.sqrt(x) * 0))
    x = nets.Tensor([0.0, 2.0], requires_grad=True)
    with pytest.raises(CheckError, match="backward through sqrt"):
        root(x).backward()


def test_what_a_where_leaves_aside_may_be_nan() -> None:
    def safe(x: nets.Tensor) -> nets.Tensor:
        return nets.sum(nets.where(x > 0, nets.log(x), 0.0))

    x = np.array([1.0, -1.0])
    assert nets.trace(safe)(x).item() == 0
    eager = nets.Tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        safe(eager).backward()  # 0 / −1 is a number


def test_arguments_that_are_nan_are_named() -> None:
    double = nets.trace(lambda x, y: x * 2 + y)
    with pytest.raises(CheckError, match="is given NaN: it is in y already"):
        double(np.ones(2), np.array([1.0, np.nan]))
    assert nets.trace(nets.isnan)(np.array([np.nan])).tolist() == [True]


def test_on_the_reference_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    with pytest.raises(CheckError, match="from log"):
        nets.trace(nets.log)(np.array([-1.0]))
