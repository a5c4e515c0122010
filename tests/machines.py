"""Machines that the table of nets does not have, to try widths and sizes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from nets.backend.llvm.target import host
from nets.machine.machine import Machine
from nets.machine.table import V2, V3, V4

NEON: Final = replace(V3, family="NEON", vector_bytes=16, vector_registers=32)
"""Short vectors, many registers; what is made for it is compiled for the CPU of the tests."""


def of_width(vector_bytes: int) -> Machine:
    """A machine with vectors of so many bytes; of 0 bytes, none."""
    row = {V2.vector_bytes: V2, V4.vector_bytes: V4}.get(vector_bytes, V3)
    return replace(row, vector_bytes=vector_bytes)


def on_this_cpu(machine: Machine) -> Machine:
    """The machine with its numbers and this CPU's instructions: LLVM splits vectors."""
    here = host()
    if here.level < machine.level:
        machine = replace(machine, instruction_set=here.instruction_set)
    return replace(machine, cpu=here.cpu, features=here.features)


@dataclass
class _Always:
    """What every machine says, whatever stands in its slot."""

    value: object
    slot: Any

    def __get__(self, machine: object, owner: object = None) -> object:
        return self.value

    def __set__(self, machine: object, value: object) -> None:
        self.slot.__set__(machine, value)


def let_every_machine_have(monkeypatch: pytest.MonkeyPatch, **numbers: object) -> None:
    """Let every machine, the CPU of the tests too, have these numbers."""
    host()  # which is kept, with the numbers it really has
    for name, value in numbers.items():
        slot = Machine.__dict__[name]
        monkeypatch.setattr(Machine, name, _Always(value, slot))
