"""cost: arithmetic, traffic and memory of small programs, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nets


def cost_of(function: Any, *arguments: Any, **options: Any) -> dict[str, int]:
    found: dict[str, int] = nets.trace(function).lower(*arguments, **options).cost()
    return found


def test_elementwise_counts_one_operation_per_element() -> None:
    x = np.ones((10, 20), np.float32)
    cost = cost_of(lambda x, y: (x + y) * x, x, x)
    assert cost["flops"] == 2 * 200
    assert cost["bytes"] == 3 * 800  # fused: two arrays are read, one is written
    assert cost["peak_bytes"] == 3 * 800


def test_without_fusion_the_intermediate_is_written_and_read() -> None:
    x = np.ones((10, 20), np.float32)
    cost = cost_of(lambda x, y: (x + y) * x, x, x, pipeline="none")
    assert cost["bytes"] == 6 * 800
    assert cost["peak_bytes"] >= 4 * 800


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_matmul_counts_multiplications_and_additions(batch: tuple[int, ...]) -> None:
    x, y = np.ones((*batch, 4, 7), np.float32), np.ones((*batch, 7, 6), np.float32)
    cost = cost_of(lambda x, y: x @ y, x, y)
    assert cost["flops"] == 2 * int(np.prod(batch)) * 4 * 7 * 6


def test_reductions_count_their_operand() -> None:
    assert cost_of(lambda x: nets.sum(x, axis=0), np.ones((10, 20)))["flops"] == 200


def test_moving_data_is_no_arithmetic() -> None:
    cost = cost_of(lambda x: nets.transpose(x), np.ones((3, 4)))
    assert cost["flops"] == 0
    assert cost["bytes"] == 2 * 12 * 8


def test_a_view_is_no_traffic() -> None:
    assert cost_of(lambda x: nets.reshape(x, (12,)), np.ones((3, 4)))["bytes"] == 0


def test_empty_arrays_cost_nothing() -> None:
    assert cost_of(lambda x: x + x, np.ones((0, 4))) == {"flops": 0, "bytes": 0, "peak_bytes": 0}
