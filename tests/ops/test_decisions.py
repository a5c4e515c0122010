"""Every op has a decision about forward mode and batching, and a tangent and a stack that hold.

Generated from the samples of the op classes: a tangent is the slope, and what the pull-back is the
transpose of; an entry of a stack has the bits that the op gives for that entry alone.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from single_op import program

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy.interpreter import evaluate
from nets.compiler.compile import Compilation, CompileOptions
from nets.ir.core import Function, Trait
from nets.ir.types import f32, f64
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample
from nets.passes.derivatives.batch import RULES as BATCH_RULES
from nets.passes.derivatives.batch import batch
from nets.passes.derivatives.forward import RULES as FORWARD_RULES
from nets.passes.derivatives.forward import jvp
from nets.passes.derivatives.vjp import carries_cotangent, vjp
from tests.property.programs import NOT_ITS_SLOPE

WITH_REGIONS = [d for d in REGISTRY.values() if d.traits & (Trait.CONTROL | Trait.RULED)]
DECIDED = [d for d in REGISTRY.values() if d.rules.evaluate or d.traits & Trait.CONTROL]
SINGLE = [d for d in DECIDED if d.rules.evaluate and d.samples]


def test_every_op_has_decided() -> None:
    for definition in DECIDED:
        for decision in (definition.forward, definition.batch):
            assert decision is not None, definition.name
            assert len(decision.words.split()) >= 3, definition.name
    names = {definition.name for definition in WITH_REGIONS}
    assert FORWARD_RULES.keys() == BATCH_RULES.keys() == names


# ---------------------------------------------------------------------------- forward mode


def _wide(value: Any) -> Any:
    return f64 if isinstance(value, type(f32)) and value == f32 else value


def _with_tangents() -> Iterator[Any]:
    """Samples in float64 of ops from floats to floats."""
    for definition in SINGLE:
        for i, sample in enumerate(definition.samples):
            attributes = {key: _wide(value) for key, value in sample.attributes.items()}
            specs = tuple(replace(s, dtype=_wide(s.dtype)) for s in sample.operands)
            function = program(definition.name, [s.type for s in specs], **attributes)
            if all(any(carries_cotangent(x.type) for x in part) for part in _parts(function)):
                yield pytest.param(
                    definition, Sample(specs, attributes), id=f"{definition.name}-{i}"
                )


REFUSED = {"zeta_by_s", "gammainc_by_a", "betainc_by_a", "betainc_by_b"}
"""Derivatives by parameters, which have none by them again."""


def _parts(function: Function) -> tuple[Sequence[Any], Sequence[Any]]:
    return function.arguments, function.returned


@pytest.mark.parametrize(("definition", "sample"), list(_with_tangents()))
@pytest.mark.sampled(3)
def test_the_tangent_is_the_slope(definition: OpDef, sample: Sample) -> None:
    if definition.name in REFUSED:
        pytest.skip("its derivatives by parameters are refused")
    rng = np.random.default_rng(3)
    function = program(definition.name, [s.type for s in sample.operands], **sample.attributes)
    wrt = [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)]
    arrays = [np.asarray(spec.draw(rng)) for spec in sample.operands]
    steps = {i: np.asarray(rng.normal(size=arrays[i].shape)) for i in wrt}
    forward = jvp(function, wrt)
    verify_function(forward)
    found = evaluate(forward, [*arrays, *steps.values()])[len(function.returned) :]
    if definition.derivative_reason is None:
        _check_transposed(function, wrt, arrays, steps, found, rng)
    if definition.name not in NOT_ITS_SLOPE:
        _check_slope(function, arrays, steps, found)


def _check_transposed(
    function: Function,
    wrt: Sequence[int],
    arrays: Sequence[Array],
    steps: dict[int, Array],
    tangents: Sequence[Array],
    rng: np.random.Generator,
) -> None:
    """⟨ct, J·step⟩ = ⟨Jᵀ·ct, step⟩."""
    cts = [rng.normal(size=np.shape(x)) for x in tangents]
    gradients = evaluate(vjp(function, wrt), [*arrays, *cts])
    forward = sum(float(np.sum(x * ct)) for x, ct in zip(tangents, cts, strict=True))
    reverse = sum(float(np.sum(g * steps[i])) for g, i in zip(gradients, wrt, strict=True))
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)


def _check_slope(
    function: Function,
    arrays: Sequence[Array],
    steps: dict[int, Array],
    tangents: Sequence[Array],
) -> None:
    """Where two differences agree, as they do where the curve is not too strong."""
    coarse, fine = (_differences(function, arrays, steps, h) for h in (1e-5, 1e-6))
    for tangent, x, y in zip(tangents, coarse, fine, strict=True):
        tells = np.isclose(x, y, rtol=1e-5, atol=1e-6)
        assert tells.size < 2 or tells.mean() > 0.5  # one number may stand next to a pole
        np.testing.assert_allclose(tangent[tells], y[tells], rtol=1e-4, atol=1e-6)


def _differences(
    function: Function, arrays: Sequence[Array], steps: dict[int, Array], h: float
) -> list[Array]:
    ahead, behind = (
        evaluate(function, [x + s * steps[i] if i in steps else x for i, x in enumerate(arrays)])
        for s in (h, -h)
    )
    return [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]


# -------------------------------------------------------------------------------- batching


def _with_stacks() -> Iterator[Any]:
    for definition in SINGLE:
        for i, sample in enumerate(definition.samples):
            for stacked in itertools.product((False, True), repeat=len(sample.operands)):
                if any(stacked):
                    letters = "".join("s" if x else "-" for x in stacked)
                    yield pytest.param(
                        definition, sample, stacked, id=f"{definition.name}-{i}-{letters}"
                    )


def _drawn(sample: Sample, stacked: Sequence[bool], size: int) -> list[Array]:
    rng = np.random.default_rng(5)
    return [
        np.stack([np.asarray(spec.draw(rng)) for _ in range(size)])
        if is_stacked and size
        else np.zeros((0, *spec.shape), spec.dtype.numpy)
        if is_stacked
        else np.asarray(spec.draw(rng))
        for spec, is_stacked in zip(sample.operands, stacked, strict=True)
    ]


@pytest.mark.parametrize(("definition", "sample", "stacked"), list(_with_stacks()))
@pytest.mark.sampled(4)
def test_an_entry_of_a_stack_has_the_bits_of_the_op(
    definition: OpDef, sample: Sample, stacked: Sequence[bool]
) -> None:
    function = program(definition.name, [s.type for s in sample.operands], **sample.attributes)
    for size in (3, 1, 0):
        batched, results = batch(function, stacked, size)
        verify_function(batched)
        assert results == [True] * len(function.returned)
        arrays = _drawn(sample, stacked, size)
        found = evaluate(batched, arrays)
        assert [x.type.shape for x in batched.returned] == [x.shape for x in found]
        for i in range(size):
            alone = [x[i] if s else x for x, s in zip(arrays, stacked, strict=True)]
            for stack, one in zip(found, evaluate(function, alone), strict=True):
                assert stack[i].tobytes() == np.asarray(one).tobytes()


def _compiled() -> Iterator[Any]:
    """Of each op one sample with all operands stacked, and one with the first alone."""
    for definition in SINGLE:
        count = len(definition.samples[0].operands)
        if not count:
            continue
        masks = {(True,) * count, (True, *(False,) * (count - 1))}
        for stacked in sorted(masks):
            yield pytest.param(definition, stacked, id=f"{definition.name}-{sum(stacked)}")


@pytest.mark.parametrize(("definition", "stacked"), list(_compiled()))
@pytest.mark.sampled(4)
def test_native_stacks_have_the_bits_of_native_entries(
    definition: OpDef, stacked: Sequence[bool]
) -> None:
    sample = definition.samples[0]
    function = program(definition.name, [s.type for s in sample.operands], **sample.attributes)
    batched, _ = batch(function, stacked, 3)
    arrays = _drawn(sample, stacked, 3)
    found = Compilation(batched, CompileOptions()).executable(arrays)
    single = Compilation(function, CompileOptions()).executable
    for i in range(3):
        alone = [np.array(x[i]) if s else x for x, s in zip(arrays, stacked, strict=True)]
        for stack, one in zip(found, single(alone), strict=True):
            assert stack[i].tobytes() == np.asarray(one).tobytes()
