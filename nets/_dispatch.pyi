"""The extension of runtime/python: repeated calls of traced functions.

The keywords of NativeCode, Plan and configure are those of the tables in C; a test compares them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Count = tuple[int, ...]
"""A size that a call tells, as a program: see runtime/python/sizes.c."""
_Form = tuple[tuple[int | _Count, ...], np.dtype[Any]]

class NativeCode:
    brief: bool
    calls: int
    arrays: int
    fresh_bytes: int
    largest: int
    def __init__(
        self,
        *,
        entry: int,
        call: int,
        call_watched: int,
        arena_new: int,
        arena_free: int,
        pool: int,
        workspace_bytes: _Count,
        inputs: tuple[_Form, ...],
        outputs: tuple[_Form, ...],
        keep: object,
        in_place: tuple[tuple[int, int], ...],
        dims: tuple[tuple[int, int, int, int, int, int, int], ...],
        requirements: tuple[tuple[bool, _Count], ...],
        job: Callable[[], object] | None,
    ) -> None: ...
    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]] | int | None: ...

_Structure = tuple[tuple[str | tuple[type, object], ...], tuple[tuple[int, ...], ...]]
_Input = tuple[object, bool, bool, bool, bool]

TABLES: dict[str, tuple[str, ...]]
"""The names that C and Python share, by what they are of."""

class Guards:
    def __init__(
        self,
        table: tuple[tuple[str, object, object, object], ...],
        skip: object,
        missing: object,
        same: Callable[[object, object], bool],
        /,
    ) -> None: ...
    def hold(self) -> bool: ...

class Plan:
    def __init__(
        self,
        *,
        code: NativeCode,
        failure: Callable[[int], BaseException],
        arguments: _Structure,
        inputs: tuple[_Input, ...],
        cleared: tuple[object, ...],
        guards: Guards,
        results: _Structure,
        types: tuple[object, ...],
        detached: bool,
    ) -> None: ...

class Dispatch:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class Watched(npt.NDArray[Any]): ...

def ieee_enter() -> int: ...
def ieee_leave(mode: int, /) -> None: ...
def taken(holder: object, /) -> npt.NDArray[Any] | bool | None: ...
def retype(array: npt.NDArray[Any], kind: type, /) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any], /) -> npt.NDArray[Any]: ...
def configure(
    *,
    value: object,
    value_slots: tuple[str, ...],
    tensor: object,
    tensor_slots: tuple[str, ...],
    total: object,
    function: type,
    elements: type,
    consumed: object,
    traces: object,
    modes: object,
) -> None: ...
