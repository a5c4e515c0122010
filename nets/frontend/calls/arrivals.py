"""Arrivals: what comes by pickle again is what came before, where nobody can tell the difference.

A worker of Dask or joblib is sent the same function with each task or batch. A program is its text,
and so its code is made once. A function that holds nothing that could change, and that the pickler
takes by its code, goes as a *parcel*: bytes of their own, and the same bytes give the same object,
which has been traced already. What does hold something, such as a module or an array, comes with
what it holds each time, and together with all that is pickled beside it.
"""

from __future__ import annotations

import builtins
import dis
import functools
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import ContextVar
from types import BuiltinFunctionType, EllipsisType, FunctionType, ModuleType, NoneType
from typing import Any, Final, Generic, TypeVar

import numpy as np

from nets.compiler.compile import Compilation, CompileOptions
from nets.frontend.calls.lowered import parse_ir
from nets.frontend.calls.origins import codes_of
from nets.frontend.calls.staged import KEPT, Staged
from nets.ir.core import Function
from nets.locks import lock

Kept = TypeVar("Kept")

Text = tuple[str, tuple[str, ...]]
"""A function as IR text, and the hints of its arguments."""


class _Latest(Generic[Kept]):
    """The latest things that were asked for, by what they were made of."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = lock()

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What is there, or is made now. Two threads may make one each; both get the first."""
        found = self._found.get(key)
        if found is None:
            made = make()
            with self._lock:
                found = self._found.setdefault(key, made)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return found


# --------------------------------------------------------------------------- programs


_functions: Final[_Latest[Function]] = _Latest(32)
_compilations: Final[_Latest[Compilation]] = _Latest(32)


def function_of(text: Text) -> Function:
    """The function of that text; nobody changes it."""
    return _functions.get(text, functools.partial(_parsed, *text))


def _parsed(printed: str, hints: Sequence[str]) -> Function:
    (function,) = parse_ir(printed).functions.values()
    for argument, hint in zip(function.arguments, hints, strict=True):
        argument.hint = hint
    return function


def compilation_of(text: Text, options: CompileOptions) -> Compilation:
    """Its compilation; another one where the environment says something else by now."""
    told = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("NETS_")))
    key = (text, options, told)
    return _compilations.get(key, lambda: Compilation(function_of(text), options))


# -------------------------------------------------------------------------- functions


_parcels: Final[_Latest[Any]] = _Latest(64)

_packing: Final[ContextVar[bool]] = ContextVar("packing", default=False)
"""Is a parcel being made? There are none inside others."""


def parcel(pickler: ModuleType, parts: tuple[Any, ...]) -> bytes | None:
    """``(make, *arguments)`` for ``opened``; None where these hold what could change.

    ``pickler`` takes functions by their code.
    """
    if _packing.get():
        return None
    token = _packing.set(True)
    try:
        if not _is_fixed(pickler, _spread(parts[1:])):
            return None
        data: bytes = pickler.dumps(parts)
        return data
    finally:
        _packing.reset(token)


def opened(data: bytes) -> Any:
    """What a parcel holds, the same object for the same bytes."""
    return _parcels.get(data, functools.partial(_unpacked, data))


def _unpacked(data: bytes) -> Any:
    make, *arguments = pickle.loads(data)
    return make(*arguments)


_FIXED: Final = (
    *(bool, int, float, complex, str, bytes, range, NoneType, EllipsisType),
    *(np.generic, np.dtype, np.ufunc, BuiltinFunctionType),
)
"""Kinds of objects that nobody changes, and that hold nothing."""

_STORES: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"})


def _is_fixed(pickler: ModuleType, roots: Iterable[object]) -> bool:
    """Do these hold nothing that could change, but for what goes by name?"""
    pending, seen = list(roots), set[int]()
    while pending:
        x = pending.pop()
        if id(x) in seen or isinstance(x, _FIXED) or goes_by_name(pickler, x):
            continue
        seen.add(id(x))
        parts = _parts(x)
        if parts is None:
            return False
        pending += parts
    return True


def _parts(x: Any) -> list[object] | None:
    """What it holds; None where that may change."""
    if type(x) in (tuple, frozenset):
        return list(x)
    if type(x) is functools.partial:
        return [x.func, *x.args, *x.keywords.values()] if not vars(x) else None
    if isinstance(x, Staged):
        return _spread(x.__reduce__()[1])
    return _parts_of_function(x) if isinstance(x, FunctionType) else None


def _spread(parts: Iterable[Any]) -> list[object]:
    """What makes a staged function, without the dict of its options."""
    return [x for part in parts for x in (part.values() if type(part) is dict else [part])]


def _parts_of_function(function: FunctionType) -> list[object] | None:
    if not vars(function).keys() <= {"__wrapped__", KEPT}:
        return None
    codes = list(codes_of(function.__code__))
    outside, known = set(function.__code__.co_freevars), function.__globals__
    for instruction in (x for code in codes for x in dis.get_instructions(code)):
        name = instruction.argval
        if instruction.opname in _STORES and ("GLOBAL" in instruction.opname or name in outside):
            return None
    try:
        held = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # nothing yet
        return None
    named = [known[name] for code in codes for name in code.co_names if name in known]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*held, *named, *defaults, getattr(function, "__wrapped__", None)]


# ------------------------------------------------------------------------------ names


def goes_by_name(pickler: ModuleType | None, x: object) -> bool:
    """Is it found under its name where it arrives?

    A pickler that takes functions by their code takes those of ``__main__`` so, and of modules that
    the user has told it (``cloudpickle.register_pickle_by_value``).
    """
    if isinstance(x, ModuleType):
        return sys.modules.get(x.__name__) is x and not _takes_module(pickler, x.__name__)
    if not isinstance(x, FunctionType | type | Staged):
        return False
    return named(x) is x and not _takes_module(pickler, x.__module__)


def named(x: Any) -> Any:
    """What is found where a function says it is; None where nothing is."""
    found = sys.modules.get(getattr(x, "__module__", None) or "")
    for word in getattr(x, "__qualname__", "?").split("."):
        found = getattr(found, word, None)
    return found


def _takes_module(pickler: ModuleType | None, name: str) -> bool:
    if pickler is None or name == builtins.__name__:
        return False
    told: Callable[[], Iterable[str]] = getattr(pickler, "list_registry_pickle_by_value", tuple)
    return name == "__main__" or any(f"{name}.".startswith(f"{word}.") for word in told())
