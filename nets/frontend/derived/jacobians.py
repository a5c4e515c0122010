"""jacfwd, jacrev, jacobian and hessian: all partial derivatives of a function.

Forward mode has a seed for each element of the arguments, reverse mode one for each element of the
results. All seeds go through one program: the pass ``batch`` makes it of that for one, and what
does not depend on the seed is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import nets.frontend.tensor.functions as functions
from nets.errors import DTypeError, GradientError
from nets.frontend.calls.staged import kept
from nets.frontend.derived import orders
from nets.frontend.derived.derived import (
    Argnums,
    Derived,
    checked_argnums,
    inserted,
    pair_of,
    positions_of,
)
from nets.frontend.pytree import TreeDef, expression, flatten
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.nested import leaves_of, stage_nested
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.spec import short
from nets.ir.core import Function, Value
from nets.ir.location import user_location
from nets.ir.sizes import Dim, at_most
from nets.ir.types import TensorType, i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.derivatives.batch import batch
from nets.passes.derivatives.forward import jvp
from nets.passes.derivatives.vjp import value_and_vjp


def jacfwd(
    function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False
) -> Jacobian:
    """The Jacobian of a function by forward mode; for fewer arguments than results.

    The new function takes the same arguments and gives, for each leaf of the result, a nest like
    argument ``argnums`` (a tuple of them where ``argnums`` is a tuple) whose leaves have the shape
    of the result's leaf followed by that of the argument's: d(result[i…]) / d(argument[j…]). With
    ``has_aux`` the function returns ``(result, aux)`` and the new one ``(Jacobian, aux)``.

    When called: DTypeError where a leaf of the argument or of the result is not floating-point,
    GradientError where an operation on the way has no derivative.
    """
    return _jacobian(function, argnums, has_aux, "forward")


def jacrev(
    function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False
) -> Jacobian:
    """The Jacobian of a function by reverse mode; for fewer results than arguments.

    ``argnums``, ``has_aux`` and what it gives are those of ``jacfwd``.
    """
    return _jacobian(function, argnums, has_aux, "reverse")


def jacobian(
    function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False
) -> Jacobian:
    """The Jacobian of a function by the mode with fewer seeds: forward where the arguments have no
    more elements than the results, or where a ``while_loop`` leaves no choice.

    ``argnums``, ``has_aux`` and what it gives are those of ``jacfwd``.
    """
    return _jacobian(function, argnums, has_aux, "fewer")


def hessian(
    function: Callable[..., object], argnums: Argnums = 0, has_aux: bool = False
) -> Jacobian:
    """The second derivatives of a function, forward over reverse: ``jacfwd(jacrev(function))``.

    For a scalar result and one argument, the leaf has the shape of the argument's, twice.
    ``argnums``, ``has_aux`` and nests are those of ``jacfwd``, the latter within each other.
    """
    return jacfwd(jacrev(function, argnums, has_aux), argnums, has_aux)


def _jacobian(
    function: Callable[..., object], argnums: Argnums, has_aux: bool, mode: str
) -> Jacobian:
    arguments = (checked_argnums(argnums), bool(has_aux), mode)
    return kept(function, ("jacobian", *arguments), lambda: Jacobian(function, *arguments))


class Jacobian(Derived):
    """What these transforms make of a function."""

    def __init__(
        self,
        function: Callable[..., Any],
        argnums: int | tuple[int, ...],
        has_aux: bool,
        mode: str,
    ) -> None:
        super().__init__(function, "jacobian", (argnums, has_aux, mode))
        self.argnums = argnums
        self.has_aux = has_aux
        self.mode = mode

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """The Jacobian, in the current scope."""
        positions = positions_of(self.name, self.argnums, args)
        call = BoundCall(self.binding, tuple(args), kwargs)
        with orders.changed(orders.FORWARD):
            program, values = stage_nested(
                self.name, call, positions, lambda args, kwargs: self.__wrapped__(*args, **kwargs)
            )
        outer = self._result_tree(program)
        task = _Task(self.name, program, values, outer.leaf_count)
        rows = task.rows(self._picked_mode(task))
        _, tree = flatten([args[position] for position in positions])
        nests = [tree.unflatten(row) for row in rows]
        found = [tuple(nest) if isinstance(self.argnums, tuple) else nest[0] for nest in nests]
        jacobian = outer.unflatten(found)
        if not self.has_aux:
            return jacobian
        return jacobian, pair_of(program.tree.unflatten(leaves_of(program, task.own)))[1]

    def _result_tree(self, program: Program) -> TreeDef:
        """The nest of what is differentiated, whose leaves come first."""
        tree = program.tree
        if not self.has_aux:
            return tree
        first, _ = pair_of(tree.unflatten(range(tree.leaf_count)))
        return flatten(first)[1]

    def _picked_mode(self, task: _Task) -> str:
        if self.mode != "fewer":
            return self.mode
        fewer_inputs = at_most(sum(task.input_sizes), sum(task.output_sizes), {})
        return "forward" if fewer_inputs else "fewer"


Jacobian.make = _jacobian


class _Task:
    """One Jacobian: the nested program and the sizes of its inputs and results."""

    def __init__(self, name: str, program: Program, values: Sequence[Value], outputs: int) -> None:
        self.program = program
        self.values = values
        self.inputs = [x.type for x in program.inputs]
        self.outputs = [tensor_type(x) for x in program.function.returned[:outputs]]
        for entry in program.inputs:
            _check(name, "by floating-point arguments", entry.path, entry.type)
        for type, path in zip(self.outputs, program.tree.paths(), strict=False):
            _check(name, "floating-point results", expression("result", path), type)
        self.input_sizes = [math.prod(type.shape) for type in self.inputs]
        self.output_sizes = [math.prod(type.shape) for type in self.outputs]
        self.own: Sequence[Value] = ()
        """The results of the program, once it has been inserted."""

    def rows(self, mode: str) -> list[list[Tensor]]:
        """For each result the derivative by each input."""
        if mode == "forward":
            return self._forward()
        try:
            return self._reverse()
        except GradientError:
            if mode != "fewer":
                raise
            return self._forward()

    def _forward(self) -> list[list[Tensor]]:
        function = self.program.function
        forward = jvp(function, range(len(self.inputs)))
        seeds = _seeds(self.inputs, self.input_sizes)
        count = len(function.arguments)
        flags = [i >= count for i in range(len(forward.arguments))]
        size = sum(self.input_sizes)
        tangents = self._all_seeds(forward, flags, size, seeds)
        found = []
        for tangent, type in zip(tangents, self.outputs, strict=False):
            last = functions.moveaxis(tangent, 0, -1)
            parts = _parts(last, self.input_sizes, axis=-1)
            shapes = [(*type.shape, *by.shape) for by in self.inputs]
            found.append([functions.reshape(p, s) for p, s in zip(parts, shapes, strict=True)])
        return found

    def _reverse(self) -> list[list[Tensor]]:
        function = self.program.function
        backward = value_and_vjp(function, range(len(self.inputs)))
        scope = current_scope()
        assert scope is not None
        seeds = _seeds(self.outputs, self.output_sizes)
        others = function.returned[len(self.outputs) :]
        seeds += [scope.emitter.zero(x) for x in others]
        first = len(function.arguments)
        seeded = range(first, first + len(self.outputs))
        flags = [i in seeded for i in range(len(backward.arguments))]
        gradients = self._all_seeds(backward, flags, sum(self.output_sizes), seeds)
        columns = [_parts(gradient, self.output_sizes, axis=0) for gradient in gradients]
        return [
            [
                functions.reshape(column[i], (*type.shape, *by.shape))
                for column, by in zip(columns, self.inputs, strict=True)
            ]
            for i, type in enumerate(self.outputs)
        ]

    def _all_seeds(
        self, function: Function, flags: Sequence[bool], size: Dim, seeds: Sequence[Value]
    ) -> list[Tensor]:
        """What the function gives besides the results of the program, for all seeds."""
        units = flags.index(True) if sum(flags) == 1 else None
        batched, stacked = batch(function, flags, size, units)
        self.own, found = inserted(self.program, batched, self.values, seeds)
        scope = current_scope()
        assert scope is not None
        further = stacked[len(self.own) :]
        return [
            tensor_of(x if is_stack else scope.emitter.repeated(x, size))
            for x, is_stack in zip(found, further, strict=True)
        ]


def _check(name: str, what: str, path: str, type: TensorType) -> None:
    if not carries_cotangent(type):
        raise DTypeError(f"{name} differentiates {what}; {path} is {short(type)}", user_location())


def _seeds(types: Sequence[TensorType], sizes: Sequence[Dim]) -> list[Value]:
    """For each type a stack with one entry per element of all types, which is 1 there, else 0."""
    scope = current_scope()
    assert scope is not None
    b = scope.emitter
    starts = accumulate(sizes, initial=0)
    return [
        _seed(b, type, n, at, sum(sizes)) for type, n, at in zip(types, sizes, starts, strict=False)
    ]


def _seed(b: GraphEmitter, type: TensorType, count: Dim, start: Dim, size: Dim) -> Value:
    shape = (size, count)
    row = b.emit("iota", shape=shape, dtype=i64, axis=0)
    column = b.emit("iota", shape=shape, dtype=i64, axis=1)
    here = b.compare("equal", row, b.add(column, b.full_like(column, start)))
    return b.reshape(b.cast(here, type.dtype), (size, *type.shape))


def _parts(x: Tensor, sizes: Sequence[Dim], axis: int) -> list[Tensor]:
    """x cut along an axis into parts of these sizes."""
    if len(sizes) == 1:
        return [x]
    ends = list(accumulate(sizes))
    return [
        x[(..., slice(end - size, end))] if axis == -1 else x[end - size : end]
        for end, size in zip(ends, sizes, strict=True)
    ]
