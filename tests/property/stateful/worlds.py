"""The ways a program is run: plainly, traced, on the reference, by NumPy alone, from a library.

``run`` gives a record for each call: what it returned or raised, and what the world then held.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import os
import sys
import tempfile
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nets
from nets import nn, optim
from nets.nn import functional
from nets.optim import *  # noqa: F403 (all is loaded before programs are timed)
from tests.property.stateful import transforms
from tests.property.stateful.numpy_world import ArrayNets, ArrayTensor, tensor
from tests.property.stateful.observe import Look, result
from tests.property.stateful.program import Program


class Boom(Exception):
    """What programs raise on purpose."""


class Raised(NamedTuple):
    error: Exception

    @property
    def is_refusal(self) -> bool:
        return isinstance(self.error, nets.errors.NetsError)

    @property
    def is_planned(self) -> bool:
        """Whether the program goes on after it."""
        return isinstance(self.error, (Boom, nets.errors.IndexOutOfBoundsError))

    @property
    def is_expected(self) -> bool:
        """Whether a program may end with it: nets refuses, or a number does not fit."""
        return self.is_refusal or isinstance(self.error, OverflowError)

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self._message[:200]}"

    @property
    def _message(self) -> str:
        return (str(self.error).splitlines() or [""])[0]


class Record(NamedTuple):
    """After a call: the result or what was raised, what is held, and which of it is the same."""

    outcome: Any
    held: Any
    pattern: Any


class Stopped(Exception):
    """The program is not run any further."""


def run(program: Program, mode: str) -> list[Record]:
    """The records of the calls in one of ``MODES``. What the program raises between calls, which
    is a mistake of its maker, comes as one more record."""
    records: list[Record] = []
    with _quietly(mode), _as_module(program) as module:
        module.__dict__.update(_names(mode, records, module))
        try:
            code = compile(program.text, f"<program {program.seed}>", "exec")
            exec(code, module.__dict__)
        except Stopped:
            pass
        except Exception as error:
            records.append(Record(Raised(error), None, None))
    return records


@contextlib.contextmanager
def _as_module(program: Program) -> Iterator[types.ModuleType]:
    """Registered, as dataclasses ask for the module of their class."""
    name = "lifecycle_program"
    module = sys.modules[name] = types.ModuleType(name)
    try:
        yield module
    finally:
        del sys.modules[name]


@contextlib.contextmanager
def _quietly(mode: str) -> Iterator[None]:
    """With the backend of the mode, the default generator anew, and no warnings."""
    before = os.environ.get("NETS_BACKEND")
    if mode in ("reference", "native"):
        os.environ["NETS_BACKEND"] = "numpy" if mode == "reference" else "llvm"
    nets.random.default_generator.__init__(7)  # type: ignore[misc]  # a trace may have spoilt it
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            os.environ.pop("NETS_BACKEND", None)
        else:
            os.environ["NETS_BACKEND"] = before


# ------------------------------------------------------------------------- names of a mode


def _names(mode: str, records: list[Record], module: types.ModuleType) -> dict[str, Any]:
    """What the text of a program finds by name."""
    watched: list[Callable[[], Any]] = []

    def look() -> Any:
        return watched[-1]()

    def call(function: Any, *args: Any, **kwargs: Any) -> None:
        records.append(_record(lambda: runner(function, *args, **kwargs), look))
        outcome = records[-1].outcome
        if isinstance(outcome, Raised) and not outcome.is_planned:
            raise Stopped

    runner = _Library() if mode == "exported" else _CALLERS[mode]
    return dict(_COMMON, call=call, watch=watched.append, Boom=Boom, **_TRANSFORMS[mode](look))


def _record(thunk: Callable[[], Any], look: Callable[[], Any]) -> Record:
    try:
        outcome = result(thunk())
    except Exception as error:
        outcome = Raised(error)
    seen = Look()
    try:
        held = seen.at(look()), seen.at(nets.random.default_generator)
        return Record(outcome, held, seen.pattern())
    except nets.errors.NetsError as error:  # a traced tensor was left in a holder
        return Record(outcome, f"cannot be read: {type(error).__name__}", [])


_COMMON = {
    "collections": collections,
    "contextlib": contextlib,
    "copy": copy,
    "dataclasses": dataclasses,
    "functools": functools,
    "types": types,
    "typing": typing,
    "np": np,
    "nn": nn,
    "optim": optim,
    "F": functional,
}


def _identity(function: Any = None, **options: Any) -> Any:
    """``trace`` where nothing is traced."""
    return function if function is not None else lambda function: function


def _of_nets(look: Callable[[], Any], trace: Any) -> dict[str, Any]:
    loops = {name: getattr(nets, name) for name in ("scan", "fori_loop", "while_loop", "cond")}
    own = {name: getattr(nets, name) for name in ("grad", "value_and_grad", "vjp")}
    return {"nets": nets, "trace": trace} | loops | own


def _of_plain(look: Callable[[], Any]) -> dict[str, Any]:
    return _of_nets(look, _identity) | transforms.plain(look)


def _of_numpy(look: Callable[[], Any]) -> dict[str, Any]:
    return {"nets": ArrayNets(), "trace": _identity}


_TRANSFORMS: dict[str, Callable[[Callable[[], Any]], dict[str, Any]]] = {
    "numpy": _of_numpy,
    "plain": _of_plain,
    "eager": lambda look: _of_nets(look, _identity),
    "reference": lambda look: _of_nets(look, nets.trace),
    "native": lambda look: _of_nets(look, nets.trace),
    "exported": lambda look: _of_nets(look, nets.trace),
}

MODES = tuple(_TRANSFORMS)


# --------------------------------------------------------------------------------- callers


def _converted(value: Any, make: Callable[[Any], Any]) -> Any:
    """Arrays among arguments as tensors, which is how a traced function sees them."""
    if isinstance(value, np.ndarray) and not isinstance(value, ArrayTensor):
        return make(value)
    if isinstance(value, dict):
        made = copy.copy(value)
        for key, x in value.items():
            made[key] = _converted(x, make)
        return made
    if type(value) in (list, tuple):
        return type(value)(_converted(x, make) for x in value)
    return value


def _caller(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        given = [_converted(x, make) for x in args]
        return function(*given, **{name: _converted(x, make) for name, x in kwargs.items()})

    return call


def _directly(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


_CALLERS: dict[str, Callable[..., Any]] = {
    "numpy": _caller(tensor),
    "plain": _caller(nets.Tensor),
    "eager": _caller(nets.Tensor),
    "reference": _directly,
    "native": _directly,
}


class _Library:
    """Calls a step that was exported at its first call."""

    def __init__(self) -> None:
        self.function: Any = None

    def __call__(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            lowered = function.lower(*args, **kwargs)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "lib"
                nets.export(path, formats=("so",), step=lowered)
                self.function = nets.load(f"{path}.so").step
        return self.function(*args, **kwargs)
