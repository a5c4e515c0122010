"""Random programs of several ranks, which print as well: collectives at random places, in loops and
branches, whose results take the place of other values."""

from __future__ import annotations

import contextlib
import io
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nets import communicator
from nets.communicator import Communicator, Transfer
from nets.distributed import simulated
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Function, Operation, Value
from nets.ir.types import i64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import Array, lookup
from tests.property.programs import arguments

RANKS = 4

Results = list[list[Array]]
"""By rank."""


def with_collectives(function: Function, seed: int, often: int = 3) -> Function:
    """A copy with collectives and prints at random places, and values that depend on the rank."""
    choose = random.Random(seed)
    copy = clone_function(function)
    for place in copy.programs():
        known: list[Value] = list(place.arguments)
        for op in list(place):
            if known and choose.randrange(often) == 0:
                _insert(choose, Builder(place, op), op, known)
            known += op.results
    return copy


def _insert(choose: random.Random, builder: Builder, before: Operation, known: list[Value]) -> None:
    value = choose.choice(known[-4:])
    match choose.randrange(6):
        case 0:
            shown = {"text": f"{choose.randrange(1000)} {{0.shape}}"}
            builder.create(lookup("print"), [value], shown)
        case 1 if value.type.dtype == i64 and value.type.shape:  # no counter of a loop
            _take_place(choose, value, _with_rank(GraphEmitter(builder), value), before)
        case _:
            made = _collective(choose, GraphEmitter(builder), value)
            _take_place(choose, value, made, before)
            known.append(made)


def _with_rank(b: GraphEmitter, value: Value) -> Value:
    rank = b.emit("rank")
    return b.add(value, b.broadcast(rank, value.type.shape, ()))


def _collective(choose: random.Random, b: GraphEmitter, value: Value) -> Value:
    """A value of the same type: what another rank has."""
    match choose.randrange(3):
        case 0:
            return b.emit("broadcast_ranks", value, ranks=RANKS, root=choose.randrange(RANKS))
        case 1:
            return b.emit("exchange_ranks", value, ranks=RANKS, distance=choose.randrange(RANKS))
    rows = b.emit("gather_ranks", value, ranks=RANKS)
    shape, number = value.type.shape, choose.randrange(RANKS)
    starts, stops = (number, *(0 for _ in shape)), (number + 1, *shape)
    row = b.emit("slice", rows, starts=starts, stops=stops, steps=(1,) * len(stops))
    return b.emit("reshape", row, shape=shape)


def _take_place(choose: random.Random, old: Value, new: Value, start: Operation) -> None:
    """Let some of the later operations of the block use the new value instead of the old one."""
    op: Operation | None = start
    while op is not None:
        operands = [new if x is old and choose.randrange(2) else x for x in op.operands]
        op.set_operands(operands)
        op = op.next


def arguments_of_ranks(function: Function, seed: int) -> Results:
    """Arrays for the arguments, others on each rank."""
    return [arguments(function, np.random.default_rng((seed, r))) for r in range(RANKS)]


class _Streams(io.TextIOBase):
    """Standard output of threads, each by itself."""

    def __init__(self) -> None:
        self.texts: dict[int, list[str]] = {}

    def write(self, text: str) -> int:
        self.texts.setdefault(threading.get_ident(), []).append(text)
        return len(text)


def run_ranks(
    call: Callable[[Sequence[Array]], Sequence[Array]], given: Results, *, late: bool = False
) -> tuple[Results, list[str]]:
    """The results of each rank, and what it prints; ``late`` lets transfers take their time."""
    streams = _Streams()

    def on_rank(rank: int) -> tuple[list[Array], str]:
        streams.texts[threading.get_ident()] = []  # another thread, now over, may have had it
        arrays = [np.array(x) for x in given[rank]]
        if late:
            by = Late(communicator.current(), rank)
            with contextlib.closing(by), communicator.within(by):
                found = list(call(arrays))
        else:
            found = list(call(arrays))
        return found, "".join(streams.texts[threading.get_ident()])

    with contextlib.redirect_stdout(streams):
        found = simulated.run(on_rank, RANKS)
    return [results for results, _ in found], [text for _, text in found]


class Late:
    """A communicator whose transfers a thread of its own makes, some time after they began."""

    def __init__(self, by: Communicator, seed: int) -> None:
        self.rank, self.size = by.rank, by.size
        self._by = by
        self._waits = random.Random(seed)
        self._begun: queue.SimpleQueue[_Begun | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()

    def begin(self, transfer: Transfer) -> _Begun:
        begun = _Begun(transfer)
        self._begun.put(begun)
        return begun

    def _make(self) -> None:
        while (begun := self._begun.get()) is not None:
            time.sleep(self._waits.choice((0, 0, 1e-4, 1e-3)))
            try:
                self._by.begin(begun.transfer).wait()
            except BaseException as error:
                begun.error = error
            begun.is_over.set()

    def close(self) -> None:
        """End the thread when all is done."""
        self._begun.put(None)
        self._thread.join()


@dataclass(eq=False)
class _Begun:
    """A transfer that the thread makes."""

    transfer: Transfer
    is_over: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def wait(self) -> None:
        self.is_over.wait()
        if self.error is not None:
            raise self.error
