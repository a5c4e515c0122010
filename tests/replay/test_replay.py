"""Some programs have the code that ``hashes.txt`` tells of; ``python -m tests.replay`` asks all."""

from __future__ import annotations

import pytest

from tests.replay.__main__ import differences, hashes_of, kept, texts_of
from tests.replay.programs import SETTINGS, programs

QUICK = [*(name for name in programs() if name.startswith("corpus")), "library, 1"]


def test_every_program_has_its_hashes() -> None:
    assert kept().keys() == programs().keys()
    assert all(len(found) == len(SETTINGS) for found in kept().values())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.sampled(4)
def test_code_is_what_it_was(name: str) -> None:
    i = QUICK.index(name) % len(SETTINGS)
    assert hashes_of(name, [SETTINGS[i]]) == [kept()[name][i]], (
        f"`python -m tests.replay --show '{name}'` shows what changed; see tests/replay/__main__.py"
    )


def test_differences_are_named() -> None:
    before = {"kept": ["0"] * 4, "changed": ["0"] * 4, "gone": ["0"] * 4}
    after = {"kept": ["0"] * 4, "changed": ["0", "1", "0", "1"], "new": ["0"] * 4}
    changed = f"changed: {SETTINGS[1]}; {SETTINGS[3]}"
    assert sorted(differences(before, after)) == [changed, "gone: gone", "new: new"]


def test_stages_lie_in_the_order_of_the_flow() -> None:
    places = [place.split(", ")[-1] for place, _ in texts_of("random, 1")]
    assert places == ["traced", "optimized", "loops", "LLVM IR"] * len(SETTINGS)
