"""Sparse derivatives: patterns, Jacobians and Hessians by a few products each.

The pattern comes from the IR of the function and is exact (``nets.passes.sparsity``); its colouring
says with which seeds products of the derivative tell every element. All of it happens while a
function is traced: what runs are the products, and a gather that puts their elements in order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.errors import ArgumentError, GradientError
from nets.frontend.calls.staged import Staged, kept
from nets.frontend.calls.trace import trace
from nets.frontend.derived.sparse_matrix import SparseMatrix, SparsityPattern
from nets.frontend.tensor.functions import take
from nets.frontend.tensor.inner import tensor_of
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.state import bound_value
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.arguments import BoundCall, with_static
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.nested import stage_nested
from nets.frontend.tracing.program import Program
from nets.ir.clone import inline
from nets.ir.core import Function, Value
from nets.ir.location import user_location
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.passes.derivatives.batch import batch
from nets.passes.derivatives.forward import jvp
from nets.passes.derivatives.vjp import vjp
from nets.passes.simplify.sources import drop_unused
from nets.passes.sparsity.colouring import Colouring, coloured, star_coloured
from nets.passes.sparsity.diagonals import diagonals
from nets.passes.sparsity.pattern import Pattern, hessian_pattern, pattern


def sparsity(function: Callable[..., object], argnums: int = 0) -> Callable[..., SparsityPattern]:
    """The pattern of the derivative of a function's result by its argument ``argnums``.

    The new function takes what a call takes, also ``nets.spec`` in the place of arrays, and gives a
    ``SparsityPattern``; rows count the elements of the result, columns those of the argument, in
    row-major order. Nothing is computed: an element that is not in the pattern is zero whatever the
    values are, and one in it is other than zero but where terms cancel. Tensors and arrays that
    the function closes over may change, so what is multiplied by their zeros counts.

    ArgumentError where argument or result is not one array, DTypeError or GradientError where there
    is no derivative.
    """
    staged = function if isinstance(function, Staged) else trace(function)
    _check_number(argnums)

    def found(*args: Any, **kwargs: Any) -> SparsityPattern:
        lowered = staged.lower(*args, **kwargs)
        call = BoundCall(staged.binding, args, kwargs)
        names = lowered.in_tree.unflatten(range(lowered.in_tree.leaf_count))
        static = tuple((key, None) for key, _ in call.static)
        places = with_static(static, *names)[0]
        place = places[_number(argnums, len(places), staged.name)]
        if not isinstance(place, int):
            raise _not_one(staged.name, "argument")
        _check_result(lowered.program, staged.name)
        return _public(pattern(lowered.function, 0, place))

    return found


def sparse_jacobian(function: Callable[..., object], argnums: int = 0) -> SparseDerivative:
    """The Jacobian of a function of one array by its argument ``argnums``, as a ``SparseMatrix``.

    Rows count the elements of the result, columns those of the argument, in row-major order. What
    runs are as many products as the pattern has colours: by columns, or by rows where that takes
    fewer (Curtis, Powell and Reid, 1974).

    When called: ArgumentError where argument or result is not one array; DTypeError or
    GradientError where there is no derivative.
    """
    return _derivative(function, argnums, False)


def sparse_hessian(function: Callable[..., object], argnums: int = 0) -> SparseDerivative:
    """The Hessian of a function whose result is a scalar by its argument ``argnums``, as a
    ``SparseMatrix`` with both triangles.

    What runs are as many products of the Hessian as a star colouring of it has colours
    (Gebremedhin, Manne and Pothen, 2005). Errors as of ``sparse_jacobian``.
    """
    return _derivative(function, argnums, True)


def _derivative(function: Callable[..., object], argnums: int, is_second: bool) -> SparseDerivative:
    _check_number(argnums)
    key = ("sparse", argnums, is_second)
    return kept(function, key, lambda: SparseDerivative(function, argnums, is_second))


def _check_number(argnums: object) -> None:
    if not isinstance(argnums, int) or isinstance(argnums, bool):
        raise ArgumentError(f"argnums is an int here, not {argnums!r}", user_location())


def _number(argnums: int, count: int, name: str) -> int:
    if not -count <= argnums < count:
        raise ArgumentError(
            f"{name} has no argument {argnums}: it was called with {count} positional arguments",
            user_location(),
        )
    return argnums % count


def _not_one(name: str, what: str) -> ArgumentError:
    return ArgumentError(
        f"a pattern is of one array by one array; the {what} of {name} is a nest of them, or none",
        user_location(),
    )


def _check_result(program: Program, name: str) -> None:
    if len(program.tree.tokens) != 1:
        raise _not_one(name, "result")


def _public(found: Pattern) -> SparsityPattern:
    return SparsityPattern(found.rows, found.cols, found.shape)


class SparseDerivative(Staged):
    """What ``sparse_jacobian`` and ``sparse_hessian`` make of a function."""

    recompute = True
    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], argnums: int, is_second: bool) -> None:
        if isinstance(function, Staged):
            binding, options = function.binding, function.options
        else:
            binding, options = Binding(function), {}
        suffix = "sparse_hessian" if is_second else "sparse_jacobian"
        super().__init__(binding, f"{binding.name}_{suffix}", options)
        functools.update_wrapper(self, function, updated=())
        self.__name__ = self.name
        self.argnums = argnums
        self.is_second = is_second
        self.is_traced_anew = not isinstance(function, Staged) or function.is_traced_anew

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> SparseMatrix:
        program, arguments = self._staged(tuple(args), kwargs)
        function = program.function
        found = hessian_pattern(function, 0) if self.is_second else pattern(function, 0, 0)
        values = _by_diagonals(function, arguments, found, self.is_second)
        if values is None:
            colouring = star_coloured(found) if self.is_second else coloured(found)
            values = _with_seeds(function, arguments, colouring, self.is_second)
        return _public(found).matrix(values)

    def _staged(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[Program, list[Value]]:
        """The function of the one array, and the values of its arguments in the current trace."""
        call = BoundCall(self.binding, args, kwargs)
        call.check()
        position = _number(self.argnums, len(call.complete()[0]), self.name)
        program, values = stage_nested(
            self.name, call, [position], lambda a, k: self.__wrapped__(*a, **k)
        )
        if len(values) != 1:
            raise _not_one(self.name, "argument")
        _check_result(program, self.name)
        if program.updates or program.stored:
            raise GradientError(
                f"{self.name} is of a function that changes tensors outside of it", user_location()
            )
        scope = current_scope()
        assert scope is not None
        return program, [*values, *(bound_value(scope, place) for place in program.captures)]

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        raise GradientError(
            f"{self.name} was called with integer tensors that require gradients", user_location()
        )

    def __reduce__(self) -> Any:
        """Pickled by name where it has one of its own, else as the transform of its function."""
        from nets.frontend.calls.pickling import reduced

        return reduced(self, _derivative, self.argnums, self.is_second)

    def __repr__(self) -> str:
        return f"<function {self.name}>"


def _product(function: Function, is_second: bool, by_rows: bool) -> tuple[Function, int]:
    """(arguments…, cts of results where there is need of them, seed) → products of the derivative,
    and which of its results is that of the first result with the seed. By rows the seed is the ct
    of the first result, and those of the others follow."""
    if by_rows:
        return vjp(function, [0]), 0
    if is_second:
        return jvp(vjp(function, [0]), [0]), 1
    return jvp(function, [0]), len(function.returned)


def _by_diagonals(
    function: Function, arguments: Sequence[Value], found: Pattern, is_second: bool
) -> Tensor | None:
    """The elements of the pattern, in the trace that is open, where no seeds are needed."""
    scope = current_scope()
    assert scope is not None
    made = diagonals(vjp(function, [0]) if is_second else function, 0, found)
    if made is None:
        return None
    cts = _cts(scope.emitter, function) if is_second else []
    return tensor_of(inline(scope.emitter.builder, made, [*arguments, *cts])[0])


def _cts(emitter: Emitter, function: Function) -> list[Value]:
    """One for the first result, and zeros for the others."""
    types = map(tensor_type, function.returned)
    return [emitter.full(type.shape, int(i == 0), type.dtype) for i, type in enumerate(types)]


def _with_seeds(
    function: Function, arguments: Sequence[Value], colouring: Colouring, is_second: bool
) -> Tensor:
    """The elements of the pattern, in the trace that is open."""
    scope = current_scope()
    assert scope is not None
    emitter = scope.emitter
    by_rows = colouring.by_rows
    product, place = _product(function, is_second, by_rows)
    kind = tensor_type((function.returned if by_rows else function.arguments)[0])
    lanes = np.arange(colouring.count)[:, None] == colouring.colours
    lanes = lanes.astype(kind.dtype.numpy).reshape(colouring.count, *kind.static_shape)
    cts = _cts(emitter, function) if by_rows or is_second else []
    seeds = emitter.emit("constant", value=lanes)
    given = [*arguments, seeds, *cts[1:]] if by_rows else [*arguments, *cts, seeds]
    batched, _ = batch(product, [x is seeds for x in given], colouring.count)
    drop_unused(batched.body)
    made = tensor_of(inline(emitter.builder, batched, given)[place])
    size = math.prod(made.shape[1:])
    return take(made.reshape(-1), colouring.seed * size + colouring.place)
