"""The same bits whatever floating-point mode another library has left the thread in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.ops.definition.registry import Array

_dispatch = pytest.importorskip("nets._dispatch")

IEEE = 0x1F80
FLAGS = 0x3F
MODES = {
    "flush to zero": IEEE | 0x8040,
    "up": IEEE | 0x4000,
    "down": IEEE | 0x2000,
    "to zero": IEEE | 0x6000,
}


@contextmanager
def mode_of_thread(mode: int) -> Iterator[None]:
    """The thread is in that mode, before and after what is done."""
    before = _dispatch.ieee_enter()
    _dispatch.ieee_leave(mode)
    try:
        yield
    finally:
        left = _dispatch.ieee_enter()
        _dispatch.ieee_leave(before)
    assert left & ~FLAGS == mode


TINY = {
    dtype: np.array([1, -1, 0.5, 2, 3, 7], dtype) * np.finfo(dtype).tiny
    for dtype in (np.float32, np.float64)
}
MIXED = {dtype: np.linspace(-1, 1, 6, dtype=dtype) / dtype(3) for dtype in (np.float32, np.float64)}

SMALL = np.float32(1.1e-39)

UNARY: dict[str, Callable[[Any], Any]] = {
    "scaled": lambda x: x * 0.25,
    "divided": lambda x: x / 3,
    "sum": lambda x: (x * 0.125).sum(),
    "mean": lambda x: nets.mean(x * 0.125),
    "cumsum": lambda x: nets.cumsum(x / 7),
    "exp": lambda x: nets.exp(x * 0.9 - 87.9),
    "comparison": lambda x: (x * 0.25 > 0) & (x * 0.25 != 0),
    "maximum": lambda x: nets.maximum(x * 0.25, 0),
    "narrowed": lambda x: nets.astype(nets.astype(x, "float64") / 3, "float32"),
    "widened": lambda x: nets.astype(nets.astype(x * 0.25, "float32"), "float64"),
    "matmul": lambda x: nets.outer(x, x * 0 + 0.1) @ x,
    "power": lambda x: x**2 * 1e-3,
    "subtraction": lambda x: x - x * 0.75,
    "constant": lambda x: x * 0 + nets.Tensor(SMALL),
}


def bits(x: Any) -> bytes:
    return np.asarray(x.numpy() if isinstance(x, nets.Tensor) else x).tobytes()


@pytest.fixture(params=MODES.values(), ids=MODES)
def mode(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@functools.cache
def in_ieee_mode(name: str) -> list[tuple[Array, list[bytes]]]:
    """Each argument, and what comes of it eagerly, traced, and on the reference."""
    f, found = UNARY[name], []
    for x in (*TINY.values(), *MIXED.values()):
        traced = nets.trace(lambda x: f(x))
        reference = bits(nets.evaluate(traced.lower(x), x))
        found.append((x, [bits(f(nets.Tensor(x))), bits(traced(x)), reference]))
    return found


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.sampled(11)
def test_operations(name: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE", "0")
    f = UNARY[name]
    for x, (eager, native, reference) in in_ieee_mode(name):
        with mode_of_thread(mode):
            assert bits(f(nets.Tensor(x))) == eager
            # Traced, folded, compiled and run in that mode.
            traced = nets.trace(lambda x: f(x))
            assert bits(traced(x)) == native
            assert bits(nets.evaluate(traced.lower(x), x)) == reference


def test_gradients(mode: int) -> None:
    def gradient() -> bytes:
        x = nets.Tensor(TINY[np.float32], requires_grad=True)
        (x * 0.25 * x * 1e-1).sum().backward()
        (x * 0.1).sum().backward()
        (x * SMALL).sum().backward()
        return bits(x.grad)

    expected = gradient()
    with mode_of_thread(mode):
        assert gradient() == expected


def test_what_tensors_are_made_of(mode: int) -> None:
    makes: list[Callable[[], Any]] = [
        lambda: nets.Tensor(1e-40, dtype="float32"),
        lambda: nets.Tensor([0.1, 1e-45], dtype="float32"),
        lambda: nets.full((3,), 1e-40, dtype="float32"),
        lambda: nets.Tensor(TINY[np.float64] / 4).astype("float32"),
        lambda: nets.linspace(0, 1e-39, 5, dtype="float32"),
        lambda: nets.Tensor(TINY[np.float32]) * 1e-3,
    ]
    for make in makes:
        expected = bits(make())
        with mode_of_thread(mode):
            assert bits(make()) == expected


def test_constants_of_programs(mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE", "0")

    def f(x: Any) -> Any:
        small = nets.full((3,), 1e-38, dtype="float32") * 0.01
        return x * 1e-40 + small / 3

    x = np.ones(3, np.float32)
    expected = bits(nets.trace(f)(x))
    assert expected == bits(f(nets.Tensor(x)))
    with mode_of_thread(mode):
        assert bits(nets.trace(lambda x: f(x))(x)) == expected


def test_loaded_libraries(mode: int, tmp_path: Path) -> None:
    pytest.importorskip("cffi")
    nets.export(tmp_path / "tiny", scaled=nets.trace(lambda x: x / 3).lower(TINY[np.float32]))
    library = nets.load(tmp_path / "tiny.so")
    expected = bits(library.scaled(TINY[np.float32]))
    assert expected == bits(nets.Tensor(TINY[np.float32]) / 3)
    with mode_of_thread(mode):
        assert bits(library.scaled(TINY[np.float32])) == expected
