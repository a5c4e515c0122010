"""Names of captured tensors: the way a function has to each of them, in one word.

``model_0_weight`` is ``model[0].weight``, where the code of the function says ``model``. What only
the code of nets reaches, as the default generator of random numbers, is named by the global it
stands in. Of those that a module, an optimiser or a generator saves (``named_state``), it is also
told which one, and under what name.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from nets.frontend.tensor.tensor import Tensor
from nets.frontend.world.reach import is_of_layers, whose

_LIMIT: Final = 100_000
"""Objects looked through for names at most."""

_OPAQUE: Final = (str, bytes, int, float, complex, type, ModuleType, type(None))

_MODULES_DEEP: Final = 4
"""Names of modules in a row, as in ``package.part.tensor``."""


class Entry(NamedTuple):
    """Where a tensor stands: in the state of an owner, a module, optimiser or generator."""

    owner: int
    """Its identity."""
    way: str
    """To the owner, with dots."""
    name: str
    """In the state of the owner, with dots."""
    is_of_module: bool


@dataclass
class Ways:
    """What was found from some objects: tensors by identity, and what they are called."""

    names: dict[int, str] = field(default_factory=dict)
    dotted: dict[int, str] = field(default_factory=dict)
    """The same with dots."""
    held: set[int] = field(default_factory=set)
    """The buffers of layers."""
    entries: dict[int, Entry] = field(default_factory=dict)
    """Of tensors that have an owner: of modules in modules, the outermost one."""


def ways_of(function: object) -> Ways:
    """The tensors that a function can reach; of one that was pickled, those it could.

    A way that ends with a name is better than one that ends with a number, then a shorter one.
    """
    if isinstance(function, Ways):
        return function
    found, others = _walk([(function, ())]), _walk(_library_roots())
    found.names = others.names | found.names
    found.dotted = others.dotted | found.dotted
    found.entries = others.entries | found.entries
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
    ways, found = Ways(), dict[int, tuple[bool, int, tuple[str, ...]]]()
    seen = {id(node) for node, _ in roots}
    pending = list(roots)
    for_good = []  # so that identities stay theirs
    owners = _Owners()
    for node, path in roots:
        owners.see(node, path)
    while pending:
        node, path = pending.pop()
        buffers = getattr(node, "_buffers", ()) if is_of_layers(type(node)) else ()
        for name, child in _children(node):
            word = name.strip("_")
            longer = (*path, word) if word and word != "self" else path
            if isinstance(child, Tensor):
                rank = (word.isdigit(), len(longer), longer)
                found[id(child)] = min(rank, found.get(id(child), rank))
                if name in buffers:
                    ways.held.add(id(child))
                continue
            owners.see(child, longer)
            if id(child) not in seen and len(seen) < _LIMIT and not isinstance(child, _OPAQUE):
                seen.add(id(child))
                for_good.append(child)
                pending.append((child, longer))
    ways.names.update({key: "_".join(path) for key, (_, _, path) in found.items()})
    ways.dotted.update({key: ".".join(path) for key, (_, _, path) in found.items()})
    ways.entries = owners.entries()
    return ways


class _Owners:
    """The modules, optimisers and generators of a walk."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[int, tuple[str, ...], Any]] = {}

    def see(self, node: object, path: tuple[str, ...]) -> None:
        """Take it for one if it is, with the shortest way to it."""
        if isinstance(node, _OPAQUE) or not hasattr(type(node), "named_state"):
            return
        if any(whose(base.__module__) == "layers" for base in type(node).__mro__):
            rank = (len(path), path, node)
            self._found[id(node)] = min(rank, self._found.get(id(node), rank), key=lambda x: x[:2])

    def entries(self) -> dict[int, Entry]:
        """The entries of all, by the identities of the tensors."""
        within = {id(x) for _, _, node in self._found.values() for x in _parts(node)}
        entries: dict[int, Entry] = {}
        for _, path, node in sorted(self._found.values(), key=lambda x: x[:2]):
            is_module = is_of_layers(type(node))
            way = ".".join(path) or ("model" if is_module else type(node).__name__.lower())
            for name, tensor in node.named_state() if id(node) not in within else ():
                entries.setdefault(id(tensor), Entry(id(node), way, name, is_module))
        return entries


def _parts(node: Any) -> list[object]:
    """The modules in a module."""
    return [x for x in node.modules() if x is not node] if is_of_layers(type(node)) else []


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
