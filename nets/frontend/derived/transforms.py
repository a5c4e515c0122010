"""Transforms: grad and value_and_grad, of plain and of traced functions.

From outside, a transformed function is staged like a traced one: traced, differentiated by the vjp
pass, compiled once per signature. Inside a trace it is traced to a function of its own,
differentiated, and inserted where it was called; so transforms nest to any order.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from nets.errors import ArgumentError, DTypeError, GradientError
from nets.frontend.calls.staged import Staged, kept
from nets.frontend.pytree import flatten
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import inlined, stage_nested
from nets.frontend.tracing.program import lift_results
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.vjp import carries_cotangent, pull_back

Argnums = int | Sequence[int]


def grad(function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False) -> Gradient:
    """The gradient of a function whose result is a scalar.

    The new function takes the same arguments and gives d(result)/d(argument ``argnums``) in the
    nest, shapes and dtypes of that argument; a tuple of them where ``argnums`` is a tuple. With
    ``has_aux`` the function returns ``(result, aux)`` and the new one ``(gradient, aux)``.

    When called: GradientError where the result is no scalar or an operation on the way has no
    derivative; DTypeError where a leaf of the argument, or the result, is not floating-point.
    """
    return _gradient(function, argnums, has_aux, with_value=False)


def value_and_grad(
    function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False
) -> Gradient:
    """The result of a function and its gradient, computed together; see ``grad``.

    The new function gives ``(result, gradient)``; with ``has_aux``, ``((result, aux), gradient)``.
    """
    return _gradient(function, argnums, has_aux, with_value=True)


def _gradient(
    function: Callable[..., object], argnums: Argnums, has_aux: bool, with_value: bool
) -> Gradient:
    """The transform of a function, the same object each time where the function can keep it."""
    argnums = tuple(argnums) if isinstance(argnums, list) else argnums
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise ArgumentError(
                f"argnums is an int or a tuple of them, not {argnums!r}", user_location()
            )
    if not numbers:
        raise ArgumentError("argnums names no argument", user_location())
    key = (argnums, bool(has_aux), with_value)
    return kept(function, key, lambda: Gradient(function, argnums, bool(has_aux), with_value))


class Gradient(Staged):
    """What ``grad`` and ``value_and_grad`` make of a function."""

    recompute = True
    __wrapped__: Callable[..., Any]

    def __init__(
        self, function: Callable[..., Any], argnums: Argnums, has_aux: bool, with_value: bool
    ) -> None:
        if isinstance(function, Staged):
            binding, options = function.binding, function.options
        else:
            binding, options = Binding(function), {}
        suffix = "value_and_grad" if with_value else "grad"
        super().__init__(binding, f"{binding.name}_{suffix}", options)
        functools.update_wrapper(self, function, updated=())
        self.__name__ = self.name
        self.argnums = argnums
        self.has_aux = has_aux
        self.with_value = with_value
        self.is_traced_anew = not isinstance(function, Staged) or function.is_traced_anew

    def inline(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        call = BoundCall(self.binding, args, kwargs)
        call.check()
        positions = self._positions(call.complete()[0])
        program, values = stage_nested(self.name, call, positions, self.result_of)
        return inlined(program, values)

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """Run the function on traced arguments and pull its result back to them.

        The leaves at ``argnums`` are arguments of the function being traced.
        """
        targets = [flatten(args[position]) for position in self._positions(args)]
        wanted = [self._target(leaf) for leaves, _ in targets for leaf in leaves]
        result = self.__wrapped__(*args, **kwargs)
        result, aux = _pair(result) if self.has_aux else (result, None)
        cts = iter(_pull_to(self._scalar(result), wanted))
        found = [treedef.unflatten([next(cts) for _ in leaves]) for leaves, treedef in targets]
        gradients = tuple(found) if isinstance(self.argnums, tuple) else found[0]
        if not self.has_aux:
            return (result, gradients) if self.with_value else gradients
        return ((result, aux), gradients) if self.with_value else (gradients, aux)

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        raise GradientError(
            f"{self.name} was called with integer tensors that require gradients; only "
            "floating-point tensors have second derivatives",
            user_location(),
        )

    def _positions(self, args: Sequence[object]) -> list[int]:
        numbers = self.argnums if isinstance(self.argnums, tuple) else (self.argnums,)
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise ArgumentError(
                    f"{self.name} differentiates by argument {number}, but was called with "
                    f"{len(args)} positional arguments",
                    user_location(),
                )
        return [number % len(args) for number in numbers]

    def _target(self, leaf: object) -> Value:
        """The value of a leaf to differentiate by."""
        if not isinstance(leaf, Tensor):
            raise ArgumentError(
                f"{self.name} cannot differentiate by a static argument", user_location()
            )
        if not carries_cotangent(leaf.type):
            raise DTypeError(
                f"{self.name} differentiates by floating-point arguments; {value_of(leaf).hint} is "
                f"{short(leaf.type)}",
                user_location(),
            )
        return value_of(leaf)

    def _scalar(self, result: object) -> Value:
        """The value of the one scalar that is differentiated."""
        leaves, tree = flatten(result)
        if len(leaves) != 1 or len(tree.tokens) != 1:
            raise GradientError(
                f"{self.name} needs a function that returns one scalar, not a "
                f"{type(result).__name__}",
                user_location(),
            )
        (value,), _ = lift_results(result)
        kind = tensor_type(value)
        if kind.shape != ():
            raise GradientError(
                f"{self.name} needs a function that returns a scalar; it returned {short(kind)}. "
                "Reduce it first (.sum(), .mean()), or use nets.vjp.",
                user_location(),
            )
        if not carries_cotangent(kind):
            raise DTypeError(
                f"{self.name} needs a function that returns a floating-point scalar, not "
                f"{short(kind)}",
                user_location(),
            )
        return value

    def __reduce__(self) -> Any:
        """Pickled by name where it has one of its own, else as the transform of its function."""
        from nets.frontend.calls.pickling import reduced

        return reduced(self, _gradient, self.argnums, self.has_aux, self.with_value)

    def __copy__(self) -> Gradient:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Gradient:
        """Itself, as for functions; of a bound method or an object that is called, of its copy."""
        inner = copy.deepcopy(self.__wrapped__, memo)
        if inner is self.__wrapped__:
            return self
        return Gradient(inner, self.argnums, self.has_aux, self.with_value)

    def __repr__(self) -> str:
        return f"<function {self.name}>"


def _pair(result: object) -> tuple[object, object]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError(
            "with has_aux=True the function returns a pair (result, aux), not a "
            f"{type(result).__name__}",
            user_location(),
        )
    return result


def _pull_to(root: Value, wanted: Sequence[Value]) -> list[Tensor]:
    """d(root)/d(value) of the wanted values, all of the current scope."""
    scope = current_scope()
    assert scope is not None
    emitter = scope.emitter
    emitter.builder.location = user_location()
    cts = {root: emitter.one(root)}
    pull_back(emitter, list(scope.function.body), cts, wanted)
    return [tensor_of(cts[x] if x in cts else emitter.zero(x)) for x in wanted]
