"""What values are computed from, in a block and over the steps of a loop; and what nobody needs."""

from collections.abc import Sequence

from nets.ir.core import Function, Operation
from nets.ir.parser import parse_function
from nets.ops.definition.registry import lookup
from nets.passes.simplify.effects import without_effects
from nets.passes.simplify.sources import drop_unused, sources, sources_over_steps

TYPE = "tensor<f64>"


def chain(names: str, body: Sequence[str], yielded: str) -> str:
    """A scan of four steps that carries these; ``row`` are its slices."""
    carried = names.split()
    count = len(carried)
    arguments = ", ".join(f"%{name}: {TYPE}" for name in (*carried, "row"))
    results = ", ".join(f"%{i}" for i in range(count))
    attributes = f"{{carries = {count}, xs = 1, length = 4, reverse = false}}"
    operands = ", ".join(["%u"] * count)
    types = ", ".join([TYPE] * count)
    lines = [f"    %{i} = {text} : {TYPE}" for i, text in enumerate(body, count)]
    return "\n".join(
        [
            f"func @f(%x: tensor<4xf64>, %u: {TYPE}) -> {TYPE} {{",
            f"  {results} = scan {operands}, %x {attributes} ({arguments}) {{",
            *lines,
            f"    yield {yielded} : {types}",
            f"  }} : {types}",
            f"  return %0 : {TYPE}",
            "}",
        ]
    )


CHAIN = chain(
    "a b c d own",
    ["negative %b", "negative %c", "add %row, %d", "exp %own"],
    "%5, %6, %7, %d, %8",
)


def loop() -> Operation:
    return next(op for op in parse_function(CHAIN, lookup).body if op.regions)


def test_the_sources_in_one_step_end_at_the_arguments() -> None:
    body = loop().regions[0].block
    names = {value.hint for value in sources(body, [body.yielded[2]]) if value.hint}
    assert names == {"row", "d"}


def test_what_steps_before_need_is_a_source() -> None:
    """The first carry needs the second one step before, the third one two steps before, …"""
    op = loop()
    body = op.regions[0].block
    expected = [{"b", "c", "row", "d"}, {"c", "row", "d"}, {"row", "d"}, {"d"}, {"own"}]
    for value, names in zip(body.yielded, expected, strict=True):
        found = {x.hint for x in sources_over_steps(op, [value]) if x.owner is body}
        assert found == names


def test_sources_are_not_sought_outside_of_the_block() -> None:
    function = parse_function(CHAIN, lookup)
    body = next(op for op in function.body if op.regions).regions[0].block
    assert all(value.owner is not function.body for value in sources(body, body.yielded))


PRINTS = """
func @f(%x: tensor<f64>) -> tensor<f64> {
  %0 = exp %x : tensor<f64>
  %1 = negative %0 : tensor<f64>
  print %0 {text = "{0}"} : tensor<f64>
  %2 = cond %3, %x (%y: tensor<f64>) {
    print %y {text = "{0}"} : tensor<f64>
    yield %y : tensor<f64>
  } (%y: tensor<f64>) {
    yield %y : tensor<f64>
  } : tensor<f64>
  return %2 : tensor<f64>
}
""".replace("  %2 = cond", "  %3 = less %x, %x : tensor<bool>\n  %2 = cond")


def names(function: Function) -> list[str]:
    return [op.name for op in function.walk()]


def test_unused_operations_go_and_those_that_do_something_stay() -> None:
    function = parse_function(PRINTS, lookup)
    drop_unused(function.body)
    assert names(function) == ["exp", "print", "less", "cond", "print", "yield", "yield", "return"]


def test_without_effects_nothing_else_changes() -> None:
    function = parse_function(PRINTS, lookup)
    before = str(function)
    pure = without_effects(function)
    assert str(function) == before
    assert names(pure) == [name for name in names(function) if name != "print"]
    assert not pure.has_effects
    assert without_effects(pure) is pure
