"""Random compositions of derivatives and batching: see ``transforms``."""

from collections import Counter

import pytest

from tests.property.transforms import check


def test_compositions_hold() -> None:
    """What differences tell agrees for most, so that the test says something."""
    told = Counter(check(seed) for seed in range(60))
    assert told["checked"] > 45, told


@pytest.mark.parametrize("seed", range(200_000, 200_012))
def test_native_entries_have_the_bits_of_native_calls(seed: int) -> None:
    check(seed, native=True)
