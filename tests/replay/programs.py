"""The programs that are replayed, and the texts they go through on their way to code.

Users' programs, each operation that has sizes with its gradients, random programs and their
derivatives, small loops, training steps of random networks, and libraries. All but the nets they
are compiled with is in this file and in the families it draws from; the machine has no say.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np

import nets
from nets.backend.library import aot
from nets.compiler.compile import Compilation, CompileOptions
from nets.ir.core import Function
from tests.backend.corpus import CORPUS
from tests.property.hunt import SIZES, gradient
from tests.property.loops import SmallLoop, family
from tests.property.networks import training
from tests.property.programs import random_program
from tests.property.text_sizes import ROWS, functions

RANDOM: Final = 80
NETWORKS: Final = 9
BETWEEN_LOOPS: Final = 397
"""One small loop out of so many; a prime, so that all kinds are met."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What code is made for: a CPU by LLVM's name, and the threads of a call."""

    cpu: str
    threads: int

    def __str__(self) -> str:
        return f"{self.cpu}, {self.threads} thread{'s' * (self.threads > 1)}"


SETTINGS: Final = tuple(
    Setting(cpu, threads) for cpu, threads in itertools.product(("x86-64-v3", "x86-64-v4"), (1, 2))
)

Texts = Mapping[str, str]
"""By stage, of each function one after the other; of a library by module."""

STAGES: Final = ("traced", "optimized", "loops")


@dataclass(frozen=True, slots=True)
class Program:
    """Functions of the tensor dialect, by name, that are made when they are asked for."""

    functions: Callable[[], Mapping[str, Function]]

    def code(self, setting: Setting) -> str:
        return "\n".join(found.llvm() for found in self._compilations(setting).values())

    def texts(self, setting: Setting) -> Texts:
        texts = {}
        for name, found in self._compilations(setting).items():
            texts |= {f"{name}, {stage}": found.ir(stage) for stage in STAGES}
            texts[f"{name}, LLVM IR"] = found.llvm()
        return texts

    def _compilations(self, setting: Setting) -> dict[str, Compilation]:
        options = CompileOptions(threads=setting.threads, cpu=setting.cpu)
        functions = self.functions()
        return {name: Compilation(function, options) for name, function in functions.items()}


@dataclass(frozen=True, slots=True)
class LibraryProgram:
    """What ``nets.export`` writes of lowered functions: modules, the interface, and the header."""

    functions: Callable[[], Mapping[str, Any]]

    def code(self, setting: Setting) -> str:
        return "\n".join(self.texts(setting).values())

    def texts(self, setting: Setting) -> Texts:
        seen: list[str] = []

        def linked(texts: list[str], *_: Any) -> bytes:
            seen.extend(texts)
            return b""

        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(aot, "linked_object_code", linked),
        ):
            path = Path(folder) / "replayed"
            nets.export(path, formats="h", cpu=setting.cpu, **self.functions())
            header = path.with_suffix(".h").read_text(encoding="utf-8")
        return {"header": header} | {f"module {i}": text for i, text in enumerate(seen)}


@functools.cache
def programs() -> Mapping[str, Program | LibraryProgram]:
    """All of them, by name."""
    found: dict[str, Program | LibraryProgram] = {}
    for name, entry in CORPUS.items():
        found[f"corpus, {name}"] = _alone(entry.program)
    for name in ROWS:
        found[f"operation, {name}"] = Program(functools.partial(functions, name, 8))
    for seed in range(RANDOM):
        size = SIZES[seed % len(SIZES)]
        found[f"random, {seed}"] = _alone(functools.partial(random_program, seed, size))
        if seed % 4 == 3:
            found[f"derivative, {seed}"] = _alone(functools.partial(gradient, seed))
    for i, loop in enumerate(itertools.islice(family(), 0, None, BETWEEN_LOOPS)):
        found[f"loop, {i}"] = _alone(functools.partial(_of_loop, loop))
    for seed in range(NETWORKS):
        found[f"training, {seed}"] = _alone(functools.partial(_of_step, seed))
        found[f"library, {seed}"] = LibraryProgram(functools.partial(_step, seed))
    return found


def _alone(function: Callable[[], Function]) -> Program:
    return Program(lambda: {"function": function()})


def _of_loop(loop: SmallLoop) -> Function:
    a = np.float64(1)
    traced = nets.trace(lambda a, b, xs: loop.run(nets, a, b, xs))
    function: Function = traced.lower(a, a, np.ones(loop.length)).function
    return function


def _of_step(seed: int) -> Function:
    function: Function = _step(seed)["step"].function
    return function


def _step(seed: int) -> dict[str, Any]:
    _, step, data = training(seed)
    return {"step": nets.trace(step).lower(*data)}
