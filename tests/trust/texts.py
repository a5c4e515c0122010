"""Damaged IR texts: ``python -m tests.trust.texts 0 20000``.

Each is the text of a random program with bytes, tokens or lines changed, moved, doubled or cut.
It is refused by an error of nets, or it is a program that every pass and the interpreter take.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import traceback
from collections.abc import Callable
from typing import Final

import numpy as np

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy.interpreter import evaluate
from nets.errors import NetsError
from nets.ir.parser import parse_module
from nets.ir.printer import print_function
from nets.ir.types import TensorType
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import REGISTRY, lookup
from nets.passes.manager import run_pipeline
from nets.passes.pipelines import LOOPS, OPTIMIZE
from tests.property.programs import arguments, random_program
from tests.property.test_control_programs import Loop

Tokens = list[str]

PROGRAMS: Final = 60
STEPS: Final = 20_000
ELEMENTS: Final = 100_000
"""Programs on larger tensors are parsed and verified alone: to run them takes what it takes."""

ODD: Final = (
    *("-1", "0", "1", "9" * 30, "1e999", "nan", "-0.0", "\x00", "\ud800", "{", "}", "(", ")"),
    *("tensor<f32>", "tensor<0x3xi64>", "tensor<999999999x999999999xf32>", "[]", "[[]]", "true"),
    *("%x", "@f", "loc", '"a', "dense<1.0>", "#-}", "func @f() { return }", "yield", "return"),
)


def text_of(number: int) -> str:
    """The text of one of the programs, every fourth of them a loop, every fourth in loop IR."""
    if number % 4 == 0:
        function = Loop(number, smooth=False).function(written_out=False)
    else:
        function = random_program(number, 8)
    if number % 4 == 1:
        function = run_pipeline(function, (*OPTIMIZE, *LOOPS))
    return print_function(function, locations=number % 2 == 0)


def _delete(tokens: Tokens, place: int, choose: random.Random) -> None:
    del tokens[place : place + choose.randint(1, 3)]


def _double(tokens: Tokens, place: int, choose: random.Random) -> None:
    tokens[place:place] = tokens[place : place + choose.randint(1, 30)]


def _exchange(tokens: Tokens, place: int, choose: random.Random) -> None:
    tokens[place] = choose.choice((*ODD, *REGISTRY, *tokens))


def _swap(tokens: Tokens, place: int, choose: random.Random) -> None:
    other = choose.randrange(len(tokens))
    tokens[place], tokens[other] = tokens[other], tokens[place]


def _cut(tokens: Tokens, place: int, choose: random.Random) -> None:
    del tokens[place:]


def _move(tokens: Tokens, place: int, choose: random.Random) -> None:
    piece = tokens[place : place + choose.randint(2, 40)]
    del tokens[place : place + len(piece)]
    where = choose.randint(0, len(tokens))
    tokens[where:where] = piece


def _byte(tokens: Tokens, place: int, choose: random.Random) -> None:
    token = tokens[place]
    at = choose.randrange(len(token)) if token else 0
    tokens[place] = token[:at] + chr(choose.randrange(256)) + token[at + 1 :]


def _number(tokens: Tokens, place: int, choose: random.Random) -> None:
    """Another number in the place of one."""
    numbers = [i for i, token in enumerate(tokens) if re.fullmatch(r"\d+", token)]
    if numbers:
        place = choose.choice(numbers)
        tokens[place] = str(
            int(tokens[place][:30]) + choose.choice((-1, 1, 7, 10**6, 2**31, 2**63))
        )


CHANGES: Final[tuple[Callable[[Tokens, int, random.Random], None], ...]] = (
    *(_delete, _double, _exchange, _exchange, _swap, _cut, _move, _byte, _number, _number),
)


def damaged(text: str, choose: random.Random) -> str:
    tokens = re.findall(r'"[^"]*"|[\w.%@?]+|\s+|[^\s\w]', text)
    for _ in range(choose.randint(1, 3)):
        if tokens:
            choose.choice(CHANGES)(tokens, choose.randrange(len(tokens)), choose)
    return "".join(tokens)


def examine(text: str) -> bool:
    """Is it valid? Any exception but an error of nets is a fault."""
    try:
        module = parse_module(text, lookup)
        for function in module.functions.values():
            verify_function(function)
    except NetsError:
        return False
    for function in module.functions.values():
        types = [value.type for op in function.walk() for value in (*op.operands, *op.results)]
        types += [argument.type for argument in function.arguments]
        if not all(isinstance(type, TensorType) and type.is_static for type in types):
            continue
        if sum(type.size for type in types if isinstance(type, TensorType)) > ELEMENTS:
            continue
        found = run_pipeline(function, OPTIMIZE)
        with np.errstate(all="ignore"):
            try:
                evaluate(found, arguments(found, np.random.default_rng(0)), _stop_after(STEPS))
            except (NetsError, _LongEnough):
                continue  # an index out of bounds, a requirement that does not hold; no end
    return True


class _LongEnough(Exception):
    """A loop whose condition was damaged may have no end."""


def _stop_after(steps: int) -> Callable[..., None]:
    """Told of each operation of a run; raises _LongEnough after so many."""
    left = itertools.count(steps, -1)

    def observe(op: object, results: object) -> None:
        if next(left) <= 0:
            raise _LongEnough

    return observe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    wanted = parser.parse_args()
    texts = [text_of(number) for number in range(PROGRAMS)]
    wrong, valid = [], 0
    for seed in range(wanted.first, wanted.end):
        text = damaged(texts[seed % PROGRAMS], random.Random(seed))
        try:
            valid += examine(text)
        except Exception:
            wrong.append(seed)
            print(f"\nseed {seed}\n{traceback.format_exc(limit=-4)}\n{text[:3000]!r}", flush=True)
    count = wanted.end - wanted.first
    print(f"{count} damaged texts, {valid} of them valid; wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
