"""Every op has a decision about forward mode and batching; those that are made hold."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.ir.core import Trait
from nets.ir.types import f32, f64
from nets.ops.definition.decisions import IN_EACH, ITSELF, NOTHING, PARTIALS, Decision, ToCome
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample, Spec

DECIDED = [d for d in REGISTRY.values() if d.rules.evaluate or d.traits & Trait.CONTROL]


def _counts(transform: str) -> Counter[Decision | None]:
    decisions = [getattr(definition, transform) for definition in DECIDED]
    return Counter(None if isinstance(found, ToCome) else found for found in decisions)


def test_so_many_rules_are_still_to_come() -> None:
    """Whoever gives an op its rule for forward mode or batching makes these numbers smaller."""
    assert _counts("forward")[None] == 10
    assert _counts("batch")[None] == 14
    assert _counts("forward").keys() == {PARTIALS, ITSELF, IN_EACH, NOTHING, None}
    assert _counts("batch").keys() == {ITSELF, NOTHING, None}


def test_what_is_to_come_is_said() -> None:
    for definition in DECIDED:
        for decision in (definition.forward, definition.batch):
            assert decision is not None, definition.name
            assert len(decision.words.split()) >= 3, definition.name


# ---------------------------------------------------------------------------- forward mode


def _wide(value: Any) -> Any:
    return f64 if value == f32 else value


def _linear() -> Iterator[Any]:
    """Samples in float64 of the ops whose tangent is made by the op itself."""
    for definition in DECIDED:
        if definition.forward not in (ITSELF, IN_EACH):
            continue
        for i, sample in enumerate(definition.samples):
            attributes = {key: _wide(value) for key, value in sample.attributes.items()}
            specs = [Spec(s.shape, _wide(s.dtype), s.low, s.high) for s in sample.operands]
            floats = any(spec.dtype.is_float for spec in specs)
            if floats and attributes.get("dtype", f64) == f64:
                wide = Sample(tuple(specs), attributes)
                yield pytest.param(definition, wide, id=f"{definition.name}-{i}")


def _tangent(
    definition: OpDef, arrays: Sequence[Array], steps: dict[int, Array], sample: Sample
) -> Array:
    """What the decision says."""
    groups = [set(steps)] if definition.forward is ITSELF else [{place} for place in steps]
    terms = []
    for group in groups:
        given = [steps[i] if i in group else array for i, array in enumerate(arrays)]
        terms += definition.evaluate(given, sample.attributes)
    return np.sum(terms, axis=0)


@pytest.mark.parametrize(("definition", "sample"), list(_linear()))
@pytest.mark.sampled(3)
def test_the_tangent_is_the_slope(definition: OpDef, sample: Sample) -> None:
    """Of what is linear, or linear in each of two operands, central differences are exact."""
    rng = np.random.default_rng(3)
    arrays = [np.asarray(spec.draw(rng)) for spec in sample.operands]
    steps = {i: rng.normal(size=x.shape) for i, x in enumerate(arrays) if x.dtype.kind == "f"}
    ahead, behind = (
        definition.evaluate(
            [x + sign * steps[i] if i in steps else x for i, x in enumerate(arrays)],
            sample.attributes,
        )[0]
        for sign in (1, -1)
    )
    found = _tangent(definition, arrays, steps, sample)
    np.testing.assert_allclose(found, (ahead - behind) / 2, rtol=1e-10, atol=1e-10)
