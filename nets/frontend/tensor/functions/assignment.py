"""Assignment: x[key] = value and x += value, as a new value for the tensor x.

Elements never change in place. For each element of x the update knows its *writer*: the position
in ``value`` of what is assigned to it, or none; where a key names an element twice, the last one.
The new elements are gathered from ``value`` by writer, so gradients go to both x and ``value``.

Where x is a view, it is the tensor it was made of that gets a new value: the path of the view is
gone back, step by step, from the part to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nets.errors import DTypeError, ReadOnlyError, ShapeError
from nets.frontend.tensor.dimension import is_open, known, plain, smaller
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    as_tensor,
    constant,
    expand,
    fitted,
    limits_of,
    resized,
    shape_text,
)
from nets.frontend.tensor.functions.index_entries import (
    Entry,
    NewAxis,
    Open,
    Picks,
    Range,
    Whole,
)
from nets.frontend.tensor.functions.indexing import getitem, normal_key, view_moves
from nets.frontend.tensor.functions.shape import flatten, repeated, reshape, under
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.state import assign
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable, is_grad_enabled
from nets.frontend.tensor.views import Step, View, path_to, root_of
from nets.ir.location import user_location
from nets.ir.types import i64


def setitem(x: TensorLike, key: Any, value: TensorLike) -> None:
    """Give the tensor x a new value, that with ``value`` at x[key].

    ``value`` broadcasts to the shape of x[key] and takes the dtype of x. Views of x, and the tensor
    that x is a view of, see it; what was computed from x before does not. Errors are those of
    reading x[key], and ReadOnlyError for views that broadcast. Inside a trace, a tensor that was
    made outside is changed after each call of the compiled function.
    """
    assert isinstance(x, Tensor)
    if not _is_written(x, key, value):
        _give(x, updated(x, key, value))


def _is_written(x: Tensor, key: Any, value: TensorLike) -> bool:
    """Is ``value`` the view x[key]? So it ends in ``x[key] += y``, which has changed x already."""
    if not isinstance(value, View) or value.root is not root_of(x) or value.is_read_only:
        return False
    moves = None if _mask(x, key) is not None else view_moves(x, key)
    return moves is not None and value.path.leads_as(path_to(x, moves))


def in_place(x: TensorLike, new: Tensor) -> Tensor:
    """The tensor x with the elements of ``new``, as ``x += y`` gives them to it.

    Every name and view of x sees them; what was computed from x before does not. A traced Python
    number is no tensor that could change: ``new`` takes its place. ShapeError where ``new`` has
    another shape, DTypeError where it is of another kind than x, ReadOnlyError for a view that
    broadcasts.
    """
    assert isinstance(x, Tensor)
    if x._weak:
        return new
    if new.shape != x.shape:
        raise ShapeError(
            f"a tensor of shape {shape_text(x.shape)} cannot become one of shape "
            f"{shape_text(new.shape)} in place: write x = x + y instead of x += y",
            user_location(),
        )
    if not np.can_cast(new.dtype, x.dtype, "same_kind"):
        raise DTypeError(
            f"a tensor of dtype {x.dtype} cannot hold {new.dtype} in place: write x = x + y "
            "instead of x += y",
            user_location(),
        )
    _give(x, fitted(new, x.type.dtype))
    return x


def _give(x: Tensor, new: Tensor) -> None:
    """Give x another value. Where nothing is recorded it stays the leaf it was."""
    if isinstance(x, View):
        whole = _whole(x, new)
        x.reconnect()
        x, new = x.root, whole
    scope = current_scope()
    if scope is not None:
        scope.lift(x)  # what changes is captured, even where nobody has read it
        new = Tensor._of(scope.lift(new))
    old, value = x._value, new._value
    if is_grad_enabled():
        x._value = value
    elif scope is not None:
        assign(scope, x, value)
    else:
        assert isinstance(old, Variable)
        assert isinstance(value, Variable)
        x._value = old.successor(value.data)


def _whole(view: View, part: Tensor) -> Tensor:
    """The root of a view with the elements of ``part`` where the view shows them."""
    steps = view.steps()
    last = max((i for i, step in enumerate(steps) if step.name in _CUTS), default=0)
    wholes = [view.root]
    for step in steps[:last]:
        wholes.append(step.apply(wholes[-1]))
    for i, step in reversed(list(enumerate(steps))):
        if step.name in _CUTS:
            part = _CUTS[step.name](wholes[i], part, step)
        else:
            part = _MOVED_BACK[step.name](part, step)
    return part


def _with_slice(whole: Tensor, part: Tensor, step: Step) -> Tensor:
    cuts = zip(*(step.attributes[name] for name in ("starts", "stops", "steps")), strict=True)
    return _ranged(whole, list(map(_cut, whole.shape, cuts)), part)


def _cut(size: int, cut: tuple[int, int, int]) -> Entry:
    start, stop, step = map(known, cut)
    if is_open((size, start, stop)):
        return Open(start, stop, step, flipped=False)
    found = range(start, stop, step)
    return Range(found.start, len(found), found.step)


def _with_gathered(whole: Tensor, part: Tensor, step: Step) -> Tensor:
    return updated(whole, (*(slice(None),) * step.attributes["axis"], *step.operands), part)


_CUTS: Final[dict[str, Callable[[Tensor, Tensor, Step], Tensor]]] = {
    "slice": _with_slice,
    "gather": _with_gathered,
}
"""For steps that show a part: the whole with another part."""


def _refuse(part: Tensor, step: Step) -> Tensor:
    raise ReadOnlyError(
        "a tensor that broadcast_to made shows one element in several places and cannot be "
        "written to: write to the tensor it was made of, or to a copy (copy.copy)",
        user_location(),
    )


def _transposed_back(part: Tensor, step: Step) -> Tensor:
    order = step.attributes["axes"]
    return apply("transpose", part, axes=tuple(sorted(range(len(order)), key=order.__getitem__)))


_MOVED_BACK: Final[dict[str, Callable[[Tensor, Step], Tensor]]] = {
    "reshape": lambda part, step: apply("reshape", part, shape=step.before),
    "flip": lambda part, step: apply("flip", part, **step.attributes),
    "transpose": _transposed_back,
    "broadcast": _refuse,
}
"""For steps that show all elements: the step undone."""


def updated(x: Tensor, key: Any, value: TensorLike) -> Tensor:
    """x with ``value`` at x[key], as another tensor."""
    new = fitted(value, x.type.dtype)
    mask = _mask(x, key)
    if mask is not None and (not mask.ndim or new.ndim <= x.ndim - mask.ndim):
        every = under(mask, (*mask.shape, *(1,) * (x.ndim - mask.ndim)))
        return apply("select", expand(every, x.shape), _filling(new, x.shape), x)
    entries = normal_key(key, x.shape, "x = nets.dynamic_update_slice(x, value, i)")
    if any(isinstance(entry, Picks) for entry in entries):
        return _picked(x, entries, new)
    return _ranged(x, entries, new)


def _mask(x: Tensor, key: Any) -> Tensor | None:
    """The key as a bool tensor over the first axes of x, if it is one."""
    if isinstance(key, bool):
        key = np.bool_(key)
    if not isinstance(key, (Tensor, np.ndarray, np.bool_)) or key.dtype != np.bool_:
        return None
    return as_tensor(key) if x.shape[: key.ndim] == tuple(key.shape) else None


# ------------------------------------------------------------- whole numbers and slices


def _ranged(x: Tensor, entries: Sequence[Entry], value: Tensor) -> Tensor:
    """Axis by axis: which positions are written, and from where in ``value``."""
    counts = [_count(e) for e in _on_axes(entries)]
    sizes = iter(counts)
    shape = [1 if isinstance(e, NewAxis) else next(sizes) for e in entries]
    kept = tuple(n for n, e in zip(shape, entries, strict=True) if not isinstance(e, Whole))
    value = under(_filling(value, kept), tuple(counts))
    if any(isinstance(n, int) and n == 0 for n in counts):
        return x
    written = None
    for axis, entry in enumerate(_on_axes(entries)):
        if is_open((x.shape[axis],)) or isinstance(entry, Open):
            value, here = _placed(x, value, axis, _opened(entry))
            if here is not None:
                written = here if written is None else apply("bitwise_and", written, here)
            continue
        positions = _positions(entry)
        if np.array_equal(positions, np.arange(x.shape[axis])):
            continue
        writer = _writer(positions, x.shape[axis])
        value = apply("gather", value, constant(np.maximum(writer, 0)), axis=axis)
        here = constant((writer >= 0).reshape((-1,) + (1,) * (x.ndim - axis - 1)))
        here = expand(here, x.shape)
        written = here if written is None else apply("bitwise_and", written, here)
    return value if written is None else apply("select", written, value, x)


def _filling(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The value broadcast to the places it goes to; it may have more axes of size 1 in front."""
    extra = value.ndim - len(shape)
    if extra > 0 and set(value.shape[:extra]) == {1}:
        value = under(value, value.shape[extra:])
    return repeated(value, shape)


