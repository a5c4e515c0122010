"""fold: operations on constants become constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nets.errors import NetsError
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.rewriter import Rewriter, rewrite
from nets.ir.types import TensorType
from nets.ops.definition.registry import Array, definition_of, lookup
from nets.passes.forms import TENSOR, is_static
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.patterns import constant, has_fixed_sizes

FOLDED_ELEMENTS: Final = 4096
"""Larger results are computed at run time, unless they are smaller than what they are made of."""


@register_pass("fold", requires=(TENSOR,))
def fold(function: Function, options: Options) -> Function:
    """Evaluate operations whose operands are constants by the reference.

    Only exact ops, for the others may differ natively within their bounds and a fold must not
    show. A broadcast stays: it is smaller than its result. So does what fails, such as an index
    out of bounds: it fails when the program runs, if it runs; and what makes a NaN, for CPUs differ
    in its sign; and a system whose failure is to be told. ``canonicalize`` folds as well, for rules
    and folds make room for each other.

    Requires: tensor IR.
    Ensures: the same results, bit for bit; what is no longer used is left for dce.
    """
    rewrite(function, {}, (fold_operation,))
    return function


def fold_operation(op: Operation, rewriter: Rewriter) -> bool:
    """The pattern: replace one operation by constants."""
    arrays = []
    for operand in op.operands:
        array = constant(operand)
        if array is None:
            return False
        arrays.append(array)
    results = _results(op, arrays) if _is_worth_folding(op) else None
    if results is None:
        return False
    made = [rewriter.builder.create(lookup("constant"), (), {"value": r}) for r in results]
    rewriter.replace(op, [op.result for op in made])
    return True


def _is_worth_folding(op: Operation) -> bool:
    if not op.operands or op.regions or not is_static(op):
        return False
    if not op.has(Trait.PURE) or not op.has(Trait.EXACT):
        return False
    if not has_fixed_sizes(op):
        return False
    made, taken = _elements(op.results), _elements(op.operands)
    if op.has(Trait.INDEXING) and made > taken:
        return False
    return made <= FOLDED_ELEMENTS or made < taken


def _elements(values: Sequence[Value]) -> int:
    """Elements of tensors of known shape; constants have one, and so has what is made of them."""
    return sum(value.type.size for value in values if isinstance(value.type, TensorType))


def _results(op: Operation, arrays: list[Array]) -> list[Array] | None:
    """What the reference gives; None where it fails, or makes a NaN, whose sign is up to the CPU
    that the code will run on."""
    try:
        results = definition_of(op).evaluate(arrays, op.attributes)
    except NetsError:
        return None
    if op.attributes.get("refuses") and not all(np.isfinite(result).all() for result in results):
        return None
    is_made = not op.has(Trait.INDEXING) and any(map(_has_nan, results))
    return None if is_made else list(results)


def _has_nan(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())
