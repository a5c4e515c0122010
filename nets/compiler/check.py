"""NETS_CHECK=1: every call runs native code and reference, and compares.

A program is compiled twice: as it is called, and without any pass on its tensor IR and with every
intermediate value as a result. Each operation is then evaluated by the reference on the operands
that native code computed, so that the first operation that is wrong by itself is named, and no
rounding further up can be mistaken for an error. What the passes did is held to the bits of the
program without them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.numpy.interpreter import evaluate_op
from nets.compiler.cost import flops
from nets.errors import CheckError
from nets.ir.builder import Builder
from nets.ir.clone import body_without_terminator, clone_into
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ops.definition.registry import definition_of, lookup
from nets.passes.simplify.effects import without_effects

if TYPE_CHECKING:
    from nets.compiler.compile import CompileOptions, Executable

Array = npt.NDArray[Any]

_ULPS: Final = 16
"""How far an inexact result may lie from the reference, in units in the last place: more than the
bounds of native math functions and of NumPy's together, less than any mistake in code."""


def checked(function: Function, options: CompileOptions) -> Executable:
    """A callable that raises CheckError where native code and reference disagree."""
    from nets.compiler.compile import Compilation

    native = Compilation(function, options).native
    steps = _Steps(function.name, without_effects(function).body, options)

    def run(arrays: Sequence[Array]) -> list[Array]:
        found = native(arrays)
        expected = steps.run(arrays)
        for value, right, result in zip(steps.returned, expected, found, strict=True):
            if not _same_bits(right, result):
                raise _changed_by_passes(function, options, value, right, result)
        return found

    return run


class _Steps:
    """A function's body, or a region of control flow, run with every intermediate value kept.

    The regions of a loop or branch are programs of their own: each is run as often as the
    operation says, on what native code computed so far, and checked every time. What the whole
    operation gives must have the bits of these runs.
    """

    def __init__(self, name: str, block: Block, options: CompileOptions) -> None:
        from nets.compiler.compile import Compilation

        self.function, self.returned = _with_every_value(name, block)
        options = dataclasses.replace(options, pipeline="none")
        self.native = Compilation(self.function, options).native
        self.regions = {
            op: [_Steps(f"{name}_{op.name}", region.block, options) for region in op.regions]
            for op in self.function.body
            if op.has(Trait.CONTROL)
        }

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """What the block gives; CheckError at the first operation that is wrong by itself."""
        values = [*self.function.arguments, *self.function.returned]
        known = dict(zip(values, [*arrays, *self.native(arrays)], strict=True))
        for op in body_without_terminator(self.function):
            if op in self.regions:
                self._check_control(op, known)
            else:
                _check_operation(op, known)
        return [known[value] for value in self.returned]

    def _check_control(self, op: Operation, known: dict[Value, Array]) -> None:
        run = definition_of(op).run(op, [known[operand] for operand in op.operands])
        given: Sequence[Array] | None = None
        while True:
            try:
                region, arrays = next(run) if given is None else run.send(given)
            except StopIteration as end:
                expected = end.value
                break
            given = self.regions[op][region].run([np.array(x, order="C") for x in arrays])
        for value, right in zip(op.results, expected, strict=True):
            if not _same_bits(right, known[value]):
                raise CheckError(
                    f"native code of {op.name} gives another result than its steps, though every "
                    f"operation in them is right by itself\n{_difference(right, known[value])}",
                    op.location,
                )


def _with_every_value(name: str, block: Block) -> tuple[Function, list[Value]]:
    """A function of the block that returns the results of all operations but constants; the
    values the block itself gives."""
    arguments = block.arguments
    copy = Function(name, [a.type for a in arguments], [a.hint for a in arguments])
    mapping: dict[Value, Value] = dict(zip(arguments, copy.arguments, strict=True))
    builder = Builder(copy.body)
    *ops, end = block
    clone_into(builder, ops, mapping)
    values = [result for op in copy.body if not op.has(Trait.CONSTANT) for result in op.results]
    builder.create(lookup("return"), values)
    return copy, [mapping[value] for value in end.operands]


def _check_operation(op: Operation, known: dict[Value, Array]) -> None:
    """CheckError if the native results of the operation are wrong for its native operands."""
    operands = [known[operand] for operand in op.operands]
    for value, expected in zip(op.results, evaluate_op(op, operands), strict=True):
        found = known.setdefault(value, expected)  # constants are taken from the reference
        if not _agree(op, operands, expected, found):
            raise CheckError(
                f"native code and reference disagree on {op.name}: {value.type}\n"
                + _difference(expected, found),
                op.location,
            )


def _changed_by_passes(
    function: Function, options: CompileOptions, value: Value, expected: Array, found: Array
) -> CheckError:
    return CheckError(
        f"the passes of pipeline {options.pipeline!r} changed the result of {function.name}, "
        f"though every operation is right by itself\n{_difference(expected, found)}",
        value.operation.location if value.operation is not None else None,
    )


def _difference(expected: Array, found: Array) -> str:
    """The first elements that differ."""
    differ = np.argwhere(~_equal(expected, found))
    lines = []
    for index in map(tuple, differ[:4]):
        place = f"[{', '.join(map(str, index))}]"
        lines.append(f"  at {place}: native {found[index]!r}, expected {expected[index]!r}")
    return "\n".join([*lines, f"  {len(differ)} of {expected.size} elements differ"])


# ------------------------------------------------------------------------------ comparing


def _equal(x: Array, y: Array) -> npt.NDArray[np.bool_]:
    """Where two arrays of one shape and dtype have the same bits; any NaN equals any NaN."""
    if x.dtype.kind != "f":
        return np.asarray(x == y)
    equal = (x == y) & (np.signbit(x) == np.signbit(y))
    return np.asarray(equal | (np.isnan(x) & np.isnan(y)))


def _same_bits(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and bool(np.all(_equal(x, y)))


def _agree(op: Operation, operands: Sequence[Array], expected: Array, found: Array) -> bool:
    """Whether the found result is one the numerics contract allows."""
    if _same_bits(expected, found):
        return True
    if definition_of(op).is_exact([operand.type for operand in op.operands]):
        return False
    with np.errstate(all="ignore"):
        if not op.has(Trait.REDUCTION | Trait.KERNEL):
            return bool(np.all(_close(expected, found, np.abs(expected), _ULPS)))
        # The terms of a sum may cancel, or overflow in one order only.
        sizes = [np.abs(x) if x.dtype.kind == "f" else x for x in operands]
        (magnitude,) = evaluate_op(op, sizes)
        close = _close(expected, found, magnitude, _ULPS + math.sqrt(flops(op) / expected.size))
        return bool(np.all(close | ~np.isfinite(magnitude)))


def _close(expected: Array, found: Array, magnitude: Array, ulps: float) -> npt.NDArray[np.bool_]:
    """Where an element is found within so many ulps of its magnitude; infinity is next to the
    largest number."""
    limits = np.finfo(expected.dtype)
    largest, smallest = float(limits.max), float(limits.smallest_subnormal)
    x, y, size = (
        np.clip(array.astype(np.float64), -largest, largest)
        for array in (expected, found, magnitude)
    )
    near = np.abs(x - y) <= ulps * (float(limits.eps) * size + smallest)
    return np.asarray(near | (np.isnan(x) & np.isnan(y)))
