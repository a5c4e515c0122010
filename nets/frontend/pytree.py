"""Pytrees: nested containers of tensors, taken apart into leaves and put together again.

Containers are ``dict``, ``OrderedDict``, ``defaultdict``, ``list``, ``tuple``, named tuples,
dataclasses and ``None`` (a container of nothing); everything else is a leaf. A ``TreeDef`` is the
nest without its leaves. Two dicts with the same keys in another order have equal tree
definitions, and their leaves come in the order of the sorted keys; each definition still
remembers the order its own dicts had, and builds new ones in it.

The definition is a flat tuple of tokens in depth-first order, so that hashing, comparing and
building are loops whatever the depth.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from types import NoneType
from typing import Any, Final, NamedTuple

from nets.errors import ArgumentError
from nets.ir.location import user_location

LEAF: Final = "leaf"
_DICTS: Final = (dict, OrderedDict, defaultdict)
_CYCLE_CHECK: Final = 1 << 16
"""Number of tokens after which a nest is suspected to contain itself."""

Token = str | tuple[type, Any]
"""``LEAF``, or (container class, keys); keys are the size for a list or tuple."""

Order = tuple[tuple[Any, ...], tuple[type, ...], Callable[[], Any] | None]
"""Of a dict: its keys in the order they had, their classes, the default factory."""


class Step(NamedTuple):
    """One step of the path to a leaf: the class of the container and the key within it."""

    container: type
    key: Any

    def __str__(self) -> str:
        """As it is written in Python: ``[0]``, ``['w']`` or ``.w``."""
        if _attribute_names(self.container) is not None:
            return f".{self.key}"
        return f"[{self.key!r}]"


class TreeDef:
    """The structure of a nest: hashable, comparable, independent of the order of dict keys."""

    __slots__ = ("_hash", "leaf_count", "orders", "tokens")

    def __init__(
        self, tokens: tuple[Token, ...], leaf_count: int, orders: Sequence[Order] = ()
    ) -> None:
        self.tokens = tokens
        self.leaf_count = leaf_count
        self.orders = tuple(orders)
        """Per dict, first to last."""
        self._hash: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Without the hash, which is another in every process; None stands for a leaf."""
        tokens = tuple(None if token is LEAF else token for token in self.tokens)
        return _unpickled, (tokens, self.leaf_count, self.orders)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeDef) and self.tokens == other.tokens

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.tokens)
        return self._hash

    def __repr__(self) -> str:
        return f"TreeDef({self.unflatten(self.stars())!r})"

    def stars(self) -> list[Any]:
        """Stand-ins for the leaves that print as ``*``."""
        return [_Star()] * self.leaf_count

    def unflatten(self, leaves: Sequence[object]) -> Any:
        """The nest with these leaves in place."""
        if len(self.tokens) == 1 and self.tokens[0] is LEAF:
            return leaves[0]
        built: list[Any] = []
        position = len(leaves)
        order = len(self.orders)
        for token in reversed(self.tokens):
            if isinstance(token, str):
                position -= 1
                built.append(leaves[position])
                continue
            container, keys = token
            size = keys if isinstance(keys, int) else len(keys)
            children = built[: -size - 1 : -1] if size else []
            if size:
                del built[-size:]
            if container in _DICTS:
                order -= 1
                built.append(_build_dict(container, keys, children, self.orders[order]))
            else:
                built.append(_build(container, keys, children))
        return built[0]

    def paths(self) -> list[tuple[Step, ...]]:
        """The path to each leaf."""
        # A pending prefix is a linked list, so that a deep nest costs its depth per leaf only.
        pending: list[Any] = [None]
        found = []
        for token in self.tokens:
            prefix = pending.pop()
            if isinstance(token, str):
                found.append(_unlink(prefix))
                continue
            container, keys = token
            names = range(keys) if isinstance(keys, int) else keys
            pending.extend((prefix, Step(container, key)) for key in reversed(names))
        return found


def _unpickled(tokens: tuple[Token, ...], leaf_count: int, orders: Sequence[Order]) -> TreeDef:
    return TreeDef(tuple(token or LEAF for token in tokens), leaf_count, orders)


