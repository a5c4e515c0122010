"""Writes: what a traced function changed in the places it reaches, to be done again by every call.

At the end of a trace, the places that the function reaches are compared with what they held before.
A place may hold a tensor of the trace now: after each call it will hold a new tensor, with the
result of that call. It may hold a container that the function made: each call makes a new one. It
may hold an object that existed before: each call puts that object there.

Where a place held a tensor before the trace and holds a new one after it, the next call finds
another tensor there again. Such a place is a slot: each call reads the tensor that stands in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any, Final

import numpy as np

from nets.errors import LeakedTracerError, UnsupportedObjectError
from nets.frontend.pytree import flatten
from nets.frontend.tensor.dimension import Dimension, is_open
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import tensor_of_array, value_of
from nets.frontend.tensor.scope import Scope, leaked
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.views import Step, View
from nets.frontend.world import holders
from nets.frontend.world.holders import MISSING, Attributes, Contents, Holder, same_keys
from nets.frontend.world.names import appended_only, counted_only
from nets.frontend.world.reach import PLAIN, Reach
from nets.frontend.world.recipes import (
    Append,
    Change,
    Count,
    Found,
    Fresh,
    Made,
    Recipe,
    Refill,
    Same,
    Shown,
    Told,
    Write,
)
from nets.frontend.world.slots import Pattern
from nets.ir.core import Operation
from nets.ir.location import user_location
from nets.ir.sizes import Size


class Changes:
    """What differs at the end of a trace: the writes of every call, and what they need."""

    def __init__(self, reach: Reach, scope: Scope) -> None:
        self._reach, self._scope = reach, scope
        self.fresh: list[Tensor] = []
        self._sizes: dict[Size, Tensor] = {}
        """Tensors of the trace whose values the writes need, in the order of their numbers."""
        self.unread: set[int] = set()
        """Holders that the function only appends to."""
        self.counted: dict[int, set[object]] = {}
        """Places of holders that the function only counts in."""
        self._numbers: dict[int, int] = {}
        self._found: dict[int, int] = {}
        self._open: set[int] = set()
        self._differing = [
            (holder, now) for holder in reach.holders if differs(holder.before, now := holder.now())
        ]
        self.slotted = self._slots()
        self.writes: list[Change] = [
            write for holder, now in self._differing for write in self._of_holder(holder, now)
        ]

    # ---------------------------------------------------------------------- the slots

    def _slots(self) -> dict[int, tuple[Holder, list[object]]]:
        """The places whose tensors every call finds and replaces: holders by identity, keys."""
        slotted: dict[int, tuple[Holder, list[object]]] = {}
        grown = True
        while grown:
            grown = False
            for holder, now in self._differing:
                _, keys = slotted.setdefault(id(holder), (holder, []))
                for key in self._renewed(holder, now):
                    if key not in keys:
                        keys.append(key)
                        grown |= self._take(holder.before.get(key, MISSING))
        return {key: slots for key, slots in slotted.items() if slots[1]}

    def _renewed(self, holder: Holder, now: Contents) -> list[object]:
        """Places of what was there before whose tensors are others after each call."""
        if _is_refilled(holder, now):
            if self._grows_unread(holder, now):
                return []
            is_new = any(self._is_new(value) for value in now.values())
            return [key for key, x in holder.before.items() if is_new and self._is_open(x)]
        return [
            key
            for key, value in now.items()
            if holder.before.get(key, MISSING) is not value
            and self._is_open(holder.before.get(key, MISSING))
            and self._is_new(value)
        ]

    def _is_open(self, value: object) -> bool:
        """Does what was there before hold tensors, and hold them alone but for other places?"""
        if value is MISSING:
            return False
        tensors = [leaf for leaf in flatten(value)[0] if isinstance(leaf, Tensor)]
        if any(isinstance(tensor, View) for tensor in tensors):
            return False  # the root is read, wherever the view stands
        parts = set(_containers(value))
        within = (self._reach.within.get(id(tensor), ()) for tensor in tensors)
        return bool(tensors) and all(parts.issuperset(holders) for holders in within)

    def _is_new(self, value: object) -> bool:
        """Does a value hold what another call makes anew?"""
        recipe = self._recipe(value)
        return not isinstance(recipe, Same)

    def _take(self, value: object) -> bool:
        """Give the tensors in a value that was there before slots; whether there was one."""
        taken = False
        for leaf in flatten(value)[0]:
            if isinstance(leaf, Tensor) and id(leaf) not in self._found:
                self._found[id(leaf)] = len(self._found)
                taken = True
        return taken

    def patterns(self) -> list[Pattern]:
        """How to find the tensors of the slots at a call."""
        found = []
        for holder, keys in self.slotted.values():
            for key in keys:
                leaves, tree = flatten(holder.before[key])
                slots = tuple(isinstance(leaf, Tensor) for leaf in leaves)
                ids = [self._found.get(id(leaf), leaf) for leaf in leaves]
                found.append(Pattern(holder, key, tree, tuple(ids), slots))
        return found

    def slot_of(self, tensor: object) -> int | None:
        """The number of the slot that a tensor stood in."""
        return self._found.get(id(tensor))

    def object_of(self, leaf: object) -> Recipe | None:
        """How a call gets at a leaf of the result that is a tensor of the world."""
        if not isinstance(leaf, Tensor):
            return None
        if id(leaf) in self._numbers:
            return Fresh(self._numbers[id(leaf)])
        if id(leaf) in self._found:
            return Found(self._found[id(leaf)])
        return Same(leaf) if id(leaf) in self._reach.known else None

    @property
    def slot_count(self) -> int:
        """How many tensors stood in slots."""
        return len(self._found)

    # --------------------------------------------------------------------- the writes

    def _of_holder(self, holder: Holder, now: Contents) -> Iterator[Change]:
        before = holder.before
        if _is_refilled(holder, now):
            if _is_prefix(before, now) and isinstance(holder, holders.Sequence):
                new = list(now.values())[len(before) :]
                is_unread = self._grows_unread(holder, now)
                if is_unread:
                    self.unread.add(id(holder))
                yield Append(holder, tuple(map(self._recipe, new)), is_unread)
            else:
                yield Refill(holder, tuple(now), tuple(map(self._recipe, now.values())))
            return
        for key in before.keys() - now.keys():
            yield Write(holder, key, None)
        for key, value in now.items():
            old = before.get(key, MISSING)
            if old is value:
                continue
            if self._is_counted(holder, key, old, value):
                self.counted.setdefault(id(holder), set()).add(key)
                yield Write(holder, key, Count(holder, key, value - old))
            else:
                yield Write(holder, key, None if value is MISSING else self._recipe(value))

    def _is_counted(self, holder: Holder, key: Any, before: object, now: object) -> bool:
        """Is a place a counter that the function does not look at?"""
        if type(before) is not int or type(now) is not int or not isinstance(holder, _NAMED):
            return False
        name = holder.name if isinstance(holder, holders.Cell) else key
        if self._reach.is_dynamic and not isinstance(holder, (holders.Cell, holders.Namespace)):
            return False
        return counted_only(self._reach.codes.values(), name)

    def _grows_unread(self, holder: Holder, now: Contents) -> bool:
        """Is a list only appended to, so that it does not matter what it holds?"""
        if not isinstance(holder, holders.Sequence) or not _is_prefix(holder.before, now):
            return False
        names = self._reach.names_of(holder.target)
        codes = self._reach.codes.values()
        return bool(names) and all(appended_only(codes, name) for name in names)

    # -------------------------------------------------------------------- the recipes

    def _recipe(self, value: object) -> Recipe:
        if isinstance(value, Tensor):
            return self._of_tensor(value)
        if isinstance(value, Dimension):
            return self._of_dimension(value)
        if isinstance(value, PLAIN) or id(value) in self._reach.known:
            return Same(value)
        if id(value) in self._open:
            raise LeakedTracerError(
                "a traced function stores a container that contains itself", user_location()
            )
        self._open.add(id(value))
        try:
            return self._of_new(value)
        finally:
            self._open.discard(id(value))

    def _of_dimension(self, size: Dimension) -> Recipe:
        tensor = self._sizes.setdefault(size.size, as_tensor(size))
        found = self._of_tensor(tensor)
        assert isinstance(found, Fresh)
        return Told(found.number)

    def _of_tensor(self, tensor: Tensor) -> Recipe:
        if id(tensor) in self._found:
            return Found(self._found[id(tensor)])
        if id(tensor) in self._reach.known:
            return Same(tensor)
        if isinstance(tensor, View):
            return Shown(self._recipe(tensor.root), tuple(map(self._of_step, tensor.steps())))
        if not tensor.is_traced:
            return Same(tensor)
        if not self._scope.owns(value_of(tensor)):
            raise leaked(tensor)
        number = self._numbers.setdefault(id(tensor), len(self.fresh))
        if number == len(self.fresh):
            self.fresh.append(tensor)
        return Fresh(number)

    def _of_step(self, step: Step) -> tuple[str, dict[str, object], tuple[Recipe, ...]]:
        if any(is_open(x) for x in step.attributes.values() if isinstance(x, tuple)):
            raise UnsupportedObjectError(
                "a traced function stores a view of a tensor whose size only a call tells; store "
                "a copy of it: copy.copy(x)",
                user_location(),
            )
        return step.name, step.attributes, tuple(map(self._of_position, step.operands))

    def _of_position(self, tensor: Tensor) -> Recipe:
        """Of an index, which is a constant of the trace most of the time."""
        made = value_of(tensor).owner
        if isinstance(made, Operation) and made.name == "constant":
            return Same(tensor_of_array(made.attributes["value"]))
        return self._of_tensor(tensor)

    def _of_new(self, value: Any) -> Recipe:
        """Of something that was made in the trace."""
        kind = type(value)
        if isinstance(value, np.ndarray):
            if self._reach.owner(value) is not None:
                return Same(value.view(np.ndarray))  # the memory of an array that was there
            elements = np.array(value)
            return Made(lambda _: elements.copy(), ())
        if kind in (list, tuple, set, frozenset):
            return Made(kind, tuple(map(self._recipe, value)))
        if kind is deque:
            limit = value.maxlen
            return Made(lambda parts: deque(parts, limit), tuple(map(self._recipe, value)))
        leaves, tree = flatten(value)
        if leaves and leaves[0] is value:
            return self._of_object(value)
        return Made(tree.unflatten, tuple(map(self._recipe, leaves)))

    def _of_object(self, value: object) -> Recipe:
        held = getattr(value, "__dict__", None)
        if not isinstance(held, dict) or callable(value):
            return Same(value)
        recipes = tuple(map(self._recipe, held.values()))
        if all(isinstance(recipe, Same) for recipe in recipes):
            return Same(value)
        return Made(_maker(type(value), tuple(held)), recipes)


_NAMED: Final = (
    Attributes,
    holders.Slots,
    holders.ClassAttributes,
    holders.Namespace,
    holders.Cell,
)


def _maker(kind: type, names: tuple[str, ...]) -> Callable[[list[Any]], object]:
    def make(values: list[object]) -> object:
        made: object = object.__new__(kind)
        vars(made).update(zip(names, values, strict=True))
        return made

    return make


def differs(before: Contents, now: Contents) -> bool:
    if len(before) != len(now) or not all(map(is_, before.values(), now.values())):
        return True
    return not same_keys(before, now)


def _is_prefix(before: Contents, now: Contents) -> bool:
    return len(before) <= len(now) and all(map(is_, before.values(), now.values()))


def _is_refilled(holder: Holder, now: Contents) -> bool:
    """Has a container other keys than before, or in another order?"""
    if isinstance(holder, Attributes) or not holder.is_whole:
        return False
    before = holder.before
    if isinstance(holder, holders.Items) and len(before) <= len(now):
        return not same_keys(before, list(now)[: len(before)])
    return isinstance(holder, holders.Members) or not same_keys(before, now)


def _containers(nest: object) -> Iterator[int]:
    """Identities of the tuples that a nest is made of."""
    pending = [nest]
    while pending:
        x = pending.pop()
        if isinstance(x, tuple):
            yield id(x)
        if isinstance(x, (tuple, list)):
            pending += x
        elif isinstance(x, dict):
            pending += x.values()
