"""Handover: what it costs threads that one of them needs what another one has just written.

To read a cache line that another CPU has written takes many times as long as to read one of the
CPU's own cache. Parallel loops and kernels are all split among threads in the same way, so a thread
mostly reads what it wrote itself. Between a parallel loop and a serial one that is not so: with two
threads, half of the lines must go from one CPU to the other. So a loop with little work may be
slower on two threads than on one, even if starting the threads costs nothing.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from nets.ir.core import Block, Function, Operation, Value
from nets.ir.estimates import bytes_about
from nets.ir.types import BufferType
from nets.machine.machine import Machine
from nets.ops.loop.accesses import is_access, memory_of
from nets.ops.loop.index_values import trips
from nets.ops.loop.kernels import is_work_for_threads


@dataclass(frozen=True, slots=True)
class _Touch:
    """An access to a buffer, inside ``loops``, or by a kernel that threads share."""

    loops: tuple[Operation, ...]
    by_kernel: bool
    writes: bool
    lines: int

    def is_shared(self, shared: Set[Operation]) -> bool:
        return self.by_kernel or not shared.isdisjoint(self.loops)


class Handovers:
    """Which parallel loops of a function touch what, and who else does."""

    def __init__(self, function: Function, machine: Machine) -> None:
        self._machine = machine
        self._touches: dict[Value, list[_Touch]] = {}
        self._memories: dict[Operation, dict[Value, None]] = {}
        pending: list[tuple[Block, tuple[Operation, ...], int]] = [(function.body, (), 1)]
        while pending:
            block, loops, times = pending.pop()
            for op in block:
                self._note(op, loops, times)
                inside = (*loops, op) if op.name == "loop.parallel" else loops
                pending += [(region.block, inside, times * trips(op)) for region in op.regions]

    def _note(self, op: Operation, loops: tuple[Operation, ...], times: int) -> None:
        buffers = [value for value in op.operands if isinstance(value.type, BufferType)]
        if any(isinstance(result.type, BufferType) for result in op.results):
            return
        by_kernel = is_work_for_threads(op, self._machine)
        for buffer in buffers:
            # What gives no result stores: into its last buffer.
            writes = not op.results and buffer is buffers[-1]
            memory = memory_of(buffer)
            at_once = 1 if is_access(op) else self._lines(buffer)
            lines = min(self._lines(memory), at_once * times)
            touch = _Touch(loops, by_kernel, writes, lines)
            self._touches.setdefault(memory, []).append(touch)
            for loop in loops:
                self._memories.setdefault(loop, {})[memory] = None

    def lines(self, loop: Operation, shared: Set[Operation]) -> int:
        """Cache lines of what the loop touches that serial code writes, or reads when it wrote."""
        total = 0
        for memory in self._memories.get(loop, ()):
            touches = self._touches[memory]
            own = [touch for touch in touches if loop in touch.loops]
            is_written = any(touch.writes for touch in own)
            others = [
                touch
                for touch in touches
                if (touch.writes or is_written) and not touch.is_shared({*shared, loop})
            ]
            if others:
                total += min(max(t.lines for t in own), max(t.lines for t in others))
        return total

    def _lines(self, buffer: Value) -> int:
        """The lines of the buffer that count: those that have not left the CPU's own cache."""
        assert isinstance(buffer.type, BufferType)
        machine = self._machine
        return min(bytes_about(buffer.type), machine.kept_bytes) // machine.line_bytes + 1
