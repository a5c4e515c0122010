"""Repeated calls through the extension: the same results as by the Python road, and no leaks."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import io
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest

import nets
from nets.backend.process.counted_sizes import OPERATIONS
from nets.errors import DTypeError, IndexOutOfBoundsError
from nets.frontend.calls import plans
from nets.frontend.calls.staged import Staged
from nets.frontend.pytree import flatten
from nets.frontend.tensor.variable import Total, Variable
from nets.frontend.world import guards

_dispatch = pytest.importorskip("nets._dispatch")

A, B, C = (np.arange(8, dtype=np.float32) + i for i in range(3))


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class State:
    weight: Any
    moment: Any


@contextmanager
def python_calls() -> Iterator[list[str]]:
    """The names of functions whose calls took the Python road."""
    seen: list[str] = []
    run = Staged.run

    def watched(self: Staged, *rest: Any) -> Any:
        seen.append(self.name)
        return run(self, *rest)

    Staged.run = watched  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Staged.run = run  # type: ignore[method-assign]


def warm(function: Any, *args: Any) -> Any:
    """The function, and its result by a plan."""
    function(*args)
    with python_calls() as slow:
        result = function(*args)
    assert not slow
    return result


def same(x: Any, y: Any) -> bool:
    """Are these nests equal: structure, order of keys, dtypes, bits?"""
    (left, first), (right, second) = flatten(x), flatten(y)
    return (
        repr(first) == repr(second)
        and first == second
        and all(
            a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
            for a, b in zip(left, right, strict=True)
        )
    )


def values(tensor: nets.Tensor) -> list[Any]:
    return tensor.numpy().tolist()


# -------------------------------------------------------------------------- what plans take


ARGUMENTS = {
    "arrays": (A, B),
    "tensors": (nets.Tensor(A), nets.Tensor(B)),
    "float": (A, 2.5),
    "int": (A, 3),
    "bool": (A, True),
    "numpy scalar": (A, np.float32(3)),
    "0-d array": (A, np.array(3, np.float32)),
    "float64": (A, B.astype(np.float64)),
    "no elements": (A[:0], B[:0]),
    "read-only": (np.frombuffer(A.tobytes(), np.float32), B),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_leaves_by_a_plan(kind: str) -> None:
    args = ARGUMENTS[kind]

    @nets.trace
    def f(x: Any, y: Any) -> Any:
        return x * y + x

    first = f(*args)
    assert same(first, warm(f, *args))


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: {"b": x, "a": [y, (x, None), {}]},
        lambda x, y: Pair(x, State(y, {"z": x, "y": y})),
        lambda x, y: [[], (), None, x, {1: y, 0: x}],
        lambda x, y: (x,),
    ],
    ids=["dict", "fields", "empty", "tuple"],
)
def test_containers_by_a_plan(make: Callable[[Any, Any], Any]) -> None:
    @nets.trace
    def f(nest: Any) -> Any:
        leaves, tree = flatten(nest)
        return tree.unflatten([leaf + 1 for leaf in leaves])

    first = f(make(A, B))
    second = warm(f, make(A, B))
    assert same(first, second)
    assert type(second) is type(first)
    assert same(f(first), warm(f, first))


def test_elements_of_tensors_by_a_plan() -> None:
    """``t.data`` is an array like any other."""
    function = nets.trace(lambda x, y: x + y)
    warm(function, A, B)
    with python_calls() as seen:
        assert np.array_equal(function(nets.Tensor(A).data, B).numpy(), A + B)
    assert seen == []


def test_no_arguments_and_many() -> None:
    constant = nets.trace(lambda: nets.Tensor(A) + 1)
    assert values(warm(constant)) == (A + 1).tolist()
    total = nets.trace(lambda *xs: sum(xs))
    assert values(warm(total, *[A] * 200)) == (200 * A).tolist()


def test_deep_nests() -> None:
    nest: Any = A
    for _ in range(3000):
        nest = [nest]
    assert values(warm(nets.trace(lambda x: flatten(x)[0][0] + 1), nest)) == (A + 1).tolist()


def test_each_order_of_keys_has_a_plan() -> None:
    f = nets.trace(lambda d: next(iter(d.values())) - d["y"])
    for _ in range(2):
        with python_calls() as slow:
            assert values(f({"x": A, "y": B})) == (A - B).tolist()
            assert values(f({"y": B, "x": A})) == (B - B).tolist()
    assert not slow


def test_methods_share_plans() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = nets.Tensor(B)

        @nets.trace
        def apply(self, x: Any) -> Any:
            return x * self.w

    model, other = Model(), Model()
    model.apply(A)
    with python_calls() as slow:
        assert values(model.apply(A)) == (A * B).tolist()
        assert not slow
        other.apply(A)
        assert slow


def test_gradients_by_a_plan() -> None:
    step = nets.trace(nets.value_and_grad(lambda p, x: (p["w"] * x).sum()))
    value, gradient = warm(step, {"w": A}, B)
    assert float(value) == float((A * B).sum())
    assert values(gradient["w"]) == B.tolist()


# ---------------------------------------------------------------------- what they leave alone


@pytest.mark.parametrize(
    "args",
    [
        (A[:4], B[:4]),
        (A, B.astype(np.int32)),
        (A, nets.Tensor(B.astype(np.float64))),
        (np.repeat(A, 2)[::2], B),
        (A.astype(">f4"), B),
        (A, B.view(type("Sub", (np.ndarray,), {}))),
        (A, 1),
        (A, 1.0),
        (A, True),
        (A, np.float32(1)),
        (A, np.int64(1)),
        (np.frombuffer(b"\0" + A.tobytes(), np.uint8)[1:].view(np.float32), B),
    ],
)
def test_other_arguments_take_the_python_road(args: tuple[Any, Any]) -> None:
    def plain(x: Any, y: Any) -> Any:
        return x + y

    f = nets.trace(plain)
    warm(f, A, B)
    with python_calls() as slow:
        found = f(*args)
    assert slow
    assert same(found, nets.trace(plain)(*args))


@pytest.mark.parametrize(
    "nest", [{"a": A}, {"a": A, "b": B, "c": C}, {"a": A, 1: B}, OrderedDict(a=A, b=B), [A, B]]
)
def test_other_containers_take_the_python_road(nest: Any) -> None:
    f = nets.trace(lambda x: sum(flatten(x)[0]))
    warm(f, {"a": A, "b": B})
    with python_calls() as slow:
        assert values(f(nest)) == sum(flatten(nest)[0]).tolist()
    assert slow


def test_a_nest_that_changes_while_it_is_read() -> None:
    shrinking: list[Any] = [A, B]

    @dataclass
    class Trap:
        value: Any

        def __getattribute__(self, name: str) -> Any:
            if name == "value" and armed:
                shrinking.clear()
            return object.__getattribute__(self, name)

    armed = False
    f = nets.trace(lambda trap, xs: sum(xs) + trap.value)
    warm(f, Trap(C), shrinking)
    armed = True
    assert values(f(Trap(C), shrinking)) == C.tolist()


def test_keywords_and_static_arguments() -> None:
    f = nets.trace(lambda x, y, n: x * n + y, static_argnames="n")
    for _ in range(2):
        assert values(f(A, B, 2)) == (A * 2 + B).tolist()
        assert values(f(A, B, 3)) == (A * 3 + B).tolist()
        assert values(f(A, n=2, y=B)) == (A * 2 + B).tolist()
    g = nets.trace(lambda x, y: x - y)
    warm(g, A, B)
    assert values(g(y=A, x=B)) == (B - A).tolist()


def test_a_call_inside_a_trace_joins_it() -> None:
    inner = nets.trace(lambda x: x + 1)
    warm(inner, A)
    outer = nets.trace(lambda x: inner(A) + inner(x))
    assert values(warm(outer, B)) == (A + B + 2).tolist()
    assert "call" not in str(outer.lower(B).ir("traced"))


def test_wrong_calls_after_a_plan() -> None:
    f = nets.trace(lambda x, y: x + y)
    warm(f, A, B)
    for wrong in [(), (A,), (A, B, C), (A, "text"), (A, object())]:
        with pytest.raises(nets.errors.NetsError):
            f(*wrong)
    g = nets.trace(lambda x: x + 1)
    warm(g, 1)
    with pytest.raises(DTypeError):
        g(1 << 64)
    with pytest.raises(DTypeError):
        g((1 << 63) - 1)  # whose successor is none of int64
    assert g(1 << 63).item() == (1 << 63) + 1
    assert g((1 << 63) - 2).item() == (1 << 63) - 1
    assert values(f(A, B)) == (A + B).tolist()


def test_checks_name_their_line() -> None:
    f = nets.trace(lambda x, i: x[i])
    warm(f, A, np.array([1, 2]))
    with python_calls() as slow, pytest.raises(IndexOutOfBoundsError) as caught:
        f(A, np.array([1, 8]))
    assert not slow
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


# --------------------------------------------------------------------- tensors and captures


def test_results_are_tensors_like_others() -> None:
    f = nets.trace(lambda x: x * 2)
    slow, fast = f(A), warm(f, A)
    names = [
        name
        for kind in Variable.__mro__
        for name in kind.__dict__.get("__slots__", ())
        if name not in ("__weakref__", "data")
    ]
    for name in names:
        assert getattr(fast._value, name) == getattr(slow._value, name), name
    assert type(fast) is nets.Tensor
    assert fast._weak is False
    with pytest.raises(TypeError):
        fast._value.uses[None, 0] = None  # one for all Variables
    assert fast.data.dtype == np.float32
    assert f(A).numpy() is not f(A).numpy()
    fast.requires_grad = True
    (fast * 3).sum().backward()
    assert values(fast.grad) == [3.0] * 8
    seen = weakref.ref(fast)
    del fast
    assert seen() is None


def test_tensors_that_require_gradients_are_recorded() -> None:
    f = nets.trace(lambda x: x * x)
    x = nets.Tensor(A)
    warm(f, x)
    x.requires_grad = True
    y = f(x)
    assert y.requires_grad
    y.sum().backward()
    assert values(x.grad) == (2 * A).tolist()
    with nets.no_grad(), python_calls() as slow:
        assert not f(x).requires_grad
    assert not slow


def test_captured_tensors_are_read_at_each_call() -> None:
    w = nets.Tensor(A)
    f = nets.trace(lambda x: x + w)
    warm(f, B)
    w.data = C
    with python_calls() as slow:
        assert values(f(B)) == (B + C).tolist()
        assert not slow
        w.requires_grad = True
        assert f(B).requires_grad
        assert slow


def test_names_bound_to_other_tensors() -> None:
    w = nets.Tensor(A)
    held = {"w": nets.Tensor(B)}
    f = nets.trace(lambda x: x + w + held["w"])
    warm(f, C)
    w = nets.Tensor(C)
    assert values(f(C)) == (C + C + B).tolist()
    assert len(f._plans) == 1
    held["w"] = nets.Tensor(A)
    assert values(warm(f, C)) == (C + C + A).tolist()
    del held["w"]
    with pytest.raises(KeyError):
        f(C)


def test_written_state() -> None:
    count = nets.Tensor(np.float32(0))

    @nets.trace
    def step(x: Any) -> Any:
        count.data = count + 1
        return x * count

    assert values(step(A)) == A.tolist()
    with python_calls() as slow:
        for i in range(2, 5):
            assert values(step(A)) == (A * i).tolist()
    assert not slow
    assert count.item() == 4


def test_written_gradients() -> None:
    w = nets.Tensor(A, requires_grad=True)

    @nets.trace
    def step(x: Any) -> Any:
        w.zero_grad()
        loss = (w * w * x).sum()
        loss.backward()
        w.data = w.data - w.grad
        return {"loss": loss}

    found = []
    for _ in range(3):
        w.data = A
        with python_calls() as slow:
            result = step(B)
        found.append((values(result["loss"]), values(w), values(w.grad)))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == (A - 2 * A * B).tolist()
    assert not slow
    assert w.requires_grad


def test_more_signatures_than_plans() -> None:
    f = nets.trace(lambda x: x + 1)
    arrays = [np.zeros(n, np.float32) for n in range(1, 14)]
    for _ in range(3):
        for array in arrays:
            assert f(array).shape == array.shape
    assert len(f._plans) == 8
    warm(f, arrays[0])


# ------------------------------------------------------------------------- memory and threads


def test_references_are_balanced() -> None:
    w = nets.Tensor(C)
    f = nets.trace(lambda d, xs, n: {"s": d["x"] * n + w, "t": [xs[0], (xs[0] - 1,)]})
    d, xs, t = {"x": A, "y": B}, [nets.Tensor(B)], np.array(2.0)
    warm(f, d, xs, 2.0)
    held = [d, d["x"], xs, xs[0], xs[0]._value, xs[0]._value.data, w, w._value, f, t, C, "x"]
    before = [sys.getrefcount(x) for x in held]
    for _ in range(100):
        f(d, xs, 2.0)
    assert [sys.getrefcount(x) for x in held] == before


def test_no_memory_is_lost() -> None:
    w = nets.Tensor(np.float32(2))
    f = nets.trace(lambda d, n: {"s": d["x"] * n + w, "t": [d["x"]]})
    d = {"x": A}
    checked = nets.trace(lambda x, i: x[i])
    outside = np.array([8])
    checked(A, np.array([1]))

    def work(count: int) -> None:
        for i in range(count):
            f(d, 2.0)
            if i % 50 == 0:
                f({"x": A[:4]}, 2.0)
                with pytest.raises(IndexOutOfBoundsError):
                    checked(A, outside)

    work(2000)
    gc.collect()
    before = sys.getallocatedblocks()
    work(50_000)
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 1000


def test_functions_in_cycles_are_freed() -> None:
    def make() -> Any:
        holder: dict[str, Any] = {"w": nets.Tensor(A)}
        f = nets.trace(lambda x: x + holder["w"])
        holder["f"] = f
        warm(f, B)
        return weakref.ref(f)

    seen = make()
    gc.collect()
    assert seen() is None


def test_threads_have_workspaces_of_their_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 40)).astype(np.float32)
    f = nets.trace(lambda x, y: (x @ y).sum(axis=0) @ (y @ x))
    inputs = [x + np.float32(i) for i in range(4)]
    expected = [f(y, x).numpy().tobytes() for y in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        found = [f(inputs[i], x).numpy().tobytes() for _ in range(300)]
        wrong.extend(i for bits in found if bits != expected[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_long_calls_release_the_lock() -> None:
    small, large = nets.trace(lambda x: x + 1), nets.trace(lambda x: nets.exp(x).sum())
    warm(small, A)
    warm(large, np.zeros(1 << 16, np.float32))
    briefs = [
        place.specialisation.executable.code.brief
        for f in (small, large)
        for place in f.specialisations.values()
    ]
    assert briefs == [True, False]


# --------------------------------------------------------------------------- the parts alone


def code_of(function: Any) -> Any:
    (place,) = function.specialisations.values()
    return place.specialisation.executable.code


def test_native_code() -> None:
    f = nets.trace(lambda x, i: x[i])
    f(A, np.array([1, 2]))
    code = code_of(f)
    (found,) = code.run((A, np.array([3, 0])))
    assert found.tolist() == [A[3], A[0]]
    assert isinstance(code.run([A, np.array([0, 9])]), int)
    for wrong in [[A], [A, B], [A, None], [A[::2], np.array([0, 1])], []]:
        assert code.run(wrong) is None
    with pytest.raises(TypeError):
        code.run(5)
    with pytest.raises(TypeError):
        code.__init__(**CODE)


def nothing(*_: Any) -> Any:
    """What stands for the failure of a plan."""


NUMBER, DIMENSION, PLUS, TIMES, QUOTIENT, LEAST = range(6)
TOLD = (0, 9, 1, 0, 0, 1, 0)
"""A dimension that the first axis of the first input tells."""
ONE, TWO = ((1,), np.dtype("f4")), ((2,), np.dtype("f4"))
CODE = {
    **dict.fromkeys(("entry", "call", "call_watched", "arena_new", "arena_free"), 1),
    "pool": 0,
    "workspace_bytes": (NUMBER, 0),
    "keep": None,
    "inputs": (ONE,),
    "outputs": (TWO,),
    "in_place": (),
    "dims": (),
    "requirements": (),
    "job": None,
}
"""A code that can be made, and not called."""


@pytest.mark.parametrize(
    "change",
    [
        {"entry": 0},
        {"arena_free": 0},
        {"call": -1.5},
        {"workspace_bytes": 0},
        {"workspace_bytes": ()},
        {"workspace_bytes": (NUMBER,)},
        {"workspace_bytes": (NUMBER, -1)},
        {"workspace_bytes": (NUMBER, 2**63)},
        {"workspace_bytes": (NUMBER, "1")},
        {"workspace_bytes": (NUMBER, 1, NUMBER, 1)},
        {"workspace_bytes": (NUMBER, 1, PLUS, 0)},
        {"workspace_bytes": (NUMBER, 1, QUOTIENT, 0)},
        {"workspace_bytes": (LEAST, 0)},
        {"workspace_bytes": (LEAST + 1, 0)},
        {"workspace_bytes": (-1, 0)},
        {"workspace_bytes": (NUMBER, 1) * 17 + (PLUS, 0) * 16},
        {"workspace_bytes": (DIMENSION, 0)},
        {"workspace_bytes": (DIMENSION, 1), "dims": (TOLD,)},
        {"workspace_bytes": (DIMENSION, -1), "dims": (TOLD,)},
        {"inputs": ((((DIMENSION, 0),), np.dtype("f4")),)},
        {"outputs": ((((DIMENSION, 0, TIMES, 0),), np.dtype("f4")),), "dims": (TOLD,)},
        *({"dims": (dim,)} for dim in [TOLD[:6], 7, (-1, *TOLD[1:]), (*TOLD[:2], 0, *TOLD[3:])]),
        *({"dims": ((*TOLD[:3], *place, 1, 0),)} for place in [(1, 0), (-1, 0), (0, 1), (0, -1)]),
        *({"dims": ((*TOLD[:5], slope, 0),)} for slope in (0, -1)),
        {"job": 1},
        {"requirements": ((True,),)},
        {"requirements": (True,)},
        {"requirements": ((True, (DIMENSION, 0)),)},
        {
            "inputs": ((((DIMENSION, 0),), np.dtype("f4")),),
            "outputs": ((((DIMENSION, 0, NUMBER, 1, PLUS, 0),), np.dtype("f4")),),
            "dims": (TOLD,),
            "in_place": ((0, 0),),
        },
        {"inputs": [ONE]},
        {"inputs": (ONE, (1,))},
        {"inputs": (((-1,), np.dtype("f4")),)},
        {"inputs": (((1,), np.dtype(object)),)},
        {"inputs": (((1,), "f4"),)},
        {"outputs": ((),)},
        *({"in_place": pairs} for pairs in [((0, 1),), ((1, 0),), ((0, 0),), ((0,),), (0,)]),
        {"in_place": ((-1, 0),)},
        {"outputs": (ONE, ONE), "in_place": ((0, 0), (1, 0))},
        {"inputs": (ONE, ONE), "outputs": (ONE,), "in_place": ((0, 0), (0, 1))},
    ],
)
def test_code_of_parts_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    _dispatch.NativeCode(**CODE)
    with pytest.raises((ValueError, TypeError, OverflowError)):
        _dispatch.NativeCode(**(CODE | change))


def test_what_is_made_of_parts_takes_them_by_keyword() -> None:
    with pytest.raises(TypeError):
        _dispatch.NativeCode(*CODE.values())
    with pytest.raises(TypeError):
        _dispatch.NativeCode(**CODE, more=1)
    f, good = plan_parts()
    with pytest.raises(TypeError):
        _dispatch.Plan(*good.values())
    for name in good:
        with pytest.raises(TypeError, match=name):
            _dispatch.Plan(**{key: part for key, part in good.items() if key != name})
    assert values(f(A)["y"]) == (A + 1).tolist()


STATE = nets.Tensor(np.zeros(8, np.float32))


@functools.cache
def plan_parts() -> tuple[Any, dict[str, Any]]:
    """A function, and the parts that its plan is made of."""

    def add(x: Any) -> Any:
        STATE.data = STATE + x
        return {"y": x + 1}

    f = nets.trace(add)
    made = f(A)["y"].type
    return f, {
        "code": code_of(f),
        "failure": nothing,
        "arguments": plans.Structure(((tuple, 1), "leaf"), ()),
        "inputs": (plans.PlanInput(), plans.PlanInput(STATE)),
        "cleared": (),
        "guards": _dispatch.Guards((), None, None, print),
        "results": plans.Structure(((dict, ("y",)), "leaf"), ((0,),)),
        "types": (made, made),
        "detached": False,
    }


class Refusing(Exception):
    """A class of which object.__new__ makes no instance."""


MALFORMED: list[dict[str, Any]] = [
    *({"arguments": (tokens, ())} for tokens in [
        ((tuple, 2), "leaf"),
        ("leaf",),
        ((tuple, 2), "leaf", "leaf"),
        ((tuple, -1), "leaf"),
        ((tuple, 1 << 62), "leaf"),
        (),
        ((3, 1), "leaf"),
        ((tuple, 1), None),
        ((tuple, 1), 3),
        ((tuple, 1.5), "leaf"),
        ((tuple, 1), (int, 1), "leaf"),
        ((tuple, 1), (dict, 1), "leaf"),
        ((tuple, 1), (tuple, ("a",)), "leaf"),
        ((tuple, 1), (type(None), 1), "leaf"),
        ((tuple, 1), (State, (3,)), "leaf"),
        ((tuple, 1), (list,), "leaf"),
    ]),
    *({"results": parts} for parts in [
        (("leaf", "leaf"), ()),
        (((tuple, 0),), ()),
        (((dict, ("y",)), "leaf"), ()),
        (((dict, ("y",)), "leaf"), ((1,),)),
        (((dict, ("y",)), "leaf"), ((0, 0),)),
        (((dict, ("y",)), "leaf"), ((0.0,),)),
        (((dict, ("y",)), "leaf"), ([0],)),
        (((dict, ("y",)), "leaf"), ((0,), (0,))),
        (((OrderedDict, ("y",)), "leaf"), ((0,),)),
        (((Refusing, ("y",)), "leaf"), ()),
        (((type, ("y",)), "leaf"), ()),
        ("leaf",),
        (),
        (["leaf"], ()),
    ]),
    {"results": (((dict, ("a", "b")), "leaf", "leaf"), ((0, 0),))},
    *({"inputs": inputs} for inputs in [
        (),
        (plans.PlanInput(),),
        (plans.PlanInput(), plans.PlanInput()),
        (plans.PlanInput(STATE), plans.PlanInput()),
        (plans.PlanInput(), plans.PlanInput(A)),
        (plans.PlanInput(), plans.PlanInput(3)),
        (plans.PlanInput(), plans.PlanInput(STATE, donated=True)),
        (plans.PlanInput(gradient=True), plans.PlanInput(STATE)),
        (plans.PlanInput(required=True), plans.PlanInput(STATE)),
        (plans.PlanInput(weak=1), plans.PlanInput(STATE)),  # type: ignore[arg-type]
        ((None, False), plans.PlanInput(STATE)),
        (None, plans.PlanInput(STATE)),
        [plans.PlanInput(), plans.PlanInput(STATE)],
    ]),
    {"code": _dispatch.NativeCode.__new__(_dispatch.NativeCode)},
    {"code": None},
    {"failure": 3},
    {"cleared": (A,)},
    {"cleared": None},
    {"guards": ((1, 2),)},
    {"types": ()},
    {"types": (3, 3)},
]  # fmt: skip


@pytest.mark.parametrize("change", MALFORMED)
def test_plans_of_parts_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    _, good = plan_parts()
    _dispatch.Plan(**good)
    with pytest.raises((ValueError, TypeError)):
        _dispatch.Plan(**(good | change))


def test_plans_of_any_parts_answer_calls_or_leave_them() -> None:
    """Whatever part of a plan is put in the place of another one, there is an error or a call."""
    f, good = plan_parts()
    values_of_parts = [*good.values(), None, 3, (), "leaf", A, STATE]
    for name in good:
        for part in values_of_parts:
            try:
                plan = _dispatch.Plan(**(good | {name: part}))
            except (ValueError, TypeError):
                continue
            f._plans[:] = [plan]
            f(A)


def test_the_names_that_c_and_python_share() -> None:
    tables = _dispatch.TABLES
    assert tables["input"] == plans.PlanInput._fields
    assert tables["guard"] == get_args(guards.Kind)
    stub = ast.parse(Path(nets.__file__).with_name("_dispatch.pyi").read_text(encoding="utf-8"))
    declared = {
        (inner.name if isinstance(inner, ast.ClassDef) else ""): tuple(
            argument.arg
            for node in (inner.body if isinstance(inner, ast.ClassDef) else [inner])
            if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "configure")
            for argument in node.args.kwonlyargs
        )
        for inner in stub.body
        if getattr(inner, "name", "") in ("NativeCode", "Plan", "configure")
    }
    assert declared == {
        "NativeCode": tables["native"],
        "Plan": tables["plan"],
        "": tables["configure"],
    }
    classes = {"value": Variable, "tensor": nets.Tensor, "total": Total, "function": plans.Planned}
    for name, kind in classes.items():
        slots = {slot for base in kind.__mro__ for slot in base.__dict__.get("__slots__", ())}
        assert set(tables[name]) <= slots
    assert tables["operation"] == OPERATIONS
    others = {"input", "guard", "native", "plan", "configure", "operation"}
    assert set(tables) == {*classes, *others}
    assert plans._is_configured


def test_parts_that_were_never_made() -> None:
    with pytest.raises(TypeError):
        _dispatch.NativeCode.__new__(_dispatch.NativeCode).run([])
    f = nets.trace(lambda x: x + 1)
    f(A)
    f._plans.insert(0, _dispatch.Plan.__new__(_dispatch.Plan))
    f._plans.insert(0, None)
    with python_calls() as slow:
        assert values(f(A)) == (A + 1).tolist()
    assert not slow
    with pytest.raises(AttributeError):
        _dispatch.Dispatch()()


def test_configured_once() -> None:
    with pytest.raises(RuntimeError):
        _dispatch.configure()


def test_tensors_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def configure(**parts: Any) -> None:
        raise TypeError

    monkeypatch.setattr(_dispatch, "configure", configure)
    monkeypatch.setattr(plans, "_is_configured", plans._configure())
    f = nets.trace(lambda x: x + 1)
    for _ in range(3):
        assert values(f(A)) == (A + 1).tolist()
    assert not f._plans


SAME_WITHOUT = """
    import sys
    if "nets" not in sys.modules:
        sys.modules["nets._dispatch"] = None
    import numpy as np
    import nets
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    step = nets.trace(nets.value_and_grad(lambda p, x: nets.tanh(x @ p["w"]).sum()))
    for _ in range(3):
        value, gradient = step({"w": x}, x)
        assert nets.trace(lambda x: x[::2] + 1)(x[:, ::2]).shape == (4, 4)
    print(value.numpy().tobytes().hex(), gradient["w"].numpy().tobytes().hex())
    print(nets.extension.in_use(), file=sys.stderr)
"""
"""A program that a process of its own runs without the extension, and this one with it."""


def test_results_are_the_same_without_the_extension() -> None:
    code = textwrap.dedent(SAME_WITHOUT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "False"
    shown, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(told):
        exec(code, {})
    assert told.getvalue().strip() == "True"
    assert done.stdout == shown.getvalue() != ""
