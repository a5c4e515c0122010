"""Specialisation: a Program as native code, and its part in eager gradients.

Code is compiled when it is first needed: the program itself for a call without gradients; for a
call with tensors that require them either a forward half that keeps residuals and a backward half,
or, where the program already is a derivative, the program and a backward half that starts again
from its arguments (so that nobody pays for second derivatives who does not ask for them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nets import communicator
from nets.backend.process.callable import NativeFunction
from nets.backend.process.obstacle import backend_here
from nets.backend.process.open_callable import OpenFunction
from nets.compiler.compile import Compilation, CompileOptions, Executable
from nets.errors import GradientError
from nets.frontend.tensor.autograd import PullBack, record_call
from nets.frontend.tensor.inner import held_value, tensor_of, value_of
from nets.frontend.tensor.state import GradientPlace, Place, at_call, consume, write_back
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, Variable, variable
from nets.frontend.tracing.program import Program
from nets.frontend.world.recipes import Parts
from nets.ir.clone import clone_function
from nets.ir.core import Function, Trait
from nets.ir.fixed_sizes import Sizes, bind
from nets.ir.sizes import evaluate
from nets.ir.types import TensorType
from nets.locks import lock, made_alone
from nets.ops.definition.emitter import tensor_type
from nets.passes.derivatives.vjp import SplitVjp, split_vjp, vjp
from nets.passes.simplify.effects import without_effects
from nets.version import NUMERICS_CONTRACT

if TYPE_CHECKING:
    from nets.frontend.calls.plans import Plan


class Fitting(NamedTuple):
    """A specialisation that holds now, and what it takes from outside at a call."""

    ready: Specialisation
    values: list[Variable]
    """Those of the captured tensors."""
    found: list[Tensor]
    """The tensors in the slots."""

    def arrays(self, own: list[Array]) -> list[Array]:
        """All that the program takes: ``own`` are those of the arguments."""
        return own + [x.data for x in self.values]


Positions = tuple[int, ...]
"""Which arguments of the program gradients are wanted for."""


class CompiledPullBack:
    """From the cotangents of the results of one call to those of some of its arguments.

    ``function`` is the IR: residuals, then cotangents → cotangents of the arguments.
    """

    def __init__(
        self,
        function: Function,
        executable: Executable,
        residuals: Sequence[Array],
        sizes: Sizes,
        options: CompileOptions,
    ) -> None:
        self.options = options
        self.function = function
        self.residuals = residuals
        self._executable = executable
        self.sizes = sizes

    def replaced(self, function: Function) -> CompiledPullBack:
        """The same with another function of the residuals and something else."""
        executable = Compilation(function, self.options).executable
        return CompiledPullBack(function, executable, self.residuals, self.sizes, self.options)

    def __call__(self, cts: Sequence[Array | None]) -> list[Array]:
        """The cotangents; None stands for one of zeros."""
        types = [a.type for a in self.function.arguments[len(self.residuals) :]]
        filled = [
            _zeros(type, self.sizes) if ct is None else ct
            for ct, type in zip(cts, types, strict=True)
        ]
        return run_for(self.sizes, self._executable, [*self.residuals, *filled])


@dataclass(frozen=True, slots=True)
class Halves:
    """Forward and backward code of a program."""

    forward: Executable
    backward: Executable
    split: SplitVjp


class Specialisation:
    """One signature of a traced function, in one state of its world, ready to be called with
    arrays.

    ``recompute``: let the backward half start again from the arguments.
    """

    def __init__(self, program: Program, options: CompileOptions, recompute: bool = False) -> None:
        self.program = program
        self.options = options
        self.recompute = recompute
        self._result_types = [value.type for value in program.function.returned]
        self._capture_forms = [_form(value_of(source).type) for source in program.captures]
        self._lock = lock()
        self.plan: Plan | None = None
        """How repeated calls run it; made after the first one."""
        self.is_planned = False
        self._executable: Executable | None = None
        self._halves: dict[Positions, Halves | GradientError] = {}
        self._actives: dict[Positions, tuple[bool, ...]] = {}

    # ------------------------------------------------------------------ captured tensors

    def fitting(self) -> Fitting | None:
        """With what the captured tensors hold now; None where the function must be traced again.

        That is where one has another shape or dtype, or the world is another one.
        """
        guards = self.program.guards
        return None if guards is not None and not guards.hold() else self.held()

    def held(self) -> Fitting | None:
        """The same, whatever the guards say."""
        found = self.program.slots.find()
        if found is None:
            return None
        values = []
        for place, form in zip(self.program.captures, self._capture_forms, strict=True):
            value = held_value(at_call(place, found))
            if (value.data.dtype, value.data.shape) != form:
                return None
            values.append(value)
        return None if self._switched(values) else Fitting(self, values, found)

    def held_at_once(self) -> Fitting:
        """The same, of a program that has just been traced."""
        found = self.held()
        assert found is not None
        return found

    def _switched(self, values: Sequence[Variable]) -> list[Variable]:
        """Captured tensors whose ``requires_grad`` is another one than in the trace.

        Only a program that calls ``backward()`` itself depends on it; for others the list is empty.
        """
        program = self.program
        captures: Sequence[Place] = program.captures
        places = zip(captures, program.required, values, strict=True)
        return [
            value
            for place, before, value in (places if program.detached else ())
            if value.requires_grad != before and not isinstance(place, GradientPlace)
        ]

    def may_return(self) -> bool:
        """Could the guards hold again later? They could where only plain values differ."""
        guards = self.program.guards
        return guards is not None and guards.is_plainly_other()

    def changes(self) -> list[str]:
        """A line for each kind of reason for which the function must be traced again."""
        found = self.program.slots.find()
        captures = self.program.captures
        switched = (
            []
            if found is None
            else self._switched([held_value(at_call(place, found)) for place in captures])
        )
        lines = [
            f"a captured {value.type} requires {'a' if value.requires_grad else 'no'} gradient now"
            for value in switched
        ]
        guards = self.program.guards
        return (guards.changes() if guards else []) + list(dict.fromkeys(lines))

    @property
    def key(self) -> tuple[Any, ...]:
        """What decides the compiled code."""
        program = self.program
        return str(program.function), program.in_place, self.options, self.recompute

    def take_over(self, other: Specialisation) -> None:
        """Use the compiled code of another specialisation with the same key."""
        self._executable = other._executable
        self._halves = other._halves

    # ------------------------------------------------------------------------- calling

    @property
    def executable(self) -> Executable:
        """The program as code, for calls without gradients."""
        if self._executable is None:
            with self._lock:
                if self._executable is None:
                    self._executable = self._compile(self._in_place())
        return self._executable

    def _in_place(self) -> Function:
        """The function, told which results take the place of arguments."""
        pairs = self.program.in_place
        if not pairs:
            return self.program.function
        function = clone_function(self.program.function)
        function.attributes["in_place"] = pairs
        return function

    @made_alone
    def _common(self) -> tuple[str, bytes, str] | None:
        """Name, digest and text of what all ranks must run together; None of a program that has
        nothing to do with other ranks."""
        function = self.program.function
        if not any(op.has(Trait.EFFECT) and op.results for op in function.walk()):
            return None
        # What else the bits of a result depend on.
        backend = self.options.backend or backend_here()
        about = f"backend {backend}, numerics {self.options.numerics}, {NUMERICS_CONTRACT}"
        text = f"{about}\n{function}"
        return function.name, sha256(text.encode()).digest(), text

    def _agree(self) -> None:
        """Refuse to run what other ranks do not run as well."""
        if communicator.current().size > 1 and self._common is not None:
            communicator.agree(*self._common)

    def call(self, arrays: Sequence[Array]) -> list[Variable]:
        """The results for arrays of the inputs and captures; nothing is recorded."""
        self._agree()
        results = self.executable(arrays)
        if not self.is_open:
            return list(map(Variable, results, self._result_types))
        return list(map(variable, results))

    def call_recorded(
        self, arrays: Sequence[Array], variables: Sequence[Variable | None]
    ) -> list[Variable]:
        """The results as variables, as one entry of the tape where a gradient is required.

        ``variables`` holds the variable of each array; None for an array of the caller's own,
        which is copied if the backward half will need it.
        """
        wrt = tuple(i for i, x in enumerate(variables) if x is not None and x.requires_grad)
        kept = [
            array.copy() if x is None else array for x, array in zip(variables, arrays, strict=True)
        ]
        pull: PullBack
        try:
            results, pull = self.forward(kept, wrt)
        except GradientError as error:
            # Values there are all the same; whoever asks for the gradient is told why not.
            results, pull = self.executable(kept), partial(_refuse, error)
        operands = [x for i in wrt if (x := variables[i]) is not None]
        name, active = self.program.function.name, self._active(wrt)
        return record_call(name, operands, results, pull, active)

    def _active(self, wrt: Positions) -> tuple[bool, ...]:
        """Which results carry the gradient of these arguments on, as they do eagerly."""
        found = self._actives.get(wrt)
        if found is None:
            found = self._actives[wrt] = active_results(self.program.function, wrt)
        return found

    def forward(
        self, arrays: Sequence[Array], wrt: Positions
    ) -> tuple[list[Array], CompiledPullBack]:
        """The results, and the way from their cotangents to those of the ``wrt`` arguments.

        The arrays must not change any more.
        """
        halves = self._halves_for(wrt)
        self._agree()
        sizes = self._sizes_of(arrays)
        outputs = run_for(sizes, halves.forward, arrays)
        sources = {"argument": arrays, "result": outputs}
        residuals = [sources[kind][i] for kind, i in halves.split.residuals]
        pull = CompiledPullBack(
            halves.split.backward, halves.backward, residuals, sizes, self.options
        )
        return outputs[: len(self._result_types)], pull

    @property
    def is_open(self) -> bool:
        """Do calls tell sizes?"""
        return bool(self.program.function.attributes.get("dims"))

    def _sizes_of(self, arrays: Sequence[Array]) -> Sizes:
        """The sizes that the arrays of a call tell."""
        return bind(self.program.function, [x.shape for x in arrays]) if self.is_open else {}

    def finish(
        self, results: Sequence[Variable], found: Sequence[Tensor], donated: Sequence[Any] = ()
    ) -> list[Tensor]:
        """The leaves of the result of a call, after what it changes outside has been done."""
        return finish(self.program, results, found, donated)

    def natives(self) -> list[NativeFunction | OpenFunction]:
        """The native code there is so far."""
        pairs = [half for half in self._halves.values() if isinstance(half, Halves)]
        halves = [code for half in pairs for code in (half.forward, half.backward)]
        found = [x for x in (self._executable, *halves) if x is not None]
        return [x for x in found if isinstance(x, NativeFunction | OpenFunction)]

    @property
    def state_bytes(self) -> int:
        """Bytes of the captured tensors, and of their gradients that the program reads or makes."""
        captured = self.program.function.arguments[len(self.program.inputs) :]
        types = [tensor_type(value) for value in captured]
        return sum(type.size * type.dtype.itemsize for type in types)

    def _halves_for(self, wrt: Positions) -> Halves:
        halves = self._halves.get(wrt)
        if halves is None:
            with self._lock:
                halves = self._halves.get(wrt) or self._compile_halves(wrt)
                self._halves[wrt] = halves
        if isinstance(halves, GradientError):
            raise halves
        return halves

    def _compile_halves(self, wrt: Positions) -> Halves | GradientError:
        """Both halves; the error where there is no derivative, so that this is asked only once."""
        try:
            split = self._split(wrt)
        except GradientError as error:
            return error
        return Halves(self._compile(split.forward), self._compile(split.backward), split)

    def _split(self, wrt: Positions) -> SplitVjp:
        function = self.program.function
        if self.recompute:
            every = tuple(("argument", i) for i in range(len(function.arguments)))
            return SplitVjp(function, vjp(without_effects(function), wrt), every)
        return split_vjp(function, wrt)

    def _compile(self, function: Function) -> Executable:
        return Compilation(function, self.options).executable


def finish(
    program: Program,
    results: Sequence[Variable],
    found: Sequence[Tensor],
    donated: Sequence[Any] = (),
) -> list[Tensor]:
    """Do what a call changes outside; the leaves of its result.

    ``results``: all results of the program; ``found``: the tensors in its slots; ``donated``: the
    leaves that are given away.
    """
    changes: list[Callable[[], None]] = []
    if donated:
        changes.append(partial(consume, donated))
    if program.updates:
        arrays = [x.data for x in results]
        changes.append(partial(write_back, program.updates, arrays, found))
    leaves = [tensor_of(x) for x in results[: program.tree.leaf_count]]
    if program.writes or any(program.objects):
        fresh = [tensor_of(x) for x in results[len(results) - program.fresh :]]
        parts = Parts(fresh, found)
        changes += [write.prepare(parts) for write in program.writes]
        for i, recipe in enumerate(program.objects):
            if recipe is not None:
                leaves[i] = recipe.build(parts)
    _do_all(changes)
    return leaves


def _do_all(changes: Sequence[Callable[[], None]]) -> None:
    """Do all changes or, where a signal comes before the first one, none.

    Each may be done twice: a signal comes anywhere, and what it came into is done again.
    """
    started = False
    try:
        for change in changes:
            started = True
            change()
    except BaseException:
        for change in changes if started else ():
            change()
        raise


def active_results(function: Function, wrt: Positions) -> tuple[bool, ...]:
    """Which results of a function are computed from some of its arguments by way of floats."""
    active = {function.arguments[i] for i in wrt}
    for op in function.body:
        if op.name != "stop_gradient" and not active.isdisjoint(op.operands):
            active.update(x for x in op.results if tensor_type(x).dtype.is_float)
    return tuple(value in active for value in function.returned)


def _refuse(error: GradientError, cts: Sequence[Array | None]) -> Any:
    raise GradientError(error.message, error.location)


def _form(type: object) -> tuple[object, object]:
    assert isinstance(type, TensorType)
    return type.dtype.numpy, type.shape


def _zeros(type: object, sizes: Sizes) -> Array:
    assert isinstance(type, TensorType)
    return np.zeros([evaluate(dim, sizes) for dim in type.shape], type.dtype.numpy)


def run_for(sizes: Sizes, executable: Executable, arrays: Sequence[Array]) -> list[Array]:
    """The results for sizes that were told to another half of the same call."""
    return executable(arrays, sizes) if sizes else executable(arrays)
