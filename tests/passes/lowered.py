"""Runs tensor programs through passes and the loop interpreter, and builds the programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nets.backend.numpy import loop_interpreter
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Function, Operation, Value
from nets.ir.types import DType, TensorType, f32
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import Array, lookup
from nets.passes.lowering import map_loops
from nets.passes.manager import KnownForms, Options, find_pass
from nets.passes.spaces import iteration
from tests.machines import let_every_machine_have


class Program:
    """A function in the making: ``p.emit(...)`` adds operations, ``p.done(...)`` ends it."""

    def __init__(self, *types: TensorType) -> None:
        self.function = Function("f", types, [f"x{i}" for i in range(len(types))])
        self.b = GraphEmitter(Builder(self.function.body))

    @property
    def arguments(self) -> list[Value]:
        return self.function.arguments

    def done(self, *results: Value) -> Function:
        self.b.builder.create(lookup("return"), results)
        return self.function


def tensor(*shape: int, dtype: DType = f32) -> TensorType:
    return TensorType(shape, dtype)


def run_passes(function: Function, *passes: str) -> Function:
    """A copy of the function after the passes, verified after each, with its forms."""
    result, forms = clone_function(function), KnownForms()
    for name in passes:
        run = find_pass(name)
        forms.check_before(name, result)
        result = run(result, Options())
        forms.check_kept(name, result)
        verify_function(result)
    return result


def run_loops(loops: Function, arrays: Sequence[Array], backwards: bool = False) -> list[Array]:
    """The outputs of a function of loops whose checks all hold."""
    status, outputs = status_of(loops, arrays, backwards)
    assert status == 0
    return outputs


def status_of(
    loops: Function, arrays: Sequence[Array], backwards: bool = False
) -> tuple[int, list[Array]]:
    """The status of a call and its outputs."""
    outputs = [
        np.empty(argument.type.shape, argument.type.dtype.numpy)
        for argument in loops.arguments[loops.attributes["inputs"] :]
    ]
    inputs = [np.array(array, order="C") for array in arrays]
    return loop_interpreter.run(loops, [*inputs, *outputs], backwards), outputs


def operations(function: Function, name: str) -> list[Operation]:
    """The operations of that name, nested ones too."""
    return [op for op in function.walk() if op.name == name]


def parallelize_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every loop be worth sharing among threads, in small pieces, and every chain of blocks.

    And let every array be worth reading in several places at once.
    """
    monkeypatch.setattr(map_loops, "_chunk", lambda work, machine: 16)
    let_every_machine_have(monkeypatch, fork_cycles=1, kept_bytes=1, last_cache_bytes=1)


def cross_short_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few and short rows share their loops with the reductions across them."""
    monkeypatch.setattr(iteration, "MIN_ROWS", 2)
    monkeypatch.setattr(iteration, "MIN_ROW_LENGTH", 2)
