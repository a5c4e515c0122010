"""Nested: a function staged from inside the trace of another one.

It is traced to a function of its own, whose arguments are the leaves of some arguments of the call.
What else it uses of the outer trace is captured, and bound when the function is inlined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nets.frontend.pytree import TreeDef, flatten
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tensor.inner import is_weak, put_value, tensor_of
from nets.frontend.tensor.scope import Scope, current_scope
from nets.frontend.tensor.state import gradients_of, hand_over
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.program import Program, lift_results, stage
from nets.frontend.tracing.signature import declared
from nets.ir.core import Value
from nets.ir.types import TensorType


def stage_nested(
    name: str,
    call: BoundCall,
    positions: Sequence[int],
    run: Callable[[Sequence[Any], dict[str, Any]], Any],
    types: Sequence[TensorType] | None = None,
    once: bool = True,
) -> tuple[Program, list[Value]]:
    """The Program of ``run(args, kwargs)`` as a function of the leaves at ``positions`` of the
    arguments of a call.

    Also gives the values of the outer trace for its arguments. The other arguments stay as they
    are. ``types``: what the arguments are to the function, where that is another type. ``once`` is
    that of ``stage``.
    """
    scope = current_scope()
    assert scope is not None
    args, kwargs = call.complete()
    leaves, treedef = flatten([args[position] for position in positions])
    tensors = [as_tensor(leaf) for leaf in leaves]
    values = [scope.lift(tensor) for tensor in tensors]
    roots = [call.binding.root(position) for position in positions]
    places = [(roots[first.key], rest) for first, *rest in treedef.paths()]
    own = [x.type for x in tensors] if types is None else types
    inputs = declared(places, [(t, is_weak(x)) for t, x in zip(own, tensors, strict=True)])

    def body(traced: list[Tensor]) -> tuple[list[Value], TreeDef]:
        replaced = list(args)
        for position, part in zip(positions, treedef.unflatten(traced), strict=True):
            replaced[position] = part
        return lift_results(run(replaced, kwargs))

    return stage(name, inputs, body, once=once), values


def inlined(program: Program, arguments: Sequence[Value]) -> object:
    """The result of the program inserted into the current trace, in its nest."""
    values = program.inline(arguments)
    carry_out(program, values)
    return program.tree.unflatten(leaves_of(program, values))


def leaves_of(program: Program, values: Sequence[Value]) -> list[Tensor]:
    """The leaves of the result; ``values``: all results of the program, inlined."""
    leaves = [tensor_of(x) for x in values[: program.tree.leaf_count]]
    return [leaf if own is None else own for leaf, own in zip(leaves, program.own, strict=True)]


def carry_out(program: Program, values: Sequence[Value]) -> None:
    """Make the updates of a nested trace, inlined into the current one, its updates.

    ``values``: all results of the nested function.
    """
    scope = current_scope()
    assert scope is not None
    for place, number in program.updates:
        assert number is not None
        hand_over(scope, place, values[number])
    first = len(program.function.returned) - len(program.stored)
    for tensor, value in zip(program.stored, values[first:], strict=True):
        put_value(tensor, value)
    adopt(scope, program)


def adopt(scope: Scope, program: Program) -> None:
    """A trace differentiates itself where a part of it does."""
    if program.detached:
        gradients_of(scope).ran_backward = True
