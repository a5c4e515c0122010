"""Memory planning: gives every ``loop.alloc`` its place in one arena.

A buffer lives from the first operation of its block that touches it to the last.
Buffers that live at the same time get disjoint places: the largest first, each at the lowest gap it
fits in (Pisarchyk and Lee, arXiv 2001.03288). ``live_bytes`` is what any plan needs; the tests hold
the mean distance to it below 3 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nets.ir.core import Block, Function, Operation, Value
from nets.ir.estimates import about
from nets.ir.sizes import Dim, at_most
from nets.ir.types import BufferType
from nets.machine.machine import ALIGNMENT
from nets.passes.forms import ALLOCATED_OUTSIDE, LOOPS, PLACED
from nets.passes.manager import Options, register_pass

Places = npt.NDArray[np.int64]


@register_pass("plan_memory", requires=(LOOPS, ALLOCATED_OUTSIDE), ensures=(PLACED,))
def plan_memory(function: Function, options: Options) -> Function:
    """Place the buffers of the function in an arena.

    Requires: the loop dialect, no ``loop.alloc`` in a parallel loop.
    Ensures: every ``loop.alloc`` has an ``offset``, a multiple of 64. Attributes of the function:
    ``workspace_bytes``, the size of the arena; ``live_bytes``, the most that is in use at a time;
    ``scratch_bytes``, what the ``loop.scratch`` of a nest of loops take together at most.
    """
    lifetimes = lifetimes_of(function)
    of_constants = [life for life in lifetimes if isinstance(life.size, int)]
    places = _places(of_constants)
    for lifetime, place in zip(of_constants, places.tolist(), strict=True):
        lifetime.op.attributes = {**lifetime.op.attributes, "offset": place}
    of_sizes = [life for life in lifetimes if not isinstance(life.size, int)]
    end = _place_in_slots(of_sizes, _extent(of_constants, places))
    function.attributes = {
        **function.attributes,
        "workspace_bytes": end,
        "live_bytes": live_bytes(lifetimes),
        "scratch_bytes": _scratch_bytes(function),
    }
    return function


@dataclass(frozen=True)
class Lifetime:
    """A ``loop.alloc``, its bytes, and the first and last place in the body that touch it.

    One that nothing touches takes no bytes.
    """

    op: Operation
    size: Dim
    first: int
    last: int

    @property
    def about(self) -> int:
        """About how many bytes."""
        return about(self.size)


def lifetimes_of(function: Function) -> list[Lifetime]:
    """The lifetimes of the buffers of the function, in the order of their allocs.

    Places count all operations, those in regions behind their own. A buffer made in the body of a
    loop lives within one iteration; any other one lives through all of a loop that touches it.
    """
    buffers: dict[Value, Operation] = {}
    touched: dict[Operation, tuple[int, int]] = {}
    places, ends = _places_of(function)
    for op in places:
        for operand in op.operands:
            if operand in buffers:
                made_by = buffers[operand]
                around = _within(op, made_by.block)
                first, last = touched.get(made_by, (places[around], 0))
                touched[made_by] = min(first, places[around]), max(last, ends[around])
        if op.name == "loop.alloc":
            buffers[op.result] = op
        elif op.name in ("loop.view", "loop.slice") and op.operands[0] in buffers:
            buffers[op.result] = buffers[op.operands[0]]
    return [
        Lifetime(op, _bytes_of(op), *touched[op]) if op in touched else Lifetime(op, 0, 0, 0)
        for op in dict.fromkeys(buffers.values())
    ]


def _places_of(function: Function) -> tuple[dict[Operation, int], dict[Operation, int]]:
    """The place of every operation in the text, and that of the last one in its regions."""
    places = {op: place for place, op in enumerate(function.walk())}
    ends = dict(places)
    for op in reversed(places):
        if op.regions:
            last = op.regions[-1].block.last
            ends[op] = ends[last] if last is not None else places[op]
    return places, ends


def _within(op: Operation, block: Block | None) -> Operation:
    """The operation of ``block`` that is ``op`` or has it in its regions."""
    while op.block is not block:
        assert op.block is not None
        assert op.block.owner is not None
        owner = op.block.owner.owner
        assert isinstance(owner, Operation)
        op = owner
    return op


def live_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """The largest sum of buffers that live at the same time."""
    change: dict[int, int] = {}
    for lifetime in lifetimes:
        change[lifetime.first] = change.get(lifetime.first, 0) + lifetime.about
        change[lifetime.last + 1] = change.get(lifetime.last + 1, 0) - lifetime.about
    live = most = 0
    for place in sorted(change):
        live += change[place]
        most = max(most, live)
    return most


def _aligned(size: Dim) -> Dim:
    return (size + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


def _bytes_of(op: Operation) -> Dim:
    type = op.result.type
    assert isinstance(type, BufferType)
    return _aligned(type.elements * type.dtype.itemsize)


def _about_bytes_of(op: Operation) -> int:
    return about(_bytes_of(op))


def _scratch_bytes(function: Function) -> int:
    inside = ((outer, *outer.walk_regions()) for outer in function.body)
    return max(
        (sum(_about_bytes_of(op) for op in ops if op.name == "loop.scratch") for ops in inside),
        default=0,
    )


def _extent(lifetimes: Sequence[Lifetime], places: Places) -> int:
    ends = (place + life.about for life, place in zip(lifetimes, places.tolist(), strict=True))
    return max(ends, default=0)


def _places(lifetimes: Sequence[Lifetime]) -> Places:
    """Places by first fit, the largest first."""
    order = sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].about, lifetimes[i].first))
    places = np.zeros(len(lifetimes), np.int64)
    placed = np.zeros((len(lifetimes), 4), np.int64)
    for count, i in enumerate(order):
        life = lifetimes[i]
        first, last, start, end = placed[:count].T
        near = (first <= life.last) & (last >= life.first)
        places[i] = _lowest_gap(start[near], end[near], life.about)
        placed[count] = (life.first, life.last, places[i], places[i] + life.about)
    return places


def _lowest_gap(starts: Places, ends: Places, size: int) -> int:
    """The lowest place where ``size`` bytes overlap none of the ranges."""
    order = np.argsort(starts, kind="stable")
    filled = np.concatenate(([0], np.maximum.accumulate(ends[order])))
    fits = np.flatnonzero(starts[order] - filled[:-1] >= size)
    return int(filled[fits[0]] if len(fits) else filled[-1])


# ------------------------------------------------------------- sizes that only a call tells


def _place_in_slots(lifetimes: Sequence[Lifetime], start: int) -> Dim:
    """Place buffers of sizes that a call tells behind ``start``; gives the end of all.

    Buffers that do not live at the same time share a slot, if its first is the largest of them in
    every call; slots lie one behind the other.
    """
    end: Dim = start
    for slot in _slots(lifetimes):
        for life in slot:
            life.op.attributes = {**life.op.attributes, "offset": end}
        end = end + slot[0].size
    return end


def _slots(lifetimes: Sequence[Lifetime]) -> list[list[Lifetime]]:
    """Buffers that share memory: each joins the first slot it fits in, the largest first."""
    slots: list[list[Lifetime]] = []
    for life in sorted(lifetimes, key=lambda life: (-life.about, life.first)):
        found = next((slot for slot in slots if _fits(life, slot)), None)
        if found is None:
            slots.append([life])
        else:
            found.append(life)
    return slots


def _fits(life: Lifetime, slot: Sequence[Lifetime]) -> bool:
    is_large = at_most(_exact_bytes_of(life.op), _exact_bytes_of(slot[0].op), {})
    return bool(is_large) and not any(
        life.first <= other.last and other.first <= life.last for other in slot
    )


def _exact_bytes_of(op: Operation) -> Dim:
    """The bytes of a buffer, not rounded, which would hide what is the larger."""
    assert isinstance(op.result.type, BufferType)
    return op.result.type.elements * op.result.type.dtype.itemsize
