"""Classes and rows outside their range are refused, never counted from the end, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ArgumentError, IndexOutOfBoundsError, ShapeError

F = nn.functional
COUNT = 3
SCORES = np.random.default_rng(0).normal(size=(4, COUNT))
IMAGES = np.random.default_rng(1).normal(size=(4, COUNT, 1, 1))
WEIGHTS = np.array([1.0, 2.0, 0.5])
embedding, padded = nn.Embedding(COUNT, 2), nn.Embedding(COUNT, 2, padding_idx=-1)

TAKE_CLASSES: dict[str, Callable[[Any, int], Any]] = {
    "cross_entropy": lambda y, ignored: F.cross_entropy(SCORES, y, ignore_index=ignored),
    "of weights": lambda y, ignored: F.cross_entropy(SCORES, y, WEIGHTS, ignored),
    "smoothed": lambda y, ignored: F.cross_entropy(
        SCORES, y, WEIGHTS, ignored, label_smoothing=0.1
    ),
    "not reduced": lambda y, ignored: F.cross_entropy(
        SCORES, y, ignore_index=ignored, reduction="none"
    ),
    "of images": lambda y, ignored: F.cross_entropy(
        IMAGES, nets.reshape(y, (4, 1, 1)), ignore_index=ignored
    ),
    "nll_loss": lambda y, ignored: F.nll_loss(SCORES, y, WEIGHTS, ignored),
    "CrossEntropyLoss": lambda y, ignored: nn.CrossEntropyLoss(ignore_index=ignored)(SCORES, y),
    "gradient": lambda y, ignored: nets.grad(
        lambda scores: F.cross_entropy(scores, y, ignore_index=ignored)
    )(SCORES),
}
TAKE_ROWS: dict[str, Callable[[Any], Any]] = {
    "embedding": lambda y: F.embedding(y, SCORES[:COUNT]),
    "embedding with padding": lambda y: F.embedding(y, SCORES[:COUNT], -3),
    "Embedding": lambda y: embedding(y),
    "Embedding with padding": lambda y: padded(y),
    "one_hot": lambda y: F.one_hot(y, COUNT),
    "check_positions": lambda y: nets.check_positions(y, COUNT),
}
ALL = {
    **TAKE_ROWS,
    **{name: lambda y, f=f: f(y, -100) for name, f in TAKE_CLASSES.items()},
}
GOOD = np.array([0, 1, 2, 2])


def with_last(value: int, dtype: str = "int64") -> Any:
    return np.array([0, 1, 2, value]).astype(dtype)


@pytest.mark.parametrize("mode", ["eager", "traced", "interpreted"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.sampled(5)
def test_what_is_no_class_is_refused(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy" if mode == "interpreted" else "llvm")
    call = ALL[name] if mode == "eager" else nets.trace(ALL[name])
    for bad in (-1, -COUNT, COUNT, 2**62):
        with pytest.raises(IndexOutOfBoundsError, match="lambda"):
            call(with_last(bad))
    assert np.allclose(call(GOOD), ALL[name](GOOD), rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "uint64"])
@pytest.mark.sampled(3)
def test_classes_of_every_dtype(dtype: str) -> None:
    bad = with_last(COUNT if dtype.startswith("u") else -1, dtype)
    for call in (ALL["of weights"], ALL["Embedding"], ALL["one_hot"]):
        assert np.array_equal(call(with_last(2, dtype)), call(GOOD))
        for mode in (call, nets.trace(call)):
            with pytest.raises(IndexOutOfBoundsError):
                mode(bad)


def test_a_library_refuses_by_a_status(tmp_path: Path) -> None:
    names = ("cross_entropy", "nll_loss", "Embedding", "one_hot")
    low = {name.lower(): nets.trace(ALL[name]).lower(GOOD) for name in names}
    nets.export(tmp_path / "classes", **low)
    library = nets.load(tmp_path / "classes.so")
    for name in names:
        call = getattr(library, name.lower())
        assert np.allclose(call(GOOD), ALL[name](GOOD), rtol=1e-14, atol=0)
        for bad in (-1, COUNT):
            with pytest.raises(IndexOutOfBoundsError, match="from 0 to 2"):
                call(with_last(bad))


@pytest.mark.parametrize("name", TAKE_CLASSES)
@pytest.mark.parametrize("ignored", [-1, -100, -(2**40), 1, 7])
@pytest.mark.sampled(7)
def test_ignored_classes_may_be_any_number(name: str, ignored: int) -> None:
    call = TAKE_CLASSES[name]
    found = [np.asarray(f(with_last(ignored), ignored)) for f in (call, nets.trace(call))]
    assert np.allclose(*found, rtol=1e-14, atol=0)
    # Another number in the place of what is ignored changes nothing.
    elsewhere = np.asarray(call(with_last(ignored + 1), ignored + 1))
    if 0 <= ignored < COUNT or 0 <= ignored + 1 < COUNT:
        return
    assert np.array_equal(elsewhere, found[0])
    with pytest.raises(IndexOutOfBoundsError, match=str(ignored)):
        call(with_last(ignored + 1), ignored)


def test_the_mean_leaves_out_what_is_ignored() -> None:
    rest = F.cross_entropy(SCORES[:3], GOOD[:3], WEIGHTS).item()
    assert F.cross_entropy(SCORES, with_last(-1), WEIGHTS, -1).item() == pytest.approx(rest)


def test_options_outside_the_table() -> None:
    for bad in (COUNT, -COUNT - 1):
        with pytest.raises(ArgumentError, match="padding_idx"):
            nn.Embedding(COUNT, 2, bad)
        with pytest.raises(ArgumentError, match="padding_idx"):
            F.embedding(GOOD, SCORES[:COUNT], bad)
    for weight in (1.0, [1.0], np.ones(COUNT + 1), np.ones((1, COUNT))):
        for loss in (F.cross_entropy, F.nll_loss):
            with pytest.raises(ShapeError, match="weight of classes"):
                loss(SCORES, GOOD, weight)
    with pytest.raises(ShapeError, match="axis of classes"):
        F.cross_entropy(1.0, 0)
