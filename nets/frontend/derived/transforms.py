"""grad and value_and_grad, of plain and of traced functions: reverse mode of a scalar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nets.errors import ArgumentError, DTypeError, GradientError
from nets.frontend.calls.staged import kept
from nets.frontend.derived import orders
from nets.frontend.derived.derived import (
    Argnums,
    Derived,
    checked_argnums,
    pair_of,
    positions_of,
)
from nets.frontend.pytree import flatten
from nets.frontend.tensor.inner import tensor_of, value_of
from nets.frontend.tensor.scope import Scope, current_scope
from nets.frontend.tensor.state import averaged
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.nested import inlined, stage_nested
from nets.frontend.tracing.program import lift_results
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.vjp import carries_cotangent, pull_back


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
    """The result of a function and its gradient, computed together.

    ``argnums`` and ``has_aux`` are those of ``grad``. The new function gives ``(result,
    gradient)``; with ``has_aux``, ``((result, aux), gradient)``.
    """
    return _gradient(function, argnums, has_aux, with_value=True)


def _gradient(
    function: Callable[..., object], argnums: Argnums, has_aux: bool, with_value: bool
) -> Gradient:
    """The transform of a function, the same object each time where the function can keep it."""
    arguments = (checked_argnums(argnums), bool(has_aux), with_value)
    return kept(function, ("grad", *arguments), lambda: Gradient(function, *arguments))


class Gradient(Derived):
    """What ``grad`` and ``value_and_grad`` make of a function."""

    recompute = True

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | tuple[int, ...],
        has_aux: bool,
        with_value: bool,
    ) -> None:
        suffix = "value_and_grad" if with_value else "grad"
        super().__init__(function, suffix, (argnums, has_aux, with_value))
        self.argnums = argnums
        self.has_aux = has_aux
        self.with_value = with_value

    def inline(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        call = BoundCall(self.binding, args, kwargs)
        call.check()
        positions = self._positions(call.complete()[0])
        program, values = stage_nested(self.name, call, positions, self.result_of)
        found = inlined(program, values)
        scope = current_scope()
        assert scope is not None
        return found if scope.averaged_over == 1 else self._averaged(scope, found, values)

    def _averaged(self, scope: Scope, found: Any, by: Sequence[Value]) -> Any:
        """The result with the means over shards of gradients by what all shards have in common."""
        from nets.passes.distribution.over_ranks import varying_values

        first, second = found if self.has_aux or self.with_value else (None, None)
        gradients = second if self.with_value else first if self.has_aux else found
        leaves, tree = flatten(gradients)
        differing = varying_values(scope.function, scope.varying)
        means = tree.unflatten(
            [
                x if value in differing else tensor_of(averaged(scope, scope.lift(x)))
                for x, value in zip(leaves, by, strict=True)
            ]
        )
        if self.with_value:
            return first, means
        return (means, second) if self.has_aux else means

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """Run the function on traced arguments and pull its result back to them.

        The leaves at ``argnums`` are arguments of the function being traced.
        """
        targets = [flatten(args[position]) for position in self._positions(args)]
        wanted = [self._target(leaf) for leaves, _ in targets for leaf in leaves]
        with orders.changed(orders.REVERSE):
            result = self.__wrapped__(*args, **kwargs)
        result, aux = pair_of(result) if self.has_aux else (result, None)
        cts = iter(_pull_to(self._scalar(result), wanted))
        found = [treedef.unflatten([next(cts) for _ in leaves]) for leaves, treedef in targets]
        gradients = tuple(found) if isinstance(self.argnums, tuple) else found[0]
        if not self.has_aux:
            return (result, gradients) if self.with_value else gradients
        return ((result, aux), gradients) if self.with_value else (gradients, aux)

    def _positions(self, args: Sequence[object]) -> list[int]:
        return positions_of(self.name, self.argnums, args)

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


Gradient.make = _gradient


def _pull_to(root: Value, wanted: Sequence[Value]) -> list[Tensor]:
    """d(root)/d(value) of the wanted values, all of the current scope."""
    scope = current_scope()
    assert scope is not None
    emitter = scope.emitter
    emitter.builder.location = user_location()
    cts = {root: emitter.one(root)}
    pull_back(emitter, list(scope.function.body), cts, wanted)
    return [tensor_of(cts[x] if x in cts else emitter.zero(x)) for x in wanted]
