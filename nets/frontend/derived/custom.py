"""custom_jvp and custom_vjp: functions whose derivative the user gives.

A call becomes one operation whose regions are the function and its rule. The rule holds at every
order and in both modes (``passes/derivatives/custom_rules.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.derived import orders
from nets.frontend.derived.derived import Derived
from nets.frontend.pytree import Step, TreeDef, expression, flatten
from nets.frontend.tensor.dispatch import as_tensor, cast
from nets.frontend.tensor.functions import zeros
from nets.frontend.tensor.inner import is_weak
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding, Static
from nets.frontend.tracing.program import Body, Program, lift_results, stage
from nets.frontend.tracing.regions import emit_control
from nets.frontend.tracing.signature import declared
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.types import TensorType
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.activity import carries_cotangent

Nest = Any
"""Containers of tensors, arrays and numbers."""

Rule = Callable[..., Any]


class _Custom(Derived):
    """A function with rules. The arguments at ``nondiff_argnums`` are static: they are given as
    they are to the function, and before all others to its rules."""

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: int | Sequence[int] = (), *rules: Rule
    ) -> None:
        super().__init__(function, "", (nondiff_argnums, *rules))
        self.binding = Binding(function, static_argnums=nondiff_argnums)
        self.name = self.__name__ = self.binding.name
        self.rules = rules

    def give(self, *rules: Rule) -> None:
        """Make these the rules."""
        self.rules = rules
        self.arguments = (self.arguments[0], *rules)

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """The call as one operation in the current scope."""
        call = BoundCall(self.binding, tuple(args), kwargs)
        call.check()
        if call.kwargs or any(isinstance(key, str) for key, _ in call.static):
            raise ArgumentError(
                f"{self.name} has rules for positional arguments, not for those that are given by "
                "keyword alone",
                user_location(),
            )
        if not self.rules:
            raise ArgumentError(f"{self.name} has no rule yet", user_location())
        task = _Call(self, call)
        if orders.wanted() < 1:
            return task.emit("underived", [task.function])
        return self.emit(task)

    def emit(self, task: _Call) -> Any:
        raise NotImplementedError


class custom_jvp(_Custom):
    """A function whose tangent the user gives.

    ``f.defjvp(rule)`` gives the rule: ``rule(primals, tangents)`` takes two tuples, the arguments
    and a nest like each for the direction (None for a leaf that is not floating-point), and returns
    ``(result, tangent)``; the tangent is linear in the direction. ``rules`` may have it at once,
    ``custom_jvp(f, (), rule)``. Arguments at ``nondiff_argnums``
    are plain Python values, come first (``rule(n, primals, tangents)``) and have no tangent.

    The rule is used in forward and in reverse mode, at every order and under ``vmap``. As in JAX
    (Bradbury et al., 2018).

    When called or differentiated: ArgumentError where there is no rule, or it returns another nest
    than the function; ShapeError or DTypeError where its parts differ in type; GradientError where
    the tangent is not linear in the direction, or a derivative goes through a value that the
    function closes over.
    """

    def defjvp(self, rule: Rule) -> Rule:
        """Make this the rule. Gives it back, so that it serves as a decorator."""
        self.give(rule)
        return rule

    def emit(self, task: _Call) -> Any:
        moved = [(f"{name}_t", type) for name, type in task.floats()]

        def body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            count = len(task.types)
            tangents = task.with_nones(task.types, tensors[count:])
            given = self.rules[0](*task.static, task.nest(tensors[:count]), task.nest(tangents))
            result, tangent = _pair(self.name, "(result, tangent)", given)
            leaves = task.results_like(result)
            found = task.fitted("the tangent", task.function.tree, task.result_types, tangent)
            return lift_results([*leaves, *found])

        rule = task.stage(moved, body, derivative=True)
        return task.emit("custom_jvp", [task.function, rule])


class custom_vjp(_Custom):
    """A function whose pull-back the user gives.

    ``f.defvjp(forward, backward)`` gives the rule: ``forward(*arguments)`` returns ``(result,
    residuals)``, and ``backward(residuals, ct)`` a tuple with a nest like each argument: what the
    cotangent ``ct``, a nest like the result, is to it. None stands for zero, and for a leaf that is
    not floating-point. ``rules`` may have both at once. Arguments at ``nondiff_argnums`` are plain
    Python values and come first (``backward(n, residuals, ct)``); they have no place in the tuple.

    The rule is used in reverse mode and, transposed, in forward mode, at every order and under
    ``vmap``. As in JAX (Bradbury et al., 2018). Errors are those of ``custom_jvp``.
    """

    def defvjp(self, forward: Rule, backward: Rule) -> None:
        """Make these the rule."""
        self.give(forward, backward)

    def emit(self, task: _Call) -> Any:
        forward, backward = self.rules
        kept: list[TreeDef] = []

        def forward_body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            given = forward(*task.arguments(tensors))
            result, residuals = _pair(self.name, "(result, residuals)", given)
            leaves, tree = flatten(residuals)
            kept.append(tree)
            return lift_results([*task.results_like(result), *leaves])

        first = task.stage([], forward_body, derivative=True)
        residuals = [
            (f"residual_{i}", tensor_type(x))
            for i, x in enumerate(first.function.returned[len(task.result_types) :])
        ]
        cts = [
            (f"ct_{i}", type) for i, type in enumerate(task.result_types) if carries_cotangent(type)
        ]

        def backward_body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            count = len(residuals)
            ct = task.with_nones(task.result_types, tensors[count:])
            given = backward(
                *task.static,
                kept[0].unflatten(tensors[:count]),
                task.function.tree.unflatten(ct),
            )
            if not isinstance(given, tuple) or len(given) != task.count:
                raise ArgumentError(
                    f"the backward rule of {self.name} returns a tuple with a cotangent for each "
                    f"of {task.count} arguments, not {_shown(given)}",
                    user_location(),
                )
            return lift_results(task.fitted("the cotangent", task.tree, task.types, list(given)))

        second = task.stage([*residuals, *cts], backward_body, derivative=True, with_inputs=False)
        return task.emit("custom_vjp", [task.function, first, second])


custom_jvp.make = custom_jvp
custom_vjp.make = custom_vjp


class _Call:
    """One call: its dynamic arguments as tensors, and the function as a program."""

    def __init__(self, custom: _Custom, call: BoundCall) -> None:
        self.custom = custom
        self.static = [value for _, value in call.static]
        self._static: Static = call.static
        self.count = len(call.args)
        leaves, self.tree = flatten(list(call.args))
        self.tensors = [as_tensor(leaf) for leaf in leaves]
        self.types = [x.type for x in self.tensors]
        roots = [call.binding.root(position) for position in call.positions]
        self._places = [(roots[first.key], rest) for first, *rest in self.tree.paths()]

        def body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            return lift_results(custom.__wrapped__(*self.arguments(tensors)))

        self.function = self.stage([], body, derivative=False)
        returned = self.function.function.returned[: self.function.tree.leaf_count]
        self.result_types = [tensor_type(x) for x in returned]

    # ------------------------------------------------------------------------- programs

    def stage(
        self,
        further: Sequence[tuple[str, TensorType]],
        body: Body,
        derivative: bool,
        with_inputs: bool = True,
    ) -> Program:
        """A program of the arguments and of further values. One that is no part of a derivative is
        never differentiated, so that it needs no rules."""
        entries: list[tuple[TensorType, bool]] = []
        places: list[tuple[str, Sequence[Step]]] = []
        if with_inputs:
            entries += [(x.type, is_weak(x)) for x in self.tensors]
            places += self._places
        entries += [(type, False) for _, type in further]
        places += [(name, ()) for name, _ in further]
        with orders.changed(-1 if derivative else -orders.wanted()):
            return stage(self.custom.name, declared(places, entries), body, once=False)

    def emit(self, name: str, programs: Sequence[Program]) -> Any:
        results = emit_control(name, self.tensors, {"inputs": len(self.tensors)}, programs)
        return self.function.tree.unflatten(results)

    # ---------------------------------------------------------------------------- nests

    def nest(self, leaves: Sequence[object]) -> tuple[Any, ...]:
        """The dynamic arguments with other leaves."""
        return tuple(self.tree.unflatten(leaves))

    def arguments(self, leaves: Sequence[object]) -> list[object]:
        """All positional arguments, with other leaves."""
        found = [*self.nest(leaves)]
        for place, value in self._static:
            assert isinstance(place, int)
            found.insert(place, value)
        return found

    def floats(self) -> list[tuple[str, TensorType]]:
        """Name and type of the leaves that have a tangent."""
        pairs = zip(self._places, self.types, strict=True)
        return [(root, type) for (root, _), type in pairs if carries_cotangent(type)]

    def with_nones(
        self, types: Sequence[TensorType], tensors: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The tensors in the places of floating-point leaves, None in the others."""
        given = iter(tensors)
        return [next(given) if carries_cotangent(type) else None for type in types]

    def results_like(self, result: Nest) -> list[Tensor]:
        """The leaves of what a rule says the function returns, which must be of its types."""
        leaves, tree = flatten(result)
        if tree != self.function.tree:
            raise ArgumentError(
                f"a rule of {self.custom.name} returns {tree} for its result; the function "
                f"returns {self.function.tree}",
                user_location(),
            )
        tensors = [as_tensor(leaf) for leaf in leaves]
        for x, type, path in zip(tensors, self.result_types, tree.paths(), strict=True):
            _check_type(self.custom.name, expression("result", path), x, type)
        return [cast(x, t.dtype) for x, t in zip(tensors, self.result_types, strict=True)]

    def fitted(
        self, what: str, tree: TreeDef, types: Sequence[TensorType], given: Nest
    ) -> list[Tensor]:
        """A leaf for each floating-point one of the nest, zeros where nothing is given."""
        leaves, own = flatten(given)
        found = dict(zip(own.paths(), leaves, strict=True))
        fitting = []
        for type, path in zip(types, tree.paths(), strict=True):
            leaf = found.pop(path, None)
            if not carries_cotangent(type):
                continue
            x = zeros(type.shape, type.dtype) if leaf is None else as_tensor(leaf)
            _check_type(self.custom.name, expression(what, path), x, type)
            fitting.append(cast(x, type.dtype))
        if found:
            raise ArgumentError(
                f"a rule of {self.custom.name} returns {own} for {what}, which is like {tree}",
                user_location(),
            )
        return fitting


def _check_type(name: str, what: str, x: Tensor, type: TensorType) -> None:
    if x.type.shape != type.shape or not (is_weak(x) or x.type.dtype == type.dtype):
        error = ShapeError if x.type.shape != type.shape else DTypeError
        raise error(
            f"a rule of {name} returns {short(x.type)} for {what}, which is {short(type)}",
            user_location(),
        )


def _pair(name: str, words: str, given: object) -> tuple[Any, Any]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise ArgumentError(
            f"a rule of {name} returns a pair {words}, not {_shown(given)}", user_location()
        )
    return given


def _shown(given: object) -> str:
    size = f" of {len(given)}" if isinstance(given, tuple) else ""
    return f"a {type(given).__name__}{size}"
