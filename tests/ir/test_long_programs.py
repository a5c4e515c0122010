"""Ten thousand operations, and a thousand nested regions: soon, and without recursion."""

import functools
import sys

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.ir import types as t
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Block, Function, Region
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.types import ScalarType, TensorType
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import lookup
from nets.passes.manager import Options, find_pass


@functools.cache
def long_function() -> Function:
    """Not to be changed."""
    function = Function("long", [TensorType((64, 64), t.f32)] * 2, ["x", "y"])
    b = GraphEmitter(Builder(function.body))
    x, y = function.arguments
    for _ in range(2_500):
        x = b.add(b.mul(x, y), b.full_like(x, 1.5))
    b.builder.create(lookup("return"), (x,))
    return function


@pytest.mark.long
def test_ten_thousand_operations_as_text() -> None:
    verify_function(parse_function(print_function(long_function()), lookup))


@pytest.mark.parametrize("name", ["canonicalize", "fold", "cse", "dce", "settle"])
@pytest.mark.sampled(4)
def test_ten_thousand_operations(name: str) -> None:
    result = find_pass(name)(clone_function(long_function()), Options())
    verify_function(result)


def test_deep_regions() -> None:
    """Deeper than Python's recursion limit would allow; text is bounded, so it is only printed."""
    function = Function("deep")
    b = Builder(function.body)
    condition = b.create(lookup("loop.const"), (), {"dtype": t.bool_, "value": True}).result
    blocks = [function.body]
    for _ in range(sys.getrecursionlimit() + 100):
        b = Builder(blocks[-1])
        blocks.append(
            b.create(lookup("loop.if"), (condition,), {}, (Region(Block()),)).regions[0].block
        )
    for block in blocks[1:]:
        Builder(block).create(lookup("loop.yield"), ())
    Builder(function.body).create(lookup("loop.return"), ())
    verify_function(function)
    copy = clone_function(function)
    assert print_function(copy).count("loop.if") == len(blocks) - 1
    for name in ("cse", "dce"):
        find_pass(name)(copy, Options())
    assert sum(1 for _ in copy.walk()) == sum(1 for _ in function.walk())
    first = function.body.first
    assert first is not None
    assert first.result.type == ScalarType(t.bool_)
