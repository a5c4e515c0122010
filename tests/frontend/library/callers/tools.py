"""Compilers and programs of other languages, where they are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CARGO = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo", "bin")


def program(name: str) -> str:
    """The program of that name, also of Rust where it is not on the PATH; the test is skipped where
    there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(CARGO))
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints in that folder; the test fails where it does."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"[:5000]
    return done.stdout
