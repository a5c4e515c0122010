"""Guards: do the names and attributes a function found its captured tensors by still lead to them?

A specialisation holds captured tensors by identity. Elements given to such a tensor later are seen
by the next call; but where a *name* is bound to another tensor (``w = w - 0.1 * g``, or
``self.w = …``, or ``params["w"] = …``), the function has to be traced again. So what the function
can reach is walked once, after tracing, from its closure and globals through functions, containers
and objects; each place on a way to a captured tensor becomes a guard, compared by identity on
each call. So do the numbers, texts and bools among the attributes of a module, or of the object a
method is bound to, that its methods read: ``if self.training``, ``x * self.scale``.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import getattr_static
from operator import getitem
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from nets.frontend.tensor import Tensor

_LIMIT: Final = 10_000
"""Objects visited at most."""

_OPAQUE: Final = (str, bytes, int, float, complex, type, ModuleType, type(None))
_LIBRARIES: Final = ("nets", "numpy", "builtins")

_PLAIN: Final = (bool, int, float, str, type(None))

_FOLLOWED: Final = "is_followed"
"""The attribute of classes of nets whose instances hold what users may replace: modules."""


class Guard(NamedTuple):
    """``get(holder, key)`` was ``expected`` when the function was traced."""

    get: Callable[[Any, Any], Any]
    holder: Any
    key: Any
    expected: Any
    owner: str = ""
    """The class of the object that the key is a plain attribute of."""


Edge = tuple[int, Guard | None, Any]
"""(identity of an object, the place the next one was found in, the next one).

The place is None where it cannot hold anything else.
"""


def hold(guards: Sequence[Guard]) -> bool:
    """Does every place still hold what it did?"""
    try:
        return all(get(holder, key) is expected for get, holder, key, expected, _ in guards)
    except (LookupError, AttributeError, ValueError):  # ValueError: an empty cell
        return False


def changes(guards: Sequence[Guard]) -> list[str]:
    """A line for each kind of place that holds something else now."""
    places = {(id(guard.holder), guard.key): guard for guard in guards if not hold((guard,))}
    found = Counter(map(_change, places.values()))
    return [text if count == 1 else f"{text} (in {count} places)" for text, count in found.items()]


def _change(guard: Guard) -> str:
    read = getattr if guard.get is getattr else dict.get
    now = read(guard.holder, guard.key, None) if guard.owner else guard.holder
    if not isinstance(now, _PLAIN):
        return "a captured tensor or a static attribute was replaced by another one"
    return f"{guard.owner}.{guard.key} was {guard.expected!r} and is {now!r} now"


def guards_of(function: Callable[..., Any], tensors: Iterable[Tensor]) -> tuple[Guard, ...]:
    """The places between the function and these tensors, and the plain attributes it reads."""
    leading = {id(tensor) for tensor in tensors}
    edges, plain = _edges(function)
    leading.update(id(target) for _, _, target in edges if _is_followed(target))
    guards: dict[int, Guard] = {}
    grown = True
    while grown:  # backwards, a few rounds where objects refer to one another in circles
        before = len(leading), len(guards)
        for position in range(len(edges) - 1, -1, -1):
            source, guard, target = edges[position]
            if id(target) in leading:
                leading.add(source)
                if guard is not None:
                    guards[position] = guard
        grown = before != (len(leading), len(guards))
    return (*guards.values(), *plain)


def _edges(function: Callable[..., Any]) -> tuple[list[Edge], list[Guard]]:
    """The steps between all that can be reached, and the plain attributes that are read there."""
    edges: list[Edge] = []
    plain: list[Guard] = []
    seen = {id(function)}
    pending: list[Any] = [function]
    for node in pending:
        plain += _plain_attributes(node)
        for guard, target in _reached(node):
            if isinstance(target, _OPAQUE):
                continue
            edges.append((id(node), guard, target))
            if id(target) not in seen and len(seen) < _LIMIT:
                seen.add(id(target))
                pending.append(target)
    return edges, plain


def _reached(node: Any) -> Iterator[tuple[Guard | None, Any]]:
    """What an object leads to in one step, and the place it was found in."""
    if isinstance(node, Tensor) or len(_sized(node)) > _LIMIT:
        return
    if isinstance(node, FunctionType):
        yield from _of_function(node)
    elif isinstance(node, MethodType):
        yield None, node.__func__
        yield None, node.__self__
    elif isinstance(node, functools.partial):
        yield from ((None, x) for x in (node.func, *node.args, *node.keywords.values()))
    elif isinstance(node, tuple):
        yield from ((None, x) for x in node)
    elif isinstance(node, list):
        yield from ((Guard(getitem, node, i, x), x) for i, x in enumerate(node))
    elif isinstance(node, dict):
        yield from _of_dict(node)
    elif "__wrapped__" in getattr(node, "__dict__", ()):
        yield None, node.__wrapped__
    elif _is_followed(node) or not _is_of_a_library(type(node)):
        yield from _of_dict(getattr(node, "__dict__", {}))


def _plain_attributes(node: Any) -> Iterator[Guard]:
    """Of a method's object, those the method reads; of a module, those its ``forward`` reads."""
    if isinstance(node, MethodType):
        node, entry = node.__self__, node.__func__
    else:
        entry = getattr(type(node), "forward", None) if _is_followed(node) else None
    held = getattr(node, "__dict__", {})
    for name in _names_read(type(node), entry) if entry is not None else ():
        if name in held and isinstance(held[name], _PLAIN):
            # By the dictionary: a guard does not keep the object.
            yield Guard(getitem, held, name, held[name], type(node).__name__)


def _names_read(kind: type, method: Any) -> Iterator[str]:
    """Names in a method, and in those methods of its class whose names these are."""
    seen: set[str] = set()
    pending = [method]
    for found in pending:
        function = getattr(found, "__wrapped__", found)
        if not isinstance(function, FunctionType) or _is_of_a_library(function):
            continue
        new = _global_names(function.__code__) - seen
        seen |= new
        yield from sorted(new)
        pending.extend(getattr_static(kind, name, None) for name in new)


def _is_followed(node: Any) -> bool:
    return getattr(type(node), _FOLLOWED, False) is True


def _sized(node: Any) -> Any:
    return node if isinstance(node, (list, tuple, dict)) else ()


def _of_dict(node: dict[Any, Any]) -> Iterator[tuple[Guard | None, Any]]:
    for key, x in list(node.items()):
        yield Guard(getitem, node, key, x), x


def _of_function(function: FunctionType) -> Iterator[tuple[Guard | None, Any]]:
    if _is_of_a_library(function):
        return
    for cell in function.__closure__ or ():
        try:
            found = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        yield Guard(getattr, cell, "cell_contents", found), found
    names = function.__globals__
    for name in _global_names(function.__code__):
        if name in names:
            yield Guard(getitem, names, name, names[name]), names[name]


def _global_names(code: CodeType) -> set[str]:
    """Names the code, or code nested in it, may look up among the globals."""
    names: set[str] = set()
    pending = [code]
    while pending:
        current = pending.pop()
        names.update(current.co_names)
        pending.extend(x for x in current.co_consts if isinstance(x, CodeType))
    return names


def _is_of_a_library(x: Any) -> bool:
    module = getattr(x, "__module__", None) or ""
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES
