"""Optimisers and schedules: formulas, groups, state, and what a compiled step makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn, optim


def wave(shape: tuple[int, ...], shift: float = 0.0) -> npt.NDArray[np.float64]:
    """Numbers that look random and are the same everywhere."""
    return np.sin(1.7 * np.arange(int(np.prod(shape))) + shift).reshape(shape)


def training(
    name: str, options: dict[str, Any], dtype: str = "float64"
) -> tuple[Callable[..., nets.Tensor], nn.Module, optim.Optimizer]:
    """A step of a small problem, its model and optimiser."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).astype(dtype)
    model.load_state_dict(
        {path: wave(a.shape, i) for i, (path, a) in enumerate(model.state_dict().items())}
    )
    optimizer = getattr(optim, name)(model.parameters(), **options)
    criterion = nn.MSELoss()
    x, y = wave((8, 3)).astype(dtype), wave((8, 1), 0.7).astype(dtype)

    def step() -> nets.Tensor:
        optimizer.zero_grad()
        loss: nets.Tensor = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, model, optimizer


def test_lion_by_hand() -> None:
    p = nn.Parameter([1.0, -2.0])
    lion = optim.Lion([p], lr=0.1, betas=(0.5, 0.8), weight_decay=0.2)
    for gradient in ([1.0, -4.0], [-3.0, 0.0]):
        p.grad = nets.Tensor(gradient)
        lion.step()
    # m = 0.2 g; the second direction is sign(0.5 · [0.2, −0.8] + 0.5 · [−3, 0]) = [−1, −1]
    np.testing.assert_allclose(
        p.data, [(1 * 0.98 - 0.1) * 0.98 + 0.1, (-2 * 0.98 + 0.1) * 0.98 + 0.1], rtol=1e-12
    )


# ------------------------------------------------------------------------------ schedules


def rates(make: Callable[[optim.Optimizer], optim.LRScheduler], steps: int) -> list[float]:
    optimizer = optim.SGD([nn.Parameter([0.0])], lr=1.0)
    schedule = make(optimizer)
    found = [optimizer.lr]
    for _ in range(steps):
        schedule.step()
        found.append(schedule.get_last_lr()[0])
    return found


def test_schedules() -> None:
    assert rates(lambda o: optim.StepLR(o, 2, 0.5), 4) == [1, 1, 0.5, 0.5, 0.25]
    assert rates(lambda o: optim.MultiStepLR(o, [1, 3], 0.5), 3) == [1, 0.5, 0.5, 0.25]
    assert rates(lambda o: optim.ExponentialLR(o, 0.5), 2) == [1, 0.5, 0.25]
    assert rates(lambda o: optim.LambdaLR(o, lambda n: 1 / (n + 1)), 1) == [1, 0.5]
    assert rates(lambda o: optim.LinearLR(o, 0.5, total_iters=2), 3) == [0.5, 0.75, 1, 1]
    cosine = rates(lambda o: optim.CosineAnnealingLR(o, 4, 0.2), 4)
    assert cosine == pytest.approx(
        [1, 0.6 + 0.4 * math.sqrt(0.5), 0.6, 0.6 - 0.4 * math.sqrt(0.5), 0.2]
    )


def test_a_sequence_of_schedules_starts_each_from_the_first_rate() -> None:
    found = rates(
        lambda o: optim.SequentialLR(
            o, [optim.LinearLR(o, 0.5, total_iters=2), optim.ExponentialLR(o, 0.1)], [2]
        ),
        4,
    )
    assert found == pytest.approx([0.5, 0.75, 1, 0.1, 0.01])


def test_one_cycle_moves_momentum_the_other_way() -> None:
    adam = optim.Adam([nn.Parameter([0.0])], lr=1.0)
    schedule = optim.OneCycleLR(adam, max_lr=0.5, total_steps=11, pct_start=5 / 11)
    assert (adam.lr, adam.param_groups[0]["betas"][0]) == pytest.approx((0.02, 0.95))
    for _ in range(4):
        schedule.step()
    assert (adam.lr, adam.param_groups[0]["betas"]) == (0.5, (0.85, 0.999))
    for _ in range(6):
        schedule.step()
    assert (adam.lr, adam.param_groups[0]["betas"][0]) == pytest.approx((2e-6, 0.95))
    with pytest.raises(nets.errors.ArgumentError, match="over"):
        schedule.step()


