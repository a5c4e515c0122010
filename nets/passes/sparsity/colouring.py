"""Colouring: how few products with a derivative tell all of its elements.

Columns that meet in no row can share a seed: one product with the sum of their unit vectors gives
all of them (A. R. Curtis, M. J. D. Powell and J. K. Reid, On the estimation of sparse Jacobian
matrices, 1974). Rows likewise, with products from the left. Of a symmetric matrix an element may be
told by its mirror, so that the columns need a star colouring alone (A. H. Gebremedhin, F. Manne and
A. Pothen, What color is your Jacobian?, 2005; with A. Tarafdar, New acyclic and star coloring
algorithms, 2007): neighbours differ, and no path of four has two colours.

Sets of colours are the bits of Python's integers, so that a column costs a step per element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nets.ops.definition.registry import Array
from nets.passes.sparsity.pattern import Pattern
from nets.passes.sparsity.pieces import sorted_once

Neighbours = Sequence[Sequence[int]]

MOST_EDGES: Final = 1 << 20
"""Pairs of columns that meet up to which columns are also taken smallest last."""


@dataclass(frozen=True, slots=True, eq=False)
class Colouring:
    """Seeds, and where their products tell the elements of a pattern.

    ``colours``: of each column, or of each row where ``by_rows``; 0 to ``count`` − 1. Element k of
    the pattern is element ``place[k]`` of the product with seed ``seed[k]``.
    """

    colours: Array
    count: int
    by_rows: bool
    seed: Array
    place: Array


def coloured(pattern: Pattern) -> Colouring:
    """The colouring of columns or rows, whichever takes fewer colours; columns, if both do."""
    rows, cols = pattern.rows, pattern.cols
    by_columns = _fewest(_distinct, cols, rows, pattern.shape[::-1])
    by_rows = by_columns
    if max(by_columns, default=0) >= _most(cols):
        by_rows = _fewest(_distinct, rows, cols, pattern.shape)
    if max(by_rows, default=-1) < max(by_columns, default=-1):
        colours = np.array(by_rows, np.int64)
        return Colouring(colours, _count(colours), True, colours[rows], cols)
    colours = np.array(by_columns, np.int64)
    return Colouring(colours, _count(colours), False, colours[cols], rows)


def star_coloured(pattern: Pattern) -> Colouring:
    """The star colouring of a symmetric pattern."""
    rows, cols, size = pattern.rows, pattern.cols, pattern.shape[0]
    beside = rows != cols
    colours = np.array(_fewest(_stars, rows[beside], cols[beside], (size, size)), np.int64)
    count = _count(colours)
    # An element tells itself where no other one of its row has its column's colour.
    meetings = rows * max(count, 1) + colours[cols]
    alone = np.bincount(meetings, minlength=1)[meetings] == 1
    seed = np.where(alone, colours[cols], colours[rows])
    return Colouring(colours, count, False, seed, np.where(alone, rows, cols))


def _count(colours: Array) -> int:
    return int(colours.max()) + 1 if colours.size else 0


# ------------------------------------------------------------------------------ greedy

Greedy = Callable[[Iterable[int], Neighbours, int], list[int]]


def _fewest(greedy: Greedy, own: Array, others: Array, shape: tuple[int, int]) -> list[int]:
    """The best of what a greedy colouring gives for several orders of the ``own``."""
    busy = np.flatnonzero(np.bincount(own, minlength=shape[0]))
    if busy.size < shape[0]:  # the rest meets nobody
        colours, place = np.zeros(shape[0], np.int64), np.zeros(shape[0], np.int64)
        place[busy] = np.arange(busy.size)
        other, size = (place[others], busy.size) if greedy is _stars else (others, shape[1])
        colours[busy] = _fewest(greedy, place[own], other, (busy.size, size))
        found: list[int] = colours.tolist()
        return found
    met = _lists(own, others, shape[0])
    bound = _most(others) if greedy is _distinct else 2
    best = greedy(range(shape[0]), met, shape[1])
    for order in (_largest_first, _smallest_last):
        if max(best, default=0) < bound:
            break
        places = order(own, others, shape)
        if places is not None:
            best = min(best, greedy(places, met, shape[1]), key=max)
    return best


def _most(others: Array) -> int:
    """How often the commonest one is there: so many colours it takes."""
    return max(int(np.bincount(others, minlength=1).max()), 1)


def _lists(own: Array, others: Array, count: int) -> list[list[int]]:
    """The others of each own one."""
    order = np.argsort(own, kind="stable")
    ends = np.cumsum(np.bincount(own, minlength=count))
    listed, start, found = others[order].tolist(), 0, []
    for end in ends.tolist():
        found.append(listed[start:end])
        start = end
    return found


def _distinct(order: Iterable[int], met: Neighbours, others: int) -> list[int]:
    """Each with the least colour that no one has that it meets."""
    taken, colours = [0] * others, [0] * len(met)
    for own in order:
        used = 0
        for other in met[own]:
            used |= taken[other]
        free = ~used & (used + 1)
        colours[own] = free.bit_length() - 1
        for other in met[own]:
            taken[other] |= free
    return colours


def _largest_first(own: Array, others: Array, shape: tuple[int, int]) -> list[int]:
    """First those that meet most."""
    counts = np.bincount(others, minlength=shape[1])
    weight = np.bincount(own, weights=counts[others], minlength=shape[0])
    found: list[int] = np.argsort(-weight, kind="stable").tolist()
    return found


def _smallest_last(own: Array, others: Array, shape: tuple[int, int]) -> list[int] | None:
    """Last the one that meets fewest, before it that of the rest, and so on; None where that is
    too much work."""
    edges = _edges(own, others, shape)
    if edges is None:
        return None
    beside = _lists(*edges, shape[0])
    degrees = list(map(len, beside))
    buckets: list[list[int]] = [[] for _ in range(max(degrees, default=0) + 1)]
    for own_, degree in enumerate(degrees):
        buckets[degree].append(own_)
    order, least = list[int](), 0
    while len(order) < len(degrees):
        while not buckets[least]:
            least += 1
        one = buckets[least].pop()
        if degrees[one] != least:  # it has moved to another bucket, or is done
            continue
        order.append(one)
        degrees[one] = -1
        for other in beside[one]:
            if degrees[other] > 0:
                degrees[other] -= 1
                buckets[degrees[other]].append(other)
        least = max(least - 1, 0)
    return order[::-1]


def _edges(own: Array, others: Array, shape: tuple[int, int]) -> tuple[Array, Array] | None:
    """The pairs of different own ones that meet; None where there may be too many."""
    counts = np.bincount(others, minlength=shape[1])
    if float(np.sum(counts.astype(np.float64) ** 2)) > MOST_EDGES:
        return None
    order = np.argsort(others, kind="stable")
    sorted_own, sizes = own[order], counts[others[order]]
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    total = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
    pairs = sorted_once(np.repeat(sorted_own, sizes) * shape[0] + sorted_own[total])
    first, second = np.divmod(pairs, max(shape[0], 1))
    return first[first != second], second[first != second]


# ------------------------------------------------------------------------------- stars


def _stars(order: Iterable[int], beside: Neighbours, _: int) -> list[int]:
    """A star colouring: each the least colour that makes no path of four with two colours.

    The edges between two colours form stars. ``seen`` has the colours beside each vertex,
    ``hubs`` those of vertices beside it that are the hubs of stars it is a leaf of.
    """
    count = len(beside)
    colours, seen, hubs = [-1] * count, [0] * count, [0] * count
    leaf: list[dict[int, int]] = [{} for _ in range(count)]  # the first one beside of each colour
    for v in order:
        around = [w for w in beside[v] if colours[w] >= 0]
        used = _forbidden(around, colours, seen, hubs)
        free = ~used & (used + 1)
        colours[v] = free.bit_length() - 1
        _join(v, around, colours, seen, hubs, leaf)
    return colours


def _forbidden(
    around: Sequence[int], colours: Sequence[int], seen: Sequence[int], hubs: Sequence[int]
) -> int:
    """The colours a vertex may not have, for the coloured ones around it."""
    once = twice = 0
    for w in around:
        bit = 1 << colours[w]
        twice |= once & bit
        once |= bit
    used = once
    for w in around:
        # It will be the hub of those of one colour: none of them may be a hub as well.
        used |= seen[w] if twice >> colours[w] & 1 else hubs[w]
    return used


def _join(
    v: int,
    around: Sequence[int],
    colours: Sequence[int],
    seen: list[int],
    hubs: list[int],
    leaf: list[dict[int, int]],
) -> None:
    """Tell those around a vertex that it has its colour."""
    own = colours[v]
    bit = 1 << own
    for w in around:
        if seen[w] & bit:  # w is the hub of v and of those before it
            hubs[v] |= 1 << colours[w]
            hubs[leaf[w][own]] |= 1 << colours[w]
        else:
            leaf[w][own] = v
            seen[w] |= bit
        if seen[v] >> colours[w] & 1:  # v is the hub of w and of one before it
            hubs[w] |= bit
            hubs[leaf[v][colours[w]]] |= bit
        else:
            leaf[v][colours[w]] = w
            seen[v] |= 1 << colours[w]
