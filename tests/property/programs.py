"""Random well-typed tensor programs, for tests that hold a pass or a backend to the reference.

``random_program(seed)`` gives an IR Function, the same for the same seed; ``programs()`` is the
hypothesis strategy, which shrinks towards fewer operations of simpler families. Both grow a
program from one stream of choices, "a number below n", where 0 is the simplest choice.

Distribution. A program has a palette of two or three axis sizes (small, primes, powers of two, 1
and 0), one to four arguments of rank 0 to 3 over it, and ``size`` operations. Two thirds of
the arguments have the program's main dtype, f32 or f64; the others any dtype. An operation comes
from a family drawn by weight (``_FAMILIES``); its operands are earlier values, mostly recent
ones, joined to one type by broadcasts and casts. Elementwise ops are drawn from the registry, so
a new one takes part at once, but for early seeds (``LATER_SEEDS``).
What nobody uses is returned, at least one value and at most four.

Inexact values (``nets.Trait.EXACT``) never reach an op that jumps, such as floor or a comparison:
a result one ulp off would then be wrong by a whole step. ``smooth=True`` leaves out integers,
jumps and stop_gradient altogether, for tests of gradients.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import DTypeError, ShapeError
from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import TENSOR_DTYPES, DType, TensorType, bool_, f32, f64, i64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import REGISTRY, Array, definition_of

T = TypeVar("T")
Below = Callable[[int], int]

MAX_ELEMENTS = 3000
"""Values do not grow beyond this, so that thousands of programs run in seconds."""

JUMPS = frozenset(
    (
        *("floor", "ceil", "round", "trunc", "sign", "floor_divide", "remainder", "fmod"),
        *("bitcast", "argmax", "argmin", "argsort", "running_place", "tally"),
        *("max_pool_pick", "max_pool_put"),
        *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    )
)
"""Ops that turn a small difference of an operand into a large one."""

NOT_ITS_SLOPE = frozenset(
    (
        *("stop_gradient", "leaf", "lu_solve", "lu_det", "lu_log_det"),
        *("zeta", "zeta_by_s", "gammainc", "gammaincc", "gammainc_by_a"),
        *("betainc", "betainc_by_a", "betainc_by_b"),
    )
)
"""Ops whose derivative is by definition not that of their function; or not that by all that they
read, as of factors of an operand; or refused by parameters, at first or at second order."""

LATER_SEEDS = 1_000_000
"""Seeds from here on draw from ops that came later, too."""

LARGE_ELEMENTS = 120_000
"""The same of large programs, where loops are long enough for blocks, tiles and threads."""

_AXES = (2, 3, 1, 5, 4, 7, 0, 8, 13, 16, 17, 33, 64, 67)
_LARGE_AXES = (2, 64, 129, 257, 1025, 3, 31, 512, 4099)


def random_program(
    seed: int, size: int = 12, *, smooth: bool = False, large: bool = False
) -> Function:
    """The program of that seed, with ``size`` operations (and some to join their operands).

    Seeds from ``LATER_SEEDS`` on draw from all elementwise ops, those before from the first ones,
    so that an op more is no other program.
    """
    later = seed >= LATER_SEEDS
    grower = _Grower(random.Random(seed).randrange, smooth, large, later)
    return grower.grow(f"program_{seed}", size)


@st.composite
def programs(draw: st.DrawFn, max_size: int = 10, *, smooth: bool = False) -> Function:
    """Programs of up to ``max_size`` operations."""

    def below(n: int) -> int:
        return draw(st.integers(0, n - 1))

    return _Grower(below, smooth, later=True).grow("program", 1 + below(max_size))


def is_exact(op: Operation) -> bool:
    """Does the native result of ``op`` have the bits of the reference?"""
    if op.regions:
        return all(is_exact(inner) for inner in op.walk_regions())
    types = [value.type for value in op.operands]
    return op.has(Trait.TERMINATOR) or definition_of(op).is_exact(types)


# ------------------------------------------------------------------------------ arguments


def arguments(function: Function, rng: np.random.Generator, *, special: bool = True) -> list[Array]:
    """Arrays for the arguments: moderate numbers, and with ``special`` a tenth of extreme ones."""
    return [_draw(argument.type, rng, special) for argument in function.arguments]


def _draw(type: Any, rng: np.random.Generator, special: bool) -> Array:
    shape, dtype = type.static_shape, type.dtype
    if dtype.is_bool:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.is_float:
        ordinary = rng.uniform(-3, 3, shape)
    else:
        ordinary = rng.integers(0 if dtype.kind == "u" else -9, 9, shape)
    array = np.asarray(ordinary).astype(dtype.numpy)
    if not special or rng.integers(0, 2):
        return array
    extremes = rng.choice(_extremes(dtype), shape)
    return np.where(rng.uniform(size=shape) < 0.1, extremes, array)


def _extremes(dtype: DType) -> Array:
    if dtype.is_float:
        limits = np.finfo(dtype.numpy.name)
        values = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -1.5, 2.5, 1.0, -1.0]
        values += [limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, 1e-30, 1e9]
        return np.array(values).astype(dtype.numpy)
    bounds = np.iinfo(dtype.numpy.name)
    return np.array([bounds.min, bounds.max, bounds.max - 1, bounds.min + 1], dtype.numpy)


def strided(array: Array, rng: np.random.Generator) -> Array:
    """An equal array laid out otherwise: transposed memory, gaps, reversed, read-only, unaligned,
    or of the other byte order."""
    layout = rng.integers(0, 7)
    if layout == 1 and array.ndim:
        return np.asfortranarray(array)
    if layout == 2 and array.ndim:
        return np.repeat(array, 3, axis=-1)[..., ::3]
    if layout == 3 and array.ndim:
        return array[::-1].copy()[::-1]
    if layout == 4:
        array = array.copy()
        array.flags.writeable = False
    elif layout == 5:
        memory = np.zeros(array.nbytes + 1, np.uint8)
        unaligned = memory[1:].view(array.dtype).reshape(array.shape)
        unaligned[...] = array
        return unaligned
    elif layout == 6:
        return array.astype(array.dtype.newbyteorder())
    return array


# ------------------------------------------------------------------------------- programs


class _Grower:
    """A program in the making: the values there are, and where choices come from."""

    def __init__(
        self, below: Below, smooth: bool, large: bool = False, later: bool = False
    ) -> None:
        self.below = below
        self.later = later
        self.unary, self.binary = _OPS if later else _FIRST_OPS
        self.most = LARGE_ELEMENTS if large else MAX_ELEMENTS
        self.smooth = smooth
        self.dtypes: tuple[DType, ...] = (f64,) if smooth else TENSOR_DTYPES
        self.main = f64 if smooth else self.pick((f32, f64))
        self.sizes = [self.pick(_LARGE_AXES if large else _AXES) for _ in range(2 + below(2))]
        self.values: list[Value] = []
        self.inexact: set[Value] = set()

    def grow(self, name: str, size: int) -> Function:
        types = [self.type() for _ in range(1 + self.below(4))]
        function = Function(name, types, [f"x{i}" for i in range(len(types))])
        self.emitter = GraphEmitter(Builder(function.body))
        self.values += function.arguments
        for _ in range(size):
            self.pick(_FAMILIES)(self)
        unused = [value for value in self.values if not value.uses]
        results = unused[-4:] or [self.values[-1]]
        if not self.below(8):
            results.append(self.pick(self.values))
        self.emitter.emit_all("return", *results)
        return function

    # Choices.
    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def value(self) -> Value:
        """An earlier value, every other time one of the last three."""
        return self.pick(self.values[-3:][::-1] if self.below(2) else self.values)

    def dtype(self) -> DType:
        return self.pick(self.dtypes) if self.below(3) == 2 else self.main

    def type(self) -> TensorType:
        shape = tuple(self.pick(self.sizes) for _ in range(self.below(4)))
        return TensorType(self.limited(shape), self.dtype())

    def limited(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The last axes of the shape, as many as are not too large."""
        while int(np.prod(shape)) > self.most:
            shape = shape[1:]
        return shape

    def scalar(self, dtype: DType) -> Value:
        number = self.pick((0.0, 1.0, 2.0, 0.5, -1.0, -2.5, 3.0, 7.0))
        if dtype.kind != "f":
            number = abs(int(number))
        return self.emitter.constant(number, dtype)

    # Emission.
    def emit(self, name: str, *operands: Value, **attributes: Any) -> Value | None:
        """The result, or None where the op does not take these operands."""
        jumps = name in JUMPS or (name == "cast" and not attributes["dtype"].is_float)
        if jumps and (self.smooth or not self.inexact.isdisjoint(operands)):
            return None
        if self.smooth and name in NOT_ITS_SLOPE:
            return None
        try:
            result = self.emitter.emit(name, *operands, **attributes)
        except (ShapeError, DTypeError):
            return None
        op = result.operation
        assert op is not None
        if shape_of(result).size > self.most:
            op.erase()
            return None
        if not is_exact(op) or not self.inexact.isdisjoint(operands):
            self.inexact.add(result)
        self.values.append(result)
        return result

    def like(self, x: Value) -> Value:
        """A value of the type of ``x``: itself, another, a cast, or a broadcast number."""
        same = [value for value in self.values if value.type == x.type]
        choice = self.below(4)
        if choice == 1:
            castable = [v for v in self.values if shape_of(v).shape == shape_of(x).shape]
            found = self.emit("cast", self.pick(castable), dtype=x.type.dtype)
            if found is not None:
                return found
        if choice == 2:
            return self.emitter.broadcast(self.scalar(x.type.dtype), shape_of(x).shape, ())
        return self.pick(same)

    def axis(self, x: Value) -> int | None:
        rank = shape_of(x).rank
        return self.below(rank) if rank else None

    def axes(self, x: Value) -> tuple[int, ...]:
        return tuple(axis for axis in range(shape_of(x).rank) if self.below(2) == 0)


