"""A ``nets`` whose tensors are NumPy arrays: what programs without gradients and layers must do.

NumPy says what is a view, what changes in place and what is a copy, so this holds eager nets to
something else than itself.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np


class ArrayTensor(np.ndarray[Any, Any]):
    """A NumPy array with what programs ask of a Tensor; never a NumPy scalar."""

    requires_grad = False

    @property
    def data(self) -> Any:  # type: ignore[override]
        return self

    @data.setter
    def data(self, new: Any) -> None:
        # The tensor takes other elements; tensors computed or viewed before keep theirs.
        array = np.array(new, dtype=self.dtype)
        assert array.shape == self.shape
        self[...] = array

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array if isinstance(array, ArrayTensor) else np.asarray(array).view(ArrayTensor)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, np.generic):
            keys = key if isinstance(key, tuple) else (key,)
            return super().__getitem__((*keys, Ellipsis))
        return found

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def numpy(self) -> Any:
        return np.array(self)

    def detach(self) -> Any:
        return self


def tensor(data: Any, dtype: Any = None) -> ArrayTensor:
    return np.array(data, dtype).view(ArrayTensor)


class ArrayNets:
    """The names of nets, those of NumPy applied to ArrayTensors."""

    Tensor = staticmethod(tensor)
    errors = SimpleNamespace()

    @staticmethod
    def no_grad() -> Any:
        return contextlib.nullcontext()

    @staticmethod
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def relu(x: Any) -> Any:
        return np.maximum(x, 0)

    @staticmethod
    def as_tensor(x: Any) -> Any:
        return x if isinstance(x, ArrayTensor) else tensor(x)

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return _wrapped(function(*args, **kwargs))

        return call


def _wrapped(found: Any) -> Any:
    if isinstance(found, (np.ndarray, np.generic)):
        return np.asarray(found).view(ArrayTensor)
    if isinstance(found, (list, tuple)):
        return type(found)(_wrapped(x) for x in found)
    return found
