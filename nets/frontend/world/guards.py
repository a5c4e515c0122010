"""Guards: does the world a function was traced in still hold what the function read?

A program was traced for one state of the world: for the objects that stood behind names, the keys
of dicts, numbers, flags and texts. Guards compare these at each call, objects by identity and plain
values by value; elements of tensors and arrays are no part of it, for they are read at each call.
Where a guard fails another program is used, or the function is traced again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from nets.extension import in_use
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.world import holders
from nets.frontend.world.holders import MISSING, Holder, same_keys
from nets.frontend.world.reach import PLAIN, Reach, code_of, whose
from nets.frontend.world.slots import same_plain
from nets.frontend.world.writes import Changes

if TYPE_CHECKING:
    from nets._dispatch import Guards as InC


class _Skip:
    """Stands for a value that does not matter."""

    def __repr__(self) -> str:
        return "anything"


SKIP: Final = _Skip()


Kind = Literal["item", "cell", "dict", "list", "call", "array", "function", "class"]


class Guard(NamedTuple):
    """``kind`` of comparison of what ``target`` holds (at ``key``) with ``expected``.

    "item": of a dict. "cell". "dict": all keys, and values. "list": all items. "call": what
    ``target(key)`` gives. "array": the elements of a NumPy array. "function": code and defaults.
    "class": that of the object a weak reference leads to.
    """

    kind: Kind
    target: Any
    key: Any
    expected: Any
    holder: Holder | None = None


class Guards:
    """All guards of a program."""

    def __init__(self, guards: Iterable[Guard]) -> None:
        self.guards = tuple(guards)
        self.table = _table(self.guards)

    def hold(self) -> bool:
        """Does every place still hold what it did?"""
        return self.table.hold()

    def changes(self) -> list[str]:
        """A line for each place that holds something else now."""
        found = Counter(line for guard in self.guards for line in _differences(guard))
        return [text if n == 1 else f"{text} (in {n} places)" for text, n in found.items()]

    def is_plainly_other(self) -> bool:
        """Do none but plain values differ, which may come back?"""
        pairs = (pair for guard in self.guards for pair in _pairs(guard))
        return all(
            isinstance(now, _TOLD) and isinstance(expected, _TOLD) for _, now, expected in pairs
        )


class Table:
    """The comparisons without the extension."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = guards

    def hold(self) -> bool:
        return not any(True for guard in self._guards for _ in _pairs(guard))


def _table(guards: Sequence[Guard]) -> Table | InC:
    if not in_use():
        return Table(guards)
    from nets import _dispatch

    return _dispatch.Guards(tuple(guard[:4] for guard in guards), SKIP, MISSING, same_plain)


def same(now: object, expected: object) -> bool:
    """Is it the same object, or the same plain value?"""
    return now is expected or expected is SKIP or same_plain(now, expected)


def _pairs(guard: Guard) -> Iterator[tuple[object, object, object]]:
    """(key, now, expected) of every place that differs."""
    now = _now(guard)
    if guard.kind == "array":
        if now.tobytes() != guard.expected.tobytes():
            yield None, now, guard.expected
        return
    if guard.kind not in ("dict", "list"):
        if not same(now, guard.expected):
            yield guard.key, now, guard.expected
        return
    keys = guard.key if guard.kind == "dict" else range(len(guard.expected))
    expected = dict(zip(keys, guard.expected, strict=True))
    if now.keys() == expected.keys() and not same_keys(now, expected):
        yield None, tuple(now), tuple(expected)
    for key in dict.fromkeys((*expected, *now)):
        pair = now.get(key, MISSING), expected.get(key, MISSING)
        if (key in now) != (key in expected) or not same(*pair):
            yield key, *pair


def _now(guard: Guard) -> Any:
    if guard.kind == "call":
        return guard.target(guard.key)
    if guard.kind == "item":
        return guard.target.get(guard.key, MISSING)
    if guard.kind == "array":
        return guard.target
    if guard.kind == "function":
        return code_of(guard.target)
    if guard.kind == "class":
        return type(guard.target())
    assert guard.holder is not None
    now = guard.holder.now()
    return now["cell_contents"] if guard.kind == "cell" else now


