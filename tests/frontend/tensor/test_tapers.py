"""Tapers are NumPy's, eager and traced."""

from __future__ import annotations

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, DTypeError, ShapeError

NAMES = ("bartlett", "blackman", "hamming", "hanning")
COUNTS = (0, 1, 2, 3, 8, 31, 100)


def test_tapers_are_those_of_numpy() -> None:
    def tapers() -> list[nets.Tensor]:
        cosines = [getattr(nets, name)(count) for name in NAMES for count in COUNTS]
        return [*cosines, *(nets.kaiser(count, 2.5) for count in COUNTS)]

    wanted = [getattr(np, name)(count) for name in NAMES for count in COUNTS]
    wanted += [np.kaiser(count, 2.5) for count in COUNTS]
    for results in (tapers(), nets.trace(tapers)()):
        for found, expected in zip(results, wanted, strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=3e-16)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_of_weights_is_no_part(name: str) -> None:
    with pytest.raises(DTypeError, match="number of weights"):
        getattr(nets, name)(2.5)
    with pytest.raises(ShapeError, match="negative"):
        getattr(nets, name)(-1)


def test_a_steepness_is_a_number() -> None:
    with pytest.raises(ArgumentError, match="beta is a number"):
        nets.kaiser(3, "steep")  # type: ignore[arg-type]
