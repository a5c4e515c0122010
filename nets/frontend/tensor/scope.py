"""Scope: the function being traced, and what it captures from outside.

A thread has a stack of scopes; the innermost one receives every operation on traced tensors. A
value belongs to the scope whose function body holds it. What an operation needs from elsewhere is
*captured*: an eager tensor, or a value of an outer scope, becomes one more argument of the function
and is bound when the function is called, or inlined into the outer scope.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

from nets.errors import DonatedError, LeakedTracerError, NetsError
from nets.frontend.tensor.variable import Array, Variable
from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Value
from nets.ir.dims import Requirement
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Range, Ranges, Size, at_most, bounds, equal, expression
from nets.ir.types import TensorType, Type
from nets.ops.definition.emitter import GraphEmitter

if TYPE_CHECKING:
    from nets.frontend.tensor.state import Gradients
    from nets.frontend.tensor.tensor import Tensor
    from nets.frontend.tensor.views import Memo, View


class Consumed(Value):
    """The value of a tensor whose elements a call has taken over; its type is gone, too."""

    __slots__ = ()

    def __init__(self) -> None:
        self.owner = None
        self.index = 0
        self.hint = ""
        self.uses = {}

    @property
    def type(self) -> Type:  # type: ignore[override]
        raise self.error()

    def error(self) -> DonatedError:
        """The error for a use of such a tensor."""
        return DonatedError(
            "this tensor was donated to a traced function, which has stored its results where the "
            "elements were; use what the function returned, or do not donate it",
            user_location(),
        )


CONSUMED: Final = Consumed()


class Outside:
    """Something besides a tensor that a program reads from outside at each call."""

    def now(self) -> Value:
        """What it holds now."""
        raise NotImplementedError

    @property
    def _value(self) -> Value:
        return self.now()


Source: TypeAlias = "Tensor | Outside"
"""What a program may take from outside."""


class Surroundings(Protocol):
    """The world of an outermost trace, as far as single operations ask for it."""

    def source(self, array: Array) -> Outside | None:
        """What reads a NumPy array at each call; None for one that is made in the trace."""

    def note(self, data: object) -> None:
        """The elements of these arrays, or lists of arrays, are read now."""


class Capture(NamedTuple):
    """Something from outside that a function uses."""

    tensor: Source
    """The Tensor, or the place of a gradient, that was used."""
    argument: Value
    """Its stand-in in the function."""
    value: Value
    """What it held then."""

    @property
    def is_derived(self) -> bool:
        """Is what was used read from another tensor, as gradients and views are?"""
        return isinstance(getattr(type(self.tensor), "_value", None), property)

    def put_back(self) -> None:
        """Let a tensor hold again what it held before the trace."""
        if not self.is_derived:
            self.tensor._value = self.value  # type: ignore[misc]


class CallDims:
    """The dimensions whose sizes a call tells: what is known of them, and what a trace asks of
    them."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self.requirements: dict[tuple[str, Dim], Requirement] = {}

    def bounds(self, size: Size) -> tuple[int, int]:
        """The least and the largest value of a size."""
        return bounds(size, self.ranges)

    def described(self, name: str) -> str:
        """The sizes of a dimension, in words."""
        low, high, multiple = self.ranges.get(name, Range())
        steps = f", a multiple of {multiple}" if multiple > 1 else ""
        return f"{low} to {high}{steps}"

    def equal(self, first: Dim, second: Dim) -> bool | None:
        """Whether two sizes are equal in calls, as far as is known."""
        held = equal(first, second, self.ranges)
        difference = first - second
        if held is None and isinstance(difference, Size):
            known = ("zero", difference) in self.requirements
            return True if known or ("zero", -difference) in self.requirements else None
        return held

    def at_most(self, first: Dim, second: Dim) -> bool | None:
        """Whether one size is at most another in calls, as far as is known."""
        held = at_most(first, second, self.ranges)
        naturals = [size for kind, size in self.requirements if kind == "natural"]
        if held is None and any(at_most(x, second - first, self.ranges) for x in naturals):
            return True
        if held is None and any(at_most(x, first - second - 1, self.ranges) for x in naturals):
            return False
        return held

    def divides(self, number: int, size: Dim, what: str) -> bool:
        """Whether a number divides a size in calls; where nothing is known, each is checked."""
        rest = size % number
        held = self.equal(rest, 0)
        if held is None:
            message = f"{what} needs {expression(size)} to be a multiple of {number}"
            self._require("zero", rest, message)
        return held is not False

    def same(self, first: Dim, second: Dim, what: str) -> bool:
        """Whether two sizes are equal in calls; where nothing is known, each call is checked."""
        held = self.equal(first, second)
        if held is None:
            message = f"{what} needs {expression(first)} to be {expression(second)}"
            self._require("zero", first - second, message)
        return held is not False

    def natural(self, size: Dim, what: str) -> bool:
        """Whether a size is at least 0 in calls; where nothing is known, each call is checked."""
        held = self.at_most(0, size)
        if held is None:
            self._require("natural", size, f"{what} needs {expression(size)} not to be negative")
        return held is not False

    def _require(self, kind: str, size: Dim, message: str) -> None:
        new = Requirement(kind, size, message, user_location())
        self.requirements.setdefault((kind, size), new)


