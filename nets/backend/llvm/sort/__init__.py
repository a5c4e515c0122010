"""Sorting: the text of a kernel for rows of elements, or for the positions that sort them.

Short rows go side by side through the lanes of vectors (``lanes``, ``network``), long ones digit by
digit (``radix``). What equal elements are is told by the keys (``keys``); they keep their order,
so that the result is the same whichever way it was made.
"""

from __future__ import annotations

from functools import lru_cache

from nets.backend.llvm.kernel_code import KernelCode
from nets.backend.llvm.sort.keys import Keys
from nets.backend.llvm.sort.lanes import Lanes
from nets.backend.llvm.sort.radix import Radix
from nets.ir.sizes import Dim
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.loop.sorting import goes_in_lanes, needs_pairs

__all__ = ["sort_code"]


@lru_cache(maxsize=256)
def sort_code(
    dtype: DType, rows: Dim, n: Dim, descending: bool, positions: bool, machine: Machine
) -> KernelCode:
    """The code that sorts each of so many rows of n elements; its operands are those of
    ``loop.sort``."""
    keys = Keys(dtype, descending)
    if isinstance(n, int) and goes_in_lanes(rows, n):
        lanes = Lanes(keys, n, positions, machine)
        panels = (rows + (lanes.lanes - 1)) // lanes.lanes
        return KernelCode(lanes.name, lanes.write(), lanes.workspace_bytes, panels, (rows, n))
    radix = Radix(keys, positions, positions and needs_pairs(dtype, n))
    return KernelCode(radix.name, radix.write(), radix.workspace_bytes, rows, (rows, n))
