"""``python -m nets bench`` on two small workloads; what it measures is not looked at."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import machine
from nets.tools import bench
from nets.tools.command_line import main

SMALL = ("sgemm/32", "sgemm/37x53x91")


@pytest.mark.long
def test_measures_compares_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, measured = machine.measure, []

    def once(*wanted: Any) -> Any:
        """The second time, for what has changed meanwhile, the limits of the first."""
        measured.extend([] if measured else [measure(*wanted)])
        return measured[0]

    monkeypatch.setattr(machine, "measure", once)
    files = {kind: tmp_path / f"bench.{kind}" for kind in ("json", "svg", "table")}
    files["table"].write_text("before\n<!-- measured -->\nold\n<!-- end -->\nafter\n")
    options = ["--quick", "--threads", "1", "--peers", "nets,numpy", "--only", ",".join(SMALL)]
    for name, path in files.items():
        options += [f"--{name}", str(path)]
    assert main(["bench", *options]) == 0

    found = json.loads(files["json"].read_text())
    assert found["machine"]["limits"][0]["flops"]["float32"] > 0
    assert set(found["versions"]) == {"nets", "numpy"}
    assert [row["workload"] for row in found["rows"]] == list(SMALL)
    for row in found["rows"]:
        assert row["best_peer"] == "numpy"
        assert not row["failed"]
        assert row["systems"]["nets"]["error"] <= row["tolerance"]
        for times in row["systems"].values():
            assert 0 < times["min"] <= times["median"] <= times["max"]

    ElementTree.fromstring(files["svg"].read_text())
    page = files["table"].read_text()
    assert page.startswith("before\n<!-- measured -->\n")
    assert page.endswith("<!-- end -->\nafter\n")
    assert "old" not in page
    out = capsys.readouterr().out
    for name in SMALL:
        assert f"\n{name} " in out
        assert f"\n| {name}: " in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "soup"], "no workload 'soup'"),
        (["--peers", "abacus"], "no system 'abacus'"),
        (["--threads", "many"], "not 'many'"),
    ],
)
def test_refuses_what_is_not_there(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--peers", "nets", *options]) == 2
    assert message in capsys.readouterr().err


def test_without_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    assert main(["bench"]) == 2
    assert "come with the source of nets" in capsys.readouterr().err


def test_options_given_again_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list", "--only", SMALL[0], "--only", f"{SMALL[1]},heat"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {name.split("/")[0] for name in names} == {"sgemm", "heat"}
    assert set(SMALL) < set(names)


def test_in_a_checkout_that_is_not_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "obstacle", lambda: "nets was installed without its parts in C")
    assert main(["bench", "--only", SMALL[0]]) == 2
    assert "without its parts in C" in capsys.readouterr().err
    assert main(["bench", "--only", SMALL[0], "--list"]) == 0
