"""Views: tensors that show elements of another one, as in NumPy.

Basic indexing, reshape, transpose and their relatives give views. A view has no value of its own:
it knows its *root*, the tensor whose elements it shows, and the *path* of operations that leads
from there. It remembers the value of the root it was computed from; when the root has another one,
it walks the path again. A write through a view is a new value of the root
(``nets.frontend.tensor.functions.assignment``), which every other view then sees.

Invariants: a root is no view; a path has a step; only shapes, and never elements, decide whether
something is a view. New tensors count as row-major, whatever the array that holds them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final
from typing import cast as typed

import numpy as np
import numpy.typing as npt

from nets.errors import GradientError, ShapeError
from nets.frontend.tensor.conversion import array_of
from nets.frontend.tensor.dimension import is_open, plain
from nets.frontend.tensor.dispatch import apply, constant, shape_text
from nets.frontend.tensor.operators import Operators
from nets.frontend.tensor.scope import Consumed, Scope, current_scope, is_live
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable, enable_grad, is_grad_enabled, no_grad
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.sizes import divided
from nets.ir.types import TensorType
from nets.ops.definition.emitter import tensor_type

Shape = tuple[int, ...]

Strides = tuple[int, ...]
"""Distances between neighbours along each axis, counted in elements."""


Attributes = dict[str, Any]
Move = tuple[str, Attributes, tuple[Tensor, ...]]
"""An operation that shows the elements of a tensor under other axes: its name, its attributes, and
what it takes beside the tensor, which is the position of a gather."""


class Step:
    """The last step of a path, and by ``previous`` all before it."""

    __slots__ = ("_strides", "attributes", "before", "name", "operands", "previous")

    def __init__(self, previous: Step | None, move: Move, before: Shape) -> None:
        self.previous = previous
        self.name, attributes, self.operands = move
        self.attributes = {key: plain(x) for key, x in attributes.items()}
        self.before: Shape = plain(tuple(before))
        """The shape of what the operation is applied to."""
        self._strides: Strides | None = None

    def apply(self, x: Tensor) -> Tensor:
        """What the step makes of a tensor."""
        return apply(self.name, x, *self.operands, **self.attributes)

    def leads_as(self, other: Step) -> bool:
        """Do both paths consist of the same operations?"""
        own: Step | None = self
        its: Step | None = other
        while own is not its:
            if own is None or its is None or not own._is_same(its):
                return False
            own, its = own.previous, its.previous
        return True

    def _is_same(self, other: Step) -> bool:
        same = self.name == other.name and self.attributes == other.attributes
        return same and all(map(_are_equal, self.operands, other.operands))

    def strides(self) -> Strides:
        """Where NumPy would find the elements in the memory of a row-major root."""
        pending: list[Step] = []
        step: Step | None = self
        while step is not None and step._strides is None:
            pending.append(step)
            step = step.previous
        if step is None:
            strides = _row_major(pending[-1].before)
        else:
            assert step._strides is not None
            strides = step._strides
        for step in reversed(pending):
            strides = step._strides = _STRIDES[step.name](strides, step)
        return strides


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Are two positions the same, as far as is known now?"""
    a, b = one._value, other._value
    if isinstance(a, Variable) and isinstance(b, Variable):
        return np.array_equal(a.data, b.data)
    return one is other


Memo = tuple[Value, Value]
"""A value of the root, and that of the view there."""


