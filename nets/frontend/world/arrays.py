"""Arrays: NumPy arrays that a function reaches, read at each call like tensors.

An array, or a view of one, that meets a tensor in a trace becomes an input of the program. What
NumPy computes from an array in a trace (``a[0]``, ``2 * a``, ``a.sum()``) is a constant of it; then
the program holds only as long as the elements do. To tell the two apart, the arrays a function
reaches are of the class ``Watched`` while it is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import numpy as np

from nets.frontend.tensor.scope import Outside
from nets.frontend.tensor.variable import Array, Variable, variable
from nets.ir.types import from_numpy

_NOTED_AT_ONCE: Final = 1 << 20
"""Bytes of an array of another class, which cannot be watched, that are compared at each call."""


class ArraySource(Outside):
    """A NumPy array from outside that a program reads at each call."""

    def __init__(self, array: Array) -> None:
        self.array = array.view(np.ndarray)

    def now(self) -> Variable:
        array = self.array
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return variable(array)


class Arrays:
    """The NumPy arrays that a function reaches, in the course of a trace."""

    def __init__(self, arrays: dict[int, Array], owner: Callable[[Any], Any]) -> None:
        self._arrays = arrays
        self._owner = owner
        self._sources: dict[int, ArraySource] = {}
        self._kept: list[Array] = []
        self._changed: list[Array] = []
        self.read: dict[int, tuple[Array, Array]] = {}
        """(array, its elements before the trace) of those that NumPy computed with."""

    def source(self, array: Array) -> ArraySource | None:
        """The source that an array, or a view of one, is read by; None for another array."""
        is_plain = type(array) in (np.ndarray, np.memmap) or _is_watched(array)
        owner = self._owner(array) if is_plain else None
        if owner is None or from_numpy(array.dtype) is None or self.is_written(owner):
            return None
        found = self._sources.get(id(array))
        if found is None:
            self._kept.append(array)
            found = self._sources[id(array)] = ArraySource(array)
        return found

    def is_written(self, array: Array) -> bool:
        """Has the trace written to an array, so that calls begin with other elements?"""
        _, before = self.read.get(id(array), (None, None))
        return before is not None and array.tobytes() != before.tobytes()

    def note(self, array: object) -> None:
        """The elements of an array are read, or about to be written, by NumPy."""
        owner = self._owner(array)
        if owner is not None and id(owner) not in self.read:
            self.read[id(owner)] = owner, np.array(owner.view(np.ndarray), order="C")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what NumPy reads meanwhile."""
        watched = _watched()
        if watched is None:
            for array in self._arrays.values():
                self.note(array)
            yield
            return
        self._changed = [x for x in self._arrays.values() if type(x) is np.ndarray]
        for array in self._arrays.values():
            if type(array) is not np.ndarray and array.nbytes <= _NOTED_AT_ONCE:
                self.note(array)
        _watching.append(self)
        for array in self._changed:
            watched.retype(array, watched.Watched)
        try:
            yield
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Watch no more."""
        for array in filter(_is_watched, self._changed):
            _watched().retype(array, np.ndarray)
        if self in _watching:
            _watching.remove(self)


_watching: list[Arrays] = []
"""Those of the traces under way, all in one thread: see ``alone``."""


def _is_watched(x: object) -> bool:
    return isinstance(x, np.ndarray) and type(x) is getattr(_watched(), "Watched", None)


def _note(*arrays: object) -> None:
    for array in arrays:
        if _is_watched(array):
            for arrays_of_trace in _watching:
                arrays_of_trace.note(array)


def _plain(x: Any) -> object:
    return x.view(np.ndarray) if _is_watched(x) else x


def _by_ufunc(
    self: object, ufunc: object, method: str, *operands: object, **options: Any
) -> object:
    others = [x for x in operands if not isinstance(x, np.ndarray)]
    if any(getattr(type(x), "__array_ufunc__", None) not in _PLAIN_PROTOCOLS for x in others):
        return NotImplemented
    out = options.get("out", ())
    _note(*operands, *out)
    if out:
        options["out"] = tuple(map(_plain, out))
    result = getattr(ufunc, method)(*map(_plain, operands), **options)
    return out[0] if len(out) == 1 else result


def _by_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> object:
    if not all(issubclass(kind, np.ndarray) for kind in types):
        return NotImplemented
    _note(*arrays_in(args), *arrays_in(tuple(kwargs.values())))
    return np.ndarray.__array_function__(self, function, types, args, kwargs)


def _item(self: Any, key: Any) -> object:
    found = np.ndarray.__getitem__(self, key)
    if not _is_watched(found) or found.base is None:
        _note(self)
    _note(*arrays_in((key,)))
    return found


def _each(self: Any) -> object:
    if self.ndim <= 1:
        _note(self)
    return np.ndarray.__iter__(self)


def _derived(self: Any, source: object) -> None:
    if _is_watched(source) and self.base is None:
        _note(source)  # a copy


def arrays_in(nest: object) -> Iterator[object]:
    """The arrays in lists and tuples."""
    pending = [nest]
    while pending:
        x = pending.pop()
        if isinstance(x, (tuple, list)):
            pending += x
        elif isinstance(x, np.ndarray):
            yield x


_PLAIN_PROTOCOLS: Final = (None, np.ndarray.__array_ufunc__)

_HARMLESS: Final = frozenset(
    {
        "__new__", "__init__", "__class__", "__dir__", "__doc__", "__getattribute__",
        "__setattr__", "__delattr__", "__hash__", "__init_subclass__", "__subclasshook__",
        "__len__", "__sizeof__", "__array_wrap__", "__array_ufunc__", "__array_function__",
        "__array_finalize__", "__array_interface__", "__array_namespace__", "__getitem__",
        "__iter__", "__class_getitem__", "__dlpack_device__", "view", "reshape", "ravel",
        "transpose", "swapaxes", "squeeze", "diagonal",
    }
)  # fmt: skip
"""What an array is asked for that does not tell its elements, or gives a view."""


_BINARY: Final = "add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift"
_OTHER: Final = "eq ne lt le gt ge neg pos abs invert"
_BY_UFUNCS: Final = frozenset(
    {f"__{side}{name}__" for name in _BINARY.split() for side in ("", "r", "i")}
    | {f"__{name}__" for name in _OTHER.split()}
)
"""Operators, which tell of themselves by ``__array_ufunc__``."""


def _watch(name: str) -> object:
    own = getattr(np.ndarray, name)

    def method(self: object, *args: object, **kwargs: object) -> object:
        _note(self, *arrays_in(args))
        return own(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, own.__doc__
    return method


@cache
def _watched() -> Any:
    """The extension, whose class Watched has been given its methods; None without it."""
    try:
        from nets import _dispatch
    except ImportError:
        return None
    kind: Any = _dispatch.Watched
    kind.__name__, kind.__module__ = "ndarray", "numpy"  # as messages say it
    for name in dir(np.ndarray):
        is_known = name in _HARMLESS or name in _BY_UFUNCS
        if callable(getattr(np.ndarray, name)) and not is_known:
            setattr(kind, name, _watch(name))
    kind.__array_ufunc__, kind.__array_function__ = _by_ufunc, _by_function
    kind.__getitem__, kind.__iter__, kind.__array_finalize__ = _item, _each, _derived
    return _dispatch
