"""Windows on one padded tensor: what was cut off does not come back with the next pad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets


def cut_and_padded(module: Any, x: Any, ends: tuple[int, int]) -> Any:
    """A pad, a part of it that leaves out elements of x, and a pad of that."""
    start, stop = ends
    around = module.pad(x, 1)
    part = around[start : len(x) + 2 - stop]
    return module.pad(part, (max(start - 1, 0), max(stop - 1, 0))) * 3, around * 2


@pytest.mark.parametrize("ends", [(0, 0), (3, 0), (0, 3), (2, 0), (4, 2)])
def test_what_was_cut_off_is_padding(ends: tuple[int, int]) -> None:
    x = np.arange(1, 10, dtype=np.float32)
    for have, want in zip(
        nets.trace(lambda x: cut_and_padded(nets, x, ends))(x),
        cut_and_padded(np, x, ends),
        strict=True,
    ):
        np.testing.assert_array_equal(have.numpy(), want)


Plan = list[tuple[float, tuple[int, int], list[tuple[int, int]]]]
"""For each level the number around, how many of them on both sides, and the ends cut off then."""


def plan(seed: int) -> Plan:
    rng = np.random.default_rng(seed)
    levels: Plan = []
    for _ in range(rng.integers(1, 4)):
        width = tuple(rng.integers(0, 4, 2).tolist())
        ends = [tuple(rng.integers(0, 3, 2).tolist()) for _ in range(rng.integers(2, 5))]
        levels.append((float(rng.choice([0.0, -np.inf, 1.0])), width, ends))
    return levels


def windows_on_windows(module: Any, x: Any, levels: Plan) -> list[Any]:
    """Windows on a pad, and those of the next level on it or on one of its windows."""
    found = []
    for number, width, ends in levels:
        around = module.pad(x, width, constant_values=number)
        size = len(x) + sum(width)
        parts = [around[low : size - high] for low, high in ends]
        found += [module.maximum(part, 0.5) for part in parts]
        x = around if len(found) % 2 else parts[-1]
    return found


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.sampled(5)
def test_windows_on_windows(seed: int) -> None:
    x, levels = np.arange(-4, 9, dtype=np.float32), plan(seed)
    found = nets.trace(lambda x: windows_on_windows(nets, x, levels))(x)
    for have, want in zip(found, windows_on_windows(np, x, levels), strict=True):
        np.testing.assert_array_equal(have.numpy(), want, str(levels))


def test_a_running_maximum_over_a_padded_signal() -> None:
    """The windows on the pad read what the pad has become, a slice of a larger one."""

    def both(module: Any, x: Any) -> tuple[Any, Any]:
        padded = module.pad(x, 2)
        size = len(x) + 4
        around = module.pad(padded, 2, constant_values=-np.inf)
        first, second, third = (around[i : i + size] for i in range(3))
        return module.maximum(module.maximum(first, second), third), padded * 2

    x = np.arange(1, 10, dtype=np.float32)
    for have, want in zip(nets.trace(lambda x: both(nets, x))(x), both(np, x), strict=True):
        np.testing.assert_array_equal(have.numpy(), want)
