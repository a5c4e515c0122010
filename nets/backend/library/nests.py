"""Nests of arguments and results: what a manifest says of them, and Python's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from nets.backend.library.manifest import Tree
from nets.errors import ArgumentError

Array = npt.NDArray[Any]


def leaves(tree: Tree, value: Any, path: str) -> list[tuple[int, Any]]:
    """(number, leaf) pairs of a value that has the structure of ``tree``."""
    found = []
    pending = [(tree, value, path)]
    while pending:
        tree, value, path = pending.pop()
        if isinstance(tree, int):
            found.append((tree, value))
            continue
        kind, *rest = tree
        children = rest[0] if rest else []
        got = _children(kind, value)
        if got is None or set(got) != {key for key, _ in children}:
            keys = ", ".join(str(key) for key, _ in children)
            raise ArgumentError(f"{path} is a {kind} of ({keys}), not {type(value).__name__}")
        pending += [(subtree, got[key], f"{path}[{key!r}]") for key, subtree in children]
    return found


def _children(kind: str, value: Any) -> dict[Any, Any] | None:
    """The children of a container by key; None where it is not of that kind."""
    if kind == "none":
        return {} if value is None else None
    if kind in ("list", "tuple"):
        return dict(enumerate(value)) if isinstance(value, (list, tuple)) else None
    if isinstance(value, dict):
        return value
    if kind == "fields":
        names: Iterable[str] = getattr(value, "_fields", ()) or getattr(
            value, "__dataclass_fields__", ()
        )
        return {name: getattr(value, name) for name in names} or None
    return None


def nest(tree: Tree, arrays: Sequence[Array], patterns: Mapping[int, dict[str, Any]]) -> Any:
    """The arrays in the structure of ``tree``; named tuples and dataclasses come as dicts, those of
    sparse matrices with what ``patterns`` tell of their values."""
    if isinstance(tree, int):
        return arrays[tree]
    kind, *rest = tree
    if kind == "none":
        return None
    # Nests in a manifest are as deep as JSON's reader allows, so this recursion ends.
    items = {key: nest(subtree, arrays, patterns) for key, subtree in rest[0]}
    if kind == "fields":
        leaves = [subtree for _, subtree in rest[0] if isinstance(subtree, int)]
        items |= next((patterns[leaf] for leaf in leaves if leaf in patterns), {})
    if kind == "list":
        return list(items.values())
    return tuple(items.values()) if kind == "tuple" else items
