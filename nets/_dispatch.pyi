"""The extension of runtime/python: repeated calls of traced functions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Form = tuple[tuple[int, ...], np.dtype[Any]]

class Kernel:
    brief: bool
    calls: int
    arrays: int
    fresh_bytes: int
    def __init__(
        self,
        addresses: tuple[int, int, int, int, int],
        pool: int,
        workspace_bytes: int,
        inputs: list[_Form],
        outputs: list[_Form],
        keep: object,
        in_place: tuple[tuple[int, int], ...],
    ) -> None: ...
    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]] | int | None: ...

class Guards:
    def __init__(
        self,
        table: tuple[tuple[str, Any, Any, Any], ...],
        skip: object,
        missing: object,
        same: Callable[[Any, Any], bool],
        /,
    ) -> None: ...
    def hold(self) -> bool: ...

class Plan:
    def __init__(
        self,
        kernel: Kernel,
        failure: Callable[[int], Exception],
        arguments: tuple[Any, ...],
        order: tuple[tuple[int, ...], ...],
        weak: tuple[bool, ...],
        donated: tuple[bool, ...],
        captures: tuple[Any, ...],
        gradients: tuple[bool, ...],
        required: tuple[bool, ...],
        cleared: tuple[Any, ...],
        guards: Guards,
        results: tuple[Any, ...],
        orders: tuple[tuple[int, ...], ...],
        types: tuple[Any, ...],
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
    value: object,
    value_slots: tuple[str, ...],
    tensor: object,
    tensor_slots: tuple[str, ...],
    function_class: type,
    scopes: tuple[object, str],
    modes: tuple[object, str],
    gone: object,
    total: object,
    elements_class: type,
    /,
) -> None: ...
