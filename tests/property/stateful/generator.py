"""Generator: what the kinds of statements write a program with, and the table of kinds.

A kind is a function that adds a few statements. It asks the generator for *places* (a value in a
holder of some kind, perhaps one that other kinds use, too), for expressions and for what happens
outside between calls.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.property.stateful.holders import BUFFER, HOLDERS, LAZY, Holder
from tests.property.stateful.program import RESET, Argument, Program, Statement

CALLS = 6
SHAPES = {"v": (3,), "m": (2, 3), "s": ()}
FLAVORS = {"function": 5, "closure": 3, "traced method": 1, "bound method": 1}


@dataclass(frozen=True)
class Kind:
    """``by_numpy``: NumPy arrays in place of tensors do the same. ``resets``: after an exception
    its state can be put to known values. ``exports``: its state is in tensors, bound to the same
    names or bound anew, so that a library can have it."""

    name: str
    write: Callable[[Generator], None]
    weight: float = 1.0
    by_numpy: bool = True
    resets: bool = True
    exports: bool = False


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    weight: float = 1.0,
    by_numpy: bool = True,
    resets: bool = True,
    exports: bool = False,
) -> Callable[[Callable[[Generator], None]], Callable[[Generator], None]]:
    """Enter a function in the table of kinds. Those of weight 0 are run when asked for."""

    def enter(write: Callable[[Generator], None]) -> Callable[[Generator], None]:
        assert name not in KINDS
        KINDS[name] = Kind(name, write, weight, by_numpy, resets, exports)
        return write

    return enter


def fill(text: str, value: str, other: str = "") -> str:
    """``value`` in place of ``{}`` and ``{0}``, the other one in place of ``{1}``."""
    return text.replace("{}", value).replace("{0}", value).replace("{1}", other)


@dataclass(frozen=True)
class Place:
    """A value in a holder."""

    name: str
    holder: Holder
    what: str
    """The shape of a tensor ("v", "m", "s"), or what else it is, as its makers call it."""
    read: str
    dtype: str = "float64"

    def write(self, text: str) -> str:
        """The statement that puts a value there."""
        if self.holder.is_target:
            return f"{self.read} = {text}"
        return self.holder.write.format(n=self.name, e=text)

    def renew(self, text: str) -> str:
        """The statement that puts a value there whatever else the holder has kept."""
        return self.holder.renewed.format(n=self.name, e=text) or self.write(text)


@dataclass
class Generator:
    seed: int
    rng: random.Random
    holders: dict[str, Holder]
    changes: dict[str, Callable[[Generator, Place], str]]
    """What code outside does to tensors."""
    statements: list[Statement] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)
    gaps: list[list[Statement]] = field(default_factory=lambda: [[] for _ in range(CALLS)])
    resets: list[str] = field(default_factory=list)
    failing_calls: set[int] = field(default_factory=set)
    still: bool = False
    """Whether nothing happens between calls."""
    kind: str = ""
    count: int = 0

    # ---------------------------------------------------------------------- statements

    def setup(self, text: str) -> None:
        self.statements.append(Statement("setup", text, self.kind))

    def step(self, text: str) -> None:
        self.statements.append(Statement("step", text, self.kind))

    def watch(self, label: str, text: str) -> None:
        self.statements.append(Statement("watch", f"{label!r}: {text}", self.kind))

    def result(self, text: str) -> None:
        """Let the step return this, too."""
        self.step(f"out[{self.fresh('r')!r}] = {text}")

    def outside(self, text: str, gap: int | None = None) -> None:
        """A statement between two calls; before the call number ``gap``, by default any."""
        if self.still and self.kind not in FAILING:
            return
        number = self.rng.randrange(1, CALLS) if gap is None else gap
        self.gaps[number].append(Statement("script", text, self.kind))

    def reset(self, text: str) -> None:
        """What makes the state known after a call that failed."""
        self.resets.append(text)

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    @contextmanager
    def tagged(self, kind: str) -> Any:
        """Statements written meanwhile are of that kind."""
        before, self.kind = self.kind, kind
        yield
        self.kind = before

    # ------------------------------------------------------------------------- choices

    def chance(self, odds: float) -> bool:
        return self.rng.random() < odds

    def choice(self, options: Sequence[Any]) -> Any:
        return self.rng.choice(options)

    def pick(self, options: Sequence[str], value: str, other: str = "") -> str:
        """One of the texts, filled."""
        return fill(self.choice(options), value, other)

    def gaps_in_order(self, count: int) -> list[int]:
        """Distinct numbers of calls, in order."""
        return sorted(self.rng.sample(range(1, CALLS), count))

    def number(self) -> str:
        """A number that neither vanishes nor explodes."""
        return str(self.choice((0.25, 0.5, -0.5, 0.75, 1.5, -1.25, 0.3, 0.9)))

    def elements(self, what: str) -> str:
        """Nested lists of numbers of one of the shapes."""

        def filled(shape: tuple[int, ...]) -> str:
            if not shape:
                return str(self.rng.randrange(-16, 17) / 8)
            return f"[{', '.join(filled(shape[1:]) for _ in range(shape[0]))}]"

        return filled(SHAPES[what])

    def new_tensor(self, what: str = "v", dtype: str = "float64") -> str:
        """The text of a tensor of its own."""
        if dtype == "float64":
            return f"nets.Tensor({self.elements(what)})"
        if dtype == "int64":
            return {
                "v": f"nets.Tensor({[self.rng.randrange(-5, 6) for _ in range(3)]})",
                "m": f"nets.Tensor({[[self.rng.randrange(9) for _ in 'abc'] for _ in 'ab']})",
                "s": f"nets.Tensor({self.rng.randrange(-5, 6)})",
            }[what]
        return f'nets.Tensor({self.elements(what)}, dtype="{dtype}")'

    # -------------------------------------------------------------------------- places

    def hold(
        self, what: str, value: str, holder: str | None = None, dtype: str = "", bound: bool = True
    ) -> Place:
        """A new place that holds the value, in a holder of some kind; not ``bound``: one whose
        functions do not become methods."""
        options = [name for name in self.holders if bound or "class attribute" not in name]
        if "Parameter" in value or "requires_grad" in value:
            options = [name for name in options if name != LAZY]
        options = options or ["global"]
        weights = [HOLDERS[name].weight for name in options]
        found = holder or self.rng.choices(options, weights)[0]
        name = self.fresh("h")
        form = BUFFER if found == "buffer" else HOLDERS[found]
        with self.tagged(found):
            self.setup(form.made.format(n=name, v=value))
            self.watch(name, form.watched.format(n=name))
        if form.is_name:
            self.names.add(name)
        made = Place(name, form, what, form.read.format(n=name), dtype)
        self.places.append(made)
        return made

    def tensor(self, what: str | None = None, target: bool = False, fresh: bool = False) -> Place:
        """A place of a tensor, one of those there are or a new one. ``target``: its text can be
        assigned to, as it has to be for ``+=``."""
        fitting = [
            place
            for place in self.places
            if place.what in (SHAPES if what is None else (what,))
            and (place.holder.is_target or not target)
        ]
        if fitting and not fresh and self.chance(0.6 if len(fitting) > 1 else 0.4):
            return self.choice(fitting)
        shape = what or self.rng.choices("vms", (6, 3, 1))[0]
        dtype = self.rng.choices(("float64", "float32", "int64"), (14, 1, 1))[0]
        names = [name for name, holder in self.holders.items() if holder.is_target or not target]
        if not names:
            names = ["global"]
        weights = [HOLDERS[name].weight for name in names]
        holder = "buffer" if self.chance(0.05) else self.rng.choices(names, weights)[0]
        place = self.hold(shape, self.new_tensor(shape, dtype), holder, dtype)
        self.reset(place.renew(self.new_tensor(shape, dtype)))
        self._change_from_outside(place)
        return place

    def plain(self, value: str, bound: bool = True) -> Place:
        """A new place of a number, a flag, a text, a function, …."""
        place = self.hold("plain", value, bound=bound)
        self.reset(place.renew(value))
        return place

    def _change_from_outside(self, place: Place) -> None:
        """Let a tensor be bound anew, or its elements be changed, between some calls."""
        for _ in range(self.rng.choices((0, 1, 2), (3, 2, 1))[0] if self.changes else 0):
            name, write = self.choice(list(self.changes.items()))
            with self.tagged(name):
                self.outside(write(self, place))

    # --------------------------------------------------------------------- expressions

    def expression(self, what: str = "v", depth: int = 2) -> str:
        """The text of a tensor of the shape, made of what the step can see."""
        if what == "s":
            return self._of_one_element(depth)
        if what == "m":
            return self._of_rows(depth)
        held = [place.read for place in self.places if place.what == "v"]
        leaf = ["x", "y", *held, *held]
        if depth == 0:
            return str(self.choice(leaf))
        inner = self.expression("v", depth - 1)
        return str(
            self.choice(
                (
                    self.choice(leaf),
                    f"{inner} * {self.number()}",
                    f"nets.tanh({inner})",
                    f"nets.sin({inner})",
                    f"({inner} + {self.number()})",
                    f"({inner} + {self.choice(leaf)}) * 0.5",
                    f"nets.flip({inner})",
                    f"{self._of_one_element(0)} * 0.25 + x",
                )
            )
        )

    def _of_one_element(self, depth: int) -> str:
        held = [place.read for place in self.places if place.what == "s"]
        if held and self.chance(0.5):
            return str(self.choice(held))
        inner = self.expression("v", max(0, depth - 1))
        index = self.rng.randrange(-3, 3)
        return str(
            self.choice(
                (
                    f"nets.sum({inner})",
                    f"nets.mean({inner})",
                    f"({inner})[{index}]",
                    f"nets.max({inner})",
                )
            )
        )

    def _of_rows(self, depth: int) -> str:
        held = [place.read for place in self.places if place.what == "m"]
        if held and self.chance(0.6):
            return f"{self.choice(held)} * 0.5 + x"
        inner = self.expression("v", max(0, depth - 1))
        return f"nets.stack([{inner}, x])"


def _element(g: Generator, place: Place) -> str:
    index = {"v": "1", "m": "1, 2", "s": "..."}[place.what]
    return f"{place.read}[{index}] = {g.rng.randrange(-4, 5)}"


OUTSIDE: dict[str, Callable[[Generator, Place], str]] = {
    "bound anew outside": lambda g, p: p.write(g.new_tensor(p.what, p.dtype)),
    "element outside": _element,
    "data outside": lambda g, p: f"{p.read}.data = {g.elements(p.what)}",
    "filled outside": lambda g, p: f"{p.read}[...] = {g.number()}",
}
"""What code outside does to a tensor between calls."""


# ------------------------------------------------------------------------- random programs


def random_program(
    seed: int, only: Iterable[str] = (), without: Iterable[str] = (), size: int | None = None
) -> Program:
    """That of the seed. ``only``, ``without``: names of kinds of statements and holders."""
    rng = random.Random(seed)
    kinds = chosen(KINDS, only, without)
    g = Generator(seed, rng, *(chosen(table, only, without) for table in (HOLDERS, OUTSIDE)))
    g.still = rng.random() < 0.15
    names = list(kinds)
    weights = [kinds[name].weight or bool(only) for name in names]
    drawn = rng.choices(names, weights, k=size or rng.choice((1, 2, 3, 3, 4, 5, 7)))
    if set(drawn) & set(FAILING):
        drawn = [name for name in drawn if kinds[name].resets]
    first = "x"
    g.arguments.append(Argument(first, tuple(_vector(g) for _ in range(CALLS)), ""))
    g.step("out = {}\ny = x * 0.5")
    for name in drawn:
        with g.tagged(name):
            kinds[name].write(g)
    return _finished(g)


FAILING = ("raise", "raise at a count", "index out of bounds")
"""Kinds that let the step fail in the middle."""


def chosen(table: dict[str, Any], only: Iterable[str], without: Iterable[str]) -> dict[str, Any]:
    """The entries of those names, all of them where none of the names is in the table."""
    wanted = set(only) & set(table) or set(table)
    return {name: entry for name, entry in table.items() if name in wanted - set(without)}


def _vector(g: Generator) -> str:
    return f"np.array({g.elements('v')})"


def _finished(g: Generator) -> Program:
    g.kind = ""
    g.result("y * 1")
    g.step("return out")
    for number, gap in enumerate(g.gaps):
        g.statements += gap
        g.statements.append(Statement("script", f"CALL {number}", ""))
        if number in g.failing_calls:
            g.statements += [Statement("script", text, RESET) for text in g.resets]
    flavor = g.rng.choices(list(FLAVORS), list(FLAVORS.values()))[0]
    return Program(g.seed, flavor, tuple(g.statements), tuple(g.arguments), frozenset(g.names))


def exports(program: Program) -> bool:
    """Whether all state of the program is in tensors, and nothing else changes it."""
    calls = all(s.text.startswith("CALL") for s in program.section("script"))
    plain = program.flavor in ("function", "closure") and len(program.arguments) == 1
    return calls and plain and all(KINDS[k].exports for k in program.kinds if k in KINDS)


def by_numpy(program: Program) -> bool:
    """Whether every kind of the program means the same for NumPy arrays."""
    return all(KINDS[name].by_numpy for name in program.kinds if name in KINDS)
