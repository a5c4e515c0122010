"""The registry refuses op classes that are not complete, and knows every op of both dialects."""

from collections.abc import Callable
from typing import Any

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import DTypeError, VerifyError
from nets.ir.builder import Builder
from nets.ir.core import Block, Trait
from nets.ir.types import TensorType, f32, i32
from nets.ops.definition import registry
from nets.ops.definition.decisions import ITSELF, NOTHING
from nets.ops.definition.registry import REGISTRY, lookup, op, sample, structural
from nets.ops.definition.samples import f64

_KIND = Trait.PURE | Trait.ELEMENTWISE


def complete() -> dict[str, Any]:
    """The namespace of an op class with all it needs."""
    return {
        "__doc__": "y = x.",
        "operands": ("x",),
        "samples": [f64(3)],
        "infer": lambda x: x,
        "evaluate": lambda x: x,
        "transpose": lambda b, ct, x: (ct,),
        "lower": lambda s, x: x,
    }


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REGISTRY", {})


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda namespace: namespace.pop(key)


INCOMPLETE = {
    "has no docstring": without("__doc__"),
    "has no samples": without("samples"),
    "has no reference": without("evaluate"),
    "has no type rule": without("infer"),
    "has no lowering": without("lower"),
    "no rule for its traits: transposed": lambda n: n.update(transposed=n["transpose"]),
    "exactly one derivative decision .* none": without("transpose"),
    "exactly one derivative decision .* transpose": lambda n: n.update(no_derivative="why not"),
}


@pytest.mark.usefixtures("empty_registry")
@pytest.mark.parametrize("message", INCOMPLETE)
def test_an_incomplete_op_is_refused(message: str) -> None:
    namespace = complete()
    INCOMPLETE[message](namespace)
    with pytest.raises(TypeError, match=f"op same .*{message}|op same {message}"):
        op("same", _KIND)(type("Same", (), namespace))
    assert registry.REGISTRY == {}


def test_an_op_whose_kind_does_not_tell_says_what_becomes_of_it() -> None:
    namespace = complete() | {"vjp": lambda b, x, y, ct: ct, "__doc__": "Not linear."}
    del namespace["transpose"]
    kernel = Trait.PURE | Trait.KERNEL
    with pytest.raises(TypeError, match="op bent needs a decision about forward"):
        op("bent", kernel)(type("Bent", (), namespace))
    namespace["forward"] = NOTHING
    with pytest.raises(TypeError, match="op bent needs a decision about batch"):
        op("bent", kernel)(type("Bent", (), namespace))


def test_what_the_kind_of_op_tells_is_not_said_again() -> None:
    namespace = complete() | {"batch": ITSELF}
    with pytest.raises(TypeError, match="op same needs no word about batch: the op itself"):
        op("same", _KIND)(type("Same", (), namespace))


@pytest.mark.usefixtures("empty_registry")
def test_a_complete_op_is_taken_once() -> None:
    op("same", _KIND)(type("Same", (), complete()))
    assert lookup("same").doc == "y = x."
    with pytest.raises(TypeError, match="op same is defined twice"):
        op("same", _KIND)(type("Same", (), complete()))


@pytest.mark.usefixtures("empty_registry")
def test_a_structural_op_needs_less_but_not_nothing() -> None:
    structural("end")(type("End", (), {"__doc__": "The end.", "infer": lambda: ()}))
    with pytest.raises(TypeError, match="op mute has no docstring"):
        structural("mute")(type("Mute", (), {"infer": lambda: ()}))


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(VerifyError, match="there is no op named 'ad'"):
        lookup("ad")


def test_wrong_counts_are_errors() -> None:
    block = Block([TensorType((3,), f32), TensorType((3,), i32)])
    x, n = block.arguments
    add, cast, exp = (lookup(name) for name in ("add", "cast", "exp"))
    with pytest.raises(VerifyError, match="add takes 2 operands, not 1"):
        add.infer([x], {})
    with pytest.raises(VerifyError, match=r"cast has attributes \['dtype'\], not \[\]"):
        cast.infer([x], {})
    with pytest.raises(VerifyError, match=r"add has attributes \[\], not \['axis'\]"):
        add.infer([x, x], {"axis": 0})
    with pytest.raises(DTypeError, match="exp takes floating-point operands, not tensor<3xi32>"):
        Builder(block).create(exp, [n])


def test_every_op_says_what_it_is() -> None:
    for name, definition in REGISTRY.items():
        assert definition.name == name
        assert definition.doc.rstrip().endswith("."), name


def test_a_sample_holds_operands_and_attributes() -> None:
    one = sample(f64(2, 3), f64(3), axis=1)
    assert [spec.shape for spec in one.operands] == [(2, 3), (3,)]
    assert one.attributes == {"axis": 1}
