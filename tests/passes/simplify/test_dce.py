"""dce: what stays and what goes."""

from nets.ir.core import Function, Operation, Trait
from nets.ir.parser import parse_function
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import lookup
from nets.passes.manager import Options
from nets.passes.simplify.dce import dce


def test_everything_left_is_needed() -> None:
    function = parse_function(
        """func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
          %0 = exp %x : tensor<4xf32>
          %1 = fusion %0, %x (%a: tensor<4xf32>, %b: tensor<4xf32>) {
            %2 = sin %a : tensor<4xf32>
            %3 = add %2, %b : tensor<4xf32>
            %4 = cos %3 : tensor<4xf32>
            yield %b : tensor<4xf32>
          } : tensor<4xf32>
          %5 = add %1, %0 : tensor<4xf32>
          %6 = add %5, %5 : tensor<4xf32>
          return %1 : tensor<4xf32>
        }""",
        lookup,
    )
    dce(function, Options())
    verify_function(function)
    assert [op.name for op in function.walk()] == ["exp", "fusion", "yield", "return"]
    for op in function.walk():
        assert not op.has(Trait.PURE) or any(result.uses for result in op.results)


def test_a_long_dead_chain_goes_at_once() -> None:
    source = parse_function(
        "func @f(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> }", lookup
    )
    function: Function = source
    value = function.arguments[0]
    end = function.body.terminator
    for _ in range(3000):
        op = Operation(lookup("exp"), (value,), (value.type,))
        function.body.insert(op, end)
        value = op.result
    dce(function, Options())
    verify_function(function)
    assert len(function.body) == 1
    assert len(function.arguments[0].uses) == 1
