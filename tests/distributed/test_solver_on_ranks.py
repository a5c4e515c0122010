"""A Solver's run has the same bits on any number of ranks, and goes on on another number."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import data, distributed, nn
from nets.distributed import simulated
from nets.errors import ArgumentError

_RNG = np.random.default_rng(2)
X = _RNG.standard_normal((61, 5)).astype(np.float32)
Y = _RNG.integers(0, 3, 61)
_ALONE = threading.Lock()


def solver_of(shards: int) -> nets.Solver:
    with _ALONE:  # simulated ranks share the generator
        nets.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    optimizer = nets.optim.AdamW(model.parameters(), lr=0.02)
    loss = nn.functional.cross_entropy
    return nets.Solver(model, loss, optimizer, ["accuracy"], shards=shards)


def loader_of(shards: int, **options: Any) -> data.DataLoader:
    return data.DataLoader(data.TensorDataset(X, Y), 16, shuffle=True, shards=shards, **options)


def trained(epochs: int, own: bool, checkpoint: Path | None = None) -> Any:
    solver = solver_of(4)
    loader = loader_of(4, drop_last=True) if own else loader_of(1)
    history = solver.run(epochs, loader, loader_of(1), False, checkpoint=checkpoint)
    state = solver.model.state_dict()
    return history, [np.asarray(state[key]).tobytes() for key in sorted(state)]


@pytest.mark.parametrize("own", [False, True], ids=["whole batches", "own rows"])
def test_same_run_on_any_number_of_ranks(own: bool) -> None:
    alone = trained(2, own)
    for count in (2, 4):
        assert simulated.run(lambda rank: trained(2, own), count) == [alone] * count


def test_resumes_on_another_number_of_ranks(tmp_path: Path) -> None:
    wanted = trained(3, False)
    path = tmp_path / "run.npz"
    simulated.run(lambda rank: trained(1, False, path), 4)
    simulated.run(lambda rank: trained(2, False, path), 2)
    assert trained(3, False, path) == wanted


def test_the_first_rank_writes_and_prints(tmp_path: Path) -> None:
    def run(rank: int) -> None:
        solver = solver_of(2)
        solver.run(1, loader_of(1), checkpoint=tmp_path / f"{rank}.npz")

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        simulated.run(run, 2)
    assert shown.getvalue().count("epoch 1/1") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="drop_last=True"):
        data.DataLoader(data.TensorDataset(X[:58], Y[:58]), 16, shards=4)
    with pytest.raises(ArgumentError, match="16 samples cannot be cut evenly into 3"):
        loader_of(3, drop_last=True)
    with pytest.raises(ArgumentError, match="deals out 2 shards and the Solver has 4"):
        solver_of(4).train(loader_of(2, drop_last=True))
    with pytest.raises(ArgumentError, match="4 shards cannot be dealt out evenly to 3 ranks"):
        simulated.run(lambda rank: list(loader_of(4, drop_last=True)), 3)


def test_parts_are_those_of_the_whole_batches() -> None:
    whole = [x.numpy() for x, _ in loader_of(4, drop_last=True)]

    def parts(rank: int) -> Any:
        assert distributed.size() == 2
        return [x.numpy() for x, _ in loader_of(4, drop_last=True)]

    first, second = simulated.run(parts, 2)
    assert all(map(np.array_equal, whole, map(lambda *x: np.concatenate(x), first, second)))
