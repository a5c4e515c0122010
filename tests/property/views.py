"""Random programs of views, as lines of Python that run with NumPy and with nets alike.

``python -m tests.property.views 0 20000`` runs the programs of these seeds in every way.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import nets

Namespace = dict[str, Any]

_STEP = 1e-6
"""Of central differences."""


def _fresh(x: Any) -> Any:
    """A copy in row-major order: new elements of NumPy may have another order."""
    return np.array(x, order="C")


NUMPY: Namespace = {"xp": np, "fresh": _fresh}
NETS: Namespace = {"xp": nets, "fresh": lambda x: x}


@dataclass(frozen=True)
class Program:
    """Lines that make variables ``v0``, ``v1``, … of some roots, ``v0`` to ``v{roots - 1}``."""

    shapes: tuple[tuple[int, ...], ...]
    """Of the roots."""
    lines: tuple[str, ...]
    views: int
    """So many lines at the start make views only."""
    seed: int

    def __str__(self) -> str:
        roots = [f"v{i} = <{shape}>" for i, shape in enumerate(self.shapes)]
        return "\n".join([f"# seed {self.seed}", *roots, *self.lines])

    def arrays(self) -> list[Any]:
        """Elements for the roots."""
        rng = np.random.default_rng(self.seed)
        return [rng.normal(size=shape) for shape in self.shapes]


def run(lines: Any, names: Namespace) -> None:
    """Execute the lines."""
    for line in lines:
        exec(compile(line, "<program>", "exec"), names)


def variables(names: Namespace) -> Namespace:
    """Those of a program, in their order."""
    found = [name for name in names if name[0] == "v" and name[1:].isdigit()]
    return {name: names[name] for name in sorted(found, key=lambda name: int(name[1:]))}


# ---------------------------------------------------------------------------- generating


class _Writer:
    """Writes a program while NumPy runs it, so that shapes are known."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.choose = random.Random(seed)
        self.shapes = tuple(self._shape() for _ in range(self.choose.randint(1, 2)))
        self.names = dict(NUMPY)
        program = Program(self.shapes, (), 0, seed)
        self.names.update({f"v{i}": x for i, x in enumerate(program.arrays())})
        self.lines: list[str] = []

    def _shape(self) -> tuple[int, ...]:
        rank = self.choose.choice((1, 2, 2, 2, 3))
        return tuple(self.choose.choice((1, 2, 3, 3, 4, 4, 6)) for _ in range(rank))

    def program(self, views: int, rest: int) -> Program:
        for _ in range(views):
            self.make(self.view)
        ready = len(self.lines)
        for _ in range(rest):
            kind = self.choose.random()
            if kind < 0.35:
                self.make(self.view)
            elif kind < 0.45:
                self.make(self.copy)
            else:
                self.write()
        return Program(self.shapes, tuple(self.lines), ready, self.seed)

    def add(self, line: str) -> None:
        """The line, or, where NumPy refuses to write, a line that wants it to be refused."""
        try:
            run([line], self.names)
        except ValueError:  # read-only
            inner = line.replace("\n", "\n    ")
            line = f"try:\n    {inner}\nexcept ValueError:\n    pass\nelse:\n    raise TypeError"
        self.lines.append(line)

    def pick(self, fits: Callable[[Any], bool] = lambda x: True) -> str | None:
        """A variable; the latest are the likeliest."""
        fitting = [name for name, x in variables(self.names).items() if fits(x)]
        if not fitting:
            return None
        return self.choose.choice([*fitting, *fitting[-3:]])

    def make(self, expression: Callable[[str, Any], str | None]) -> None:
        source = self.pick()
        assert source is not None
        made = expression(source, self.names[source])
        if made is not None:
            self.add(f"v{len(variables(self.names))} = {made}")

    # views and copies

    def view(self, v: str, x: Any) -> str | None:
        rank, choose = x.ndim, self.choose
        axes = list(range(rank))
        choose.shuffle(axes)
        kinds = [f"{v}[{self.key(x)}]"] * 4 + [self.reshape(v, x)] * 3
        kinds += [f"xp.transpose({v}, {tuple(axes)})", f"{v}.T", f"xp.expand_dims({v}, 0)"]
        kinds += [f"{v}[...]", f"xp.squeeze({v})", f"{v}.flatten()"]
        kinds += [f"xp.broadcast_to({v}, {(2, *x.shape)})"] * (choose.random() < 0.3)
        if rank:
            axis = choose.randrange(-rank, rank)
            kinds += [f"xp.flip({v}, {axis})", f"xp.moveaxis({v}, {axis}, 0)", f"xp.flip({v})"]
            kinds += [f"xp.swapaxes({v}, {axis}, -1)", f"xp.split({v}, [1], {axis})[1]"]
        if rank > 1:
            kinds += [f"{v}.mT", f"xp.matrix_transpose({v})"]
        made = choose.choice(kinds)
        found = eval(made, self.names)
        return f"fresh({made})" if isinstance(found, np.generic) else made

    def reshape(self, v: str, x: Any) -> str:
        sizes, left = [], x.size
        while left > 1 and len(sizes) < 3:
            sizes.append(self.choose.choice([n for n in range(1, left + 1) if left % n == 0]))
            left //= sizes[-1]
        sizes.append(left)
        self.choose.shuffle(sizes)
        if self.choose.random() < 0.3 and x.size:
            sizes = [-1]
        return f"{v}.reshape({', '.join(map(str, sizes))})"

    def key(self, x: Any) -> str:
        parts = []
        for size in x.shape[: self.choose.randint(0, x.ndim)]:
            if self.choose.random() < 0.35 and size:
                parts.append(str(self.choose.randrange(-size, size)))
            else:
                parts.append(self.cut(size))
        if self.choose.random() < 0.2:
            parts.insert(self.choose.randint(0, len(parts)), "None")
        if self.choose.random() < 0.2 or not parts:
            parts.insert(len(parts), "...")
        return ", ".join(parts)

    def cut(self, size: int) -> str:
        bounds = [self.choose.choice(["", "", str(self.choose.randint(-size, size))]) for _ in "ab"]
        step = self.choose.choice(["", "", "1", "2", "-1", "-2"])
        return f"{bounds[0]}:{bounds[1]}:{step}"

    def copy(self, v: str, x: Any) -> str | None:
        rows = x.shape[0] if x.ndim else 0
        if rows and self.choose.random() < 0.5:
            picks = [self.choose.randrange(-rows, rows) for _ in range(2)]
            mask = [self.choose.random() < 0.6 for _ in range(rows)]
            return f"{v}[{self.choose.choice((picks, mask))}]"
        return self.choose.choice((f"fresh(0.5 * {v} - 1.0)", f"fresh({v} * {v}.sum() * 0.1)"))

    # writing

    def write(self) -> None:
        kind = self.choose.random()
        if kind < 0.15:
            target = self.pick(lambda x: x.ndim > 1 and len(x) < 5)
            if target is not None:
                change = self.change(self.names[target].shape[1:])
                self.add(f"for row in {target}:\n    row {change}")
            return
        target = self.pick()
        assert target is not None
        x = self.names[target]
        if kind < 0.5:
            self.add(f"{target} {self.change(x.shape)}")
        elif kind < 0.6:
            self.add(f"t = {target}.T\nt {self.change(x.shape[::-1])}")
        elif kind < 0.7 and x.ndim:
            moved = self.choose.choice(("[1:] = {0}[:-1]", "[:] = {0}[::-1]", "[:-1] += {0}[1:]"))
            self.add(target + moved.format(target))
        else:
            key = self.key(x)
            if x.ndim and len(x) and self.choose.random() < 0.2:
                key = str([self.choose.randrange(len(x)) for _ in range(2)])
            shape = np.shape(eval(f"{target}[{key}]", self.names))
            set_to = f"= {self.value(shape)}"
            self.add(f"{target}[{key}] {self.choose.choice((set_to, self.change(shape)))}")

    def change(self, shape: tuple[int, ...]) -> str:
        """An in-place operation for a tensor of that shape; elements stay of moderate size."""
        number = self.choose.choice((0.5, -0.25, 1.5))
        changes = (f"+= {self.value(shape)}", f"-= {self.value(shape)}", f"*= {number}")
        return self.choose.choice(changes)

    def value(self, shape: tuple[int, ...]) -> str:
        """Something that broadcasts to the shape."""
        number = self.choose.choice((0.5, -0.25, 1.5))
        same = self.pick(lambda x: x.shape == shape)
        kind = self.choose.random()
        if kind < 0.4 and same is not None:
            return f"{number} * {same}" if kind < 0.3 else same
        if kind < 0.7:
            return f"{number} * {self.pick()}.sum()"
        return str(number)