def shape_of(x: Value) -> TensorType:
    assert isinstance(x.type, TensorType)
    return x.type


# ------------------------------------------------------------------------------- families


def _elementwise(count: int) -> list[str]:
    return [
        name
        for name, definition in REGISTRY.items()
        if definition.traits & Trait.ELEMENTWISE
        and len(definition.operand_names) == count
        and not definition.attribute_names
    ]


_LATER = frozenset(
    (
        *("tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh", "arccosh"),
        *("arctanh", "exp2", "log2", "log10", "cbrt", "hypot", "logaddexp", "logaddexp2"),
        *("fmod", "gcd", "erfc", "erfcx", "erfinv", "ndtr", "log_ndtr", "ndtri", "gammaln"),
        *("gamma", "beta", "betaln", "digamma", "zeta", "zeta_by_s", "i0", "i0e", "i1", "i1e"),
    )
)
"""Ops that came when seeds had been counted on."""

_OPS = _elementwise(1), _elementwise(2)
_FIRST_OPS = tuple([name for name in names if name not in _LATER] for names in _OPS)

_PARTLY_DEFINED = (
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "power",
    "log2",
    "log10",
    "gammaln",
    "digamma",
    "zeta",
    "zeta_by_s",
)
"""Ops that are NaN for negative operands, and mostly get none, for NaN hides what follows."""