class _Star:
    """Stands for a leaf in the text of a tree definition."""

    def __repr__(self) -> str:
        return "*"


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of a nest and its structure; ArgumentError where it contains itself."""
    leaves: list[Any] = []
    tokens: list[Token] = []
    orders: list[Order] = []
    pending = [tree]
    while pending:
        x = pending.pop()
        kind: Any = type(x)
        if kind is tuple or kind is list:
            tokens.append((kind, len(x)))
            pending.extend(x[::-1])
        elif kind in _DICTS:
            keys = _sorted_keys(x)
            tokens.append((kind, keys))
            orders.append((tuple(x), (*map(type, x),), getattr(x, "default_factory", None)))
            pending.extend([x[key] for key in reversed(keys)])
        elif x is None:
            tokens.append((NoneType, 0))
        elif (names := _attribute_names(kind)) is not None:
            tokens.append((kind, names))
            pending.extend([getattr(x, name) for name in reversed(names)])
        else:
            tokens.append(LEAF)
            leaves.append(x)
        if len(tokens) == _CYCLE_CHECK:
            _refuse_cycles(tree)
    return leaves, TreeDef(tuple(tokens), len(leaves), orders)


def is_container(kind: object) -> bool:
    """Is an object of this class a container whose leaves are flattened?"""
    return kind in (tuple, list, NoneType, *_DICTS) or _attribute_names(kind) is not None


def map_leaves(function: Callable[[Any], object], tree: object) -> Any:
    """The same nest with ``function`` of each leaf in its place."""
    leaves, treedef = flatten(tree)
    return treedef.unflatten([function(leaf) for leaf in leaves])


def expression(root: str, path: Sequence[Step]) -> str:
    """How a user writes the way to a leaf: ``params[0]['w']``."""
    return root + "".join(map(str, path))


def identifier(root: str, path: Sequence[Step]) -> str:
    """The way to a leaf as a name for IR and C: ``params_0_w``."""
    words = [root, *(str(step.key) for step in path)]
    return re.sub(r"\W+", "_", "_".join(word for word in words if word), flags=re.ASCII)


def unique(names: Sequence[str]) -> list[str]:
    """The names, with a number added to those that were there before."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        result.append(candidate)
    return result


@lru_cache(maxsize=512)
def _attribute_names(kind: Any) -> tuple[str, ...] | None:
    """The fields of a named tuple or dataclass; None for any other class."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return tuple(kind._fields)
    if hasattr(kind, "__dataclass_fields__"):
        return tuple(field.name for field in fields(kind))
    return None


def _sorted_keys(x: dict[object, object]) -> tuple[Any, ...]:
    """The keys sorted, or as they stand where they have no order."""
    try:
        return tuple(sorted(x))
    except TypeError:
        return tuple(x)


def _build(container: type, keys: Any, children: list[Any]) -> Any:
    if container is list:
        return children
    if container is tuple:
        return tuple(children)
    if container is NoneType:
        return None
    if issubclass(container, tuple):
        return container._make(children)  # type: ignore[attr-defined]
    # Not through __init__: it may compute with the fields, or refuse what stands in for them.
    instance = object.__new__(container)
    for name, child in zip(keys, children, strict=True):
        object.__setattr__(instance, name, child)
    return instance


def _build_dict(container: type, keys: Any, children: list[Any], order: Order) -> Any:
    original_keys, _, factory = order
    values = dict(zip(keys, children, strict=True))
    items = [(key, values[key]) for key in original_keys]
    return defaultdict(factory, items) if container is defaultdict else container(items)


def _unlink(prefix: Any) -> tuple[Step, ...]:
    steps = []
    while prefix is not None:
        prefix, step = prefix
        steps.append(step)
    return tuple(reversed(steps))


def _children(x: Any) -> Iterator[Any]:
    kind: Any = type(x)
    if kind is tuple or kind is list:
        return iter(x)
    if kind in _DICTS:
        return iter(x.values())
    names = _attribute_names(kind) or ()
    return iter([getattr(x, name) for name in names])


def _refuse_cycles(tree: object) -> None:
    """ArgumentError where a container is its own descendant."""
    above = {id(tree)}
    done: set[int] = set()
    path = [(tree, _children(tree))]
    while path:
        node, remaining = path[-1]
        child = next(remaining, _END)
        if child is _END:
            above.discard(id(node))
            done.add(id(node))
            path.pop()
        elif id(child) in above:
            raise ArgumentError(
                f"a {type(child).__name__} among the arguments contains itself", user_location()
            )
        elif id(child) not in done:
            above.add(id(child))
            path.append((child, _children(child)))


_END: Final = object()
