"""Binding: which parameter of a Python function each argument of a call belongs to.

``Binding`` is made once per traced function. It names the arguments, moves keyword arguments into
their positions so that ``f(1, y=2)`` and ``f(1, 2)`` are one signature, sets static arguments
apart, and says in Python's words what is missing or too many. ``arguments`` has what becomes of one
call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from nets.errors import ArgumentError, TraceError
from nets.frontend.tracing.open_sizes import OpenSizes
from nets.ir.location import user_location

Names = str | Iterable[str] | None
Numbers = int | Iterable[int] | None

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


Static = tuple[tuple[int | str, Any], ...]
"""(position or keyword, value) of the static arguments of a call."""


class Binding:
    """The parameters of ``function`` and which of them are static or donated.

    ArgumentError where a number or name of an option does not exist; TraceError for generator
    and async functions, which cannot be traced.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnums: Numbers = None,
        static_argnames: Names = None,
        donate_argnums: Numbers = None,
        donate_argnames: Names = None,
        dims: OpenSizes | None = None,
    ) -> None:
        self.name = function_name(function)
        _refuse_untraceable(function, self.name)
        self.signature = _signature_of(function)
        parameters = self.signature.parameters if self.signature is not None else {}
        self.positional = tuple(p.name for p in parameters.values() if p.kind in _POSITIONAL)
        self._movable = {
            p.name for p in parameters.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        }
        self._rest = next((p.name for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
        self._takes_any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._keyword_only = {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
        self.static: frozenset[int | str] = self._select("static", static_argnums, static_argnames)
        self.donated = self._select("donate", donate_argnums, donate_argnames)
        self.dims = dims
        """Which axes of arguments have sizes that a call tells."""
        for parameter in dims.parameters if dims is not None else ():
            if parameter != self._rest:
                self._by_name("dims", parameter)
        if self.static & self.donated:
            both = ", ".join(map(str, sorted(self.static & self.donated, key=str)))
            raise ArgumentError(
                f"{both} of {self.name} cannot be both static and donated", user_location()
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without annotations and defaults, which may be anything and bind no argument."""
        return vars(self) | {"signature": self.signature and _bare(self.signature)}

    def of_method(self, method: Callable[..., object]) -> Binding:
        """The binding of the function bound to its first argument."""
        return Binding(method, *_bound(self.static), *_bound(self.donated), dims=self.dims)

    def sorted(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Static]:
        """The dynamic arguments with keywords moved into their positions, and the static ones."""
        if kwargs:
            args, kwargs = self._positioned(args, kwargs)
        if not self.static:
            return args, kwargs, ()
        static: list[tuple[int | str, object]] = [
            (i, value) for i, value in enumerate(args) if i in self.static
        ]
        if static:
            args = tuple(value for i, value in enumerate(args) if i not in self.static)
        named = [key for key in kwargs if key in self.static]
        if named:
            static += [(key, kwargs[key]) for key in named]
            kwargs = {key: value for key, value in kwargs.items() if key not in self.static}
        return args, kwargs, tuple(static)

    def check(self, args: Sequence[object], kwargs: dict[str, object]) -> None:
        """ArgumentError, in Python's words, where the function does not take these arguments."""
        if self.signature is None:
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.name}() {error}", user_location()) from None

    def root(self, position: int) -> str:
        """The name of the parameter at a position; ``args_0`` for the first beyond them."""
        if position < len(self.positional):
            return self.positional[position]
        return f"{self._rest or 'args'}_{position - len(self.positional)}"

    def _positioned(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        moved = []
        for name in self.positional[len(args) :]:
            if name not in kwargs or name not in self._movable:
                break
            moved.append(name)
        if not moved:
            return args, kwargs
        rest = {key: value for key, value in kwargs.items() if key not in moved}
        return (*args, *(kwargs[name] for name in moved)), rest

    def _select(self, option: str, numbers: Numbers, names: Names) -> frozenset[int | str]:
        """Positions and names of the parameters an option selects, each known both ways."""
        chosen: set[int | str] = set()
        for number in _as_numbers(option, numbers):
            chosen |= self._by_number(option, number)
        for name in _as_names(option, names):
            chosen |= self._by_name(option, name)
        return frozenset(chosen)

    def _by_number(self, option: str, number: int) -> set[int | str]:
        position = number + len(self.positional) if number < 0 else number
        if 0 <= position < len(self.positional):
            name = self.positional[position]
            return {position, name} if name in self._movable else {position}
        if position >= 0 and (self._rest is not None or self.signature is None):
            return {position}
        raise ArgumentError(
            f"{option}_argnums={number}: {self.name} has "
            f"{len(self.positional)} positional parameters",
            user_location(),
        )

    def _by_name(self, option: str, name: str) -> set[int | str]:
        if name in self.positional:
            return {self.positional.index(name), name}
        if name in self._keyword_only or self._takes_any_name or self.signature is None:
            return {name}
        known = ", ".join((*self.positional, *sorted(self._keyword_only))) or "no parameters"
        option = option if option == "dims" else f"{option}_argnames"
        raise ArgumentError(f"{option}={name!r}: {self.name} has {known}", user_location())


def _bare(signature: inspect.Signature) -> inspect.Signature:
    empty = inspect.Parameter.empty
    parameters = [
        p.replace(annotation=empty, default=empty if p.default is empty else None)
        for p in signature.parameters.values()
    ]
    return inspect.Signature(parameters)


def _bound(selected: frozenset[int | str]) -> tuple[list[int], list[str]]:
    """Positions and names after the first parameter, which is bound."""
    numbers = sorted(key - 1 for key in selected if isinstance(key, int) and key > 0)
    return numbers, []


def function_name(function: Callable[..., object]) -> str:
    """The function's own name, that of its class for a callable object, as an identifier."""
    inner = getattr(function, "func", function)  # functools.partial
    name = str(getattr(inner, "__name__", type(inner).__name__)).strip("<>")
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _signature_of(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):  # built-in functions may hide theirs
        return None


def _no_function(thing: object) -> ArgumentError:
    instead = "; the sum of a diagonal is nets.linalg.trace(x)" if hasattr(thing, "shape") else ""
    return ArgumentError(
        f"tracing takes a function, not {type(thing).__name__}{instead}", user_location()
    )


def _refuse_untraceable(function: Callable[..., object], name: str) -> None:
    if not callable(function):
        raise _no_function(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TraceError(
            f"{name} is an async function; only plain functions can be traced", user_location()
        )
    if inspect.isgeneratorfunction(function):
        raise TraceError(
            f"{name} is a generator function; only plain functions can be traced. "
            "Return a list or tuple instead of yielding.",
            user_location(),
        )


def _as_numbers(option: str, numbers: Numbers) -> Iterable[int]:
    listed = () if numbers is None else (numbers,) if isinstance(numbers, int) else numbers
    if not isinstance(listed, Iterable):
        raise ArgumentError(f"{option}_argnums takes integers, not {listed!r}", user_location())
    found = tuple(listed)
    for number in found:
        if not isinstance(number, int) or isinstance(number, bool):
            raise ArgumentError(f"{option}_argnums takes integers, not {number!r}", user_location())
    return found


def _as_names(option: str, names: Names) -> Iterable[str]:
    listed = () if names is None else (names,) if isinstance(names, str) else names
    if not isinstance(listed, Iterable):
        raise ArgumentError(f"{option}_argnames takes names, not {listed!r}", user_location())
    found = tuple(listed)
    for name in found:
        if not isinstance(name, str):
            raise ArgumentError(f"{option}_argnames takes names, not {name!r}", user_location())
    return found
