"""Code does not grow with sizes: strides, kernels, images, channels, counts, lengths of axes."""

from __future__ import annotations

import pytest

from tests.property.text_sizes import MOST, ROWS, growth

IN_ONE_DIMENSION = ("image", "kernel", "stride", "groups", "stride and kernel", "kernel and stride")
"""Convolutions and pools of one axis are those of two, one of which is 1; the other sizes are
looked at in two."""


def is_looked_at(name: str) -> bool:
    operation, _, size = name.partition(" ")
    return not operation.endswith("1d") or size in IN_ONE_DIMENSION


@pytest.mark.parametrize("name", list(filter(is_looked_at, ROWS)))
@pytest.mark.sampled(11)
def test_the_code_of_twice_the_size_is_no_longer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_VERIFY", "0")  # which others do, and the time goes into
    found = growth(name, "x86-64-v3")
    assert all(times <= MOST for times, _ in found.values()), found


@pytest.mark.parametrize(
    "name", ["conv2d stride and kernel", "conv2d image", "conv_transpose2d stride", "conv2d groups"]
)
def test_so_it_is_with_wide_vectors(name: str) -> None:
    found = growth(name, "x86-64-v4")
    assert all(times <= MOST for times, _ in found.values()), found
