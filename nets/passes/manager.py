"""The pass manager: finds passes by their names, and does what happens around each of them.

A pass is a function from Function to Function (the same one, changed, or a new one), registered
under a name; its docstring says what it ``Requires:`` and ``Ensures:``. ``nets.passes.table`` names
the module of each, so passes load when somebody asks for them.

Around a pipeline the manager verifies (NETS_VERIFY), prints what changed (NETS_PRINT_AFTER), writes
each stage to a numbered file (NETS_DUMP_DIR) and takes the time. A pass that fails leaves a file
that ``python -m nets opt`` runs again.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from nets import config
from nets.errors import ConfigError, OpenSizeError, PassError, VerifyError
from nets.ir.clone import clone_function
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.verifier import verify_function
from nets.locks import imports
from nets.machine.machine import Machine
from nets.machine.table import V3
from nets.ops.definition.registry import lookup
from nets.passes.forms import Contract, Form
from nets.passes.table import MODULES


@dataclass(frozen=True, slots=True)
class Options:
    """What the passes may know of the processor and of the user's wishes."""

    machine: Machine = V3
    threads: int = 1
    """Threads the code may run on; 1 keeps parallel loops out."""
    failures: bool = False
    """Whether calls tell of matrices without a factor or solution by their status."""

    def __str__(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


Pass = Callable[[Function, Options], Function]

PASSES: dict[str, Pass] = {}
"""The passes of the modules imported so far; ``find_pass`` imports the others."""

Report = dict[str, float]
"""Seconds by name of the pass."""


CONTRACTS: dict[str, Contract] = {}
"""What the passes say of the forms of IR."""


def register_pass(
    name: str,
    *,
    requires: tuple[Form, ...] = (),
    ensures: tuple[Form, ...] = (),
    ends: tuple[Form, ...] = (),
) -> Callable[[Pass], Pass]:
    """Decorator: enter a pass under its name, with the forms of its contract."""

    def enter(run: Pass) -> Pass:
        # A module whose import was interrupted is run again.
        if name in PASSES and PASSES[name].__module__ != run.__module__:
            raise TypeError(f"pass {name} is defined twice")
        PASSES[name] = run
        CONTRACTS[name] = Contract(requires, ensures, ends)
        return run

    return enter


def find_pass(name: str) -> Pass:
    """The pass of that name; PassError with the names there are."""
    if name in MODULES:
        # Even where PASSES has it: the import may have been interrupted after the pass was
        # entered, or be running in another thread, which is waited for.
        _load(name)
    if name not in PASSES:
        known = ", ".join(sorted(load_all_passes()))
        raise PassError(f"there is no pass named {name!r}; there are {known}")
    return PASSES[name]


def load_all_passes() -> dict[str, Pass]:
    """Every pass there is, by name."""
    for name in MODULES:
        _load(name)
    return PASSES


def _load(name: str) -> None:
    with imports.inside():
        importlib.import_module(f"nets.passes.{MODULES[name]}")


config.know_passes(load_all_passes)


def run_pipeline(
    function: Function,
    passes: Sequence[str],
    options: Options | None = None,
    report: Report | None = None,
    *,
    verified: bool = False,
) -> Function:
    """Run the passes in order on a copy of the function.

    ``report`` gains the seconds of each pass. ``verified`` says that the function is what another
    pipeline gave. VerifyError where the function is broken from the start; PassError, naming a file
    that repeats the failure, where a pass fails; OpenSizeError, with the user's line, where one
    needs a size that only a call tells.
    """
    options = options or Options()
    pipeline = [(name, find_pass(name)) for name in passes]
    level = config.VERIFY.get()
    if level and not verified:
        verify_function(function)
    # Passes change the function in place, and a failure must be repeatable from the start.
    original, function = function, clone_function(function)
    narrator, forms = _Narrator(function), KnownForms()
    for done, (name, run) in enumerate(pipeline, 1):
        try:
            if level:
                forms.check_before(name, function)
            start = time.perf_counter()
            function = run(function, options)
            seconds = time.perf_counter() - start
            if level == 2:
                verify_function(function)
                verify_text(function)
                forms.check_kept(name, function)
            elif level == 1 and done == len(pipeline):
                verify_function(function)
        except (PassError, OpenSizeError, MemoryError):
            raise
        except Exception as error:
            raise _failure(original, passes[:done], options, error) from error
        if report is not None:
            report[name] = report.get(name, 0.0) + seconds
        narrator.after(name, function)
    return function


def verify_text(function: Function) -> None:
    """VerifyError unless the text of the function reads back to the same text."""
    text = print_function(function, locations=True)
    again = print_function(parse_function(text, lookup), locations=True)
    if text != again:
        pairs = zip(text.splitlines(), again.splitlines(), strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        raise VerifyError(f"printed:     {first[0]}\nread back as {first[1]}")


def _contract_of(name: str) -> Contract:
    """What a pass says of the forms of IR; nothing, where it was entered into PASSES alone."""
    return CONTRACTS.get(name, Contract())


class KnownForms:
    """The forms that a function had before, or the passes so far ensure, and none has ended."""

    def __init__(self) -> None:
        self._known: dict[Form, None] = {}

    def check_before(self, name: str, function: Function) -> None:
        """PassError where the function has not the forms the pass requires, as far as not known."""
        contract = _contract_of(name)
        for form in contract.requires:
            if form not in self._known:
                form.check(function, f"{name} requires")
        known = dict.fromkeys((*self._known, *contract.requires, *contract.ensures))
        self._known = {form: None for form in known if form not in contract.ends}

    def check_kept(self, name: str, function: Function) -> None:
        """PassError where the pass has not ensured what it says, or lost what held before."""
        ensured = _contract_of(name).ensures
        for form in self._known:
            verb = "ensures" if form in ensured else "is to keep"
            form.check(function, f"{name} {verb}")


class _Narrator:
    """Prints and dumps the stages that are asked for; does nothing where none is."""

    def __init__(self, function: Function) -> None:
        self._wanted = config.PRINT_AFTER.get()
        self._text = print_function(function) if self._wanted else ""

    def after(self, name: str, function: Function) -> None:
        if self._wanted:
            text = print_function(function)
            if text != self._text and self._wanted & {name, "all"}:
                print(f"// after {name}\n{text}", file=sys.stderr)
            self._text = text
        if config.DUMP_DIR.get():
            dump(f"{function.name}-{name}.nets", print_function(function))


def dump(name: str, text: str) -> Path | None:
    """Write one stage to the next numbered file of NETS_DUMP_DIR; None where that is not set."""
    if not config.DUMP_DIR.get():
        return None
    folder = Path(config.DUMP_DIR.get())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [re.match(r"\d+(?=-)", path.name) for path in folder.iterdir()]
        number = 1 + max((int(found[0]) for found in numbers if found), default=-1)
        path = folder / f"{number:02}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}"
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"NETS_DUMP_DIR={str(folder)!r} cannot be written: {error}") from None
    return path


def _failure(
    original: Function, passes: Sequence[str], options: Options, error: Exception
) -> PassError:
    """The error for the last of these passes, with the file that repeats it."""
    text = (
        f"// passes: {', '.join(passes)}\n// options: {options}\n"
        f"{print_function(original, locations=True)}"
    )
    message = f"pass {passes[-1]} failed: {type(error).__name__}: {error}"
    try:
        path = dump(f"{original.name}-reproducer.nets", text)
        if path is None:
            path = Path(tempfile.mkdtemp(prefix="nets-")) / "reproducer.nets"
            path.write_text(text, encoding="utf-8")
    except (OSError, ConfigError) as trouble:
        return PassError(f"{message}\nno reproducer could be written: {trouble}")
    return PassError(f"{message}\nto repeat it: python -m nets opt {path}")
