"""Tracebacks: the user's frames and no others, wherever an error is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nets
from nets import tracebacks

INSIDE = str(Path(nets.__file__).parent)


@pytest.fixture(autouse=True)
def _users_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_TRACEBACK", "user")


MODEL = """
    import numpy as np
    import nets
    from nets import nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(12, 4))

        def forward(self, x):
            return self.encoder(x)

    model = Model()
    optimizer = nets.optim.SGD(model.parameters(), lr=0.1)

    @nets.trace
    def step(x, y):
        loss = nn.MSELoss()(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step(np.zeros((5, 8), "float32"), np.zeros((5, 4), "float32"))
"""

EAGER = """
    import nets
    nets.zeros((2, 3)) @ nets.zeros((4, 5))
"""

THREAD = """
    import threading
    import nets
    thread = threading.Thread(target=lambda: nets.zeros((2, 3)) @ nets.zeros((4, 5)))
    thread.start()
    thread.join()
"""


def printed(text: str, *options: str, **variables: str) -> list[str]:
    """The lines that Python prints when it runs a program that fails."""
    command = [sys.executable, *(options or ("-c", textwrap.dedent(text)))]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(**variables))
    return ran.stderr.splitlines()


def environment(**variables: str) -> dict[str, str]:
    root = str(Path(nets.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, **variables}


@pytest.mark.parametrize(
    ("text", "is_file"), [(MODEL, True), (EAGER, False), (EAGER, True), (THREAD, False)]
)
@pytest.mark.sampled(4)
def test_what_python_prints_is_short_and_the_users(
    text: str, is_file: bool, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    lines = printed("", str(script)) if is_file else printed(text)
    assert "ShapeError" in "\n".join(lines)
    assert not [line for line in lines if INSIDE in line]
    assert len(lines) <= 20


@pytest.mark.parametrize("text", [MODEL, THREAD])
def test_the_switch_shows_all_frames(text: str) -> None:
    lines = printed(text, NETS_TRACEBACK="full")
    assert [line for line in lines if INSIDE in line]


def test_a_wrong_word_in_the_switch_does_not_hide_the_error() -> None:
    assert "ShapeError" in "\n".join(printed(EAGER, NETS_TRACEBACK="short"))


def test_the_hook_that_was_there_before_still_prints() -> None:
    lines = printed("""
        import sys
        sys.excepthook = lambda kind, error, first: print("mine:", kind.__name__, file=sys.stderr)
        import nets
        nets.zeros((2, 3)) @ nets.zeros((4, 5))
    """)
    assert lines == ["mine: ShapeError"]


def test_errors_of_other_libraries_are_left_alone() -> None:
    lines = printed("import nets, json\njson.loads('{')")
    assert [line for line in lines if "decoder.py" in line]


# ------------------------------------------------------------------ errors that are caught


def frames(function: Any, *args: Any) -> list[str]:
    """The files of the traceback of what a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (of any kind)
        function(*args)
    return [entry.filename for entry in traceback.extract_tb(caught.value.__traceback__)]


@pytest.mark.parametrize("transform", [nets.trace, nets.grad, nets.value_and_grad])
def test_what_leaves_a_traced_function_shows_the_users_frames(transform: Any) -> None:
    def wrong_shape(x: Any) -> Any:
        with nets.no_grad():
            return (x @ nets.zeros((7, 9))).sum()

    assert set(frames(transform(wrong_shape), np.zeros((2, 3)))) == {__file__}
    assert set(frames(transform(wrong_shape), "text")) == {__file__}


def test_errors_of_the_users_own_code_lose_the_frames_between() -> None:
    def wrong_key(params: Any) -> Any:
        return params["W"]

    traced = nets.trace(wrong_key)
    with pytest.raises(KeyError) as caught:
        traced({"w": 1.0})
    assert {e.filename for e in traceback.extract_tb(caught.value.__traceback__)} == {__file__}


def test_the_errors_an_error_comes_from_are_short_too() -> None:
    def chained(x: Any) -> Any:
        try:
            return x @ nets.zeros((7, 9))
        except nets.errors.ShapeError as error:
            raise RuntimeError("no") from error

    with pytest.raises(RuntimeError) as caught:
        nets.trace(chained)(np.zeros((2, 3)))
    cause = caught.value.__cause__
    assert cause is not None
    assert {e.filename for e in traceback.extract_tb(cause.__traceback__)} == {__file__}


def test_what_goes_wrong_inside_nets_keeps_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = nets.trace(lambda x: x + 1)
    code = compile("def call(*_): return [][1]", INSIDE + "/frontend/broken.py", "exec")
    space: dict[str, Any] = {}
    exec(code, space)
    monkeypatch.setattr(type(inner.binding), "sorted", space["call"])
    assert any(name.startswith(INSIDE) for name in frames(inner, 1.0))


def test_the_switch_keeps_the_frames_of_what_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_TRACEBACK", "full")
    found = frames(nets.trace(lambda x: x @ nets.zeros((7, 9))), np.zeros((2, 3)))
    assert any(name.startswith(INSIDE) for name in found)


def test_recursion_without_end_is_one_short_error() -> None:
    def endless(x: Any) -> Any:
        return endless(x + 1)

    with pytest.raises(nets.errors.TraceError) as caught:
        nets.trace(endless)(1.0)
    assert caught.value.__suppress_context__


# ------------------------------------------------------------------------------- notebooks


class Shell:
    """As much of IPython's shell as an error asks for."""

    def __init__(self) -> None:
        names = {"/tmp/ipykernel_7/123.py": ("Cell", "In[3]")}
        self.compile = SimpleNamespace(format_code_name=names.get)
        self.InteractiveTB = SimpleNamespace(structured_traceback=self.rendered)

    def rendered(self, kind: type, error: BaseException, first: Any, tb_offset: int) -> list[str]:
        return [kind.__name__, *(e.filename for e in traceback.extract_tb(first))]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell()
    module = SimpleNamespace(get_ipython=lambda: made)
    monkeypatch.setitem(sys.modules, "IPython", module)  # type: ignore[misc]
    return made


def test_cells_have_the_names_that_ipython_gives_them(shell: Shell) -> None:
    cell = compile("\nf = lambda x: x @ nets.zeros((7, 9))", "/tmp/ipykernel_7/123.py", "exec")
    space = {"nets": nets}
    exec(cell, space)
    with pytest.raises(nets.errors.ShapeError) as caught:
        nets.trace(space["f"])(np.zeros((2, 3)))  # type: ignore[arg-type]
    assert "at Cell In[3], line 2" in str(caught.value)


def test_notebooks_show_the_users_frames(shell: Shell) -> None:
    with pytest.raises(nets.errors.ShapeError) as caught:
        nets.zeros((2, 3)) @ nets.zeros((4, 5))
    assert set(caught.value._render_traceback_()) == {"ShapeError", __file__}


def test_without_a_shell_the_lines_are_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracebacks, "ipython", lambda: None)
    lines = nets.errors.ShapeError("no")._render_traceback_()
    assert lines == ["nets.errors.ShapeError: no\n"]
