"""Specialisation: a Program as native code, and its part in eager gradients.

Code is compiled when it is first needed: the program itself for a call without gradients; for a
call with tensors that require them either a forward half that keeps residuals and a backward half,
or, where the program already is a derivative, the program and a backward half that starts again
from its arguments (so that nobody pays for second derivatives who does not ask for them).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nets.backend.callable import NativeFunction
from nets.errors import GradientError
from nets.frontend.autograd import PullBack, record_call
from nets.frontend.compile import Compilation, CompileOptions, Executable
from nets.frontend.guards import Guard, changes, hold
from nets.frontend.program import Program
from nets.frontend.scope import leaked
from nets.frontend.state import GradientPlace
from nets.frontend.variable import Array, Variable
from nets.ir.clone import clone_function
from nets.ir.core import Function
from nets.ir.types import TensorType
from nets.ops.emitter import tensor_type
from nets.passes.vjp import SplitVjp, split_vjp, vjp

if TYPE_CHECKING:
    from nets.frontend.plans import Plan
    from nets.frontend.tensor import Tensor

Positions = tuple[int, ...]
"""Which arguments of the program gradients are wanted for."""


class CompiledPullBack:
    """From the cotangents of the results of one call to those of some of its arguments.

    ``function`` is the IR: residuals, then cotangents → cotangents of the arguments.
    """

    def __init__(
        self, function: Function, executable: Executable, residuals: Sequence[Array]
    ) -> None:
        self.function = function
        self.residuals = residuals
        self._executable = executable

    def __call__(self, cts: Sequence[Array | None]) -> list[Array]:
        """The cotangents; None stands for one of zeros."""
        types = [a.type for a in self.function.arguments[len(self.residuals) :]]
        filled = [_zeros(type) if ct is None else ct for ct, type in zip(cts, types, strict=True)]
        return self._executable([*self.residuals, *filled])


@dataclass(frozen=True, slots=True)
class Halves:
    """Forward and backward code of a program."""

    forward: Executable
    backward: Executable
    split: SplitVjp


class Specialisation:
    """One signature of a traced function, ready to be called with arrays.

    ``recompute``: let the backward half start again from the arguments. ``guards``: where the
    captured tensors were found.
    """

    def __init__(
        self,
        program: Program,
        options: CompileOptions,
        recompute: bool = False,
        guards: Sequence[Guard] = (),
    ) -> None:
        self.program = program
        self.guards = (
            *guards,
            *(
                Guard(getattr, holder, name, value, type(holder).__name__)
                for holder, name, value in program.attributes
            ),
        )
        self._is_steady = hold(self.guards)
        self.options = options
        self.recompute = recompute
        self._result_types = [value.type for value in program.function.returned]
        self._capture_forms = [_form(tensor._value.type) for tensor in program.captures]
        self._lock = threading.Lock()
        self.plan: Plan | None = None
        """How repeated calls run it; made after the first one."""
        self.is_planned = False
        self._executable: Executable | None = None
        self._halves: dict[Positions, Halves | GradientError] = {}

    # ------------------------------------------------------------------ captured tensors

    def captured(self) -> list[Variable] | None:
        """What the captured tensors hold now; None where the function must be traced again.

        That is where one has another shape or dtype, or a name is bound to another tensor.
        """
        return None if self.guards and not hold(self.guards) else self.held()

    def held(self) -> list[Variable] | None:
        """The same, whatever the guards say: of a function that has just been traced, and may have
        changed itself what it depends on."""
        found = []
        for tensor, (dtype, shape) in zip(self.program.captures, self._capture_forms, strict=True):
            value = tensor._value
            if not isinstance(value, Variable):
                raise leaked(tensor)
            if value.data.shape != shape or value.data.dtype != dtype:
                return None
            found.append(value)
        return None if self._switched() else found

    def may_return(self) -> bool:
        """May the guards hold again: do no places but plain attributes differ?

        Not of a function that changes such attributes itself, for a call of its code does not.
        """
        places = [guard for guard in self.guards if not guard.owner]
        return self._is_steady and hold(places) and self.held() is not None

    def _switched(self) -> list[Variable]:
        """Captured ones that require a gradient now and did not, or the reverse, where that counts:
        in a program that differentiates itself by those that did."""
        sources: Sequence[Tensor | GradientPlace] = self.program.captures
        places = zip(sources, self.program.required, strict=True) if self.program.detached else ()
        return [
            value
            for source, before in places
            if isinstance(value := source._value, Variable)
            and value.requires_grad != before
            and not isinstance(source, GradientPlace)
        ]

    def changes(self) -> list[str]:
        """A line for each kind of reason for which the function must be traced again."""
        lines = [
            f"a captured {value.type} requires {'a' if value.requires_grad else 'no'} gradient now"
            for value in self._switched()
        ]
        return changes(self.guards) + list(dict.fromkeys(lines))

    def take_over(self, other: Specialisation) -> None:
        """Use the compiled code of another specialisation where the program is the same."""
        same = str(other.program.function) == str(self.program.function)
        same = same and other.program.in_place == self.program.in_place
        if same and other.options == self.options:
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

    def call(self, arrays: Sequence[Array]) -> list[Variable]:
        """The results for arrays of the inputs and captures; nothing is recorded."""
        return list(map(Variable, self.executable(arrays), self._result_types))

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
        return record_call(self.program.function.name, operands, results, pull)

    def forward(
        self, arrays: Sequence[Array], wrt: Positions
    ) -> tuple[list[Array], CompiledPullBack]:
        """The results, and the way from their cotangents to those of the ``wrt`` arguments.

        The arrays must not change any more.
        """
        halves = self._halves_for(wrt)
        outputs = halves.forward(arrays)
        sources = {"argument": arrays, "result": outputs}
        residuals = [sources[kind][i] for kind, i in halves.split.residuals]
        pull = CompiledPullBack(halves.split.backward, halves.backward, residuals)
        return outputs[: len(self._result_types)], pull

    def natives(self) -> list[NativeFunction]:
        """The native code there is so far."""
        pairs = [half for half in self._halves.values() if isinstance(half, Halves)]
        halves = [code for half in pairs for code in (half.forward, half.backward)]
        found = [x for x in (self._executable, *halves) if x is not None]
        return [x for x in found if isinstance(x, NativeFunction)]

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
            return SplitVjp(function, vjp(function, wrt), every)
        return split_vjp(function, wrt)

    def _compile(self, function: Function) -> Executable:
        return Compilation(function, self.options).executable


def _refuse(error: GradientError, cts: Sequence[Array | None]) -> Any:
    raise GradientError(error.message, error.location)


def _form(type: object) -> tuple[object, object]:
    assert isinstance(type, TensorType)
    return type.dtype.numpy, type.shape


def _zeros(type: object) -> Array:
    assert isinstance(type, TensorType)
    return np.zeros(type.static_shape, type.dtype.numpy)