def _on_axes(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not isinstance(entry, NewAxis)]


def _count(entry: Entry) -> int:
    return entry.count if isinstance(entry, Open) else len(_positions(entry))


def _opened(entry: Entry) -> Open:
    if isinstance(entry, Whole):
        return Open(entry.position, entry.position + 1, 1, flipped=False)
    assert isinstance(entry, Open)
    return entry


def _placed(x: Tensor, value: Tensor, axis: int, entry: Open) -> tuple[Tensor, Tensor | None]:
    """The value with its elements along an axis at their places, of as many as x has there; and
    which elements of x they replace, None for all."""
    size = x.shape[axis]
    if entry.step > 1:
        value = _spaced(
            value, axis, entry.step, smaller(entry.step * entry.count, size - entry.start)
        )
    if plain((entry.start, value.shape[axis])) != plain((0, size)):
        before = tuple(entry.start if i == axis else 0 for i in range(x.ndim))
        after = tuple(size - entry.start - n if i == axis else 0 for i, n in enumerate(value.shape))
        zero = constant(np.zeros((), value.dtype))
        value = apply("pad", value, zero, low=before, high=after)
    value = resized(value, (*value.shape[:axis], size, *value.shape[axis + 1 :]))
    here = None
    if plain((entry.start, entry.stop, entry.step)) != plain((0, size, 1)):
        place = apply("iota", shape=(size,), dtype=i64, axis=0) - entry.start
        here = (place >= 0) & (place < entry.stop - entry.start)
        if entry.step > 1:
            here = here & (place % entry.step == 0)
        here = expand(reshape(here, (size, *(1,) * (x.ndim - axis - 1))), x.shape)
    if not entry.flipped:
        return value, here
    flipped = [None if t is None else apply("flip", t, axes=(axis,)) for t in (value, here)]
    assert flipped[0] is not None
    return flipped[0], flipped[1]


