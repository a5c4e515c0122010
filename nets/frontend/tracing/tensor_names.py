"""Names of captured tensors: the way a function has to each of them, in one word.

``model_0_weight`` is ``model[0].weight``, where the code of the function says ``model``. What only
the code of nets reaches, as the default generator of random numbers, is named by the global it
stands in.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Final

from nets.frontend.tensor.tensor import Tensor
from nets.frontend.world.reach import is_of_layers, whose

_LIMIT: Final = 100_000
"""Objects looked through for names at most."""

_OPAQUE: Final = (str, bytes, int, float, complex, type, ModuleType, type(None))

_MODULES_DEEP: Final = 4
"""Names of modules in a row, as in ``package.part.tensor``."""


@dataclass
class Ways:
    """What was found from some objects: tensors by identity, and what they are called."""

    names: dict[int, str] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    """The buffers of layers."""


def ways_of(function: object) -> Ways:
    """The tensors that a function can reach; of one that was pickled, those it could.

    A way that ends with a name is better than one that ends with a number, then a shorter one.
    """
    if isinstance(function, Ways):
        return function
    found = _walk([(function, ())])
    found.names = _walk(_library_roots()).names | found.names
    return found


def _library_roots() -> list[tuple[object, tuple[str, ...]]]:
    """The objects with a state that stand in the modules of nets themselves."""
    modules = [module for name, module in sorted(sys.modules.items()) if whose(name) == "layers"]
    return [
        (value, (name,))
        for module in modules
        for name, value in vars(module).items()
        if whose(type(value).__module__) == "layers" and not isinstance(value, _OPAQUE)
    ]


def _walk(roots: list[tuple[object, tuple[str, ...]]]) -> Ways:
    ways, found = Ways(), dict[int, tuple[bool, int, str]]()
    seen = {id(node) for node, _ in roots}
    pending = list(roots)
    for_good = []  # so that identities stay theirs
    while pending:
        node, path = pending.pop()
        buffers = getattr(node, "_buffers", ()) if is_of_layers(type(node)) else ()
        for name, child in _children(node):
            word = name.strip("_")
            longer = (*path, word) if word and word != "self" else path
            if isinstance(child, Tensor):
                rank = (word.isdigit(), len(longer), "_".join(longer))
                found[id(child)] = min(rank, found.get(id(child), rank))
                if name in buffers:
                    ways.held.add(id(child))
            elif id(child) not in seen and len(seen) < _LIMIT and not isinstance(child, _OPAQUE):
                seen.add(id(child))
                for_good.append(child)
                pending.append((child, longer))
    ways.names.update({key: name for key, (_, _, name) in found.items()})
    return ways


def _children(node: object) -> Iterator[tuple[str, object]]:
    """(word, child) pairs of what an object leads to."""
    if isinstance(node, FunctionType):
        yield from _of_function(node)
    elif isinstance(node, MethodType):
        yield "", node.__self__
        yield "", node.__func__
    elif isinstance(node, functools.partial):
        yield "", node.func
        yield from ((str(i), child) for i, child in enumerate(node.args))
        yield from node.keywords.items()
    elif isinstance(node, dict):
        yield from ((str(key), child) for key, child in list(node.items()))
    elif isinstance(node, (list, tuple)):
        names = getattr(node, "_fields", range(len(node)))
        yield from ((str(name), child) for name, child in zip(names, node, strict=False))
    else:
        wrapped = getattr(node, "__wrapped__", None)
        if wrapped is not None:
            yield "", wrapped
            return
        yield from _attributes(node)


def _attributes(node: object) -> Iterator[tuple[str, object]]:
    """What stands in an object, its slots, and the classes of users that it is of."""
    yield from list(getattr(node, "__dict__", {}).items())
    for base in type(node).__mro__:
        if whose(base.__module__) != "user":
            continue
        slots = getattr(base, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(node, name):
                yield name, getattr(node, name)
        yield from ((k, v) for k, v in vars(base).items() if not callable(v) and k[:2] != "__")


def _of_function(node: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(node.__code__.co_freevars, node.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    yield from zip(_defaulted(node), node.__defaults__ or (), strict=True)
    yield from (node.__kwdefaults__ or {}).items()
    said = _names_said(node.__code__)
    for name in said:
        if name in node.__globals__:
            yield from _of_global(name, node.__globals__[name], said, _MODULES_DEEP)


def _defaulted(node: FunctionType) -> tuple[str, ...]:
    """The parameters that have defaults."""
    code = node.__code__
    names = code.co_varnames[: code.co_argcount]
    return names[len(names) - len(node.__defaults__ or ()) :]


def _of_global(
    name: str, value: object, said: tuple[str, ...], deep: int
) -> Iterator[tuple[str, object]]:
    """What a global leads to; of a module of the user's, what the code may say it has."""
    if not isinstance(value, ModuleType):
        yield name, value
    elif deep and whose(value.__name__) == "user":
        for attribute in said:
            if attribute in vars(value):
                yield from _of_global(f"{name}_{attribute}", vars(value)[attribute], said, deep - 1)


def _names_said(code: CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in a code and those nested in it, in their order."""
    found = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= dict.fromkeys(_names_said(constant))
    return tuple(found)
