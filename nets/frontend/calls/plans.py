"""Plans: repeated calls of traced functions go from Python to native code without Python between.

After a call by the Python road (``Staged.run``), its signature becomes a ``Plan`` of the extension
``nets._dispatch``: the structure of the arguments, the form of each leaf, captured tensors and
their guards, native code, the structure of the result. The next call tries the plans of its
function first, in C, and takes the Python road where none fits. Without the extension every call
takes the Python road; the results are the same.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nets.backend.process.callable import NativeFunction
from nets.compiler.cost import cost
from nets.frontend.pytree import LEAF, TreeDef
from nets.frontend.tensor import scope, variable
from nets.frontend.tensor.elements import Elements
from nets.frontend.tensor.inner import is_weak, tensor_of
from nets.frontend.tensor.state import GradientPlace
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.world.arrays import ArraySource
from nets.ir.core import Function

try:
    from nets import _dispatch as _found
except ImportError:
    _found = None  # type: ignore[assignment]
_dispatch: Any = _found

if TYPE_CHECKING:
    from nets._dispatch import Plan as Plan
    from nets.frontend.calls.specialisation import Specialisation

PLANS_KEPT: Final = 8
"""Plans of a function that a call tries, the latest first."""

BRIEF: Final = 4096
"""Scalar operations and words moved by a call that keeps the GIL: at most about 20 microseconds.

To give the GIL away and take it back costs a tenth of a microsecond where nobody wants it, and
many times that where somebody does.
"""

_NOT_BUILT: Final = (OrderedDict, defaultdict)
"""Containers that a plan takes apart but cannot make."""


class _PythonRoad:
    """What stands for ``Dispatch`` without the extension."""

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.call(args, kwargs)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call, by the Python road."""
        raise NotImplementedError


if TYPE_CHECKING or _dispatch is None:
    _Dispatch = _PythonRoad
else:
    _Dispatch = _dispatch.Dispatch


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
    if _dispatch is None:
        return False
    value = variable.variable(np.zeros(()))
    try:
        _dispatch.configure(
            value,
            _slots(variable.Variable),
            tensor_of(value),
            _slots(Tensor),
            Planned,
            (scope.this_thread, "innermost"),
            (variable.this_thread, "records"),
            scope.CONSUMED,
            variable.Total(),
            Elements,
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


def plan_of(ready: Specialisation, arguments: TreeDef) -> Plan | None:
    """The plan of calls whose positional arguments have this structure.

    ``arguments`` is the structure of the tuple of all arguments. None where a call needs Python:
    for a container that the extension cannot make, for code that is not native, and where each
    call stores objects in the world.
    """
    program = ready.program
    native = ready.executable
    if not _is_configured or not isinstance(native, NativeFunction) or native.kernel is None:
        return None
    if program.writes or any(program.objects) or program.guards is None:
        return None
    results = program.tree.tokens
    if any(token is not LEAF and token[0] in _NOT_BUILT for token in results):
        return None
    if any(token is not LEAF and token[0] is OrderedDict for token in arguments.tokens):
        return None
    captures = program.captures
    sources = tuple(_source(place) for place in captures)
    native.kernel.brief = _is_brief(program.function)
    plan: Plan = _dispatch.Plan(
        native.kernel,
        native.failure,
        arguments.tokens,
        _orders(arguments),
        (
            *(x.weak for x in program.inputs),
            *(isinstance(x, Tensor) and is_weak(x) for x in sources),
        ),
        tuple(entry.donated for entry in program.inputs),
        sources,
        tuple(isinstance(source, GradientPlace) for source in captures),
        program.required,
        tuple(getattr(place, "tensor", None) for place, r in program.updates if r is None),
        program.guards.table,
        results,
        _orders(program.tree),
        tuple(value.type for value in program.function.returned),
        program.detached,
    )
    return plan


def _is_weak(source: Any) -> bool:
    return isinstance(source, Tensor) and is_weak(source)


def _source(place: Any) -> Any:
    """Where the extension finds a captured input: a tensor (or its gradient), or an array."""
    if isinstance(place, GradientPlace):
        return place.tensor
    return place.array if isinstance(place, ArraySource) else place


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
    if any(op.regions for op in function.walk()):
        return False
    counted = cost(function, function, 0)
    return counted["flops"] + counted["bytes"] // 8 <= BRIEF
