"""Scatter: updates combined, in order, with the elements of a tensor at indices along an axis.

Where several updates meet in one element, they are combined in the order that they have along the
axis, so that the result is the same for any number of threads (numerics.md, 2).
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, Shape, TensorType, i64
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.definition.stacks import each_repeated
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.tensor.indexing import checked_position, normal_positions

COMBINERS: Final = ("set", "add", "mul", "max", "min")
"""What an update does to an element: takes its place, or is combined with it."""

_UFUNCS: Final = {"add": np.add, "mul": np.multiply}


@op("scatter", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.CHECKED, ("axis", "combiner"))
class Scatter:
    """x with each update combined into the element at its index along ``axis``.

    The updates have the shape of x but for the axis. So have the indices, or size 1 in all other
    axes: then they are those of slices. ``combiner`` is one of ``COMBINERS``; with "set" the last
    update of an element is the one that stays. Bools are only set. A NaN is the largest and the
    smallest number. Elements that tie share the gradient of "max" and "min" equally; the derivative
    of "mul" divides, so at zeros it holds to the first order.
    """

    operands = ("x", "indices", "updates")
    samples = [
        sample(
            draw.f32(3, 5), draw.i64(4, 5, low=-3, high=2), draw.f32(4, 5), axis=0, combiner="add"
        ),
        sample(
            draw.f64(3, 5), draw.i64(4, 1, low=-3, high=2), draw.f64(4, 5), axis=0, combiner="set"
        ),
        sample(
            draw.f64(2, 3, 4),
            draw.i64(2, 6, 4, low=-3, high=2),
            draw.f64(2, 6, 4),
            axis=1,
            combiner="set",
        ),
        sample(draw.f64(7), draw.i64(9, low=-7, high=6), draw.f64(9), axis=0, combiner="max"),
        sample(
            draw.f64(2, 3), draw.i64(1, 5, low=-3, high=2), draw.f64(2, 5), axis=1, combiner="min"
        ),
        sample(
            draw.f64(4, 3, low=1),
            draw.i64(5, 3, low=0, high=3),
            draw.f64(5, 3, low=1),
            axis=0,
            combiner="mul",
        ),
        sample(
            draw.u8(3, 5), draw.i64(3, 7, low=-5, high=4), draw.u8(3, 7), axis=1, combiner="mul"
        ),
        sample(
            draw.boolean(5), draw.i64(3, low=-5, high=4), draw.boolean(3), axis=0, combiner="set"
        ),
        sample(draw.i32(3, 5), draw.i64(0, 5), draw.i32(0, 5), axis=0, combiner="max"),
        sample(draw.f32(0, 5), draw.i64(0, 3), draw.f32(0, 3), axis=1, combiner="add"),
    ]

    def infer(
        x: TensorType, indices: TensorType, updates: TensorType, *, axis: int, combiner: str
    ) -> TensorType:
        if combiner not in COMBINERS:
            raise DTypeError(f"scatter has no combiner {combiner!r}")
        if indices.dtype != i64:
            raise DTypeError(f"scatter takes indices of dtype i64, not {indices}")
        if x.dtype != updates.dtype:
            raise DTypeError(f"scatter needs one dtype, not {x} and {updates}")
        if x.dtype.is_bool and combiner != "set":
            raise DTypeError(f"scatter only sets bools, it does not {combiner} them: {x}")
        if not 0 <= axis < x.rank:
            raise ShapeError(f"scatter into {x} has no axis {axis}")
        if updates.rank != x.rank or _around(updates.shape, axis) != _around(x.shape, axis):
            raise ShapeError(f"scatter into {x} along axis {axis} takes no updates {updates}")
        count = updates.shape[axis]
        line = (*(1,) * axis, count, *(1,) * (x.rank - axis - 1))
        if indices.shape not in (updates.shape, line):
            raise ShapeError(f"scatter of updates {updates} takes no indices {indices}")
        return x

    def evaluate(x: Array, indices: Array, updates: Array, *, axis: int, combiner: str) -> Array:
        positions = normal_positions("scatter", indices, axis, x.shape[axis])
        result = x.copy()
        place: Any = list(np.ogrid[tuple(slice(n) for n in updates.shape)])
        place[axis] = np.broadcast_to(positions, updates.shape)
        if combiner == "set":
            result[tuple(place)] = updates
        elif combiner in _UFUNCS:
            _UFUNCS[combiner].at(result, tuple(place), updates)
        else:
            _put_extremes(result, place, updates, combiner)
        return result

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        axis: int,
        combiner: str,
    ) -> tuple[Callable[[], Value], None, Callable[[], Value]]:
        x, indices, updates = operands
        ct = cts[0]
        way = _Way(b, indices, updates, axis)
        if combiner == "set":
            return (
                lambda: way.scatter(ct, b.full(way.shape, 0, ct.type.dtype), "set"),
                None,
                lambda: way.of_last(way.take(ct), x),
            )
        if combiner == "add":
            return lambda: ct, None, lambda: way.take(ct)
        factors = way.factors(x, results[0], ct, combiner)
        return (
            lambda: b.mul(ct, factors()[0]),
            None,
            lambda: b.mul(way.take(ct), factors()[1]),
        )

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        axis: int,
        combiner: str,
    ) -> Tangents:
        x, indices, updates = operands
        of_x, _, of_updates = tangents
        dtype = next(t.type.dtype for t in (of_x, of_updates) if t is not None)
        of_x = b.full(tensor_type(x).shape, 0, dtype) if of_x is None else of_x
        of_updates = (
            b.full(tensor_type(updates).shape, 0, dtype) if of_updates is None else of_updates
        )
        way = _Way(b, indices, updates, axis)
        if combiner in ("set", "add"):
            return (way.scatter(of_x, of_updates, combiner),)
        to_x, to_updates = way.factors(x, results[0], of_x, combiner)()
        return (way.scatter(b.mul(of_x, to_x), b.mul(of_updates, to_updates), "add"),)

    def footprint(
        f: Footprints,
        x: Footprint,
        indices: Footprint,
        updates: Footprint,
        *,
        axis: int,
        combiner: str,
    ) -> Footprint:
        """Of indices that are not known, an update may go to any element of its row."""
        known = indices.known
        if known is not None and known.ndim == len(x.shape):
            return f.union(x, _linked(f, x, known, updates, axis))
        others = tuple(i for i in range(len(x.shape)) if i != axis)
        return f.union(x, f.broadcast(f.reduce(updates, (axis,)), x.shape, others))

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        *,
        axis: int,
        combiner: str,
    ) -> tuple[Value]:
        x, updates = each_repeated(b, operands[::2], stacked[::2], size)
        indices = operands[1]
        if stacked[1]:
            shape = tensor_type(updates).shape
            indices = b.broadcast(indices, shape, range(len(shape)))
        elif tensor_type(indices).shape == tensor_type(updates).shape[1:]:
            indices = b.repeated(indices, size)
        else:
            indices = b.reshape(indices, (1, *tensor_type(indices).shape))
        return (b.emit("scatter", x, indices, updates, axis=axis + 1, combiner=combiner),)

    updates = 0

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        axis: int,
        combiner: str,
    ) -> None:
        """In order along the axis; rows before it, and runs of what is behind it, by themselves."""
        x, indices, updates = operands
        shape, count = buffer_type(x).shape, buffer_type(updates).shape[axis]
        outer, size, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        out = s.view(results[0], BufferType((outer, size, inner), x.type.dtype))
        line = buffer_type(indices).shape != buffer_type(updates).shape
        _Loops(s, out, indices, updates, axis, count, line, combiner).write()


def _linked(f: Footprints, x: Footprint, known: Array, updates: Footprint, axis: int) -> Footprint:
    """Each update at the element that it goes to."""
    size = x.shape[axis]
    places = list(np.ogrid[tuple(slice(n) for n in updates.shape)])
    places[axis] = np.where(known < 0, known + size, known)
    inside = np.broadcast_to((places[axis] >= 0) & (places[axis] < size), updates.shape)
    numbers = np.arange(math.prod(x.shape)).reshape(x.shape)
    places[axis] = np.clip(places[axis], 0, max(size - 1, 0))
    targets = np.broadcast_to(numbers[tuple(places)], updates.shape) if size else numbers
    sources = np.flatnonzero(inside)
    return f.link(updates, x.shape, targets.ravel()[sources], sources)


def _around(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _put_extremes(result: Array, place: list[Any], updates: Array, combiner: str) -> None:
    """The extremes by their op's own rule, which ties of 0 and −0 are told by."""
    extreme = np.maximum if combiner == "max" else np.minimum
    extreme.at(result, tuple(place), updates)


