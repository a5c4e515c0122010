"""Sources: objects outside nets that give something else each time they are asked.

Random generators of NumPy and Python, and iterators, are used up while a function is traced, and
not by later calls. A function that draws from one while it is traced cannot be compiled.
"""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import GeneratorType


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
        self._sources = [*everywhere, *found]
        self._states = [_state(x) for x in self._sources]

    def used(self) -> str | None:
        """What has been drawn from meanwhile; None for nothing."""
        for source, before in zip(self._sources, self._states, strict=True):
            if _state(source) != before:
                return _called(source)
        return None


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