class View(Tensor):
    """Elements of another tensor under other axes."""

    __slots__ = ("_is_cut", "_memo", "_root", "_way")

    _root: Tensor
    _way: tuple[Step | None, Sequence[Move]]
    """A path and what it lacks to lead to the view; it is completed when somebody asks."""
    _memo: Memo
    _is_cut: bool
    """Whether no gradient passes: the view was made under no_grad."""

    @property
    def _value(self) -> Value:
        now = self._root._value
        seen, held = self._memo
        return held if now is seen else self._refreshed(now)

    @_value.setter
    def _value(self, value: Value) -> None:
        """Hold a value of its own from now on."""
        self._root = Tensor._of(value)

    @property
    def root(self) -> Tensor:
        """The tensor whose elements the view shows."""
        return self._root

    @property
    def type(self) -> TensorType:
        """Shape and dtype, which never change."""
        return tensor_type(self._memo[1])

    @property
    def path(self) -> Step:
        """How the root leads to the view."""
        path, moves = self._way
        if moves:
            path = _extended(path, self._root, moves)
            self._way = path, ()
        assert path is not None
        return path

    def steps(self) -> list[Step]:
        """Those of the path, from the root on."""
        found = []
        step: Step | None = self.path
        while step is not None:
            found.append(step)
            step = step.previous
        return found[::-1]

    @property
    def is_read_only(self) -> bool:
        """Does the view show an element in several places, or might it?"""
        return any(step.name == "broadcast" for step in self.steps())

    def staged(self) -> Value:
        """The value in the current scope of a view that was made before it, by way of its root:
        so it changes where the root does."""
        return self._refreshed(self._root._value)

    def reconnect(self) -> None:
        """Take part in gradients from now on, where these are recorded: of what is written."""
        self._is_cut = self._is_cut and not is_grad_enabled()

    def _refreshed(self, now: Value) -> Value:
        """The value where the root has the value ``now``."""
        old = self._memo[1]
        if isinstance(now, Consumed):
            return now
        if not isinstance(old, Variable) and not is_live(old):
            return old  # kept from a trace that has ended: whoever uses it is told so
        new = self._replayed()
        scope = current_scope()
        if scope is not None:
            scope.views.setdefault(id(self), (self, self._memo))
        elif isinstance(old, Variable) and isinstance(new, Variable) and now.owner is None:
            # The root stays the leaf it was, and so do its views.
            new.gradient = old.gradient
            if new.owner is None:
                new.requires_grad = old.requires_grad and old.owner is None
        self._memo = now, new
        return new

    def _replayed(self) -> Value:
        tensor = self._root
        with no_grad() if self._is_cut else enable_grad():
            if self._is_cut:
                tensor = apply("stop_gradient", tensor)
            for step in self.steps():
                tensor = step.apply(tensor)
        return tensor._value

    # ------------------------------------------------------------- what a view does otherwise

    @property
    def data(self) -> Array:
        """As of any tensor; assigning to it changes the tensor that the view is of."""
        return Tensor.data.fget(self)  # type: ignore[attr-defined, no-any-return]

    @data.setter
    def data(self, new: npt.ArrayLike | Operators) -> None:
        scope = current_scope()
        part = new if isinstance(new, Tensor) and scope else constant(array_of(new))
        if part.shape != self.shape:
            raise ShapeError(
                f"a tensor of shape {shape_text(self.shape)} cannot take data of shape "
                f"{shape_text(part.shape)}",
                user_location(),
            )
        with no_grad():
            self[...] = part.astype(self.dtype)

    @property
    def grad(self) -> Tensor | None:
        """As of any tensor, outside of traces."""
        self._refuse_gradient()
        return Tensor.grad.fget(self)  # type: ignore[attr-defined, no-any-return]

    @grad.setter
    def grad(self, new: npt.ArrayLike | Operators | None) -> None:
        self._refuse_gradient()
        Tensor.grad.fset(self, new)  # type: ignore[attr-defined]

    def zero_grad(self) -> None:
        """As of any tensor, outside of traces."""
        self._refuse_gradient()
        super().zero_grad()

    def _refuse_gradient(self) -> None:
        scope = current_scope()
        if scope is not None and isinstance(before_scope(scope, self), Variable):
            raise GradientError(
                "inside a trace the gradient of a view goes to the tensor it was made of: use "
                "the gradient of that",
                user_location(),
            )

    def __copy__(self) -> Tensor:
        scope = current_scope()
        return Tensor._of(self._value if scope is None else scope.lift(self), self._weak)

    def __deepcopy__(self, memo: dict[int, object]) -> Tensor:
        return copy.deepcopy(copy.copy(self), memo)

    def __reduce_ex__(self, protocol: object) -> Any:
        return copy.deepcopy(self).__reduce_ex__(protocol)


def before_scope(scope: Scope, view: View) -> Value:
    """What a view held when the scope was entered."""
    _, memo = scope.views.get(id(view), (view, view._memo))
    found: Value = memo[1]
    return found


# ------------------------------------------------------------------------------ making


def view(x: Tensor, *moves: Move) -> Tensor:
    """``x`` after these operations, sharing its elements."""
    made = x
    for name, attributes, operands in moves:
        made = apply(name, made, *operands, **attributes)
    return shown(x, made, moves)


def shown(x: Tensor, made: Tensor, moves: Sequence[Move]) -> Tensor:
    """The same, where ``made`` is what the operations gave."""
    if x._weak:
        return made  # a Python number is no tensor that could change
    found = View.__new__(View)
    found._weak = False
    found._is_cut = not is_grad_enabled()
    if isinstance(x, View):
        found._root, found._way = x._root, (x.path, moves)
        found._is_cut |= x._is_cut
    else:
        found._root, found._way = x, (None, moves)
    found._memo = found._root._value, made._value
    return found


def reshaped(x: Tensor, shape: Shape) -> Tensor:
    """``x`` under another shape of as many elements: a view where NumPy gives one."""
    if isinstance(x, View) and _reshaped(x.path.strides(), plain(x.shape), plain(shape)) is None:
        return apply("reshape", x, shape=shape)
    return view(x, ("reshape", {"shape": shape}, ()))


def root_of(x: Tensor) -> Tensor:
    """The tensor that holds the elements of ``x``."""
    return x._root if isinstance(x, View) else x


def path_to(x: Tensor, moves: Sequence[Move]) -> Step:
    """The path from the root of ``x`` to what these operations make of it."""
    return _extended(x.path if isinstance(x, View) else None, root_of(x), moves)


