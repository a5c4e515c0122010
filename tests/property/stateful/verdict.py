"""Verdicts: a program's runs held to what they must give.

What must come is said by NumPy for programs of tensors alone, and by the plain function run
eagerly, with transforms by eager backward passes, for the others. A run that refuses with an error
of nets what the plain one does is a refusal; any other difference is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.property.stateful.generator import by_numpy, exports
from tests.property.stateful.observe import difference
from tests.property.stateful.program import Program
from tests.property.stateful.worlds import Raised, Record, run


@dataclass(frozen=True)
class Verdict:
    """``what``: same, refused, wrong, or invalid where the plain run fails: a mistake of the
    program. ``mode``: the run that differs. ``reason``: how."""

    what: str
    mode: str = ""
    reason: str = ""

    @property
    def sort(self) -> str:
        """The reason without what depends on the program."""
        text = re.sub(r"^call \d+: ", "", self.reason.split("\n")[0])
        if text.startswith(("result", "held")) and "cannot be read" not in text:
            return text.split(".")[0].split("[")[0].split(":")[0] + " differs"
        return re.sub(r"'[^']*'|\d+", "·", text)[:100]


def verdict(program: Program, native: bool = False, exported: bool = False) -> Verdict:
    """The first run that is wrong, else the first that is refused, else "same"."""
    modes = ["plain", "reference", *(["native"] if native else [])]
    if uses_transforms(program):
        modes.insert(1, "eager")
    if exported and exports(program):
        modes.append("exported")
    if by_numpy(program):
        modes.insert(0, "numpy")
    want = run(program, modes[0])
    if not is_valid(want):
        return Verdict("invalid", modes[0], str(want[-1].outcome if want else "no call"))
    refused = None
    for mode in modes[1:]:
        found = compared(want, run(program, mode), mode)
        if found is not None and found.what == "wrong":
            return found
        refused = refused or found
    return refused or Verdict("same")


def uses_transforms(program: Program) -> bool:
    return bool(re.search(r"\b(grad|value_and_grad|vjp)\(", program.text))


def is_valid(records: list[Record]) -> bool:
    """Whether the program ended, or as nets or NumPy may refuse what it does."""
    if not records or records[-1].held is None:
        return False
    last = records[-1].outcome
    return not isinstance(last, Raised) or last.is_planned or last.is_expected


def compared(want: list[Record], got: list[Record], mode: str) -> Verdict | None:
    """None where all calls agree."""
    for number, wanted in enumerate(want):
        if number >= len(got):
            return Verdict("wrong", mode, f"call {number}: the program ended before")
        found = _compared(wanted, got[number], mode)
        if found is not None:
            return Verdict(found.what, mode, f"call {number}: {found.reason}")
    return None


def _compared(want: Record, got: Record, mode: str) -> Verdict | None:
    raised, wanted = got.outcome, want.outcome
    if isinstance(wanted, Raised):
        if not isinstance(raised, Raised):
            return Verdict("wrong", mode, f"no error in place of {wanted}")
        if wanted.is_planned and type(raised.error) is not type(wanted.error):
            return Verdict("wrong", mode, f"{raised} in place of {wanted}")
        return None
    if isinstance(raised, Raised):
        return Verdict("refused" if raised.is_refusal else "wrong", mode, str(raised))
    found = difference(wanted, raised, "result")
    if not found and mode != "exported":
        found = difference(want.held, got.held, "held")
        if not found and want.pattern != got.pattern:
            found = "held: other objects are the same ones"
    return Verdict("wrong", mode, found) if found else None
