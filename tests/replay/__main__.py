"""Is the code of every program what it was? ``python -m tests.replay``

``hashes.txt`` holds, of each program, a hash of its code for every setting (CPU × threads). Whoever
moves, renames or regroups runs this: nothing may differ. Whoever means to change code looks at the
differences, and then writes the new hashes.

    python -m tests.replay                     names the programs whose code differs; exit code 1
    python -m tests.replay --show [NAME]       the first difference of the program, or of the first
                                               one that differs, to the commit before (--against)
    python -m tests.replay --bless             writes the hashes of today's code
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.replay.programs import SETTINGS, Setting, Texts, programs

ROOT: Final = Path(__file__).parents[2]
FILE: Final = Path(__file__).with_name("hashes.txt")
LINES: Final = 60
"""So many lines of a difference are shown."""

Hashes = dict[str, list[str]]
"""By program, in the order of SETTINGS."""


def hashes_of(name: str, settings: Iterable[Setting] = SETTINGS) -> list[str]:
    """Of today's code."""
    program = programs()[name]
    texts = (program.code(setting) for setting in settings)
    return [hashlib.sha256(text.encode()).hexdigest()[:12] for text in texts]


def kept() -> Hashes:
    """What ``hashes.txt`` says."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return {name.strip(): words.split() for words, name in (line.split("  ") for line in lines)}


def keep(hashes: Hashes) -> None:
    lines = [f"{' '.join(found)}  {name}\n" for name, found in hashes.items()]
    FILE.write_text("".join(lines), encoding="utf-8")


def today(jobs: int) -> Hashes:
    """Of every program."""
    names = list(programs())
    with ProcessPoolExecutor(jobs) as pool:
        return dict(zip(names, pool.map(hashes_of, names, chunksize=8), strict=True))


def differences(before: Hashes, after: Hashes) -> Iterator[str]:
    """A line for each program whose code differs."""
    for name in before.keys() | after.keys():
        if name not in before or name not in after:
            yield f"{name}: {'new' if name in after else 'gone'}"
        elif before[name] != after[name]:
            pairs = zip(SETTINGS, before[name], after[name], strict=True)
            yield f"{name}: {'; '.join(str(s) for s, x, y in pairs if x != y)}"


def texts_of(name: str) -> Iterator[tuple[str, str]]:
    """(setting and stage, text) of a program, stage by stage."""
    program = programs()[name]
    for setting in SETTINGS:
        texts: Texts = program.texts(setting)
        yield from ((f"{setting}, {stage}", text) for stage, text in texts.items())


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """A checkout of the revision, with the extensions in C that were built here."""
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", folder, revision], check=True)
        try:
            for built in (ROOT / "nets").glob("*.so"):
                shutil.copy(built, Path(folder) / "nets")
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def first_difference(name: str, revision: str) -> str:
    """Where the program's texts differ first from those of that revision; empty if nowhere."""
    command = [sys.executable, "-m", "tests.replay", "--texts", name]
    with tree_of(revision) as tree:
        done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True, check=True)
    before = dict(json.loads(done.stdout))
    for place, text in texts_of(name):
        lines = difflib.unified_diff(
            before.get(place, "").splitlines(), text.splitlines(), revision, "now", lineterm=""
        )
        shown = list(itertools.islice(lines, LINES))
        if shown:
            return "\n".join([f"{name}: {place}", *shown])
    return ""


def compare(found: Hashes) -> list[str]:
    """Print and return what differs from ``hashes.txt``."""
    lines = sorted(differences(kept(), found))
    print("\n".join([*lines, f"{len(lines)} of {len(found)} programs have other code"]))
    return lines


def show(name: str, revision: str) -> None:
    print(first_difference(name, revision) or f"{name}: nothing differs from {revision}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("--show", metavar="NAME", nargs="?", const="")
    parser.add_argument("--against", metavar="REVISION", default="HEAD")
    parser.add_argument("--texts", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    if wanted.texts:
        json.dump(list(texts_of(wanted.texts)), sys.stdout)
    elif wanted.show:
        show(wanted.show, wanted.against)
    elif wanted.bless:
        keep(today(wanted.jobs))
    else:
        lines = compare(today(wanted.jobs))
        if lines and wanted.show is not None:
            show(lines[0].partition(": ")[0], wanted.against)
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
