"""Control flow as basic blocks: loops, branches, checks, calls of kernels and of outlined loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from nets.backend.llvm.arithmetic import all_lanes, emit_arithmetic
from nets.backend.llvm.code import Code, Sink
from nets.backend.llvm.kernel_call import KERNELS, is_worth_a_fork, kernel_code
from nets.backend.llvm.kernel_code import KernelCode
from nets.backend.llvm.layout import Layout
from nets.backend.llvm.memory import MEMORY, buffer_base
from nets.backend.llvm.module import ModuleText
from nets.backend.llvm.outlined import OutlinedLoops, outer_values, size_of
from nets.backend.llvm.printing import emit_print
from nets.backend.llvm.reduce import call_tree_combine
from nets.backend.llvm.spelling import register
from nets.backend.llvm.transfers import emit_begin, emit_finish, emit_rank
from nets.errors import CompileError
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType
from nets.ops.definition.registry import lookup
from nets.ops.loop.transfers import BEGIN, FINISH, has_transfers

NEST_SIZE: Final = 250
"""Operations of loops that share a function. A function costs LLVM half a millisecond by itself,
but some of its passes take more than linear time."""

COMMIT_HOOK: Final = "nets_commit"
"""The symbol that compiled code calls before it writes to arguments."""

_END: Final = Operation(lookup("loop.return"), (), ())


@dataclass(slots=True)
class _Open:
    """A region being written: its operations to come, and what to write at its end."""

    operations: Iterator[Operation]
    finish: Callable[[Operation], None]


@dataclass(slots=True)
class _Loop:
    """A loop being written; its phis are known only at its end."""

    op: Operation
    number: int
    before: str
    counter: str
    initial: list[str]
    hi: str
    step: int
    guarded: bool
    phis: Sink = field(default_factory=list)


@dataclass(slots=True)
class FunctionEmitter:
    """Writes the operations of one LLVM function into ``code``.

    Loops to be written as functions of their own are appended to ``outlined``. ``parallel`` tells
    whether this is the body of a parallel loop already, whose inner parallel loops are serial.
    ``splits`` tells whether loops become functions: neighbouring ones together, up to a size.
    """

    module: ModuleText
    layout: Layout
    outlined: list[OutlinedLoops]
    parallel: bool = False
    thread: str = "0"
    splits: bool = False
    waiting: list[Operation] = field(default_factory=list)
    stack_bytes: int = 0
    code: Code = field(init=False)

    def __post_init__(self) -> None:
        self.code = Code(self.module)

    def block(self, block: Block) -> None:
        """Write a block and all nested ones."""
        self._write(_Open(iter(block), lambda end: self.call_waiting()))

    def outlined_loops(self, loops: OutlinedLoops) -> None:
        """Write outlined loops, or the range of a kernel or parallel loop they are called for."""
        if not loops.ranged:
            self._write(_Open(iter((*loops.ops, _END)), lambda end: None))
            return
        (op,) = loops.ops
        if op.regions:
            lo = self.code.name(op.operands[0])
            self._write(self.open_loop(op, "%begin", "%end", 1, lo))
        else:
            self.call_kernel(op, kernel_code(op, self.module.machine), "%begin", "%end")

    def text(self) -> str:
        """The body of the function."""
        if self.stack_bytes:
            self.code.entry.insert(0, f"%stack = alloca [{self.stack_bytes} x i8], align 64")
        return self.code.text()

    def _write(self, outermost: _Open) -> None:
        stack = [outermost]
        while stack:
            opened = self._advance(stack[-1])
            if opened is None:
                stack.pop()
            else:
                stack.append(opened)

    def _advance(self, region: _Open) -> _Open | None:
        """Write up to the next region, or to the end (None)."""
        for op in region.operations:
            if op.has(Trait.TERMINATOR):
                region.finish(op)
                return None
            opened = self._operation(op)
            if opened is not None:
                return opened
        raise CompileError("a region has no terminator")

    def _operation(self, op: Operation) -> _Open | None:
        if emit_arithmetic(self.code, op):
            return None
        if self.waiting and op.name not in ("loop.for", "loop.view", "loop.alloc", "loop.global"):
            self.call_waiting()
        if op.name in MEMORY:
            MEMORY[op.name](self.code, op)
        elif op.name in _STRUCTURE:
            return _STRUCTURE[op.name](self, op)
        else:
            raise CompileError(f"{op.name} has no LLVM form; vectorize replaces it")
        return None

    # Loops.
    def open_for(self, op: Operation) -> _Open | None:
        """loop.for; known trip counts of 0 and 1 take no loop."""
        code, (lo, hi, *carried) = self.code, op.operands
        iv, *inner = op.regions[0].block.arguments
        trips = _trips(code.name(lo), code.name(hi), op.attributes["step"])
        if trips == 0:
            self._rename(op.results, carried)
            return None
        if trips == 1:
            self._rename([iv, *inner], [lo, *carried])
            return _Open(
                iter(op.regions[0].block), lambda end: self._rename(op.results, end.operands)
            )
        if self.splits and self.code.depth == 0 and not (op.results or has_transfers(op)):
            self._wait(op)
            return None
        self.call_waiting()
        return self.open_loop(op, code.name(lo), code.name(hi), op.attributes["step"])

    def _rename(self, values: Sequence[Value], sources: Sequence[Value]) -> None:
        for value, source in zip(values, sources, strict=True):
            self.code.bind(value, self.code.name(source), self.code.depth_of(source))

    def open_parallel(self, op: Operation) -> _Open | None:
        """loop.parallel: a function of a range, or a plain loop inside another one."""
        lo, hi = (self.code.name(bound) for bound in op.operands)
        if self.parallel:
            return self.open_loop(op, lo, hi, 1)
        self.dispatch(op, hi if lo == "0" else self.code.value(f"sub i64 {hi}, {lo}"))
        return None

    def open_loop(self, op: Operation, lo: str, hi: str, step: int, start: str = "0") -> _Open:
        """The blocks of a loop up to its body; iv counts from ``lo + start``.

        The first test stands in front of the loop, if the bounds are not known to pass it.
        """
        code, number = self.code, self.code.fresh()
        iv, *inner = op.regions[0].block.arguments
        code.open_level()
        guarded = not _trips(lo, hi, step)
        if guarded:
            some = code.value(f"icmp slt i64 {lo}, {hi}")
            code.line(f"br i1 {some}, label %body{number}, label %exit{number}")
        else:
            code.line(f"br label %body{number}")
        before = code.label
        code.start(f"body{number}")
        counter = code.value(f"phi i64 [ {lo}, %{before} ], [ %next{number}, %latch{number} ]")
        initial = [code.name(value) for value in op.operands[2:]]
        loop = _Loop(op, number, before, counter, initial, hi, step, guarded)
        code.sink.append(loop.phis)
        for value in inner:
            code.bind(value, f"%v{code.fresh()}")
        code.bind(iv, counter if start == "0" else code.value(f"add i64 {counter}, {start}"))
        return _Open(iter(op.regions[0].block), lambda end: self._close_loop(loop, end))

    def _close_loop(self, loop: _Loop, end: Operation) -> None:
        code, number = self.code, loop.number
        yielded = [code.name(value) for value in end.operands]
        code.line(f"br label %latch{number}")
        code.start(f"latch{number}")
        code.line(f"%next{number} = add nsw i64 {loop.counter}, {loop.step}")
        again = code.value(f"icmp slt i64 %next{number}, {loop.hi}")
        code.line(f"br i1 {again}, label %body{number}, label %exit{number}")
        inner = loop.op.regions[0].block.arguments[1:]
        for value, first, last in zip(inner, loop.initial, yielded, strict=True):
            sources = f"[ {first}, %{loop.before} ], [ {last}, %latch{number} ]"
            loop.phis.append(f"{code.name(value)} = phi {register(value.type)} {sources}")
        code.close_level()
        code.start(f"exit{number}")
        for result, first, last in zip(loop.op.results, loop.initial, yielded, strict=True):
            code.bind(result, self._after(loop, register(result.type), first, last))

    def _after(self, loop: _Loop, type: str, first: str, last: str) -> str:
        """A carried value behind the loop, which may have had no iteration."""
        if not loop.guarded:
            return last
        return self.code.value(
            f"phi {type} [ {first}, %{loop.before} ], [ {last}, %latch{loop.number} ]"
        )

    # Branches.
    def open_if(self, op: Operation) -> _Open:
        """loop.if."""
        code, number = self.code, self.code.fresh()
        code.open_level()
        condition = code.name(op.operands[0])
        code.line(f"br i1 {condition}, label %then{number}, label %else{number}")
        code.start(f"then{number}")

        def finish(end: Operation) -> None:
            code.line(f"br label %else{number}")
            code.close_level()
            code.start(f"else{number}")

        return _Open(iter(op.regions[0].block), finish)

    def open_repeat(self, op: Operation) -> _Open:
        """loop.repeat."""
        code, number = self.code, self.code.fresh()
        code.open_level()
        code.line(f"br label %again{number}")
        code.start(f"again{number}")

        def finish(end: Operation) -> None:
            again = code.name(end.operands[0])
            code.line(f"br i1 {again}, label %again{number}, label %done{number}")
            code.close_level()
            code.start(f"done{number}")

        return _Open(iter(op.regions[0].block), finish)

    def check(self, op: Operation) -> None:
        """loop.check: on failure, the status becomes the least code, whichever thread is first."""
        code, number = self.code, self.code.fresh()
        passed = all_lanes(code, op.operands[0].type, code.name(op.operands[0]))
        code.line(f"br i1 {passed}, label %passed{number}, label %failed{number}")
        code.start(f"failed{number}")
        self._lower_status(op.attributes["code"], number)
        code.line(f"br label %passed{number}")
        code.start(f"passed{number}")

    def _lower_status(self, least: int, number: int) -> None:
        if self.module.machine.has_threads:
            text = f"%old{number} = atomicrmw umin ptr %status, i32 {least} monotonic"
            self.code.line(text)
            return
        old = self.code.value("load i32, ptr %status")
        new = self.code.call("i32", "llvm.umin.i32", f"i32 {old}, i32 {least}")
        self.code.line(f"store i32 {new}, ptr %status")

    def stop(self, op: Operation) -> None:
        """loop.stop: return the status, unless it is still the one of success."""
        code, number = self.code, self.code.fresh()
        status = code.value("load i32, ptr %status")
        passed = code.value(f"icmp eq i32 {status}, -1")
        code.line(f"br i1 {passed}, label %goes.on{number}, label %stops{number}")
        code.start(f"stops{number}")
        code.line(f"ret i32 {status}")
        code.start(f"goes.on{number}")

    def commit(self, op: Operation) -> None:
        """loop.commit: a call of the hook."""
        self.module.define(COMMIT_HOOK, lambda: f"declare void @{COMMIT_HOOK}()")
        self.code.line(f"call void @{COMMIT_HOOK}()")

    # Memory that is private to a thread.
    def scratch(self, op: Operation) -> None:
        """loop.scratch: on the stack, or in the thread's slice of the workspace."""
        code, layout, type = self.code, self.layout, op.result.type
        assert isinstance(type, BufferType)
        place = layout.scratch[op.result]
        if op.result in layout.stacked:
            assert isinstance(place, int)
            self.stack_bytes = max(self.stack_bytes, place + type.nbytes, 1)
            name = code.value(f"getelementptr i8, ptr %stack, i64 {place}", code.entry)
        else:
            name = self.slice_address(place)
        code.bind(op.result, name, 0)

    def slice_address(self, place: Dim) -> str:
        """An address in the thread's slice of the workspace."""
        code, layout = self.code, self.layout
        offset = code.size(layout.arena + place)
        if self.thread != "0":
            behind = code.value(f"mul i64 {self.thread}, {code.size(layout.slice)}", code.entry)
            offset = code.value(f"add i64 {behind}, {offset}", code.entry)
        return code.value(f"getelementptr i8, ptr %workspace, i64 {offset}", code.entry)

    # Calls.
    def _wait(self, op: Operation) -> None:
        """Let the loop join the function that the loops before it become, if they are small."""
        if self.waiting and size_of(op) + sum(map(size_of, self.waiting)) > NEST_SIZE:
            self.call_waiting()
        self.waiting.append(op)

    def call_waiting(self) -> None:
        """Call a function of the loops that wait."""
        if self.waiting:
            loops = self.outline(self.waiting, ranged=False)
            self.code.line(f"call void @{loops.symbol}(ptr {self.argument(loops)})")
            self.waiting = []

    def outline(self, ops: Sequence[Operation], *, ranged: bool) -> OutlinedLoops:
        """Note that the operations are to be written as a function."""
        names = {value: self.code.name(value) for value in outer_values(ops)}
        constants = {value: name for value, name in names.items() if not name.startswith("%")}
        passed = tuple(value for value in names if value not in constants)
        symbol = self.module.outlined_symbol()
        loops = OutlinedLoops(tuple(ops), symbol, passed, constants, ranged)
        self.outlined.append(loops)
        return loops

    def argument(self, loops: OutlinedLoops) -> str:
        """The address of their structure, filled; of the context, if that is all of it."""
        if not loops.passed:
            return "%context"
        code, type = self.code, loops.structure
        place = code.value(f"alloca {type}", code.entry)
        code.line(f"store ptr %context, ptr {place}")
        for number, value in enumerate(loops.passed, 1):
            slot = code.value(f"getelementptr {type}, ptr {place}, i64 0, i32 {number}")
            code.line(f"store {code.typed(value)}, ptr {slot}")
        return place

    def dispatch(self, op: Operation, count: str) -> None:
        """Run a function of a range over 0 … count: by the pool, if there is one."""
        loops = self.outline([op], ranged=True)
        arguments = f"ptr %pool, ptr @{loops.symbol}, ptr {self.argument(loops)}, i64 {count}"
        self.code.line(f"call void @{self.module.dispatch()}({arguments})")

    def kernel(self, op: Operation) -> None:
        """A kernel over all its panels, shared among threads if that is worth it."""
        kernel = kernel_code(op, self.module.machine)
        if not self.parallel and is_worth_a_fork(op, kernel, self.module.machine):
            self.dispatch(op, self.code.size(kernel.panels))
        elif kernel.panels != 0:
            self.call_kernel(op, kernel, "0", self.code.size(kernel.panels))

    def call_kernel(self, op: Operation, kernel: KernelCode, begin: str, end: str) -> None:
        """Call the kernel for some of its panels."""
        for symbol, text in kernel.texts.items():
            self.module.add(symbol, text)
        buffers = [f"ptr {buffer_base(self.code, buffer)}" for buffer in op.operands]
        place = self.slice_address(self.layout.panels)
        told = [f"i64 {self.code.size(size)}" for size in kernel.sizes]
        arguments = ", ".join([*buffers, f"ptr {place}", f"i64 {begin}", f"i64 {end}", *told])
        self.code.line(f"call void @{kernel.symbol}({arguments})")

    def nothing(self, op: Operation) -> None:
        """Buffers get their address where they are used."""

    def tree_combine(self, op: Operation) -> None:
        call_tree_combine(self.code, op)

    def print(self, op: Operation) -> None:
        emit_print(self.code, op)

    def rank(self, op: Operation) -> None:
        emit_rank(self.code, op)

    def transfer_begin(self, op: Operation) -> None:
        emit_begin(self.code, op)

    def transfer_finish(self, op: Operation) -> None:
        emit_finish(self.code, op)