def _differences(guard: Guard) -> Iterator[str]:
    for key, now, expected in _pairs(guard):
        if guard.kind == "array":
            yield "the elements of a NumPy array that the trace computed with have changed"
        elif key is None and guard.kind in ("dict", "list"):
            yield f"the items of a {_called(guard)} stand in another order"
        elif isinstance(now, _TOLD) and isinstance(expected, _TOLD):
            place = key if guard.holder is None else guard.holder.place(key)
            yield f"{place} was {expected!r} and is {now!r} now"
        else:
            what = "captured tensor" if isinstance(expected, Tensor) else "captured object"
            yield f"a {what} was replaced by another one"


_TOLD: Final = (*PLAIN, type(MISSING))


def _called(guard: Guard) -> str:
    if isinstance(guard.holder, holders.Attributes):
        return guard.holder.owner.__name__
    return "dict" if guard.kind == "dict" else "list"


# ------------------------------------------------------------------------------ of a trace


def guards_of(
    reach: Reach, changes: Changes, arrays: Iterable[tuple[object, object]]
) -> Iterator[Guard]:
    """What the function may have read.

    ``arrays``: NumPy arrays whose elements the trace computed with, and those.
    """
    for holder in reach.holders:
        if id(holder) not in changes.unread:
            slotted = changes.slotted.get(id(holder), (holder, []))[1]
            counted = changes.counted.get(id(holder), ())
            yield from _of_holder(reach, holder, {*slotted, *counted})
    for array, elements in arrays:
        yield Guard("array", array, None, elements)
    for function, code in reach.functions:
        yield Guard("function", function, None, code)
    for reference, kind in reach.instances:
        yield Guard("class", reference, None, kind)


def _of_holder(reach: Reach, holder: Holder, open_keys: set[object]) -> Iterator[Guard]:
    target, before = holder.target, holder.before
    if isinstance(holder, holders.Namespace):
        if whose(str(target.get("__name__", ""))) in ("layers", "opaque"):
            return
        for key in holder.read - open_keys:
            if not _is_constant(before[key]):
                yield Guard("item", target, key, before[key], holder)
    elif isinstance(holder, holders.Cell):
        if not open_keys and not _is_constant(before["cell_contents"]):
            yield Guard("cell", target, "cell_contents", before["cell_contents"], holder)
    elif isinstance(holder, (holders.Slots, holders.ClassAttributes)):
        if isinstance(holder, holders.ClassAttributes) and whose(target.__module__) == "layers":
            return
        for key in holder.read - open_keys:
            if _matters(reach, holder, key):
                yield Guard("call", holder.get, key, before[key], holder)
    elif isinstance(holder, holders.Items):
        values = tuple(
            SKIP if key in open_keys or not _matters(reach, holder, key) else value
            for key, value in before.items()
        )
        yield Guard("dict", target, tuple(before), values, holder)
    elif isinstance(target, list):
        values = tuple(SKIP if key in open_keys else value for key, value in before.items())
        yield Guard("list", target, None, values, holder)
    else:
        yield from _of_collection(holder, open_keys)


def _of_collection(holder: Holder, open_keys: set[object]) -> Iterator[Guard]:
    """Of a deque or a set, which are compared in Python."""
    if isinstance(holder, holders.Members):
        expected = tuple(holder.before.values())
        yield Guard("call", lambda _: _members(holder, expected), None, expected, holder)
        return
    yield Guard("call", lambda _: len(holder.target), None, len(holder.before), holder)
    for key, value in holder.before.items():
        if key not in open_keys:
            yield Guard("call", lambda key: holder.now().get(key), key, value, holder)


def _members(holder: Holder, expected: tuple[object, ...]) -> tuple[object, ...]:
    """The members, as they were where they are equal."""
    now = holder.target
    return expected if len(now) == len(expected) and now.issuperset(expected) else tuple(now)


def _matters(reach: Reach, holder: Holder, key: Any) -> bool:
    """May a place of an object decide what the function does?"""
    if not isinstance(holder, (holders.Attributes, holders.Slots, holders.ClassAttributes)):
        return True
    if key not in holder.read:
        return False
    value = holder.before.get(key, MISSING)
    # A number is never called; it is read only where its name stands for a value.
    return not isinstance(value, PLAIN) or reach.may_read(key)


def _is_constant(value: object) -> bool:
    """Is it a module of a library, whose name nobody binds again?"""
    return isinstance(value, ModuleType) and whose(value.__name__) != "user"
