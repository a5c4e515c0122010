"""Locks that survive a fork, and values that are made at first use.

A forked child has the thread alone that forked: a lock that another one held stays held for ever,
and what it guards may be half done. So a lock of the package is one of these:

- ``lock()``, where what is guarded is stored when it is complete: a child finds the lock free.
- a ``Crowd``, where something of the process is set as long as any thread is inside: in a child
  those that are not there have left.
- a ``Gate``, where it belongs to foreign code, which nobody can put right in a child: a fork waits
  until nobody is inside.

Locks of the thread that forks stay its own, for it goes on in the child with what it was doing.
``functools.cached_property`` is not used: its lock belongs to the class (until Python 3.12), so all
objects wait for one, and no fork frees it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, TypeVar, overload

R = TypeVar("R")

_locks: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def lock() -> Any:
    """A reentrant lock that is free in a forked child, unless the thread that forked holds it."""
    made = threading.RLock()
    _locks.add(made)
    return made


def is_held_elsewhere(held: Any) -> bool:
    """In a forked child: was the lock held by a thread that is not there?"""
    if held._is_owned():
        return False
    if held.acquire(blocking=False):
        held.release()
        return False
    return True


def free_in_child() -> None:
    """Free the locks of threads that are not there."""
    for held in list(_locks):
        if is_held_elsewhere(held):
            held._at_fork_reinit()


def at_fork(
    before: Callable[[], None] | None = None,
    in_parent: Callable[[], None] | None = None,
    in_child: Callable[[], None] | None = None,
) -> None:
    """Call these around every fork of Python, where the system has it."""
    named = {"before": before, "after_in_parent": in_parent, "after_in_child": in_child}
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**{name: call for name, call in named.items() if call is not None})


at_fork(in_child=free_in_child)


def _nothing() -> None:
    pass


class Crowd:
    """Any number of threads may be inside at a time.

    ``first`` is called as the first enters and ``last`` as the last leaves, both by one thread at a
    time. In a forked child the threads that are not there have left.
    """

    def __init__(
        self, first: Callable[[], None] = _nothing, last: Callable[[], None] = _nothing
    ) -> None:
        self._first, self._last = first, last
        self._changed = threading.Condition(lock())
        self._inside: list[int] = []
        at_fork(in_child=self._leave_in_child)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The thread is inside for the length of the ``with`` block."""
        me = threading.get_ident()
        with self._changed:
            if not self._inside:
                self._first()
            self._inside.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(me)
                if not self._inside:
                    self._last()
                self._changed.notify_all()

    def _others(self) -> list[int]:
        me = threading.get_ident()
        return [thread for thread in self._inside if thread != me]

    def _leave_in_child(self) -> None:
        for thread in self._others():
            self._inside.remove(thread)
            if not self._inside:
                self._last()


class Gate(Crowd):
    """A crowd that a fork waits for: none of the other threads is inside meanwhile."""

    def __init__(
        self, first: Callable[[], None] = _nothing, last: Callable[[], None] = _nothing
    ) -> None:
        super().__init__(first, last)
        at_fork(self._close, self._open, self._open)

    def _close(self) -> None:
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._others())

    def _open(self) -> None:
        with suppress(RuntimeError):  # a Ctrl-C that came before the gate was closed
            self._changed.release()


imports: Final = Gate()
"""What threads are in while they import modules of the package that are not needed at once: in a
child a module that another thread was importing would stay half imported, and locked."""


class made_once(Generic[R]):
    """A property that is computed when first asked for, and kept in the object's dictionary.

    Without a lock: of threads that come at once each computes it, and all get the same one.
    """

    def __init__(self, compute: Callable[[Any], R]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> made_once[R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> R: ...
    def __get__(self, instance: Any, owner: type) -> made_once[R] | R:
        if instance is None:
            return self
        return self._kept(instance)

    def _kept(self, instance: object) -> R:
        found: R = vars(instance).setdefault(self._name, self._compute(instance))
        return found


class made_alone(made_once[R]):
    """The same for objects with a lock in ``_lock``: one thread computes, the others wait."""

    def _kept(self, instance: Any) -> R:
        with instance._lock:
            made = vars(instance)
            return made[self._name] if self._name in made else super()._kept(instance)
