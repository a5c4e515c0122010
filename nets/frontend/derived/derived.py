"""Derived: what a transform makes of a function, staged like a traced one.

From outside, a derived function is traced, transformed by a pass over IR, and compiled once per
signature. Inside a trace it is traced to a function of its own, transformed, and inserted where it
was called; so transforms nest to any order.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from nets.errors import ArgumentError, GradientError
from nets.frontend.calls.staged import Staged
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.state import bound_value
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import carry_out
from nets.frontend.tracing.program import Program
from nets.ir.clone import inline
from nets.ir.core import Function, Value
from nets.ir.location import user_location

Argnums = int | Sequence[int]


class Derived(Staged):
    """A function that a transform has made of another one. Kinds tell what it gives."""

    __wrapped__: Callable[..., Any]
    make: ClassVar[Callable[..., Any]]
    """Makes it of the function and ``arguments``; for pickling."""

    def __init__(self, function: Callable[..., Any], suffix: str, arguments: tuple[Any, ...]):
        if isinstance(function, Staged):
            binding, options = function.binding, function.options
        else:
            binding, options = Binding(function), {}
        super().__init__(binding, f"{binding.name}_{suffix}", options)
        functools.update_wrapper(self, function, updated=())
        self.__name__ = self.name
        self.arguments = arguments
        self.is_traced_anew = not isinstance(function, Staged) or function.is_traced_anew

    def inline(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        call = BoundCall(self.binding, args, kwargs)
        call.check()
        return self.result_of(*call.complete())

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        raise GradientError(
            f"{self.name} was called with integer tensors that require gradients; only "
            "floating-point tensors have second derivatives",
            user_location(),
        )

    def __reduce__(self) -> Any:
        """Pickled by name where it has one of its own, else as the transform of its function."""
        from nets.frontend.calls.pickling import reduced

        return reduced(self, type(self).make, *self.arguments)

    def __copy__(self) -> Derived:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Derived:
        """Itself, as for functions; of a bound method or an object that is called, of its copy."""
        inner = copy.deepcopy(self.__wrapped__, memo)
        if inner is self.__wrapped__:
            return self
        made: Derived = type(self).make(inner, *self.arguments)
        return made

    def __repr__(self) -> str:
        return f"<function {self.name}>"


def checked_argnums(argnums: Argnums) -> int | tuple[int, ...]:
    """An int or a tuple of them; ArgumentError for anything else."""
    found: Any = tuple(argnums) if isinstance(argnums, list) else argnums
    numbers = found if isinstance(found, tuple) else (found,)
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise ArgumentError(
                f"argnums is an int or a tuple of them, not {argnums!r}", user_location()
            )
    if not numbers:
        raise ArgumentError("argnums names no argument", user_location())
    return numbers if isinstance(found, tuple) else numbers[0]


def positions_of(name: str, argnums: int | tuple[int, ...], args: Sequence[object]) -> list[int]:
    """The positions that argnums name in a call."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise ArgumentError(
                f"{name} differentiates by argument {number}, but was called with "
                f"{len(args)} positional arguments",
                user_location(),
            )
    return [number % len(args) for number in numbers]


def pair_of(result: object) -> tuple[Any, Any]:
    """The two parts of a result of a function with ``has_aux``."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            "with has_aux=True the function returns a pair (result, aux), not a "
            f"{type(result).__name__}",
            user_location(),
        )
    return result


def inserted(
    program: Program, function: Function, values: Sequence[Value], further: Sequence[Value]
) -> tuple[list[Value], list[Value]]:
    """A function that a pass made of that of a nested program, inserted into the current trace.

    It takes ``values``, those of the program's inputs, its captures and then ``further`` ones.
    Gives the results that the program itself has, whose effects are carried out, and the others.
    """
    scope = current_scope()
    assert scope is not None
    scope.emitter.builder.location = user_location()
    captured = (bound_value(scope, source) for source in program.captures)
    found = inline(scope.emitter.builder, function, [*values, *captured, *further])
    count = len(program.function.returned)
    carry_out(program, found[:count])
    return found[:count], found[count:]
