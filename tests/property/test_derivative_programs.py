"""Derivatives of random smooth programs against central differences, to second order."""

from collections.abc import Sequence

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function, Operation
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import Array
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from tests.property.programs import arguments, random_program

PROGRAMS = 250
STEPS = (1e-5, 1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.sampled(2)
def test_derivatives_agree_with_differences(order: int) -> None:
    programs = PROGRAMS // order
    checked = sum(_check(seed, order) for seed in range(programs))
    assert checked > programs / 3


def _check(seed: int, order: int) -> bool:
    """Compare ⟨vjp(ct), d⟩ with the slope of ⟨ct, f⟩ along a random direction d.

    For order 2, f is the gradient of the program. False where differences do not tell: a value
    is not finite or too large, or two step sizes disagree, as they do next to a kink.
    """
    function = random_program(seed, size=8, smooth=True)
    rng = np.random.default_rng(seed)
    arrays = arguments(function, rng, special=False)
    for _ in range(order - 1):
        wrt = [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)]
        arrays += _cotangents(function, rng)
        function = vjp(function, wrt)
    if _largest(function, arrays) > 1e4:
        return False
    wrt = [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)]
    cts = _cotangents(function, rng)
    directions = {i: rng.normal(size=arrays[i].shape) for i in wrt}
    slopes = [_slope(function, arrays, directions, cts, h) for h in STEPS]
    scale = 1 + abs(slopes[0])
    if not abs(slopes[0] - slopes[1]) < 1e-5 * scale:
        return False
    derivative = vjp(function, wrt)
    verify_function(derivative)
    gradients = evaluate(derivative, [*arrays, *cts])
    found = sum(float(np.sum(g * directions[i])) for i, g in zip(wrt, gradients, strict=True))
    assert abs(found - slopes[0]) < 1e-4 * scale, f"{found}, not {slopes}, for\n{function}"
    return True


def _cotangents(function: Function, rng: np.random.Generator) -> list[Array]:
    types = [value.type for value in function.returned]
    return [rng.normal(size=type.shape).astype(type.dtype.numpy) for type in types]


def _largest(function: Function, arrays: list[Array]) -> float:
    """The largest magnitude of any value; inf where one is not finite."""
    found = [0.0]

    def observe(op: Operation, results: Sequence[Array]) -> None:
        for result in results:
            if result.dtype.kind == "f" and result.size:
                largest = float(np.max(np.abs(result)))
                found.append(largest if np.isfinite(largest) else np.inf)

    evaluate(function, arrays, observe)
    return max(found)


def _slope(
    function: Function,
    arrays: list[Array],
    directions: dict[int, Array],
    cts: list[Array],
    h: float,
) -> float:
    ahead, behind = (
        evaluate(function, [x + s * directions.get(i, 0) for i, x in enumerate(arrays)])
        for s in (h, -h)
    )
    rises = [
        float(np.sum(ct * (a - b)))
        for value, ct, a, b in zip(function.returned, cts, ahead, behind, strict=True)
        if carries_cotangent(value.type)
    ]
    return sum(rises) / (2 * h)
