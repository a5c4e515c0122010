"""Further optimisers, schedules and averages of weights: PyTorch's numbers, eager and traced."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import ArgumentError, TraceError
from nets.optim import swa_utils

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(1)
START = [RNG.normal(size=(3, 2)), RNG.normal(size=4)]
GOAL = [RNG.normal(size=(3, 2)), RNG.normal(size=4)]

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "NAdam": [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1, "betas": (0.8, 0.9)}, {"decoupled_weight_decay": True}],
    "Adamax": [{}, {"lr": 0.1, "weight_decay": 0.2, "maximize": True}],
    "Adadelta": [{}, {"rho": 0.5, "weight_decay": 0.1}],
    "ASGD": [{}, {"lr": 0.1, "t0": 3, "lambd": 0.1}, {"weight_decay": 0.1}],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (0.01, 0.2)}],
}
CASES = [(name, options) for name, many in OPTIONS.items() for options in many]


def by_pytorch(name: str, options: dict[str, Any], steps: int) -> Any:
    params = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in START]
    optimizer = getattr(torch.optim, name)(params, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(
            ((p - torch.from_numpy(g)) ** 4).sum() for p, g in zip(params, GOAL, strict=True)
        ).backward()
        optimizer.step()
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("traced", [False, True])
def test_steps_are_those_of_pytorch(name: str, options: dict[str, Any], traced: bool) -> None:
    params = [nn.Parameter(a) for a in START]
    optimizer = getattr(optim, name)(params, **options)

    def step() -> Any:
        optimizer.zero_grad()
        loss = sum(((p - g) ** 4).sum() for p, g in zip(params, GOAL, strict=True))
        loss.backward()
        optimizer.step()
        return loss

    run = nets.trace(step) if traced else step
    for _ in range(9):
        run()
    rtol = 1e-6 if name == "ASGD" else 1e-9  # PyTorch rounds its rates to float32
    for p, expected in zip(params, by_pytorch(name, options, 9), strict=True):
        np.testing.assert_allclose(p.numpy(), expected, rtol=rtol, atol=1e-12)
    saved = copy.deepcopy(optimizer.state_dict())
    again = getattr(optim, name)(params, **options)
    again.load_state_dict(saved)
    assert [x.tolist() for _, x in again.named_state()] == [
        x.tolist() for _, x in optimizer.named_state()
    ]


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("traced", [False, True])
def test_lbfgs_is_that_of_pytorch(search: str | None, size: int, traced: bool) -> None:
    start = np.linspace(-1.2, 1.0, size)
    options: dict[str, Any] = {"line_search_fn": search, "history_size": 4, "max_iter": 7}
    options["lr"] = 1.0 if search else 1e-2
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    torch_optimizer = torch.optim.LBFGS([theirs], **options)
    own = nn.Parameter(start)
    optimizer = optim.LBFGS([own], **options)

    def loss() -> Any:
        optimizer.zero_grad()
        value = rosenbrock(own)
        value.backward()
        return value

    def torch_loss() -> Any:
        torch_optimizer.zero_grad()
        value = rosenbrock(theirs)
        value.backward()
        return value

    closure = nets.trace(loss) if traced else loss
    for i in range(6):
        if i == 3:  # what is saved goes on as what is not
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = optim.LBFGS([own], **options)
            optimizer.load_state_dict(state)
        found, expected = optimizer.step(closure), torch_optimizer.step(torch_loss)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-9)
    np.testing.assert_allclose(own.numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_lbfgs_says_what_it_needs() -> None:
    p = nn.Parameter([1.0, 2.0])
    optimizer = optim.LBFGS([p])
    with pytest.raises(ArgumentError, match="closure"):
        optimizer.step()
    with pytest.raises(ArgumentError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="wolfe")
    with pytest.raises(TraceError, match="outside"):
        nets.trace(lambda: optimizer.step(lambda: (p * p).sum()))()


SCHEDULES: dict[str, list[dict[str, Any]]] = {
    "ConstantLR": [{}, {"factor": 0.5, "total_iters": 2}],
    "PolynomialLR": [{}, {"total_iters": 7, "power": 2.0}],
    "MultiplicativeLR": [{"lr_lambda": lambda n: 0.9 + 0.01 * n}],
    "CosineAnnealingWarmRestarts": [{"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "step_size_down": 2},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9},
    ],
    "SWALR": [{"swa_lr": 0.05}, {"swa_lr": 0.3, "anneal_epochs": 4, "anneal_strategy": "linear"}],
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, many in SCHEDULES.items() for options in many]
)
def test_schedules_are_those_of_pytorch(name: str, options: dict[str, Any]) -> None:
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.2, momentum=0.9)
    own = optim.SGD([nn.Parameter([0.0])], 0.2, momentum=0.9)
    if name == "SWALR":
        schedule: Any = swa_utils.SWALR(own, **options)
        expected: Any = torch.optim.swa_utils.SWALR(theirs, **options)
    else:
        schedule = getattr(optim.lr_scheduler, name)(own, **options)
        expected = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(12):
        assert own.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12, abs=1e-15)
        found = own.param_groups[0]["momentum"]
        assert found == pytest.approx(theirs.param_groups[0]["momentum"])
        theirs.step()
        schedule.step()
        expected.step()


def test_chained_schedules_multiply() -> None:
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.2)
    own = optim.SGD([nn.Parameter([0.0])], 0.2)
    rooms = [(optim.lr_scheduler, own), (torch.optim.lr_scheduler, theirs)]
    ours, expected = (
        room.ChainedScheduler(
            [room.ConstantLR(one, 0.1, 3), room.ExponentialLR(one, 0.9), room.StepLR(one, 4)]
        )
        for room, one in rooms
    )
    for _ in range(9):
        assert own.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        theirs.step()
        ours.step()
        expected.step()
    state = ours.state_dict()
    ours.step()
    ours.load_state_dict(state)
    assert ours.schedulers[0].last_epoch == 9


AVERAGES = [
    (lambda room: {}, False),
    (lambda room: {"avg_fn": room.get_ema_avg_fn(0.7)}, True),
    (lambda room: {"multi_avg_fn": room.get_ema_multi_avg_fn(0.9)}, False),
    (lambda room: {"multi_avg_fn": room.get_swa_multi_avg_fn()}, False),
]


@pytest.mark.parametrize(("options", "use_buffers"), AVERAGES)
def test_averaged_models(options: Any, use_buffers: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        for p, q in zip(theirs.parameters(), model.parameters(), strict=True):
            p.copy_(torch.from_numpy(q.numpy()))
    own = swa_utils.AveragedModel(model, use_buffers=use_buffers, **options(swa_utils))
    room = torch.optim.swa_utils
    expected = room.AveragedModel(theirs, use_buffers=use_buffers, **options(room))
    update = nets.trace(lambda: own.update_parameters(model))
    for i in range(4):
        x = RNG.normal(size=(5, 3)).astype("float32") + i
        model(x)
        theirs(torch.from_numpy(x))
        update() if i % 2 else own.update_parameters(model)
        expected.update_parameters(theirs)
        for p in model.parameters():
            p.data = p * 1.5
        with torch.no_grad():
            for q in theirs.parameters():
                q.mul_(1.5)
    assert own.n_averaged.item() == 4  # type: ignore[attr-defined]
    batches = [RNG.normal(size=(6, 3)).astype("float32") for _ in range(3)]
    swa_utils.update_bn(batches, own)
    room.update_bn([torch.from_numpy(b) for b in batches], expected)
    found, wanted = own.state_dict(), expected.state_dict()
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        np.testing.assert_allclose(value, wanted[key].numpy(), rtol=2e-5, atol=1e-6, err_msg=key)
    assert own.eval()(batches[0]).shape == (6, 2)