_UP_TO_ONE = ("arcsin", "arccos", "arctanh", "erfinv", "ndtri")
"""Ops that are NaN beyond ±1, and mostly get a number between."""


def _unary(g: _Grower) -> None:
    name, x = g.pick(g.unary), g.value()
    if name in _UP_TO_ONE and g.below(4):
        x = g.emit("tanh", x) or x
    g.emit(name, _positive(g, x) if name in _PARTLY_DEFINED else x)


def _positive(g: _Grower, x: Value) -> Value:
    return (g.emit("abs", x) or x) if g.below(4) else x


def _binary(g: _Grower) -> None:
    name, x = g.pick(g.binary), g.value()
    y = g.like(x)
    x, y = (x, y) if g.below(2) else (y, x)
    g.emit(name, _positive(g, x) if name in _PARTLY_DEFINED else x, y)


def _select(g: _Grower) -> None:
    x = g.value()
    y = g.like(x)
    shape = shape_of(x).shape
    conditions = [v for v in g.values if v.type == TensorType(shape, bool_)]
    if not conditions:
        condition = g.emit(g.pick(("less", "equal")), x, y)
        conditions = [condition] if condition is not None else []
    if conditions:
        chosen = g.pick(conditions)
        g.emit("select", chosen, x, y)
        if not shape:
            _require(g, x, chosen)


