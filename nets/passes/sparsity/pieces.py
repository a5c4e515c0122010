"""Pieces: sets of pairs (place, column) that counters run through, each on its own.

The pairs of a piece are ``first + Σ n · steps`` and ``column + Σ n · stride``, for every choice of
each counter's n below its count. Stencils, bands, blocks and time steps are a few pieces, whatever
their sizes; what an operation does to them costs the same for ten elements as for ten million.

A piece is *normal* where no counter counts to 1, does nothing or runs backwards, and counters that
one counter can stand for are one. Equal normal pieces are equal sets. What an operation makes of a
piece is None where pieces cannot say it: the caller then goes by single pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from nets.ops.definition.registry import Array

Ints = tuple[int, ...]

APART: Final = 64
"""Values of a counter that may become a piece each."""


class Counter(NamedTuple):
    """Counts from 0 below ``times``; each time the place moves by ``steps`` and the column by
    ``stride``."""

    times: int
    stride: int
    steps: Ints


class Piece(NamedTuple):
    """See the module."""

    first: Ints
    column: int
    counters: tuple[Counter, ...]


Pieces = list[Piece]


def normal(first: Sequence[int], column: int, counters: Sequence[Counter]) -> Pieces:
    """The normal piece of this set; none where it is empty."""
    start, kept = list(first), list[Counter]()
    for counter in counters:
        if counter.times <= 0:
            return []
        if counter.times == 1 or not (counter.stride or any(counter.steps)):
            continue
        if _is_backwards(counter):
            start = [a + (counter.times - 1) * b for a, b in zip(start, counter.steps, strict=True)]
            column += (counter.times - 1) * counter.stride
            counter = _scaled(counter, -1, counter.times)
        kept.append(counter)
    return [Piece(tuple(start), column, tuple(_merged(kept)))]


def _is_backwards(counter: Counter) -> bool:
    return next(move for move in (counter.stride, *counter.steps) if move) < 0


def _scaled(counter: Counter, by: int, count: int) -> Counter:
    return Counter(count, counter.stride * by, tuple(step * by for step in counter.steps))


def _merged(counters: list[Counter]) -> list[Counter]:
    """The counters in order, those that continue each other as one."""
    found: list[Counter] = []
    for counter in sorted(counters, key=lambda c: (c.steps, c.stride)):
        last = found[-1] if found else None
        if last is not None and (last.stride, last.steps) == (counter.stride, counter.steps):
            found[-1] = last._replace(times=last.times + counter.times - 1)
        elif last is not None and _scaled(last, last.times, counter.times) == counter:
            found[-1] = last._replace(times=last.times * counter.times)
        else:
            found.append(counter)
    return found


def size(piece: Piece) -> int:
    """Choices of the counters; pairs that several make count as often."""
    return math.prod(counter.times for counter in piece.counters)


def pairs(piece: Piece, shape: Ints, columns: int) -> Array:
    """The number ``place · columns + column`` of each pair, with places counted in row-major order
    of the shape; some may come several times."""
    weights = [*strides(shape, columns), 1]
    found = np.array([_dot((*piece.first, piece.column), weights)], np.int64)
    for count, stride, steps in piece.counters:
        moves = np.arange(count, dtype=np.int64) * _dot((*steps, stride), weights)
        found = np.add.outer(found, moves).ravel()
    return found


def sorted_once(numbers: Array) -> Array:
    """The numbers in ascending order, each once: what ``np.unique`` gives, which hashes them first
    and takes ten times as long."""
    ordered: Array = np.sort(numbers)
    is_new = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return np.compress(is_new, ordered)


def strides(shape: Ints, unit: int = 1) -> list[int]:
    """What a step along each axis means in row-major order."""
    return [unit * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------------------------ axes


def moved(piece: Piece, axes: Ints) -> Pieces:
    """The axes of that number in that order; the others are left out, as sums do."""
    counters = [c._replace(steps=tuple(c.steps[axis] for axis in axes)) for c in piece.counters]
    return normal([piece.first[axis] for axis in axes], piece.column, counters)


def spread(piece: Piece, axis: int, count: int) -> Pieces:
    """The same for each place of a new axis."""
    counters = [c._replace(steps=_with(c.steps, axis, 0)) for c in piece.counters]
    new = _with((0,) * len(piece.first), axis, 1)
    return normal(_with(piece.first, axis, 0), piece.column, [*counters, Counter(count, 0, new)])


def _with(numbers: Ints, axis: int, number: int) -> Ints:
    return (*numbers[:axis], number, *numbers[axis:])


def placed(piece: Piece, low: Ints, steps: Ints) -> Piece:
    """Places so many times further apart, from ``low`` on."""
    first = [a + n * step for a, n, step in zip(low, piece.first, steps, strict=True)]
    counters = [
        c._replace(steps=tuple(a * b for a, b in zip(c.steps, steps, strict=True)))
        for c in piece.counters
    ]
    return Piece(tuple(first), piece.column, tuple(counters))


def flipped(piece: Piece, axis: int, count: int) -> Pieces:
    """The axis, of that size, from its end."""
    counters = [c._replace(steps=_negated(c.steps, axis)) for c in piece.counters]
    first = _negated(piece.first, axis)
    return normal(_at(first, axis, count - 1 + first[axis]), piece.column, counters)


def _negated(numbers: Ints, axis: int) -> Ints:
    return _at(numbers, axis, -numbers[axis])


def _at(numbers: Ints, axis: int, number: int) -> Ints:
    return (*numbers[:axis], number, *numbers[axis + 1 :])


# ----------------------------------------------------------------------------- slices


def cut(piece: Piece, axis: int, start: int, stop: int, step: int) -> Pieces | None:
    """What lies at ``start:stop:step`` of an axis, counted there."""
    driving = [i for i, c in enumerate(piece.counters) if c.steps[axis]]
    if len(driving) > 1:
        return _cut_of_several(piece, axis, start, stop, step, driving)
    if not driving:
        place = piece.first[axis]
        if not start <= place < stop or (place - start) % step:
            return []
        return [piece._replace(first=_at(piece.first, axis, (place - start) // step))]
    number = driving[0]
    counter = piece.counters[number]
    begin, count, period = _met(piece.first[axis], counter, axis, start, stop, step)
    if count <= 0:
        return []
    rest = (*piece.counters[:number], *piece.counters[number + 1 :])
    kept = Piece(piece.first, piece.column, (*rest, _scaled(counter, period, count)))
    return _rebased(_begun(kept, counter, begin), axis, start, step)


def _met(
    first: int, counter: Counter, axis: int, start: int, stop: int, step: int
) -> tuple[int, int, int]:
    """Of which n a counter is in a slice: the first one, how many, how far apart."""
    move = counter.steps[axis]
    common = math.gcd(move, step)
    if (start - first) % common:
        return 0, 0, 1
    period = step // common
    begin = (
        (start - first) // common * pow(move // common, -1, period) % period if period > 1 else 0
    )
    below, above = (
        (start - first, stop - 1 - first) if move > 0 else (first - stop + 1, first - start)
    )
    low = max(-(-below // abs(move)), 0)
    high = min(above // abs(move), counter.times - 1)
    begin += -(-(low - begin) // period) * period if low > begin else 0
    return begin, (high - begin) // period + 1, period


def _begun(piece: Piece, counter: Counter, number: int) -> Piece:
    """The piece where a counter that is not among its own stands at that number."""
    first = tuple(a + number * b for a, b in zip(piece.first, counter.steps, strict=True))
    return Piece(first, piece.column + number * counter.stride, piece.counters)


def _rebased(piece: Piece, axis: int, start: int, step: int) -> Pieces:
    """Places along an axis counted from ``start`` by ``step``, which all of them meet."""
    counters = [c._replace(steps=_at(c.steps, axis, c.steps[axis] // step)) for c in piece.counters]
    return normal(
        _at(piece.first, axis, (piece.first[axis] - start) // step), piece.column, counters
    )


def _cut_of_several(
    piece: Piece, axis: int, start: int, stop: int, step: int, driving: list[int]
) -> Pieces | None:
    """As ``cut`` where several counters move along the axis."""
    moves = [(piece.counters[i].times - 1) * piece.counters[i].steps[axis] for i in driving]
    least = piece.first[axis] + sum(min(move, 0) for move in moves)
    most = piece.first[axis] + sum(max(move, 0) for move in moves)
    if most < start or least >= stop:
        return []
    even = all(piece.counters[i].steps[axis] % step == 0 for i in driving)
    if start <= least and most < stop and even:
        return _rebased(piece, axis, start, step) if (least - start) % step == 0 else []
    number = min(driving, key=lambda i: piece.counters[i].times)
    single = _apart(piece, number)
    if single is None:
        return None
    parts = [cut(one, axis, start, stop, step) for one in single]
    return None if None in parts else [piece for part in parts for piece in part or ()]


def _apart(piece: Piece, number: int) -> Iterator[Piece] | None:
    """A piece for each value of a counter."""
    counter = piece.counters[number]
    if counter.times > APART:
        return None
    rest = (*piece.counters[:number], *piece.counters[number + 1 :])
    kept = Piece(piece.first, piece.column, rest)
    return (_begun(kept, counter, n) for n in range(counter.times))


# ----------------------------------------------------------------------------- reshapes


def reshaped(piece: Piece, old: Ints, new: Ints) -> Pieces | None:
    """The same elements in row-major order of another shape."""
    along = strides(old)
    flat = [c._replace(steps=(_dot(c.steps, along),)) for c in piece.counters]
    pending = normal((_dot(piece.first, along),), piece.column, flat)
    found: Pieces = []
    while pending:
        part = pending.pop()
        split = _digits(part, new)
        if split is not None:
            found += split
            continue
        smaller = _without_carry(part, new)
        if smaller is None or len(found) + len(pending) > APART:
            return None
        pending += smaller
    return found


def _digits(piece: Piece, shape: Ints) -> Pieces | None:
    """A piece over one axis as one over the shape; None where a counter leaves an axis on the way
    and goes on in the one before."""
    first = _split(piece.first[0], shape)
    counters = [c._replace(steps=_split(c.steps[0], shape)) for c in piece.counters]
    for axis, dim in enumerate(shape):
        moves = [(c.times - 1) * c.steps[axis] for c in counters]
        least, most = (sum(f(move, 0) for move in moves) for f in (min, max))
        if first[axis] + least < 0 or first[axis] + most >= dim:
            return None
    return normal(first, piece.column, counters)


def _split(number: int, shape: Ints) -> Ints:
    """The digits of a number, those of a negative one negative."""
    sign = -1 if number < 0 else 1
    return tuple(
        sign * (abs(number) // stride % dim if dim else 0)
        for stride, dim in zip(strides(shape), shape, strict=True)
    )


def _without_carry(piece: Piece, shape: Ints) -> Pieces | None:
    """The piece over one axis cut where a counter leaves an axis of the shape, or with that
    counter as two: one within the axis, one beyond it."""
    for number, (count, _, (step,)) in enumerate(piece.counters):
        for stride, dim in zip(strides(shape), shape, strict=True):
            unit, row = abs(step), stride * dim
            if not stride <= unit < row or row % unit:
                continue
            place = piece.first[0] // unit % (row // unit)
            if not 0 <= place + (count - 1) * (step // unit) < row // unit:
                return _in_rows(piece, number, row // unit, place)
    if not piece.counters:
        return None
    fewest = min(range(len(piece.counters)), key=lambda i: piece.counters[i].times)
    single = _apart(piece, fewest)
    return None if single is None else list(single)


def _in_rows(piece: Piece, number: int, row: int, place: int) -> Pieces:
    """A counter as one within rows of so many steps and one over rows; what comes before the first
    whole row, or behind the last one, is for itself. ``place``: of the first step in its row."""
    counter = piece.counters[number]
    rest = (*piece.counters[:number], *piece.counters[number + 1 :])
    kept = Piece(piece.first, piece.column, rest)
    head = min(-place % row if counter.steps[0] > 0 else (place + 1) % row, counter.times)
    whole = (counter.times - head) // row
    tail = counter.times - head - whole * row
    found: Pieces = []
    for start, counters in (
        (0, (_scaled(counter, 1, head),)),
        (head, (_scaled(counter, 1, row), _scaled(counter, row, whole))),
        (head + whole * row, (_scaled(counter, 1, tail),)),
    ):
        begin = _begun(kept, counter, start)
        found += _unmerged(begin, counters)
    return found


def _unmerged(piece: Piece, counters: tuple[Counter, ...]) -> Pieces:
    """With further counters, which are to stay apart."""
    if any(counter.times <= 0 for counter in counters):
        return []
    added = tuple(counter for counter in counters if counter.times > 1)
    return [piece._replace(counters=(*piece.counters, *added))]


# ------------------------------------------------------------- places that depend on others


def derived(piece: Piece, axis: int, weights: Ints, constant: int) -> Pieces:
    """With a new axis, on which the place is ``constant + Σ weight · place`` of the old ones."""
    counters = [
        c._replace(steps=_with(c.steps, axis, _dot(c.steps, weights))) for c in piece.counters
    ]
    place = constant + _dot(piece.first, weights)
    return normal(_with(piece.first, axis, place), piece.column, counters)


def restricted(piece: Piece, weights: Ints, total: int) -> Pieces | None:
    """What is at places whose ``Σ weight · place`` is the total."""
    missing = total - _dot(piece.first, weights)
    moves = [_dot(c.steps, weights) for c in piece.counters]
    driving = [i for i, move in enumerate(moves) if move]
    if not driving:
        return [] if missing else [piece]
    rest = tuple(c for i, c in enumerate(piece.counters) if i not in driving)
    kept = Piece(piece.first, piece.column, rest)
    if len(driving) == 1:
        counter, move = piece.counters[driving[0]], moves[driving[0]]
        number, over = divmod(missing, move)
        return [] if over or not 0 <= number < counter.times else [_begun(kept, counter, number)]
    if len(driving) == 2:
        a, b = (piece.counters[i] for i in driving)
        return _in_step(kept, a, b, moves[driving[0]], moves[driving[1]], missing)
    single = _apart(piece, min(driving, key=lambda i: piece.counters[i].times))
    if single is None:
        return None
    found = [restricted(one, weights, total) for one in single]
    return None if None in found else [piece for part in found for piece in part or ()]


def _in_step(piece: Piece, a: Counter, b: Counter, move_a: int, move_b: int, total: int) -> Pieces:
    """With those choices of two more counters for which n · move_a + m · move_b is the total: one
    counter, for n and m go up together."""
    common = math.gcd(move_a, move_b)
    if total % common:
        return []
    by_a, by_b, total = move_a // common, move_b // common, total // common
    n = total * pow(by_a, -1, abs(by_b)) % abs(by_b) if abs(by_b) > 1 else 0
    m = (total - n * by_a) // by_b
    # All solutions: n + t · |by_b|, m − t · by_a · sign(by_b).
    step_n, step_m = abs(by_b), -by_a if by_b > 0 else by_a
    low_a, high_a = _times(n, step_n, a.times)
    low_b, high_b = _times(m, step_m, b.times)
    low, count = max(low_a, low_b), min(high_a, high_b) - max(low_a, low_b) + 1
    if count <= 0:
        return []
    begin = _begun(_begun(piece, a, n + low * step_n), b, m + low * step_m)
    steps = [x * step_n + y * step_m for x, y in zip(a.steps, b.steps, strict=True)]
    both = Counter(count, a.stride * step_n + b.stride * step_m, tuple(steps))
    return normal(begin.first, begin.column, (*begin.counters, both))


def _times(start: int, step: int, count: int) -> tuple[int, int]:
    """The first and the last t for which ``start + t · step`` is from 0 below the count."""
    low, high = (-start, count - 1 - start) if step > 0 else (start - count + 1, start)
    return -(-low // abs(step)), high // abs(step)
