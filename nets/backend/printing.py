"""Printing: what ``print`` in compiled code hands over, from memory to ``sys.stdout``.

Compiled code calls ``nets_print(site, text, count, values)`` (see ``runtime/nets_runtime.h``). An
exception cannot pass through compiled code, so the first one waits in its thread for the end of the
call, and nothing more is printed.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Final

import numpy as np

from nets.backend.arrays import Array
from nets.ir.types import DTYPES
from nets.ops.tensor.effects import shown

HOOK: Final = "nets_print"
"""The symbol that compiled code calls."""

DTYPE_NUMBERS: Final = {
    name: number
    for number, name in enumerate(
        ("bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64")
    )
}
"""The number that stands for each dtype; part of the ABI."""

_DTYPES: Final = tuple(DTYPES[name] for name in DTYPE_NUMBERS)


class _Pending(threading.local):
    error: BaseException | None = None


_pending = _Pending()


def show(ffi: Any, text: Any, count: int, values: Any) -> None:
    """Print the text with these values, a C array of ``nets_printed``."""
    if _pending.error is not None:
        return
    try:
        arrays = [_array(ffi, values[number]) for number in range(count)]
        print(shown(ffi.string(text).decode(), arrays))
    except BaseException as error:  # of a stream that is closed, or Ctrl-C
        keep(error)


def keep(error: BaseException) -> None:
    """Let an error wait for the end of the call."""
    _pending.error = error


def is_pending() -> bool:
    """Does an error of this thread wait?"""
    return _pending.error is not None


def take_pending() -> BaseException | None:
    """What went wrong when this thread printed, or looked at its signals, in compiled code."""
    error, _pending.error = _pending.error, None
    return error


def raise_pending() -> None:
    """Raise it."""
    error = take_pending()
    if error is not None:
        raise error


def _array(ffi: Any, value: Any) -> Array:
    """The elements, where they are: for the length of the call."""
    dtype = _DTYPES[value.dtype].numpy
    shape = tuple(value.shape[axis] for axis in range(value.rank))
    size = math.prod(shape)
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(ffi.buffer(value.data, size * dtype.itemsize), dtype).reshape(shape)
