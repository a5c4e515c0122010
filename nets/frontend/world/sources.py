"""Sources: objects outside nets that give something else each time they are asked.

Random generators of NumPy and Python, and iterators, are used up while a function is traced, and
not by later calls. A function that draws from one while it is traced cannot be compiled.

Two generators belong to all threads, and their states do not tell who has drawn: the threads of a
scheduler, such as Dask's, draw from Python's at any time. So where there are other threads the
function is traced again with a profile hook, which sees what this thread alone calls of Python's
generator. What is called of NumPy's it does not see; where every trace has seen that used, the
function is refused.
"""

from __future__ import annotations

import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from importlib import import_module
from types import GeneratorType
from typing import Final, ParamSpec, TypeVar

from nets.errors import SourceLocation, TraceError

P = ParamSpec("P")
R = TypeVar("R")

_MORE: Final = 3
"""Further traces where another thread may have drawn meanwhile."""

_watches: Final[list[_Watch]] = []
"""Of the traces that run again; traces are those of one thread at a time."""


def is_source(x: object) -> bool:
    """Is it a random generator or an iterator?"""
    if isinstance(x, random.Random):
        return True
    module = type(x).__module__
    return module.startswith("numpy.random") or (
        module in ("builtins", "itertools") and hasattr(type(x), "__next__")
    )


class Sources:
    """The sources that a function reaches, and the two that are everywhere."""

    def __init__(self, found: Iterable[object], says_random: bool) -> None:
        if says_random:
            import_module("numpy.random")  # NumPy loads it at the first use: that of the trace
        mtrand = sys.modules.get("numpy.random.mtrand")
        everywhere = [random._inst, *([] if mtrand is None else [mtrand._rand])]
        self._others = threading.active_count() - 1
        self._shared = len(everywhere)
        self._sources = [*everywhere, *found]
        self._states = [_state(x) for x in self._sources]

    def refuse_use(self, name: str, location: SourceLocation | None) -> None:
        """TraceError where something has been drawn from meanwhile; UsedMeanwhileError where that
        may have been another thread."""
        others = max(self._others, threading.active_count() - 1)
        for number, (source, before) in enumerate(zip(self._sources, self._states, strict=True)):
            if _state(source) == before:
                continue
            is_anybodys = number < self._shared and others > 0
            is_told = bool(_watches) and isinstance(source, random.Random)
            if is_anybodys and is_told and id(source) not in _watches[-1].seen:
                continue
            is_open = is_anybodys and not is_told
            raise (UsedMeanwhileError if is_open else TraceError)(
                f"{name} takes from {_called(source)} while it is traced, and compiled code would "
                "take the same at every call: draw by nets.random, or take it outside and pass it "
                "as an argument",
                location,
            )


class UsedMeanwhileError(TraceError):
    """A generator of all threads was used during a trace, by whichever of them."""


def tried_again(trace: Callable[P, R]) -> Callable[P, R]:
    """The function, called again under a watch where another thread may have drawn meanwhile."""

    @wraps(trace)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with suppress(UsedMeanwhileError):
            return trace(*args, **kwargs)
        with _Watch().open():
            for _ in range(_MORE):
                try:
                    return trace(*args, **kwargs)
                except UsedMeanwhileError as error:
                    used = error
        raise TraceError(used.message, used.location)

    return run


class _Watch:
    """Sees which objects have methods in C that this thread calls."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        """Their identities."""

    @contextmanager
    def open(self) -> Iterator[None]:
        before = sys.getprofile()
        _watches.append(self)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(before)
            _watches.remove(self)

    def _note(self, frame: object, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") != "getstate":
            self.seen.add(id(getattr(called, "__self__", None)))


def _called(source: object) -> str:
    if isinstance(source, random.Random):
        return "Python's random numbers"
    if type(source).__module__.startswith("numpy.random"):
        return "NumPy's random numbers"
    return f"an iterator ({type(source).__name__})"


def _state(source: object) -> object:
    if isinstance(source, random.Random):
        return source.getstate()
    if isinstance(source, GeneratorType):
        frame = source.gi_frame
        return None if frame is None else (frame.f_lasti, tuple(map(id, frame.f_locals.values())))
    bits = getattr(source, "bit_generator", getattr(source, "_bit_generator", source))
    state = getattr(bits, "state", None)
    if isinstance(state, dict):  # with an array of words in it
        return pickle.dumps(state)
    length: Callable[[], object] = getattr(source, "__length_hint__", lambda: None)
    return repr(source), length()
