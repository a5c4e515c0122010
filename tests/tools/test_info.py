"""``python -m nets info``, in this process and as a command."""

import subprocess
import sys

import pytest

from nets import config
from nets.tools.command_line import main


def test_shows_versions_cpu_and_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_VERIFY", "2")
    monkeypatch.setenv("NETS_CHECK", "perhaps")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for title in ("nets", "python", "numpy", "llvmlite", "cffi", "LLVM", "CPU", "cache"):
        assert f"\n{title} " in f"\n{out}"
    for variable in config.TABLE:
        assert f"{variable.name} " in out
        assert variable.help in out
    assert "2 (set)" in out
    assert "perhaps (wrong)" in out


def test_unknown_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NETS_CPU", "z80")
    assert main(["info"]) == 0
    assert "cannot compile here" in capsys.readouterr().out


def test_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "nets", "info"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "environment" in done.stdout
    assert done.stderr == ""
