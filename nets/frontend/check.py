"""NETS_CHECK=1: every call runs native code and reference, and compares.

Where the results differ, the program is compiled a second time with every intermediate value as a
result; each operation is then evaluated by the reference on the operands that native code
computed, so that the first operation that is wrong by itself is found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.numpy.interpreter import evaluate, evaluate_op
from nets.errors import CheckError
from nets.ir.builder import Builder
from nets.ir.clone import body_without_terminator, clone_into
from nets.ir.core import Function, Operation, Trait, Value
from nets.ops.registry import OpDef, lookup

if TYPE_CHECKING:
    from nets.frontend.compile import CompileOptions, Executable

Array = npt.NDArray[Any]

_ULPS: Final = 64
"""How far, in units of the largest result element, inexact results may lie apart per operation.
Wide enough for the rounding of a long sum, narrow enough for any mistake in code."""


def checked(function: Function, options: CompileOptions) -> Executable:
    """A callable that raises CheckError where native code and reference disagree."""
    from nets.frontend.compile import Compilation

    native = Compilation(function, options).native

    def run(arrays: Sequence[Array]) -> list[Array]:
        found = native(arrays)
        expected = evaluate(function, arrays)
        if not all(map(_agree_inexactly, expected, found, [len(function.body)] * len(found))):
            raise _first_difference(function, options, arrays)
        return found

    return run


def _agree_inexactly(expected: Array, found: Array, operations: int) -> bool:
    """Whether rounding in that many operations may explain the difference."""
    if not np.issubdtype(expected.dtype, np.floating):
        return bool(np.array_equal(expected, found))
    with np.errstate(all="ignore"):
        finite = np.isfinite(expected)
        same_rest = np.array_equal(expected[~finite], found[~finite], equal_nan=True)
        scale = np.max(np.abs(expected), initial=0.0, where=finite)
        gap = np.max(np.abs(expected - found), initial=0.0, where=finite)
    return bool(same_rest and gap <= _ULPS * operations * np.finfo(expected.dtype).eps * scale)


def _agree(op: Operation, expected: Array, found: Array) -> bool:
    definition = op.definition
    types = [operand.type for operand in op.operands]
    if isinstance(definition, OpDef) and definition.is_exact(types):
        return bool(np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"))
    return _agree_inexactly(expected, found, 1)


def _first_difference(
    function: Function, options: CompileOptions, arrays: Sequence[Array]
) -> CheckError:
    """The error that names the first operation whose native result is wrong."""
    from nets.frontend.compile import Compilation

    open_function, values = _with_every_value(function)
    options = dataclasses.replace(options, pipeline="none")
    results = Compilation(open_function, options).native(arrays)
    known = dict(zip(open_function.arguments, arrays, strict=True))
    known |= dict(zip(values, results, strict=True))
    for op in body_without_terminator(open_function):
        operands = [_value(known, operand) for operand in op.operands]
        for value, expected in zip(op.results, evaluate_op(op, operands), strict=True):
            if value in known and not _agree(op, expected, known[value]):
                return CheckError(
                    f"native code and reference disagree on {op.name}: {value.type}\n"
                    f"native:    {known[value].ravel()[:8]}\nreference: {expected.ravel()[:8]}",
                    op.location,
                )
    return CheckError(
        f"native code and reference disagree on {function.name}, though on no operation alone: "
        "the passes of its pipeline changed the result"
    )


def _value(known: dict[Value, Array], value: Value) -> Array:
    if value not in known:
        op = value.operation
        assert op is not None
        known[value] = evaluate_op(op, ())[0]  # a constant
    return known[value]


def _with_every_value(function: Function) -> tuple[Function, list[Value]]:
    """A copy that returns the results of all operations but constants, and those values."""
    arguments = function.arguments
    copy = Function(function.name, [a.type for a in arguments], [a.hint for a in arguments])
    mapping: dict[Value, Value] = dict(zip(arguments, copy.arguments, strict=True))
    builder = Builder(copy.body)
    clone_into(builder, body_without_terminator(function), mapping)
    values = [result for op in copy.body if not op.has(Trait.CONSTANT) for result in op.results]
    builder.create(lookup("return"), values)
    return copy, values