class _Way:
    """From updates to the elements that they meet, and back, for the derivatives."""

    def __init__(self, b: Emitter, indices: Value, updates: Value, axis: int) -> None:
        self.b, self.indices, self.axis = b, indices, axis
        self.shape = tensor_type(updates).shape
        self.updates = updates

    def scatter(self, x: Value, updates: Value, combiner: str) -> Value:
        b, indices = self.b, self.indices
        return b.emit("scatter", x, indices, updates, axis=self.axis, combiner=combiner)

    def take(self, x: Value) -> Value:
        """For each update the element of x at its index."""
        if tensor_type(self.indices).shape == self.shape:
            return self.b.emit("pick", x, self.indices, axis=self.axis)
        flat = self.b.reshape(self.indices, (self.shape[self.axis],))
        return self.b.emit("gather", x, flat, axis=self.axis)

    def of_last(self, value: Value, x: Value) -> Value:
        """The value where no later update goes to the same element, else 0."""
        b, axis = self.b, self.axis
        own = tensor_type(self.indices).shape
        numbers = b.emit("iota", shape=own, dtype=i64, axis=axis)
        size = tensor_type(x).shape[axis]
        none = b.full((*own[:axis], size, *own[axis + 1 :]), 0, i64)
        last = b.emit("scatter", none, self.indices, numbers, axis=axis, combiner="set")
        found = b.emit("pick", last, self.indices, axis=axis)
        is_last = b.compare("equal", found, numbers)
        spread = b.broadcast(is_last, self.shape, range(len(self.shape)))
        return b.select(spread, value, b.zero(value))

    def factors(
        self, x: Value, result: Value, like: Value, combiner: str
    ) -> Callable[[], tuple[Value, Value]]:
        """What cotangents of x and of the updates are multiplied by, made once."""
        made: list[tuple[Value, Value]] = []

        def make() -> tuple[Value, Value]:
            if not made:
                rule = self._products if combiner == "mul" else self._shares
                dtype = like.type.dtype
                made.append(rule(*(self.b.cast(v, dtype) for v in (x, self.updates, result))))
            return made[0]

        return make

    def _shares(self, x: Value, updates: Value, result: Value) -> tuple[Value, Value]:
        b = self.b
        chosen = (self._same(x, result), self._same(updates, self.take(result)))
        ones = [b.cast(each, result.type.dtype) for each in chosen]
        share = b.div(b.one(result), self.scatter(ones[0], ones[1], "add"))
        return b.mul(ones[0], share), b.mul(ones[1], self.take(share))

    def _same(self, x: Value, y: Value) -> Value:
        """Whether they are equal, or NaN both."""
        b = self.b
        nans = b.emit("bitwise_and", b.compare("not_equal", x, x), b.compare("not_equal", y, y))
        return b.emit("bitwise_or", b.compare("equal", x, y), nans)

    def _products(self, x: Value, updates: Value, result: Value) -> tuple[Value, Value]:
        """The product of the others: of all but zeros, over the number; 0 where there is a zero
        among the others."""
        b = self.b
        zeros = [b.compare("equal", each, b.zero(each)) for each in (x, updates)]
        others = [
            b.select(zero, b.one(each), each)
            for zero, each in zip(zeros, (x, updates), strict=True)
        ]
        counts = [b.cast(zero, result.type.dtype) for zero in zeros]
        count = self.scatter(counts[0], counts[1], "add")
        product = self.scatter(others[0], others[1], "mul")
        found = []
        for own, number, all_, whole in (
            (counts[0], others[0], count, product),
            (counts[1], others[1], self.take(count), self.take(product)),
        ):
            is_alone = b.compare("equal", all_, own)
            found.append(b.select(is_alone, b.div(whole, number), b.zero(whole)))
        return found[0], found[1]


