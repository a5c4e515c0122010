"""Programs of one op, for the tests of op families: its results, and its derivatives by
finite differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nets.backend.numpy.interpreter import evaluate
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.types import TensorType, from_numpy
from nets.ops.registry import Array, lookup
from nets.passes.vjp import carries_cotangent, vjp


def program(name: str, types: Sequence[TensorType], **attributes: Any) -> Function:
    function = Function("f", types)
    builder = Builder(function.body)
    op = builder.create(lookup(name), function.arguments, attributes)
    builder.create(lookup("return"), op.results)
    return function


def type_of(array: Array) -> TensorType:
    dtype = from_numpy(array.dtype)
    assert dtype is not None
    return TensorType(array.shape, dtype)


def run(name: str, *arrays: Array, **attributes: Any) -> Array:
    """The one result of the op, whose inferred type must be that of the array."""
    arrays = tuple(map(np.asarray, arrays))
    function = program(name, [type_of(array) for array in arrays], **attributes)
    (result,) = evaluate(function, arrays)
    assert function.returned[0].type == type_of(result)
    return result


def check_derivatives(name: str, *arrays: Array, orders: int = 2, **attributes: Any) -> None:
    """Compare the op's vjp, and the vjp of that, with central differences in float64.

    Along a random direction d, ⟨ct, f(x + h·d) − f(x − h·d)⟩ / 2h must be ⟨vjp(ct), d⟩.
    """
    arrays = tuple(map(np.asarray, arrays))
    rng = np.random.default_rng(len(name))
    function = program(name, [type_of(array) for array in arrays], **attributes)
    for _ in range(orders):
        wrt = [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)]
        derivative = vjp(function, wrt)
        cts = [rng.normal(size=value.type.shape) for value in function.returned]
        gradients = evaluate(derivative, [*arrays, *cts])
        steps = {i: rng.normal(size=arrays[i].shape) for i in wrt}
        expected = _slope(function, arrays, steps, cts)
        found = sum(float(np.sum(g * steps[i])) for i, g in zip(wrt, gradients, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
        function, arrays = derivative, (*arrays, *cts)


def _slope(
    function: Function, arrays: Sequence[Array], steps: dict[int, Array], cts: Sequence[Array]
) -> float:
    h = 1e-6
    ahead, behind = (
        evaluate(function, [x + s * steps[i] if i in steps else x for i, x in enumerate(arrays)])
        for s in (h, -h)
    )
    rise = zip(cts, ahead, behind, strict=True)
    return sum(float(np.sum(ct * (a - b))) for ct, a, b in rise) / (2 * h)