def _trips(lo: str, hi: str, step: int) -> int | None:
    """Iterations of a loop with constant bounds; None where they are not."""
    if lo.startswith("%") or hi.startswith("%"):
        return None
    return max(0, -((int(lo) - int(hi)) // step))


_STRUCTURE: Final[dict[str, Callable[[FunctionEmitter, Operation], _Open | None]]] = {
    "loop.for": FunctionEmitter.open_for,
    "loop.parallel": FunctionEmitter.open_parallel,
    "loop.if": FunctionEmitter.open_if,
    "loop.repeat": FunctionEmitter.open_repeat,
    "loop.check": FunctionEmitter.check,
    "loop.stop": FunctionEmitter.stop,
    "loop.commit": FunctionEmitter.commit,
    "loop.scratch": FunctionEmitter.scratch,
    "loop.alloc": FunctionEmitter.nothing,
    "loop.global": FunctionEmitter.nothing,
    "loop.view": FunctionEmitter.nothing,
    **dict.fromkeys(KERNELS, FunctionEmitter.kernel),
    "loop.tree_combine": FunctionEmitter.tree_combine,
    "loop.print": FunctionEmitter.print,
    "loop.rank": FunctionEmitter.rank,
    BEGIN: FunctionEmitter.transfer_begin,
    FINISH: FunctionEmitter.transfer_finish,
}
