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
        addresses: tuple[int, int, int, int],
        pool: int,
        workspace_bytes: int,
        inputs: list[_Form],
        outputs: list[_Form],
        keep: object,
        in_place: tuple[tuple[int, int], ...],
    ) -> None: ...
    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]] | int | None: ...

class Plan:
    def __init__(
        self,
        kernel: Kernel,
        failure: Callable[[int], Exception],
        arguments: tuple[Any, ...],
        weak: tuple[bool, ...],
        donated: tuple[bool, ...],
        captures: tuple[Any, ...],
        gradients: tuple[bool, ...],
        required: tuple[bool, ...],
        cleared: tuple[Any, ...],
        guards: tuple[tuple[Any, ...], ...],
        results: tuple[Any, ...],
        orders: tuple[tuple[int, ...], ...],
        types: tuple[Any, ...],
        detached: bool,
    ) -> None: ...

class Dispatch:
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

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
    /,
) -> None: ...
