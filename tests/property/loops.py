"""Small loops of every kind, written once and run three ways: by nets, and as plain Python.

A loop carries two numbers in a nest and stacks two more results. What each carry becomes, which
results anybody reads, whether the slices are read, how long the loop is and what stands around it
are the coordinates of the family; ``SHAPES`` and ``KINDS`` are all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

CHANGES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "changed": lambda own, other, x: own * x + 0.5,
    "passed through": lambda own, other, x: own,
    "swapped": lambda own, other, x: other,
    "constant": lambda own, other, x: own * 0 + 2.0,
    "of both": lambda own, other, x: own - other * x,
    "counted": lambda own, other, x: own + 1.0,
}
"""How a carry goes on, given the two carries and the slice."""

FORMS = ("scan", "reversed scan", "fori_loop", "while_loop", "cond")
AROUND = ("nothing", "cond", "scan", "while_loop")
LENGTHS = (0, 1, 2, 5)


@dataclass(frozen=True)
class SmallLoop:
    """One member of the family; ``used`` are the results read, of two carries and two stacks."""

    form: str
    changes: tuple[str, str]
    used: tuple[bool, bool, bool, bool]
    reads_slices: bool
    length: int
    around: str

    @property
    def has_gradient(self) -> bool:
        return "while_loop" not in (self.form, self.around)

    def step(self, carry: Any, x: Any) -> tuple[Any, Any]:
        a, (b,) = carry["a"], carry["rest"]
        x = x if self.reads_slices else 1.5
        first, second = (CHANGES[name] for name in self.changes)
        return {"a": first(a, b, x), "rest": (second(b, a, x),)}, (a * b, {"of b": b + x})

    def run(self, loops: Any, a: Any, b: Any, xs: Any) -> Any:
        """The results that are read, where ``loops`` is nets or ``Plain``."""
        return _AROUND[self.around](loops, self.inner, a, b, xs)

    def inner(self, loops: Any, a: Any, b: Any, xs: Any) -> list[Any]:
        results = _FORMS[self.form](loops, self, {"a": a, "rest": (b,)}, xs)
        return [result for result, used in zip(results, self.used, strict=True) if used]


def family(forms: tuple[str, ...] = FORMS) -> Iterator[SmallLoop]:
    """All members of those forms."""
    for form, around, length, reads in itertools.product(forms, AROUND, LENGTHS, (True, False)):
        stacks = (True, False) if "scan" in form else (False,)
        for used in itertools.product((True, False), (True, False), stacks, stacks):
            for changes in itertools.product(CHANGES, CHANGES):
                yield SmallLoop(form, changes, used, reads, length, around)


class Plain:
    """The loops of nets written out in Python, on NumPy's numbers."""

    @staticmethod
    def scan(f: Any, init: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
        carry, rows = init, []
        for i in range(len(xs))[:: -1 if reverse else 1]:
            carry, row = f(carry, xs[i])
            rows.append(row)
        rows = rows[:: -1 if reverse else 1]
        first = np.array([row[0] for row in rows], np.float64)
        return carry, (first, {"of b": np.array([row[1]["of b"] for row in rows], np.float64)})

    @staticmethod
    def fori_loop(lower: int, upper: int, body: Any, init: Any) -> Any:
        for i in range(lower, upper):
            init = body(i, init)
        return init

    @staticmethod
    def while_loop(cond: Any, body: Any, init: Any) -> Any:
        while cond(init):
            init = body(init)
        return init

    @staticmethod
    def cond(pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        return (true_fun if pred else false_fun)(*operands)


def _of_scan(reverse: bool) -> Callable[..., list[Any]]:
    def run(loops: Any, loop: SmallLoop, init: Any, xs: Any) -> list[Any]:
        last, (first, second) = loops.scan(loop.step, init, xs, reverse=reverse)
        return [last["a"], last["rest"][0], first, second["of b"]]

    return run


def _of_fori(loops: Any, loop: SmallLoop, init: Any, xs: Any) -> list[Any]:
    last = loops.fori_loop(0, loop.length, lambda i, carry: loop.step(carry, i + 0.5)[0], init)
    return [last["a"], last["rest"][0], None, None]


def _of_while(loops: Any, loop: SmallLoop, init: Any, xs: Any) -> list[Any]:
    def body(state: Any) -> Any:
        i, carry = state
        return i + 1, loop.step(carry, 1.25)[0]

    _, last = loops.while_loop(lambda state: state[0] < loop.length, body, (0, init))
    return [last["a"], last["rest"][0], None, None]


def _of_cond(loops: Any, loop: SmallLoop, init: Any, xs: Any) -> list[Any]:
    def once(carry: Any) -> Any:
        return loop.step(carry, 0.75)[0]

    def otherwise(carry: Any) -> Any:
        return {"a": carry["a"] * 3.0, "rest": (carry["a"],)}

    last = loops.cond(init["a"] > loop.length - 2.0, once, otherwise, init)
    return [last["a"], last["rest"][0], None, None]


_FORMS: dict[str, Callable[[Any, SmallLoop, Any, Any], list[Any]]] = {
    "scan": _of_scan(reverse=False),
    "reversed scan": _of_scan(reverse=True),
    "fori_loop": _of_fori,
    "while_loop": _of_while,
    "cond": _of_cond,
}

Inner = Callable[[Any, Any, Any, Any], list[Any]]


def _alone(loops: Any, inner: Inner, a: Any, b: Any, xs: Any) -> Any:
    return inner(loops, a, b, xs)


def _in_cond(loops: Any, inner: Inner, a: Any, b: Any, xs: Any) -> Any:
    def taken(a: Any, b: Any) -> Any:
        return inner(loops, a, b, xs)

    def other(a: Any, b: Any) -> Any:
        return inner(loops, b, a, xs * 2)

    return loops.cond(a < b, taken, other, a, b)


def _in_scan(loops: Any, inner: Inner, a: Any, b: Any, xs: Any) -> Any:
    """Two outer steps, whose stacks are the carries; the sums of what the inner loop gives."""

    def step(carry: Any, x: Any) -> Any:
        found = inner(loops, *carry, xs * x)
        total = carry[0]
        for result in found:
            total = total + result.sum()
        return (carry[1], total), (total, {"of b": carry[1]})

    last, _ = loops.scan(step, (a, b), np.array([0.5, 1.5]))
    return last


def _in_while(loops: Any, inner: Inner, a: Any, b: Any, xs: Any) -> Any:
    def body(state: Any) -> Any:
        i, a, b = state
        total = a
        for result in inner(loops, a, b, xs):
            total = total + result.sum()
        return i + 1, b, total

    return loops.while_loop(lambda state: state[0] < 2, body, (0, a, b))


_AROUND: dict[str, Callable[[Any, Inner, Any, Any, Any], Any]] = {
    "nothing": _alone,
    "cond": _in_cond,
    "scan": _in_scan,
    "while_loop": _in_while,
}
