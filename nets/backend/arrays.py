"""Fresh arrays for native code: large ones begin at a cache line, so that no vector crosses one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """``numpy.empty``, but that a large array begins at a cache line, which NumPy's seldom do."""
    return _allocator()(shape, dtype)


def private_copy(array: Array) -> Array:
    """A C-contiguous copy; a large one begins at a cache line."""
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


@functools.cache
def _allocator() -> Callable[[tuple[int, ...], np.dtype[Any]], Array]:
    # The extension is loaded when an array is made: `import nets` makes none.
    try:
        from nets._dispatch import empty
    except ImportError:
        return np.empty
    return empty
