"""Pieces: results that are put together from whole operands (pad, concatenate)."""

from __future__ import annotations

from nets.ir.core import Operation
from nets.ops.definition.registry import OpDef
from nets.ops.tensor.slicing import Pieces


def has_pieces(op: Operation) -> bool:
    """Whether the operation has a ``pieces`` rule, which tells the place of each operand."""
    return isinstance(op.definition, OpDef) and "pieces" in op.definition.rules


def pieces_of(op: Operation) -> Pieces:
    """Which operands stand where in the result, and the one that is everywhere else."""
    assert isinstance(op.definition, OpDef)
    types = [operand.type for operand in op.operands]
    pieces: Pieces = op.definition.rules["pieces"](*types, **op.attributes)
    return pieces
