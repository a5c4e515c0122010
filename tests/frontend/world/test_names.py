"""What code says by name."""

from __future__ import annotations

from types import CodeType
from typing import Any

from nets.frontend.world.names import appended_only, counted_only, names_of

history: list[Any] = []
count = 0


def codes(*functions: Any) -> list[CodeType]:
    return [function.__code__ for function in functions]


def test_globals_attributes_and_methods_are_told_apart() -> None:
    def f(x: Any) -> Any:
        return x.scale * history[0] + x.run()

    said = names_of(f.__code__)
    assert said.globals == {"history"}
    assert said.attributes == {"scale"}
    assert said.methods == {"run"}
    assert not said.dynamic


def test_nested_code_and_imports_count() -> None:
    def f(x: Any) -> Any:
        import math

        return [(lambda y: y.width + count)(x) for _ in range(math.floor(2.0))]

    said = names_of(f.__code__)
    assert "width" in said.attributes
    assert "count" in said.globals
    assert "math" in said.modules


def test_computed_names_are_every_name() -> None:
    assert names_of((lambda x: getattr(x, "a" + "b")).__code__).dynamic
    assert names_of((lambda x: vars(x)).__code__).dynamic


def test_what_is_set() -> None:
    def f(x: Any) -> None:
        global count
        x.total, count = 1, 2

    assert names_of(f.__code__).set == {"total", "count"}


def test_a_list_that_is_only_appended_to() -> None:
    def adds(x: Any) -> None:
        history.append(x)
        history.extend([x])

    def reads(x: Any) -> Any:
        history.append(x)
        return len(history)

    assert appended_only(codes(adds), "history")
    assert not appended_only(codes(adds, reads), "history")


def test_a_number_that_is_only_counted_on() -> None:
    def counts(x: Any) -> None:
        global count
        count += 1
        x.count -= 2

    def reads() -> Any:
        return count + 1

    def doubles() -> None:
        global count
        count += count

    assert counted_only(codes(counts), "count")
    assert not counted_only(codes(counts, reads), "count")
    assert not counted_only(codes(doubles), "count")
