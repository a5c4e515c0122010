"""Arrays between pages that cannot be touched, to catch any access out of bounds."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from nets.ops.definition.registry import Array

_LIBC = ctypes.CDLL(None, use_errno=True)
_NOTHING, _READ = 0, 1


class Guarded:
    """A copy of an array that ends (or starts) exactly where its pages do."""

    def __init__(self, array: Array, *, at_end: bool) -> None:
        page = mmap.PAGESIZE
        self._inner = max(1, -(-array.nbytes // page)) * page
        self._memory = mmap.mmap(-1, self._inner + 2 * page)
        self._first = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + page
        for guard in (self._first - page, self._first + self._inner):
            self._protect(guard, page, _NOTHING)
        shift = self._inner - array.nbytes if at_end else 0
        self.address = self._first + shift
        bytes_ = np.frombuffer(self._memory, np.uint8, array.nbytes, page + shift)
        self.array: Array = bytes_.view(array.dtype).reshape(array.shape)
        self.array[...] = array

    def read_only(self) -> Guarded:
        """Let writing to it end the process as well."""
        self._protect(self._first, self._inner, _READ)
        return self

    def _protect(self, address: int, size: int, mode: int) -> None:
        assert _LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), mode) == 0
