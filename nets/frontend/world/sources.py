"""Sources: objects outside nets that give something else each time they are asked.

Random generators of NumPy and Python, and iterators, are used up while a function is traced, and
not by later calls. A function that draws from one while it is traced cannot be compiled.

Two generators belong to all threads, and what was drawn does not tell by whom: the threads of a
scheduler, such as Dask's, draw from Python's at any time. So with other threads about, the function
is traced again, and refused where every trace has seen draws.
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
from nets.locks import at_fork

P = ParamSpec("P")
R = TypeVar("R")

_MORE: Final = 3
"""Further traces where another thread may have drawn meanwhile."""

_UNDISTURBED: Final = 0.05
"""Seconds that other threads leave such a trace alone, unless it waits for something."""

_usual_interval: float | None = None
"""Seconds that threads otherwise leave each other; None where that holds now."""


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
            raise (UsedMeanwhileError if is_anybodys else TraceError)(
                f"{name} takes from {_called(source)} while it is traced, and compiled code would "
                "take the same at every call: draw by nets.random, or take it outside and pass it "
                "as an argument",
                location,
            )


class UsedMeanwhileError(TraceError):
    """A generator of all threads was used during a trace, by whichever of them."""


def tried_again(trace: Callable[P, R]) -> Callable[P, R]:
    """The function, called again where another thread may have drawn meanwhile."""

    @wraps(trace)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with suppress(UsedMeanwhileError):
            return trace(*args, **kwargs)
        with _undisturbed():
            for _ in range(_MORE):
                try:
                    return trace(*args, **kwargs)
                except UsedMeanwhileError as error:
                    used = error
        raise TraceError(used.message, used.location)

    return run


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Python changes between threads less often meanwhile."""
    global _usual_interval
    if _usual_interval is not None:
        yield
        return
    _usual_interval = sys.getswitchinterval()
    sys.setswitchinterval(max(_UNDISTURBED, _usual_interval))
    try:
        yield
    finally:
        _as_usual()


def _as_usual() -> None:
    global _usual_interval
    if _usual_interval is not None:
        sys.setswitchinterval(_usual_interval)
        _usual_interval = None


at_fork(in_child=_as_usual)


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
