"""LLVM IR text of a function of the loop dialect.

The entry point is ``i32 @symbol(ptr buffers, ptr workspace, ptr pool)``: an array of addresses
(inputs, then outputs, then that of the sizes of the call, if it tells any: ``sizes.py``, then that
of the communicator, if the function talks to other ranks: ``transfers.py``), the workspace
(``layout.py``), and a thread pool or null. It runs the top-level operations in order. In all but
small programs the loop nests at the top become functions of their own, which keeps the time LLVM
takes linear in the size of the program; the body of a parallel loop becomes a function of a range
of iterations, which the pool may call from its threads.

All these functions get the address of one *context*: buffers, workspace, pool, and the status,
where failed checks leave the lowest code. A function that needs more of its surroundings gets a
structure with that address and the values.
"""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.code import Code
from nets.backend.llvm.constants import LargeData
from nets.backend.llvm.layout import Layout, workspace_bytes
from nets.backend.llvm.module import ATTRIBUTES, ModuleText
from nets.backend.llvm.outlined import OutlinedLoops, size_of
from nets.backend.llvm.spelling import register
from nets.backend.llvm.structure import NEST_SIZE, FunctionEmitter
from nets.ir.core import Function
from nets.ir.dims import ranges_of
from nets.machine.machine import Machine
from nets.ops.loop.transfers import BEGIN

__all__ = ["emit_module", "workspace_bytes"]

_ENTRY: Final = """\
define i32 @{symbol}(ptr %buffers, ptr %workspace, ptr %pool) {attributes} {{
entry:
  %context = alloca {{ ptr, ptr, ptr, i32 }}, align 8
  store ptr %buffers, ptr %context
  %context.1 = getelementptr i8, ptr %context, i64 {places[0]}
  store ptr %workspace, ptr %context.1
  %context.2 = getelementptr i8, ptr %context, i64 {places[1]}
  store ptr %pool, ptr %context.2
  %status = getelementptr i8, ptr %context, i64 {places[2]}
  store i32 -1, ptr %status
{body}
  %code = load i32, ptr %status
  %passed = icmp eq i32 %code, -1
  %result = select i1 %passed, i32 0, i32 %code
  ret i32 %result
}}"""
"""The status before any check fails, −1, is above every code."""

_NEST: Final = """\
define internal void @{symbol}(ptr %{argument}{range}) {attributes} {{
entry:
{context}  %buffers = load ptr, ptr %context
  %context.1 = getelementptr i8, ptr %context, i64 {places[0]}
  %workspace = load ptr, ptr %context.1
  %context.2 = getelementptr i8, ptr %context, i64 {places[1]}
  %pool = load ptr, ptr %context.2
  %status = getelementptr i8, ptr %context, i64 {places[2]}
{body}
  ret void
}}"""


def emit_module(
    function: Function,
    symbol: str,
    machine: Machine,
    first_site: int = 0,
    large: LargeData | None = None,
    numerics: str = "strict",
) -> str:
    """The module of a loop function, with the entry point ``symbol``.

    Its prints are numbered in order from ``first_site`` on. Large constants get stand-ins in
    ``large``, where that is given, for ``linked_object_code``. ``numerics`` is the profile of
    kernels and math functions. CompileError where vectorize or
    plan_memory has not prepared the function.
    """
    is_small = "minsize" in function.attributes
    dims = [*ranges_of(function)], len(function.arguments)
    module = ModuleText(symbol, machine, large, numerics, is_small=is_small, dims=dims)
    prints = [op for op in function.walk() if op.name == "loop.print"]
    module.sites.update((op, number) for number, op in enumerate(prints, first_site))
    begins = (op for op in function.walk() if op.name == BEGIN)
    module.tickets.update((op, number) for number, op in enumerate(begins))
    layout = Layout.of(function, machine)
    outlined: list[OutlinedLoops] = []
    splits = sum(map(size_of, function.body)) > NEST_SIZE
    entry = FunctionEmitter(module, layout, outlined, splits=splits)
    entry.block(function.body)
    body = entry.text()
    places = _places(machine)
    module.add(
        symbol, _ENTRY.format(symbol=symbol, attributes=ATTRIBUTES, places=places, body=body)
    )
    while outlined:
        loops = outlined.pop()
        module.add(loops.symbol, _outlined_text(loops, module, layout, outlined))
    return module.text()


def _places(machine: Machine) -> list[int]:
    """Bytes from the begin of a context to its workspace, its pool and its status."""
    return [number * machine.target.pointer_bytes for number in (1, 2, 3)]


def _outlined_text(
    loops: OutlinedLoops, module: ModuleText, layout: Layout, outlined: list[OutlinedLoops]
) -> str:
    """The function of outlined loops."""
    ranged = loops.ranged
    emitter = FunctionEmitter(module, layout, outlined, ranged, "%thread64" if ranged else "0")
    code = emitter.code
    for value, constant in loops.constants.items():
        code.bind(value, constant, 0)
    if ranged:
        code.entry.append("%thread64 = zext i32 %thread to i64")
    _receive(code, loops)
    emitter.outlined_loops(loops)
    return _NEST.format(
        symbol=loops.symbol,
        argument="values" if loops.passed else "context",
        range=", i64 %begin, i64 %end, i32 %thread" if ranged else "",
        attributes=ATTRIBUTES,
        places=_places(module.machine),
        context="  %context = load ptr, ptr %values\n" if loops.passed else "",
        body=emitter.text(),
    )


def _receive(code: Code, loops: OutlinedLoops) -> None:
    """Load the values that came in the structure of the loops."""
    for number, value in enumerate(loops.passed, 1):
        place = f"getelementptr {loops.structure}, ptr %values, i64 0, i32 {number}"
        slot = code.value(place, code.entry)
        code.bind(value, code.value(f"load {register(value.type)}, ptr {slot}", code.entry), 0)
