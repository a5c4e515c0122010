"""jvp, linearize and hvp: derivatives along a direction."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

from nets.errors import ArgumentError, GradientError, ShapeError
from nets.frontend.calls.staged import kept
from nets.frontend.derived import orders
from nets.frontend.derived.derived import Derived, inserted, pair_of
from nets.frontend.derived.pullback import Backward, forward_half
from nets.frontend.derived.transforms import Gradient
from nets.frontend.pytree import Step, TreeDef, expression, flatten
from nets.frontend.tensor.dispatch import as_tensor, cast
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import leaves_of, stage_nested
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.types import TensorType
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.derivatives.forward import jvp as jvp_of
from nets.passes.derivatives.linear_maps import linear_map

Nest = Any
"""Containers of tensors, arrays and numbers."""

_DIRECTION: Final = Binding(lambda primals, tangents: None)


def jvp(
    function: Callable[..., object],
    primals: Sequence[Nest],
    tangents: Sequence[Nest],
    has_aux: bool = False,
) -> Any:
    """The result of a function and its derivative along a direction (forward mode).

    ``primals`` holds the arguments and ``tangents`` a nest like each, of the same shapes: the
    direction. A leaf that is not floating-point has no tangent: None stands in its place, or what
    stands there is ignored. Gives ``(result, tangent)``, the latter a nest like the result, with
    None for a leaf that is not floating-point; with ``has_aux`` the function returns ``(result,
    aux)`` and the call gives ``(result, tangent, aux)``.

    It costs about as much as two calls, whatever the number of results, and goes through loops that
    reverse mode cannot: ``while_loop``.

    ArgumentError where ``tangents`` is another nest than ``primals``, ShapeError where a tangent
    has another shape.
    """
    _check_direction("jvp", primals, tangents)
    staged = kept(function, ("jvp", bool(has_aux)), lambda: Forward(function, bool(has_aux)))
    return staged(tuple(primals), tuple(tangents))


def linearize(function: Callable[..., object], *primals: Nest, has_aux: bool = False) -> Any:
    """The result of a function, and its derivative at that point as a function of the direction.

    ``primals``: the point, the arguments of the function. Gives ``(result, tangent_of)``, with
    ``has_aux`` ``(result, tangent_of, aux)``. ``tangent_of(*tangents)`` takes a nest like each
    primal (see ``jvp``) and gives that of the result; it does again only what depends on the
    direction. It is the pull-back transposed (Townsend, 2017, "A new trick for calculating Jacobian
    vector products"); where there is no pull-back, as of a ``while_loop``, it is ``jvp`` at the
    same point.
    """
    try:
        with orders.changed(orders.REVERSE):  # and the pull-back is pulled back
            program, _, backward, result = forward_half(function, primals)
    except GradientError:
        return _by_jvp(function, primals, has_aux)
    linear = backward.transposed(linear_map)
    result, aux = pair_of(result) if has_aux else (result, None)
    tangent_of = TangentMap(program, flatten(list(primals))[1], linear, result)
    return (result, tangent_of, aux) if has_aux else (result, tangent_of)


def _by_jvp(function: Callable[..., object], primals: Sequence[Nest], has_aux: bool) -> Any:
    result = function(*primals)
    tangent_of = functools.partial(_tangent, function, primals, has_aux)
    return (result[0], tangent_of, result[1]) if has_aux else (result, tangent_of)  # type: ignore[index]


def _tangent(
    function: Callable[..., object], primals: Sequence[Nest], has_aux: bool, *tangents: Nest
) -> Any:
    return jvp(function, primals, tangents, has_aux)[1]


def hvp(function: Callable[..., object], primals: Sequence[Nest], tangents: Sequence[Nest]) -> Any:
    """The Hessian of a function with a scalar result, times a direction: forward over reverse.

    ``primals`` and ``tangents`` are those of ``jvp``. Gives a nest like the first primal where
    there is one, else a tuple with a nest like each. It costs a small multiple of a gradient; the
    Hessian is not built. Errors are those of ``grad`` and ``jvp``.
    """
    _check_direction("hvp", primals, tangents)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    gradient = kept(
        function, ("grad", argnums, False, False), lambda: Gradient(function, argnums, False, False)
    )
    return jvp(gradient, primals, tangents)[1]


def _check_direction(name: str, primals: object, tangents: object) -> None:
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise ArgumentError(
                f"{name} takes a tuple of {what}, one per argument, not a {type(given).__name__}",
                user_location(),
            )


class Forward(Derived):
    """What ``jvp`` makes of a function: from ``(primals, tangents)`` to both results."""

    def __init__(self, function: Callable[..., Any], has_aux: bool) -> None:
        super().__init__(function, "jvp", (has_aux,))
        self.inner = self.binding
        self.binding = _DIRECTION
        self.has_aux = has_aux

    def result_of(self, args: Sequence[Any], kwargs: dict[str, object]) -> Any:
        primals, tangents = args
        call = BoundCall(self.inner, tuple(primals), {})
        call.check()
        with orders.changed(orders.FORWARD):
            program, values = stage_nested(
                self.name, call, range(len(primals)), lambda args, _: self.__wrapped__(*args)
            )
        given = direction([x.type for x in program.inputs], flatten(list(primals))[1], tangents)
        wrt = [i for i, x in enumerate(given) if x is not None]
        scope = current_scope()
        assert scope is not None
        moved = [scope.lift(x) for x in given if x is not None]
        own, found = inserted(program, jvp_of(program.function, wrt), values, moved)
        result = program.tree.unflatten(leaves_of(program, own))
        tangent = program.tree.unflatten(_tangents(program, own, found))
        if not self.has_aux:
            return result, tangent
        (first, aux), (first_tangent, _) = pair_of(result), tangent
        return first, first_tangent, aux


Forward.make = Forward


def _tangents(
    program: Program, own: Sequence[Value], found: Sequence[Value]
) -> list[Tensor | None]:
    """A tangent for each leaf of the result, None where it is not floating-point."""
    tangents = iter(found)
    every = [tensor_of(next(tangents)) if carries_cotangent(x.type) else None for x in own]
    return every[: program.tree.leaf_count]


def direction(
    types: Sequence[TensorType], tree: TreeDef, tangents: Sequence[Nest]
) -> list[Tensor | None]:
    """A tangent for each leaf of the primals, None where it is not floating-point.

    ``tree`` is that of the list of primals.
    """
    leaves, given = flatten(list(tangents))
    found = dict(zip(given.paths(), leaves, strict=True))
    tangents_of = [
        _fitting(type, path, found.pop(path, None))
        for type, path in zip(types, tree.paths(), strict=True)
    ]
    if found:
        raise _another_nest(tree, given)
    return tangents_of


def _fitting(type: TensorType, path: Sequence[Step], leaf: Any) -> Tensor | None:
    if not carries_cotangent(type):
        return None
    what = expression("tangents", path)
    if leaf is None:
        raise ArgumentError(f"{what} is missing: its primal is {short(type)}", user_location())
    tensor = as_tensor(leaf)
    if tensor.type.shape != type.shape:
        raise ShapeError(
            f"{what} is {short(tensor.type)}; its primal is {short(type)}", user_location()
        )
    return cast(tensor, type.dtype)


def _another_nest(primals: TreeDef, tangents: TreeDef) -> ArgumentError:
    return ArgumentError(
        f"tangents is a nest like primals, {primals}, not {tangents}", user_location()
    )


class TangentMap:
    """From a direction to the tangent of a result, at the point where it was made."""

    def __init__(self, program: Program, tree: TreeDef, linear: Backward, result: Any) -> None:
        self._types = [linear.type_here(x.type) for x in program.inputs]
        self._tree = tree
        self._linear = linear
        leaves, self._result_tree = flatten(result)
        self._carries = [carries_cotangent(as_tensor(leaf).type) for leaf in leaves]

    def __call__(self, *tangents: Nest) -> Any:
        """The tangent of the result. Errors are those of ``jvp``."""
        given = direction(self._types, self._tree, tangents)
        found = iter(self._linear([x for x in given if x is not None]))
        leaves = [next(found) if carries else None for carries in self._carries]
        return self._result_tree.unflatten(leaves)
