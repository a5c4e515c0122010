"""Pieces: results that are put together from whole operands (pad, concatenate)."""

from __future__ import annotations

from nets.ir.core import Operation
from nets.ops.definition.registry import definition_of
from nets.ops.definition.rules import Pieces


def has_pieces(op: Operation) -> bool:
    """Whether the operation has a ``pieces`` rule, which tells the place of each operand."""
    return definition_of(op).rules.pieces is not None


def pieces_of(op: Operation) -> Pieces:
    """Which operands stand where in the result, and the one that is everywhere else."""
    types = [operand.type for operand in op.operands]
    return definition_of(op).pieces(*types, **op.attributes)