def _extended(path: Step | None, root: Tensor, moves: Sequence[Move]) -> Step:
    """The path and these moves after it; ``root`` is where it starts."""
    for move in moves:
        name, attributes, _ = move
        merge = _MERGED.get(name)
        if path is None:
            path = Step(None, move, root.shape)
        elif merge is not None and path.name == name and not _is_open(name, path, attributes):
            merged = merge(path.attributes, attributes)
            path = Step(path.previous, (name, merged, ()), path.before)
        else:
            path = Step(path, move, _SHAPES[path.name](path.before, path.attributes))
    assert path is not None
    return path


def _is_open(name: str, path: Step, attributes: Attributes) -> bool:
    """Has a slice, or one before it, bounds that only a call tells?"""
    if name != "slice":
        return False
    both = (path.attributes, attributes)
    return any(is_open((*bounds["starts"], *bounds["stops"])) for bounds in both)


# ------------------------------------------------------------------- what each step does


def _after_slice(shape: Shape, attributes: Attributes) -> Shape:
    bounds = (attributes[name] for name in ("starts", "stops", "steps"))
    cuts = zip(*bounds, strict=True)
    return tuple((stop - start + step - 1) // step for start, stop, step in cuts)


def _without(items: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    return (*items[:axis], *items[axis + 1 :])


def _permuted(items: tuple[Any, ...], axes: Sequence[int]) -> tuple[Any, ...]:
    return tuple(items[axis] for axis in axes)


_SHAPES: Final[dict[str, Callable[[Shape, Attributes], Shape]]] = {
    "slice": _after_slice,
    "flip": lambda shape, attributes: shape,
    "reshape": lambda shape, attributes: attributes["shape"],
    "broadcast": lambda shape, attributes: attributes["shape"],
    "transpose": lambda shape, attributes: _permuted(shape, attributes["axes"]),
    "gather": lambda shape, attributes: _without(shape, attributes["axis"]),
}
"""The shape after an operation on a shape; a gather is at one position."""


def _cut(first: Attributes, second: Attributes) -> Attributes:
    """Both slices as one."""
    starts, stops, steps = [], [], []
    for axis, step in enumerate(first["steps"]):
        kept = range(first["starts"][axis], first["stops"][axis], step)
        kept = kept[second["starts"][axis] : second["stops"][axis] : second["steps"][axis]]
        starts.append(kept[0] if kept else 0)
        stops.append(kept[-1] + 1 if kept else 0)
        steps.append(kept.step if kept else 1)
    return {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}


_MERGED: Final[dict[str, Callable[[Attributes, Attributes], Attributes]]] = {
    "slice": _cut,
    "flip": lambda a, b: {"axes": tuple(sorted({*a["axes"]} ^ {*b["axes"]}))},
    "reshape": lambda a, b: b,
    "transpose": lambda a, b: {"axes": _permuted(a["axes"], b["axes"])},
}
"""One operation for two of that name: so a name that is cut and cut again has a short path."""


def _row_major(shape: Shape) -> Strides:
    strides, distance = [], 1
    for size in reversed(shape):
        strides.append(distance)
        distance *= size
    return tuple(reversed(strides))


def _flipped(strides: Strides, step: Step) -> Strides:
    axes = step.attributes["axes"]
    return tuple(-n if axis in axes else n for axis, n in enumerate(strides))


def _repeated(strides: Strides, step: Step) -> Strides:
    """Axes that repeat stay in one place."""
    shape, axes = step.attributes["shape"], step.attributes["axes"]
    found = [0] * len(shape)
    for size, distance, axis in zip(step.before, strides, axes, strict=True):
        found[axis] = distance if size == shape[axis] else 0
    return tuple(found)


def _of_reshape(strides: Strides, step: Step) -> Strides:
    found = _reshaped(strides, step.before, step.attributes["shape"])
    assert found is not None
    return found


def _reshaped(strides: Strides, before: Shape, shape: Shape) -> Strides | None:
    """Distances under another shape; None where the elements would have to be moved.

    Axes before and after are taken in the shortest runs of as many elements; the axes of a run
    must lie in one another without gaps. So NumPy decides, too.
    """
    if 0 in before or strides == _row_major(before):
        return _row_major(shape)
    old = [(size, distance) for size, distance in zip(before, strides, strict=True) if size != 1]
    found: list[int] = []
    for size in reversed(shape):
        if size == 1:
            found.append(0)
            continue
        if not old:
            return None
        run, distance = old.pop()
        while (rest := divided(run, size)) is None:
            if not old:
                return None
            outer, apart = old.pop()
            if apart != distance * run:
                return None
            run *= outer
        found.append(distance)
        if rest != 1:
            old.append((typed(int, rest), distance * size))
    return tuple(reversed(found))


_STRIDES: Final[dict[str, Callable[[Strides, Step], Strides]]] = {
    "slice": lambda strides, step: tuple(map(operator.mul, strides, step.attributes["steps"])),
    "flip": _flipped,
    "reshape": _of_reshape,
    "broadcast": _repeated,
    "transpose": lambda strides, step: _permuted(strides, step.attributes["axes"]),
    "gather": lambda strides, step: _without(strides, step.attributes["axis"]),
}
"""The distances after a step from those before it."""
