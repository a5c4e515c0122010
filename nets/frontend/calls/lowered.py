"""Lowered: a traced function for one signature, to be looked into, compiled and exported."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nets.backend.numpy.interpreter import evaluate as interpret
from nets.compiler.compile import Compilation, CompileOptions, Executable, thread_option
from nets.errors import ArgumentError, ParseError
from nets.frontend.calls.plans import Planned, plan_of, remember
from nets.frontend.calls.specialisation import finish
from nets.frontend.pytree import TreeDef, flatten
from nets.frontend.tensor.conversion import array_of, scalar_array
from nets.frontend.tensor.inner import held_value, tensor_of_array
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.state import Place, at_call
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array, no_grad, variable
from nets.frontend.tracing.arguments import BoundCall, Form
from nets.frontend.tracing.program import Program
from nets.frontend.tracing.signature import Input
from nets.frontend.tracing.spec import short
from nets.ir.core import Function, Module
from nets.ir.location import user_location
from nets.ir.sizes import Size
from nets.ir.types import TensorType, gives_way
from nets.locks import made_once
from nets.ops.definition.registry import lookup

_BACKENDS: Final = {"native": "llvm", "llvm": "llvm", "numpy": "numpy"}


def _backend(word: str) -> str:
    if word not in _BACKENDS:
        raise ArgumentError(f'backend is "native" or "numpy", not {word!r}', user_location())
    return _BACKENDS[word]


class Lowered:
    """The program of a function for arguments of given types.

    ``function`` is the traced IR. Its arguments are named ``argument_names`` (the leaves of the
    arguments, then captured tensors), its results ``result_names``.
    """

    def __init__(
        self,
        program: Program,
        form: Form,
        options: CompileOptions,
        traced_function: object = None,
    ) -> None:
        self.program = program
        self.form = form
        """Of the calls it takes."""
        self.options = options
        self.traced_function = traced_function
        self._compilation_for: Callable[[CompileOptions], Compilation] = functools.partial(
            Compilation, program.function
        )

    def take_over(self, compilation_for: Callable[[CompileOptions], Compilation]) -> None:
        """Have its compilations from there."""
        self._compilation_for = compilation_for

    # ------------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        """The name of the function, in IR and in exported libraries."""
        return self.program.function.name

    @property
    def function(self) -> Function:
        """The traced function; passes work on copies."""
        return self.program.function

    @property
    def argument_names(self) -> list[str]:
        """Names of the arguments in flattened order, as in ``params_0_w``."""
        return self.program.argument_names

    @property
    def result_names(self) -> list[str]:
        """Names of the results: ``out``, ``out_0``, or the keys of a dict."""
        return self.program.result_names

    @property
    def captures(self) -> tuple[Place, ...]:
        """The tensors from outside that the function uses: its last arguments."""
        return self.program.captures

    @property
    def in_tree(self) -> TreeDef:
        """The nest of ``(args, kwargs)``, static arguments left out."""
        return self.form.tree

    @property
    def parameter_names(self) -> list[str]:
        """Names of the positional arguments that are not static."""
        return self.form.parameter_names

    @property
    def out_tree(self) -> TreeDef:
        """The nest of the result."""
        return self.program.tree

    # --------------------------------------------------------------------- stages

    @made_once
    def compilation(self) -> Compilation:
        """The stages of its compilation, each made when first asked for."""
        return self._compilation_for(self.options)

    def ir(self, stage: str = "optimized") -> str:
        """The text of a stage: "traced", "optimized" or "loops"."""
        return self.compilation.ir(stage)

    def llvm(self) -> str:
        """The LLVM IR of the native code."""
        return self.compilation.llvm()

    def asm(self) -> str:
        """The assembly of the native code."""
        return self.compilation.asm()

    def stats(self) -> dict[str, Any]:
        """Milliseconds per pass."""
        return self.compilation.stats()

    def cost(self) -> dict[str, Any]:
        """Arithmetic operations, bytes moved, peak memory."""
        return self.compilation.cost()

    def compile(self, backend: str | None = None, threads: int | None = None) -> Compiled:
        """A callable that takes the arguments the function was lowered for.

        ``backend``: "native", or "numpy" for the reference; by default what NETS_BACKEND says.
        CompileError where native code cannot run.
        """
        changes: dict[str, Any] = {}
        if backend is not None:
            changes["backend"] = _backend(backend)
        if threads is not None:
            changes["threads"] = thread_option(threads)
        return self.compiled(dataclasses.replace(self.options, **changes))

    def compiled(self, options: CompileOptions) -> Compiled:
        """The callable for these options."""
        same = options == self.options
        compilation = self.compilation if same else self._compilation_for(options)
        return Compiled(self, compilation.executable, options)

    def __reduce__(self) -> tuple[Any, ...]:
        """IR text, captured tensors and the form of the arguments; no Python function."""
        from nets.frontend.calls.pickling import reduce_lowered

        return reduce_lowered(self)

    def __str__(self) -> str:
        return self.ir("traced")

    def __repr__(self) -> str:
        return f"<lowered function {self.name}>"

    # ------------------------------------------------------------------- arguments

    def found(self) -> list[Tensor]:
        """The tensors that stand where calls put others.

        ArgumentError where the places hold other things than when the function was lowered.
        """
        found = self.program.slots.find()
        if found is None:
            raise ArgumentError(
                f"what {self.name} keeps from call to call is of another structure now; lower it "
                "again",
                user_location(),
            )
        return found

    def arrays(
        self, args: tuple[object, ...], kwargs: dict[str, object], found: Sequence[Tensor]
    ) -> list[Array]:
        """The arrays of a call, captured tensors last.

        ArgumentError where structure, shape, dtype or a static value is not what was lowered.
        """
        call = BoundCall(self.form.binding, args, kwargs)
        call.check()
        if call.tree != self.form.tree:
            raise ArgumentError(
                f"{self.name} was lowered for arguments {_nest_text(self.form.tree)}, not "
                f"{_nest_text(call.tree)}",
                user_location(),
            )
        if call.static_key() != self.form.static:
            raise ArgumentError(f"{self.name} was lowered for other static values", user_location())
        call.read()
        rows = zip(call.arrays, call.keys, self.program.inputs, strict=True)
        fitting = [_fitting(array, weak, entry) for array, (_, _, weak), entry in rows]
        return fitting + [held_value(at_call(place, found)).data for place in self.captures]


class Compiled(Planned):
    """A lowered function, compiled; records no gradients."""

    def __init__(self, lowered: Lowered, executable: Executable, options: CompileOptions) -> None:
        self.lowered = lowered
        self.options = options
        self._executable = executable
        self._plans = []
        self._is_planned = False

    def __reduce__(self) -> tuple[Any, ...]:
        """The lowered function, which is compiled again where it arrives."""
        from nets.frontend.calls.pickling import reduce_compiled

        return reduce_compiled(self)

    def call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        lowered, found = self.lowered, self.lowered.found()
        results = self._executable(lowered.arrays(args, kwargs, found))
        if not kwargs and current_scope() is None:
            self._plan(args)
        return lowered.out_tree.unflatten(
            finish(lowered.program, list(map(variable, results)), found)
        )

    def _plan(self, args: tuple[object, ...]) -> None:
        """Let further calls run without Python.

        Not where tensors are updated or given away: plans are then of code that writes in place.
        """
        form, program = self.lowered.form, self.lowered.program
        if self._is_planned or form.static or form.binding.donated or program.in_place:
            return
        self._is_planned = True
        remember(self._plans, plan_of(program, self._executable, flatten(args)[1]))

    def __repr__(self) -> str:
        return f"<compiled function {self.lowered.name}>"


def _nest_text(arguments: TreeDef) -> str:
    """The nest of ``(args, kwargs)`` as a user would write it, ``*`` for each leaf."""
    args, kwargs = arguments.unflatten(arguments.stars())
    named = [f"{name}={part!r}" for name, part in kwargs.items()]
    return f"({', '.join([*map(repr, args), *named])})"


def _nest(lowered: Lowered, arrays: Sequence[Array]) -> object:
    kept = arrays[: lowered.out_tree.leaf_count]
    return lowered.out_tree.unflatten([tensor_of_array(array) for array in kept])


def _fitting(array: Array, weak: bool, entry: Input) -> Array:
    """The array, if it is what the argument was lowered for; a Python number takes its dtype."""
    expected = entry.type.dtype.numpy
    if _has_shape(array, entry.type):
        if array.dtype == expected:
            return array
        if weak and gives_way(array.dtype.kind, expected.kind):
            return scalar_array(array.item(), entry.type.dtype)
    given = f"{array.dtype}[{','.join(map(str, array.shape))}]"
    raise ArgumentError(
        f"argument {entry.path} is {given}; the function was lowered for {short(entry.type)}",
        user_location(),
    )


def _has_shape(array: Array, type: TensorType) -> bool:
    """Sizes that a call tells are checked when it begins."""
    pairs = zip(array.shape, type.shape, strict=False)
    return array.ndim == type.rank and all(n == dim or isinstance(dim, Size) for n, dim in pairs)


# ------------------------------------------------------------------------ IR as text


def parse_ir(text: str) -> Module:
    """The module that an IR text describes; ParseError or VerifyError where it is none."""
    if not isinstance(text, str):
        raise ParseError(f"IR text is a str, not {type(text).__name__}")
    from nets.ir.parser import parse_module  # not needed to call a traced function

    return parse_module(text, lookup)


def evaluate(program: Lowered | Module | Function | str, *arrays: object) -> Any:
    """Run the reference interpreter on ``program`` and ``arrays``, its arguments.

    A ``Lowered`` takes and gives what its function does. IR (a function, a module with one, or
    their text) takes an array per argument and gives the list of its results as NumPy arrays.
    """
    if isinstance(program, Lowered):
        return _nest(
            program, interpret(program.function, program.arrays(arrays, {}, program.found()))
        )
    function = _only_function(program)
    with no_grad():  # the elements are meant
        given = [x if isinstance(x, np.ndarray) else array_of(x) for x in arrays]
    return interpret(function, given)


def _only_function(program: Module | Function | str) -> Function:
    if isinstance(program, Function):
        return program
    if not isinstance(program, (Module, str)):
        raise ArgumentError(
            f"{type(program).__name__} is no program: pass IR, its text, or a lowered function",
            user_location(),
        )
    module = parse_ir(program) if isinstance(program, str) else program
    if len(module.functions) != 1:
        names = ", ".join(module.functions) or "none"
        raise ArgumentError(f"nets.evaluate runs one function; the module has {names}")
    (function,) = module.functions.values()
    return function
