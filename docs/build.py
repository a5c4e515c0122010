"""Keeps the documents true: runs what they show, and writes down what came out.

    python docs/build.py                 rewrites every document that is no longer true
    python docs/build.py --check         changes nothing; shows the differences, exit code 1
    python docs/build.py docs/ir.md      one document only

What it does with the parts of a document:

``python``         runs the block; its output, and the error of nets that ended it if one did, stand
                   in the ``text`` block that follows. The blocks of a document share their names.
``LANGUAGE FILE``  writes the block to that file, in a folder made for the document; with
                   ``, at the end`` after it, adds the block to the file. A file under nets/ or
                   tests/ belongs to a copy of the repository in that folder.
``console``        runs the lines after ``$`` in that folder, where ``examples`` is that of the
                   repository; the other lines are their output. A command that fails is a mistake
                   of the document.
``needs PROGRAM``  behind ``python`` or ``console``, leaves the block as it is where there is no
                   such program, or file, or one of several.
``<!-- generated: NAME -->`` … ``<!-- end -->``   is what ``sections.py`` makes under that name.

Everything else is left alone. Programs run for one fixed kind of CPU and on one thread, so that
what they print is the same everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import linecache
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sections import SECTIONS

from nets.errors import NetsError

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# A fence with its info string, the lines up to the closing fence, and an output block after it.
BLOCK = re.compile(
    r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```\n(?P<output>\n```text\n.*?^```\n)?",
    re.MULTILINE | re.DOTALL,
)
SECTION = re.compile(
    r"(?P<start><!-- generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)
COPIED = ("nets", "tests")
_CARGO = str(Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "bin")
"""Where Rust's compiler is when it is not on the PATH."""
SHOWN_AS = "example.py"
"""The file name in the errors of python blocks."""


class Session:
    """The names and the folder that the blocks of one document share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def block(self, match: re.Match[str]) -> str:
        """The block as it should be."""
        language, _, file = match["info"].partition(" ")
        output = match["output"] or ""
        if file.startswith("needs "):
            if not all(shutil.which(word) or Path(word).exists() for word in file.split()[1:]):
                return match[0]
            file = ""
        if language == "console":
            return f"```{match['info']}\n{self.console(match['body'])}```\n{output}"
        if file:
            self.write(file, match["body"])
            return match[0]
        if language != "python":
            return match[0]
        printed = self.python(match["body"])
        text = f"\n```text\n{printed}```\n" if printed else ""
        return f"```{match['info']}\n{match['body']}```\n{text}"

    def write(self, file: str, text: str) -> None:
        name, at_the_end, _ = file.partition(", at the end")
        if Path(name).parts[0] in COPIED and not (self.folder / COPIED[0]).exists():
            self.copy_repository()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") if at_the_end else ""
        path.write_text(before + text, encoding="utf-8")

    def copy_repository(self) -> None:
        for name in COPIED:
            shutil.copytree(ROOT / name, self.folder / name)
        shutil.copy(ROOT / "pyproject.toml", self.folder)

    def python(self, source: str) -> str:
        """What the program prints, to either stream, and the error of nets that ended it."""
        lines = source.splitlines(keepends=True)
        linecache.cache[SHOWN_AS] = (len(source), None, lines, SHOWN_AS)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                exec(compile(source, SHOWN_AS, "exec"), self.names)
            except NetsError as error:
                print(f"{type(error).__name__}: {error}")
        return _trimmed(out.getvalue())

    def console(self, body: str) -> str:
        """The commands of the block, each with what it prints now."""
        return "".join(
            f"$ {command}\n{self.command(command)}"
            for command in re.findall(r"^\$ (.*)$", body, re.MULTILINE)
        )

    def command(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command} failed:\n{done.stdout}")
        return _trimmed(done.stdout)


def _trimmed(text: str) -> str:
    """Without spaces at the ends of lines and empty lines at the end; a line break if not empty.

    ValueError where it names a folder of this machine.
    """
    if str(ROOT) in text or tempfile.gettempdir() in text:
        raise ValueError(f"a folder of this machine is in the output:\n{text}")
    text = "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")
    return f"{text}\n" if text else ""


def build(text: str) -> str:
    """The document as it should be."""
    text = SECTION.sub(lambda m: f"{m['start']}\n{SECTIONS[m['name']]()}\n\n{m['end']}", text)
    with tempfile.TemporaryDirectory() as folder, _surroundings(Path(folder)):
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        return BLOCK.sub(Session(Path(folder)).block, text)


@contextlib.contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """A working directory and an environment that are the same on every machine."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("NETS_", "MAKE", "MFLAGS"))]:
        del os.environ[name]
    os.environ |= {
        "NETS_CPU": "x86-64-v3",
        "NETS_NUM_THREADS": "1",
        "NETS_CACHE_DIR": str(folder / "cache"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), before.get("PATH", ""), _CARGO]),
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
    }
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def check(path: Path, old: str, new: str) -> bool:
    """Whether the document is true; shows where it is not."""
    now = f"{path.name}, built now"
    difference = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), path.name, now
    )
    sys.stdout.writelines(difference)
    return old == new


def rewrite(path: Path, old: str, new: str) -> bool:
    """Always true; writes the document if it has changed."""
    if old != new:
        path.write_text(new, encoding="utf-8")
        print(f"rewrote {path.name}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Keeps the documents true.")
    parser.add_argument("--check", action="store_true", help="change nothing, show differences")
    parser.add_argument("documents", nargs="*", type=Path, help="default: all of them")
    arguments = parser.parse_args()
    settle: Callable[[Path, str, str], bool] = check if arguments.check else rewrite
    fine = True
    for path in [path.resolve() for path in arguments.documents] or DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        fine = settle(path, text, build(text)) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
