"""Type rules of the convolutions: what they refuse, each as a ShapeError."""

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import ShapeError
from nets.ir.sizes import symbol
from nets.ir.types import Shape, TensorType
from nets.ops.definition.registry import lookup

NAMES = ("conv", "conv_input", "conv_weight")


def inferred(name: str, *shapes: Shape) -> TensorType:
    """The type for operands of these shapes, with the attributes of the first sample."""
    definition = lookup(name)
    sample = definition.samples[0]
    types = [TensorType(shape, s.dtype) for shape, s in zip(shapes, sample.operands, strict=True)]
    found = definition.rules.infer(*types, **sample.attributes)
    assert isinstance(found, TensorType)
    return found


def shapes_of(name: str) -> list[Shape]:
    return [spec.shape for spec in lookup(name).samples[0].operands]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_batch_may_be_symbolic(name: str) -> None:
    shapes = shapes_of(name)
    n = symbol("n")
    images = [place for place in range(2) if name == "conv_weight" or place == 0]
    symbolic = [(n, *s[1:]) if place in images else s for place, s in enumerate(shapes)]
    assert inferred(name, *symbolic).shape[0] == (shapes[1][1] if name == "conv_weight" else n)
    for place, shape in enumerate(shapes):
        for axis in range(int(place in images), len(shape)):
            given = list(shapes)
            given[place] = (*shape[:axis], symbol("m"), *shape[axis + 1 :])
            with pytest.raises(ShapeError, match=name):
                inferred(name, *given)


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("name", NAMES)
def test_operands_of_other_ranks_are_refused(name: str, rank: int) -> None:
    shapes = shapes_of(name)
    for place in range(2):
        given = list(shapes)
        given[place] = (*shapes[place], 1)[:rank]
        with pytest.raises(ShapeError, match=name):
            inferred(name, *given)
