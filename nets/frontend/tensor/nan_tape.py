"""NETS_CHECK=nan for eager programs: the tape is searched, then the backward pass.

See ``nets.compiler.nan_check``, which does the same for compiled ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from nets.compiler.nan_check import has_nan, told
from nets.errors import CheckError
from nets.frontend.tensor.autograd import EagerEmitter
from nets.frontend.tensor.variable import Variable
from nets.ir.core import Value
from nets.ir.location import GradientLocation, Location
from nets.passes.derivatives.activity import Step
from nets.passes.derivatives.vjp import pull_back

Array = npt.NDArray[Any]


def check_tape(
    steps: Sequence[Step],
    root: Value,
    seed: Value,
    cts: Mapping[Value, Value],
    wanted: Sequence[Value],
) -> None:
    """CheckError where what backward() started at is NaN, or a gradient it found is."""
    if has_nan(_array(root)):
        _raise_origin_on(steps, root)
    if not any(has_nan(_array(ct)) for value in wanted if (ct := cts.get(value)) is not None):
        return
    again: dict[Value, Value] = {root: seed}
    pull_back(_WatchingEmitter(), steps, again, wanted)


def _raise_origin_on(steps: Sequence[Step], root: Value) -> None:
    """CheckError for the first step of the tape with a NaN that its operands do not have."""
    for step in steps:
        operands = [_array(x) for x in step.operands]
        for result in step.results:
            if has_nan(_array(result)) and not any(map(has_nan, operands)):
                text = told(step.definition.name, step.location, operands, _array(result))
                raise CheckError(text, step.location)
    raise CheckError("backward() starts at a NaN that was NaN before it was recorded")


class _WatchingEmitter(EagerEmitter):
    """Raises CheckError at the first operation of a backward pass that makes a NaN."""

    def derive(self, name: str, location: Location | None) -> None:
        self._location = None if location is None else GradientLocation(location, name)

    def emit_all(self, name: str, *operands: Value, **attributes: object) -> tuple[Value, ...]:
        results = super().emit_all(name, *operands, **attributes)
        arrays = [_array(x) for x in operands]
        if not any(map(has_nan, arrays)):
            for result in results:
                if has_nan(_array(result)):
                    text = told(name, self._location, arrays, _array(result))
                    raise CheckError(text, self._location)
        return results


def _array(x: Value) -> Array:
    assert isinstance(x, Variable)
    return x.data
