"""The verifier accepts what is valid and rejects broken IR for the reason that was planted."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import VerifyError
from nets.ir import types as t
from nets.ir.core import Block, Function, Module, Operation, Region, Trait, Value
from nets.ir.dims import Requirement, declare
from nets.ir.location import Location
from nets.ir.parser import parse_function
from nets.ir.sizes import Range, symbol
from nets.ir.types import BufferType, ScalarType, TensorType, VectorType
from nets.ir.verifier import verify_function, verify_module
from nets.ops.definition.registry import OpDef, lookup

TENSOR = """
func @f(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = add %x, %y : tensor<4xf32>
  %1 = fusion %0, %x (%a: tensor<4xf32>, %b: tensor<4xf32>) {
    %2 = multiply %a, %b : tensor<4xf32>
    %3 = negative %2 : tensor<4xf32>
    yield %3 : tensor<4xf32>
  } : tensor<4xf32>
  %4 = transpose %1 {axes = [0]} : tensor<4xf32>
  return %4 : tensor<4xf32>
}
"""

LOOPS = """
func @g(%x: buffer<8xf32>, %z: buffer<8xf32>) attributes {inputs = 1} {
  %0 = loop.const {dtype = index, value = 0} : index
  %1 = loop.const {dtype = index, value = 8} : index
  loop.parallel %0, %1 (%i: index) {
    %2 = loop.load %x, %i {lanes = 1, offset = 0, strides = [1]} : f32
    loop.store %2, %z, %i {offset = 0, strides = [1]} : f32, buffer<8xf32>, index
    loop.yield
  } : index, index
  loop.return
}
"""

VECTOR4 = TensorType((4,), t.f32)


def tensor_function() -> Function:
    return parse_function(TENSOR, lookup)


def loop_function() -> Function:
    return parse_function(LOOPS, lookup)


def find(function: Function, name: str) -> Operation:
    return next(op for op in function.walk() if op.name == name)


def force(op: Operation, *operands: Value) -> None:
    """Other operands, with use lists kept right."""
    op.set_operands(operands)


def make(name: str, operands: tuple[Value, ...], *types: Any, **attributes: Any) -> Operation:
    """An operation outside of any block, unchecked."""
    return Operation(lookup(name), operands, types, attributes)


Break = Callable[[Function], None]
BROKEN: list[Any] = []


def broken(
    reason: str, source: Callable[[], Function] = tensor_function
) -> Callable[[Break], Break]:
    """Decorator: a way to break a function, and the reason it must be rejected for."""

    def enter(change: Break) -> Break:
        BROKEN.append(pytest.param(change, reason, source, id=change.__name__))
        return change

    return enter


# Links.


@broken("does not link back to the operation before it")
def previous_is_missing(f: Function) -> None:
    find(f, "transpose").previous = None


@broken("does not link back to the operation before it")
def links_run_in_a_circle(f: Function) -> None:
    find(f, "transpose").next = find(f, "add")


@broken("does not know the block it stands in")
def block_is_unknown(f: Function) -> None:
    find(f, "transpose").block = find(f, "fusion").regions[0].block


@broken("the last operation of a block is not the end of its list")
def last_is_wrong(f: Function) -> None:
    f.body.last = find(f, "add")


@broken("fusion does not link back")
def first_is_wrong(f: Function) -> None:
    f.body.first = find(f, "fusion")


@broken("does not know the region it is in")
def block_of_another_region(f: Function) -> None:
    find(f, "fusion").regions[0].block.owner = f.region


@broken("a region of fusion belongs to something else")
def region_of_another_operation(f: Function) -> None:
    find(f, "fusion").regions[0].owner = find(f, "add")


@broken("the region of the function belongs to something else")
def region_of_another_function(f: Function) -> None:
    f.region.owner = Function("other")


@broken("a region belongs to two operations")
def region_with_two_owners(f: Function) -> None:
    fusion = find(f, "fusion")
    fusion.regions = (fusion.regions[0], fusion.regions[0])


@broken("a region of transpose belongs to something else")
def region_shared(f: Function) -> None:
    find(f, "transpose").regions = find(f, "fusion").regions


@broken("result of add 0 belongs to something else")
def result_of_another_operation(f: Function) -> None:
    find(f, "add").results[0].owner = find(f, "transpose")


@broken("result of add 0 calls itself number 3")
def result_with_wrong_number(f: Function) -> None:
    find(f, "add").results[0].index = 3


@broken("argument 1 belongs to something else")
def argument_of_another_block(f: Function) -> None:
    f.arguments[1].owner = find(f, "fusion").regions[0].block


@broken("argument 0 calls itself number 1")
def argument_with_wrong_number(f: Function) -> None:
    f.arguments[0].index = 1


# Uses.


@broken("operand 1 does not know this use")
def use_is_missing(f: Function) -> None:
    del f.arguments[1].uses[find(f, "add"), 1]


@broken("argument 1 knows a use that is not there")
def use_of_another_operand(f: Function) -> None:
    f.arguments[1].uses[find(f, "add"), 0] = None


@broken("argument 1 knows a use that is not there")
def use_beyond_the_operands(f: Function) -> None:
    f.arguments[1].uses[find(f, "transpose"), 5] = None


@broken("result 0 knows a use that is not there")
def use_by_removed_operation(f: Function) -> None:
    removed = make("negative", find(f, "add").results, VECTOR4)
    find(f, "add").result.uses[removed, 0] = None


@broken("a value is used outside of the function")
def use_in_another_function(f: Function) -> None:
    other = Function("other")
    other.body.append(make("negative", (f.arguments[0],), VECTOR4))


@broken("operand 0 is no value of this function")
def operand_of_removed_operation(f: Function) -> None:
    force(find(f, "transpose"), make("negative", (f.arguments[0],), VECTOR4).result)


@broken("operand 0 is not visible here")
def operand_of_another_function(f: Function) -> None:
    force(find(f, "transpose"), Function("other", [VECTOR4]).arguments[0])


@broken("operand 0 is used before it is defined")
def operand_defined_later(f: Function) -> None:
    force(find(f, "add"), find(f, "transpose").result, f.arguments[0])


@broken("operand 0 is used before it is defined")
def operand_is_own_result(f: Function) -> None:
    op = find(f, "transpose")
    force(op, op.result)


@broken("operand 0 is not visible here")
def operand_from_inside_a_region(f: Function) -> None:
    force(find(f, "transpose"), find(f, "multiply").result)


@broken("operand 0 is not visible here")
def operand_is_argument_of_a_region(f: Function) -> None:
    force(find(f, "transpose"), find(f, "fusion").regions[0].block.arguments[0])


@broken("operand 0 comes from outside of fusion")
def isolated_region_uses_argument(f: Function) -> None:
    force(find(f, "negative"), f.arguments[0])


@broken("operand 0 comes from outside of fusion")
def isolated_region_uses_result(f: Function) -> None:
    force(find(f, "negative"), find(f, "add").result)


@broken("operand 1 is used before it is defined", loop_function)
def region_uses_what_comes_after(f: Function) -> None:
    late = make("loop.const", (), ScalarType(t.index), dtype=t.index, value=1)
    f.body.insert(late, find(f, "loop.return"))
    force(find(f, "loop.load"), f.arguments[0], late.result)


# Structure.


@broken("a block must end with a terminator")
def function_without_end(f: Function) -> None:
    f.body.remove(find(f, "return"))


@broken("a block must end with a terminator")
def region_without_end(f: Function) -> None:
    find(f, "fusion").regions[0].block.remove(find(f, "yield"))


@broken("a block must end with a terminator", loop_function)
def empty_region(f: Function) -> None:
    find(f, "loop.parallel").regions[0].block = Block([ScalarType(t.index)])
    find(f, "loop.parallel").regions[0].block.owner = find(f, "loop.parallel").regions[0]


@broken("return ends a block and must be its last operation")
def end_in_the_middle(f: Function) -> None:
    f.body.insert(make("return", (f.arguments[0],)), find(f, "transpose"))


@broken("yield does not end a function")
def function_ends_with_yield(f: Function) -> None:
    f.body.remove(find(f, "return"))
    f.body.append(make("yield", (f.arguments[0],)))


@broken("return does not end a region")
def region_ends_with_return(f: Function) -> None:
    block = find(f, "fusion").regions[0].block
    block.remove(find(f, "yield"))
    block.append(make("return", (block.arguments[0],)))


@broken("return ends a block and has results or regions")
def end_with_result(f: Function) -> None:
    f.body.remove(find(f, "return"))
    f.body.append(make("return", (f.arguments[0],), VECTOR4))


# Meaning.


@broken("add takes 2 operands, not 1")
def operand_missing(f: Function) -> None:
    force(find(f, "add"), f.arguments[0])


@broken("transpose takes 1 operands, not 2")
def operand_too_many(f: Function) -> None:
    force(find(f, "transpose"), f.arguments[0], f.arguments[1])


@broken(r"transpose has attributes \['axes'\], not \[\]")
def attribute_missing(f: Function) -> None:
    find(f, "transpose").attributes = {}


@broken(r"add has attributes \[\], not \['axes'\]")
def attribute_unknown(f: Function) -> None:
    find(f, "add").attributes = {"axes": (0,)}


@broken("attribute axes of transpose holds a list")
def attribute_is_a_list(f: Function) -> None:
    find(f, "transpose").attributes = {"axes": [0]}


@broken("attribute axes of transpose holds a dict")
def attribute_holds_a_dict(f: Function) -> None:
    find(f, "transpose").attributes = {"axes": (0, ({},))}


@broken("has an attribute named 'two words'")
def attribute_name_is_no_name(f: Function) -> None:
    find(f, "add").attributes = {"two words": 1}


@broken("attribute data of the function holds an array of dtype\\('O'\\)")
def function_attribute_of_objects(f: Function) -> None:
    f.attributes["data"] = np.array([None])


@broken("attribute data of the function holds an array of dtype\\('>f4'\\)")
def function_attribute_of_foreign_order(f: Function) -> None:
    f.attributes["data"] = np.zeros(3, ">f4")


@broken("fusion has 1 regions, not 0")
def regions_missing(f: Function) -> None:
    find(f, "fusion").regions = ()


@broken("add has 0 regions, not 1")
def region_too_many(f: Function) -> None:
    region = Region()
    region.block.append(make("yield", ()))
    find(f, "add").regions = (region,)
    region.owner = find(f, "add")


@broken("has a dimension that is no size")
def dimension_is_negative(f: Function) -> None:
    find(f, "add").results[0].type = TensorType((-4,), t.f32)


@broken("has a dimension that is no size")
def dimension_is_a_float(f: Function) -> None:
    f.arguments[0].type = TensorType((4.0,), t.f32)  # type: ignore[arg-type]


@broken("m is no dimension of the function")
def size_of_no_dimension(f: Function) -> None:
    declare(f, {"n": Range()})
    f.arguments[0].type = TensorType((symbol("n") + symbol("m"),), t.f32)


@broken("two dims have one name")
def two_dimensions_of_a_name(f: Function) -> None:
    f.attributes["dims"] = (("n", 0, 9, 1), ("n", 0, 8, 1))


@broken("dims are tuples of a name")
def dimension_without_sizes(f: Function) -> None:
    declare(f, {"n": Range(3, 2)})


@broken("dims are tuples of a name")
def dimension_beyond_64_bits(f: Function) -> None:
    declare(f, {"n": Range(0, 2**63)})


@broken("requirements are tuples of a kind")
def requirement_of_no_kind(f: Function) -> None:
    declare(f, {"n": Range()}, [Requirement("odd", symbol("n"), "n must be odd")])


@broken("tensors do not hold index")
def tensor_of_indices(f: Function) -> None:
    f.arguments[0].type = TensorType((4,), t.index)


@broken("vector<0xf32> has no lanes")
def vector_without_lanes(f: Function) -> None:
    f.arguments[0].type = VectorType(0, t.f32)


@broken("'f32' is not a type")
def type_is_a_string(f: Function) -> None:
    f.arguments[0].type = "f32"  # type: ignore[assignment]


@broken(r"add has results \(tensor<4xf64>\), not \(tensor<4xf32>\) as inferred")
def result_of_wrong_dtype(f: Function) -> None:
    find(f, "add").results[0].type = TensorType((4,), t.f64)


@broken(r"transpose has results \(tensor<\?n xf32>\), not \(tensor<4xf32>\) as inferred")
def result_of_wrong_shape(f: Function) -> None:
    find(f, "transpose").results[0].type = TensorType((symbol("n"),), t.f32)


@broken(r"add has results \(tensor<4xf32>, tensor<4xf32>\), not \(tensor<4xf32>\)")
def result_too_many(f: Function) -> None:
    op = find(f, "add")
    op.results = (*op.results, Value(VECTOR4, op, 1))


@broken("one shape")
def operands_of_different_shapes(f: Function) -> None:
    scalar = make("constant", (), TensorType((), t.f32), value=np.array(1, np.float32))
    f.body.insert(scalar, f.body.first)
    force(find(f, "add"), f.arguments[0], scalar.result)


@broken("needs an order of its 1 axes")
def axes_out_of_range(f: Function) -> None:
    find(f, "transpose").attributes = {"axes": (3,)}


@broken("the attribute axes is a tuple of integers")
def axes_of_wrong_kind(f: Function) -> None:
    find(f, "transpose").attributes = {"axes": "0"}


@broken("the region of fusion takes")
def region_argument_of_wrong_type(f: Function) -> None:
    find(f, "fusion").regions[0].block.arguments[0].type = TensorType((5,), t.f32)


@broken("the region of fusion takes")
def region_argument_too_many(f: Function) -> None:
    find(f, "fusion").regions[0].block.add_argument(VECTOR4)


@broken("loop.load needs a buffer", loop_function)
def load_from_an_index(f: Function) -> None:
    index = find(f, "loop.const").result
    force(find(f, "loop.load"), index, index)


@broken("loop.load needs a stride for each index", loop_function)
def load_without_stride(f: Function) -> None:
    find(f, "loop.load").attributes = {"lanes": 1, "offset": 0, "strides": ()}


@broken("loop.store puts f32 into buffer<8xf64>", loop_function)
def store_into_wrong_buffer(f: Function) -> None:
    f.arguments[1].type = BufferType((8,), t.f64)


@broken("the attribute strides is a tuple of dimensions, not 1", loop_function)
def strides_are_a_number(f: Function) -> None:
    find(f, "loop.load").attributes = {"lanes": 1, "offset": 0, "strides": 1}


@broken("the attribute value is a number or a size, not 'one'", loop_function)
def constant_is_a_text(f: Function) -> None:
    find(f, "loop.const").attributes = {"dtype": t.index, "value": "one"}


@broken("wrong kind", loop_function)
def the_type_rule_fails(f: Function) -> None:
    class Fragile:
        operands = ("buffer", "index")
        infer = operator.concat

    op = find(f, "loop.load")
    op.definition = OpDef("fragile", Fragile, Trait.NONE, (), (), 0)
    op.attributes = {}


@broken("a function needs a name")
def function_without_name(f: Function) -> None:
    f.name = ""


def test_there_are_at_least_forty() -> None:
    assert len(BROKEN) >= 40


@pytest.mark.parametrize(("change", "reason", "source"), BROKEN)
def test_rejects(change: Break, reason: str, source: Callable[[], Function]) -> None:
    function = source()
    verify_function(function)
    change(function)
    with pytest.raises(VerifyError, match=reason):
        verify_function(function)


def test_module_names() -> None:
    function = tensor_function()
    verify_module(Module.of([function]))
    with pytest.raises(VerifyError, match="the module holds function 'f' under 'g'"):
        verify_module(Module({"g": function}))


def test_error_shows_the_surroundings_and_the_users_line() -> None:
    function = Function("long", [VECTOR4], ["x"])
    value = function.arguments[0]
    for number in range(40):
        op = make("negative", (value,), VECTOR4)
        op.location = Location("no_such_model.py", number)
        function.body.append(op)
        value = op.result
    function.body.append(make("return", (value,)))
    verify_function(function)
    broken_one = next(op for i, op in enumerate(function.walk()) if i == 20)
    broken_one.attributes = {"axes": ()}
    with pytest.raises(VerifyError) as caught:
        verify_function(function)
    lines = str(caught.value).splitlines()
    shown = [line for line in lines if "negative %" in line]
    assert [line for line in shown if line.startswith(">")] == [
        ">   %20 = negative %19 {axes = []} : tensor<4xf32>"
    ]
    assert len(shown) == 21
    assert "%10 = negative" in shown[0]
    assert "%30 = negative" in shown[-1]
    assert "no_such_model.py:20" in lines[-1]
