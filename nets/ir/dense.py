"""The elements of array attributes as text, bit for bit, and back.

Small arrays are lists of numbers in the text of the operation; an array whose elements are all
the same bits is that one number; larger ones are bytes in hexadecimal, in a table at the end.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.ir.types import DType

Array = npt.NDArray[Any]

INLINE_ELEMENTS: Final = 16
"""Arrays of more elements live in the table."""

FILL_BYTES: Final = 1 << 28
"""Larger arrays are never written as one element: a short text must not ask for that memory."""


DIGEST_BYTES: Final = 1 << 16
"""Arrays from this size on are told by hashes where text is to be hashed."""


class Table:
    """The strings at the end of a module: name → hexadecimal bytes, equal ones shared."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        """Hexadecimal bytes → name."""

    def add(self, array: Array) -> str:
        """The name of the entry that holds the bytes of this array."""
        return self.entries.setdefault(_hexadecimal(array), f"c{len(self.entries)}")

    def text(self) -> str:
        lines = [f'  @{name}: "{digits}"\n' for digits, name in self.entries.items()]
        return "{-#\n" + "".join(lines) + "#-}\n"


class DigestTable(Table):
    """A table to be hashed, not read back: of large arrays it has hashes of their bytes."""

    def add(self, array: Array) -> str:
        if array.nbytes < DIGEST_BYTES:
            return super().add(array)
        elements = np.ascontiguousarray(_little(array)).reshape(-1).view(np.uint8)
        digest = hashlib.sha256(elements.data).hexdigest()
        return self.entries.setdefault(f"sha256 {digest}", f"c{len(self.entries)}")


def elements_text(array: Array, dtype: DType, table: Table) -> str:
    """What stands between ``dense<`` and ``>``."""
    if array.size == 0:
        return "[]"
    if array.size > 1 and array.nbytes <= FILL_BYTES and is_filled(array):
        array = array.reshape(-1)[:1].reshape(())
    if array.size > INLINE_ELEMENTS:
        return f"@{table.add(array)}"
    texts = [_element(item, dtype) for item in array.reshape(-1)]
    if array_of(texts, dtype).tobytes() != _bytes(array):
        return f'"{_hexadecimal(array)}"'  # a NaN with a sign or a payload has no text
    return _nested(texts, array.shape)


def array_of(texts: list[str], dtype: DType) -> Array:
    """The elements as a flat array; a ValueError for text that is no element of the dtype."""
    if dtype.is_bool:
        if not set(texts) <= {"true", "false"}:
            raise ValueError("elements of bool are true or false")
        return np.array([text == "true" for text in texts], np.bool_)
    if dtype.is_float:
        values = np.array([float(text) for text in texts], np.float64)
        with np.errstate(over="ignore", under="ignore"):
            found = values.astype(dtype.numpy)
        if not np.array_equal(np.isinf(found), [text.endswith("inf") for text in texts]):
            raise ValueError(f"an element is too large for {dtype}")
        return found
    limits = np.iinfo(dtype.numpy.name)
    integers = [int(text) for text in texts]
    if not all(limits.min <= value <= limits.max for value in integers):
        raise ValueError(f"an element is too large for {dtype}")
    return np.array(integers, dtype.numpy)


def array_of_bytes(digits: str, dtype: DType) -> Array:
    """The elements in these hexadecimal bytes as a flat array; a ValueError for other text."""
    data = bytes.fromhex(digits)
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no elements of {dtype}")
    if dtype.is_bool and data.strip(b"\x00\x01"):
        raise ValueError("elements of bool are bytes 00 or 01")
    # frombuffer gives a read-only view; the copy is writable and aligned.
    return np.frombuffer(data, dtype.numpy.newbyteorder("<")).astype(dtype.numpy)


def shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    """The elements in that shape, one of them filling it; a ValueError for a wrong number."""
    size = math.prod(shape)
    if flat.size == size:
        return flat.reshape(shape)
    if flat.size != 1:
        raise ValueError(f"{flat.size} elements do not fill a shape of {size}")
    if size * flat.itemsize > FILL_BYTES:
        raise ValueError(f"an array of {size} elements is too large to be written as one element")
    return np.full(shape, flat[0], flat.dtype)


def is_filled(array: Array) -> bool:
    """Whether all elements are the same bits (so 0.0 and -0.0 differ)."""
    rows = np.ascontiguousarray(array).reshape(-1, 1).view(np.uint8)
    return bool((rows[-1] == rows[0]).all() and (rows == rows[0]).all())


def _bytes(array: Array) -> bytes:
    return array.astype(array.dtype.newbyteorder("="), copy=False).tobytes()


def _little(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _hexadecimal(array: Array) -> str:
    return _little(array).tobytes().hex()


def _element(item: Any, dtype: DType) -> str:
    if dtype.is_bool:
        return "true" if item else "false"
    if not dtype.is_float:
        return str(int(item))
    short = str(item)
    # The shortest text is unique among the dtype's values; reading goes by way of float64, where
    # in principle it could round twice.
    with np.errstate(over="ignore", under="ignore"):
        same = type(item)(float(short)) == item
    return short if same else repr(float(item))


def _nested(texts: list[str], shape: tuple[int, ...]) -> str:
    for size in reversed(shape):
        texts = ["[" + ", ".join(texts[i : i + size]) + "]" for i in range(0, len(texts), size)]
    (text,) = texts
    return text
