"""Plans: repeated calls of traced functions go from Python to native code without Python between.

After a call by the Python road (``Staged.run``, ``Compiled.call``), its signature becomes a
``Plan`` of the extension ``nets._dispatch``: the structure of the arguments, the form of each leaf,
captured tensors and their guards, native code, the structure of the result. The next call tries the
plans of its function first, in C, and takes the Python road where none fits. Without the extension
every call takes the Python road; the results are the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from nets.backend.process.callable import NativeFunction
from nets.backend.process.open_callable import OpenFunction
from nets.compiler.cost import cost
from nets.extension import in_use
from nets.frontend.pytree import Token, TreeDef
from nets.frontend.tensor import scope, variable
from nets.frontend.tensor.elements import Elements
from nets.frontend.tensor.inner import is_weak, tensor_of
from nets.frontend.tensor.state import GradientPlace, Place, Update
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.signature import Input
from nets.frontend.world.arrays import ArraySource
from nets.frontend.world.guards import Guards, Table
from nets.ir.core import Function

if TYPE_CHECKING:
    from nets._dispatch import Plan as Plan
    from nets.compiler.compile import Executable
    from nets.frontend.tracing.program import Program

PLANS_KEPT: Final = 8
"""Plans of a function that a call tries, the latest first."""

BRIEF: Final = 4096
"""Scalar operations and words moved by a call that keeps the GIL: at most about 20 microseconds.

To give the GIL away and take it back costs a tenth of a microsecond where nobody wants it, and
many times that where somebody does.
"""


class Structure(NamedTuple):
    """A nest as the extension takes it apart and puts it together."""

    tokens: tuple[Token, ...]
    orders: tuple[tuple[int, ...], ...]
    """Of each dict: the order of its keys, as positions among the sorted ones."""


class PlanInput(NamedTuple):
    """Where an input of the code comes from: a leaf of the arguments, or something captured."""

    source: Tensor | variable.Array | None = None
    """What is captured; None for a leaf."""
    weak: bool = False
    """Does it stand for a Python number?"""
    donated: bool = False
    """Is a tensor there given away?"""
    gradient: bool = False
    """Is it the gradient of the captured tensor that is meant?"""
    required: bool = False
    """Did the captured tensor require a gradient?"""


class _PythonRoad:
    """What stands for ``Dispatch`` without the extension."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.call(args, kwargs)

    def call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """The result of a call, by the Python road."""
        raise NotImplementedError


if TYPE_CHECKING:
    _Dispatch = _PythonRoad
elif in_use():
    from nets._dispatch import Dispatch as _Dispatch
else:
    _Dispatch = _PythonRoad


class Planned(_Dispatch):
    """A callable that is called by one of its plans, or else by ``call(args, kwargs)``."""

    __slots__ = ("__dict__", "__weakref__", "_plans")

    _plans: list[Plan]


def _slots(kind: type) -> tuple[str, ...]:
    names = [name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())]
    return tuple(name for name in names if name != "__weakref__")


def _configure() -> bool:
    """Show the extension how tensors are made, and where a thread keeps what it is doing.

    False where the extension is missing, or tensors are not what it expects.
    """
    if not in_use():
        return False
    from nets._dispatch import configure

    value = variable.variable(np.zeros(()))
    try:
        configure(
            value=value,
            value_slots=_slots(variable.Variable),
            tensor=tensor_of(value),
            tensor_slots=_slots(Tensor),
            total=variable.Total(),
            function=Planned,
            elements=Elements,
            consumed=scope.CONSUMED,
            traces=scope.this_thread,
            modes=variable.this_thread,
        )
    except TypeError:
        return False
    return True


_is_configured = _configure()


def remember(plans: list[Plan], new: Plan | None) -> None:
    """Let calls try this plan first; None stands for a signature without one."""
    if new is None or new in plans:
        return
    plans.insert(0, new)
    del plans[PLANS_KEPT:]


def forget(plans: list[Plan], old: Plan | None) -> None:
    """Try a plan no more; None stands for a signature without one."""
    plans[:] = [plan for plan in plans if plan is not old]


def plan_of(program: Program, native: Executable, arguments: TreeDef) -> Plan | None:
    """The plan of calls whose positional arguments have this structure.

    ``arguments`` is the structure of the tuple of all arguments. None where a call needs Python:
    for a container that the extension cannot make, for code that is not native, and where each
    call stores objects in the world.
    """
    if not in_use() or not _is_configured:
        return None
    if not isinstance(native, NativeFunction | OpenFunction) or native.code is None:
        return None
    guards = program.guards or Guards(())
    if program.writes or any(program.objects) or isinstance(guards.table, Table):
        return None
    if not all(map(_is_built, program.tree.tokens)) or not all(map(_is_taken, arguments.tokens)):
        return None
    native.code.brief = _is_brief(program.function)
    captured = map(_captured, program.captures, program.required)
    from nets._dispatch import Plan

    return Plan(
        code=native.code,
        failure=native.failure,
        arguments=Structure(arguments.tokens, _orders(arguments)),
        inputs=(*map(_argument, program.inputs), *captured),
        cleared=tuple(_cleared(program.updates)),
        guards=guards.table,
        results=Structure(program.tree.tokens, _orders(program.tree)),
        types=tuple(value.type for value in program.function.returned),
        detached=program.detached,
    )


def _argument(entry: Input) -> PlanInput:
    return PlanInput(weak=entry.weak, donated=entry.donated)


def _captured(place: Place, required: bool) -> PlanInput:
    if isinstance(place, ArraySource):
        return PlanInput(place.array, required=required)
    if isinstance(place, GradientPlace):
        return PlanInput(place.tensor, is_weak(place.tensor), gradient=True, required=required)
    assert isinstance(place, Tensor)
    return PlanInput(place, is_weak(place), required=required)


def _cleared(updates: Sequence[Update]) -> Iterator[Tensor]:
    """The tensors whose gradients a call clears."""
    for place, number in updates:
        if number is None and isinstance(place, GradientPlace):
            yield place.tensor


def _is_taken(token: Token) -> bool:
    """Can the extension take such a container apart?"""
    return isinstance(token, str) or token[0] is not OrderedDict


def _is_built(token: Token) -> bool:
    """Can the extension make such a container? Dicts but of the plain class it cannot, nor what
    ``object.__new__`` refuses to make, as instances of exceptions."""
    if isinstance(token, str):
        return True
    kind, keys = token
    if issubclass(kind, dict):
        return kind is dict
    if isinstance(keys, int) or issubclass(kind, tuple):
        return True
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


def _orders(tree: TreeDef) -> tuple[tuple[int, ...], ...]:
    """The order of the keys of each dict of a nest, as positions in the sorted list of its keys.

    ``{"b": x, "a": y}`` gives ``(1, 0)``: the first key is number 1 of the sorted ones.
    """
    tokens = [token for token in tree.tokens if not isinstance(token, str)]
    sorted_keys = [keys for kind, keys in tokens if issubclass(kind, dict)]
    found = []
    for keys, (order, *_) in zip(sorted_keys, tree.orders, strict=True):
        position = {key: i for i, key in enumerate(keys)}
        found.append(tuple(position[key] for key in order))
    return tuple(found)


def _is_brief(function: Function) -> bool:
    if "dims" in function.attributes or any(op.regions for op in function.walk()):
        return False
    counted = cost(function, function, 0)
    return counted["flops"] + counted["bytes"] // 8 <= BRIEF