def _require(g: _Grower, x: Value, condition: Value) -> None:
    """With a condition that holds: something is so, or it is not so."""
    other = g.emit("bitwise_invert", condition)
    holds = other and g.emit("bitwise_or", condition, other)
    if holds:
        g.emit("require", x, holds, error="NumberError", message="not so")


def _cast(g: _Grower) -> None:
    if g.later and not g.below(3):
        x = g.value()
        size = x.type.dtype.itemsize
        if not x.type.dtype.is_bool:
            same = [d for d in TENSOR_DTYPES if d.itemsize == size and not d.is_bool]
            g.emit("bitcast", x, dtype=g.pick(same))
        return
    g.emit("cast", g.value(), dtype=g.dtype())


def _broadcast(g: _Grower) -> None:
    x = g.value()
    shape = [g.pick(g.sizes) if dim == 1 and g.below(2) else dim for dim in shape_of(x).shape]
    axes = list(range(len(shape)))
    for _ in range(g.below(3)):
        place = g.below(len(shape) + 1)
        shape.insert(place, g.pick(g.sizes))
        axes = [axis + (axis >= place) for axis in axes]
    if len(shape) <= 5:
        g.emit("broadcast", x, shape=tuple(shape), axes=tuple(axes))


def _reduce(g: _Grower) -> None:
    x = g.value()
    names = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
    name = g.pick(("reduce_any", "reduce_all") if x.type.dtype.is_bool else names)
    axes = g.axes(x) or tuple(range(shape_of(x).rank))
    g.emit(name, x, axes=axes)


def _position(g: _Grower) -> None:
    x = g.value()
    axis = g.axis(x)
    if axis is not None:
        g.emit(g.pick(("argmax", "argmin")), x, axis=axis)
        _sort(g, x)
        _running(g, x, axis)


def _transpose(g: _Grower) -> None:
    x = g.value()
    axes = list(range(shape_of(x).rank))
    order = [axes.pop(g.below(len(axes))) for _ in range(len(axes))]
    g.emit("transpose", x, axes=tuple(order))


