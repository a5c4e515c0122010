"""Programs as text: statements in sections, each with the kind that wrote it.

A program is a module. *Setup* makes a world of holders (names, containers, objects) of tensors and
plain values; *step* is the body of the function that is plain in one run and traced in another;
*watch* names what is compared after each call; the *script* calls the step and, between the calls,
changes the world from outside. Statements stand alone, so that a failing program can be made
smaller by leaving out some of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from textwrap import indent

PRELUDE = """\
import collections, contextlib, copy, dataclasses, functools, types, typing
import numpy as np
import nets
from nets import nn, optim, trace, grad, value_and_grad, vjp, scan, fori_loop, while_loop, cond
from nets.nn import functional as F

class Boom(Exception): ...
def watch(look): global _look; _look = look
def call(f, *args, **kwargs):
    try: print(f(*args, **kwargs))
    except Exception as error: print(type(error).__name__, error)
    print("   ", _look())
"""
"""What makes the text of a program a script; in the tests the names come from ``worlds``."""


RESET = "reset"
"""The kind of statements that make the state known after a call that failed."""


@dataclass(frozen=True)
class Statement:
    """Lines that are left out together. In the text of a step and of functions that setup
    defines, ``@scope a b`` declares names of the world that are assigned there."""

    section: str
    text: str
    kind: str


@dataclass(frozen=True)
class Argument:
    """An argument of the step: how it is passed, and its text in each call."""

    name: str
    values: tuple[str, ...]
    kind: str
    static: bool = False
    before: bool = False
    """Whether calls pass it before the arguments that came earlier (all are keywords)."""


@dataclass(frozen=True)
class Program:
    """``flavor``: what the step is: a function, one in a closure, a method traced in its class, or
    a bound method that is traced."""

    seed: int
    flavor: str
    statements: tuple[Statement, ...]
    arguments: tuple[Argument, ...]
    names: frozenset[str]
    """Names of the world that are rebound."""

    def section(self, section: str) -> list[Statement]:
        return [s for s in self.statements if s.section == section]

    @property
    def kinds(self) -> list[str]:
        """The kinds of its statements and arguments, sorted."""
        own = {s.kind for s in self.statements} | {a.kind for a in self.arguments}
        return sorted(own - {"", RESET})

    def without(self, left_out: set[int]) -> Program:
        """The program without the statements of these numbers."""
        kept = tuple(s for i, s in enumerate(self.statements) if i not in left_out)
        return replace(self, statements=kept)

    @property
    def text(self) -> str:
        """The source, without prelude."""
        lines = [s.text for s in self.section("setup")]
        lines += [self._step()]
        watched = ", ".join(s.text for s in self.section("watch"))
        lines += [f"watch(lambda: {{{watched}}})"]
        lines += [self._script_line(s) for s in self.section("script")]
        body = "\n".join(lines)
        if self.flavor != "closure":
            return _scoped(body, "global") + "\n"
        return f"def world():\n{indent(_scoped(body, 'nonlocal'), '    ')}\n\nworld()\n"

    def _script_line(self, statement: Statement) -> str:
        if not statement.text.startswith("CALL"):
            return statement.text
        number = int(statement.text.split()[1])
        first, *rest = self.arguments
        texts: list[str] = []
        for argument in rest:
            place = 0 if argument.before and number % 2 else len(texts)
            texts.insert(place, f"{argument.name}={argument.values[number]}")
        return f"call(step, {', '.join([first.values[number], *texts])})"

    def _step(self) -> str:
        body = "\n".join(s.text for s in self.section("step"))
        used = sorted(name for name in self.names if re.search(rf"\b{name}\b", body))
        scope = f"@scope {' '.join(used)}\n" if used else ""
        static = [repr(a.name) for a in self.arguments if a.static]
        options = f"static_argnames=[{', '.join(static)}]" if static else ""
        is_method = self.flavor in ("traced method", "bound method")
        names = [*(["self"] if is_method else []), *(a.name for a in self.arguments)]
        lines = f"def step({', '.join(names)}):\n{indent(scope + body, '    ')}"
        decorator = f"@trace({options})" if options else "@trace"
        if self.flavor == "traced method":
            inside = indent(f"{decorator}\n{lines}", "    ")
            return f"class World:\n{inside}\n\nthe_world = World()\nstep = the_world.step"
        if self.flavor == "bound method":
            made = f"trace(World().step{', ' + options if options else ''})"
            return f"class World:\n{indent(lines, '    ')}\n\nstep = {made}"
        return f"{decorator}\n{lines}\n"

    def script(self) -> str:
        """A file that can be run, tracing what the program traces."""
        return f"# seed {self.seed}: {', '.join(self.kinds)}\n{PRELUDE}\n{self.text}"


def _scoped(text: str, word: str) -> str:
    """``@scope`` lines as declarations."""

    def declared(found: re.Match[str]) -> str:
        return f"{word} {', '.join(found[1].split())}"

    return re.sub(r"@scope ([\w ]+)", declared, text)
