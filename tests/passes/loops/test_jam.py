"""Stencils: rows in pairs and vectors out of whole cache lines give the elements of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets


def diffused(module: Any, field: Any) -> Any:
    """Two steps: each element and its neighbours."""
    for _ in range(2):
        around = module.pad(field, 1)
        beside = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        field = field * 0.5 + beside * 0.125
    return field


@pytest.mark.parametrize("cpu", ["", "x86-64-v3"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 64), (2, 33), (5, 48), (64, 256)])
def test_stencils_have_the_bits_of_numpy(
    shape: tuple[int, int], dtype: type, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CPU", cpu)
    field = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = diffused(np, field)
    for threads in (1, 2):
        step = nets.trace(lambda x: diffused(nets, x), threads=threads)
        np.testing.assert_array_equal(step(field).numpy(), expected)
