"""Solver: training, history, early stopping, and runs that are resumed to the same bits."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import data, nn, optim


def problem(trace: bool = True, lr: float = 0.01) -> tuple[nets.Solver, data.DataLoader]:
    """Two classes in the plane; with dropout, so that the random state counts."""
    nets.manual_seed(3)
    x = np.random.default_rng(0).standard_normal((60, 2)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("int64")
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters(), lr=lr)
    solver = nets.Solver(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy"],
        scheduler=optim.CosineAnnealingLR(optimizer, 60),
        schedule="batch",
        trace=trace,
    )
    return solver, data.DataLoader(data.TensorDataset(x, y), 15, shuffle=True, seed=1)


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    solver, loader = problem(lr=0.1)
    history = solver.run(12, loader, loader, verbose=False)
    assert list(history) == ["loss", "accuracy", "eval_loss", "eval_accuracy", "lr"]
    assert all(len(numbers) == 12 for numbers in history.values())
    assert history["eval_loss"][-1] < 0.5 * history["eval_loss"][0]
    assert history["eval_accuracy"][-1] > 0.9
    assert capsys.readouterr().out == ""
    assert solver.model.training
    solver.run(13, loader)
    assert capsys.readouterr().out.startswith("epoch 13/13  loss 0.")
    scores = solver.predict(np.zeros((3, 2), "float32"))
    assert scores.shape == (3, 2)
    assert not scores.requires_grad


def test_eager_and_traced_agree() -> None:
    losses = []
    for trace in (True, False):
        solver, loader = problem(trace)
        losses.append(solver.run(2, loader, verbose=False)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trace", [True, False])
def test_evaluation_leaves_the_mode_and_weighs_samples(trace: bool, training: bool) -> None:
    """Without dropout; of batches of 16, 16, 16 and 12 as of all samples at once."""
    solver, loader = problem(trace)
    model, arrays = solver.model.train(training), loader.dataset.arrays  # type: ignore[attr-defined]
    uneven = data.DataLoader(loader.dataset, 16)
    for _ in range(2):
        means = solver.evaluate(uneven)
        scores = solver.predict(arrays[0])
        assert model.training == training
        assert all(module.training == training for module in model.modules())
        loss = nn.functional.cross_entropy(scores, arrays[1]).item()
        hits = np.mean(np.argmax(scores.numpy(), 1) == arrays[1])
        assert means == pytest.approx({"loss": loss, "accuracy": hits}, rel=1e-5)
    with pytest.raises(nets.errors.NetsError):
        solver.evaluate([(np.zeros((4, 3), "float32"), np.zeros(4, "int64"))])
    with pytest.raises(nets.errors.NetsError):
        solver.predict(np.zeros((4, 3), "float32"))
    assert model.training == training


class Interrupted(Exception):
    """As if somebody had pressed Ctrl-C."""


INTERRUPTIONS = [("_train_step", 2), ("_train_step", 5), ("_train_step", 7), ("evaluate", 2)]


def shuffled(loader: data.DataLoader) -> data.DataLoader:
    """The order of the evaluation counts in the last bits of its means."""
    return data.DataLoader(loader.dataset, 7, shuffle=True, seed=2)


@functools.cache
def whole_run() -> tuple[Any, Any]:
    """History and weights of a run that nobody interrupts."""
    solver, loader = problem()
    return solver.run(3, loader, shuffled(loader), verbose=False), solver.model.state_dict()


@pytest.mark.parametrize(("name", "time"), INTERRUPTIONS)
@pytest.mark.long
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path: Path, name: str, time: int) -> None:
    expected, weights = whole_run()
    path = tmp_path / f"run.{'npz' if time % 2 else 'safetensors'}"
    solver, loader = problem()
    step, calls = getattr(solver, name), []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == time:
            raise Interrupted
        return step(*arguments)

    setattr(solver, name, interrupted)
    options: dict[str, Any] = {"verbose": False, "checkpoint": path, "checkpoint_every": 1}
    with pytest.raises(Interrupted):
        solver.run(3, loader, shuffled(loader), **options)

    solver, loader = problem(lr=0.5)
    nets.manual_seed(99)
    found = solver.run(3, loader, shuffled(loader), **options)
    assert found == expected
    np.testing.assert_equal(solver.model.state_dict(), weights)


def test_early_stopping() -> None:
    solver, loader = problem(trace=False, lr=0.0)
    solver.criterion = lambda outputs, targets: nets.mean(outputs * 0) + 1.0
    assert len(solver.run(9, loader, verbose=False, patience=2)["loss"]) == 3
    assert solver.best is not None
    assert solver.best.keys() == solver.model.state_dict().keys()


def test_what_is_refused(tmp_path: Path) -> None:
    solver, loader = problem(trace=False)
    path = tmp_path / "run.npz"
    solver.save(path, loader)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before = solver.model.state_dict()
    with pytest.raises(nets.errors.LoadError):
        solver.resume(path)
    path.write_bytes(whole)
    other = nets.Solver(nn.Linear(2, 2), nn.MSELoss(), optim.SGD([nn.Parameter([1.0])]))
    with pytest.raises(nets.errors.ArgumentError):
        other.resume(path)
    same = nets.Solver(solver.model, nn.MSELoss(), optim.SGD([nn.Parameter([1.0])]))
    with pytest.raises(nets.errors.ArgumentError):
        same.resume(path)
    plain = nets.Solver(solver.model, nn.MSELoss(), solver.optimizer)
    with pytest.raises(nets.errors.ArgumentError, match="another schedule"):
        plain.resume(path)
    np.testing.assert_equal(solver.model.state_dict(), before)
    data.save(path, {"x": 1})
    with pytest.raises(nets.errors.LoadError, match="no checkpoint"):
        solver.resume(path)
    with pytest.raises(nets.errors.ArgumentError):
        solver.run(1, [], verbose=False)
    with pytest.raises(nets.errors.ArgumentError, match="a batch is a tuple"):
        solver.evaluate([{"x": np.zeros((2, 2)), "y": np.zeros(2)}])
    with pytest.raises(nets.errors.ArgumentError):
        nets.Solver(solver.model, nn.MSELoss(), solver.optimizer, metrics=["speed"])


def test_plot_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    solver, _ = problem(trace=False)
    with pytest.raises(nets.errors.LoadError, match=r"nets-compiler\[plot\]"):
        solver.plot()


@pytest.mark.long
def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    solver, loader = problem(trace=False)
    solver.run(2, loader, loader, verbose=False)
    figure = solver.plot(tmp_path / "history.png")
    assert [panel.get_ylabel() for panel in figure.axes] == ["loss", "accuracy"]
    assert [line.get_xydata()[:, 1].tolist() for line in figure.axes[0].lines] == [
        solver.history["loss"],
        solver.history["eval_loss"],
    ]
    assert (tmp_path / "history.png").read_bytes()[1:4] == b"PNG"
