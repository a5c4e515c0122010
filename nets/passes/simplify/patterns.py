"""What the patterns of canonicalize are written with: rules, and questions about values.

A rule says what value one op's result may be replaced by. It is exact: the value has the same
bits for every input, NaN, infinities and signed zeros included (the sign and payload of a NaN
count for nothing), and where it is not, its docstring says within which bound it stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nets.ir.core import Operation, Trait, Value
from nets.ir.dense import is_filled
from nets.ir.rewriter import Pattern, Rewriter
from nets.ir.sizes import Size
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.forms import is_static

Rule = Callable[[Operation, GraphEmitter], Value | None]
"""The value to use instead of the operation's only result; None where the rule does not fit."""

RULES: dict[str, list[Pattern]] = {}
"""The rules by the op whose result they replace."""

SIZE_OPERATIONS: Final = 16
"""Numbers computed of sizes by more operations are not told from others."""

FILLED_ELEMENTS: Final = 4096
"""Larger constant arrays are not searched for being filled with one number."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Decorator: enter a rule for the ops of these names."""

    def enter(run: Rule) -> Rule:
        for name in names:
            RULES.setdefault(name, []).append(pattern_of(run))
        return run

    return enter


def pattern_of(run: Rule) -> Pattern:
    """The rewriter's form of a rule."""

    def apply(op: Operation, rewriter: Rewriter) -> bool:
        value = run(op, GraphEmitter(rewriter.builder))
        if value is None:
            return False
        makers = [operand.operation for operand in op.operands]
        rewriter.replace(op, (value,))
        for maker in makers:
            if maker is not None:
                rewriter.erase_unused(maker)
        return True

    return apply


def has_fixed_sizes(*ops: Operation) -> bool:
    """Whether no type and no attribute of the operations has a size that only a call tells."""
    return all(map(_has_fixed_sizes, ops))


def _has_fixed_sizes(op: Operation) -> bool:
    if not is_static(op):
        return False
    lists = [x if isinstance(x, tuple) else (x,) for x in op.attributes.values()]
    return not any(isinstance(x, Size) for found in lists for x in found)


def made_by(value: Value, *names: str) -> Operation | None:
    """The operation that made the value where it is one of these ops."""
    op = value.operation
    return op if op is not None and op.definition.name in names else None


def constant(value: Value) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The array of a constant."""
    op = value.operation
    if op is None or not op.has(Trait.CONSTANT):
        return None
    array = op.attributes.get("value")
    return array if isinstance(array, np.ndarray) else None


def filling(value: Value) -> Any:
    """The NumPy scalar all elements of a constant are, through broadcasts; None else."""
    while (op := made_by(value, "broadcast", "reshape")) is not None:
        (value,) = op.operands
    array = constant(value)
    if array is None or not 0 < array.size <= FILLED_ELEMENTS or not is_filled(array):
        return None
    return array.reshape(-1)[0]


def repeated_number(value: Value) -> Value | None:
    """The number that a broadcast repeats; None for all other values."""
    op = made_by(value, "broadcast")
    return op.operands[0] if op is not None and tensor_type(op.operands[0]).shape == () else None


def is_of_sizes(value: Value) -> bool:
    """Whether the value is a number computed of sizes that a call tells and of constants, perhaps
    broadcast."""
    while (op := made_by(value, "broadcast", "reshape")) is not None:
        (value,) = op.operands
    pending, seen, sizes = [value], set[Value](), 0
    while pending and len(seen) < SIZE_OPERATIONS:
        value = pending.pop()
        op = value.operation
        if value in seen:
            continue
        seen.add(value)
        if op is None or tensor_type(value).shape != () or not (op.operands or _tells(op)):
            return False
        sizes += op.definition.name == "size_of"
        pending += op.operands
    return not pending and sizes > 0


def _tells(op: Operation) -> bool:
    return op.has(Trait.CONSTANT) or op.definition.name == "size_of"


def is_constant(value: Value) -> bool:
    """Whether the value is a constant, perhaps broadcast."""
    while (op := made_by(value, "broadcast", "reshape")) is not None:
        (value,) = op.operands
    return constant(value) is not None
