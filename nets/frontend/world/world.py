"""World: what one trace meets and changes outside its function, and how it is put back.

The outermost trace looks at its world first. When it has ended the world is as it was before,
whatever the Python of the function did; what that changed is written by each call of the program,
the first one included. Where the user's Python ends by an exception, what holds tensors is put back
and other changes stay, as they do in plain Python.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import numpy as np

from nets.errors import MutatedArgumentError, NetsError
from nets.frontend.tensor.inner import value_of
from nets.frontend.tensor.scope import Scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.frontend.world.arrays import Arrays, ArraySource, arrays_in
from nets.frontend.world.guards import SKIP, Guard, Guards, guards_of
from nets.frontend.world.holders import MISSING, Contents, Holder, Members, Sequence
from nets.frontend.world.reach import Reach
from nets.frontend.world.recipes import Overwrite
from nets.frontend.world.slots import Slots
from nets.frontend.world.sources import Sources
from nets.frontend.world.writes import Changes, differs
from nets.ir.location import user_location
from nets.locks import at_fork, is_held_elsewhere

P = ParamSpec("P")
R = TypeVar("R")

_tracing: Final = threading.RLock()
"""Held by the thread whose trace changes the world for a while. It is taken before any other lock
of the package, since a trace runs the user's Python, which may call what takes the others."""

_under_way: Final[list[World]] = []
"""The worlds of that thread's traces; a trace may suspend itself and begin another one."""


def _give_up_in_child() -> None:
    """Put back what the traces of a thread had changed that is not there after a fork."""
    if is_held_elsewhere(_tracing):
        _tracing._at_fork_reinit()  # type: ignore[attr-defined]
        while _under_way:
            _under_way.pop().give_up()


at_fork(in_child=_give_up_in_child)


def alone(trace: Callable[P, R]) -> Callable[P, R]:
    """The function, of which one thread at a time is in a call: no trace may take what another one
    has put in the world for a while for what stands there."""

    @wraps(trace)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with _tracing:
            return trace(*args, **kwargs)

    return run


