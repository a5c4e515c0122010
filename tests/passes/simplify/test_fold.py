"""fold computes what the program would, and leaves what would grow or may differ natively."""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import NetsError
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Function, Trait
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample, lookup
from nets.passes.manager import Options
from nets.passes.simplify.fold import FOLDED_ELEMENTS, fold

SAMPLES = [
    pytest.param(definition, sample, id=f"{definition.name}-{number}")
    for definition in REGISTRY.values()
    if definition.rules.evaluate and definition.operand_names
    for number, sample in enumerate(definition.samples)
]


def on_constants(definition: OpDef, arrays: list[Array], attributes: dict[str, object]) -> Function:
    function = Function("f")
    builder = Builder(function.body)
    constants = [builder.create(lookup("constant"), (), {"value": array}) for array in arrays]
    op = builder.create(definition, [constant.result for constant in constants], attributes)
    builder.create(lookup("return"), op.results)
    return function


@pytest.mark.parametrize(("definition", "sample"), SAMPLES)
@pytest.mark.sampled(4)
def test_every_op_on_constants(definition: OpDef, sample: Sample) -> None:
    rng = np.random.default_rng(5)
    arrays = [spec.draw(rng) for spec in sample.operands]
    function = on_constants(definition, arrays, dict(sample.attributes))
    after = fold(clone_function(function), Options())
    verify_function(after)
    try:
        wanted = evaluate(function, [])
    except NetsError:
        return
    for want, have in zip(wanted, evaluate(after, []), strict=True):
        assert want.dtype == have.dtype
        np.testing.assert_array_equal(want, have)
    made = after.returned[0].operation
    assert made is not None
    if not definition.traits & Trait.EXACT:
        assert made.definition is definition
    elif definition.traits & Trait.ELEMENTWISE:
        assert made.has(Trait.CONSTANT)


def test_large_results_stay() -> None:
    for size in (FOLDED_ELEMENTS, FOLDED_ELEMENTS + 1):
        x = np.arange(size, dtype=np.int32)
        function = fold(on_constants(lookup("negative"), [x], {}), Options())
        made = function.returned[0].operation
        assert made is not None
        assert made.has(Trait.CONSTANT) == (size <= FOLDED_ELEMENTS)


def test_planted_wrong_fold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that folds wrongly changes what the program gives, and the comparison sees it."""
    function = on_constants(lookup("add"), [np.float32([1.0]), np.float32([2.0])], {})
    (wanted,) = evaluate(function, [])
    monkeypatch.setattr(lookup("add").rules, "evaluate", lambda x, y: x - y)
    fold(function, Options())
    monkeypatch.undo()
    (found,) = evaluate(function, [])
    assert found != wanted
