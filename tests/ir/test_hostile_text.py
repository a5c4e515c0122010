"""Whatever the text: valid IR or one of the two errors, with a position, and soon."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nets.ops  # noqa: F401  (fills the registry)
from nets.errors import ParseError, VerifyError
from nets.ir.parser import parse_module
from nets.ops.definition.registry import REGISTRY, lookup

T = "tensor<f32>"


def body(lines: str, argument: str = "tensor<4xf32>") -> str:
    return f"func @f(%x: {argument}) {{\n  {lines}\n  return\n}}\n"


PARSE_ERRORS = {
    "empty braces": ("func @f() {}", "must end with a terminator"),
    "no end": ("func @f() {", "should be here, not the end of the text"),
    "only a word": ("func", "'@' should be here"),
    "nul": ("func @f() {\x00 return }", r"'\\x00' has no meaning here"),
    "surrogate": ("func @f() {\ud800 return }", "has no meaning here"),
    "odd sign": (body("$"), "'\\$' has no meaning here"),
    "unterminated string": (body('%0 = constant {value = "abc'), "has no meaning here"),
    "bad escape": ('func @"\\q"() { return }', "escape that is not in JSON"),
    "undefined": (body("%1 = negative %0 : tensor<4xf32>"), "%0 is not defined here"),
    "own result": (body("%1 = negative %1 : tensor<4xf32>"), "%1 is not defined here"),
    "defined twice": (
        body("%1 = negative %x : tensor<4xf32> %1 = negative %x : tensor<4xf32>"),
        "%1 is defined twice",
    ),
    "argument twice": (f"func @f(%x: {T}, %x: {T}) {{ return }}", "%x is defined twice"),
    "function twice": ("func @f() { return } func @f() { return }", "'f' is defined twice"),
    "no such op": (body("%1 = explode %x : tensor<4xf32>"), "no op named 'explode'"),
    "no such dtype": (body("%1 = negative %x : tensor<4xf33>"), "no dtype 'f33'"),
    "no type": (body("%1 = negative %x : tensor<4-f32>"), "is not a type"),
    "types missing": (body("%1 = negative %x"), "1 results have 0 types"),
    "operand types": (
        "func @f(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f64> }",
        r"the operands have types \(tensor<f32>\)",
    ),
    "huge number": ("func @f() attributes {a = " + "9" * 10**6 + "} { return }", "too large"),
    "huge axis": (
        body("%1 = flip %x {axes = [99999999999999999999]} : tensor<4xf32>"),
        "too large",
    ),
    "huge float": ("func @f() attributes {a = 1e999} { return }", "too large for a float"),
    "huge dimension": (body("%1 = negative %x : tensor<99999999999999999999xf32>"), "too large"),
    "huge rank": (body(f"%1 = negative %x : tensor<{'1x' * 100}f32>"), "more than 64 dimensions"),
    "huge vector": ("func @f(%x: vector<999999xf32>) { return }", "lanes"),
    "huge fill": (
        body("%1 = constant {value = dense<0.0>} : tensor<1000000x1000000xf32>"),
        "too large to be written as one element",
    ),
    "deep lists": ("func @f() attributes {a = " + "[" * 10**5 + "} { return }", "more than 64"),
    "deep arrays": ("func @f() attributes {a = dense<" + "[" * 10**5 + "} { return }", "64 deep"),
    "deep regions": (body("loop.for () {" * 10**4, "f32"), "nested more than 64 deep"),
    "attribute twice": ("func @f() attributes {a = 1, a = 2} { return }", "a is there twice"),
    "attribute unknown": ("func @f() attributes {a = lambda} { return }", "an attribute should be"),
    "array without type": ("func @f() attributes {a = dense<1>} { return }", "needs a type"),
    "array in a list": ("func @f() attributes {a = [dense<1>]} { return }", "needs a type"),
    "ragged array": (
        body("%1 = constant {value = dense<[[1.0], [1.0, 2.0]]>} : tensor<2x2xf32>"),
        "different lengths",
    ),
    "wrong shape of array": (
        body("%1 = constant {value = dense<[1.0, 2.0]>} : tensor<3xf32>"),
        r"elements of shape \(2,\)",
    ),
    "array of a size of a call": (
        body("%1 = constant {value = dense<1.0>} : tensor<?n xf32>"),
        "are numbers",
    ),
    "size cut short": ("func @f(%x: tensor<?{n +} xf32>) { return }", "ends too early"),
    "size of signs": ("func @f(%x: tensor<?{n $ m} xf32>) { return }", "no meaning in a size"),
    "size divided by one": (
        "func @f() attributes {a = ?{4//n}} { return }",
        "positive number only",
    ),
    "size of many terms": (
        "func @f() attributes {a = ?{" + "*".join(["(a + b + c + d)"] * 99) + "}} { return }",
        "too many terms",
    ),
    "size nested deep": (
        "func @f() attributes {a = ?{" + "(" * 10**4 + "n}} { return }",
        "nests more than",
    ),
    "element too large": (body("%1 = constant {value = dense<300>} : tensor<i8>"), "too large"),
    "float too large": (body("%1 = constant {value = dense<1e39>} : tensor<f32>"), "too large"),
    "float for integer": (body("%1 = constant {value = dense<1.5>} : tensor<i8>"), "invalid"),
    "number for bool": (body("%1 = constant {value = dense<1>} : tensor<bool>"), "true or false"),
    "odd bytes": (body('%1 = constant {value = dense<"0xyz">} : tensor<f32>'), "non-hexadecimal"),
    "few bytes": (body('%1 = constant {value = dense<"0000">} : tensor<f32>'), "are no elements"),
    "bytes of no bool": (body('%1 = constant {value = dense<"07">} : tensor<bool>'), "00 or 01"),
    "table entry missing": (body("%1 = constant {value = dense<@c0>} : tensor<f32>"), "no @c0"),
    "table entry twice": ('func @f() { return } {-# @c0: "" @c0: "" #-}', "@c0 is there twice"),
    "table first": ('{-# @c0: "00" #-} func @f() { return }', "must be the end of the text"),
    "implied attribute": (
        body("%1 = reshape %x {shape = [4]} : tensor<4xf32>"),
        "shape of reshape is told by the result type",
    ),
    "line number": ('func @f() { return loc("a.py":1.5) }', "a line number should be here"),
    "isolation": (
        body("%0 = fusion () { yield %x : tensor<4xf32> } : tensor<4xf32>"),
        "%x is not defined here",
    ),
    "scope": (
        body(
            "%0 = fusion () { %1 = constant {value = dense<1.0>} : tensor<f32>\n"
            "yield %1 : tensor<f32> } : tensor<f32> %2 = negative %1 : tensor<f32>"
        ),
        "%1 is not defined here",
    ),
}

VERIFY_ERRORS = {
    "wrong type": (body("%1 = negative %x : tensor<4xf64>"), r"has results \(tensor<4xf32>\)"),
    "too many results": (body("%1, %2 = negative %x : f32, f32"), r"has results \(tensor<4xf32>\)"),
    "operand missing": (body("%1 = add %x : tensor<4xf32>"), "takes 2 operands, not 1"),
    "attribute missing": (body("%1 = transpose %x : tensor<4xf32>"), "has attributes"),
    "attribute unknown": (body("%1 = negative %x {a = 1} : tensor<4xf32>"), "has attributes"),
    "attribute of wrong kind": (
        body('%1 = transpose %x {axes = "a"} : tensor<4xf32>'),
        "a tuple of integers",
    ),
    "axis out of range": (body("%1 = transpose %x {axes = [7]} : tensor<4xf32>"), "order of its 1"),
    "region missing": (body("%0 = fusion : tensor<f32>"), "has 1 regions, not 0"),
    "region too many": (body("%0 = negative %x () { yield } : tensor<4xf32>"), "0 regions, not 1"),
    "wrong end": ("func @f() { yield }", "yield does not end a function"),
    "end in the middle": ("func @f() { return return }", "must be its last operation"),
    "return type": ("func @f() -> tensor<f32> { return }", "the function returns"),
    "tensor of index": ("func @f(%x: tensor<index>) { return }", "do not hold index"),
    "empty name": ('func @""() { return }', "needs a name"),
    "huge iota": (
        body("%1 = iota {axis = 5} : tensor<9000000000000000000x9000000000000000000xi64>"),
        "axis",
    ),
    "buffer to a tensor op": (
        body("%1 = negative %x : buffer<4xf32>", "buffer<4xf32>"),
        "negative takes tensors",
    ),
}


@pytest.mark.parametrize(("text", "reason"), PARSE_ERRORS.values(), ids=PARSE_ERRORS)
@pytest.mark.sampled(3)
def test_not_in_the_language(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason) as caught:
        parse_module(text, lookup)
    assert re.match(r"\d+:\d+: ", str(caught.value))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("text", "reason"), VERIFY_ERRORS.values(), ids=VERIFY_ERRORS)
def test_breaks_a_rule(text: str, reason: str) -> None:
    with pytest.raises(VerifyError, match=reason):
        parse_module(text, lookup)


def test_error_shows_line_and_column() -> None:
    with pytest.raises(ParseError) as caught:
        parse_module(
            "func @f(%x: tensor<4xf32>) {\n  %0 = add %x, %wrong : tensor<4xf32>\n", lookup
        )
    assert str(caught.value) == (
        "2:16: %wrong is not defined here\n"
        "    %0 = add %x, %wrong : tensor<4xf32>\n"
        "                 ^"
    )


VALID = """\
func @f(%x: tensor<4xf32>, %i: tensor<2xi64>) -> (tensor<2xf32>, tensor<f32>) attributes {a = [1]} {
  %0 = constant {value = dense<[1.0, -0.0, nan, inf]>} : tensor<4xf32>
  %1 = fusion %0, %x (%p: tensor<4xf32>, %q: tensor<4xf32>) {
    %2 = maximum %p, %q : tensor<4xf32>
    yield %2 : tensor<4xf32>
  } : tensor<4xf32>
  %3 = gather %1, %i {axis = 0} : tensor<2xf32> loc("a.py":3)
  %4 = reduce_sum %1 {axes = [0]} : tensor<f32>
  %5 = slice %1 {starts = [0], stops = [4], steps = [2]} : tensor<2xf32>
  %6 = broadcast %4 {axes = []} : tensor<2xf32>
  %7 = add %3, %6 : tensor<2xf32>
  return %7, %4 : tensor<2xf32>, tensor<f32>
}
{-# @c0: "00ff" #-}
"""

WORDS = sorted(REGISTRY) + re.findall(r'[\w.%@"]+|[^\s\w]', VALID)


@settings(max_examples=400, deadline=None)
@given(st.data())
@pytest.mark.long
def test_changed_text(data: st.DataObject) -> None:
    """Tokens of a valid text deleted, doubled and exchanged."""
    tokens = re.findall(r'"[^"]*"|[\w.%@?]+|\s+|[^\s\w]', VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(tokens) - 1))
        change = data.draw(st.sampled_from(("delete", "double", "exchange", "cut")))
        if change == "delete":
            tokens[place] = ""
        elif change == "double":
            tokens[place] *= 2
        elif change == "exchange":
            tokens[place] = data.draw(st.sampled_from((*WORDS, "-1", "9" * 30, "1e999", "\x00")))
        else:
            tokens = [*tokens[:place], tokens[-1]]
    accepts_or_refuses("".join(tokens))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    accepts_or_refuses(text)


def accepts_or_refuses(text: str) -> None:
    with contextlib.suppress(ParseError, VerifyError):
        parse_module(text, lookup)


def test_valid_text_is_valid() -> None:
    assert list(parse_module(VALID, lookup).functions) == ["f"]
