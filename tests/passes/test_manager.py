"""The manager: passes by name, what happens around them, and what a failure leaves behind."""

import importlib
import pkgutil
import re
import sys
import tempfile
from pathlib import Path

import pytest

import nets.passes
from nets.errors import ConfigError, PassError, VerifyError
from nets.ir import types as t
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.types import TensorType
from nets.ops.definition.registry import lookup
from nets.passes import manager
from nets.passes.manager import (
    Options,
    Pass,
    dump,
    find_pass,
    load_all_passes,
    register_pass,
    run_pipeline,
    verify_text,
)
from nets.passes.pipelines import LOOPS, OPTIMIZE, pipeline_of
from nets.passes.table import MODULES

TEXT = """\
func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = negative %x : tensor<4xf32>
  %1 = negative %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}
"""


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Pass]:
    """A table of passes of its own, with some that misbehave."""
    table = dict(load_all_passes())
    monkeypatch.setattr(manager, "PASSES", table)

    def fails(function: Function, options: Options) -> Function:
        function.body.terminator.attributes = {"half": "done"}  # type: ignore[union-attr]
        raise KeyError("inside")

    def breaks(function: Function, options: Options) -> Function:
        function.body.first.results[0].type = TensorType((5,), t.f32)  # type: ignore[union-attr]
        return function

    def mends(function: Function, options: Options) -> Function:
        function.body.first.results[0].type = TensorType((4,), t.f32)  # type: ignore[union-attr]
        return function

    table |= {"fails": fails, "breaks": breaks, "mends": mends}
    return table


def function() -> Function:
    return parse_function(TEXT, lookup)


def test_every_pass_says_what_it_requires_and_ensures() -> None:
    for name, run in load_all_passes().items():
        assert run.__doc__, name
        assert "Requires:" in run.__doc__, name
        assert "Ensures:" in run.__doc__, name


def test_pipelines_name_passes() -> None:
    for name in (*OPTIMIZE, *LOOPS):
        assert find_pass(name)
    assert pipeline_of("default") == OPTIMIZE
    assert pipeline_of("none") == ()
    assert pipeline_of(" canonicalize, cse,") == ("canonicalize", "cse")


def test_unknown_pass() -> None:
    for name in ("optimise", "manager", "vjp", "../dce", ""):
        with pytest.raises(
            PassError, match=r"there is no pass named .*; there are canonicalize, cse"
        ):
            find_pass(name)


def test_two_passes_of_one_name(passes: dict[str, Pass]) -> None:
    with pytest.raises(TypeError, match="defined twice"):
        register_pass("dce")(passes["cse"])


@pytest.mark.usefixtures("passes")
def test_the_table_has_every_pass() -> None:
    for module in pkgutil.walk_packages(nets.passes.__path__, "nets.passes."):
        importlib.import_module(module.name)
    assert set(MODULES) <= set(manager.PASSES)
    own = {name: run.__module__ for name, run in manager.PASSES.items() if name in MODULES}
    assert own == {name: f"nets.passes.{module}" for name, module in MODULES.items()}
    others = {run.__module__ for name, run in manager.PASSES.items() if name not in MODULES}
    assert not any(module.startswith("nets.") for module in others)


def test_a_module_whose_import_was_interrupted_is_imported_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = find_pass("dce")
    # An exception in the middle of an import leaves the pass in the table, but no module.
    monkeypatch.delitem(sys.modules, "nets.passes.simplify.dce")
    after = find_pass("dce")
    assert after is not before
    assert after.__globals__ is vars(sys.modules["nets.passes.simplify.dce"])


def test_runs_in_order_and_takes_the_time() -> None:
    report: dict[str, float] = {}
    result = run_pipeline(function(), ["canonicalize", "dce", "canonicalize"], report=report)
    assert [op.name for op in result.walk()] == ["return"]
    assert list(report) == ["canonicalize", "dce"]
    assert all(seconds > 0 for seconds in report.values())
    assert print_function(run_pipeline(function(), [])) == TEXT


@pytest.mark.parametrize("folder", ["dump", None])
def test_failure_leaves_a_reproducer(
    passes: dict[str, Pass],
    folder: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if folder is not None:
        monkeypatch.setenv("NETS_DUMP_DIR", str(tmp_path / folder))
    with pytest.raises(PassError) as caught:
        run_pipeline(function(), ["cse", "fails", "dce"], Options(threads=3))
    message = str(caught.value)
    assert "pass fails failed: KeyError: 'inside'" in message
    assert isinstance(caught.value.__cause__, KeyError)
    found = re.search(r"python -m nets opt (\S+)$", message)
    assert found is not None
    path = Path(found[1])
    assert (tmp_path / "dump" == path.parent) == (folder is not None)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("// passes: cse, fails\n// options: machine=x86-64-v3, threads=3")
    assert text.endswith(TEXT), "the IR before the first pass, though the last one changed it"


def test_failure_without_a_place_for_the_reproducer(
    passes: dict[str, Pass], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NETS_DUMP_DIR", str(tmp_path / "file"))
    with pytest.raises(PassError, match="no reproducer could be written"):
        run_pipeline(function(), ["fails"])


def test_verification_around_pipelines_and_passes(
    passes: dict[str, Pass], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = passes["breaks"](function(), Options())
    for level in ("0", "1", "2"):
        monkeypatch.setenv("NETS_VERIFY", level)
        for pipeline, levels in ((["breaks"], "12"), (["breaks", "mends"], "2")):
            if level in levels:
                with pytest.raises(PassError, match="pass breaks failed: VerifyError"):
                    run_pipeline(function(), pipeline)
            else:
                run_pipeline(function(), pipeline)
        if level != "0":
            with pytest.raises(VerifyError, match="as inferred"):
                run_pipeline(broken, ["dce"])


def test_text_that_does_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    verify_text(function())
    subject, other = function(), parse_function(TEXT.replace("@f", "@g"), lookup)
    monkeypatch.setattr(manager, "parse_function", lambda text, lookup: other)
    with pytest.raises(VerifyError, match=r"printed:     func @f.*\nread back as func @g"):
        verify_text(subject)


def test_print_after(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_pipeline(function(), ["canonicalize", "dce"])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NETS_PRINT_AFTER", "all")
    run_pipeline(function(), ["cse", "canonicalize", "cse", "dce"])
    printed = re.findall("// after (.*)", capsys.readouterr().err)
    assert printed == ["canonicalize"], "only passes that changed something"
    monkeypatch.setenv("NETS_PRINT_AFTER", "canonicalize,fold")
    run_pipeline(function(), ["dce", "canonicalize", "dce"])
    assert re.findall("// after (.*)", capsys.readouterr().err) == ["canonicalize"]


def test_dumps_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dump("a.nets", "text") is None
    monkeypatch.setenv("NETS_DUMP_DIR", str(tmp_path / "deep" / "er"))
    run_pipeline(function(), ["cse", "dce"])
    dump("odd name/<f>.ll", "text")
    names = sorted(path.name for path in (tmp_path / "deep" / "er").iterdir())
    assert names == ["00-f-cse.nets", "01-f-dce.nets", "02-odd_name_f_.ll"]
    assert (tmp_path / "deep" / "er" / "00-f-cse.nets").read_text() == TEXT
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NETS_DUMP_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="NETS_DUMP_DIR"):
        dump("a", "b")
