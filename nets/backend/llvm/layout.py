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
from nets.ir.estimates import room_for_either
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType
from nets.machine.machine import ALIGNMENT, Machine


def aligned(size: Dim) -> Dim:
    """The size rounded up so that what comes behind is aligned."""
    return (size + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the workspace, in bytes; thread t's slice is at ``arena + t · slice``.

    ``scratch`` holds the place of each scratch buffer in the slice, or in the stack frame for
    those in ``stacked``; ``panels`` is the place of the kernels' panels in a slice.
    """

    arena: Dim
    slice: Dim
    scratch: dict[Value, Dim]
    stacked: frozenset[Value]
    panels: Dim

    @staticmethod
    def of(function: Function, machine: Machine) -> Layout:
        """CompileError where plan_memory has not run."""
        scratch, stacked, end = _scratch_places(function, machine.stack_bytes)
        kernels = [op for op in function.walk() if op.name in KERNELS]
        panels = aligned(
            max((kernel_code(op, machine).workspace_bytes for op in kernels), default=0)
        )
        return Layout(_arena_bytes(function), end + panels, scratch, stacked, end)


def workspace_bytes(function: Function, machine: Machine, threads: int) -> Dim:
    """Size of the workspace of a call that may use that many threads."""
    layout = Layout.of(function, machine)
    return layout.arena + threads * layout.slice


def _arena_bytes(function: Function) -> Dim:
    planned: Dim = function.attributes.get("workspace_bytes", 0)
    end = 0
    for op in function.walk():
        if op.name == "loop.alloc":
            offset = op.attributes["offset"]
            if offset == -1:
                raise CompileError("a buffer has no place in the arena; run plan_memory first")
            behind = offset + bytes_of(op.result)
            end = max(end, behind) if isinstance(behind, int) else end
    return planned if isinstance(planned, Size) else aligned(end)


def _scratch_places(
    function: Function, most: int
) -> tuple[dict[Value, Dim], frozenset[Value], Dim]:
    """Places of the scratch buffers, which ones are on the stack, and where the slice ends.

    A nest of loops takes so many bytes of the stack at most.
    """
    places: dict[Value, Dim] = {}
    stacked: set[Value] = set()
    # What is made at the top lives as long as the call; each loop nest begins behind that.
    starts: dict[bool, Dim] = {True: 0, False: 0}
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
            slice_end = room_for_either(slice_end, end)
    return places, frozenset(stacked), slice_end


def _place(
    places: dict[Value, Dim],
    stacked: set[Value],
    ops: Sequence[Operation],
    starts: dict[bool, Dim],
    most: int,
) -> tuple[bool, Dim]:
    """Place scratch buffers one behind the other: whether they are small, and where they end."""
    total = sum(aligned(bytes_of(op.result)) for op in ops)
    is_small = isinstance(total, int) and total <= most
    end = starts[is_small]
    for op in ops:
        places[op.result] = end
        end = end + aligned(bytes_of(op.result))
    if is_small:
        stacked.update(op.result for op in ops)
    return is_small, end


def bytes_of(buffer: Value) -> Dim:
    """The bytes of a buffer."""
    assert isinstance(buffer.type, BufferType)
    return buffer.type.elements * buffer.type.dtype.itemsize
