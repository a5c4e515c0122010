"""Solver: functions of the user and a method, staged as one function of a start and arguments."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from nets.errors import ArgumentError, GradientError
from nets.frontend.calls.staged import Staged, kept
from nets.frontend.tracing.binding import Binding
from nets.ir.location import user_location
from nets.locks import lock

_BINDING: Final = Binding(lambda x0, args: None)

_SOLVERS_KEPT: Final = 32
"""Of one function."""


class Solver(Staged):
    """A solver of given functions, compiled for each signature of a start and arguments."""

    def __init__(
        self, name: str, functions: tuple[Any, ...], solve: Callable[[Any, Any], Any]
    ) -> None:
        first = functions[0]
        super().__init__(_BINDING, name, first.options if isinstance(first, Staged) else {})
        self.__wrapped__ = first
        self.__name__ = name
        self.functions, self.solve = functions, solve

    def roots(self) -> tuple[object, ...]:
        return self.functions

    def result_of(self, args: Sequence[Any], kwargs: dict[str, object]) -> Any:
        return self.solve(*args)

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        raise GradientError(
            f"{self.name} was called with integer tensors that require gradients; solutions have "
            "derivatives by floating-point tensors",
            user_location(),
        )


def solver(
    name: str, functions: tuple[Any, ...], options: Hashable, solve: Callable[[Any, Any], Any]
) -> Solver:
    """The solver of functions, the first of which keeps the latest: it is the same each time for
    the same functions and options. ArgumentError where the first is no function."""
    if not callable(functions[0]):
        raise ArgumentError(
            f"fun is a function, not a {type(functions[0]).__name__}", user_location()
        )
    # By identity: the solvers hold their functions, so that no other gets the address of one.
    key = (name, tuple(map(id, functions[1:])), options)
    return kept(functions[0], "solvers", _Latest).get(key, lambda: Solver(name, functions, solve))


class _Latest:
    """The solvers of a function that were used last: derivatives may be made anew for each call."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, Solver] = OrderedDict()
        self._lock = lock()

    def get(self, key: Hashable, make: Callable[[], Solver]) -> Solver:
        with self._lock:
            found = self._found.pop(key, None) or make()
            self._found[key] = found
            while len(self._found) > _SOLVERS_KEPT:
                self._found.popitem(last=False)
            return found
