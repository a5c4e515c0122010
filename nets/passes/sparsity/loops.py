"""Footprints through control flow: loops for all of their steps at once, as far as that goes.

A value in a loop has one more axis, for the steps. What a loop carries is found as what it starts
from, and then what one more step makes of what was new. That ends where the carry forgets (a
window over the last few slices), or what is new is the same one step further on, for good (sums,
dense recurrences). Only what does neither, such as a stencil that spreads, goes step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from nets.errors import GradientError
from nets.ir.core import Operation
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import Array
from nets.passes.sparsity import pieces as parts
from nets.passes.sparsity.follow import Follow
from nets.passes.sparsity.footprint import Footprint
from nets.passes.sparsity.pieces import Counter, Ints, Piece, Pieces
from nets.passes.sparsity.ruled import by_cotangents, by_tangents

ROUNDS: Final = 6
"""Steps that what is new may take to end, or to settle."""

Footprints = Sequence[Footprint]


class FollowAll(Follow):
    """Also through control flow."""

    def control(self, op: Operation, operands: Footprints) -> Footprints:
        if op.name not in _RULES:
            raise GradientError(f"there is no pattern through {op.name}", op.location)
        return _RULES[op.name](self, op, operands)

    def within(self, columns: int | None = None) -> FollowAll:
        if columns is not None:
            return FollowAll(columns)
        return FollowAll(self.columns, self.lead)

    def run_inside(
        self, op: Operation, region: int, arguments: Footprints, steps: Ints = ()
    ) -> list[Footprint]:
        """What a region gives, once or in each of so many steps."""
        inner = FollowAll(self.columns, (*self.lead, *steps))
        found = inner.run(op.regions[region].block, arguments)
        self.differs |= inner.differs
        return found


# ---------------------------------------------------------------------- cond and while


def _cond(outer: FollowAll, op: Operation, operands: Footprints) -> Footprints:
    """What either region makes, or the one that is known to run."""
    known, regions = operands[0].known, [0, 1]
    if known is not None and known.ndim == 0:
        regions = [0 if known else 1]
    made = [outer.run_inside(op, region, operands[1:]) for region in regions]
    return made[0] if len(made) == 1 else [x.united(y) for x, y in zip(*made, strict=True)]


def _while(outer: FollowAll, op: Operation, operands: Footprints) -> Footprints:
    """What any number of steps makes: they may run until nothing new comes."""
    count = op.attributes["carries"]
    carried, rest = [x.dependence() for x in operands[:count]], operands[count:]
    silent = [*map(outer.silent, rest)]
    new = carried
    while True:
        made = outer.run_inside(op, 1, [*new, *rest])
        new = [_listed_minus(x, before) for x, before in zip(made, carried, strict=True)]
        if all(x.is_empty for x in new):
            return carried
        carried = [x.united(y) for x, y in zip(carried, new, strict=True)]
        rest = silent


def _listed_minus(x: Footprint, before: Footprint) -> Footprint:
    """What is not in another one, as single pairs; these come to an end, whatever a loop does."""
    kept = tuple(piece for piece in x.pieces if piece not in before.pieces)
    numbers = replace(x, pieces=kept).all_numbers()
    left = np.setdiff1d(numbers, before.all_numbers(), assume_unique=True)
    return replace(x, pieces=(), numbers=left, known=None)


# ------------------------------------------------------------------------------- scan


def _scan(outer: FollowAll, op: Operation, operands: Footprints) -> Footprints:
    carries, xs, length = (op.attributes[name] for name in ("carries", "xs", "length"))
    starts = [x.dependence() for x in operands[:carries]]
    if length == 0:
        stacks = [tensor_type(value).static_shape for value in op.results[carries:]]
        return [*starts, *map(outer.none, stacks)]
    back = op.attributes["reverse"]
    slices = [_turned(x) if back else x for x in operands[carries : carries + xs]]
    rest = operands[carries + xs :]
    found = _AtOnce(outer, op, length).results(starts, slices, rest)
    if found is None:
        found = _one_by_one(outer, op, length, starts, slices, rest)
    return [*found[:carries], *(_turned(x) if back else x for x in found[carries:])]


def _turned(x: Footprint) -> Footprint:
    """With its first axis turned round: steps count in the order in which they run."""
    known = x.known
    if known is not None:
        known = np.flip(known, known.ndim - len(x.shape))
    return replace(x.flipped((0,)), known=known)


class _AtOnce:
    """All steps of a scan at once. A carry has one place more than there are steps along the axis
    of the steps, for what the last one gives."""

    def __init__(self, outer: FollowAll, op: Operation, length: int) -> None:
        self.outer, self.op, self.length = outer, op, length
        self.carries = op.attributes["carries"]

    def run(self, arguments: Footprints) -> tuple[list[Footprint], list[Footprint]]:
        """The next carries, and what is stacked."""
        found = self.outer.run_inside(self.op, 0, arguments, (self.length,))
        next_ = [_along_steps(x, 1, self.length + 1) for x in found[: self.carries]]
        return next_, found[self.carries :]

    def results(
        self, starts: Footprints, slices: Footprints, rest: Footprints
    ) -> list[Footprint] | None:
        """Carries and stacks; None where what is carried neither ends nor settles."""
        given = [*map(self._sliced, slices), *map(self._in_every_step, rest)]
        silent = [replace(x.none(x.shape), known=x.known) for x in given]
        begun = [self._begun(x) for x in starts]
        made, stacks = self.run([*(x.none(x.shape) for x in map(self._before, begun)), *given])
        new = carried = _unions(begun, made)
        self.outer.differs, differed = False, self.outer.differs
        for _ in range(ROUNDS):
            made, more = self.run([*map(self._before, new), *silent])
            if not self.outer.differs and _same(made, [_along_steps(x, 1) for x in new]):
                stacks = _unions(stacks, map(_from_then_on, more))
                lasts = _unions(map(_last, carried), map(_ever, new))
                break
            stacks = _unions(stacks, more)
            new = [_minus(x, before) for x, before in zip(made, carried, strict=True)]
            carried = _unions(carried, new)
            if all(x.is_empty for x in new):
                lasts = [*map(_last, carried)]
                break
        else:
            return None
        self.outer.differs |= differed
        return [*lasts, *map(_stacked, stacks)]

    # ------------------------------------------------------------- into and out of steps

    def _begun(self, x: Footprint) -> Footprint:
        """What a carry starts from, at the first of its places."""
        first = x.with_lead(()).reshaped((*x.axes, 1)).with_lead((*x.lead, 1))
        return _along_steps(first, 0, self.length + 1)

    def _before(self, x: Footprint) -> Footprint:
        """The places of a carry that steps begin with."""
        whole = x.with_lead(())
        stops = (*whole.shape[:-1], self.length)
        cut = whole.sliced((0,) * len(stops), stops, (1,) * len(stops))
        return cut.with_lead((*x.lead[:-1], self.length))

    def _sliced(self, x: Footprint) -> Footprint:
        """The slices of a tensor along its first axis, each in its step."""
        whole = x.with_lead(())
        moved = whole.transposed((*range(1, len(x.axes)), 0))
        known = x.known
        if known is not None and known.ndim == len(x.shape):
            known = np.broadcast_to(known, (*x.lead, *x.shape))
        return replace(moved.with_lead((*x.lead, self.length)), known=known)

    def _in_every_step(self, x: Footprint) -> Footprint:
        """The same in each step."""
        whole, shape = x.with_lead(()), (*x.axes, self.length)
        wide = whole.broadcast(shape, tuple(range(len(x.axes))))
        known, rank = x.known, len(x.shape)
        if known is not None and known.ndim > rank:
            steps = (*x.lead, self.length)
            apart = known.reshape(*x.lead, 1, *x.shape)
            known = np.broadcast_to(apart, (*steps, *x.shape))
        return replace(wide.with_lead((*x.lead, self.length)), known=known)


def _stacked(x: Footprint) -> Footprint:
    """What steps add, along a new first axis."""
    rank = len(x.axes)
    whole = x.with_lead(()).transposed((rank - 1, *range(rank - 1)))
    return whole.with_lead(x.lead[:-1])


def _along_steps(x: Footprint, further: int, length: int = 0) -> Footprint:
    """So many steps later, among as many places as there are, or so many; what comes behind them
    is left out."""
    whole, count = x.with_lead(()), length or x.lead[-1]
    kept = min(x.lead[-1], count - further)
    stops = (*whole.shape[:-1], kept)
    cut = whole.sliced((0,) * len(stops), stops, (1,) * len(stops))
    low = (*(0 for _ in stops[:-1]), further)
    return cut.placed(low, (*stops[:-1], count)).with_lead((*x.lead[:-1], count))


def _last(x: Footprint) -> Footprint:
    """What a carry is after the last step."""
    whole = x.with_lead(())
    last = np.array(whole.shape[-1] - 1)
    return whole.at(len(whole.shape) - 1, last).with_lead(x.lead[:-1])


def _ever(x: Footprint) -> Footprint:
    """What is there in any step."""
    whole = x.with_lead(())
    return whole.reduced((len(whole.shape) - 1,)).with_lead(x.lead[:-1])


def _from_then_on(x: Footprint) -> Footprint:
    """What is there in any step, also in all that follow."""
    length, axis = x.lead[-1], len(x.axes) - 1
    kept: Pieces = []
    listed: list[Piece] = []
    for piece in x.pieces:
        if any(counter.steps[axis] for counter in piece.counters):
            listed.append(piece)
            continue
        onward = Counter(length - piece.first[axis], 0, (*(0 for _ in range(axis)), 1))
        kept += parts.normal(piece.first, piece.column, (*piece.counters, onward))
    numbers = replace(x, pieces=tuple(listed)).all_numbers()
    left = length - numbers // x.columns % length
    ahead = np.arange(left.sum()) - np.repeat(np.cumsum(left) - left, left)
    every = parts.sorted_once(np.repeat(numbers, left) + ahead * x.columns)
    return replace(x, pieces=tuple(dict.fromkeys(kept)), numbers=every, known=None)


def _unions(xs: Iterable[Footprint], ys: Iterable[Footprint]) -> list[Footprint]:
    return [x.united(y) for x, y in zip(xs, ys, strict=True)]


def _minus(x: Footprint, before: Footprint) -> Footprint:
    """x without what another one surely has."""
    pieces = tuple(piece for piece in x.pieces if piece not in before.pieces)
    numbers = np.setdiff1d(x.numbers, before.numbers, assume_unique=True)
    return replace(x, pieces=pieces, numbers=numbers, known=None)


def _same(xs: Footprints, ys: Footprints) -> bool:
    return all(
        {*x.pieces} == {*y.pieces} and np.array_equal(x.numbers, y.numbers)
        for x, y in zip(xs, ys, strict=True)
    )


# ---------------------------------------------------------------------- step by step


def _one_by_one(
    outer: FollowAll,
    op: Operation,
    length: int,
    starts: Footprints,
    slices: Footprints,
    rest: Footprints,
) -> list[Footprint]:
    """The results of a scan, each step after the one before it."""
    carries = op.attributes["carries"]
    carried: Footprints = starts
    rows: list[list[Array]] = [[] for _ in op.results[carries:]]
    for step in range(length):
        made = outer.run_inside(op, 0, [*carried, *(_slice(x, step) for x in slices), *rest])
        carried = made[:carries]
        for added, x in zip(rows, made[carries:], strict=True):
            # The first axis is the slowest one: what is added comes behind all before.
            size = x.columns * int(np.prod(x.axes, dtype=np.int64))
            added.append(x.all_numbers() + step * size)
    stacks = [
        replace(outer.none(tensor_type(value).static_shape), numbers=np.concatenate(added))
        for value, added in zip(op.results[carries:], rows, strict=True)
    ]
    return [*carried, *stacks]


def _slice(x: Footprint, step: int) -> Footprint:
    known = x.known
    if known is not None:
        known = np.take(known, step, axis=known.ndim - len(x.shape))
    return replace(x.at(0, np.array(step)), known=known)


def _first(outer: FollowAll, op: Operation, operands: Footprints) -> Footprints:
    """What runs: the first region."""
    return outer.run_inside(op, 0, operands)


_RULES: Final[dict[str, Callable[[FollowAll, Operation, Footprints], Footprints]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    **dict.fromkeys(("checkpoint", "recomputed", "checkpointed_loop"), _first),
    "as_if": lambda outer, op, operands: outer.run_inside(op, 1, operands),
    "custom_jvp": by_tangents,
    "custom_vjp": by_cotangents,
}
