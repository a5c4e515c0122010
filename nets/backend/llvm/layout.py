"""Layout of a call's workspace: the arena, then a slice for each thread.

The arena is what plan_memory laid out. Small scratch buffers live on the stack; large ones lie in
the slice, and so do the panels that kernels pack. The nests at the top of a function run one
after the other, so their scratch buffers share one place, on the stack and in the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nets.backend.llvm.kernel_call import KERNELS, kernel_code
from nets.errors import CompileError
from nets.ir.core import Function, Operation, Value
from nets.ir.types import BufferType
from nets.machine.machine import ALIGNMENT, Machine


def aligned(size: int) -> int:
    """The size rounded up so that what comes behind is aligned."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the workspace, in bytes; thread t's slice is at ``arena + t · slice``.

    ``scratch`` holds the place of each scratch buffer in the slice, or in the stack frame for
    those in ``stacked``; ``panels`` is the place of the kernels' panels in a slice.
    """

    arena: int
    slice: int
    scratch: dict[Value, int]
    stacked: frozenset[Value]
    panels: int

    @staticmethod
    def of(function: Function, machine: Machine) -> Layout:
        """CompileError where plan_memory has not run."""
        scratch, stacked, end = _scratch_places(function, machine.stack_bytes)
        kernels = [op for op in function.walk() if op.name in KERNELS]
        panels = max(
            (aligned(kernel_code(op, machine).workspace_bytes) for op in kernels), default=0
        )
        return Layout(_arena_bytes(function), end + panels, scratch, stacked, end)


def workspace_bytes(function: Function, machine: Machine, threads: int) -> int:
    """Size of the workspace of a call that may use that many threads."""
    layout = Layout.of(function, machine)
    return layout.arena + threads * layout.slice


def _arena_bytes(function: Function) -> int:
    end = 0
    for op in function.walk():
        if op.name == "loop.alloc":
            offset = op.attributes["offset"]
            if offset < 0:
                raise CompileError("a buffer has no place in the arena; run plan_memory first")
            end = max(end, offset + _nbytes(op.result))
    return aligned(end)


def _scratch_places(
    function: Function, most: int
) -> tuple[dict[Value, int], frozenset[Value], int]:
    """Places of the scratch buffers, which ones are on the stack, and where the slice ends.

    A nest of loops takes so many bytes of the stack at most.
    """
    places: dict[Value, int] = {}
    stacked: set[Value] = set()
    # What is made at the top lives as long as the call; each loop nest begins behind that.
    starts = {True: 0, False: 0}
    top = [op for op in function.body if op.name == "loop.scratch"]
    is_small, end = _place(places, stacked, top, starts, most)
    starts[is_small] = end
    slice_end = starts[False]
    for loop in function.body:
        if not loop.regions:
            continue
        inner = [op for op in loop.walk_regions() if op.name == "loop.scratch"]
        is_small, end = _place(places, stacked, inner, starts, most)
        if not is_small:
            slice_end = max(slice_end, end)
    return places, frozenset(stacked), slice_end


def _place(
    places: dict[Value, int],
    stacked: set[Value],
    ops: Sequence[Operation],
    starts: dict[bool, int],
    most: int,
) -> tuple[bool, int]:
    """Place scratch buffers one behind the other: whether they are small, and where they end."""
    is_small = sum(aligned(_nbytes(op.result)) for op in ops) <= most
    end = starts[is_small]
    for op in ops:
        places[op.result] = end
        end += aligned(_nbytes(op.result))
    if is_small:
        stacked.update(op.result for op in ops)
    return is_small, end


def _nbytes(buffer: Value) -> int:
    assert isinstance(buffer.type, BufferType)
    return buffer.type.nbytes
