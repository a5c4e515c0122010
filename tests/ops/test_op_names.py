"""Every op name that the package writes as a string is the name of an op.

A pass that asks for an op which does not exist is wrong in silence: its condition never holds. So
the source is searched for the places where a string names an op.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nets
from nets.backend.numpy.loop_semantics import COMPUTE
from nets.ops.definition.registry import REGISTRY
from nets.passes.simplify import canonicalize

ROOT = Path(nets.__file__).parent

NAMING = {
    "lookup": slice(0, 1),
    "apply": slice(0, 1),
    "elementwise": slice(0, 1),
    "emit_all": slice(0, 1),
    "emit_control": slice(0, 1),
    "_reference": slice(0, 1),
    "made_by": slice(1, None),
    "rule": slice(0, None),
}
"""Functions of which some arguments are names of ops."""

BUILDING = {"b": "", "emitter": "", "inside": "", "outside": "", "s": "loop."}
"""What derivative rules and lowering rules build with, by what it is called; and the dialect."""

LOOP_ONLY = {"binary", "unary"}
"""Methods that only what builds the loop dialect has."""

ELSEWHERE = ("backend/llvm/math/", "machine/")
"""There ``b`` builds LLVM IR, and the functions of ``loop.math`` have names like those of ops."""

WORD = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)?")
LOOP_WORD = re.compile(r"loop\.[a-z0-9_]+")

Found = Iterator[tuple[str, int]]


def texts(node: ast.expr | None) -> Found:
    """The strings of an expression: one, a few in a tuple, or one of two."""
    match node:
        case ast.Constant(value=str(text)):
            yield text, node.lineno
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from texts(part)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


def named_in_call(call: ast.Call) -> Found:
    match call.func:
        case ast.Name(id=function) | ast.Attribute(attr=function):
            for argument in call.args[NAMING.get(function, slice(0, 0))]:
                yield from texts(argument)
    match call:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Name(id=builder) | ast.Attribute(attr=builder), attr=method
            ),
            args=[first, *_],
        ) if builder in BUILDING:
            if method == "emit" or (method == "compare" and not BUILDING[builder]):
                yield from ((BUILDING[builder] + text, line) for text, line in texts(first))
            elif method in LOOP_ONLY:
                yield from (("loop." + text, line) for text, line in texts(first))


def named_in_comparison(comparison: ast.Compare) -> Found:
    """``op.name == "…"``, ``op.name in ("…", "…")``; words only, for files have names as well."""
    match comparison.left:
        case ast.Attribute(attr="name"):
            for other in comparison.comparators:
                yield from ((text, line) for text, line in texts(other) if WORD.fullmatch(text))


def named_in_table(table: ast.Dict) -> Found:
    """The keys of a table most of which are names of ops, of one dialect."""
    keys = [found for key in table.keys for found in texts(key)]
    for dialect in ("loop.", ""):
        names = [(dialect + text, line) for text, line in keys]
        known = sum(name in REGISTRY for name, _ in names)
        if known > 1 and 2 * known > len(keys):
            yield from names
            break


NAMED_IN = (ast.Call, ast.Compare, ast.Dict, ast.Match, ast.Constant)


def named(tree: ast.AST) -> Found:
    """The strings of a file that name an op, with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, NAMED_IN):  # as most
            continue
        match node:
            case ast.Call():
                yield from named_in_call(node)
            case ast.Compare():
                yield from named_in_comparison(node)
            case ast.Dict():
                yield from named_in_table(node)
            case ast.Match(subject=ast.Attribute(attr="name"), cases=cases):
                for case in cases:
                    for part in ast.walk(case.pattern):
                        if isinstance(part, ast.MatchValue):
                            yield from texts(part.value)
            case ast.Constant(value=str(text)) if LOOP_WORD.fullmatch(text):
                yield text, node.lineno


def source() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(ELSEWHERE):
            yield place, ast.parse(path.read_text(encoding="utf-8"))


def test_every_name_of_an_op_is_one() -> None:
    found = [(place, *use) for place, tree in source() for use in named(tree)]
    assert [use for use in found if use[1] not in REGISTRY] == []
    used = {name for _, name, _ in found}
    assert len(found) > 500
    assert len(used) > 100  # so that nearly every op is looked for somewhere


PLANTED = (
    'lookup("ad")',
    'self.apply("ad", x)',
    'made_by(value, "add", "ad")',
    '@rule("ad")\ndef simplified(): ...',
    'b.emit("ad", x, y)',
    'scope.emitter.emit("ad" if x else "add", x)',
    'b.compare("lt", x, y)',
    's.emit("add_up", x)',
    'self.s.binary("subtract", x, y)',
    's.unary("negative", x)',
    'op.name == "loop.part"',
    'value.operation.name in ("add", "ad")',
    'match op.name:\n    case "add" | "ad": ...',
    '{"add": 1, "subtract": 2, "ad": 3}',
    'kind = "loop.part"',
)


@pytest.mark.parametrize("text", PLANTED)
def test_a_wrong_name_is_found(text: str) -> None:
    assert [name for name, _ in named(ast.parse(text)) if name not in REGISTRY] != []


@pytest.mark.parametrize(
    "text", ['s.compare("lt", x, y)', 'path.name == ".."', '{"a": 1, "add": 2}']
)
def test_what_names_no_op_is_left_alone(text: str) -> None:
    assert list(named(ast.parse(text))) == []


def test_tables_filled_by_calls_name_ops() -> None:
    assert COMPUTE.keys() <= REGISTRY.keys()
    assert canonicalize.RULES.keys() <= REGISTRY.keys()
    assert canonicalize.RULES
