"""States, parameters and datasets that are none: errors of nets, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import data, nn, optim
from nets.errors import NetsError

SAMPLES = data.TensorDataset(np.arange(5.0))
NONE_AT_ALL: list[Any] = [None, 3, "text", [], {}, [1, 2], {1: 2}, object()]


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(NetsError) as caught:
        call()
    assert "test_bad_states.py" in str(caught.value)


def changed(state: Any) -> list[Any]:
    """A state with one part, or a part of a part, in the place of which something else stands."""
    found = []
    parts = state.items() if isinstance(state, dict) else enumerate(state)
    for key, part in list(parts):
        bad = [None, "text", object(), [], {}, np.ones((2, 7)), float("nan"), -1]
        if isinstance(part, (bool, int, float)):
            bad = bad[:6]
        if isinstance(part, dict | list | tuple):
            bad = [*bad, *changed(part)]
        for value in bad:
            new = dict(state) if isinstance(state, dict) else list(state)
            new[key] = value
            found.append(new)
    return found


def kept(thing: Any, state: Any) -> None:
    """Load a state into it; where that is refused, its own state must be as it was."""
    before = thing.state_dict()
    try:
        thing.load_state_dict(state)
    except NetsError as error:
        np.testing.assert_equal(thing.state_dict(), before, err_msg=str(error))
    else:
        thing.state_dict()


def things() -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    adam = optim.Adam(model.parameters(), lr=0.1)
    return {
        "module": model,
        "Adam": adam,
        "SGD": optim.SGD(model.parameters(), momentum=0.9, dampening=0.1),
        "schedule": optim.StepLR(adam, 2),
        "plateau": optim.ReduceLROnPlateau(adam),
        "generator": nets.random.Generator(3),
        "loader": data.DataLoader(SAMPLES, 2),
    }


@pytest.mark.parametrize("name", things())
def test_what_is_no_state(name: str) -> None:
    thing = things()[name]
    for state in NONE_AT_ALL:
        refused(lambda state=state: thing.load_state_dict(state))
    for state in changed(thing.state_dict()):
        kept(thing, state)


def step(parameters: Any) -> None:
    optim.SGD(parameters, lr=0.1).step()


def test_what_is_no_list_of_parameters() -> None:
    for bad in (None, 3, "text", [], [3], [np.ones(2)], nn.Linear(2, 2), {"params": 3}, [None]):
        refused(lambda bad=bad: step(bad))
        optimizer = optim.SGD([nn.Parameter(np.ones(1))])
        refused(lambda bad=bad, o=optimizer: o.add_param_group(bad))  # type: ignore[arg-type]
    for bad in (None, 3, "text", [3], [np.ones(2)], nn.Linear(2, 2), [None]):
        refused(lambda bad=bad, o=optimizer: o.add_param_group({"params": bad}))
        refused(lambda bad=bad: nn.utils.clip_grad_norm_(bad, 1.0))


def test_what_is_no_dataset() -> None:
    for bad in (None, 3, object()):
        refused(lambda bad=bad: data.DataLoader(bad))
    for bad in (None, "text", [0.5], [True]):
        refused(lambda bad=bad: data.Subset(SAMPLES, bad))  # type: ignore[arg-type]
    for bad in (None, 3, "text", ["a"], [-1, 6], [0.5, float("nan")], [], [1, 2], [1.5]):
        refused(lambda bad=bad: data.random_split(SAMPLES, bad))  # type: ignore[arg-type]
