"""The rewriter: what it looks at again, and that it ends."""

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import PassError
from nets.ir.core import Function, Operation
from nets.ir.location import Location
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.rewriter import Rewriter, rewrite
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import lookup

CHAIN = """\
func @f(%x: tensor<f32>) -> tensor<f32> {
  %0 = negative %x : tensor<f32>
  %1 = negative %0 : tensor<f32>
  %2 = negative %1 : tensor<f32>
  %3 = negative %2 : tensor<f32>
  return %3 : tensor<f32>
}
"""


def function() -> Function:
    return parse_function(CHAIN, lookup)


def cancel(op: Operation, rewriter: Rewriter) -> bool:
    """−(−x) is x."""
    inner = op.operands[0].operation
    if inner is None or inner.name != "negative":
        return False
    rewriter.replace(op, inner.operands)
    return True


def sweep(op: Operation, rewriter: Rewriter) -> bool:
    """What is not used goes."""
    if not op.results or any(result.uses for result in op.results):
        return False
    rewriter.erase(op)
    return True


def test_replaces_until_nothing_fits() -> None:
    f = function()
    assert rewrite(f, {"negative": [cancel]}, [sweep])
    verify_function(f)
    assert [op.name for op in f.walk()] == ["return"]
    assert f.returned == (f.arguments[0],)
    assert not rewrite(f, {"negative": [cancel]}, [sweep])


def test_nothing_fits() -> None:
    f = function()
    assert not rewrite(f, {"add": [cancel]})
    assert print_function(f) == CHAIN


def test_new_operations_are_looked_at_and_get_the_location() -> None:
    f = function()
    for line, op in enumerate(f.walk()):
        op.location = Location("model.py", line)

    def to_abs(op: Operation, rewriter: Rewriter) -> bool:
        made = rewriter.builder.create(lookup("sign"), op.operands)
        rewriter.replace(op, made.results)
        return True

    def to_exp(op: Operation, rewriter: Rewriter) -> bool:
        made = rewriter.builder.create(lookup("exp"), op.operands)
        rewriter.replace(op, made.results)
        return True

    assert rewrite(f, {"negative": [to_abs], "sign": [to_exp]})
    verify_function(f)
    assert [op.name for op in f.walk()] == ["exp"] * 4 + ["return"]
    assert [op.location.line for op in f.walk() if op.location] == [0, 1, 2, 3, 4]


def test_set_operands_looks_at_old_makers() -> None:
    f = function()

    def skip(op: Operation, rewriter: Rewriter) -> bool:
        if op.operands == (f.arguments[0],):
            return False
        rewriter.set_operands(op, (f.arguments[0],))
        return True

    assert rewrite(f, {"return": [skip]}, [sweep])
    assert [op.name for op in f.walk()] == ["return"]


def test_patterns_that_undo_each_other_are_stopped() -> None:
    def other(name: str) -> object:
        def turn(op: Operation, rewriter: Rewriter) -> bool:
            rewriter.replace(op, rewriter.builder.create(lookup(name), op.operands).results)
            return True

        return turn

    with pytest.raises(PassError, match="undo each other"):
        rewrite(function(), {"negative": [other("abs")], "abs": [other("negative")]})  # type: ignore[list-item]


def test_a_long_chain_unravels() -> None:
    f = Function("long", function().arguments[:1] and [function().arguments[0].type], ["x"])
    value = f.arguments[0]
    for _ in range(10_000):
        op = Operation(lookup("negative"), (value,), (value.type,))
        f.body.append(op)
        value = op.result
    f.body.append(Operation(lookup("return"), (value,), ()))
    rewrite(f, {"negative": [cancel]}, [sweep])
    assert [op.name for op in f.walk()] == ["return"]
