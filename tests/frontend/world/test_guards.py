"""Guards, compared by the extension and by Python."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nets.frontend.world.guards import SKIP, Guard, Guards, Table
from nets.frontend.world.holders import MISSING, Attributes, Cell, Items, Sequence
from nets.frontend.world.reach import code_of
from nets.frontend.world.slots import same_plain


class Thing:
    def __init__(self) -> None:
        self.value: Any = 1


class Other(Thing):
    pass


def holds(*guards: Guard) -> bool:
    found = Guards(guards)
    assert found.hold() == Table(guards).hold()
    return found.hold()


def cell_of(value: Any) -> Any:
    return (lambda: value).__closure__[0]  # type: ignore[index]


def test_names_in_a_dict() -> None:
    names: dict[str, Any] = {"a": 1}
    assert holds(Guard("item", names, "a", 1), Guard("item", names, "b", MISSING))
    names["b"] = 2
    assert not holds(Guard("item", names, "b", MISSING))
    assert not holds(Guard("item", names, "a", True))


def test_cells() -> None:
    cell = cell_of([])
    guard = Guard("cell", cell, "cell_contents", cell.cell_contents, Cell(cell, "x"))
    assert holds(guard)
    cell.cell_contents = []  # an equal list is another one
    assert not holds(guard)
    del cell.cell_contents
    assert not holds(guard)


def test_all_items_of_a_dict() -> None:
    held = {"a": 1, "b": [], "c": 2.0}
    guard = Guard("dict", held, tuple(held), (1, held["b"], SKIP), Items(held))
    assert holds(guard)
    held["c"] = 3.0
    assert holds(guard)
    for change in (lambda: held.update(a=2), lambda: held.update(d=1), lambda: held.pop("c")):
        before = dict(held)
        change()
        assert not holds(guard)
        held.clear()
        held.update(before)
        assert holds(guard)
    held["a"] = held.pop("a")  # another order
    assert not holds(guard)


def test_lists() -> None:
    held: list[Any] = [1, "x", (2.0, None)]
    guard = Guard("list", held, None, (1, "x", (2.0, None)), Sequence(held, True))
    assert holds(guard)
    held[2] = (-2.0 + 4.0, None)
    assert holds(guard)
    held.append(1)
    assert not holds(guard)


def test_elements_of_arrays() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    guard = Guard("array", array, None, array.copy(order="C"))
    assert holds(guard)
    array[1, 1] = np.nan
    assert not holds(guard)


def test_functions_and_classes() -> None:
    def f(x: Any, y: Any = 1, *, z: Any = 2) -> Any:
        return x

    thing = Thing()
    function = Guard("function", f, None, code_of(f))  # type: ignore[arg-type]
    of_class = Guard("class", weakref.ref(thing), None, Thing)
    assert holds(function, of_class)
    f.__defaults__ = (5,)
    assert not holds(function)
    thing.__class__ = Other
    assert not holds(of_class)


@pytest.mark.parametrize("part", ["__code__", "__defaults__", "__kwdefaults__"])
def test_each_part_of_a_function_is_compared(part: str) -> None:
    def f(x: Any, y: Any = 1, *, z: Any = 2) -> Any:
        return x

    def g(x: Any, y: Any = 3, *, z: Any = 4) -> Any:
        return x + y

    guard = Guard("function", f, None, code_of(f))  # type: ignore[arg-type]
    assert holds(guard)
    setattr(f, part, getattr(g, part))
    assert not holds(guard)


PAIRS: list[tuple[Any, Any, bool]] = [
    (0.0, -0.0, False),
    (float("nan"), float("nan"), True),
    (1, True, False),
    (1, 1.0, False),
    ("ab", "a" + "b", True),
    (2**70, 2**70, True),
    ((1, (2.0, "x")), (1, (2.0, "x")), True),
    ((1, (2.0, "x")), (1, (-2.0, "x")), False),
    (np.float32(2), np.float32(2), True),
    (np.float32(2), np.float64(2), False),
    (1 + 0j, complex(1, -0.0), False),
    (frozenset({1, 2}), frozenset({2, 1}), True),
    ([], [], False),
    (Thing(), Thing(), False),
    (types.SimpleNamespace(a=1), types.SimpleNamespace(a=1), False),
]


@pytest.mark.parametrize(("now", "expected", "is_same"), PAIRS)
def test_plain_values_are_compared_by_value(now: Any, expected: Any, is_same: bool) -> None:
    assert holds(Guard("item", {"k": now}, "k", expected)) == is_same
    assert same_plain(now, expected) == is_same


def test_what_differs_is_told() -> None:
    thing = Thing()
    held = vars(thing)
    guards = Guards([Guard("dict", held, tuple(held), (1,), Attributes(held, Thing))])
    thing.value = 2
    assert guards.changes() == ["Thing.value was 1 and is 2 now"]
    assert guards.is_plainly_other()
    thing.value = []
    assert guards.changes() == ["a captured object was replaced by another one"]
    assert not guards.is_plainly_other()


@pytest.mark.parametrize(
    "table",
    [[("item", [], "a", 1)], [("what", {}, "a", 1)], [("dict", {}, ("a",), ())], [3], [("cell",)]],
)
def test_the_extension_refuses_what_are_no_guards(table: list[Any]) -> None:
    dispatch = pytest.importorskip("nets._dispatch")
    with pytest.raises(TypeError):
        dispatch.Guards(tuple(table), SKIP, MISSING, same_plain)


def test_only_classes_of_one_layout_are_exchanged() -> None:
    dispatch = pytest.importorskip("nets._dispatch")
    array = np.zeros(3)
    make: Callable[..., Any] = type
    with pytest.raises(TypeError, match="layout"):
        dispatch.retype(array, make("Sub", (np.ndarray,), {}))
    with pytest.raises(TypeError):
        dispatch.retype([], np.ndarray)
