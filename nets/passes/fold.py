"""fold: operations on constants become constants."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nets.errors import NetsError
from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait
from nets.ir.types import TensorType
from nets.ops.registry import OpDef, lookup
from nets.passes.manager import Options, register_pass
from nets.passes.patterns import constant

FOLDED_ELEMENTS: Final = 4096
"""Larger results are computed at run time, unless they are smaller than what they are made of."""


@register_pass("fold")
def fold(function: Function, options: Options) -> Function:
    """Evaluate operations whose operands are constants by the reference.

    Only exact ops, for the others may differ natively within their bounds and a fold must not
    show. A broadcast stays: it is smaller than its result. So does what fails, such as an index
    out of bounds: it fails when the program runs, if it runs.

    Requires: tensor IR.
    Ensures: the same results, bit for bit; what is no longer used is left for dce.
    """
    for op in function.walk():
        arrays = [array for operand in op.operands if (array := constant(operand)) is not None]
        if len(arrays) == len(op.operands) and _worth_folding(op):
            _fold(op, arrays)
    return function


def _worth_folding(op: Operation) -> bool:
    if not op.operands or op.regions or not op.has(Trait.PURE) or not op.has(Trait.EXACT):
        return False
    made = _elements([result.type for result in op.results])
    taken = _elements([operand.type for operand in op.operands])
    if op.has(Trait.INDEXING) and made > taken:
        return False
    return made <= FOLDED_ELEMENTS or made < taken


def _elements(types: list[Any]) -> int:
    """Elements of tensors of known shape; constants have one, and so has what is made of them."""
    return sum(type.size for type in types if isinstance(type, TensorType))


def _with_plain_nan(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """The array with every NaN the same: CPUs differ in the sign of the NaN they make."""
    if array.dtype.kind != "f":
        return array
    return np.where(np.isnan(array), array.dtype.type(np.nan), array)


def _fold(op: Operation, arrays: list[np.ndarray[Any, np.dtype[Any]]]) -> None:
    assert isinstance(op.definition, OpDef)
    try:
        results = op.definition.evaluate(arrays, op.attributes)
    except NetsError:
        return
    assert op.block is not None
    builder = Builder(op.block, op, op.location)
    if not op.has(Trait.INDEXING):
        results = tuple(_with_plain_nan(result) for result in results)
    made = [builder.create(lookup("constant"), (), {"value": result}) for result in results]
    op.replace_with([constant.result for constant in made])
