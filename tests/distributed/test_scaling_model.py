"""The model of scaling counts the messages that programs send."""

from __future__ import annotations

import pytest

from benchmarks.scaling_model import traffic
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.types import TensorType, f32
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import lookup
from nets.passes.distribution.over_ranks import expand
from nets.passes.distribution.transfers import bytes_of


@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("size", [64, 1 << 20])
def test_messages_of_a_sum(ranks: int, size: int) -> None:
    function = Function("total", [TensorType((size,), f32)])
    b = GraphEmitter(Builder(function.body))
    total = b.emit("all_reduce", function.arguments[0], reduction="sum", shards=ranks)
    b.builder.create(lookup("return"), [total])
    messages, sent = 0, 0.0
    for op in expand(function).body:
        if op.name == "exchange_ranks":
            messages, sent = messages + 1, sent + bytes_of(op.operands[0])
        elif op.name == "gather_ranks":
            messages += ranks.bit_length() - 1
            sent += bytes_of(op.operands[0]) * (ranks - 1)
    assert (messages, sent) == traffic(4 * size, ranks)
