"""particle and saddle: what is published, and that it is what was looked for."""

import math

import pytest

from benchmarks.gradbench import particle, saddle
from benchmarks.gradbench.descent import MODES
from tests.benchmarks.gradbench.reference import draw, run

PLACE, SADDLE = 0.2071918746486116, 8.246324826140356e-06
"""The results that the suite holds its tools to."""


def miss(place: float) -> float:
    """Where the particle meets the axis: forces by hand."""
    x, y, dx, dy = 0.0, 8.0, 0.75, 0.0
    while True:
        ax = ay = 0.0
        for cx, cy in ((10.0, 10 - place), (10.0, 0.0)):
            cube = math.hypot(x - cx, y - cy) ** 3
            ax, ay = ax + (x - cx) / cube, ay + (y - cy) / cube
        x, y = x + 0.1 * dx, y + 0.1 * dy
        if y <= 0:
            return x - y / dy * dx
        dx, dy = dx + 0.1 * ax, dy + 0.1 * ay


@pytest.mark.sampled(3)
@pytest.mark.parametrize("modes", MODES)
def test_particle(modes: str) -> None:
    found = run(lambda lib: particle.in_system(lib, modes), *draw(particle.arguments)).numpy()
    assert found == pytest.approx([PLACE], rel=1e-9)
    assert abs(miss(found[0])) < 1e-4 < abs(miss(found[0] + 0.01))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("modes", MODES)
def test_saddle(modes: str) -> None:
    found = run(lambda lib: saddle.in_system(lib, modes), *draw(saddle.arguments)).numpy()
    assert found == pytest.approx([SADDLE] * 4, rel=1e-9)
