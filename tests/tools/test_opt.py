"""``python -m nets opt``: passes over files, and clear refusals."""

import io
import os
import re
from pathlib import Path

import pytest

from nets.tools.command_line import main

TEXT = """\
func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = negative %x : tensor<4xf32>
  %1 = negative %0 : tensor<4xf32>
  return %1 : tensor<4xf32> loc("model.py":3)
}
"""

AFTER = """\
func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.nets"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets is undone."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_passes_from_the_command_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["opt", file, "--pass=canonicalize,dce"]) == 0
    assert capsys.readouterr().out == AFTER


def test_passes_from_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.nets"
    path.write_text(f"// passes: canonicalize, dce\n// options: threads=2\n// a comment\n{TEXT}")
    assert main(["opt", str(path)]) == 0
    assert capsys.readouterr().out == AFTER
    assert main(["opt", str(path), "--pass=none"]) == 0
    assert capsys.readouterr().out == TEXT.replace(' loc("model.py":3)', "")


def test_standard_input_and_locations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    assert main(["opt", "-", "--locations"]) == 0
    assert capsys.readouterr().out == TEXT


def test_print_after(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["opt", file, "--pass=canonicalize,cse,dce", "--print-after=all"]) == 0
    captured = capsys.readouterr()
    assert captured.out == AFTER
    assert re.findall("// after (.*)", captured.err) == ["canonicalize"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pass=optimise"], "there is no pass named 'optimise'; there are "),
        (["--option=thread=2"], "there is no option 'thread'; there are machine, threads"),
        (["--option=threads=two"], "option threads is of type int, which 'two' is not"),
        (["--option=machine=z80"], "nets does not compile for the CPU 'z80'"),
    ],
)
def test_what_is_not_there(
    file: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["opt", file, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, message in (("absent", "No such file"), (".", "directory"), ("binary", "UTF-8")):
        assert main(["opt", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


def test_text_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.nets"
    for text, message in (("func", "ParseError: 1:5: "), ("func @f() { yield }", "VerifyError: ")):
        path.write_text(text)
        assert main(["opt", str(path)]) == 1
        assert message in capsys.readouterr().err


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "command" in capsys.readouterr().err
