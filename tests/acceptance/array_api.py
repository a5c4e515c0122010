"""The published suite of the array API standard, run on nets: github.com/data-apis/array-api-tests.

    python -m tests.acceptance.array_api [SUITE STANDARD] [options and tests for pytest]

SUITE and STANDARD are folders with the source of array-api-tests and of array-api, which describes
the standard. Without them the commits in ``PINNED`` are fetched into ``build/``, once; where their
repositories cannot be reached, that is said and nothing is run. The suite needs hypothesis, ndindex
and pytest-json-report (``pip install nets-compiler[standard]``). Nothing is written to the folders:
a copy is patched, in the one place where it takes complex numbers to be there, and run. What
``array_api_skips.txt`` lists is left out; where the whole suite is run, a line of it that fits no
test is an error.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

PINNED = {
    "array-api-tests": "55fcc60179efa2680ddd6cd926ddf17b83530e2b",
    "array-api": "8884c406ff8a3b81ab836cefcacb08bc4a92ae18",
}
"""The commits that nets was last measured with."""

SOURCE = "https://github.com/data-apis/"
PATIENCE = 60.0
"""Seconds for each repository to answer."""

VERSION = "2024.12"
SKIPS = Path(__file__).with_name("array_api_skips.txt")
ROOT = Path(__file__).parent.parent.parent

WIDEST = "for dt in complex_dtypes], key=lambda x: x[1]\n"
"""Where the suite looks for the largest complex dtype, in ``dtype_helpers.py``."""


def patterns() -> list[str]:
    lines = SKIPS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_like(name: str, pattern: str) -> bool:
    """Does a test have a name of this pattern, in which brackets stand for themselves?"""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is listed; this file is a plugin of the run that it starts."""
    found = set()
    for item in list(items):
        fitting = [pattern for pattern in patterns() if is_like(item.nodeid, pattern)]
        found.update(fitting)
        if fitting:
            items.remove(item)
    if os.environ.get("NETS_ARRAY_API_WHOLE") and len(found) < len(patterns()):
        raise pytest.UsageError(f"no test is like {sorted(set(patterns()) - found)}")


def fetched(name: str) -> Path | None:
    """The folder of a repository at its pinned commit; None where it cannot be had."""
    folder = ROOT / "build" / f"{name}-{PINNED[name][:7]}"
    if folder.exists():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        here = Path(place) / name
        steps = (
            ("init", "--quiet", str(here)),
            ("-C", str(here), "fetch", "--quiet", "--depth", "1", SOURCE + name, PINNED[name]),
            ("-C", str(here), "checkout", "--quiet", "FETCH_HEAD"),
        )
        if not all(map(_git, steps)):
            return None
        here.rename(folder)
    return folder


def _git(words: Sequence[str]) -> bool:
    """Whether git did it, in time and without asking for a password."""
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(("git", *words), env=settings, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def copied(suite: Path, standard: Path, folder: Path) -> Path:
    """A copy of the suite, with the standard where it looks for it."""
    ignored = shutil.ignore_patterns(".git", ".hypothesis", "__pycache__", "array-api")
    here = Path(shutil.copytree(suite, folder / "suite", ignore=ignored))
    shutil.copytree(standard, here / "array-api", ignore=shutil.ignore_patterns(".git"))
    helpers = here / "array_api_tests" / "dtype_helpers.py"
    text = helpers.read_text(encoding="utf-8")
    if text.count(WIDEST) != 1:
        raise SystemExit(f"{suite} is another version than {PINNED['array-api-tests']}")
    patched = text.replace(WIDEST, WIDEST.replace("\n", ", default=(None, 0)\n"))
    helpers.write_text(patched, encoding="utf-8")
    return here


def run(suite: Path, standard: Path, options: list[str]) -> int:
    """The exit code of pytest over the suite, or over the tests of it that are named."""
    settings = {
        "ARRAY_API_TESTS_MODULE": "nets",
        "ARRAY_API_TESTS_VERSION": VERSION,
        "ARRAY_API_TESTS_SKIP_DTYPES": "complex64,complex128",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    is_whole = not any("array_api_tests" in option for option in options)
    if is_whole:
        settings["NETS_ARRAY_API_WHOLE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        here = copied(suite, standard, Path(folder))
        command = [sys.executable, "-m", "pytest", "-p", "tests.acceptance.array_api"]
        command += ["-p", "no:cacheprovider", "--disable-deadline", "-q", *options]
        command += ["array_api_tests"] * is_whole
        return subprocess.run(command, cwd=here, env={**os.environ, **settings}).returncode


def main(words: Sequence[str]) -> int:
    """The exit code for the words of the command line."""
    given = [Path(word) for word in words[:2] if Path(word).is_dir()]
    if len(given) == len(PINNED):
        return run(*given, list(words[2:]))
    found = [folder for name in PINNED if (folder := fetched(name)) is not None]
    if len(found) < len(PINNED):
        print(f"The suite of the array API standard cannot be had from {SOURCE}: it is left out.")
        return 0
    return run(*found, list(words))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
