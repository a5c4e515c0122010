"""Attribute kinds: what they refuse, and what an attribute is when the op is stacked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import VerifyError
from nets.ir.builder import Builder
from nets.ir.core import Block, Trait
from nets.ir.sizes import symbol
from nets.ir.types import TensorType, f32
from nets.ops.definition.attributes import KINDS
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.registry import REGISTRY, OpDef, Sample, Spec, lookup
from tests.property.results import assert_same

VALUES: tuple[Any, ...] = (
    3,
    True,
    2.0,
    None,
    "a text",
    "NumberError",
    f32,
    np.zeros(2),
    np.int64(3),
    (1, 2),
    (1, symbol("n")),
    (1.0, 2),
    (True,),
    [1, 2],
)

FITTING = {
    "axis": {3},
    "groups": {3},
    "axes": {(1, 2)},
    "low": {(1, 2), (1, symbol("n"))},
    "steps": {(1, 2)},
    "size": {3},
    "shape": {(1, 2), (1, symbol("n"))},
    "stops": {(1, 2), (1, symbol("n"))},
    "dtype": {f32},
    "error": {"NumberError"},
    "message": {"a text", "NumberError"},
}


@pytest.mark.parametrize("name", FITTING)
def test_a_kind_takes_what_it_is_for_and_nothing_else(name: str) -> None:
    taken = [value for value in VALUES if KINDS[name].fits(value)]
    assert len(taken) == len(FITTING[name])
    assert set(taken) == FITTING[name]
    assert [type(value) for value in taken if value == 3] in ([], [int])


def test_arrays_are_values() -> None:
    assert [v is VALUES[7] for v in VALUES if KINDS["value"].fits(v)] == [True]


def test_an_op_may_say_of_which_kind_its_attribute_is() -> None:
    assert lookup("transpose").kinds["axes"] is not KINDS["axes"]
    assert lookup("flip").kinds["axes"] is KINDS["axes"]


def test_a_wrong_kind_is_refused_in_words() -> None:
    block = Block([TensorType((3, 4), f32)])
    message = r"flip: the attribute axes is a tuple of integers, not \(0, 1.0\)"
    with pytest.raises(VerifyError, match=message):
        Builder(block).create(lookup("flip"), block.arguments, {"axes": (0, 1.0)})


# -------------------------------------------------------------------------------- stacking


def _stackable() -> Iterator[Any]:
    """Ops that are their own batched form; without attributes an elementwise op has no choice."""
    for definition in REGISTRY.values():
        simple = definition.traits & Trait.ELEMENTWISE and not definition.attribute_names
        if definition.batch is ITSELF and not simple:
            for i, sample in enumerate(definition.samples):
                yield pytest.param(definition, sample, id=f"{definition.name}-{i}")


@pytest.mark.parametrize(("definition", "sample"), list(_stackable()))
@pytest.mark.sampled(3)
def test_the_stacked_op_does_the_same_to_each_entry(definition: OpDef, sample: Sample) -> None:
    rng = np.random.default_rng(7)
    stacks = [Spec((3, *s.shape), s.dtype, s.low, s.high).draw(rng) for s in sample.operands]
    attributes = definition.stacked_attributes(sample.attributes, 3)
    (found,) = definition.evaluate(stacks, attributes)
    for entry in range(3):
        (wanted,) = definition.evaluate([stack[entry] for stack in stacks], sample.attributes)
        assert_same([wanted], [found[entry]], definition.name)
