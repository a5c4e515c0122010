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