class World:
    """The world of one outermost trace."""

    def __init__(self, roots: Iterable[object]) -> None:
        self.scopes: list[Scope] = []
        """Those that are open, the innermost last."""
        self.reach = Reach(roots)
        self.arrays = Arrays(self.reach.arrays, self.reach.owner)
        self._sources = Sources(self.reach.sources, self.reach.says("random"))

    def source(self, array: Array) -> ArraySource | None:
        """What reads a NumPy array at each call; None for one that is made in the trace."""
        return self.arrays.source(array)

    def note(self, data: object) -> None:
        """The elements of these arrays, or lists of arrays, are read now."""
        for array in arrays_in(data):
            self.arrays.note(array)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A trace runs meanwhile; afterwards all is as it was."""
        _under_way.append(self)
        try:
            with self.arrays.watched():
                yield
        except NetsError:
            self.restore()
            raise
        except BaseException:
            self.restore(keep=True)
            raise
        else:
            self.restore()
        finally:
            _under_way.remove(self)

    def give_up(self) -> None:
        """End a trace whose thread is gone."""
        while self.scopes:
            self.scopes.pop().restore()
        self.arrays.give_up()
        self.restore()

    def refuse_draws(self, name: str) -> None:
        """TraceError where the trace has used up something that later calls would not."""
        self._sources.refuse_use(name, user_location())

    def restore(self, keep: bool = False) -> None:
        """Put everything back; ``keep``: but what holds no tensors of the trace, for the user's
        Python has ended by an exception and would have left it so."""
        for holder in self.reach.holders:
            now = holder.now()
            if differs(holder.before, now):
                holder.refill(self._kept(holder, now) if keep else holder.before)
        for array, elements in self._overwritten():
            np.copyto(array, elements)

    def _kept(self, holder: Holder, now: Contents) -> Contents:
        """What a holder holds now, with what it held before in place of traced tensors."""
        return {
            key: holder.before.get(key, MISSING) if self._is_traced(value) else value
            for key, value in now.items()
            if key in holder.before or not self._is_traced(value)
        }

    def _is_traced(self, value: object) -> bool:
        return any(x.is_traced for x in self._tensors([value]))

    def _overwritten(self) -> list[tuple[Array, Array]]:
        """NumPy arrays that the trace has written to, and their elements before."""
        return [
            (array.view(np.ndarray), elements)
            for array, elements in self.arrays.read.values()
            if self.arrays.is_written(array)
        ]

    def changes(self, scope: Scope) -> Changes:
        """What the function changed so far."""
        found = Changes(self.reach, scope)
        found.writes += [Overwrite(array, array.copy()) for array, _ in self._overwritten()]
        return found

    def guards(self, changes: Changes) -> tuple[Guards, Slots]:
        """What must hold for a program, and where it finds tensors at each call."""
        slots = Slots(changes.patterns(), changes.slot_count)
        found = guards_of(self.reach, changes, self.arrays.read.values())
        return Guards([_without_slots(guard, changes, slots) for guard in found]), slots

    # ------------------------------------------------------------------- nested traces

    def mark(self) -> list[Contents]:
        """What all holders hold now."""
        return [holder.now() for holder in self.reach.holders]

    def refuse_changes(self, mark: list[Contents], name: str) -> None:
        """MutatedArgumentError where a holder holds something else than when it was marked."""
        for holder, before in zip(self.reach.holders, mark, strict=True):
            now = holder.now()
            if differs(before, now):
                key = next((k for k in now if before.get(k, SKIP) is not now[k]), None)
                is_named = not isinstance(holder, Sequence | Members) and key is not None
                what = holder.place(key) if is_named else f"a {type(holder.target).__name__}"
                raise MutatedArgumentError(
                    f"the function of {name} changes {what}, which was made outside; the body of "
                    "a loop or branch is traced once, whatever it runs later: carry what changes "
                    "along, or return it",
                    user_location(),
                )

    def stored(self, scope: Scope) -> list[Tensor]:
        """The tensors of a nested trace that stand in places of the world now."""
        new = (
            value
            for holder in self.reach.holders
            for key, value in holder.now().items()
            if holder.before.get(key, SKIP) is not value
        )
        return [x for x in self._tensors(new) if x.is_traced and scope.owns(value_of(x))]

    def _tensors(self, values: Iterable[object]) -> list[Tensor]:
        """The tensors in these values, but for those that were there before the trace."""
        found: list[Tensor] = []
        seen: set[int] = set()
        pending = list(values)
        while pending:
            x = pending.pop()
            if id(x) in seen or id(x) in self.reach.known:
                continue
            seen.add(id(x))
            if isinstance(x, Tensor):
                found.append(x)
            else:
                pending += _parts(x)
        return found


def _parts(x: object) -> list[object]:
    if isinstance(x, dict):
        return list(x.values())
    if isinstance(x, (list, tuple, deque, set, frozenset)):
        return list(x)
    held = getattr(x, "__dict__", None)
    return list(held.values()) if isinstance(held, dict) and not callable(x) else []


def _without_slots(guard: Guard, changes: Changes, slots: Slots) -> Guard:
    """The guard, with tensors of slots left to the slots."""
    holder = guard.holder
    if guard.kind not in ("dict", "list"):
        number = changes.slot_of(guard.expected)
        if number is None or holder is None:
            return guard
        slots.aliases.append((holder, guard.key, number))
        return guard._replace(expected=SKIP)
    keys = guard.key if guard.kind == "dict" else range(len(guard.expected))
    expected = []
    for key, value in zip(keys, guard.expected, strict=True):
        number = changes.slot_of(value)
        if number is not None and holder is not None:
            slots.aliases.append((holder, key, number))
        expected.append(value if number is None else SKIP)
    return guard._replace(expected=tuple(expected))
