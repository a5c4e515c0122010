"""Random stateful programs do traced what they do plainly; and what compares them sees mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import nets
from tests.property.lifecycle import Choice, Found, examine, hunt
from tests.property.stateful import KINDS, random_program
from tests.property.stateful.generator import by_numpy
from tests.property.stateful.observe import Look, difference, result
from tests.property.stateful.program import Program, Statement
from tests.property.stateful.verdict import compared, is_valid, verdict
from tests.property.stateful.worlds import run

PROGRAMS = 50
REFUSED = 0.02


def wrong(found: list[Found]) -> str:
    return "\n\n".join(str(one) for one in found if one.verdict.what in ("wrong", "invalid"))


@pytest.mark.long
def test_programs() -> None:
    found = hunt(range(PROGRAMS), Choice(native=10))
    assert not wrong(found)
    refused = [one for one in found if one.verdict.what == "refused"]
    assert len(refused) <= REFUSED * PROGRAMS, "\n\n".join(map(str, refused))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].weight])
@pytest.mark.sampled(7)
def test_kind(kind: str) -> None:
    """Programs of one kind alone: every kind is tried, however rare it is."""
    assert not wrong([examine(0, Choice(only=(kind,), native=0, size=2))])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].weight])
def test_a_kind_runs_plainly(kind: str) -> None:
    """Those of no weight; ``test_kind`` runs the others so as well."""
    program = random_program(1, only=(kind,), size=2)
    for mode in ("plain", *(["numpy"] if by_numpy(program) else [])):
        assert is_valid(run(program, mode)), program.script()


def test_a_seed_is_a_program() -> None:
    for seed in range(20):
        assert random_program(seed).text == random_program(seed).text


# -------------------------------------------------------------- what compares them sees mistakes


def program(step: str, *script: str) -> Program:
    """One of a list that holds a tensor."""
    made = (
        Statement("setup", "h1 = [0.5, nets.Tensor([1.0, 2.0, 3.0])]", "list"),
        Statement("step", step, "read"),
        Statement("watch", "'h1': h1", "list"),
        *(Statement("script", text, "") for text in script),
    )
    base = random_program(0, only=("read", "list"))
    return replace(base, flavor="function", statements=made, names=frozenset())


def tensors(args: tuple[Any, ...]) -> list[Any]:
    return [nets.Tensor(x) if isinstance(x, np.ndarray) else x for x in args]


def losing(function: Any) -> Any:
    """A trace whose calls change nothing outside."""

    def run(*args: Any) -> Any:
        held = function.__globals__["h1"][1]
        before = held.numpy()
        found = function(*tensors(args))
        held.data = before
        return found

    return run


def stale(function: Any) -> Any:
    """A trace that repeats its first call."""
    kept: list[Any] = []

    def run(*args: Any) -> Any:
        kept[:] = kept or [function(*tensors(args))]
        return kept[0]

    return run


def failing(function: Any) -> Any:
    """A trace that fails with an error of its own making."""

    def run(*args: Any) -> Any:
        raise KeyError("from inside")

    return run


def test_agreement() -> None:
    found = verdict(program("h1[1][0] = x[1]\nreturn h1[1] * 1", "CALL 0", "CALL 1"), native=True)
    assert found.what == "same"


def test_an_export_takes_part() -> None:
    right = program("h1[1][0] = x[1]\nreturn h1[1] * 1", "CALL 0", "CALL 1")
    assert verdict(right, exported=True).what == "same"
    counts = program("h1[0] = h1[0] + 1\nreturn x * h1[0]", "CALL 0", "CALL 1")
    records = [run(counts, mode) for mode in ("plain", "exported")]
    found = compared(records[0], records[1], "exported")
    assert found is not None  # a library has no numbers of Python: refused, or another result


def test_a_lost_write_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "trace", losing)
    found = verdict(program("h1[1][0] = x[1]\nreturn x * 1", "CALL 0"))
    assert (found.what, found.mode) == ("wrong", "reference")
    assert found.reason.startswith("call 0: held")


def test_a_stale_value_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "trace", stale)
    found = verdict(program("return h1[1] * h1[0]", "CALL 0", "h1[0] = 2.0", "CALL 1"))
    assert found.what == "wrong"
    assert found.reason.startswith("call 1: result")


def test_another_error_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "trace", failing)
    found = verdict(program("return x * 1", "CALL 0"))
    assert (found.what, found.reason) == ("wrong", "call 0: KeyError: 'from inside'")


def test_an_error_of_nets_is_a_refusal() -> None:
    found = verdict(program("return x if x[0] > 100 else x * 2", "CALL 0"))
    assert found.what == "refused"
    assert "ControlFlowError" in found.reason


def test_an_error_that_does_not_come_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "trace", stale)
    text = "if h1[0] == 2.0:\n    raise Boom\nreturn x * 1"
    found = verdict(program(text, "CALL 0", "h1[0] = 2.0", "CALL 0"))
    assert (found.what, found.reason) == ("wrong", "call 1: no error in place of Boom: ")


def test_a_mistake_of_the_program_is_invalid() -> None:
    assert verdict(program("return nobody", "CALL 0")).what == "invalid"
    assert verdict(program("return x * 1", "CALL 0", "h1[7] = 1")).what == "invalid"


def test_objects_that_are_no_longer_the_same() -> None:
    one, other = nets.Tensor([1.0]), nets.Tensor([1.0])
    looks = [Look(), Look()]
    seen = [look.at(held) for look, held in zip(looks, ([one, one], [one, other]), strict=True)]
    assert not difference(seen[0], seen[1])
    assert looks[0].pattern() != looks[1].pattern()


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1], (1,)),
        (np.ones(2), np.ones(2, np.float32)),
        (nets.Tensor([1.0]), nets.Tensor([1.0], requires_grad=True)),
        (nets.Tensor([1.0]), np.ones(1)),
    ],
)
def test_a_difference(want: Any, got: Any) -> None:
    assert difference(Look().at(want), Look().at(got))
    assert not difference(Look().at(want), Look().at(want))


def test_numbers_among_results_count_as_tensors() -> None:
    assert not difference(result({"r": 2.0}), result({"r": nets.Tensor(2.0)}))


@pytest.mark.long
def test_a_failing_program_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "trace", stale)
    choice = Choice(only=("write elements", "read", "mix", "list"), native=0, shrink=True)
    found = [one for one in hunt(range(6), choice) if one.verdict.what == "wrong"]
    assert found
    assert all(len(one.program.statements) <= 8 for one in found)
