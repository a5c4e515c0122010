"""The seed document: its cells, run in order, print its text.

``seed_cells.txt`` holds the cells and their output. Where the document is cut off (in the last
gradients of cell 10 and from the end of t3 on in cell 12) the rest is pinned as derived.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

import nets

TEXT = (Path(__file__).parent / "seed_cells.txt").read_text()
CELLS = re.findall(
    r"=== In \[(\d+)\]\n(.*?)\n=== Out \[\1\]\n(.*?)\n(?==== In|\Z)", TEXT, re.DOTALL
)


@pytest.fixture(scope="module")
def notebook() -> dict[str, object]:
    """The names the cells share, as the notebook has them after its first cells."""
    return {"np": np}


@pytest.mark.parametrize(
    ("code", "output"), [cell[1:] for cell in CELLS], ids=[c[0] for c in CELLS]
)
def test_cell_prints_the_text_of_the_document(
    notebook: dict[str, object], code: str, output: str
) -> None:
    notebook.setdefault("nets", nets)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, notebook)
    assert printed.getvalue() == output + "\n"


def test_every_cell_is_there() -> None:
    assert [number for number, _, _ in CELLS] == ["6", "8", "10", "12"]
