"""The interpreter of the loop dialect: runs a lowered function without LLVM, and distrusts it.

It is slow and strict. Every access is checked against its buffer, inputs and globals cannot be
written, memory that nothing has been stored to reads as a pattern of ones (NaN, −1, true), and
parallel iterations can run backwards. So it tells an error of the passes from one of the backend.
Exact operations have the bits of native code; kernels and math functions are merely accurate.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from nets.backend.numpy.loop_semantics import COMPUTE, combine, identity
from nets.communicator import Kind, Pending, Transfer, as_bytes, current
from nets.errors import ArgumentError, VerifyError
from nets.ir.core import Block, Function, Operation, Value
from nets.ir.types import BufferType, VectorType
from nets.ops.definition.registry import Array
from nets.ops.loop.reduction_tree import ARG_COMBINERS, reduce_lanes
from nets.ops.loop.sorting import stable_order
from nets.ops.tensor.conv_geometry import Geometry, convolved, input_of, weight_of
from nets.ops.tensor.effects import shown

Register = Any
"""A NumPy scalar, or a row of lanes."""

Iterations = Generator[tuple[Register, ...], tuple[Register, ...], tuple[Register, ...]]
"""A structured operation on its way: gives the arguments of its block for each run, takes what
the run yielded, and returns the results."""

_Steps = Iterator[tuple[Operation, Callable[[], None] | None]]

_POISON = 0xFF


def run(function: Function, buffers: Sequence[Array], backwards: bool = False) -> int:
    """Run a function of the loop dialect on its buffers, inputs first; outputs are written.

    Returns 0, or the lowest code of the checks that failed. ``backwards`` runs the iterations of
    parallel loops from the last to the first. ArgumentError where the arrays are not C-contiguous
    ones of the buffer types; VerifyError, at the operation's location, on an access outside a
    buffer or a write to an input that is not updated in place.
    """
    machine = _Machine(function, backwards)
    inputs = function.attributes.get("inputs", 0)
    updated = {argument for _, argument in function.attributes.get("in_place", ())}
    for argument, array in zip(function.arguments, _checked(function, buffers), strict=True):
        memory = array.reshape(-1)
        memory.flags.writeable = argument.index >= inputs or argument.index in updated
        machine.values[argument] = memory
    with np.errstate(all="ignore"):
        machine.run(function.body)
    return machine.status


def _checked(function: Function, buffers: Sequence[Array]) -> Sequence[Array]:
    types = [argument.type for argument in function.arguments]
    if len(buffers) != len(types):
        raise ArgumentError(f"{function.name} takes {len(types)} buffers, not {len(buffers)}")
    for type, array in zip(types, buffers, strict=True):
        fits = isinstance(type, BufferType) and array.shape == type.shape
        if not fits or array.dtype != type.dtype.numpy or not array.flags.c_contiguous:
            raise ArgumentError(
                f"{function.name} takes a contiguous {type}, not {array.dtype}{array.shape}"
            )
    return buffers


@dataclass(frozen=True, slots=True)
class _Code:
    """A block, read once: what runs it is entered far more often than there are blocks."""

    steps: tuple[tuple[Operation, Callable[[], None] | None], ...]
    """Operations and what executes them; None for those that the machine itself runs."""
    yielded: tuple[Value, ...]


class _Machine:
    """The state of a run: values, the arena, the status, and the loops we are inside of."""

    def __init__(self, function: Function, backwards: bool) -> None:
        self.values: dict[Value, Register] = {}
        self._codes: dict[Block, _Code] = {}
        self.backwards = backwards
        self.status = 0
        self.pending: dict[int, Pending] = {}
        """The transfers under way, by ticket."""
        self.tickets = count()
        self.arena = np.full(_arena_bytes(function), _POISON, np.uint8)

    def run(self, body: Block) -> None:
        """Run the block; regions are entered by a stack, not by recursion."""
        entered: list[tuple[Operation, Iterations, _Steps, Block]] = []
        block, pending = body, iter(self._code(body).steps)
        while True:
            for op, execute in pending:
                if execute is not None:
                    execute()
                elif op.regions:
                    entered.append((op, _STRUCTURED[op.name](self, op), pending, block))
                    block, pending = self._advance(entered, None)
                    break
                elif self.status:  # a loop.stop
                    return
            else:
                if not entered:
                    return
                yielded = tuple(self.values[value] for value in self._code(block).yielded)
                block, pending = self._advance(entered, yielded)

    def _advance(
        self,
        entered: list[tuple[Operation, Iterations, _Steps, Block]],
        yielded: tuple[Register, ...] | None,
    ) -> tuple[Block, _Steps]:
        """Begin the next iteration of the innermost loop, or leave it."""
        op, iterations, outside, around = entered[-1]
        try:
            arguments = next(iterations) if yielded is None else iterations.send(yielded)
        except StopIteration as finished:
            self._define(op.results, finished.value)
            entered.pop()
            return around, outside
        block = op.regions[0].block
        self._define(block.arguments, arguments)
        return block, iter(self._code(block).steps)

    def _code(self, block: Block) -> _Code:
        if block not in self._codes:
            end = block.terminator
            steps = tuple((op, self._step(op)) for op in block if op is not end)
            self._codes[block] = _Code(steps, block.yielded)
        return self._codes[block]

    def _step(self, op: Operation) -> Callable[[], None] | None:
        """What executes the operation; None for a structured one and ``loop.stop``."""
        if op.regions or op.name == "loop.stop":
            return None
        compute = COMPUTE.get(op.name)
        if compute is None:
            return partial(self._execute, op)
        values, operands, result, attributes = self.values, op.operands, op.result, op.attributes

        def step() -> None:
            values[result] = compute(*[values[value] for value in operands], **attributes)

        return step

    def operands(self, op: Operation) -> tuple[Register, ...]:
        return tuple(self.values[value] for value in op.operands)

    def _define(self, values: Sequence[Value], registers: Sequence[Register]) -> None:
        for value, register in zip(values, registers, strict=True):
            self.values[value] = register

    def _execute(self, op: Operation) -> None:
        if op.name not in _EFFECTS:
            raise VerifyError(f"{op.name} is not an operation of the loop dialect", op.location)
        self._define(op.results, _EFFECTS[op.name](self, op))


def _arena_bytes(function: Function) -> int:
    """The size of the arena that plan_memory has laid out."""
    allocs = [op for op in function.walk() if op.name == "loop.alloc"]
    ends: list[int] = [op.attributes["offset"] + _buffer(op.result).nbytes for op in allocs]
    return max([0, *ends])


def _buffer(value: Value) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


# ------------------------------------------------------------------------------ structure


def _for(machine: _Machine, op: Operation) -> Iterations:
    lo, hi, *carried = machine.operands(op)
    for counter in range(int(lo), int(hi), op.attributes["step"]):
        carried = list((yield (np.int64(counter), *carried)))
    return tuple(carried)


def _parallel(machine: _Machine, op: Operation) -> Iterations:
    lo, hi = machine.operands(op)
    counters = range(int(lo), int(hi))
    for counter in reversed(counters) if machine.backwards else counters:
        yield (np.int64(counter),)
    return ()


def _if(machine: _Machine, op: Operation) -> Iterations:
    if machine.operands(op)[0]:
        yield ()
    return ()


def _repeat(machine: _Machine, op: Operation) -> Iterations:
    while (yield ())[0]:
        pass
    return ()


def _reduce(machine: _Machine, op: Operation) -> Iterations:
    combiners = zip(op.attributes["combiners"], op.regions[0].block.yielded, strict=True)
    totals = [
        _Extreme(name, value) if name in ARG_COMBINERS else _Lanes(name, value)
        for name, value in combiners
    ]
    for counter in range(int(machine.operands(op)[0])):
        yielded = yield (np.int64(counter),)
        for total, scalar in zip(totals, yielded, strict=True):
            total.take(counter, scalar)
    return tuple(register for total in totals for register in total.results())


class _Lanes:
    """The lane tree of ``loop.reduce``."""

    def __init__(self, combiner: str, value: Value) -> None:
        dtype = value.type.dtype
        self.combiner = combiner
        self.lanes = np.full(reduce_lanes(dtype), identity(combiner, dtype), dtype.numpy)

    def take(self, counter: int, scalar: Register) -> None:
        lane = counter % self.lanes.size
        self.lanes[lane] = combine(self.combiner, self.lanes[lane], scalar)

    def results(self) -> tuple[Register, ...]:
        return (COMPUTE["loop.lane_reduce"](self.lanes, combiner=self.combiner),)


class _Extreme:
    """The first extreme value and where it was; a NaN is more extreme than any number."""

    def __init__(self, combiner: str, value: Value) -> None:
        dtype = value.type.dtype
        self.is_beyond = np.greater if combiner == "argmax" else np.less
        self.value: Register = dtype.numpy.type(identity(combiner, dtype))
        self.position = -1

    def take(self, counter: int, scalar: Register) -> None:
        was_nan, is_nan = self.value != self.value, scalar != scalar
        beyond = not was_nan and (is_nan or self.is_beyond(scalar, self.value))
        if self.position < 0 or beyond:
            self.value, self.position = scalar, counter

    def results(self) -> tuple[Register, ...]:
        return self.value, np.int64(max(self.position, 0))


_STRUCTURED: dict[str, Callable[[_Machine, Operation], Iterations]] = {
    "loop.for": _for,
    "loop.parallel": _parallel,
    "loop.reduce": _reduce,
    "loop.if": _if,
    "loop.repeat": _repeat,
}


# --------------------------------------------------------------------------------- memory


def _poisoned(type: BufferType) -> Array:
    return np.full(type.nbytes, _POISON, np.uint8)


def _alloc(machine: _Machine, op: Operation) -> tuple[Register]:
    type, offset = _buffer(op.result), op.attributes["offset"]
    place = _poisoned(type) if offset < 0 else machine.arena[offset : offset + type.nbytes]
    return (place.view(type.dtype.numpy),)


def _scratch(machine: _Machine, op: Operation) -> tuple[Register]:
    type = _buffer(op.result)
    return (_poisoned(type).view(type.dtype.numpy),)


def _global(machine: _Machine, op: Operation) -> tuple[Register]:
    memory = np.array(op.attributes["value"]).reshape(-1)
    memory.flags.writeable = False
    return (memory,)


def _view(machine: _Machine, op: Operation) -> tuple[Register]:
    (memory,) = machine.operands(op)
    start = op.attributes["offset"]
    return (memory[start : start + _buffer(op.result).size],)


def _slice(machine: _Machine, op: Operation) -> tuple[Register]:
    memory, number = machine.operands(op)
    start = op.attributes["offset"] + op.attributes["stride"] * int(number)
    size = _buffer(op.result).size
    if start < 0 or start + size > memory.size:
        raise VerifyError(
            f"loop.slice of {size} elements at {start} of a buffer of {memory.size}", op.location
        )
    return (memory[start : start + size],)


def _positions(op: Operation, indices: Sequence[Register]) -> Register:
    """The element offset of each lane; one number where they follow one another."""
    start = op.attributes["offset"]
    for position, stride in zip(indices, op.attributes["strides"], strict=True):
        is_row = isinstance(position, np.ndarray) and position.ndim > 0
        start = start + (position if is_row else int(position)) * stride
    return start


def _check_bounds(op: Operation, memory: Array, positions: Register, lanes: int = 1) -> None:
    """VerifyError where a lane (the last of them if they follow one another) lies outside."""
    if isinstance(positions, int):
        inside = 0 <= positions <= memory.size - lanes
    else:
        inside = bool(np.all((positions >= 0) & (positions < memory.size)))
    if not inside:
        every = np.atleast_1d(_spread(positions, lanes))
        first = every[(every < 0) | (every >= memory.size)][0]
        raise VerifyError(
            f"{op.name} goes to element {first} of a buffer of {memory.size}", op.location
        )


def _check_writes(op: Operation, memory: Array) -> None:
    if not memory.flags.writeable:
        raise VerifyError(f"{op.name} writes to an input or a global", op.location)


def _spread(positions: Register, lanes: int) -> Register:
    """The element offset of each lane."""
    consecutive = lanes > 1 and isinstance(positions, int)
    return positions + np.arange(lanes) if consecutive else positions


def _lanes(value: Value) -> int:
    return value.type.lanes if isinstance(value.type, VectorType) else 1


def _place(positions: Register, lanes: int) -> Register:
    """What NumPy finds the lanes by."""
    consecutive = lanes > 1 and isinstance(positions, int)
    return slice(positions, positions + lanes) if consecutive else positions


def _load(machine: _Machine, op: Operation) -> tuple[Register]:
    memory, *indices = machine.operands(op)
    positions, lanes = _positions(op, indices), _lanes(op.result)
    _check_bounds(op, memory, positions, lanes)
    found = memory[_place(positions, lanes)]
    return (found.copy() if lanes > 1 else found,)  # what is stored later is not seen


def _store(machine: _Machine, op: Operation) -> tuple[()]:
    value, memory, *indices = machine.operands(op)
    positions, lanes = _positions(op, indices), _lanes(op.operands[0])
    _check_bounds(op, memory, positions, lanes)
    _check_writes(op, memory)
    memory[_place(positions, lanes)] = value
    return ()


def _masked_load(machine: _Machine, op: Operation) -> tuple[Register]:
    mask, memory, *indices = machine.operands(op)
    positions = _spread(_positions(op, indices), mask.size)
    _check_bounds(op, memory, positions[mask])
    found = np.zeros(mask.size, memory.dtype)
    found[mask] = memory[positions[mask]]
    return (found,)


def _masked_store(machine: _Machine, op: Operation) -> tuple[()]:
    mask, value, memory, *indices = machine.operands(op)
    positions = _spread(_positions(op, indices), mask.size)
    _check_bounds(op, memory, positions[mask])
    _check_writes(op, memory)
    memory[positions[mask]] = value[mask]
    return ()


# ------------------------------------------------------------------------ checks, kernels


def _check(machine: _Machine, op: Operation) -> tuple[()]:
    code = op.attributes["code"]
    if not np.all(machine.operands(op)[0]):
        machine.status = min(machine.status or code, code)
    return ()


def _commit(machine: _Machine, op: Operation) -> tuple[()]:
    return ()  # an exception ends the machine wherever it is


def _tree_combine(machine: _Machine, op: Operation) -> tuple[()]:
    rows = machine.operands(op)[0].reshape(_buffer(op.operands[0]).static_shape)
    live = len(rows)
    while live > 1:
        half = 1 << ((live - 1).bit_length() - 1)
        merged = combine(op.attributes["combiner"], rows[: live - half], rows[half:live])
        rows[: live - half] = merged
        live = half
    return ()


def _gemm(machine: _Machine, op: Operation) -> tuple[()]:
    x, y, out = (
        memory.reshape(_buffer(value).static_shape)
        for memory, value in zip(machine.operands(op), op.operands, strict=True)
    )
    left = x.swapaxes(1, 2) if op.attributes["transpose_x"] else x
    right = y.swapaxes(1, 2) if op.attributes["transpose_y"] else y
    out[...] = np.matmul(left, right, dtype=np.float64)
    return ()


def _conv(machine: _Machine, op: Operation) -> tuple[()]:
    first, second, out = (
        memory.reshape(_buffer(value).static_shape)
        for memory, value in zip(machine.operands(op), op.operands, strict=True)
    )
    attributes = dict(op.attributes)
    compute = {"output": convolved, "input": input_of, "weight": weight_of}[attributes.pop("role")]
    out[...] = compute(first, second, out.shape[2:], Geometry(**attributes))
    return ()


def _sort(machine: _Machine, op: Operation) -> tuple[()]:
    x, _, out = machine.operands(op)
    rows = x.reshape(_buffer(op.operands[0]).static_shape)
    order = stable_order(rows, descending=op.attributes["descending"])
    found = order if op.attributes["positions"] else np.take_along_axis(rows, order, -1)
    out.reshape(rows.shape)[...] = found
    return ()


def _print(machine: _Machine, op: Operation) -> tuple[()]:
    arrays = [
        memory.reshape(_buffer(value).static_shape)
        for memory, value in zip(machine.operands(op), op.operands, strict=True)
    ]
    print(shown(op.attributes["text"], arrays))
    return ()


def _rank(machine: _Machine, op: Operation) -> tuple[Register]:
    return (np.int64(current().rank),)


def _transfer_begin(machine: _Machine, op: Operation) -> tuple[Register]:
    kind, peer = Kind(op.attributes["kind"]), op.attributes["peer"]
    if kind is Kind.EXCHANGE:
        peer ^= current().rank
    send, receive = map(as_bytes, machine.operands(op))
    ticket = next(machine.tickets)
    machine.pending[ticket] = current().begin(Transfer(kind, peer, send, receive))
    return (np.int64(ticket),)


def _transfer_finish(machine: _Machine, op: Operation) -> tuple[()]:
    machine.pending.pop(int(machine.operands(op)[0])).wait()
    return ()


_EFFECTS: dict[str, Callable[[_Machine, Operation], tuple[Register, ...]]] = {
    "loop.alloc": _alloc,
    "loop.scratch": _scratch,
    "loop.global": _global,
    "loop.view": _view,
    "loop.slice": _slice,
    "loop.load": _load,
    "loop.store": _store,
    "loop.masked_load": _masked_load,
    "loop.masked_store": _masked_store,
    "loop.check": _check,
    "loop.commit": _commit,
    "loop.tree_combine": _tree_combine,
    "loop.gemm": _gemm,
    "loop.conv": _conv,
    "loop.sort": _sort,
    "loop.print": _print,
    "loop.rank": _rank,
    "loop.transfer_begin": _transfer_begin,
    "loop.transfer_finish": _transfer_finish,
}
