"""Staged: the way of a call from Python arguments to compiled code and back.

A call flattens its arguments, makes their signature (a tuple), finds the specialisation of that
signature and runs it. A new signature is traced and compiled first; NETS_LOG=retrace says which
argument differs. Traced functions and transforms differ only in the Python they trace.
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nets import config
from nets.compiler.compile import CompileOptions
from nets.errors import RetraceWarning
from nets.frontend.calls.lowered import Lowered
from nets.frontend.calls.plans import Planned, forget, plan_of, remember
from nets.frontend.calls.specialisation import Fitting, Specialisation
from nets.frontend.pytree import TreeDef, flatten
from nets.frontend.tensor.inner import eager_value
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Variable, is_grad_enabled
from nets.frontend.tracing.arguments import BoundCall
from nets.frontend.tracing.binding import Binding
from nets.frontend.tracing.program import Program, lift_results, stage
from nets.frontend.tracing.signature import Signature, explain
from nets.frontend.world.world import alone
from nets.ir.core import Value
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.calls.plans import Plan

KEPT: Final = "_nets_staged"
"""The attribute of functions that holds what was staged of them."""

_STATES_KEPT: Final = 8
"""Earlier specialisations of one signature that are kept for other states of the world."""

_MANY: Final = 50
"""Traces for the same arguments that a warning tells of."""

_CODES_KEPT: Final = 32
"""Specialisations whose compiled code is used again for programs that turn out the same."""

REASONS_KEPT: Final = 32
"""Reasons for new traces that ``stats`` tells, the latest."""


class OfSignature:
    """The place of one signature: filled by the first call, with the lock of traces."""

    __slots__ = ("described", "kept", "retraced", "specialisation")

    def __init__(self) -> None:
        self.specialisation: Specialisation | None = None
        """The one that was traced last."""
        self.kept: tuple[Specialisation, ...] = ()
        """Earlier ones, of other states of the world: a model may go back to training."""
        self.described: dict[str, str] = {}
        self.retraced = 0
        """How often the world was another one."""

    def all(self) -> list[Specialisation]:
        """All specialisations, the latest first."""
        return [x for x in (self.specialisation, *self.kept) if x is not None]

    def fitting(self) -> Fitting | None:
        """A specialisation that holds now; None where the place must be filled (again)."""
        for ready in self.all():
            found = ready.fitting()
            if found is not None:
                return found
        return None


@dataclass
class Counts:
    """What happened to a callable so far: traces and why, calls that Python had a part in."""

    traces: int = 0
    reasons: list[str] = field(default_factory=list)
    python_calls: int = 0


class Specialisations(dict[Signature, OfSignature]):
    """What is kept of a callable: its signatures, and plans of the latest."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[Plan] = []
        self.counts = Counts()
        self.codes: OrderedDict[tuple[Any, ...], Specialisation] = OrderedDict()
        """The latest specialisations, by what decides their code."""


