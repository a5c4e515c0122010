"""Pickling: what goes to another process, or to a file, and how it comes back.

Tensors go as their elements. What nets makes of a function goes by the name of the function, as
functions do themselves, or together with the function it was made of where it has no name of its
own. Lowered functions go as IR text, with the tensors they have captured, and need no Python
function where they arrive. Their code is made there, or looked up in the object cache: another
machine may have another processor.

Nets itself unpickles nothing; that is left to whoever trusts where the bytes come from.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from nets.compiler.compile import CompileOptions
from nets.errors import PickleError
from nets.frontend.calls.arrivals import (
    Text,
    compilation_of,
    function_of,
    goes_by_name,
    named,
    opened,
    parcel,
)
from nets.frontend.calls.lowered import Compiled, Lowered
from nets.frontend.calls.origins import Files, files_of, give_files
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.state import Update
from nets.frontend.tracing.arguments import Form
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.tensor_names import Entry, Ways, ways_of
from nets.frontend.world.arrays import ArraySource
from nets.ir.core import Function, Module
from nets.ir.location import user_location
from nets.ir.printer import print_module

if TYPE_CHECKING:
    from nets.frontend.calls.staged import Staged

Reduced = str | tuple[Any, ...]
"""What ``__reduce__`` gives: a name, or a function and its arguments."""


# --------------------------------------------------------------------------- by name


def reduced(
    staged: Staged,
    make: Callable[..., Any],
    *arguments: Any,
    function: Callable[..., Any] | None = None,
) -> Reduced:
    """By the name that leads to it, or else by the ``function`` it was made of, which by default is
    the one that it wraps: make(function, …).

    PickleError where neither has a name; picklers that take functions as they are get them.
    """
    function = staged.__wrapped__ if function is None else function
    pickler = _pickler_of_functions()
    if goes_by_name(pickler, staged):
        return str(vars(staged)["__qualname__"])
    if pickler is None:
        for part in (function, *arguments):
            _refuse_nameless(part)
        return make, (function, *arguments)
    if goes_by_name(pickler, function):
        return make, (function, *arguments)
    parts = files_of((function, *arguments)), make, function, *arguments
    data = parcel(pickler, (_made_of, *parts))
    return (_made_of, parts) if data is None else (opened, (data,))


def _made_of(files: Files, make: Callable[..., Any], *parts: Any) -> Any:
    give_files(files, parts)
    return make(*parts)


def _refuse_nameless(function: object) -> None:
    if isinstance(function, FunctionType) and named(function) is not function:
        raise PickleError(
            f"{function.__qualname__} cannot be pickled: functions go by the name they have in "
            "their module, which a lambda, a function inside another one and one under another "
            "name have not. Define it at the top of a module, with @nets.trace above it; or "
            "pickle f.lower(...), which needs no function where it arrives; or use cloudpickle, as "
            "Dask and joblib do, which takes functions by their code",
            user_location(),
        )


def _pickler_of_functions() -> ModuleType | None:
    """The pickler, if it is one that takes functions by their code, as those of joblib and Dask do.

    Such a pickler stands right below the methods that pickle asks, and shows by its module.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if "cloudpickle" in module or module.startswith("dill"):
            return sys.modules.get(module)
        if not module.startswith(("nets.frontend", "pickle", "copyreg")):
            return None
        frame = frame.f_back
    return None


# --------------------------------------------------------------------------- programs


def text_of(function: Function) -> Text:
    """What becomes the function again where it arrives."""
    text = print_module(Module({function.name: function}), locations=True)
    return text, tuple(argument.hint for argument in function.arguments)


def reduce_lowered(lowered: Lowered) -> tuple[Any, ...]:
    """The parts of a lowered function that make it again; Python's function is none of them."""
    program = lowered.program
    if program.writes:
        raise PickleError(
            f"{lowered.name} keeps what it changes in names and containers of this process: pickle "
            "the function and its objects, and lower it where they arrive",
            user_location(),
        )
    ways = ways_of(lowered.traced_function)
    captured = [id(getattr(x, "tensor", x)) for x in program.captures]
    captures = {id(source): i for i, source in enumerate(program.captures)}
    places: list[Any] = [captures.get(id(place), place) for place, _ in program.updates]
    parts = (
        text_of(lowered.function),
        program.inputs,
        [_pickled_source(x) for x in program.captures],
        [_known(ways, key) for key in captured],
        program.tree,
        [(place, result) for place, (_, result) in zip(places, program.updates, strict=True)],
        (program.detached, program.required),
        (lowered.form, lowered.options),
    )
    return _lowered, parts


Known = tuple[str | None, str | None, bool, Entry | None]
"""What is known of a captured tensor: see ``Ways``."""


def _known(ways: Ways, key: int) -> Known:
    return ways.names.get(key), ways.dotted.get(key), key in ways.held, ways.entries.get(key)


def _pickled_source(source: Any) -> Any:
    """A captured input; a NumPy array travels as a tensor of its elements."""
    return tensor_of(value_of(source)) if isinstance(source, ArraySource) else source


def _lowered(
    text: Text,
    inputs: Sequence[Any],
    captures: Sequence[Any],
    known: Sequence[Known],
    tree: Any,
    places: Sequence[tuple[Any, int | None]],
    flags: tuple[bool, tuple[bool, ...]],
    call: tuple[Form, CompileOptions],
) -> Lowered:
    function = function_of(text)
    updates = tuple(
        Update(captures[place] if isinstance(place, int) else place, result)
        for place, result in places
    )
    detached, required = flags
    program = Program(
        function,
        tuple(inputs),
        tuple(captures),
        tree,
        updates,
        detached=detached,
        required=required,
    )
    # The names of the state of an exported library are the ways to captured tensors.
    ways = Ways()
    for source, (name, dotted, is_held, entry) in zip(captures, known, strict=True):
        key = id(getattr(source, "tensor", source))
        if name and dotted:
            ways.names[key], ways.dotted[key] = name, dotted
        if is_held:
            ways.held.add(key)
        if entry:
            ways.entries[key] = entry
    form, options = call
    lowered = Lowered(program, form, options, ways)
    lowered.take_over(functools.partial(compilation_of, text))
    return lowered


def reduce_compiled(compiled: Compiled) -> tuple[Any, ...]:
    """The lowered function and how it was compiled: code is made where it arrives."""
    return _compiled, (compiled.lowered, compiled.options)


def _compiled(lowered: Lowered, options: CompileOptions) -> Compiled:
    return lowered.compiled(options)
