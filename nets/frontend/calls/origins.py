"""Origins: the files of functions that a pickler has taken by their code.

cloudpickle leaves out the file that a function is written in, and an error where the function
arrives would point to a line of ``<dynamic-code>``. So what nets makes of a function brings along
where that function was written, and the functions that it calls.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

Files = dict[tuple[str, str, int], str]
"""Module, name and first line of a function → its file."""

_LEFT_OUT: Final = "<dynamic-code>"


def files_of(roots: Iterable[object]) -> Files:
    """The files of the functions that these are and use."""
    return {_key(x): x.__code__.co_filename for x in _functions(roots)}


def give_files(files: Files, roots: Iterable[object]) -> None:
    """Let functions that have lost their files have them again."""
    for function in _functions(roots):
        file = files.get(_key(function))
        if file is not None and function.__code__.co_filename == _LEFT_OUT:
            function.__code__ = _within(function.__code__, file)


def _key(function: FunctionType) -> tuple[str, str, int]:
    return function.__module__, function.__qualname__, function.__code__.co_firstlineno


def _functions(roots: Iterable[object]) -> Iterator[FunctionType]:
    """The functions that are reached by their names, in the modules that the roots are of."""
    pending, seen, modules = list(roots), set[int](), set[str]()
    while pending:
        x: Any = pending.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, functools.partial | MethodType):
            pending.append(x.func if isinstance(x, functools.partial) else x.__func__)
        elif isinstance(x, FunctionType):
            modules = modules or {x.__module__}
            if x.__module__ in modules:
                yield x
                pending += _named(x)
        elif callable(x) and "__wrapped__" in getattr(x, "__dict__", {}):
            pending.append(x.__wrapped__)


def _named(function: FunctionType) -> list[object]:
    """What the names in a function's code stand for outside of it."""
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # nothing yet
            continue
    names = (name for code in codes_of(function.__code__) for name in code.co_names)
    known = function.__globals__
    return found + [known[name] for name in names if name in known]


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    pending = [code]
    while pending:
        found = pending.pop()
        yield found
        pending += [x for x in found.co_consts if isinstance(x, CodeType)]


def _within(code: CodeType, file: str) -> CodeType:
    """The code as one of that file; as deep as functions are written inside each other."""
    constants = tuple(_within(x, file) if isinstance(x, CodeType) else x for x in code.co_consts)
    return code.replace(co_filename=file, co_consts=constants)
