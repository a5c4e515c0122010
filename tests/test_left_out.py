"""What ``make test`` leaves to ``make check``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.left_out import mark_long, refuse_files_without_short


@dataclass
class Case:
    """As much of one of pytest's items as is asked for."""

    function: object
    marks: dict[str, pytest.Mark] = field(default_factory=dict)
    path: Path = Path("test_a.py")

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.marks.get(name)

    def add_marker(self, name: str) -> None:
        self.marks[name] = getattr(pytest.mark, name).mark

    @property
    def is_long(self) -> bool:
        return "long" in self.marks


def test_each_nth_case_of_a_function_stays() -> None:
    sampled = {"sampled": pytest.mark.sampled(3).mark}
    cases = [Case(function, dict(sampled)) for _ in range(5) for function in ("f", "g")]
    mark_long([*cases, other := Case("h")])
    for name in ("f", "g"):
        marked = [case.is_long for case in cases if case.function == name]
        assert marked == [False, True, True, False, True]
    assert not other.is_long


def test_a_file_of_long_tests_alone_is_refused() -> None:
    long = Case("f", {"long": pytest.mark.long.mark}, Path("test_b.py"))
    refuse_files_without_short([Case("g"), long, Case("g", path=Path("test_b.py"))])
    with pytest.raises(pytest.UsageError, match=r"all tests are long in test_b\.py"):
        refuse_files_without_short([Case("g"), long])
