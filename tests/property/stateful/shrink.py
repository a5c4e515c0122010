"""Shrink: a failing program with fewer statements, which fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.property.stateful.program import RESET, Argument, Program
from tests.property.stateful.verdict import Verdict


def shrunk(
    program: Program, verdict: Verdict, judge: Callable[[Program], Verdict]
) -> tuple[Program, Verdict]:
    """The smaller program and its verdict: of the same outcome in the same run."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(program):
            if _size(candidate) >= _size(program):
                continue
            found = judge(candidate)
            if (found.what, found.mode) == (verdict.what, verdict.mode):
                program, verdict, smaller = candidate, found, True
                break
    return program, verdict


def _size(program: Program) -> tuple[int, int, bool]:
    return len(program.statements), len(program.arguments), program.flavor != "function"


def _candidates(program: Program) -> Iterator[Program]:
    """Large cuts first."""
    statements = program.statements
    script = [i for i, s in enumerate(statements) if s.section == "script"]
    for keep in range(1, len(script)):
        yield program.without(set(script[keep:]))
    for kind in program.kinds:
        yield program.without({i for i, s in enumerate(statements) if s.kind == kind})
    names = {name for s in statements for name in re.findall(r"\b[hozf]\d+\b", s.text)}
    for name in sorted(names):
        pattern = re.compile(rf"(\b|_){name}\b")
        yield program.without({i for i, s in enumerate(statements) if pattern.search(s.text)})
    for argument in program.arguments[1:]:
        yield _without_argument(program, argument)
    for i in reversed(range(len(statements))):
        if statements[i].kind != RESET:  # without it, what a failed call leaves would count
            yield program.without({i})
    yield replace(program, flavor="function")


def _without_argument(program: Program, argument: Argument) -> Program:
    kept = tuple(a for a in program.arguments if a is not argument)
    uses = {
        i for i, s in enumerate(program.statements) if re.search(rf"\b{argument.name}\b", s.text)
    }
    return replace(program.without(uses), arguments=kept)
