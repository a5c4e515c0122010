"""The table of costs: it knows every operation, on every machine, and says sane things."""

from __future__ import annotations

import pytest

from nets.backend.llvm.math import FUNCTIONS
from nets.errors import DTypeError
from nets.ir.core import Trait
from nets.ir.types import DType, f32, f64, i32, i64
from nets.machine import costs
from nets.machine.machine import Machine
from nets.machine.table import ROWS, V3, V4, ZEN_3
from nets.ops.definition.registry import REGISTRY
from tests.backend.loops import at, buffer, loop_function
from tests.machines import of_width
from tests.passes.lowered import Program, tensor

every_row = pytest.mark.parametrize("row", ROWS, ids=str)
floats = pytest.mark.parametrize("dtype", [f32, f64], ids=str)


@every_row
@floats
def test_functions_of_the_library_take_longer_than_instructions(row: Machine, dtype: DType) -> None:
    lanes = row.lanes(dtype)
    plain = costs.cycles(row, "add", dtype, lanes)
    assert all(costs.cycles(row, name, dtype, lanes) > 10 * plain for name in FUNCTIONS)


@every_row
@floats
def test_what_is_costly_to_passes_is_so_to_the_machine(row: Machine, dtype: DType) -> None:
    p = Program(tensor(8, dtype=dtype), tensor(8, dtype=dtype))
    x, y = p.arguments
    plain = costs.tensor_cycles(row, p.b.emit("add", x, y).operation, dtype)
    for name, definition in REGISTRY.items():
        if definition.traits & Trait.COSTLY and not name.startswith("loop."):
            operands = (x, y, x)[: len(definition.samples[0].operands)]
            try:
                op = p.b.emit(name, *operands).operation
            except DTypeError:
                continue  # of integers alone
            assert costs.tensor_cycles(row, op, dtype) > 5 * plain, name


@every_row
def test_float64_takes_no_less_than_float32(row: Machine) -> None:
    for name in (*FUNCTIONS, "div", "sqrt", "add", "load"):
        assert costs.cycles(row, name, f64, row.lanes(f64)) >= costs.cycles(
            row, name, f32, row.lanes(f32)
        )


def test_a_vector_takes_as_long_as_a_number_and_two_twice() -> None:
    for machine in (V3, V4):
        lanes = machine.lanes(f32)
        found = [costs.cycles(machine, "exp", f32, n) for n in (1, lanes, 2 * lanes)]
        assert found[1:] == [found[0], 2 * found[0]]


def test_integers_are_divided_one_by_one() -> None:
    one = costs.cycles(V3, "div", i32)
    assert costs.cycles(V3, "rem", i32, 8) == 8 * one
    assert costs.cycles(V3, "div", f32, 8) == costs.cycles(V3, "div", f32)


@pytest.mark.parametrize("lanes", [1, 4])
def test_division_by_a_constant_is_cheaper(lanes: int) -> None:
    _, s = loop_function([buffer(i64, 8)], [])
    x = s.emit("load", s.builder.block.arguments[0], lanes=lanes, offset=0, strides=()).result
    constant = s.const(7, i64)
    divisor = constant if lanes == 1 else s.emit("splat", constant, lanes=lanes).result
    known, unknown = (s.binary("div", x, y).operation for y in (divisor, x))
    assert costs.cycles_of(V3, known) < costs.cycles_of(V3, unknown)


def test_memory_that_is_further_away_takes_longer() -> None:
    _, s = loop_function([buffer(f32, 8)], [])
    x = s.load(s.builder.block.arguments[0], at(0))
    assert costs.far_cycles_of(V3, x.operation) > costs.cycles_of(V3, x.operation) > 0
    total = s.add(x, x)
    assert costs.far_cycles_of(V3, total.operation) == costs.cycles_of(V3, total.operation)
    assert costs.cycles_of(V3, s.const(1.0, f32).operation) == 0


def test_families_differ() -> None:
    assert costs.cycles(ZEN_3, "div", f32, 8) < costs.cycles(V3, "div", f32, 8)


@floats
def test_machines_without_vectors_have_costs(dtype: DType) -> None:
    machine = of_width(0)
    assert costs.cycles(machine, "exp", dtype) > costs.cycles(machine, "add", dtype) > 0
    assert costs.copy_work(machine, dtype) > 0
    assert costs.kernel_cycles(machine, 1000, dtype) > 0


@every_row
def test_kernels_take_as_long_as_their_tiles(row: Machine) -> None:
    """What a whole product is thought to take is what its tiles take where nothing waits."""
    rows, vectors = 6, 2
    flops = 2 * rows * vectors * row.lanes(f32)
    assert costs.kernel_cycles(row, flops, f32) == costs.tile_cycles(row, rows, vectors)
