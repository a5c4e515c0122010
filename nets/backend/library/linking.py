"""Linking: the shared library of an object, by a C compiler."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nets.backend.library.library_file import sealed
from nets.backend.library.manifest import Library
from nets.errors import ExportError

_OTHER_FORMATS: Final = 'or export with formats=("a", "o", "h"), which need none'


def linked(code: bytes, file: str, aside: Path) -> bytes:
    """The shared library of an object, by the system's C compiler."""
    compiler = _compiler(file)
    source, result = aside / "linked.o", aside / "linked.so"
    source.write_bytes(code)
    command = [*compiler, "-shared", "-nostdlib", "-o", str(result), str(source), "-lc"]
    options = ["-z", "noexecstack", "-z", "relro", "-z", "now", "--build-id=none", "-s"]
    for option in [*options, "-soname", Path(file).name]:
        command += ["-Xlinker", option]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise ExportError(
            f"{_shown(compiler)} cannot be run to link {file}: {error.strerror}; set CC to a C "
            f"compiler, {_OTHER_FORMATS}"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"it exited with {done.returncode}"
        raise ExportError(
            f"{_shown(compiler)} could not link {file}; set CC to a C compiler that links shared "
            f"libraries, {_OTHER_FORMATS}. It said:\n{said}"
        )
    return result.read_bytes() if result.is_file() else b""


def with_manifest(library_file: bytes, library: Library, file: str) -> bytes:
    """The shared library with its manifest where ``nets.load`` finds it without running it."""
    try:
        return sealed(library_file, library.to_json().encode())
    except ValueError:
        raise ExportError(
            f"{_shown(_compiler(file))} ended without an error, but not with the library {file}; "
            f"set CC to a C compiler, {_OTHER_FORMATS}"
        ) from None


def _compiler(file: str) -> list[str]:
    """The command of a C compiler: CC, or what the system calls cc, gcc or clang."""
    given = os.environ.get("CC", "").strip()
    if not given:
        found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if found is None:
            raise ExportError(
                f"no C compiler to link {file} with; install one, set CC to it, {_OTHER_FORMATS}"
            )
        return [found]
    try:
        words = [given] if shutil.which(given) else shlex.split(given)
    except ValueError:  # a quotation mark alone
        words = [given]
    if shutil.which(words[0]) is None:
        raise ExportError(
            f"there is no program {words[0]!r} to link {file} with, which CC names; set CC to a C "
            f"compiler, unset it to take cc, {_OTHER_FORMATS}"
        )
    return words


def _shown(compiler: Sequence[str]) -> str:
    """The command, and where it comes from."""
    return f"{'CC=' if os.environ.get('CC', '').strip() else ''}{shlex.join(compiler)}"
