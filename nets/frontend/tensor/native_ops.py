"""Native code for eager operations whose reference is slow.

The reference of an op is there to be read, and takes a thousand times as long as native code where
it goes through a matrix element by element. The classes of such ops have ``native_from``: matrices
of so many elements are worth the time that compiling takes (some tenths of a second, once;
milliseconds where the object cache knows the program). Smaller ones go by the reference until it
has taken as long for operands of these types, so that eager code takes twice as long as it might
at most. The bits are the same, which such a class promises (the trait EXACT).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nets import config
from nets.frontend.tensor.variable import Array, Variable
from nets.ir.builder import Builder
from nets.ir.core import Attributes, Function
from nets.ir.types import Type
from nets.ops.definition.registry import OpDef, lookup

_PATIENCE: Final = 0.2
"""Seconds that the reference may take for operands of some types before they are compiled for."""

_SMALL: Final = 64
"""Elements of operands that are nothing to think about."""

_SETTINGS: Final = (config.CPU, config.NUMERICS, config.NUM_THREADS)
"""What decides about code."""

_MOST: Final = 1024
"""Programs that are kept."""


class _Program:
    """An op for operands of some types: what the reference has taken so far, and native code."""

    __slots__ = ("run", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.run: Callable[[Sequence[Array]], Sequence[Array]] | None = None


_programs: dict[object, _Program] = {}


def evaluate(
    definition: OpDef, operands: Sequence[Variable], attributes: Attributes
) -> Sequence[Array]:
    """The results of an op: by its reference, or by native code where that pays."""
    arrays = [x.data for x in operands]
    least = definition.native_from
    if least is None or _most(x.size for x in arrays) < _SMALL or not _is_wanted():
        return definition.evaluate(arrays, attributes)
    program = _program(definition, arrays, attributes)
    is_large = _most(math.prod(x.shape[-2:]) for x in arrays) >= least
    if program.run is None and (is_large or program.seconds > _PATIENCE):
        program.run = _compiled(definition, [x.type for x in operands], attributes)
    if program.run is not None:
        return program.run(arrays)
    start = time.perf_counter()
    found = definition.evaluate(arrays, attributes)
    program.seconds += time.perf_counter() - start
    return found


def _most(sizes: Iterable[int]) -> int:
    return max(sizes, default=0)


def _is_wanted() -> bool:
    """Not where the reference is asked for, nor where native code cannot run."""
    from nets.backend.process.obstacle import obstacle

    return config.BACKEND.get() != "numpy" and not config.CHECK.get() and obstacle() is None


def _program(definition: OpDef, arrays: Sequence[Array], attributes: Attributes) -> _Program:
    forms = [(x.shape, x.dtype) for x in arrays]
    key = (definition.name, *forms, *attributes.items(), *(each.get() for each in _SETTINGS))
    found = _programs.get(key)
    if found is None:
        if len(_programs) >= _MOST:
            _programs.clear()
        found = _programs[key] = _Program()
    return found


def _compiled(
    definition: OpDef, types: Sequence[Type], attributes: Attributes
) -> Callable[[Sequence[Array]], Sequence[Array]]:
    """The op as native code."""
    from nets.compiler.compile import Compilation, CompileOptions

    function = Function(definition.name, types, definition.operand_names)
    builder = Builder(function.body)
    made = builder.create(definition, function.arguments, dict(attributes))
    builder.create(lookup("return"), made.results)
    return Compilation(function, CompileOptions()).native
