"""The bits of numbers as other numbers, as NumPy reads them in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import DTypeError, NetsError, ShapeError

NUMBERS = np.random.default_rng(5).bytes(64)
SOURCES = ("int8", "uint16", "float32", "int64", "float64")
TARGETS = ("uint8", "int16", "float32", "uint32", "float64")


def given(source: str, target: str) -> np.ndarray[Any, Any]:
    """Any bits, NaN among them, in rows of as many elements as make one of the target."""
    width, other = np.dtype(source).itemsize, np.dtype(target).itemsize
    array = np.frombuffer(NUMBERS, source)
    return array.reshape(-1, other // width) if width < other else array


PAIRS = [(source, target) for source in SOURCES for target in TARGETS]
ARRAYS = [given(*pair) for pair in PAIRS]


def read(*arrays: Any) -> list[nets.Tensor]:
    pairs = zip(arrays, PAIRS, strict=True)
    return [nets.bitcast_convert_type(x, target) for x, (_, target) in pairs]


def test_bits_are_those_in_memory() -> None:
    for results in (read(*ARRAYS), nets.trace(read)(*ARRAYS)):
        for found, x, (source, target) in zip(results, ARRAYS, PAIRS, strict=True):
            parts = np.dtype(source).itemsize // np.dtype(target).itemsize
            assert found.dtype == target
            assert found.shape == (*x.shape[:1], *(parts,) * (parts > 1))
            assert found.numpy().tobytes() == NUMBERS


def test_there_is_no_gradient() -> None:
    x = nets.Tensor([1.0, -2.0], requires_grad=True)
    assert not nets.bitcast_convert_type(x, "float64").requires_grad
    assert nets.bitcast_convert_type(x, "int64").tolist() == x.numpy().view(np.int64).tolist()


@pytest.mark.parametrize(
    ("error", "x", "dtype"),
    [
        (DTypeError, [True], "int8"),
        (DTypeError, [1.0], "bool"),
        (ShapeError, np.zeros((4, 3), np.int8), "int32"),
        (ShapeError, np.int8(3), "int16"),
    ],
)
def test_what_has_no_such_bits(error: type[NetsError], x: Any, dtype: str) -> None:
    with pytest.raises(error):
        nets.bitcast_convert_type(x, dtype)