def random_program(seed: int, views: int = 2, rest: int = 6) -> Program:
    """That of the seed, always the same."""
    return _Writer(seed).program(views, rest)


# ------------------------------------------------------------------------------- running


def tensors(program: Program, **options: Any) -> Namespace:
    """A namespace of nets with tensors for the roots."""
    roots = {f"v{i}": nets.Tensor(x, **options) for i, x in enumerate(program.arrays())}
    return NETS | roots


def arrays(program: Program) -> Namespace:
    """A namespace of NumPy with arrays for the roots."""
    return NUMPY | {f"v{i}": x for i, x in enumerate(program.arrays())}


def assert_equal(found: Namespace, wanted: Namespace, where: str) -> None:
    """The same variables with the same elements."""
    assert list(found) == list(wanted), where
    for name, x in wanted.items():
        assert found[name].shape == x.shape, f"{where}: shape of {name}"
        message = f"{where}: {name}"
        np.testing.assert_allclose(found[name].numpy(), x, 1e-9, 1e-9, err_msg=message)


def check_eager(program: Program) -> None:
    """Line by line, every variable after each; some are not looked at for a while."""
    choose = random.Random(program.seed)
    wanted, found = arrays(program), tensors(program)
    for line in program.lines:
        run([line], wanted)
        run([line], found)
        if choose.random() < 0.7:
            assert_equal(variables(found), variables(wanted), f"after {line!r}")
    assert_equal(variables(found), variables(wanted), "at the end")


