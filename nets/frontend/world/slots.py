"""Slots: places that hold another tensor after each call, and how a call finds it in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from nets.errors import ArgumentError
from nets.frontend.pytree import TreeDef, flatten
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.world import holders
from nets.frontend.world.holders import MISSING, Holder
from nets.frontend.world.reach import PLAIN
from nets.frontend.world.recipes import (
    Change,
    Count,
    Made,
    Overwrite,
    Recipe,
    Refill,
    Same,
    Write,
)
from nets.ir.location import user_location


class Pattern(NamedTuple):
    """A place and the nest of tensors it must hold at each call."""

    holder: Holder
    key: object
    tree: TreeDef
    leaves: tuple[object, ...]
    """Numbers of slots, or what must stand there itself."""
    slots: tuple[bool, ...]
    """Whether a leaf is the number of a slot."""

    def find(self, found: list[Tensor | None]) -> bool:
        """Put the tensors in their slots; false where the place holds something else."""
        value = self.holder.now().get(self.key, MISSING)
        if value is MISSING:
            return False
        leaves, tree = flatten(value)
        if tree != self.tree:
            return False
        return all(map(self._fits, leaves, self.leaves, self.slots, (found,) * len(leaves)))

    @staticmethod
    def _fits(now: object, expected: Any, is_slot: bool, found: list[Tensor | None]) -> bool:
        if not is_slot:
            return now is expected or same_plain(now, expected)
        is_other = found[expected] is not None and found[expected] is not now
        if not isinstance(now, Tensor) or is_other:
            return False
        found[expected] = now
        return True


class Slots:
    """All slots of a program: how to find the tensors in them."""

    def __init__(self, patterns: Sequence[Pattern], count: int) -> None:
        self.patterns = patterns
        self.count = count
        self.aliases: list[tuple[Holder, object, int]] = []
        """Further places that hold the tensor of a slot."""
        self.others: frozenset[int] = frozenset()
        """Identities of captured tensors that are in no slot."""

    def find(self) -> list[Tensor] | None:
        """The tensors in the slots now; None where the places hold other things than before."""
        found: list[Tensor | None] = [None] * self.count
        if not all(pattern.find(found) for pattern in self.patterns):
            return None
        tensors = [x for x in found if x is not None]
        if len({id(x) for x in tensors}) < self.count:
            return None
        if not self.others.isdisjoint(map(id, tensors)):
            return None
        held = (holder.now().get(key) is found[number] for holder, key, number in self.aliases)
        return tensors if all(held) else None


NO_SLOTS: Final = Slots((), 0)


def same_plain(now: Any, expected: Any) -> bool:
    """Are these equal values of one class, to the sign of zero and the bits of NaN?"""
    if type(now) is not type(expected):
        return False
    if now is expected:
        return True
    if isinstance(expected, (float, complex, np.generic)):
        return bool(np.asarray(now).tobytes() == np.asarray(expected).tobytes())
    if isinstance(expected, PLAIN):
        return bool(now == expected)
    if isinstance(expected, (tuple, frozenset)) and type(expected).__eq__ in _PLAIN_EQUALITY:
        if isinstance(expected, frozenset):
            return bool(now == expected) and all(isinstance(x, PLAIN) for x in expected)
        return len(now) == len(expected) and all(map(same_plain, now, expected))
    return False


_PLAIN_EQUALITY: Final = (tuple.__eq__, frozenset.__eq__)


# ------------------------------------------------------------------ slots that follow


def moved(
    patterns: Sequence[Pattern], changes: Sequence[Change], name: str
) -> Iterator[tuple[Pattern, list[Recipe]]]:
    """The nests of tensors that calls replace, and the recipes of the leaves that follow.

    ArgumentError where a function of that name changes other things that its next call reads: only
    tensors in the place of tensors are a state that lasts.
    """
    known = {(id(pattern.holder), pattern.key): pattern for pattern in patterns}
    for change in changes:
        for holder, key, recipe in _singly(change):
            pattern = known.get((id(holder), key))
            leaves = [] if recipe is None else _leaves(recipe)
            if pattern is not None and len(leaves) == len(pattern.leaves):
                yield pattern, leaves
            elif pattern is not None or not isinstance(recipe, Count | None):
                raise ArgumentError(
                    f"{name} changes {holder.place(key)}, and not by a tensor in the place of "
                    "another one; where its state is still to be made, call it once before",
                    user_location(),
                )


def _singly(change: Change) -> Iterator[tuple[Any, object, Recipe | None]]:
    """(holder, key, recipe) of the places that a change concerns and a later call may read."""
    if isinstance(change, Write):
        yield change
    elif isinstance(change, Refill):
        for key, recipe in zip(change.keys, change.recipes, strict=True):
            yield change.holder, key, recipe
    elif isinstance(change, Overwrite):
        yield _ARRAY, "the elements of a NumPy array", Same(None)
    elif not change.is_unread:
        yield change.holder, len(change.holder.before), change.recipes[0]


_ARRAY: Final = holders.Namespace({})


def _leaves(recipe: Recipe) -> list[Recipe]:
    if isinstance(recipe, Made):
        return [leaf for part in recipe.recipes for leaf in _leaves(part)]
    return [recipe]
