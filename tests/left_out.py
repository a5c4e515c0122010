"""What ``make test`` leaves to ``make check``: tests marked ``long``, and of those marked
``sampled(n)`` all cases but each n-th. Where nothing is said, pytest runs all of them.

``tests/conftest.py`` makes these functions hooks of pytest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_deselected",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

COUNT = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_long(items)
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        refuse_files_without_short(items)


def mark_long(items: Sequence[Any]) -> None:
    """Mark what is sampled out. The first case of each function stays."""
    cases: Counter[Any] = Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is None:
            continue
        if cases[item.function] % marker.args[0]:
            item.add_marker("long")
        cases[item.function] += 1


def refuse_files_without_short(items: Sequence[Any]) -> None:
    """Every file has something that each run of the suite runs."""
    short = {item.path for item in items if item.get_closest_marker("long") is None}
    missing = sorted({str(item.path) for item in items} - {str(path) for path in short})
    if missing:
        raise pytest.UsageError(f"all tests are long in {', '.join(missing)}")


# Of what a worker leaves out the process that reports knows nothing by itself.


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        stash = items[0].config.stash
        stash[COUNT] = stash.get(COUNT, 0) + len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(COUNT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[COUNT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    count = config.stash.get(COUNT, 0)
    if count and config.option.markexpr == "not long":
        terminalreporter.write_line(f"{count} cases left out as long: make check runs them, too")
