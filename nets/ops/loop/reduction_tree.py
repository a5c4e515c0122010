"""The reduction tree: in which order the elements of a reduction meet, and by which combiners.

The tree is a constant of the dtype, so that the bits of a sum depend on no machine.
"""

from __future__ import annotations

from typing import Final

from nets.ir.types import DType

COMBINERS: Final = ("add", "mul", "max", "min", "and", "or")
"""Associative combiners of loop.reduce, loop.lane_reduce and loop.tree_combine."""

ARG_COMBINERS: Final = ("argmax", "argmin")
"""Combiners of loop.reduce that also give the position of the first extreme element."""

REDUCE_LANE_BYTES: Final = 256
REDUCE_BLOCK_STEPS: Final = 16
"""The reduction tree (numerics.md, 4): a block is REDUCE_BLOCK_STEPS rows of
REDUCE_LANE_BYTES / itemsize lanes. Element i of a block goes to lane i mod lanes, each lane adds
in order, lanes combine by halving (lane l with lane l + half), and so do the blocks."""


def reduce_lanes(dtype: DType) -> int:
    """Lanes of the reduction tree: a constant of the dtype, never of the machine."""
    return REDUCE_LANE_BYTES // max(dtype.itemsize, 4)


def reduce_block(dtype: DType) -> int:
    """Elements of one block of the reduction tree."""
    return REDUCE_BLOCK_STEPS * reduce_lanes(dtype)
