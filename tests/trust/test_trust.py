"""The commands of ``make trust``, with a few cases each; and its table names what there is."""

from __future__ import annotations

import importlib.util

import pytest

from tests.trust import equivalent, pages, planted, texts
from tests.trust.__main__ import COMMANDS, PROPERTIES, ROOT


def test_equivalent_programs_have_the_same_bits() -> None:
    assert not equivalent.wrong_ones(range(12))


def test_a_disguise_that_changes_a_bit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def added(b: equivalent.GraphEmitter, x: equivalent.Value, choose: object) -> equivalent.Value:
        return x if x.type.dtype == equivalent.bool_ else b.add(x, b.zero(x))  # −0 becomes 0

    monkeypatch.setattr(equivalent, "DISGUISES", (added,))
    assert any(equivalent.wrong_ones([seed]) for seed in (25, *range(100)))


def test_every_planted_fault_has_its_place() -> None:
    """What is right stands there once, and the tests that are to find the fault exist."""
    for fault in planted.FAULTS:
        text = (ROOT / fault.file).read_text(encoding="utf-8")
        assert text.count(fault.right) == 1, fault
        assert all((ROOT / test).exists() for test in fault.tests), fault


def test_damaged_texts_are_refused_or_valid() -> None:
    base = [texts.text_of(number) for number in range(8)]
    assert all(map(texts.examine, base))
    valid = sum(
        texts.examine(texts.damaged(base[seed % 8], texts.random.Random(seed)))
        for seed in range(100)
    )
    assert 0 < valid < 50


def test_calls_between_forbidden_pages() -> None:
    assert pages.check(3) == 12


@pytest.mark.long
def test_graphs_of_nnsmith() -> None:
    pytest.importorskip("nnsmith")
    from tests.trust import graphs, ways

    for seed in range(2):
        graph = graphs.Graph(seed, 8)
        graphs.check(graphs.program(graph)[0], graph.arrays)
    ways.check(0, in_c=False)


def test_the_table_names_what_there_is() -> None:
    for it in PROPERTIES:
        for path in it.tests:
            place = ROOT / "tests" / path
            assert place.is_dir() or place.with_suffix(".py").exists(), path
        assert set(it.commands) <= set(COMMANDS)
        assert it.tests or it.commands
    assert [it.number for it in PROPERTIES] == list(range(1, 29))
    for command in COMMANDS.values():
        assert importlib.util.find_spec(command.split()[0])
