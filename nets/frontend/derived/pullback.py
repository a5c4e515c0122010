"""vjp: the result of a function and the pull-back of its cotangents.

From outside, both halves are compiled, and the pull-back holds the residuals as arrays. Inside a
trace the forward half is inserted where ``vjp`` was called and the backward half wherever the
pull-back is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nets.compiler.compile import CompileOptions
from nets.errors import ArgumentError, PickleError, ShapeError, TraceError
from nets.frontend.calls.arrivals import Text, compilation_of, function_of
from nets.frontend.calls.pickling import text_of
from nets.frontend.calls.specialisation import CompiledPullBack
from nets.frontend.calls.staged import Staged, kept
from nets.frontend.calls.trace import Traced, trace
from nets.frontend.derived import orders
from nets.frontend.derived.derived import pair_of
from nets.frontend.pytree import expression, flatten
from nets.frontend.tensor.dispatch import as_tensor, cast, constant
from nets.frontend.tensor.inner import eager_value, tensor_of, tensor_of_array
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.state import bound_value
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import variable
from nets.frontend.tracing.arguments import BoundCall, with_static
from nets.frontend.tracing.nested import carry_out, leaves_of, stage_nested
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.spec import short
from nets.ir.clone import inline
from nets.ir.core import Function
from nets.ir.fixed_sizes import Sizes
from nets.ir.location import user_location
from nets.ir.sizes import evaluate
from nets.ir.types import TensorType
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.vjp import carries_cotangent, split_vjp


def vjp(function: Callable[..., object], *primals: object, has_aux: bool = False) -> Any:
    """The result of a function at ``primals``, its arguments, and the pull-back of its cotangents.

    Gives ``(result, pull)``, with ``has_aux`` ``(result, pull, aux)``. ``pull(ct)`` takes a nest
    like the result, of the same shapes, and gives a tuple with a nest like each primal; a leaf
    that is not floating-point has None in its place. It may be called any number of times.

    GradientError where an operation on the way has no derivative.
    """
    program, call, backward, result = forward_half(function, primals)
    if not has_aux:
        return result, Pullback(program, call, backward, result)
    first, aux = pair_of(result)
    return first, Pullback(program, call, backward, first), aux


def forward_half(
    function: Callable[..., object], primals: tuple[object, ...]
) -> tuple[Program, BoundCall, Backward, Any]:
    """The program of a function for these arguments, the backward half of this call, and its
    result."""
    staged = function if isinstance(function, Staged) else _traced(function)
    call = BoundCall(staged.binding, primals, {})
    run = _run_compiled if current_scope() is None else _run_nested
    with orders.changed(orders.REVERSE):
        program, results, backward = run(staged, call)
    return program, call, backward, program.tree.unflatten(results)


def _traced(function: Callable[..., object]) -> Traced[..., object]:
    """The function, traced at each call, for it sees Python as it is then."""

    def make() -> Traced[..., Any]:
        made = trace(function)
        made.is_traced_anew = True
        return made

    return kept(function, "trace", make)


@dataclass(frozen=True, slots=True)
class Backward:
    """The backward half of a program, with what it needs of the forward half.

    ``function``: residuals, then the cotangent of each result → the cotangents of the inputs at
    ``wrt``. ``compiled`` is the same as native code; None inside a trace.
    """

    function: Function
    residuals: Sequence[Tensor]
    wrt: Sequence[int]
    compiled: CompiledPullBack | None

    def __reduce__(self) -> tuple[Any, ...]:
        """IR text and residuals; code is made where they arrive. PickleError inside a trace."""
        if self.compiled is None:
            raise PickleError(
                "a derivative at a point that is traced cannot be pickled: it has no residuals "
                "outside of the trace",
                user_location(),
            )
        compiled = self.compiled
        parts = text_of(self.function), list(self.residuals), tuple(self.wrt)
        return _unpickled, (*parts, compiled.sizes, compiled.options)

    def transposed(self, transpose: Callable[[Function, int], Function]) -> Backward:
        """The linear map the other way: from the cotangents of the inputs at ``wrt`` to those of
        the floating-point results; ``transpose`` makes it of the function and the number of
        residuals."""
        function = transpose(self.function, len(self.residuals))
        compiled = None if self.compiled is None else self.compiled.replaced(function)
        return Backward(function, self.residuals, (), compiled)

    def zeros(self, type: TensorType) -> Tensor:
        """The cotangent of a result of that type that nobody has one for."""
        scope = current_scope()
        if scope is not None:
            return tensor_of(scope.emitter.full(type.shape, 0, type.dtype))
        here = self.type_here(type)
        return constant(np.zeros(here.static_shape, here.dtype.numpy))

    def type_here(self, type: TensorType) -> TensorType:
        """A type of the program with the sizes of the call; inside a trace they may be unknown."""
        if self.compiled is None:
            return type
        return type.with_shape(tuple(evaluate(n, self.compiled.sizes) for n in type.shape))

    def __call__(self, cts: Sequence[Tensor]) -> list[Tensor]:
        scope = current_scope()
        if scope is not None:
            values = [scope.lift(x) for x in (*self.residuals, *cts)]
            return [tensor_of(x) for x in inline(scope.emitter.builder, self.function, values)]
        if self.compiled is None:
            raise TraceError(
                "a pull-back made inside a trace was called after the trace had ended",
                user_location(),
            )
        arrays = [held.data for x in cts if (held := eager_value(x)) is not None]
        return [tensor_of_array(array) for array in self.compiled(arrays)]


def _unpickled(
    text: Text,
    residuals: Sequence[Tensor],
    wrt: Sequence[int],
    sizes: Sizes,
    options: CompileOptions,
) -> Backward:
    function, executable = function_of(text), compilation_of(text, options).executable
    arrays = [held.data for x in residuals if (held := eager_value(x)) is not None]
    compiled = CompiledPullBack(function, executable, arrays, sizes, options)
    return Backward(function, residuals, wrt, compiled)


def _run_compiled(staged: Staged, call: BoundCall) -> tuple[Program, list[Tensor], Backward]:
    fitting = staged.find(call)
    ready, program = fitting.ready, fitting.ready.program
    arrays = fitting.arrays(call.arrays)
    for i, leaf in enumerate(call.leaves):
        if not isinstance(leaf, Tensor):  # the caller may change an array of his own
            arrays[i] = arrays[i].copy()
    wrt = _float_inputs(program)
    outputs, pull = ready.forward(arrays, wrt)
    residuals = [tensor_of_array(array) for array in pull.residuals]
    leaves = ready.finish(list(map(variable, outputs)), fitting.found)
    return program, leaves, Backward(pull.function, residuals, wrt, pull)


def _run_nested(staged: Staged, call: BoundCall) -> tuple[Program, list[Tensor], Backward]:
    scope = current_scope()
    assert scope is not None
    call.check()
    program, values = stage_nested(staged.name, call, call.positions, staged.result_of)
    wrt = _float_inputs(program)
    split = split_vjp(program.function, wrt)
    bound = [*values, *(bound_value(scope, source) for source in program.captures)]
    outputs = inline(scope.emitter.builder, split.forward, bound)
    sources = {"argument": bound, "result": outputs}
    residuals = [tensor_of(sources[kind][i]) for kind, i in split.residuals]
    own = outputs[: len(program.function.returned)]
    carry_out(program, own)
    return program, leaves_of(program, own), Backward(split.backward, residuals, wrt, None)


def _float_inputs(program: Program) -> tuple[int, ...]:
    return tuple(i for i, entry in enumerate(program.inputs) if carries_cotangent(entry.type))


class Pullback:
    """From cotangents in the nest of a result to cotangents in the nests of the primals."""

    def __init__(self, program: Program, call: BoundCall, backward: Backward, result: Any) -> None:
        leaves, self._result_tree = flatten(result)
        types = [tensor_type(value) for value in program.function.returned]
        self._result_types = [as_tensor(leaf).type for leaf in leaves]
        self._other_types = types[len(leaves) :]
        """Of what carries no cotangent: ``aux``, and what is written back."""
        self._primal_tree = call.tree
        self._static = tuple((key, None) for key, _ in call.static)
        self._backward = backward

    def __call__(self, ct: Any) -> tuple[Any, ...]:
        """The cotangent of each primal. ArgumentError or ShapeError where ``ct`` does not fit."""
        leaves, tree = flatten(ct)
        if tree != self._result_tree:
            raise ArgumentError(
                f"the cotangent is a nest like the result, {self._result_tree}, not {tree}",
                user_location(),
            )
        paths = [expression("ct", path) for path in tree.paths()]
        cts = list(map(_fitting, leaves, self._result_types, paths))
        cts += map(self._backward.zeros, self._other_types)
        found: list[Tensor | None] = [None] * self._primal_tree.leaf_count
        for position, tensor in zip(self._backward.wrt, self._backward(cts), strict=True):
            found[position] = tensor
        args, _ = self._primal_tree.unflatten(found)
        return tuple(with_static(self._static, args, {})[0])


def _fitting(leaf: Any, type: TensorType, path: str) -> Tensor:
    """A cotangent leaf as a tensor of the type of its result."""
    tensor = as_tensor(leaf)
    if tensor.type.shape != type.shape:
        raise ShapeError(
            f"{path} is {short(tensor.type)}; the result is {short(type)}", user_location()
        )
    return cast(tensor, type.dtype)
