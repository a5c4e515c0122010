"""Random loops and branches: native code has the bits of the same steps written out."""

from __future__ import annotations

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.vjp import carries_cotangent, value_and_vjp
from tests.property.compiled import Way
from tests.property.loop_programs import Loop
from tests.property.programs import arguments
from tests.property.results import assert_same


@pytest.mark.parametrize("seed", range(500_000, 500_025))
@pytest.mark.sampled(5)
def test_a_scan_has_the_bits_of_its_steps(seed: int) -> None:
    loop = Loop(seed, smooth=False)
    kept, written = loop.function(False), loop.function(True)
    text = print_function(kept)
    assert print_function(parse_function(text, lookup)) == text
    arrays = arguments(kept, np.random.default_rng(seed))
    assert_same(evaluate(written, arrays), evaluate(kept, arrays), kept)
    expected = Way().compile(written)(arrays)
    assert_same(expected, Way().compile(kept)(arrays), kept)
    other = Way("none" if seed % 2 else "default", threads=2, vector_bytes=16)
    assert_same(expected, other.compile(kept)(arrays), kept)


@pytest.mark.parametrize("seed", range(600_000, 600_012))
@pytest.mark.sampled(5)
def test_gradients_of_a_scan_are_those_of_its_steps(seed: int) -> None:
    loop = Loop(seed, smooth=True)
    kept, written = loop.function(False), loop.function(True)
    wrt = [i for i, x in enumerate(kept.arguments) if carries_cotangent(x.type)]
    kept, written = value_and_vjp(kept, wrt), value_and_vjp(written, wrt)
    arrays = arguments(kept, np.random.default_rng(seed), special=False)
    expected = Way().compile(written)(arrays)
    for x, y in zip(expected, Way().compile(kept)(arrays), strict=True):
        if np.all(np.isfinite(x)):
            np.testing.assert_allclose(y, x, rtol=1e-6, atol=1e-9 * (1 + np.abs(x).max(initial=0)))
