"""Builds the C tests of the runtime with the sanitizers of the system's compiler, and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = {"memory": "address,undefined", "threads": "thread"}
OBJECTS = {"whole": (), "whole-no-plt": ("-fno-plt",), "small": (), "foreign": (), "endless": ()}
"""Object → flags; the part of the name before the first dash is its source."""

LONG = pytest.mark.long
"""For programs with a sanitizer of their own, which take seconds to build."""


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Standard error of a command that must succeed, and say nothing, within a minute."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler")
    return found


class Programs:
    """The test program, built once per sanitizer."""

    def __init__(self, compiler: str, folder: Path) -> None:
        self._compiler = compiler
        self._folder = folder

    def get(self, kind: str) -> Path:
        program = self._folder / kind
        if not program.exists():
            flag = f"-fsanitize={SANITIZERS[kind]}"
            self._require(flag)
            sources = [*RUNTIME.glob("*.c"), *(RUNTIME / "tests").glob("*.c")]
            extra = ("-g", "-O0", "-fno-sanitize-recover=all", flag, "-pthread")
            _run([self._compiler, *WARNINGS, *extra, *sources, "-o", program])
        return program

    def _require(self, flag: str) -> None:
        source = self._folder / "empty.c"
        source.write_text("int main(void) { return 0; }\n")
        command = (self._compiler, flag, source, "-o", self._folder / "empty")
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip(f"the compiler has no runtime for {flag}")


@pytest.fixture(scope="module")
def programs(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(compiler, tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def objects(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of relocatable objects, built without sanitizers, as the code generator's are."""
    folder = tmp_path_factory.mktemp("objects")
    for name, flags in OBJECTS.items():
        source = RUNTIME / "tests" / "objects" / f"{name.partition('-')[0]}.c"
        plain = ("-c", "-O2", "-fPIC", "-fno-stack-protector")
        _run([compiler, *WARNINGS, *plain, *flags, source, "-o", folder / f"{name}.o"])
    return folder


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        *(("memory", group) for group in ("arena", "call", "pool", "fork")),
        # The thread sanitizer does not follow programs that fork and then start threads.
        *(pytest.param("threads", group, marks=LONG) for group in ("arena", "call", "pool")),
    ],
)
def test_group(programs: Programs, kind: str, group: str) -> None:
    assert _run([programs.get(kind), group]) == ""


def test_code_loader(programs: Programs, objects: Path) -> None:
    options = {"ASAN_OPTIONS": "allocator_may_return_null=1"}
    assert _run([programs.get("memory"), "code", objects], options) == ""


@pytest.mark.parametrize("group", ["interrupt", "interrupt-fork"])
def test_interrupts(programs: Programs, objects: Path, group: str) -> None:
    # The thread sanitizer holds signals back from code without system calls.
    assert _run([programs.get("memory"), group, objects]) == ""


def test_compiles_optimized_without_warnings(compiler: str, tmp_path: Path) -> None:
    for source in RUNTIME.glob("*.c"):
        _run([compiler, *WARNINGS, "-O3", "-c", source, "-o", tmp_path / "object.o"])


def test_header_is_also_for_cpp(compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "includes.cc"
    source.write_text('#include "nets_runtime.h"\nnets_entry entry;\n')
    works = tmp_path / "empty.cc"
    works.write_text("")
    command = (compiler, "-c", "-o", tmp_path / "object.o")
    if subprocess.run([*command, works], capture_output=True).returncode != 0:
        pytest.skip("no C++ compiler")
    _run([*command, "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{RUNTIME}", source])
