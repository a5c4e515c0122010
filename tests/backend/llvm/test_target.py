"""LLVM's part of the work: what it is given is given back, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest

from nets.backend.llvm import target
from nets.backend.llvm.constants import LargeData
from nets.errors import CompileError

TEXT = "define i32 @f() { ret i32 1 }"


def test_modules_are_closed_before_their_context(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    found: list[Any] = []

    def fail(module: Any, machine: object, *, as_text: bool = False) -> bytes:
        found.extend((module, module._context))
        for what, name in ((module, "module"), (module._context, "context")):
            dispose = what._dispose
            monkeypatch.setattr(
                what, "_dispose", lambda d=dispose, n=name: (closed.append(n), d()), raising=False
            )
        raise KeyboardInterrupt

    monkeypatch.setattr(target, "_emit", fail)
    with pytest.raises(KeyboardInterrupt):
        target.object_code(TEXT, target.host())
    assert closed == ["module", "context"]


def test_text_that_is_no_module() -> None:
    with pytest.raises(CompileError, match="LLVM does not accept the module"):
        target.linked_object_code([TEXT, "define"], ["f"], LargeData(), target.host())
