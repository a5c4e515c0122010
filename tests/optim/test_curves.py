"""Optimisers and schedules against PyTorch: single updates, and the losses of 200 steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nets
from nets import nn, optim
from tests.optim.test_optimizers import training, wave
from tests.optim.test_updates_by_hand import OPTIMISERS

torch: Any = pytest.importorskip(
    "torch", reason='PyTorch is not installed: pip install "nets-compiler[torch]"'
)

STEPS = 200


def theirs(dtype: str) -> Any:
    """PyTorch's model of the problem ``training`` makes."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    model.to(getattr(torch, dtype))
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(torch.tensor(wave(tuple(p.shape), i)))
    return model


def expected(name: str, options: dict[str, Any], dtype: str) -> list[float]:
    """PyTorch's loss before each step."""
    model = theirs(dtype)
    optimizer = getattr(torch.optim, name)(model.parameters(), **options)
    x, y = (torch.tensor(z.astype(dtype)) for z in (wave((8, 3)), wave((8, 1), 0.7)))
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_curves_are_pytorchs(name: str, options: dict[str, Any]) -> None:
    """Of all 200 steps: eager and compiled to 1e-9 in float64, compiled to 1e-4 in float32."""
    wanted = expected(name, options, "float64")
    eager, _, _ = training(name, options)
    np.testing.assert_allclose([eager().item() for _ in range(STEPS)], wanted, rtol=1e-9)
    compiled = nets.trace(training(name, options)[0])
    np.testing.assert_allclose([compiled().item() for _ in range(STEPS)], wanted, rtol=1e-9)
    single = nets.trace(training(name, options, "float32")[0])
    found = [single().item() for _ in range(STEPS)]
    np.testing.assert_allclose(found, expected(name, options, "float32"), rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_an_update_is_pytorchs_to_the_last_bits(name: str, options: dict[str, Any]) -> None:
    """From the same weights and the same gradients, be they as small as rounding errors.

    What is left of a curve's difference in float32 comes from the gradients, then: RMSprop and
    Adagrad divide them by their own size, and so turn what rounding leaves of a gradient near
    zero into steps as long as any other.
    """
    start = wave((40,)).astype("float32")
    ours = nn.Parameter(start)
    other = torch.nn.Parameter(torch.tensor(start))
    optimizer = getattr(optim, name)([ours], **options)
    reference = getattr(torch.optim, name)([other], **options)
    for step in range(30):
        gradient = (wave((40,), step) * 10.0 ** -(np.arange(40) % 12)).astype("float32")
        ours.data = other.detach().numpy().copy()
        ours.grad = nets.Tensor(gradient)
        other.grad = torch.tensor(gradient)
        optimizer.step()
        reference.step()
        np.testing.assert_allclose(
            ours.data, other.detach().numpy(), rtol=5e-7, atol=5e-8, err_msg=str(step)
        )


def adam(loss: Callable[..., nets.Tensor]) -> Callable[..., Any]:
    """A step of Adam as a function of its state, which a library takes and gives."""

    def step(
        params: dict[str, nets.Tensor], m: Any, v: Any, count: Any, x: Any, y: Any
    ) -> tuple[nets.Tensor, Any, Any, Any]:
        value, grads = nets.value_and_grad(loss)(params, x, y)
        m = {name: 0.9 * m[name] + 0.1 * g for name, g in grads.items()}
        v = {name: 0.999 * v[name] + 0.001 * g * g for name, g in grads.items()}
        root = nets.sqrt(1 - 0.999**count)
        moved = {
            name: p - 0.01 / (1 - 0.9**count) * m[name] / (nets.sqrt(v[name]) / root + 1e-8)
            for name, p in params.items()
        }
        return value, moved, m, v

    return step


def test_an_exported_step_trains_as_pytorch(tmp_path: Path) -> None:
    def loss(params: dict[str, nets.Tensor], x: Any, y: Any) -> nets.Tensor:
        hidden = nets.tanh(nn.functional.linear(x, params["w1"], params["b1"]))
        return nn.functional.mse_loss(nn.functional.linear(hidden, params["w2"], params["b2"]), y)

    weights = [p.detach().numpy() for p in theirs("float64").parameters()]
    params: Any = dict(zip(("w1", "b1", "w2", "b2"), weights, strict=True))
    m: Any = {name: np.zeros_like(p) for name, p in params.items()}
    v: Any = {name: np.zeros_like(p) for name, p in params.items()}
    x, y = wave((8, 3)), wave((8, 1), 0.7)
    count = np.array(1.0)
    step = nets.trace(adam(loss))
    exported = nets.export(tmp_path / "adam", step=step.lower(params, m, v, count, x, y))
    library = nets.load(exported.files[0])
    losses = []
    for _ in range(STEPS):
        value, params, m, v = library.step(params, m, v, count, x, y)
        losses.append(float(value))
        count = count + 1
    np.testing.assert_allclose(losses, expected("Adam", {"lr": 0.01}, "float64"), rtol=1e-9)


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda m, o: m.StepLR(o, 4, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [3, 9], 0.5),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "LambdaLR": lambda m, o: m.LambdaLR(o, lambda n: 1 / (n + 1)),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.25, total_iters=6),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 12, 0.01),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.5, epochs=4, steps_per_epoch=5),
    "OneCycleLR, linear": lambda m, o: m.OneCycleLR(o, 0.5, 20, anneal_strategy="linear"),
    "warm-up": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=5), m.CosineAnnealingLR(o, 15)], [5]
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:.*SequentialLR.*")
def test_schedules_are_pytorchs(name: str) -> None:
    found: list[npt.NDArray[np.float64]] = []
    for package, schedules, parameter in (
        (torch.optim, torch.optim.lr_scheduler, torch.nn.Parameter(torch.tensor([0.0]))),
        (optim, optim, nn.Parameter([0.0])),
    ):
        optimizer = package.AdamW([parameter], lr=0.3)
        schedule = SCHEDULES[name](schedules, optimizer)
        rates = []
        for _ in range(19):
            optimizer.step()
            group = optimizer.param_groups[0]
            rates.append([schedule.get_last_lr()[0], group["betas"][0]])
            schedule.step()
        found.append(np.array(rates))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


def test_a_plateau_is_pytorchs() -> None:
    values = [3.0, 2.0, 2.1, 2.2, 1.99999, 2.5, 2.5, 2.5, 1.0, 1.1, 1.2, 1.3, 1.4]
    found = []
    for package, schedules, parameter in (
        (torch.optim, torch.optim.lr_scheduler, torch.nn.Parameter(torch.tensor([0.0]))),
        (optim, optim, nn.Parameter([0.0])),
    ):
        optimizer = package.SGD([parameter], lr=0.3)
        schedule = schedules.ReduceLROnPlateau(optimizer, "min", 0.5, 2, cooldown=1, min_lr=0.05)
        for value in values:
            schedule.step(value)
            found.append(optimizer.param_groups[0]["lr"])
    assert found[len(values) :] == pytest.approx(found[: len(values)], rel=1e-12)
