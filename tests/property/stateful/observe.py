"""What can be seen of a value: a nest of plain data, two of which are compared.

Values, dtypes, structure (kinds of containers, their keys in order, attributes of objects), the
gradients of leaves, and which places hold one and the same object.
"""

from __future__ import annotations

import collections
import types
from typing import Any

import numpy as np

import nets
from tests.property.stateful.numpy_world import ArrayTensor

RTOL = {"float16": 2e-2, "float32": 2e-4, "float64": 1e-8}
"""Compiled code may round otherwise, and state carries that along."""

Seen = tuple[Any, ...]


class Look:
    """One observation. ``objects``: what was met, in order, with an array or a holder twice where
    two ways lead to it."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self._open: set[int] = set()

    def pattern(self) -> list[int]:
        """For every object met, the number of the first that is the same."""
        first: dict[int, int] = {}
        return [first.setdefault(id(x), len(first)) for x in self.objects]

    def at(self, value: Any) -> Seen:
        """The value as plain data."""
        plain = _plain(value)
        if plain is not None:
            return plain
        self.objects.append(value)
        if id(value) in self._open:
            return ("a circle",)
        self._open.add(id(value))
        try:
            return self._of_object(value)
        finally:
            self._open.discard(id(value))

    def _of_object(self, value: Any) -> Seen:
        if isinstance(value, (nets.Tensor, ArrayTensor)):
            return _of_tensor(value)
        if isinstance(value, np.ndarray):
            return ("array", value.copy())
        if isinstance(value, dict):
            items = [(self.at(key), self.at(x)) for key, x in value.items()]
            return (_name(value), *items, *self._attributes(value))
        if isinstance(value, (list, tuple, collections.deque)):
            limit = getattr(value, "maxlen", None)
            return (_name(value), limit, *map(self.at, value), *self._attributes(value))
        if isinstance(value, nets.optim.Optimizer):
            return ("optimizer", self.at(value.state_dict()))
        if isinstance(value, nets.random.Generator):
            return ("generator", self.at(value.state_dict()))
        return (_name(value), *self._attributes(value))

    def _attributes(self, value: Any) -> list[Seen]:
        found = dict(vars(value)) if hasattr(value, "__dict__") else {}
        for owner in type(value).__mro__:
            for name in getattr(owner, "__slots__", ()):
                if hasattr(value, name):
                    found[name] = getattr(value, name)
        hidden = ("__", "_buffers", "_unsaved", "_abc_impl")
        names = [name for name in found if not name.startswith(hidden)]
        return [
            (name, self.at(found[name]))
            for name in names
            if not callable(found[name]) or isinstance(found[name], nets.nn.Module)
        ]


def _name(value: Any) -> str:
    if isinstance(value, type):
        return f"class {value.__name__}"
    if isinstance(value, types.ModuleType):
        return "module"
    return type(value).__name__


def _plain(value: Any) -> Seen | None:
    if value is None or isinstance(value, (bool, int, float, str, bytes, complex)):
        # repr tells 1 from True, 0.0 from -0.0, and finds nan equal to nan
        return (type(value).__name__, repr(value))
    if isinstance(value, np.generic):
        return ("scalar", value.dtype.name, repr(value))
    if callable(value) and not isinstance(value, (type, nets.nn.Module)) and not vars_of(value):
        return ("callable",)
    return None


def vars_of(value: Any) -> Any:
    return getattr(value, "__dict__", None)


def _of_tensor(value: Any) -> Seen:
    if isinstance(value, np.ndarray):
        return ("tensor", np.array(value), None)
    grad = value.grad if value.requires_grad and value.is_leaf else None
    if grad is not None:
        grad = grad.numpy()
    return ("tensor", value.numpy(), grad)


def result(value: Any) -> Seen:
    """What a call gave; numbers count as the tensors that a traced function makes of them."""
    if isinstance(value, dict):
        return ("dict", *((key, result(x)) for key, x in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(result, value))
    if isinstance(value, (nets.Tensor, np.ndarray, np.generic, bool, int, float)):
        return ("tensor", np.array(value.numpy() if isinstance(value, nets.Tensor) else value))
    return _plain(value) or (_name(value),)


def difference(want: Any, got: Any, path: str = "") -> str:
    """Where two observations differ; "" where they do not."""
    if isinstance(want, np.ndarray) and isinstance(got, np.ndarray):
        return "" if _alike(want, got) else f"{path}: {_show(got)}, not {_show(want)}"
    if isinstance(want, tuple) and isinstance(got, tuple):
        for i, (w, g) in enumerate(zip(want, got)):  # noqa: B905 (lengths are compared below)
            step = (
                f".{w[0]}"
                if isinstance(w, tuple) and len(w) == 2 and isinstance(w[0], str)
                else f"[{i}]"
            )
            found = difference(w, g, path + step)
            if found:
                return found
        if len(want) == len(got):
            return ""
    elif type(want) is type(got) and want == got:
        return ""
    if isinstance(got, str) and got.startswith("cannot be read"):
        return f"{path} {got}"
    return f"{path}: {_show(got)}, not {_show(want)}"


def _alike(want: Any, got: Any) -> bool:
    if want.shape != got.shape or want.dtype != got.dtype:
        return False
    if want.dtype.kind != "f":
        return bool((want == got).all())
    rtol = RTOL[want.dtype.name]
    return bool(np.isclose(got, want, rtol, rtol / 10, equal_nan=True).all())


def _show(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"{x.dtype}{list(x.shape)} {np.array2string(x.ravel(), precision=9)}"
    return repr(x)[:200]