class _Loops:
    """The loops of one scatter over buffers."""

    def __init__(
        self,
        s: Lowering,
        out: Value,
        indices: Value,
        updates: Value,
        axis: int,
        count: Dim,
        line: bool,
        combiner: str,
    ) -> None:
        self.s, self.out, self.indices, self.updates = s, out, indices, updates
        self.axis, self.count, self.line, self.combiner = axis, count, line, combiner
        self.outer, self.size, self.inner = buffer_type(out).shape

    def write(self) -> None:
        s = self.s
        rows = s.parallel(0, self.outer)
        with s.inside(rows) as body:
            row = Affine.of(body.arguments[0])
            picks = s.for_(0, self._upto())
            with s.inside(picks) as pick:
                number = Affine.of(pick.arguments[0])
                if self.line:
                    target = self._position(number)
                    self._run(row, number, lambda _: target)
                else:
                    start = (row * self.count + number) * self.inner
                    self._run(row, number, lambda step: self._position(start + step))
                s.yield_()
            s.yield_()

    def _upto(self) -> Dim | Value:
        """The number of updates along the axis: none of them where the axis has size 0, which is
        refused if there are any."""
        s, count = self.s, self.count
        if not isinstance(self.size, Size):
            return count
        is_some = s.compare("ne", s.index(self.size), s.index(0))
        is_fine = s.binary("or", is_some, s.compare("eq", s.index(count), s.index(0)))
        s.fail_unless(is_fine, f"scatter: axis {self.axis} has size 0, and indices none")
        return s.select(is_some, s.index(count), s.index(0))

    def _position(self, place: Affine) -> Affine:
        picked = self.s.load(self.indices, place)
        return Affine.of(checked_position(self.s, "scatter", picked, self.axis, self.size))

    def _run(self, row: Affine, number: Affine, position: Callable[[Affine], Affine]) -> None:
        s = self.s
        loop = s.for_(0, self.inner)
        with s.inside(loop) as body:
            step = Affine.of(body.arguments[0])
            at = position(step)
            if self.size != 0:
                update = s.load(self.updates, (row * self.count + number) * self.inner + step)
                target = (row * self.size + at) * self.inner + step
                if self.combiner != "set":
                    update = s.binary(self.combiner, s.load(self.out, target), update)
                s.store(update, self.out, target)
            s.yield_()