def check_no_grad(program: Program) -> None:
    """Without recording: leaves stay leaves."""
    wanted, found = arrays(program), tensors(program, requires_grad=True)
    run(program.lines, wanted)
    with nets.no_grad():
        run(program.lines, found)
    assert_equal(variables(found), variables(wanted), "under no_grad")
    for i in range(len(program.shapes)):
        assert found[f"v{i}"].is_leaf
        assert found[f"v{i}"].requires_grad


def check_state(program: Program) -> None:
    """Roots, and the first views of them, from outside a traced function that is called again."""
    wanted, found = arrays(program), tensors(program)
    run(program.lines[: program.views], wanted)
    run(program.lines[: program.views], found)

    def step() -> Namespace:
        names = dict(found)
        run(program.lines[program.views :], names)
        return variables(names)

    traced = nets.trace(step)
    for call in range(3):
        names = dict(wanted)
        run(program.lines[program.views :], names)
        assert_equal(traced(), variables(names), f"results of call {call}")
        assert_equal(variables(found), variables(wanted), f"state after call {call}")


def check_local(program: Program) -> None:
    """Roots that a traced function makes of its arguments."""
    wanted = arrays(program)
    run(program.lines, wanted)

    def whole(*roots: Any) -> Namespace:
        names = NETS | {f"v{i}": x * 1.0 for i, x in enumerate(roots)}
        run(program.lines, names)
        return variables(names)

    assert_equal(nets.trace(whole)(*program.arrays()), variables(wanted), "traced")


def check_gradients(program: Program, traced: bool) -> None:
    """Those of a number made of all variables, along a direction, against differences."""
    rng = np.random.default_rng(program.seed + 1)
    roots = program.arrays()
    directions = [rng.normal(size=x.shape) for x in roots]

    def number(names: Namespace, *roots: Any) -> Any:
        names = names | {f"v{i}": x * 1.0 for i, x in enumerate(roots)}
        run(program.lines, names)
        found = variables(names)
        weights = np.random.default_rng(program.seed)
        total = sum((x * weights.normal(size=x.shape)).sum() for x in found.values())
        return total + sum(x.sum() for x in roots)

    def moved(step: float) -> float:
        places = zip(roots, directions, strict=True)
        return float(number(NUMPY, *(x + step * d for x, d in places)))

    if traced:
        wrt = tuple(range(len(roots)))
        gradients = nets.grad(lambda *xs: number(NETS, *xs), argnums=wrt)(*roots)
    else:
        leaves = [nets.Tensor(x, requires_grad=True) for x in roots]
        number(NETS, *leaves).backward()
        gradients = tuple(x.grad for x in leaves)
    slope = sum(float((g.numpy() * d).sum()) for g, d in zip(gradients, directions, strict=True))
    wanted = (moved(_STEP) - moved(-_STEP)) / (2 * _STEP)
    assert slope == pytest.approx(wanted, rel=1e-4, abs=1e-4 * (1 + abs(moved(0.0))))


def checks(program: Program) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every way to run a program."""
    yield "eager", lambda: check_eager(program)
    yield "no_grad", lambda: check_no_grad(program)
    yield "state", lambda: check_state(program)
    yield "local", lambda: check_local(program)
    yield "gradients", lambda: check_gradients(program, traced=False)
    yield "traced gradients", lambda: check_gradients(program, traced=True)


def main(first: int, last: int) -> int:
    """Run the programs of these seeds; the number of those that failed."""
    failed = 0
    for seed in range(first, last):
        program = random_program(seed)
        for way, check in checks(program):
            try:
                check()
            except Exception:
                failed += 1
                print(f"---- {way}\n{program}\n{traceback.format_exc(limit=-3)}", flush=True)
                break
        if seed % 500 == 499:
            print(f"{seed + 1 - first} programs, {failed} failed", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])) > 0)
