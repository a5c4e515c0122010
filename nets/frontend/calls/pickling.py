"""Pickling: what goes to another process, or to a file, and how it comes back.

Tensors go as their elements. What nets makes of a function goes by the name of the function, as
functions do themselves, or together with the function it was made of where it has no name of its
own. Lowered functions go as IR text, with the tensors they have captured, and need no Python
function where they arrive.

Nets itself unpickles nothing; that is left to whoever trusts where the bytes come from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from nets.compiler.compile import CompileOptions
from nets.errors import PickleError
from nets.frontend.calls.lowered import Compiled, Lowered, parse_ir
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.state import Update
from nets.frontend.tracing.arguments import Form
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.tensor_names import Entry, Ways, ways_of
from nets.frontend.world.arrays import ArraySource
from nets.ir.core import Module
from nets.ir.location import user_location
from nets.ir.printer import print_module

if TYPE_CHECKING:
    from nets.frontend.calls.staged import Staged

Reduced = str | tuple[Any, ...]
"""What ``__reduce__`` gives: a name, or a function and its arguments."""


# --------------------------------------------------------------------------- by name


def reduced(staged: Staged, make: Callable[..., Any], *arguments: Any) -> Reduced:
    """By the name that leads to it, or else by the function it was made of: make(function, …).

    PickleError where neither has a name; picklers that take functions as they are get them.
    """
    if not _takes_functions():
        if _named(staged) is staged:
            return str(staged.__qualname__)
        _refuse_nameless(staged)
    return make, (staged.__wrapped__, *arguments)


def _refuse_nameless(staged: Staged) -> None:
    function = staged.__wrapped__
    if isinstance(function, FunctionType) and _named(function) is not function:
        raise PickleError(
            f"{function.__qualname__} cannot be pickled: functions go by the name they have in "
            "their module, which a lambda, a function inside another one and one under another "
            "name have not. Define it at the top of a module, with @nets.trace above it; or "
            "pickle f.lower(...), which needs no function where it arrives",
            user_location(),
        )


def _named(function: Any) -> Any:
    """What is found where a function says it is; None where nothing is."""
    found = sys.modules.get(getattr(function, "__module__", None) or "")
    for word in getattr(function, "__qualname__", "?").split("."):
        found = getattr(found, word, None)
    return found


def _takes_functions() -> bool:
    """Is the pickler one that takes functions by their code, as those of joblib and Dask do?

    Such a pickler stands right below the methods that pickle asks, and shows by its module.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if "cloudpickle" in module or module.startswith("dill"):
            return True
        if not module.startswith(("nets.frontend", "pickle", "copyreg")):
            return False
        frame = frame.f_back
    return False


# --------------------------------------------------------------------------- lowered


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
        print_module(Module({lowered.name: lowered.function}), locations=True),
        [argument.hint for argument in lowered.function.arguments],
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
    text: str,
    hints: Sequence[str],
    inputs: Sequence[Any],
    captures: Sequence[Any],
    known: Sequence[Known],
    tree: Any,
    places: Sequence[tuple[Any, int | None]],
    flags: tuple[bool, tuple[bool, ...]],
    call: tuple[Form, CompileOptions],
) -> Lowered:
    (function,) = parse_ir(text).functions.values()
    for argument, hint in zip(function.arguments, hints, strict=True):
        argument.hint = hint
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
    return Lowered(program, form, options, ways)


def reduce_compiled(compiled: Compiled) -> tuple[Any, ...]:
    """The lowered function and how it was compiled: code is made where it arrives."""
    return _compiled, (compiled.lowered, compiled.options)


def _compiled(lowered: Lowered, options: CompileOptions) -> Compiled:
    return lowered.compiled(options)