def _reshape(g: _Grower) -> None:
    x = g.value()
    shape = list(shape_of(x).static_shape)
    if len(shape) > 1 and g.below(2):
        place = g.below(len(shape) - 1)
        shape[place : place + 2] = [shape[place] * shape[place + 1]]
    elif shape and g.below(2):
        place = g.below(len(shape))
        factor = next((n for n in (2, 3, 5, 7, 13) if shape[place] % n == 0), 1)
        shape[place : place + 1] = [factor, shape[place] // factor]
    else:
        shape.insert(g.below(len(shape) + 1), 1)
    if len(shape) <= 5:
        g.emit("reshape", x, shape=tuple(shape))


def _slice(g: _Grower) -> None:
    x = g.value()
    starts, stops, steps = [], [], []
    for dim in shape_of(x).static_shape:
        start = g.below(min(dim, 3) + 1)
        starts.append(start)
        stops.append(dim - g.below(min(dim - start, 3) + 1))
        steps.append(1 + g.below(3))
    g.emit("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))


def _flip(g: _Grower) -> None:
    x = g.value()
    g.emit("flip", x, axes=g.axes(x))


def _pad(g: _Grower) -> None:
    x = g.value()
    low, high = ([g.below(3) for _ in shape_of(x).shape] for _ in range(2))
    g.emit("pad", x, g.scalar(x.type.dtype), low=tuple(low), high=tuple(high))


def _concatenate(g: _Grower) -> None:
    x = g.value()
    axis = g.axis(x)
    if axis is not None:
        g.emit("concatenate", *(g.like(x) for _ in range(1 + g.below(3))), axis=axis)


def _neighbours(g: _Grower) -> None:
    """A sum of windows on one tensor that are shifted against each other, filled with a number.

    Every other time on a tensor that is padded already, mostly with another number.
    """
    x = g.value()
    if g.below(2):
        margins = tuple(g.below(3) for _ in shape_of(x).shape)
        x = g.emit("pad", x, g.scalar(x.type.dtype), low=margins, high=margins[::-1]) or x
    sizes, number = shape_of(x).static_shape, g.scalar(x.type.dtype)
    total: Value | None = None
    for _ in range(2 + g.below(3)):
        shifts = [min(g.below(5), size + 2) - 2 for size in sizes]
        part = g.emit(
            "slice",
            x,
            starts=tuple(max(shift, 0) for shift in shifts),
            stops=tuple(
                max(size + min(shift, 0), 0) for size, shift in zip(sizes, shifts, strict=True)
            ),
            steps=(1,) * len(sizes),
        )
        if part is None:
            return
        low = tuple(max(-shift, 0) for shift in shifts)
        high = tuple(
            size - first - width
            for size, first, width in zip(sizes, low, shape_of(part).static_shape, strict=True)
        )
        moved = g.emit("pad", part, number, low=low, high=high)
        total = moved if total is None or moved is None else g.emit("add", total, moved)
        if total is None:
            return


def _iota(g: _Grower) -> None:
    shape = g.limited(tuple(g.pick(g.sizes) for _ in range(1 + g.below(3))))
    if shape:
        g.emit("iota", shape=shape, dtype=g.dtype(), axis=g.below(len(shape)))


def _constant(g: _Grower) -> None:
    type = g.type()
    ordinals = np.arange(type.size) * 7 % 5 - (0 if type.dtype.kind in "bu" else 2)
    g.emit("constant", value=ordinals.reshape(type.static_shape).astype(type.dtype.numpy))


def _indices(g: _Grower, size: int) -> Value | None:
    """Indices of an axis of that size, negative ones too: constants or computed ones brought
    into range; None for an empty axis."""
    if size == 0:
        return None
    computed = [v for v in g.values if v.type.dtype == i64 and v not in g.inexact]
    if computed and g.below(2):
        x = g.pick(computed)
        low, high = (g.emitter.full_like(x, bound) for bound in (-size, size - 1))
        low_enough = g.emit("minimum", x, high)
        return g.emit("maximum", low_enough, low) if low_enough is not None else None
    picked = [g.below(2 * size) - size for _ in range(g.below(6))]
    return g.emitter.constant(np.array(picked, dtype=np.int64), i64)


def _gather(g: _Grower) -> None:
    x = g.value()
    axis = g.axis(x)
    if axis is not None:
        indices = _indices(g, shape_of(x).static_shape[axis])
        if indices is not None:
            g.emit("gather", x, indices, axis=axis)


def _pick(g: _Grower) -> None:
    x = g.value()
    axis = g.axis(x)
    if axis is None or not shape_of(x).static_shape[axis]:
        return
    shape, size = list(shape_of(x).static_shape), shape_of(x).static_shape[axis]
    shape[axis] = 1 if g.below(3) else g.below(9)
    if np.prod(shape) > MAX_ELEMENTS:
        return
    picked = [g.below(2 * size) - size for _ in range(int(np.prod(shape)))]
    indices = g.emitter.constant(np.reshape(picked, shape).astype(np.int64), i64)
    g.emit("pick", x, indices, axis=axis)


def _scatter_add(g: _Grower) -> None:
    x = g.value()
    axis = g.axis(x)
    if axis is None or x.type.dtype.is_bool:
        return
    indices = _indices(g, shape_of(x).static_shape[axis])
    if indices is None:
        return
    updates = g.emit("gather", x, indices, axis=axis)
    if updates is not None:
        g.emit("scatter_add", x, indices, g.like(updates), axis=axis)
        _scatter(g, x, axis)


def _scatter(g: _Grower, x: Value, axis: int) -> None:
    """Updates of elements, or of slices, at constant indices."""
    shape, size = list(shape_of(x).static_shape), shape_of(x).static_shape[axis]
    shape[axis] = 1 + g.below(9)
    combiners = ("add", "set") if g.smooth else ("add", "set", "mul", "max", "min")
    line = [n if i == axis else 1 for i, n in enumerate(shape)]
    own = shape if g.below(2) else line
    if np.prod(shape) > MAX_ELEMENTS:
        return
    picked = [g.below(2 * size) - size for _ in range(int(np.prod(own)))]
    indices = g.emitter.constant(np.reshape(picked, own).astype(np.int64), i64)
    whole = g.emitter.constant(np.reshape([0] * int(np.prod(shape)), shape).astype(np.int64), i64)
    updates = g.emit("pick", x, whole, axis=axis)
    if updates is not None:
        name = "set" if x.type.dtype.is_bool else g.pick(combiners)
        g.emit("scatter", x, indices, g.like(updates), axis=axis, combiner=name)


def _sort(g: _Grower, x: Value) -> None:
    """Elements in order, or the positions that order them; equal ones have no slope."""
    if not g.smooth:
        g.emit(g.pick(("sort", "argsort")), x, descending=bool(g.below(2)))


def _running(g: _Grower, x: Value, axis: int) -> None:
    """Sums, products and extremes along an axis, or numbers counted; of products of numbers that
    are off by rounding, the last ones are off by much."""
    kind, reverse = g.pick(("add", "extreme", "product", "tally")), bool(g.below(2))
    if kind == "tally":
        number = x if x.type.dtype == i64 else g.emit("cast", x, dtype=i64)
        slots = None if number is None else g.emit("bitwise_and", number, _few(g, number))
        if slots is not None:
            g.emit("tally", slots, length=1 + g.below(14))
    elif kind == "extreme":
        name = g.pick(("running", "running_place"))
        g.emit(name, x, axis=axis, combiner=g.pick(("max", "min")), reverse=reverse)
    elif kind == "add":
        g.emit("running", x, axis=axis, combiner="add", reverse=reverse)
    elif x not in g.inexact:
        g.emit("running", x, axis=axis, combiner="mul", reverse=reverse)
        terms = g.like(x)
        if terms not in g.inexact:
            g.emit("running_linear", x, terms, axis=axis, reverse=reverse)


def _few(g: _Grower, like: Value) -> Value:
    """What leaves few bits of a number."""
    return g.emitter.full_like(like, 15)


def _window(g: _Grower) -> None:
    """A window at a start that is known or not, read or written."""
    x = g.value()
    dims = shape_of(x).static_shape
    starts = [_window_start(g) for _ in dims]
    part = g.emit(
        "dynamic_slice", x, *starts, shape=tuple(n - g.below(min(n, 4) + 1) for n in dims)
    )
    if part is not None and g.below(2):
        g.emit("dynamic_update_slice", x, g.like(part), *starts[1:], *starts[:1])


def _window_start(g: _Grower) -> Value:
    values = [value for value in g.values if value.type == TensorType((), i64)]
    return g.pick(values) if values and g.below(2) else g.emitter.constant(g.below(15) - 7, i64)


def _matmul(g: _Grower) -> None:
    x = g.value()
    type = shape_of(x)
    if type.rank < 2:
        return
    fitting = [
        value
        for value in g.values
        if value.type.dtype == type.dtype
        and shape_of(value).rank == type.rank
        and shape_of(value).shape[:-1] == (*type.shape[:-2], type.shape[-1])
    ]
    if not fitting or g.below(2):
        axes = (*range(type.rank - 2), type.rank - 1, type.rank - 2)
        flipped = g.emit("transpose", g.like(x), axes=axes)
        fitting = [flipped] if flipped is not None else []
    if fitting:
        g.emit("matmul", x, g.pick(fitting))


_CONVOLUTION_TERMS = 100_000


def _image(g: _Grower) -> Value | None:
    """A float tensor of three axes, or of four as one image of several channels."""
    x = g.value()
    shape = shape_of(x).static_shape
    if len(shape) != 3 or not x.type.dtype.is_float or 0 in shape[1:]:
        return None
    return g.emit("reshape", x, shape=(1, *shape)) if g.below(2) else x


def _margins(g: _Grower, space: Sequence[int]) -> dict[str, tuple[int, ...]]:
    bounds = {"steps": (1, 3), "low": (0, 2), "high": (0, 2), "dilation": (1, 2)}
    return {key: tuple(lo + g.below(n) for _ in space) for key, (lo, n) in bounds.items()}


def _convolution(g: _Grower) -> None:
    """An image and a kernel that is its corner, and perhaps what derivatives are made of."""
    x = _image(g)
    if x is None:
        return
    n, channels, *space = shape_of(x).static_shape
    kernel = tuple(min(size, 1 + g.below(3)) for size in space)
    lone = g.below(3) == 2
    shape = (channels, 1, *kernel) if lone else (n, channels, *kernel)
    terms = shape_of(x).size * math.prod(kernel) * (1 if lone else n)
    if terms > _CONVOLUTION_TERMS:
        return
    stops = (1 if lone else n, channels, *kernel)
    steps, starts = (1,) * len(stops), (0,) * len(stops)
    corner = g.emit("slice", x, starts=starts, stops=stops, steps=steps) if n else None
    if corner is None:
        return
    w = g.emitter.reshape(corner, shape)
    options: dict[str, Any] = {**_margins(g, space), "groups": channels if lone else 1}
    y = g.emit("conv", x, w, **options)
    if y is not None and g.below(2):
        g.emit("conv_input", y, w, shape=tuple(space), **options)
        g.emit("conv_weight", x, y, shape=kernel, **options)


def _pool(g: _Grower) -> None:
    x = _image(g)
    if x is None:
        return
    space = shape_of(x).static_shape[2:]
    windows = {"shape": tuple(1 + g.below(3) for _ in space), **_margins(g, space)}
    y = g.emit("max_pool", x, **windows)
    if y is not None:
        g.emit("max_pool_pick", x, g.like(x), **windows)
        g.emit("max_pool_put", x, y, **windows)


_FAMILIES: tuple[Callable[[_Grower], None], ...] = (
    *[_unary] * 6,
    *[_binary] * 7,
    *[_broadcast] * 3,
    *[_reduce] * 3,
    *[_select] * 2,
    *[_cast] * 2,
    *[_transpose] * 2,
    *[_reshape] * 2,
    *[_slice] * 2,
    _flip,
    _pad,
    _concatenate,
    _neighbours,
    _matmul,
    _gather,
    _pick,
    _scatter_add,
    _window,
    _position,
    _iota,
    _constant,
    _convolution,
    _pool,
)
"""Simplest first, for shrinking; the repetitions are the weights."""