class Staged(Planned):
    """A Python callable that is compiled for each signature of its calls.

    Safe to call from several threads. Specialisations are kept as long as the object lives.
    """

    __wrapped__: Callable[..., Any]
    """The Python function."""

    def __init__(
        self,
        binding: Binding,
        name: str,
        options: dict[str, Any],
        specialisations: Specialisations | None = None,
    ) -> None:
        self.binding = binding
        self.name = name
        self.options = options
        self.specialisations = Specialisations() if specialisations is None else specialisations
        self._plans = self.specialisations.plans

    # What the kinds of staged callables differ in.

    recompute = False
    """Whether a backward pass starts again from the arguments (see Specialisation)."""

    is_traced_anew = False
    """Whether Python runs at each call, so that there is nothing to guard: of transforms of plain
    functions."""

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """What the callable gives for traced arguments, in the current scope."""
        raise NotImplementedError

    def roots(self) -> tuple[object, ...]:
        """The Python functions that run when it is traced, whose world the program depends on."""
        return (self.__wrapped__,)

    def inline(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """The result of a call from inside a trace: plain Python in that trace."""
        return self.result_of(args, kwargs)

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        """The result of a call with integers that require gradients, which IR has none of."""
        raise NotImplementedError

    # ------------------------------------------------------------------------- calling

    def call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        if current_scope() is not None:
            return self.inline(args, kwargs)
        return self.run(args, kwargs)

    def run(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """The result of a call from outside every trace."""
        self.specialisations.counts.python_calls += 1
        call = BoundCall(self.binding, args, kwargs)
        fitting = self.find(call)
        ready, program, arrays = fitting.ready, fitting.ready.program, fitting.arrays(call.arrays)
        recorded = None if program.detached else _recorded(call.leaves, fitting.values)
        if recorded is None:
            results = ready.call(arrays)
            if not (call.kwargs or call.static or self.is_traced_anew):
                self._plan(ready, call)
        elif all(x.type.dtype.is_float for x in recorded if x is not None and x.requires_grad):
            results = ready.call_recorded(arrays, recorded)
        else:
            return self.eagerly(args, kwargs)
        given = zip(call.leaves, program.inputs, strict=True) if self.binding.donated else ()
        donated = [leaf for leaf, x in given if x.donated]
        return program.tree.unflatten(ready.finish(results, fitting.found, donated))

    def _plan(self, ready: Specialisation, call: BoundCall) -> None:
        """Let further calls with such arguments run without Python."""
        if not ready.is_planned:
            ready.is_planned = True
            ready.plan = plan_of(ready.program, ready.executable, flatten(call.args)[1])
        remember(self._plans, ready.plan)

    def find(self, call: BoundCall) -> Fitting:
        """The specialisation for a call, whose arrays are read."""
        call.read()
        signature = call.signature
        if self.is_traced_anew:
            return self._with_code(self.program(call)).held_at_once()
        place = self.specialisations.get(signature)
        found = None if place is None else place.fitting()
        return found or self._specialise(signature, call)

    @alone
    def _specialise(self, signature: Signature, call: BoundCall) -> Fitting:
        """Fill the place of a new signature, or of one whose captured tensors have changed."""
        place = self.specialisations.setdefault(signature, OfSignature())
        found = place.fitting()
        if found is None:
            try:
                ready = self._fill(place, self.program(call), call)
            except BaseException:
                self.specialisations.pop(signature, None)
                raise
            self.specialisations[signature] = place
            found = ready.held_at_once()
        return found

    def _fill(self, place: OfSignature, program: Program, call: BoundCall) -> Specialisation:
        """Make the specialisation of a program the latest of its place."""
        described = program.describe() | call.describe_static()
        self._narrate(place, described)
        place.described = described
        ready = self._with_code(program)
        old = place.all()
        place.kept = tuple(x for x in old if x.may_return())[:_STATES_KEPT]
        for dropped in old:
            if dropped not in place.kept:
                forget(self._plans, dropped.plan)
        place.specialisation = ready
        return ready

    def _with_code(self, program: Program) -> Specialisation:
        """The specialisation of a program, with the code of an earlier one if that is the same."""
        ready = Specialisation(program, CompileOptions(**self.options), self.recompute)
        codes, key = self.specialisations.codes, ready.key
        same = codes.get(key)
        if same is not None:
            ready.take_over(same)
        codes[key] = ready
        codes.move_to_end(key)
        while len(codes) > _CODES_KEPT:
            codes.popitem(last=False)
        return ready

    def _narrate(self, place: OfSignature, now: dict[str, str]) -> None:
        log, counts = config.LOG.get(), self.specialisations.counts
        counts.traces += 1
        if "trace" in log:
            listed = ", ".join(f"{path}: {text}" for path, text in now.items())
            print(f"nets trace: {self.name}({listed})", file=sys.stderr)
        before = [
            other.described for other in list(self.specialisations.values()) if other.described
        ]
        if not before:
            return
        old = place.specialisation
        replaced = [] if old is None else old.changes()
        lines = replaced or explain(before, now)
        counts.reasons = [*counts.reasons, *lines][-REASONS_KEPT:]
        for line in lines if "retrace" in log else ():
            print(f"nets retrace: {self.name}: {line}", file=sys.stderr)
        place.retraced += old is not None
        if place.retraced == _MANY:
            self._warn(lines)

    def _warn(self, lines: Sequence[str]) -> None:
        """Say that a function is traced again and again."""
        place = user_location()
        warnings.warn_explicit(
            f"{self.name} has been traced {_MANY} times for the same arguments, the last time "
            f"because {lines[0] if lines else 'its world was another one'}: what changes from call "
            "to call is better a tensor, or an argument",
            RetraceWarning,
            "nets" if place is None else place.file,
            0 if place is None else place.line,
        )

    # ------------------------------------------------------------------------- tracing

    def program(self, call: BoundCall) -> Program:
        """Trace for arguments of the types of a call.

        ArgumentError where the callable does not take them, DTypeError for dtypes nets does not
        have; what the traced Python raises passes through.
        """
        call.check()

        def body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            return lift_results(self.result_of(*call.with_leaves(tensors)))

        roots = (*self.roots(), *(value for _, value in call.static))
        guarded = not self.is_traced_anew
        return stage(self.name, call.inputs(), body, roots, guarded=guarded, dims=call.ranges)

    def lower(self, /, *args: Any, pipeline: str = "default", **kwargs: Any) -> Lowered:
        """The program for arguments like these, to be looked into, compiled or exported.

        Takes what a call takes, with ``nets.spec("f32[32, 784]")`` in the place of any array.
        ``pipeline``: "default", "none" or names of passes with commas between them.
        ShapeError where a dimension has one range here and another one there.
        """
        call = BoundCall(self.binding, args, kwargs)
        call.read_specs()
        form, program = call.form, self.program(call)
        options = CompileOptions(**self.options, pipeline=pipeline)
        return Lowered(program, form, options, getattr(self, "__wrapped__", None))

    def stats(self) -> dict[str, Any]:
        """What calls have done so far; compare two of these to see what happens in between.

        ``native_calls`` of compiled code, ``python_calls`` that Python had a part in (the first of
        each signature, those with keywords or recorded gradients), ``traces`` and, for all but the
        first, ``reasons``; ``compilations``; ``arrays`` made for results and state;
        ``fresh_bytes`` of memory taken from the system, for those and for workspaces.
        ``workspace_bytes`` and ``state_bytes`` are sums over signatures: of the arenas, and of the
        captured tensors.
        """
        counts = self.specialisations.counts
        places = list(self.specialisations.values())
        found = [e.specialisation for e in places if e.specialisation is not None]
        every = [ready for place in places for ready in place.all()]
        every += self.specialisations.codes.values()
        natives = list({id(x): x for ready in every for x in ready.natives()}.values())
        taken = [native.counts for native in natives]
        return {
            "native_calls": sum(x.calls for x in taken),
            "python_calls": counts.python_calls,
            "traces": counts.traces,
            "reasons": list(counts.reasons),
            "compilations": len(natives),
            "arrays": sum(x.arrays for x in taken),
            "fresh_bytes": sum(x.fresh_bytes for x in taken),
            "workspace_bytes": sum(native.workspace_bytes for native in natives),
            "state_bytes": sum(ready.state_bytes for ready in found),
        }


class _Made:
    """What was staged of a function. Pickled with the function, by its code, it is nothing: what
    was staged would be made again where it arrives before the function is complete."""

    def __init__(self, owner: object = None) -> None:
        self.owner = owner
        self.made: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Made, ()


Kept = TypeVar("Kept")


def kept(function: Callable[..., object], key: Hashable, make: Callable[[], Kept]) -> Kept:
    """What was staged of a function before, kept in the function's own dictionary.

    The owner is compared, for decorators copy the dictionary of the function they wrap.
    """
    if not isinstance(function, (FunctionType, Staged)):
        return make()
    held = vars(function).get(KEPT)
    if held is None or held.owner is not function:
        held = vars(function)[KEPT] = _Made(function)
    if key not in held.made:
        held.made[key] = make()
    found: Kept = held.made[key]
    return found


def _recorded(leaves: Sequence[object], captured: list[Variable]) -> list[Variable | None] | None:
    """The variable of each argument if the call belongs on the tape, else None."""
    if not is_grad_enabled():
        return None
    variables = [eager_value(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves]
    variables += captured
    if any(x is not None and x.requires_grad for x in variables):
        return variables
    return None
