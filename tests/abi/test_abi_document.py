"""docs/abi.md tells of every field, symbol and status that libraries have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from nets.backend.library import interface
from nets.backend.library.manifest import (
    REVISION,
    Argument,
    Library,
    LibraryFunction,
    Matrix,
    Member,
)
from nets.backend.library.state.functions import OTHER_STATE

TEXT = (Path(__file__).parents[2] / "docs" / "abi.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("kind", [Library, LibraryFunction, Argument, Member])
def test_every_field_of_the_manifest_is_there(kind: Any) -> None:
    for field in fields(kind):
        since = field.metadata.get("since", 1)
        written = f"`{field.name}`" + (f" ({since})" if since > 1 else "")
        assert since <= REVISION
        assert any(written in row.split("|")[1] for row in ROWS), written


def test_every_status_is_there() -> None:
    told = {row.split("|")[1].strip() for row in ROWS}
    assert {str(code).replace("-", "−") for code in (*interface._MESSAGES, OTHER_STATE)} <= told


def test_every_symbol_is_there() -> None:
    matrix = Matrix(0, (1, 1), 1)
    function = LibraryFunction(
        *("FN", (), (), (), (), ["none"], 0, (), ""), prints=("",), matrices=(matrix,)
    )
    member = Member("w", "f32", (), 0, "w", "", "w")
    library = Library("NAME", "", "", 0, "strict", (function,), (member,), 4, threads=2)
    symbols = interface.global_symbols(library)
    rows = re.findall(r"^\| (`NAME_\w+`.*?) \| `", TEXT, re.M)
    told = [name for row in rows for name in re.findall(r"NAME_\w+", row)]
    assert sorted(symbols) == sorted(told)