NO_DIMS: Final = CallDims({})
"""That of traces in which all sizes are known."""


class Scope:
    """One function while it is traced.

    ``captures`` lists what was taken from outside, in order of first use; captured arguments
    follow the declared ones.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.emitter = GraphEmitter(Builder(function.body))
        self.outer: Scope | None = None
        self.captures: dict[int, Capture] = {}
        self.gradients: Gradients | None = None
        """Gradients inside this trace, kept by ``nets.frontend.tensor.state``."""
        self.world: Surroundings | None = None
        """What the outermost trace meets outside, kept by ``nets.frontend.tracing.program``."""
        self.results: list[Any] = []
        """The leaves of the result, as the traced Python gave them."""
        self.bounds: dict[Value, tuple[int, int]] = {}
        """Where traced Python integers are sure to lie, of which it is known."""
        self.dims = NO_DIMS
        """The sizes that a call tells, the same for nested traces."""
        self.shard: Tensor | None = None
        """Of a function that is one of several shards, which one; the same for nested traces."""
        self.averaged_over = 1
        """Over how many shards gradients are averaged that are taken in this trace, and not in one
        inside."""
        self.varying: Collection[Value] = ()
        """The arguments that differ from shard to shard."""
        self.views: dict[int, tuple[View, Memo]] = {}
        """Views that got a value of the scope, and what they remembered before."""

    def owns(self, value: Value) -> bool:
        """Is the value defined in the body of this scope's function?"""
        owner = value.owner
        return (owner.block if isinstance(owner, Operation) else owner) is self.function.body

    def lift(self, x: Source) -> Value:
        """The value that stands for the tensor ``x`` in this function.

        A Tensor of this scope is its own value, one from outside is captured; of a view, its root
        is. LeakedTracerError for a Tensor of a trace that has ended.
        """
        value = x._value
        if isinstance(value, Variable):
            if hasattr(x, "staged"):
                found: Value = x.staged()
                return found
            return self._capture(x, TensorType(value.data.shape, value.type.dtype))
        if self.owns(value):
            return value
        if not is_live(value):
            raise leaked(x)
        return self._capture(x, value.type)

    def source(self, array: Array) -> Outside | None:
        """What reads a NumPy array at each call; None for one that becomes a constant."""
        return None if self.world is None else self.world.source(array)

    def _capture(self, tensor: Source, type: Type) -> Value:
        """One argument per tensor: an eager one is read at each call, one of an outer trace has
        its value there. Two of one value are two, for one of them may be changed."""
        found = self.captures.get(id(tensor))
        if found is None:
            argument = self.function.body.add_argument(type, f"captured_{len(self.captures)}")
            found = Capture(tensor, argument, tensor._value)
            self.captures[id(tensor)] = found
        return found.argument

    def restore(self) -> None:
        """Give tensors from outside the values back that they had before the trace."""
        for capture in self.captures.values():
            capture.put_back()
        for view, memo in self.views.values():
            view._memo = memo


class _Stack(threading.local):
    innermost: Scope | None = None


this_thread = _Stack()


def current_scope() -> Scope | None:
    """The innermost scope of this thread, or None outside every trace."""
    return this_thread.innermost


@contextmanager
def enter(scope: Scope) -> Iterator[Scope]:
    """Make ``scope`` the innermost one of this thread for the length of the ``with`` block."""
    scope.outer = this_thread.innermost
    this_thread.innermost = scope
    try:
        yield scope
    finally:
        this_thread.innermost = scope.outer


@contextmanager
def suspended() -> Iterator[None]:
    """Leave every trace while the ``with`` block runs.

    A tensor that is made in the block is an eager one. A trace treats it like a tensor that was
    there before the trace began: it captures the tensor, and may update it.
    """
    saved, this_thread.innermost = this_thread.innermost, None
    try:
        yield
    finally:
        this_thread.innermost = saved


def is_live(value: Value) -> bool:
    """Does the value belong to a trace this thread is in?"""
    scope = this_thread.innermost
    while scope is not None:
        if scope.owns(value):
            return True
        scope = scope.outer
    return False


def leaked(tensor: Source) -> NetsError:
    """The error for a traced tensor used where its trace is over, or for one that was donated."""
    value = tensor._value
    if isinstance(value, Consumed):
        return value.error()
    made = value.operation.location if value.operation is not None else None
    where = f" It was made here:\n{made.describe()}" if made is not None else ""
    name = f" {value.hint!r}" if value.hint else ""
    return LeakedTracerError(
        f"the traced tensor{name} of type {value.type} was used after its trace had ended (or in "
        "another thread). Return it from the traced function instead of storing it outside."
        + where,
        user_location(),
    )
