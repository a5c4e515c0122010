"""Calls by the extension and by the Python road give the same: results, errors, what is left.

Each case is made anew for each road and called again and again, so that from the second call on the
one road has a plan and the other has none.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import nets
from nets import extension
from nets.frontend.pytree import flatten

pytestmark = pytest.mark.skipif(not extension.in_use(), reason="there is one road alone")

F = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
Point = namedtuple("Point", "x y")


@dataclass
class Pair:
    first: Any
    second: Any


@dataclass(frozen=True)
class Frozen:
    value: Any


@dataclass
class Failure(Exception):
    """A container that ``object.__new__`` does not make."""

    value: Any


class Words(dict[str, Any]):
    """A dict of a class of the user's, which is a leaf."""


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, to be compared; its error, if there is one."""
    try:
        leaves, tree = flatten(call())
        texts = [shown(leaf) for leaf in leaves]
    except Exception as error:
        return type(error), str(error)
    return tree.tokens, [keys for keys, *_ in tree.orders], texts


def shown(leaf: Any) -> Any:
    if not isinstance(leaf, nets.Tensor):
        return leaf
    data = leaf.data
    return type(leaf), data.dtype, data.shape, data.tobytes(), leaf.requires_grad


Case = Callable[[], tuple[Callable[..., Any], Sequence[tuple[Any, ...]], Any]]
"""A traced function, the arguments of its calls, and what it may have changed."""


def of(function: Callable[..., Any], *calls: tuple[Any, ...], **options: Any) -> Case:
    return lambda: (nets.trace(function, **options) if options else nets.trace(function), calls, ())


def plus_one(x: Any) -> Any:
    return x + 1


class Own(np.ndarray):  # type: ignore[type-arg]
    """A class of arrays of the user's."""


def unaligned() -> Any:
    return np.frombuffer(b"\0" + F.tobytes(), np.uint8)[1:].view("f4").reshape(2, 3)


def read_only() -> Any:
    array = F.copy()
    array.flags.writeable = False
    return array


NUMBERS = [3, -3, 2**63, 2**64, True, False, 2.5, -0.0, float("nan"), float("inf"), 1 + 2j]
NUMBERS += [np.float64(2.5), np.float32(2.5), np.int64(3), np.uint8(3), np.bool_(True), np.int16(1)]
ARRAYS = [
    *(F, F.T, F[::-1], F[:, ::2], F[:0], F.astype("f8"), F.astype(">f4"), F.astype("i4")),
    *(np.float32(2), np.array(2.0), np.array(2), np.array(True), np.asfortranarray(F)),
    *(F.view(Own), np.ma.masked_array(F, F > 0), unaligned(), read_only(), F.astype("f2")),
    *(F.astype(object), F.astype(complex), np.array("text"), memoryview(F), F.tolist()),
    *(None, "text", b"bytes", {1.0}, object, ctypes.c_float(2)),
]
TENSORS = [
    *(nets.Tensor(F), nets.Tensor(F, requires_grad=True), nets.Tensor(F)[0], nets.Tensor(F).T),
    *(nets.Tensor(F.astype("i8")), nets.Tensor(F)[:, ::2], nets.Tensor(2.0), nets.Tensor(2)),
    *(nets.Tensor(F, requires_grad=True)[0], nets.Tensor(F, requires_grad=True) * 2),
    *(nets.Tensor(F).data, nets.Tensor(F > 0), nets.nn.Parameter(nets.Tensor(F))),
]
NESTS = [
    *((F, (F, [F])), [F, None], {"a": F, "b": F}, {"b": F, "a": F}, {2: F, 1: F}, {"a": {}}),
    *(OrderedDict(b=F, a=F), defaultdict(list, a=F), {1: F, "a": F}, {True: F, 2: F}),
    *(Point(F, 1), Pair(F, 2.0), Frozen(F), Failure(F), Words(a=F), (), [], {}, None),
    *({(1, 2): F}, {1.5: F, 0.5: F}, [[[]]], Pair(Point(F, {"k": F}), [F])),
]


def through(x: Any) -> Any:
    leaves, tree = flatten(x)
    return tree.unflatten([leaf * 2 for leaf in leaves]), x


