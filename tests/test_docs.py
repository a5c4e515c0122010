"""The documents are what ``docs/build.py`` makes of them: their blocks run and print just that."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "docs" / "build.py"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL = [*DOCUMENTS, ROOT / "CHANGELOG.md"]
LONG = ("add-a-pass.md", "add-an-op.md", "training.md", "export.md", "deploy-browser.md")
"""Those that take seconds. The others are built by two processes."""
SHORT = (
    *("README.md", "CONTRIBUTING.md", "architecture.md", "deploy-server.md", "ir.md"),
    "reference.md",
)
"""What ``make test`` builds: blocks of every kind, and the tables that are generated."""
TOGETHER = [path for path in DOCUMENTS if path.name not in LONG + SHORT]
PARTS = [
    [path for path in DOCUMENTS if path.name in SHORT],
    *(
        pytest.param(paths, marks=pytest.mark.long)
        for paths in (*([path] for path in DOCUMENTS if path.name in LONG), TOGETHER)
    ),
]
FAILING = "import nets; raise nets.errors.ShapeError('nothing fits')"


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BUILD), *arguments], capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("paths", PARTS, ids=lambda paths: paths[0].name)
def test_documents_are_true(paths: list[Path]) -> None:
    texts = [path.read_text(encoding="utf-8") for path in paths]
    if any("\n$ cc " in text for text in texts) and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    done = build("--check", *map(str, paths))
    assert done.returncode == 0, f"run python docs/build.py\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), f"{link} in {path.name}"
        if anchor:
            assert anchor in anchors(target), f"{link} in {path.name}"


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document, as code hosts make them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = ROOT / "docs" / "environment.md"
    texts = [page.read_text(encoding="utf-8").replace("size of the", "length of the")]
    for block, output in (("1 + 1", "2"), ("print(2)", "3"), (FAILING, "ShapeError")):
        texts.append(f"```python\n{block}\n```\n\n```text\n{output}\n```\n")
    wrong = [tmp_path / f"{number}.md" for number in range(len(texts))]
    for path, text in zip(wrong, texts, strict=True):
        path.write_text(text)
    done = build("--check", *map(str, wrong))
    assert done.returncode == 1
    assert all(f"+++ {path.name}, built now" in done.stdout for path in wrong)
    assert [path.read_text() for path in wrong] == texts


def test_an_output_is_written(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(f"```python\nprint(2)\n{FAILING}\n```\n")
    assert build(str(copy)).returncode == 0
    assert "```text\n2\nShapeError: nothing fits\n```\n" in copy.read_text()
    assert build("--check", str(copy)).returncode == 0


@pytest.mark.long
def test_commands_of_programs_that_are_not_there_are_left_alone(tmp_path: Path) -> None:
    page = "```console needs {}\n$ echo $((1 + 1))\n{}\n```\n"
    path = tmp_path / "page.md"
    path.write_text(page.format("no-such-program", 3) + page.format("cat", 3))
    assert build(str(path)).returncode == 0
    assert path.read_text() == page.format("no-such-program", 3) + page.format("cat", 2)
    text = "```python needs {}\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    path.write_text(text.format("no-such-program cat") + text.format("cat"))
    assert build(str(path)).returncode == 0
    right = text.format("cat").replace("\n3\n", "\n2\n")
    assert path.read_text() == text.format("no-such-program cat") + right


@pytest.mark.parametrize("block", ["```python\n1 / 0\n```\n", "```console\n$ false\n```\n"])
@pytest.mark.sampled(2)
def test_a_block_that_fails_is_no_document(block: str, tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(block)
    assert build(str(copy)).returncode == 1
    assert copy.read_text() == block
