"""The interpreter: what a program of the tensor dialect means, op by op, in NumPy.

It is the reference of the project: native results are compared with it. So it stays plain: it
walks the operations in order, asks each for its NumPy rule, and forgets an array after its last
use. It does no optimisation and knows no op by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nets.errors import ArgumentError, DTypeError, NetsError, ShapeError, VerifyError
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.dims import ranges_of
from nets.ir.fixed_sizes import Sizes, bind, with_sizes
from nets.ir.sizes import Size
from nets.ir.types import TensorType, from_numpy
from nets.ops.definition.registry import Array, Run, definition_of

Observer = Callable[[Operation, Sequence[Array]], None]
"""Told each operation and its results, nested ones before the operation that holds them."""


def evaluate(
    function: Function,
    arrays: Sequence[Array],
    observe: Observer | None = None,
    sizes: Sizes | None = None,
) -> list[Array]:
    """The results of ``function`` for these arrays: fresh, contiguous arrays of its result types.

    A function of sizes that a call tells is evaluated as the one of the sizes of this call:
    ``sizes``, or what the shapes of the arrays tell.

    ArgumentError, ShapeError or DTypeError where the arrays do not fit the arguments. Errors of
    an operation, such as IndexOutOfBoundsError, carry its location.
    """
    checked = _check_arguments(function, arrays)
    if ranges_of(function):
        told = bind(function, [x.shape for x in checked]) if sizes is None else sizes
        function = with_sizes(function, told)
    results = _run(function.body, checked, observe)
    return [np.array(result, order="C") for result in results]


def evaluate_op(op: Operation, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results of one operation for these operands; they may share memory with them."""
    if op.regions:
        return _run_operation(op, arrays)
    try:
        definition = definition_of(op)
        if definition.rules.perform is not None:
            definition.rules.perform(arrays, **op.attributes)
            return ()
        return definition.evaluate(arrays, op.attributes)
    except NetsError as error:
        if error.location is None:
            error.location = op.location
        raise


class _Frame:
    """A block on its way: what is left to run, and the arrays that are still needed."""

    def __init__(self, block: Block, arrays: Sequence[Array]) -> None:
        self.pending: Iterator[Operation] = iter(block)
        self.arrays = dict(zip(block.arguments, arrays, strict=True))
        self.last_user = {value: op for op in block for value in op.operands}

    def operands(self, op: Operation) -> list[Array]:
        return [self.arrays[value] for value in op.operands]

    def finish(self, op: Operation, results: Sequence[Array]) -> None:
        """Keep the results somebody uses, drop the operands nobody uses any more."""
        for value, result in zip(op.results, results, strict=True):
            if value in self.last_user:
                self.arrays[value] = result
        for value in set(op.operands):
            if self.last_user[value] is op:
                del self.arrays[value]


def _run(block: Block, arrays: Sequence[Array], observe: Observer | None) -> tuple[Array, ...]:
    """What the terminator of ``block`` gives; regions run in frames, not by recursion."""
    frames = [_Frame(block, arrays)]
    entered: list[tuple[Operation, Run]] = []
    while True:
        op = next(frames[-1].pending, None)
        if op is None:
            raise VerifyError("a block without a terminator cannot be evaluated")
        operands = frames[-1].operands(op)
        if op.regions:
            entered.append((op, _begin(op, operands)))
            finished = _advance(entered, frames, None)
        elif op.has(Trait.TERMINATOR):
            frames.pop()
            if not frames:
                return tuple(operands)
            finished = _advance(entered, frames, operands)
        else:
            finished = op, evaluate_op(op, operands)
        if finished is not None:
            if observe is not None:
                observe(*finished)
            frames[-1].finish(*finished)


def _begin(op: Operation, operands: Sequence[Array]) -> Run:
    """The run of an operation with regions."""
    rule = definition_of(op).rules.run
    if rule is None:
        raise VerifyError(f"{op.name} has no reference to evaluate", op.location)
    return rule(op, operands)


def _advance(
    entered: list[tuple[Operation, Run]], frames: list[_Frame], given: Sequence[Array] | None
) -> tuple[Operation, Sequence[Array]] | None:
    """Let the innermost operation enter its next region, after one that gave ``given``; the
    operation and its results where it is done."""
    op, run = entered[-1]
    try:
        region, arrays = next(run) if given is None else run.send(given)
    except StopIteration as end:
        entered.pop()
        return op, end.value
    frames.append(_Frame(op.regions[region].block, arrays))
    return None


def _run_operation(op: Operation, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results of one operation with regions."""
    run, given = _begin(op, arrays), None
    while True:
        try:
            region, inner = next(run) if given is None else run.send(given)
        except StopIteration as end:
            return tuple(end.value)
        given = _run(op.regions[region].block, inner, None)


def _check_arguments(function: Function, arrays: Sequence[Array]) -> list[Array]:
    if len(arrays) != len(function.arguments):
        raise ArgumentError(
            f"{function.name} takes {len(function.arguments)} arrays, not {len(arrays)}"
        )
    pairs = zip(function.arguments, arrays, strict=True)
    return [_check_argument(argument, np.asarray(array)) for argument, array in pairs]


def _check_argument(argument: Value, array: Array) -> Array:
    name = argument.hint or f"argument {argument.index}"
    type = argument.type
    if not isinstance(type, TensorType):
        raise VerifyError(f"{name} is a {type}; only tensors can be evaluated")
    if from_numpy(array.dtype) != type.dtype:
        raise DTypeError(f"{name} is {type}; an array of {array.dtype} does not fit")
    pairs = zip(type.shape, array.shape, strict=False)
    fits = all(isinstance(dim, Size) or dim == size for dim, size in pairs)
    if array.ndim != type.rank or not fits:
        raise ShapeError(f"{name} is {type}; an array of shape {array.shape} does not fit")
    return array.astype(type.dtype.numpy, copy=False)