def test_a_plateau_lowers_the_rate() -> None:
    sgd = optim.SGD([nn.Parameter([0.0])], lr=1.0)
    schedule = optim.ReduceLROnPlateau(sgd, factor=0.5, patience=1, cooldown=1)
    found = []
    for value in (1.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.6):
        schedule.step(value)
        found.append(sgd.lr)
    assert found == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_a_schedule_changes_a_compiled_step_without_another_trace() -> None:
    step, _, optimizer = training("SGD", {"lr": 0.02, "momentum": 0.9})
    other, _, eager = training("SGD", {"lr": 0.02, "momentum": 0.9})
    traced = nets.trace(step)
    for schedule, run in (
        (optim.StepLR(optimizer, 1, 0.5), traced),
        (optim.StepLR(eager, 1, 0.5), other),
    ):
        losses = []
        for _ in range(6):
            losses.append(run().item())
            schedule.step()
        if run is traced:
            expected = losses
    assert losses == pytest.approx(expected, rel=1e-12)
    assert traced.stats()["traces"] == 1
    optimizer.param_groups[0]["weight_decay"] = 0.5  # a constant of the step
    eager.param_groups[0]["weight_decay"] = 0.5
    for _ in range(2):
        assert traced().item() == pytest.approx(other().item(), rel=1e-12)
    assert traced.stats()["traces"] == 2


def test_a_schedule_refuses_to_be_traced() -> None:
    schedule = optim.StepLR(optim.SGD([nn.Parameter([0.0])]), 1)

    @nets.trace
    def step(x: nets.Tensor) -> nets.Tensor:
        schedule.step()
        return x

    with pytest.raises(nets.errors.TraceError, match="outside the traced function"):
        step(nets.Tensor([1.0]))


# ------------------------------------------------------------------------- groups, state


def test_groups_have_their_own_options() -> None:
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0])
    sgd = optim.SGD([{"params": [p]}, {"params": q, "lr": 0.5}], lr=0.25)
    p.grad = q.grad = nets.Tensor([1.0])
    sgd.step()
    assert (p.item(), q.item()) == (0.75, 0.5)
    assert dict(sgd.param_groups[1])["lr"] == 0.5
    assert "group 1: 1 parameters, lr=0.5" in repr(sgd)
    sgd.zero_grad()
    assert p.grad is not None
    assert p.grad.tolist() == [0.0]


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ([], {}),
        ([nets.Tensor([1.0])], {}),
        ([nets.Tensor([1], requires_grad=True)], {}),
        ([nets.Tensor([1.0], requires_grad=True) * 2], {}),
        ([nn.Parameter([1.0])] * 2, {}),
        ([{"params": [nn.Parameter([1.0])], "speed": 1}], {}),
        ([nn.Parameter([1.0])], {"lr": -1.0}),
        ([nn.Parameter([1.0])], {"nesterov": True}),
    ],
)
def test_what_an_optimiser_refuses(params: Any, options: dict[str, Any]) -> None:
    with pytest.raises(nets.errors.ArgumentError, match=r"test_optimizers\.py"):
        optim.SGD(params, **options)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion"])
def test_state_goes_on_where_it_was_taken(name: str) -> None:
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    step, model, optimizer = training(name, {"lr": 0.01, **options})
    for _ in range(3):
        step()
    saved, weights = optimizer.state_dict(), model.state_dict()
    expected = [step().item() for _ in range(3)]
    again, other, fresh = training(name, {"lr": 0.5, **options})
    other.load_state_dict(weights)
    fresh.load_state_dict(saved)
    assert [again().item() for _ in range(3)] == expected


def test_state_of_another_optimiser_is_refused() -> None:
    p = nn.Parameter([1.0])
    adam = optim.Adam([p])
    before = adam.state_dict()
    for other in (
        optim.SGD([nn.Parameter([1.0])], momentum=0.5),
        optim.Adam([nn.Parameter([1.0, 2.0])]),
        optim.Adam([nn.Parameter([1.0]), nn.Parameter([1.0])]),
    ):
        with pytest.raises((nets.errors.ArgumentError, nets.errors.ShapeError)):
            adam.load_state_dict(other.state_dict())
    np.testing.assert_equal(adam.state_dict(), before)