CASES: dict[str, Case] = {
    **{f"number {i}": of(plus_one, (x,), (x,), (x,)) for i, x in enumerate(NUMBERS)},
    **{f"array {i}": of(plus_one, (x,), (x,), (F,), (x,)) for i, x in enumerate(ARRAYS)},
    **{f"tensor {i}": of(plus_one, (x,), (x,), (x,)) for i, x in enumerate(TENSORS)},
    **{f"nest {i}": of(through, (x,), (x,), (x,)) for i, x in enumerate(NESTS)},
    "one after another": of(plus_one, *((x,) for x in [*NUMBERS, *ARRAYS, *TENSORS] * 2)),
    "nests one after another": of(through, *((x,) for x in NESTS * 2)),
    "too many": of(plus_one, (F,), (F, F), (), (F,)),
    "a default": of(lambda x, y=2: x * y, (F,), (F, 3), (F,), (F, 3.0)),
    "any number": of(lambda *x: sum(x[1:], x[0]), (F,), (F, F), (F, F, F), (F,), ()),
    "static": of(lambda x, k: x * k, (F, 2), (F, 2), (F, 2.0), (F, [2]), static_argnums=1),
    "an index": of(lambda x, i: x[i], (F, 1), (F, -1), (F, 2), (F, -3), (F, 1.0)),
    "a number that does not fit": of(
        lambda x, n: x + n, *((F.astype("u1"), n) for n in (3, 255, 256, -1, 3))
    ),
    "no results": of(lambda x: None, (F,), (F,)),
    "its argument": of(lambda x: x, (F,), (nets.Tensor(F),), (nets.Tensor(F),), (3,), (3,)),
    "one result twice": of(lambda x: [x + 1] * 2, (F,), (F,)),
    "a constant": of(lambda: nets.ones(2), (), ()),
    "a large number of leaves": of(lambda x: [y + 1 for y in x], ([F] * 200,), ([F] * 200,)),
    "deep": of(lambda x: (x, [[[[x]]]]), ([[[[[[F]]]]]],), ([[[[[[F]]]]]],)),
}  # fmt: skip


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    CASES[function.__name__] = function
    return function


@case
def counting() -> Any:
    state = nets.Tensor(np.zeros((2, 3), np.float32))

    def add(x: Any) -> Any:
        state.data = state + x
        return state * 2

    return nets.trace(add), [(F,), (F,), (F[0],), (1,), (F,), ("x",), (F,)], [state]


@case
def training() -> Any:
    w = nets.Tensor(F, requires_grad=True)
    other = nets.Tensor(F, requires_grad=True)

    def step(x: Any) -> Any:
        w.zero_grad()
        loss = (w * x * other).sum()
        loss.backward()
        with nets.no_grad():
            w.data = w - 0.1 * w.grad
        return loss

    return nets.trace(step), [(F,)] * 4 + [(nets.Tensor(F),)] * 3, [w, other]


@case
def clearing() -> Any:
    v, w = nets.Tensor(F, requires_grad=True), nets.Tensor(F, requires_grad=True)

    def clear(x: Any) -> Any:
        (v * x).sum().backward()
        w.grad = None
        return x + 1

    traced = nets.trace(clear)

    def call(x: Any) -> Any:
        (w * 2).sum().backward()
        return traced(x)

    return call, [(F,)] * 4, [v, w]


@case
def donating() -> Any:
    x, y = nets.Tensor(F), nets.Tensor(F)[0]
    give = nets.trace(plus_one, donate_argnums=0)
    return give, [(nets.Tensor(F),), (x,), (x,), (y,), (y,), (F,), (3,), (nets.Tensor(F),)], [x, y]


@case
def refusing() -> Any:
    state = nets.Tensor(np.zeros(3))

    def take(x: Any, i: Any) -> Any:
        state.data = state + x[i]
        return state * 1

    return nets.trace(take), [(F, 0), (F, 1), (F, 5), (F, 1), (F, -7), (F, 0)], [state]


@case
def recording() -> Any:
    w = nets.Tensor(F, requires_grad=True)
    x = nets.Tensor(F)

    def call(x: Any) -> Any:
        return w * x

    traced = nets.trace(call)

    def without(x: Any) -> Any:
        with nets.no_grad():
            return traced(x)

    def both(x: Any) -> Any:
        return traced(x), without(x), traced(x.detach())

    return both, [(x,)] * 3, [w, x]


@case
def switching() -> Any:
    w = nets.Tensor(F, requires_grad=True)

    def step(x: Any) -> Any:
        return (w * x).sum() if w.requires_grad else x.sum()

    traced = nets.trace(step)

    def call(x: Any, requires: bool) -> Any:
        w.requires_grad = requires
        with nets.no_grad():
            return traced(x)

    return call, [(F, True), (F, True), (F, False), (F, False), (F, True)], [w]


