"""Transfers: what the values of shards come to, as operations between ranks.

A rank has as many shards as every other one, and their numbers follow each other. Where that number
is a power of two, a rank's own shards are a subtree of the tree that all are added along, so it
adds them up before it sends anything. Small vectors go to all ranks, each of which adds up the rest
of the tree. For large ones ranks halve them recursively (Thakur, Rabenseifner and Gropp,
"Optimization of collective communication operations in MPICH", 2005, section 4.3), but begin with
the nearest partner, which is the sibling in the tree: every sum is that of the tree, whichever way
is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from nets.ir.core import Value
from nets.ir.types import Shape, i64
from nets.ops.collective.shards import COMBINERS, along_tree
from nets.ops.definition.emitter import Emitter, tensor_type

Rows = Sequence[Value]
"""A value of each shard of this rank."""

GATHERED_BYTES: Final = 1 << 15
"""Vectors up to this many bytes go to all ranks at once. Measured where docs/scaling.md says."""


class Transfers:
    """Emits what joins the ``shards`` of a program that runs on so many ``ranks``."""

    def __init__(self, b: Emitter, shards: int, ranks: int) -> None:
        self.b = b
        self.shards = shards
        self.ranks = ranks
        self.local = shards // ranks
        self._adds_own = ranks == 1 or _is_power_of_two(self.local)

    # ---------------------------------------------------------------------- reductions

    def reduce(self, values: Sequence[Rows], reduction: str) -> list[Value]:
        """Each value, given by its rows, joined over all shards; all have one dtype."""
        if self.ranks == 1:
            joined = [self._joined(rows, reduction) for rows in values]
        else:
            joined = self._over_ranks(values, reduction)
        return [self._mean(x) if reduction == "mean" else x for x in joined]

    def _over_ranks(self, values: Sequence[Rows], reduction: str) -> list[Value]:
        """One vector takes them all."""
        sent = [[self._joined(rows, reduction)] if self._adds_own else rows for rows in values]
        vectors = [self._vector(parts) for parts in zip(*sent, strict=True)]
        (vector,) = vectors if len(vectors) == 1 else (None,)
        type = tensor_type(vectors[0])
        is_large = type.size * type.dtype.itemsize * (self.ranks - 2) > GATHERED_BYTES
        if vector is not None and is_large and _is_power_of_two(self.ranks):
            total = self._by_halves(vector, reduction)
        else:
            total = self._by_gathering(vectors, reduction)
        return self._parts(total, [rows[0] for rows in values])

    def _joined(self, rows: Rows, reduction: str) -> Value:
        combiner = COMBINERS[reduction]
        return along_tree(rows, lambda x, y: self.b.emit(combiner, x, y))

    def _mean(self, total: Value) -> Value:
        if _is_power_of_two(self.shards):
            return self.b.scale(total, 1 / self.shards)  # the same number, and sooner
        return self.b.div(total, self.b.full_like(total, self.shards))

    def _by_gathering(self, vectors: Rows, reduction: str) -> Value:
        found = [self._gathered(x) for x in vectors]
        rows = [self._row(stack, rank) for rank in range(self.ranks) for stack in found]
        return self._joined(rows, reduction)

    def _by_halves(self, vector: Value, reduction: str) -> Value:
        size = tensor_type(vector).size
        padded = self._padded(vector, -(-size // self.ranks) * self.ranks)
        rows = self.b.reshape(padded, (self.ranks, -(-size // self.ranks)))
        piece = self._scattered(rows, reduction)
        pieces = self._gathered(piece)
        found = self.b.reshape(self._reordered(pieces), (tensor_type(padded).size,))
        return self._slice(found, 0, size)

    def _scattered(self, rows: Value, reduction: str) -> Value:
        """Of the rows, one for each rank, joined over the ranks: that whose number is this rank's
        with its bits in reverse."""
        b, combiner = self.b, COMBINERS[reduction]
        rank = self.rank()
        one = b.constant(1, i64)
        for step in range(self.ranks.bit_length() - 1):
            count, *shape = tensor_type(rows).shape
            assert isinstance(count, int)
            half = (count // 2, *shape)
            shifted = b.emit("bitwise_right_shift", rank, b.constant(step, i64))
            bit = b.emit("bitwise_and", shifted, one)
            kept = self._half(rows, half, bit)
            sent = self._half(rows, half, b.sub(one, bit))
            theirs = b.emit("exchange_ranks", sent, ranks=self.ranks, distance=1 << step)
            rows = b.emit(combiner, kept, theirs)
        return b.reshape(rows, tensor_type(rows).shape[1:])

    def _half(self, rows: Value, shape: Shape, number: Value) -> Value:
        start = self.b.mul(number, self.b.full((), shape[0], i64))
        zeros = [self.b.constant(0, i64) for _ in shape[1:]]
        return self.b.emit("dynamic_slice", rows, start, *zeros, shape=shape)

    def _reordered(self, pieces: Value) -> Value:
        """The pieces by their place; they come by rank, and each rank has that place whose bits are
        its own in reverse."""
        steps = self.ranks.bit_length() - 1
        shape = tensor_type(pieces).shape
        split = self.b.reshape(pieces, (*(2,) * steps, *shape[1:]))
        axes = [*reversed(range(steps)), *range(steps, steps + len(shape) - 1)]
        return self.b.reshape(self.b.transpose(split, axes), shape)

    # --------------------------------------------------------------------------- others

    def gather(self, rows: Rows) -> Value:
        """The values of all shards, along a new first axis."""
        stack = self.stacked(rows)
        if self.ranks == 1:
            return stack
        return self.b.reshape(self._gathered(stack), (self.shards, *tensor_type(stack).shape[1:]))

    def broadcast(self, rows: Rows, root: int) -> Value:
        """The value of one shard."""
        rank, number = divmod(root, self.local)
        if self.ranks == 1:
            return rows[number]
        return self.b.emit("broadcast_ranks", rows[number], ranks=self.ranks, root=rank)

    def scatter(self, rows: Rows) -> list[Value]:
        """Of the sum of the values, which have a slice for each shard, those of this rank's."""
        if self.local == 1 and _is_power_of_two(self.ranks) and self.ranks > 1:
            return [self._scattered(self._reordered(rows[0]), "sum")]
        (total,) = self.reduce([rows], "sum")
        own = self.own_slices(total, 1)
        return [self._row(own, i) for i in range(self.local)]

    def barrier(self) -> None:
        if self.ranks > 1:
            self._gathered(self.b.full((1,), 0, i64))

    def rank(self) -> Value:
        """The number of this rank."""
        if self.ranks == 1:
            return self.b.constant(0, i64)
        return self.b.emit("rank")

    def indices(self) -> Rows:
        """The numbers of this rank's shards."""
        first = self.b.mul(self.rank(), self.b.constant(self.local, i64))
        return [self.b.add(first, self.b.constant(i, i64)) for i in range(self.local)]

    def own_slices(self, x: Value, per_shard: int) -> Value:
        """The slices of x along its first axis that belong to this rank, where each shard has so
        many."""
        shape = tensor_type(x).shape
        if self.ranks == 1:
            return x
        count = self.local * per_shard
        start = self.b.mul(self.rank(), self.b.constant(count, i64))
        zeros = [self.b.constant(0, i64) for _ in shape[1:]]
        return self.b.emit("dynamic_slice", x, start, *zeros, shape=(count, *shape[1:]))

    # ---------------------------------------------------------------------------- parts

    def stacked(self, rows: Rows) -> Value:
        parts = [self.b.reshape(x, (1, *tensor_type(x).shape)) for x in rows]
        return self.b.emit("concatenate", *parts, axis=0) if len(parts) > 1 else parts[0]

    def rows(self, stack: Value) -> Rows:
        """The slices of a stack over this rank's shards."""
        return [self._row(stack, i) for i in range(self.local)]

    def _row(self, stack: Value, number: int) -> Value:
        shape = tensor_type(stack).shape
        return self.b.reshape(self._slice(stack, number, number + 1), shape[1:])

    def _slice(self, x: Value, start: int, stop: int) -> Value:
        """The slices of x from one number below another along the first axis."""
        shape = tensor_type(x).shape
        if (start, stop) == (0, shape[0]):
            return x
        rest = shape[1:]
        return self.b.emit(
            "slice",
            x,
            starts=(start, *(0 for _ in rest)),
            stops=(stop, *rest),
            steps=(1,) * len(shape),
        )

    def _gathered(self, x: Value) -> Value:
        return self.b.emit("gather_ranks", x, ranks=self.ranks)

    def _vector(self, parts: Rows) -> Value:
        """The elements of all parts, one after the other."""
        flat = [self.b.reshape(x, (tensor_type(x).size,)) for x in parts]
        return self.b.emit("concatenate", *flat, axis=0) if len(flat) > 1 else flat[0]

    def _parts(self, vector: Value, like: Sequence[Value]) -> list[Value]:
        """What a vector was put together from."""
        found, start = [], 0
        for x in like:
            type = tensor_type(x)
            part = self._slice(vector, start, start + type.size)
            found.append(self.b.reshape(part, type.shape))
            start += type.size
        return found

    def _padded(self, vector: Value, size: int) -> Value:
        type = tensor_type(vector)
        if type.size == size:
            return vector
        rest = self.b.full((size - type.size,), 0, type.dtype)
        return self.b.emit("concatenate", vector, rest, axis=0)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0 < number


def bytes_of(x: Value) -> int:
    """The bytes of a tensor."""
    type = tensor_type(x)
    return math.prod(type.static_shape) * type.dtype.itemsize