def _spaced(x: Tensor, axis: int, step: int, length: int) -> Tensor:
    """x with ``step - 1`` zeros after each element of an axis, as far as they belong to the
    length."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    columns = reshape(x, (*before, x.shape[axis], 1, *after))
    high = tuple(step - 1 if i == axis + 1 else 0 for i in range(columns.ndim))
    zero = constant(np.zeros((), x.dtype))
    rows = apply("pad", columns, zero, low=(0,) * columns.ndim, high=high)
    spaced = apply("reshape", rows, shape=(*before, x.shape[axis] * step, *after))
    stops = (*before, length, *after)
    return apply("slice", spaced, starts=(0,) * x.ndim, stops=stops, steps=(1,) * x.ndim)


def _positions(entry: Entry) -> Array:
    """The positions along an axis, in the order of the values they take."""
    if isinstance(entry, Whole):
        return np.array([entry.position])
    assert isinstance(entry, Range)
    return entry.start + entry.step * np.arange(entry.count)


def _writer(positions: Array, size: int) -> Array:
    """For each place the last position in ``positions`` that names it, or −1."""
    writer = np.full(size, -1)
    writer[positions] = np.arange(len(positions))
    return writer


# ----------------------------------------------------------------------- integer arrays


def _picked(x: Tensor, entries: Sequence[Entry], value: Tensor) -> Tensor:
    """A writer for each element of the flattened x, where the places are known; else a scatter."""
    are_known = all(e.array is not None for e in entries if isinstance(e, Picks))
    if not are_known or is_open(x.shape):
        return _scattered(x, entries, value)
    grid = np.arange(x.size).reshape(x.shape)
    places = grid[tuple(map(_numpy_key, entries))]
    writer = constant(_writer(places.reshape(-1), x.size))
    value = flatten(_filling(value, places.shape))
    if not value.size:
        return x
    chosen = apply("gather", value, writer.clip(0), axis=0)
    return reshape(apply("select", writer >= 0, chosen, flatten(x)), x.shape)


def combined(x: Tensor, key: Any, value: TensorLike, combiner: str) -> Tensor:
    """x with ``value`` combined with x[key], as another tensor; all values of a place in order."""
    new = fitted(value, x.type.dtype)
    mask = _mask(x, key)
    if mask is None:
        entries = normal_key(key, x.shape, "nets.dynamic_update_slice(x, value, i)")
        return _scattered(x, entries, new, combiner)
    places = apply("iota", shape=(x.size,), dtype=i64, axis=0)
    part = updated(expand(constant(_neutral(combiner, x)), x.shape), key, new)
    found = apply("scatter", flatten(x), places, flatten(part), axis=0, combiner=combiner)
    return reshape(found, x.shape)


def _neutral(combiner: str, x: Tensor) -> Array:
    """What changes no number that it is combined with."""
    if combiner in ("add", "mul"):
        return np.array(combiner == "mul", x.dtype)
    is_least = combiner == "max"
    if x.type.dtype.is_float:
        return np.array(-np.inf if is_least else np.inf, x.dtype)
    limits = limits_of(x.type.dtype) if x.type.dtype.is_integer else (0, 1)
    return np.array(limits[0 if is_least else 1], x.dtype)


def _scattered(x: Tensor, entries: Sequence[Entry], value: Tensor, combiner: str = "set") -> Tensor:
    """The last of the values that go to a place stays there, as in NumPy; or all are combined."""
    axis = _only_axis(x, entries)
    if axis is not None:
        picks = entries[axis]
        assert isinstance(picks, Picks)
        index, before, after = picks.tensor, x.shape[:axis], x.shape[axis + 1 :]
        filled = _filling(value, (*before, *index.shape, *after))
        value = under(filled, (*before, index.size, *after))
        line = under(index, (*(1,) * len(before), index.size, *(1,) * len(after)))
        return apply("scatter", x, line, value, axis=axis, combiner=combiner)
    every = reshape(apply("iota", shape=(x.size,), dtype=i64, axis=0), x.shape)
    places = getitem(every, tuple(map(_numpy_key, entries)))
    value = flatten(_filling(value, places.shape))
    found = apply("scatter", flatten(x), flatten(places), value, axis=0, combiner=combiner)
    return reshape(found, x.shape)


def _only_axis(x: Tensor, entries: Sequence[Entry]) -> int | None:
    """The axis that an array picks along, where all others are taken whole."""
    picked = [i for i, entry in enumerate(entries) if isinstance(entry, Picks)]
    if len(picked) != 1 or len(entries) != x.ndim:
        return None
    others = [(i, entry) for i, entry in enumerate(entries) if i != picked[0]]
    whole = [
        isinstance(e, Range) and (e.start, e.count, e.step) == (0, x.shape[i], 1) for i, e in others
    ]
    return picked[0] if all(whole) else None


def _numpy_key(entry: Entry) -> Any:
    if isinstance(entry, NewAxis):
        return None
    if isinstance(entry, Whole):
        return entry.position
    if isinstance(entry, Picks):
        return entry.tensor if entry.array is None else entry.array
    if isinstance(entry, Open):
        return _python_slice(entry)
    stop = entry.start + entry.count * entry.step
    return slice(entry.start, stop if stop >= 0 else None, entry.step)


def _python_slice(entry: Open) -> slice:
    if entry.flipped:
        raise ShapeError(
            "an axis whose size a call tells is not written backwards beside integer arrays: write "
            "x[::-1] = ... by itself",
            user_location(),
        )
    return slice(entry.start, entry.stop, entry.step)
