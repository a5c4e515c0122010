"""``python -m nets info``, in this process and as a command."""

import subprocess
import sys
from pathlib import Path

import pytest

import nets
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


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"nets {nets.__version__}\n"


@pytest.mark.parametrize(
    ("variable", "known"), [(config.LOG, "retrace"), (config.PRINT_AFTER, "canonicalize")]
)
def test_lists_of_words_refuse_what_is_not_known(
    variable: config.Variable, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable.name, known)
    assert variable.get() == {known}
    monkeypatch.setenv(variable.name, f"{known}, soup")
    with pytest.raises(nets.errors.ConfigError, match=rf"soup.*{known}"):
        variable.get()


def test_stages_are_shown_of_functions_that_are_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    assert nets.trace(lambda x: x + 1)(1.0).item() == 2
    monkeypatch.setenv("NETS_PRINT_AFTER", "fuse,lower_to_loops")
    assert nets.trace(lambda x: x + 1)(1.0).item() == 2
    assert "// after lower_to_loops" in capsys.readouterr().err
