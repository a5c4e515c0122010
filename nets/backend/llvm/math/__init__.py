"""The vector math library: LLVM IR text of exp, log, sin, pow, … on any number of lanes.

`definition` gives an ``internal alwaysinline`` function on ``<lanes x T>`` (on T for one lane).
The same operations in the same order serve every number of lanes: a tail, a scalar, another CPU or
an exported library never changes a bit. Where AVX-512 has one instruction for what takes several
elsewhere (tables in registers, exponents, scaling by powers of two), it gives the same number.
No function of the C library is called. Measured errors stand in docs/numerics.md; the bound is 2
units in the last place over the whole range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from nets.backend.llvm.math import (
    exponential,
    hyperbolic,
    integers,
    inverse,
    logarithm,
    power,
    remainder,
    root,
    trigonometric,
)
from nets.backend.llvm.math.body import Body, Definition, Lanes
from nets.backend.llvm.math.formats import FORMATS
from nets.errors import CompileError
from nets.ir.types import DType
from nets.machine.machine import InstructionSet

__all__ = ["FUNCTIONS", "Definition", "definition"]

_FORMULAS: Final[Mapping[str, Callable[..., Lanes]]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "erf": exponential.erf,
    "log": logarithm.log,
    "log1p": logarithm.log1p,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "arcsin": inverse.arcsin,
    "arccos": inverse.arccos,
    "arctan": inverse.arctan,
    "sinh": hyperbolic.sinh,
    "cosh": hyperbolic.cosh,
    "arcsinh": hyperbolic.arcsinh,
    "arccosh": hyperbolic.arccosh,
    "arctanh": hyperbolic.arctanh,
    "cbrt": root.cbrt,
    "rsqrt": power.rsqrt,
    "pow": power.pow,
    "fmod": remainder.fmod,
    "arctan2": inverse.arctan2,
    "hypot": root.hypot,
}

_OF_TWO: Final = ("pow", "fmod", "arctan2", "hypot")

FUNCTIONS: Final[Mapping[str, int]] = MappingProxyType(
    {name: 2 if name in _OF_TWO else 1 for name in _FORMULAS}
)
"""The functions of the library, with their number of arguments."""


@cache
def definition(
    function: str, dtype: DType, lanes: int, isa: InstructionSet = "generic"
) -> Definition:
    """The LLVM function ``nets_<function>_<dtype>x<lanes>`` and what it requires.

    It may use the instructions of ``isa``; the results are the same.

    ``function`` is one of `FUNCTIONS` (or comes from ``requires``) and ``dtype`` f32 or f64, or it
    is gcd, of integers; anything else is a CompileError.
    """
    if (function, dtype, lanes) == trigonometric.REDUCTION:
        return trigonometric.reduction()
    if function == "gcd" and dtype.is_integer:
        return integers.gcd(dtype, lanes)
    formula = _FORMULAS.get(function)
    form = FORMATS.get(dtype)
    if formula is None or form is None or lanes < 1:
        raise CompileError(f"the math library has no {function} on {lanes} lanes of {dtype}")
    body = Body(form, lanes, isa)
    arguments = ("x", "y")[: FUNCTIONS[function]]
    result = formula(body, *map(body.argument, arguments))
    return body.finish(f"nets_{function}_{dtype}x{lanes}", arguments, result)
