"""Random programs of views do with nets what they do with NumPy."""

from __future__ import annotations

import pytest

from nets.frontend.tensor import views
from nets.frontend.tensor.functions import assignment
from tests.property.views import (
    check_eager,
    check_gradients,
    check_local,
    check_no_grad,
    check_state,
    random_program,
)

BATCH = 25


@pytest.mark.parametrize("first", range(0, 150, BATCH))
@pytest.mark.sampled(6)
def test_eager_programs(first: int) -> None:
    for seed in range(first, first + BATCH):
        program = random_program(seed)
        check_eager(program)
        check_no_grad(program)
        check_gradients(program, traced=False)


@pytest.mark.parametrize("first", range(0, 50, BATCH))
@pytest.mark.long
def test_traced_programs(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_BACKEND", "numpy")
    for seed in range(first, first + BATCH):
        program = random_program(seed)
        check_state(program)
        check_local(program)
        check_gradients(program, traced=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.sampled(4)
def test_native_programs(seed: int) -> None:
    program = random_program(seed)
    check_state(program)
    check_local(program)


def _is_caught(seeds: int = 100) -> bool:
    for seed in range(seeds):
        try:
            check_eager(random_program(seed))
        except Exception:
            return True
    return False


@pytest.mark.long
def test_planted_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _is_caught(20)
    plants = [
        (views, "_reshaped", lambda strides, before, shape: strides),
        (views.View, "_refreshed", lambda self, now: self._memo[1]),
        (assignment, "_is_written", lambda x, key, value: isinstance(value, views.View)),
    ]
    for place, name, wrong in plants:
        with monkeypatch.context() as plant:
            plant.setattr(place, name, wrong)
            assert _is_caught(), name
    with monkeypatch.context() as plant:
        plant.setitem(assignment._MOVED_BACK, "flip", lambda part, step: part)
        assert _is_caught()
    with monkeypatch.context() as plant:
        plant.setitem(views._MERGED, "slice", lambda first, second: second)
        assert _is_caught()
