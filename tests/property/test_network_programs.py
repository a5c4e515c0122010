"""Random networks learn alike: eagerly and compiled, on any number of threads, for any CPU."""

import numpy as np
import pytest

from tests.property.networks import train

SEEDS = (0, 1, 2, 6, 7, 10, 11, 38)
"""Of images, texts and rows; with every kind of layer, step of a kernel, pool and optimiser."""
SHARED = (0, 1, 2, 10)
"""Those that run on two threads and for another CPU as well; of each sort there is one."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.sampled(8)
def test_compiled_steps_are_eager_ones(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    eager_losses, eager = train(seed, 3)
    losses, state = train(seed, 3, threads=1)
    np.testing.assert_allclose(losses, eager_losses, 2e-3, 2e-4)
    for name, value in eager.items():
        np.testing.assert_allclose(state[name], value, 5e-3, 2e-3, err_msg=name)
    if seed not in SHARED:
        return
    monkeypatch.setenv("NETS_CPU", "x86-64-v3")
    others = train(seed, 3, threads=2)
    assert others[0] == losses
    assert all(others[1][name].tobytes() == state[name].tobytes() for name in state)