@case
def retraining() -> Any:
    v, w = nets.Tensor(F, requires_grad=True), nets.Tensor(F, requires_grad=True)

    def step(x: Any) -> Any:
        loss = (v * w * x).sum()
        loss.backward()
        return loss

    traced = nets.trace(step)

    def call(x: Any, requires: bool) -> Any:
        w.requires_grad = requires
        return traced(x)

    return call, [(F, True), (F, True), (F, False), (F, False), (F, True)], [v, w]


@case
def weakly() -> Any:
    weak, strong = nets.add(2.0, 1.0), nets.Tensor(3.0)
    calls = [(weak,), (weak,), (strong,), (strong,), (weak,), (3.0,), (strong,)]
    return nets.trace(lambda x: F + x), calls, []


@case
def replacing() -> Any:
    held: dict[str, Any] = {"w": nets.Tensor(F), "n": 1}

    def use(x: Any) -> Any:
        return x * held["w"] * held["n"]

    traced = nets.trace(use)

    def call(x: Any, key: str, value: Any) -> Any:
        held[key] = value
        return traced(x)

    values = [1, 1, 2, 2.0, True, -0.0, 0.0, 0.0]
    weights = [nets.Tensor(F), nets.Tensor(F[0]), nets.Tensor(F.astype("f8")), F, 2, nets.Tensor(F)]
    given = [("n", x) for x in values] + [("w", x) for x in weights for _ in range(2)]
    return call, [(F, *pair) for pair in given], [held["w"]]


@case
def gradients() -> Any:
    f = nets.value_and_grad(lambda p, x: (p["w"] * x).sum())
    traced = nets.trace(f)
    p = {"w": F, "b": F[0]}
    return traced, [(p, F), (p, F), (p, 2.0), ({"w": nets.Tensor(F)}, F), ({}, F)], []


def told(make: Case) -> list[Any]:
    function, calls, state = make()
    found = [outcome(lambda args=args: function(*args)) for args in calls]  # type: ignore[misc]
    return [*found, *(outcome(lambda x=x: (x, x.grad)) for x in state)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.sampled(5)
def test_both_roads_give_the_same(name: str) -> None:
    by_c = told(CASES[name])
    with extension.set_aside():
        by_python = told(CASES[name])
    for number, (one, other) in enumerate(zip(by_c, by_python, strict=True)):
        assert one == other, f"call {number}"


def compiled(make: Case) -> Case:
    """The same calls of the function's code for the first of them."""

    def made() -> Any:
        function, calls, state = make()
        return function.lower(*calls[0]).compile(), calls, state

    return made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.sampled(5)
def test_both_roads_of_compiled_code_give_the_same(name: str) -> None:
    make = compiled(CASES[name])
    try:
        make()
    except (AttributeError, TypeError, nets.errors.NetsError):
        pytest.skip("there is nothing to compile")
    by_c = told(make)
    with extension.set_aside():
        by_python = told(make)
    for number, (one, other) in enumerate(zip(by_c, by_python, strict=True)):
        assert one == other, f"call {number}"


def test_compiled_code_goes_by_both_roads() -> None:
    code = nets.trace(plus_one).lower(F).compile()
    assert not code._plans
    assert code(F).tolist() == code(F).tolist()
    assert len(code._plans) == 1
    with extension.set_aside():
        code = nets.trace(plus_one).lower(F).compile()
        code(F)
        assert not code._plans


def test_cases_go_by_both_roads() -> None:
    """The first road has plans, the second none."""
    function, calls, _ = CASES["counting"]()
    plain = CASES["number 0"]()
    for traced, arguments in ((function, calls), plain[:2]):
        traced(*arguments[0])
        assert traced._plans
        before = traced.stats()
        traced(*arguments[0])
        after = traced.stats()
        assert before["python_calls"] == after["python_calls"]
        assert before["native_calls"] + 1 == after["native_calls"]
    with extension.set_aside():
        traced, arguments, _ = CASES["counting"]()
        for count in (1, 2, 3):
            traced(*arguments[0])
            stats = traced.stats()
            assert stats["python_calls"] == stats["native_calls"] == count
            assert stats["arrays"] == 2 * count
            assert stats["fresh_bytes"] >= 2 * count * F.nbytes
        assert not traced._plans


def test_calls_whose_arrays_are_copied_are_counted() -> None:
    f = nets.trace(plus_one)
    for count, x in enumerate((F, F.T.copy().T, F[::-1], F), 1):
        f(x)
        assert f.stats()["native_calls"] == count
        assert f.stats()["arrays"] == count
